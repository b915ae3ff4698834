"""Every notebook keeps the contract, and runs: nbval, lax, on the synthetic corpus, all cells."""

from __future__ import annotations

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
EXPECTED = {"00_start_here", "01_noss_tasks", "02_frontend", "03_train_trill", "04_distill", "05_benchmark",
            "06_personalisation", "07_finetune", "08_what_matters", "09_how_sure", "10_listen", "80_your_dataset",
            "81_your_embedding"}
FIRST = {"00_start_here", "01_noss_tasks", "02_frontend", "05_benchmark", "10_listen", "80_your_dataset",
         "81_your_embedding"}


def test_all_notebooks_are_there():
    assert {path.stem for path in NOTEBOOKS} >= EXPECTED >= FIRST


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_keeps_the_contract(path):
    assert notebook_rules.check_source(path) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_ids_are_stable_links_lead_somewhere_and_it_begins_and_ends_as_all_do(path):
    cells = nbformat.read(path, as_version=4)["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(rf"{path.stem.replace('_', '-')}-\d\d", i) for i in ids)
    prose = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert all((path.parent / name).exists() for name in re.findall(r"\]\(([\w-]+\.ipynb)\)", prose))
    headings = [re.sub(r"^#+\s*[\d.]*\s*", "", line) for line in prose.splitlines() if line.startswith("#")]
    assert cells[0]["source"].startswith("# ") and headings[-2:] == ["Try it", "What we saw"]


def test_the_first_cells_are_as_the_tool_writes_them():
    assert colab.refresh_notebooks(write=False) == [], "run: python -m nslib colab cells"


def test_some_text_is_promised():
    cells = [c for path in NOTEBOOKS for c in nbformat.read(path, as_version=4)["cells"]]
    assert any("nbval-check-output" in c["metadata"].get("tags", []) for c in cells)


def _nbval(*paths: Path, reports: Path) -> subprocess.CompletedProcess[str]:
    # Not this process's pytest: nbval needs its own, without the settings of this one.
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q",
               "--nbval-cell-timeout", "300", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", str(paths[0].parent), *map(str, paths)]
    environment = os.environ | {"CORPUS": "synthetic", "SMOKE": "1", "NSLIB_REPORTS": str(reports)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=reports, check=False)


def _run_every_cell(notebooks: list[Path], reports: Path) -> None:
    """One after the other in one process, with one cache: what one has embedded the next finds."""
    done = _nbval(*notebooks, reports=reports)
    cells = sum(
        c["cell_type"] == "code" for path in notebooks for c in nbformat.read(path, as_version=4)["cells"]
    )
    closing = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert cells > 50 and f"{cells} passed" in closing, closing


@pytest.mark.slow
def test_every_cell_runs_of_the_notebooks_that_beginners_open(tmp_path):
    _run_every_cell([path for path in NOTEBOOKS if path.stem in FIRST], tmp_path)


@pytest.mark.heavy
def test_every_cell_runs_of_the_other_notebooks(tmp_path):
    _run_every_cell([path for path in NOTEBOOKS if path.stem not in FIRST], tmp_path)


@pytest.mark.slow
def test_a_promised_text_that_drifts_fails(tmp_path):
    """The same harness on a notebook whose marked output is one digit off, and on one where it is right."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    paths = [tmp_path / f"drift{digit}.ipynb" for digit in "12"]
    for path in paths:
        text = f"value 0.100{path.stem[-1]}\n"
        promised = v4.new_code_cell('print("value 0.100" + "1")', metadata={"tags": ["nbval-check-output"]},
                                    execution_count=1, outputs=[v4.new_output("stream", name="stdout", text=text)])
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1 + 1"), promised], metadata=kernel), path)
    done = _nbval(*paths, reports=tmp_path)
    assert done.returncode == 1 and "1 failed, 3 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]
    assert "FAILED" in done.stdout and "drift1" not in done.stdout.split("FAILED")[-1]
