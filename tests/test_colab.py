"""Colab: the first cells, the archive, and what is installed and what is kept."""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from typer.testing import CliRunner

from nslib import colab, colab_cells, locks, notebook, params
from nslib.cli import app
from nslib.errors import BadParameter, NslibError

NOTEBOOKS = sorted(params.notebooks_dir().glob("*.ipynb"))
GITHUB = "https://github.com/somebody/some-kit"


def project(folder: Path, urls: str = "") -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f'[project]\nname = "x"\n{urls}')
    return path


def cells(title: str = "# T\n\nText.") -> list:
    code = nbformat.v4.new_code_cell("old", metadata={"tags": ["colab"]})
    return [nbformat.v4.new_markdown_cell(title), code, nbformat.v4.new_code_cell("1 + 1")]


# --- the first cells ---------------------------------------------------------------------------------------------


def test_the_notebooks_are_as_the_tool_writes_them():
    assert colab_cells.refresh(write=False) == [], "run: python -m nslib colab cells"


def test_while_no_address_is_declared_there_is_no_badge_and_the_notebooks_say_how_to_upload():
    declared = tomllib.loads((params.root() / "pyproject.toml").read_text())["project"].get("urls", {})
    for path in NOTEBOOKS:
        title = nbformat.read(path, as_version=4)["cells"][0]["source"]
        assert ("Open in Colab" in title) == ("github.com" in declared.get("Repository", "")), path.name
        assert "Open in Colab" in title or "Upload notebook" in title, path.name


@pytest.mark.parametrize("text", [GITHUB, GITHUB + "/", GITHUB + ".git"])
def test_one_declared_address_makes_the_badge_and_the_clone(tmp_path, text):
    where = colab_cells.address(project(tmp_path, f'[project.urls]\nRepository = "{text}"\n'))
    assert where == GITHUB
    badge = colab_cells.invitation(where, "a.ipynb")
    assert "/github/somebody/some-kit/blob/main/notebooks/a.ipynb)" in badge and "Upload" not in badge
    code = colab_cells.source(where)
    assert f'"{GITHUB}", "kit"' in code and "files.upload" not in code


def test_another_host_has_no_badge_since_colab_opens_github_only(tmp_path):
    where = colab_cells.address(project(tmp_path, '[project.urls]\nrepository = "https://git.example.org/a/b"\n'))
    assert where and "Open in Colab" not in colab_cells.invitation(where, "a.ipynb")
    assert "https://git.example.org/a/b" in colab_cells.source(where)


@pytest.mark.parametrize("text", ["github.com/a/b", "https://github.com/a", 'https://x.org/a/b"; rm',
                                  "git@github.com:a/b"])
def test_an_address_that_git_could_not_clone_is_refused(tmp_path, text):
    path = project(tmp_path, f"[project.urls]\nRepository = {json.dumps(text)}\n")
    with pytest.raises(BadParameter, match="https://host/owner/name"):
        colab_cells.address(path)


def test_no_address_is_none(tmp_path):
    assert colab_cells.address(project(tmp_path)) is None


@pytest.mark.parametrize("where", [None, GITHUB])
def test_the_cell_is_short_guarded_python_and_does_nothing_elsewhere(where):
    code = colab_cells.source(where)
    compile(code, "cell", "exec")
    assert "google.colab" not in sys.modules
    scope: dict = {}
    exec(code, scope)
    assert set(scope) - {"__builtins__"} == {"sys"}


def test_refreshing_changes_two_places_only_and_once():
    made = cells()
    ids = [cell["id"] for cell in made]
    assert colab_cells.refreshed(made, None, "a.ipynb") and not colab_cells.refreshed(made, None, "a.ipynb")
    assert made[0]["source"].startswith("# T\n\nText.\n\n*On Colab") and made[2]["source"] == "1 + 1"
    assert colab_cells.refreshed(made, GITHUB, "a.ipynb")
    assert made[0]["source"].count("Colab]") == 1 and "*On Colab" not in made[0]["source"]
    assert colab_cells.refreshed(made, None, "a.ipynb") and "badge" not in made[0]["source"]
    assert [cell["id"] for cell in made] == ids


@pytest.mark.parametrize("spoil", [lambda c: c.pop(1), lambda c: c.append(c[1]), lambda c: c.pop(0)])
def test_a_notebook_without_the_two_places_is_named(spoil):
    made = cells()
    spoil(made)
    with pytest.raises(NslibError, match=r"odd\.ipynb"):
        colab_cells.refreshed(made, None, "odd.ipynb")


def test_the_tool_writes_what_is_behind_and_keeps_the_contract(tmp_path):
    node = nbformat.read(NOTEBOOKS[0], as_version=4)
    node["cells"][1]["source"] = "import sys"
    nbformat.write(node, tmp_path / NOTEBOOKS[0].name)
    assert colab_cells.refresh(tmp_path) == [NOTEBOOKS[0].name] and colab_cells.refresh(tmp_path) == []
    assert notebook.check_source(tmp_path / NOTEBOOKS[0].name) == []
    assert (tmp_path / NOTEBOOKS[0].name).read_bytes() == NOTEBOOKS[0].read_bytes()


def test_the_verbs(tmp_path):
    run = CliRunner().invoke
    assert run(app, ["colab", "cells", "--check"]).exit_code == 0
    told = run(app, ["colab", "zip", str(tmp_path / "kit.zip")])
    assert told.exit_code == 0 and "MB" in told.stdout


