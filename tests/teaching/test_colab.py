"""Colab: badge and install cell, the kit as one file, and a session that imitates Colab from an upload to the end.

The session has Colab's Python (where this machine has one), the packages that its runtime comes with at their
versions, a kernel that has ``google.colab`` loaded, a folder like ``/content``, empty caches. The packages come from
the registry: without one there is nothing to try. What cannot be imitated is Colab's own image, Ubuntu's archive and
the browser side of an upload.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from nslib import config
from nslib.errors import BadParameter, NslibError
from nslib.teaching import colab

GITHUB = "https://github.com/somebody/some-kit"
COMES_WITH = Path(__file__).with_name("colab_packages.txt")
PYTHON = "3.13"
FIRST, SECOND = "00_start_here.ipynb", "02_frontend.ipynb"


def cells() -> list:
    code = nbformat.v4.new_code_cell("old", metadata={"tags": ["colab"]})
    return [nbformat.v4.new_markdown_cell("# T\n\nText."), code, nbformat.v4.new_code_cell("1 + 1")]


def project(folder: Path, urls: str) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}\n')
    return folder / "pyproject.toml"


def pins(path: Path) -> dict[str, Requirement]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {need.name.replace("_", "-"): need for need in map(Requirement, lines)}


@pytest.mark.parametrize("text", [GITHUB, GITHUB + "/", GITHUB + ".git"])
def test_a_declared_address_makes_badge_and_install_cell(tmp_path, text):
    assert colab.read_address(project(tmp_path, f'[project.urls]\nRepository = "{text}"')) == GITHUB
    badge, cell = colab.write_invitation(GITHUB, "a.ipynb"), colab.write_cell(GITHUB)
    assert "/github/somebody/some-kit/blob/main/notebooks/a.ipynb)" in badge and "upload" not in badge
    assert f"{GITHUB}/archive/HEAD.tar.gz" in cell and colab.ARCHIVE not in cell


@pytest.mark.parametrize("text", ["github.com/a/b", "https://github.com/a", "https://github.com/a/b; rm",
                                  "https://git.example.org/a/b"])
def test_an_address_that_colab_could_not_open_is_refused(tmp_path, text):
    with pytest.raises(BadParameter, match=r"https://github\.com/owner/name"):
        colab.read_address(project(tmp_path, f'[project.urls]\nRepository = "{text}"'))


@pytest.mark.parametrize("address", [None, GITHUB])
def test_the_cell_does_nothing_elsewhere(address):
    from IPython.core.inputtransformer2 import TransformerManager

    scope: dict = {}
    exec(TransformerManager().transform_cell(colab.write_cell(address)), scope)  # get_ipython is not there
    assert set(scope) - {"__builtins__"} == {"sys"}


def test_refreshing_changes_two_places_only_and_once():
    made = cells()
    ids = [cell["id"] for cell in made]
    assert colab.refresh_cells(made, None, "a.ipynb") and not colab.refresh_cells(made, None, "a.ipynb")
    assert made[0]["source"].startswith("# T\n\nText.\n\n*On Colab") and made[2]["source"] == "1 + 1"
    assert colab.refresh_cells(made, GITHUB, "a.ipynb")
    assert made[0]["source"].count("Colab]") == 1 and "*On Colab" not in made[0]["source"]
    assert colab.refresh_cells(made, None, "a.ipynb") and "badge" not in made[0]["source"]
    assert [cell["id"] for cell in made] == ids


@pytest.mark.parametrize("spoil", [lambda c: c.pop(1), lambda c: c.append(c[1]), lambda c: c.pop(0)])
def test_a_notebook_without_the_two_places_is_named(spoil):
    made = cells()
    spoil(made)
    with pytest.raises(NslibError, match=r"odd\.ipynb"):
        colab.refresh_cells(made, None, "odd.ipynb")


def test_a_notebook_that_is_behind_is_written_as_it_should_be(tmp_path):
    node = nbformat.read(config.notebooks_dir() / FIRST, as_version=4)
    node["cells"][1]["source"] = "import sys"
    nbformat.write(node, tmp_path / FIRST)
    assert colab.refresh_notebooks(tmp_path) == [FIRST] and colab.refresh_notebooks(tmp_path) == []
    assert (tmp_path / FIRST).read_bytes() == (config.notebooks_dir() / FIRST).read_bytes()


def test_the_archive_has_the_kit_and_nothing_of_this_machine(tmp_path):
    first, second = (colab.pack_kit(tmp_path / "new" / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second
    with zipfile.ZipFile(tmp_path / "new" / "a.zip") as file:
        names = file.namelist()
        assert file.read("pyproject.toml") == (config.root() / "pyproject.toml").read_bytes()
    assert {"requirements.lock", "requirements-colab.txt", "nslib/__init__.py", f"notebooks/{FIRST}"} <= set(names)
    assert any(name.startswith("data/models/trill-mini") for name in names)
    assert not [name for name in names if name.startswith((".venv", "reports")) or "__pycache__" in name]


def test_a_zip_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    def fill_disk(*_args):
        raise OSError(errno.ENOSPC, "full")

    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(colab.shutil, "copyfileobj", fill_disk)
    with pytest.raises(NslibError, match=r"no space left for .*y\.zip"):
        colab.pack_files(tmp_path, [tmp_path / "a.txt"], tmp_path / "y.zip")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_colabs_requirements_are_the_kits_and_leave_what_a_session_comes_with():
    ours, comes = pins(config.root() / "requirements-colab.txt"), pins(COMES_WITH)
    declared = tomllib.loads((config.root() / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {Requirement(text).name.replace("_", "-") for text in declared}
    assert set(ours) == names - {"jupyterlab", "dask", "distributed"}
    locked = (config.root() / "requirements.lock").read_text()
    for name, need in ours.items():
        assert bool(need.specifier) == (name not in comes), f"{name}: bounded where Colab lacks it, and only there"
        assert not need.specifier or f"\n{name}{str(need.specifier).replace('<=', '==')}" in locked, name


def find_python() -> str:
    """Return Colab's Python if this machine has it, else the one that runs the tests."""
    ways = [shutil.which(f"python{PYTHON}"),
            *map(str, sorted(Path.home().glob(f".pyenv/versions/{PYTHON}.*/bin/python"))), sys.executable]
    asked = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    versions = {way: subprocess.run([way, *asked], capture_output=True, text=True, check=False).stdout.strip()
                for way in filter(None, ways)}
    return next((way for way, version in versions.items() if version == PYTHON), sys.executable)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """A Python with what Colab comes with; the kit is not in it."""
    home = tmp_path_factory.mktemp("runtime")
    python = home / "bin" / "python"
    subprocess.run([find_python(), "-m", "venv", str(home)], check=True)
    uv = Path(sys.executable).with_name("uv")
    pip = [str(uv), "pip", "install", "--python", str(python)] if uv.exists() else [str(python), "-m", "pip", "install"]
    command = [*pip, "--quiet", "--no-deps", "-r", str(COMES_WITH)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search(r"error sending request|dns|Connection|unreachable", done.stderr):
        pytest.skip(f"no package registry here: {done.stderr.strip().splitlines()[-1]}")
    assert not done.returncode, done.stderr[-2000:]
    (site,) = home.glob("lib/python*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text("")
    (site / "colab_is_loaded.pth").write_text("import google.colab\n")
    return home


DRIVE = """
import sys, nbformat, nbclient
node = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(node, timeout=900, kernel_name="python3", allow_errors=True).execute(cwd=".")
nbformat.write(node, sys.argv[1])
"""


@pytest.fixture(scope="module")
def session(runtime, tmp_path_factory) -> list[nbformat.NotebookNode]:
    """Two notebooks run one after the other in one folder like /content, to which the kit was uploaded."""
    home = tmp_path_factory.mktemp("colab")
    folder = home / "content"
    (folder / "sample_data").mkdir(parents=True)
    colab.pack_kit(folder / colab.ARCHIVE)
    left_out = {"NSLIB_OFFLINE", "PYTHONPATH", "VIRTUAL_ENV", "CORPUS"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"SMOKE": "1", "NSLIB_CACHE": str(home / "cache"),
                    "PATH": f"{runtime / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for name in (FIRST, SECOND):
        shutil.copy(config.notebooks_dir() / name, folder)
        done = subprocess.run([runtime / "bin" / "python", "-c", DRIVE, name], cwd=folder, env=environment,
                              capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[-3000:]
    return [nbformat.read(folder / name, as_version=4) for name in (FIRST, SECOND)]


@pytest.mark.heavy
def test_every_cell_runs_and_the_first_notebook_says_that_packages_differ_from_the_lock(session):
    outputs = [[out for cell in node["cells"] for out in cell.get("outputs", [])] for node in session]
    assert [(out["ename"], out["evalue"][-500:]) for some in outputs for out in some if "ename" in out] == []
    printed = ["".join(out["text"] for out in some if out.get("name") == "stdout") for some in outputs]
    assert all(text.count("✓") >= 2 for text in printed)
    pairs = re.findall(r"([\w-]+) (\S+) is locked, (\S+) is installed", printed[0])
    assert pairs and all(config.locked_versions()[name] == version != here for name, version, here in pairs)
    if shutil.which("apt-get"):  # recorded speech is had without a cache of apt
        assert "(real)\n" in printed[0] and "(synthetic)\n" not in printed[0]


@pytest.mark.heavy
def test_nothing_that_came_with_the_session_was_changed_and_what_lacked_is_there(session, runtime):
    code = ("import importlib.metadata as m\nfor d in m.distributions():"
            "print(d.name.lower().replace('_', '-').replace('.', '-'), d.version)")
    done = subprocess.run([runtime / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    now = dict(line.split() for line in done.stdout.splitlines())
    came = {name: str(need.specifier)[2:] for name, need in pins(COMES_WITH).items() if name in now}
    assert {name: now[name] for name in came} == came and len(came) > 150
    assert {"av", "papermill", "espeakng-loader"} <= set(now) and "jupyterlab" not in now
