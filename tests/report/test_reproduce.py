"""`make reproduce` in small: results, a notebook, a page; what fails is said and the rest goes on."""

from __future__ import annotations

import nbformat
import pytest

from nslib import config
from nslib.datasets import tasks
from nslib.errors import UnknownName
from nslib.report.reproduce import prepare_inputs, reproduce_all

SETTINGS = {"corpus": "synthetic", "tasks": "word-synthetic", "embeddings": "logmel", "smoke": True}


def write_notebook(folder, name, line):
    """The smallest notebook that keeps the contract."""
    code, prose = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [prose("# A notebook"), code('corpus = "real"  # or synthetic', metadata={"tags": ["parameters"]}),
             prose("Its one thought."), code(line)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(config, "notebooks_dir", lambda: tmp_path / "notebooks")
    return tmp_path


def test_results_notebook_and_page_then_what_is_new_only(kit):
    write_notebook(kit / "notebooks", "01_good", "print(corpus)")
    outcome = reproduce_all(config.load_params(SETTINGS))
    assert outcome.ok, outcome.text
    assert "1 results, 1 of 1 notebooks run now" in outcome.text
    page = (kit / "reports" / "index.html").read_text()
    for word in ("word-synthetic", "logmel", "numbers mean nothing", "01_good"):
        assert word in page
    assert "synthetic" in nbformat.read(kit / "reports" / "notebooks" / "01_good.ipynb", 4).cells[-1].outputs[0].text
    write_notebook(kit / "notebooks", "02_bad", "print(corpus, 1 / 0)")
    again = reproduce_all(config.load_params(SETTINGS))
    assert not again.ok and "02_bad failed" in again.text and "ZeroDivisionError" in again.text
    assert "0 of 2 notebooks run now" in again.text
    assert "ZeroDivisionError" in (kit / "reports" / "index.html").read_text()


def test_recordings_and_embeddings_that_cannot_be_had_are_said_and_no_failure(kit, monkeypatch):
    for name in set(tasks.REGISTRY) - {"speaker-fillets", "word-synthetic"}:
        monkeypatch.delitem(tasks.REGISTRY, name)
    outcome = reproduce_all(config.load_params({"corpus": "real", "embeddings": "logmel,speech-embedding",
                                                "smoke": True}))
    assert outcome.ok and "word-synthetic x speech-embedding: NSLIB_OFFLINE" in outcome.text
    page = (kit / "reports" / "index.html").read_text()
    assert "No recorded speech could be had" in page and "NSLIB_OFFLINE" in page


def test_prepare_says_what_is_ready_and_what_is_missing(kit):
    outcome = prepare_inputs(config.load_params({**SETTINGS, "embeddings": "logmel,resemblyzer"}))
    assert not outcome.ok
    assert "word-synthetic: " in outcome.text and "logmel: ready" in outcome.text
    assert "resemblyzer: " in outcome.text and "is not available" in outcome.text


def test_unknown_names_stop_before_anything_is_written(kit):
    with pytest.raises(UnknownName, match="word-synthetic"):
        reproduce_all(config.load_params({**SETTINGS, "tasks": "wrd-synthetic"}))
    assert not (kit / "reports").exists()