# --- the archive -------------------------------------------------------------------------------------------------


def test_the_archive_has_the_kit_and_nothing_of_this_machine(tmp_path):
    first, second = (colab_cells.archive(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        names = file.namelist()
        assert file.read("pyproject.toml") == (params.root() / "pyproject.toml").read_bytes()
    assert {"requirements.lock", "nslib/colab.py", "notebooks/00_start_here.ipynb"} <= set(names)
    assert any(name.startswith("data/models/trill-mini") for name in names)
    assert not [name for name in names if name.startswith((".venv", "reports")) or "__pycache__" in name]


# --- what is installed -------------------------------------------------------------------------------------------


def fake(there: dict[str, str], codes: dict[str, int]):
    """Runner that notes commands, installs what it is asked for, and fails as told."""
    ran: list[list[str]] = []

    def run(arguments):
        ran.append(list(arguments))
        kind = "pip" if "pip" in arguments else "trial"
        bounds = arguments[arguments.index("--constraint") + 1] if kind == "pip" else None
        ran[-1].append(Path(bounds).read_text() if bounds else "")
        if kind == "pip" and not codes.get("pip"):
            there.update(text.split("<=" if "<=" in text else "==") for text in arguments[7:])
        return SimpleNamespace(returncode=codes.get(kind, 0), stderr="line\nno matching distribution")

    run.ran = ran
    return run


@pytest.fixture
def there(monkeypatch):
    """A session that has everything as locked; what a test changes in it is what this session has."""
    found = dict(locks.pins())
    monkeypatch.setattr(colab, "installed", lambda name: found.get(name, ""))
    monkeypatch.setenv("PYTHONPATH", "")
    return found


def test_with_all_there_nothing_is_installed(there, capsys):
    run = fake(there, {})
    needs = colab.install(run)
    assert [command[1] for command in run.ran] == ["-c"]
    assert all(need.there == need.wanted for need in needs) and len(needs) > 30
    said = capsys.readouterr().out
    assert f"{len(needs)} of the {len(needs)} packages" in said and "jupyterlab (Colab is the interface)" in said


def test_what_is_missing_is_installed_at_most_at_its_lock_and_nothing_there_may_change(there, capsys):
    del there["av"], there["pypdf"]
    there["numpy"] = "2.1.3"
    run = fake(there, {})
    colab.install(run)
    wanted = sorted(run.ran[0][7:-1])
    assert wanted == [f"av<={locks.pins()['av']}", f"pypdf<={locks.pins()['pypdf']}"]
    assert "\nnumpy==" in run.ran[0][-1] and "jupyterlab" not in " ".join(wanted)
    said = capsys.readouterr().out
    assert f"numpy 2.1.3 (locked: {locks.pins()['numpy']})" in said


def test_a_tensorflow_that_works_is_kept_whatever_its_version(there, capsys):
    there["tensorflow"] = "2.20.0"
    run = fake(there, {})
    colab.install(run)
    assert len(run.ran) == 1 and "tensorflow 2.20.0 (locked" in capsys.readouterr().out


def test_a_tensorflow_that_fails_its_trial_is_replaced_by_the_locked_one(there, capsys):
    there["tensorflow"] = "2.20.0"
    run = fake(there, {"trial": 1})
    colab.install(run)
    assert run.ran[1][7:9] == [f"tensorflow=={locks.pins()['tensorflow']}", f"tf-keras=={locks.pins()['tf-keras']}"]
    assert run.ran[1][-1] == "" and "restart the session" in capsys.readouterr().out


def test_when_pip_fails_its_last_words_and_the_next_step_are_told(there):
    del there["av"]
    with pytest.raises(NslibError, match=r"av<=(.|\n)*no matching distribution(.|\n)*run this cell again"):
        colab.install(fake(there, {"pip": 1}))


def test_what_is_still_missing_is_said():
    assert "STILL MISSING: av" in colab.report([colab.Need("av", "1", ""), colab.Need("numpy", "1", "1")])


def test_every_declared_package_is_needed_or_left_out_for_a_reason():
    names = {need.name for need in colab.needs()}
    assert {"tensorflow", "tf-keras", "tensorflow-hub", "scikit-learn", "av"} <= names
    assert not names & set(colab.NOT_THERE)


def test_the_trial_passes_here_and_fails_on_a_front_end_that_is_off(monkeypatch):
    from nslib import frontend

    colab.try_tensorflow()
    right = frontend.log_mel
    monkeypatch.setattr(frontend, "log_mel", lambda wave: right(wave) + 0.1)
    with pytest.raises(NslibError, match=r"is 0\.1 off"):
        colab.try_tensorflow()


def test_what_comes_with_colab_goes_with_what_the_kit_declares():
    """A declared bound that Colab's packages break, other than the trial's own, would be a promise to nobody."""
    from packaging.requirements import Requirement

    lines = (Path(__file__).parent / "colab_packages.txt").read_text().splitlines()
    comes = dict(line.split(";")[0].split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((params.root() / "pyproject.toml").read_text())["project"]
    declared = map(Requirement, project["dependencies"])
    broken = {r.name for r in declared if r.name in comes and not r.specifier.contains(comes[r.name])}
    assert broken <= set(colab._PINNED)
