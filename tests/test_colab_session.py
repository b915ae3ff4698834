"""A session that imitates Colab, from an uploaded zip file to the last cell.

Its Python (where this machine has one), the packages that its runtime comes with at their versions, a kernel that has
``google.colab`` loaded, a folder like ``/content``, empty caches. The packages come from the registry: without one
there is nothing to try. What cannot be imitated is Colab's own image, Ubuntu's archive and the browser side of an
upload.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from nslib import colab, colab_cells, locks, params

pytestmark = pytest.mark.heavy
HERE = Path(__file__).parent
PACKAGES = HERE / "colab_packages.txt"
PYTHON = "3.13"
FIRST, SECOND = "00_start_here.ipynb", "02_frontend.ipynb"
UPLOAD = '''"""Stand-in: upload() puts the file that COLAB_UPLOAD names here, as the real one does."""
import os
from pathlib import Path


def upload():
    given = Path(os.environ["COLAB_UPLOAD"])
    Path(given.name).write_bytes(given.read_bytes())
    return {given.name: given.read_bytes()}
'''
DRIVE = """
import sys, nbformat, nbclient
node = nbformat.read(sys.argv[1], as_version=4)
client = nbclient.NotebookClient(node, timeout=900, kernel_name="python3", allow_errors=True)
client.execute(cwd=".")
nbformat.write(node, sys.argv[1])
"""


def _python() -> str:
    """Colab's Python if this machine has it, else the one that runs the tests."""
    ways = [shutil.which(f"python{PYTHON}"),
            *map(str, sorted(Path.home().glob(f".pyenv/versions/{PYTHON}.*/bin/python"))), sys.executable]
    asked = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    for way in filter(None, ways):
        said = subprocess.run([way, *asked], capture_output=True, text=True, check=False).stdout.strip()
        if said == PYTHON or way == sys.executable:
            return way
    raise AssertionError("unreachable: the last way is this very Python")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory) -> Path:
    """A Python with what Colab comes with; the kit is not in it."""
    home = tmp_path_factory.mktemp("runtime")
    python = home / "bin" / "python"
    subprocess.run([_python(), "-m", "venv", str(home)], check=True)
    uv = Path(sys.executable).with_name("uv")
    pip = [str(uv), "pip", "install", "--python", str(python)] if uv.exists() else [str(python), "-m", "pip", "install"]
    command = [*pip, "--quiet", "--no-deps", "-r", str(PACKAGES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and re.search(r"error sending request|dns|Connection|unreachable", done.stderr):
        pytest.skip(f"no package registry here: {done.stderr.strip().splitlines()[-1]}")
    assert not done.returncode, done.stderr[-2000:]
    (site,) = home.glob("lib/python*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text("from google.colab import files\n")
    (site / "google" / "colab" / "files.py").write_text(UPLOAD)
    (site / "colab_is_loaded.pth").write_text("import google.colab\n")
    return home


@pytest.fixture(scope="module")
def content(runtime, tmp_path_factory) -> dict[str, nbformat.NotebookNode]:
    """Two notebooks run one after the other in one folder like /content, the first with an upload."""
    home = tmp_path_factory.mktemp("colab")
    folder = home / "content"
    (folder / "sample_data").mkdir(parents=True)
    zipped = colab_cells.archive(home / colab_cells.ARCHIVE)
    left_out = {"NSLIB_OFFLINE", "PYTHONPATH", "VIRTUAL_ENV", "CORPUS"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"SMOKE": "1", "NSLIB_CACHE": str(home / "cache"), "COLAB_UPLOAD": str(zipped),
                    "PATH": f"{runtime / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    for name in (FIRST, SECOND):
        shutil.copy(params.notebooks_dir() / name, folder)
        done = subprocess.run([runtime / "bin" / "python", "-c", DRIVE, name], cwd=folder, env=environment,
                              capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[-3000:]
    return {name: nbformat.read(folder / name, as_version=4) for name in (FIRST, SECOND)}


def printed(node: nbformat.NotebookNode) -> str:
    return "".join(out.get("text", "") for cell in node["cells"] for out in cell.get("outputs", [])
                   if out.get("name") == "stdout")


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_every_cell_runs(content, name):
    failed = [(cell["source"], out["ename"], out["evalue"][-500:]) for cell in content[name]["cells"]
              for out in cell.get("outputs", []) if out["output_type"] == "error"]
    assert failed == []
    assert printed(content[name]).count("✓") >= 2


def test_the_first_cell_installs_what_is_missing_and_says_what_differs(content):
    (first,) = [cell for cell in content[FIRST]["cells"] if "colab" in cell["metadata"].get("tags", [])]
    said = "".join(out["text"] for out in first["outputs"] if out.get("name") == "stdout")
    assert "packages that are not here: " in said and "av" in said and "MISSING" not in said
    locked = locks.pins()
    for name, version in re.findall(r"([\w-]+) (\S+) \(locked: ", said):
        assert locked[name] != version
    assert f"tensorflow 2.20.0 (locked: {locked['tensorflow']})" in said


def test_nothing_that_came_with_the_session_was_changed(content, runtime):
    asked = ("import importlib.metadata as m\nfor d in m.distributions():"
             "print(d.name.lower().replace('_', '-').replace('.', '-'), d.version)")
    told = subprocess.run([runtime / "bin" / "python", "-c", asked], capture_output=True, text=True, check=True).stdout
    now = dict(line.split() for line in told.splitlines())
    lines = [line.split(";")[0] for line in PACKAGES.read_text().splitlines() if not line.startswith("#")]
    came = dict(line.split("==") for line in lines)
    assert {name: now[name] for name in came if name in now} == {name: came[name] for name in came if name in now}
    assert len(came.keys() & now.keys()) > 150 and not set(colab.NOT_THERE) & now.keys()


def test_a_second_notebook_finds_the_kit_and_installs_nothing(content):
    assert "packages that are not here" not in printed(content[SECOND])


@pytest.mark.skipif(not shutil.which("apt-get"), reason="recorded speech comes by apt")
def test_recorded_speech_is_had_without_a_cache_of_apt(content):
    assert "(real)\n" in printed(content[FIRST]) and "(synthetic)\n" not in printed(content[FIRST])
