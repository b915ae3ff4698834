"""`make reproduce` in small: results, a notebook, a page; what fails is said and the rest goes on."""

import sys

import nbformat
import pytest

from nslib import config
from nslib.datasets import tasks
from nslib.report.notebooks import read_last_runs
from nslib.report.reproduce import reproduce_all

SETTINGS = {"corpus": "synthetic", "tasks": "word-synthetic", "embeddings": "logmel", "smoke": True}


def write_notebook(folder, name, line):
    code, prose = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [prose("# A notebook"), code('corpus = "real"  # or synthetic', metadata={"tags": ["parameters"]}),
             prose("Its one thought."), code(line)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(config, "notebooks_dir", lambda: tmp_path / "notebooks")
    monkeypatch.setattr("nslib.report.html._draw_figures", lambda *_: [])
    return tmp_path


def test_results_notebook_and_page_then_what_is_new_only(kit):
    write_notebook(kit / "notebooks", "01_good", "import sys\nprint(corpus, sys.executable)")
    outcome = reproduce_all(config.load_params(SETTINGS))
    assert outcome.ok and "1 results, 1 of 1 notebooks run now" in outcome.text
    page = (kit / "reports" / "index.html").read_text()
    assert all(word in page for word in ("word-synthetic", "logmel", "numbers mean nothing", "01_good"))
    executed = nbformat.read(kit / "reports" / "notebooks" / "01_good.ipynb", 4).cells[-1].outputs[0].text
    assert executed == f"synthetic {sys.executable}\n"  # the parameter was given, and the kernel is of this Python
    write_notebook(kit / "notebooks", "02_bad", "print(corpus, 1 / 0)\nprint()")
    write_notebook(kit / "notebooks", "03_good", "print(corpus)")
    again = reproduce_all(config.load_params(SETTINGS))
    assert not again.ok and "1 of 3 notebooks run now" in again.text
    assert "02_bad failed: cell [3] ('print(corpus, 1 / 0)') failed: ZeroDivisionError" in again.text
    assert all("ZeroDivisionError" in (kit / "reports" / page).read_text()
               for page in ("index.html", "notebooks/02_bad.html"))
    assert [run.status for run in read_last_runs()] == ["ran", "failed", "ran"]


def test_recordings_and_embeddings_that_cannot_be_had_are_said_and_no_failure(kit, monkeypatch):
    for name in set(tasks.REGISTRY) - {"speaker-fillets", "word-synthetic"}:
        monkeypatch.delitem(tasks.REGISTRY, name)
    settings = {"corpus": "real", "embeddings": "logmel,speech-embedding", "smoke": True}
    outcome = reproduce_all(config.load_params(settings))
    assert outcome.ok and "word-synthetic x speech-embedding: NSLIB_OFFLINE" in outcome.text
    assert "No recorded speech could be had" in (kit / "reports" / "index.html").read_text()
