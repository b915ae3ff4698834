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
FIRST = {"00_start_here", "01_noss_tasks", "02_frontend", "05_benchmark", "10_listen", "80_your_dataset",
         "81_your_embedding"}
OTHERS = {"03_train_trill", "04_distill", "06_personalisation", "07_finetune", "08_what_matters", "09_how_sure"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_keeps_the_contract_its_links_lead_somewhere_and_it_begins_and_ends_as_all_do(path):
    assert notebook_rules.check_source(path) == []
    cells = nbformat.read(path, as_version=4)["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(rf"{path.stem.replace('_', '-')}-\d\d", i) for i in ids)
    prose = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert all((path.parent / name).exists() for name in re.findall(r"\]\(([\w-]+\.ipynb)\)", prose))
    headings = [re.sub(r"^#+\s*[\d.]*\s*", "", line) for line in prose.splitlines() if line.startswith("#")]
    assert cells[0]["source"].startswith("# ") and headings[-2:] == ["Try it", "What we saw"]


def test_all_notebooks_are_there_their_first_cells_are_written_and_some_text_is_promised():
    assert {path.stem for path in NOTEBOOKS} >= FIRST | OTHERS
    assert colab.refresh_notebooks(write=False) == [], "run: python -m nslib colab cells"
    assert any("nbval-check-output" in path.read_text() for path in NOTEBOOKS)


def run_nbval(paths: list[Path], reports: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run notebooks one after the other, with one cache: what one has embedded the next finds."""
    # Not this process's pytest: nbval needs its own, without the settings of this one.
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "--color=no",
               "--nbval-cell-timeout", "300", "-p", "no:cacheprovider", "-c", os.devnull,
               "--rootdir", str(paths[0].parent), *options, *map(str, paths)]
    environment = os.environ | {"CORPUS": "synthetic", "SMOKE": "1", "NSLIB_REPORTS": str(reports)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=reports, check=False)


@pytest.mark.parametrize("first", [pytest.param(True, marks=pytest.mark.slow, id="that beginners open"),
                                   pytest.param(False, marks=pytest.mark.heavy, id="the others")])
def test_every_cell_runs(tmp_path, first):
    paths = [path for path in NOTEBOOKS if (path.stem in FIRST) == first]
    # after a cell that fails all others of its notebook would, and hide it
    done = run_nbval(paths, tmp_path, "--exitfirst")
    cells = sum(c["cell_type"] == "code" for path in paths for c in nbformat.read(path, as_version=4)["cells"])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert cells > 50 and f"{cells} passed" in done.stdout.splitlines()[-1], done.stdout[-500:]


def test_at_least_forty_outputs_are_promised_and_one_digit_that_drifts_fails(tmp_path):
    cells = [c for path in NOTEBOOKS for c in nbformat.read(path, as_version=4)["cells"]]
    promised = [c for c in cells if "nbval-check-output" in c["metadata"].get("tags", [])]
    assert len(promised) >= 40 and all(cell["outputs"] for cell in promised)
    for digit, status in (("1", 0), ("2", 1)):
        cell = v4.new_code_cell('print("value 0.100" + "1")', metadata={"tags": ["nbval-check-output"]},
                                execution_count=1)
        cell["outputs"] = [v4.new_output("stream", name="stdout", text=f"value 0.100{digit}\n")]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        path = tmp_path / f"drift{digit}.ipynb"
        nbformat.write(v4.new_notebook(cells=[cell], metadata=kernel), path)
        done = run_nbval([path], tmp_path)
        assert done.returncode == status, done.stdout[-3000:] + done.stderr[-1000:]
