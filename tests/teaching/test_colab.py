"""Colab: badge and install cell, the kit as one file, and a session that imitates Colab from an upload to the end.

What cannot be imitated is Colab's own image, Ubuntu's archive and the browser side of an upload.
"""

import errno
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from nslib import config
from nslib.errors import BadParameter, NslibError
from nslib.teaching import colab

GITHUB = "https://github.com/somebody/some-kit"
COMES_WITH = Path(__file__).with_name("colab_packages.txt")
FIRST, SECOND = "00_start_here.ipynb", "02_frontend.ipynb"


def cells() -> list:
    code = nbformat.v4.new_code_cell("old", metadata={"tags": ["colab"]})
    return [nbformat.v4.new_markdown_cell("# T\n\nText."), code, nbformat.v4.new_code_cell("1 + 1")]


def pins(path: Path) -> dict[str, Requirement]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {need.name.replace("_", "-"): need for need in map(Requirement, lines)}


def test_a_declared_address_makes_badge_and_install_cell_and_one_that_colab_could_not_open_is_refused(tmp_path):
    def read_address(text: str) -> str | None:
        (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{text}"\n')
        return colab.read_address(tmp_path / "pyproject.toml")

    assert read_address(GITHUB + "/") == read_address(GITHUB + ".git") == GITHUB
    badge, cell = colab.write_invitation(GITHUB, "a.ipynb"), colab.write_cell(GITHUB)
    assert "/github/somebody/some-kit/blob/main/notebooks/a.ipynb)" in badge and "upload" not in badge
    assert f"{GITHUB}/archive/HEAD.tar.gz" in cell and colab.ARCHIVE not in cell
    for text in ("https://github.com/a", "https://github.com/a/b; rm", "https://git.example.org/a/b"):
        with pytest.raises(BadParameter, match=r"https://github\.com/owner/name"):
            read_address(text)
    scope: dict = {}
    exec(TransformerManager().transform_cell(cell), scope)  # elsewhere it does nothing: get_ipython is not there
    assert set(scope) - {"__builtins__"} == {"sys"}


def test_refreshing_changes_two_places_only_and_once_and_a_notebook_without_them_is_named():
    made = cells()
    assert colab.refresh_cells(made, None, "a.ipynb") and not colab.refresh_cells(made, None, "a.ipynb")
    assert made[0]["source"].startswith("# T\n\nText.\n\n*On Colab") and made[2]["source"] == "1 + 1"
    assert colab.refresh_cells(made, GITHUB, "a.ipynb")
    assert made[0]["source"].count("Colab]") == 1 and "*On Colab" not in made[0]["source"]
    assert colab.refresh_cells(made, None, "a.ipynb") and "badge" not in made[0]["source"]
    for spoil in (lambda c: c.pop(1), lambda c: c.append(c[1]), lambda c: c.pop(0)):
        spoil(odd := cells())
        with pytest.raises(NslibError, match=r"odd\.ipynb"):
            colab.refresh_cells(odd, None, "odd.ipynb")


def test_a_notebook_that_is_behind_is_written_as_it_should_be(tmp_path):
    node = nbformat.read(config.notebooks_dir() / FIRST, as_version=4)
    node["cells"][1]["source"] = "import sys"
    nbformat.write(node, tmp_path / FIRST)
    assert colab.refresh_notebooks(tmp_path) == [FIRST] and colab.refresh_notebooks(tmp_path) == []
    assert (tmp_path / FIRST).read_bytes() == (config.notebooks_dir() / FIRST).read_bytes()


def test_the_archive_has_the_kit_and_nothing_of_this_machine(tmp_path):
    first, second = (colab.pack_kit(tmp_path / "new" / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as file:
        names = file.namelist()
        assert file.read("pyproject.toml") == (config.root() / "pyproject.toml").read_bytes()
    assert {"requirements.lock", "requirements-colab.txt", "nslib/__init__.py", f"notebooks/{FIRST}"} <= set(names)
    assert any(name.startswith("data/models/trill-mini") for name in names)
    assert not [name for name in names if name.startswith((".venv", "reports")) or "__pycache__" in name]


def test_a_zip_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(colab.shutil, "copyfileobj", Mock(side_effect=OSError(errno.ENOSPC, "full")))
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


@pytest.fixture
def runtime(tmp_path) -> Path:
    """A Python, Colab's if this machine has it, with what Colab comes with; the kit is not in it."""
    home = tmp_path / "runtime"
    # a launcher of that name may have no Python behind it
    assert any(not subprocess.run([name, "-m", "venv", str(home)], check=False).returncode
               for name in (shutil.which("python3.13"), sys.executable) if name)
    command = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", COMES_WITH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search(r"error sending request|dns|Connection|unreachable", done.stderr):
        pytest.skip(f"no package registry here: {done.stderr.strip().splitlines()[-1]}")
    assert not done.returncode, done.stderr[-2000:]
    (site,) = home.glob("lib/python*/site-packages")
    config.write_file(site / "google" / "colab" / "__init__.py", "")
    config.write_file(site / "colab_is_loaded.pth", "import google.colab\n")
    return home


DRIVE = """
import sys, nbformat, nbclient
node = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(node, timeout=900, kernel_name="python3", allow_errors=True).execute(cwd=".")
nbformat.write(node, sys.argv[1])
"""
LIST = """
import importlib.metadata
for one in importlib.metadata.distributions():
    print(one.name.lower().replace("_", "-").replace(".", "-"), one.version)
"""


@pytest.mark.heavy
def test_every_cell_runs_what_came_with_the_session_stays_and_what_lacked_is_there(runtime, tmp_path):
    """Two notebooks run one after the other in one folder like /content, to which the kit was uploaded."""
    folder = tmp_path / "content"
    colab.pack_kit(folder / colab.ARCHIVE)
    left_out = {"NSLIB_OFFLINE", "PYTHONPATH", "VIRTUAL_ENV", "CORPUS"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"SMOKE": "1", "NSLIB_CACHE": str(tmp_path / "cache"),
                    "PATH": f"{runtime / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(*words: str) -> str:
        done = subprocess.run([runtime / "bin" / "python", "-c", *words], cwd=folder, env=environment, text=True,
                              capture_output=True, check=False)
        assert not done.returncode, done.stderr[-3000:]
        return done.stdout

    printed = []
    for name in (FIRST, SECOND):
        shutil.copy(config.notebooks_dir() / name, folder)
        run(DRIVE, name)
        outputs = [o for c in nbformat.read(folder / name, as_version=4)["cells"] for o in c.get("outputs", [])]
        assert [(o["ename"], o["evalue"][-500:]) for o in outputs if "ename" in o] == []
        printed.append("".join(o["text"] for o in outputs if o.get("name") == "stdout"))
    assert all(text.count("✓") >= 2 for text in printed)
    # the first notebook says that packages differ from the lock
    pairs = re.findall(r"([\w-]+) (\S+) is locked, (\S+) is installed", printed[0])
    assert pairs and all(config.locked_versions()[name] == version != here for name, version, here in pairs)
    assert not shutil.which("apt-get") or "(real)\n" in printed[0]  # recorded speech is had without a cache of apt
    now = dict(line.split() for line in run(LIST).splitlines())
    came = {name: str(need.specifier)[2:] for name, need in pins(COMES_WITH).items() if name in now}
    assert {name: now[name] for name in came} == came and len(came) > 150
    assert {"av", "papermill", "espeakng-loader"} <= set(now) and "jupyterlab" not in now
