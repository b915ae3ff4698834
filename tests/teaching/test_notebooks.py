"""Every notebook keeps the contract, and runs: nbval, lax, on the synthetic corpus, all cells."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from nslib import config
from nslib.teaching import colab, notebook_rules

NOTEBOOKS = sorted(config.notebooks_dir().glob("*.ipynb"))
FIRST = {"00_start_here", "05_benchmark", "81_your_embedding"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_keeps_the_contract_its_links_lead_somewhere_and_it_begins_and_ends_as_all_do(path):
    assert notebook_rules.check_source(path) == []
    cells = nbformat.read(path, as_version=4)["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(rf"{path.stem.replace('_', '-')}-\d\d", i) for i in ids)
    assert all("not params.smoke" in c["source"] for c in cells if re.search(r"check\(\w+\.empty or", c["source"]))
    prose = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert all((path.parent / name).exists() for name in re.findall(r"\]\(([\w-]+\.ipynb)\)", prose))
    headings = [re.sub(r"^#+\s*[\d.]*\s*", "", line) for line in prose.splitlines() if line.startswith("#")]
    assert cells[0]["source"].startswith("# ") and headings[-2:] == ["Try it", "What we saw"]


def test_all_notebooks_are_there_their_first_cells_are_written_and_some_text_is_promised():
    assert {path.stem for path in NOTEBOOKS} >= FIRST and len(NOTEBOOKS) >= 13
    assert colab.refresh_notebooks(write=False) == [], "run: python -m nslib colab cells"
    cells = [c for path in NOTEBOOKS for c in nbformat.read(path, as_version=4)["cells"]]
    promised = [c for c in cells if "nbval-check-output" in c["metadata"].get("tags", [])]
    assert len(promised) >= 40 and all(cell["outputs"] for cell in promised)


def write_drift(path: Path, digit: str) -> Path:
    """Write a notebook that prints 0.1001 and promises another last digit, or this one."""
    cell = v4.new_code_cell('print("value 0.100" + "1")', metadata={"tags": ["nbval-check-output"]}, execution_count=1,
                            outputs=[v4.new_output("stream", name="stdout", text=f"value 0.100{digit}\n")])
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(v4.new_notebook(cells=[cell], metadata=kernel), path)
    return path


@pytest.mark.parametrize("first", [pytest.param(True, marks=pytest.mark.slow, id="first of all"),
                                   pytest.param(False, marks=pytest.mark.heavy, id="the others")])
def test_every_cell_runs_and_one_digit_that_drifts_fails(tmp_path, first):
    """The last is one whose output has drifted."""
    paths = [*(path for path in NOTEBOOKS if (path.stem in FIRST) == first), write_drift(tmp_path / "same.ipynb", "1")]
    cells = sum(c["cell_type"] == "code" for path in paths for c in nbformat.read(path, as_version=4)["cells"])
    drifted = write_drift(tmp_path / "drift.ipynb", "2")
    # Not this process's pytest: nbval needs its own. After a cell that fails all others would, and hide it.
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "--color=no", "--exitfirst",
               "--nbval-cell-timeout", "300", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", str(config.notebooks_dir()), *map(str, [*paths, drifted])]
    environment = os.environ | {"CORPUS": "synthetic", "SMOKE": "1", "NSLIB_REPORTS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    said = done.stdout[-6000:] + done.stderr[-2000:]
    assert done.returncode == 1 and "value 0.1002" in done.stdout, said
    assert cells > 50 and f"1 failed, {cells} passed" in done.stdout.splitlines()[-1], said
