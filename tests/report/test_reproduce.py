"""`make reproduce` in small: results, a notebook, a page; what fails is said and the rest goes on."""

from __future__ import annotations

import nbformat
import pytest

from nslib import config
from nslib.errors import UnknownName
from nslib.evaluation import benchmark
from nslib.report.reproduce import prepare_inputs, reproduce_all

SETTINGS = {"corpus": "synthetic", "tasks": "word-synthetic", "embeddings": "logmel", "smoke": True}


def write_notebook(folder, name, line):
    """The smallest notebook that keeps the contract."""
    cells = [
        nbformat.v4.new_markdown_cell("# A notebook\n\nIt shows one thing."),
        nbformat.v4.new_code_cell('corpus = "real"  # or synthetic', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_markdown_cell("Its one thought."),
        nbformat.v4.new_code_cell(line),
        nbformat.v4.new_markdown_cell("## Try it\n\nChange it."),
        nbformat.v4.new_markdown_cell("## What we saw\n\nNothing."),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{name}.ipynb")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(config, "notebooks_dir", lambda: tmp_path / "notebooks")
    write_notebook(tmp_path / "notebooks", "01_good", "print(corpus)")
    return tmp_path


def test_results_notebook_and_page_then_what_is_new_only(kit):
    outcome = reproduce_all(config.load_params(SETTINGS))
    assert outcome.ok, outcome.text
    assert "1 results, 1 of 1 notebooks run now" in outcome.text
    page = (kit / "reports" / "index.html").read_text()
    for word in ("word-synthetic", "logmel", "numbers mean nothing", "01_good"):
        assert word in page
    assert "synthetic" in nbformat.read(kit / "reports" / "notebooks" / "01_good.ipynb", 4).cells[-3].outputs[0].text
    write_notebook(kit / "notebooks", "02_bad", "print(corpus, 1 / 0)")
    again = reproduce_all(config.load_params(SETTINGS))
    assert not again.ok and "02_bad failed" in again.text and "ZeroDivisionError" in again.text
    assert "1 of 2 notebooks run now" not in again.text and "0 of 2 notebooks run now" in again.text
    assert "ZeroDivisionError" in (kit / "reports" / "index.html").read_text()


def test_an_embedding_that_cannot_be_had_is_not_run_and_no_failure(kit):
    outcome = reproduce_all(config.load_params({**SETTINGS, "embeddings": "logmel,speech-embedding"}))
    assert outcome.ok and "not run: word-synthetic x speech-embedding: NSLIB_OFFLINE" in outcome.text
    assert "NSLIB_OFFLINE" in (kit / "reports" / "index.html").read_text()


def test_recorded_speech_that_cannot_be_had_gives_way_to_synthetic(kit, monkeypatch):
    monkeypatch.setattr(benchmark, "SMOKE_EMBEDDINGS", ("logmel",))
    monkeypatch.setattr(benchmark, "SMOKE_PROBES", ("LDA_LSQR_AUTO",))
    (kit / "notebooks" / "01_good.ipynb").unlink()
    outcome = reproduce_all(config.load_params({"corpus": "real", "smoke": True}))
    assert outcome.ok, outcome.text
    page = (kit / "reports" / "index.html").read_text()
    assert "No recorded speech could be had" in page and "speaker-synthetic" in page


def test_prepare_says_what_is_ready_and_what_is_missing(kit):
    outcome = prepare_inputs(config.load_params({**SETTINGS, "embeddings": "logmel,resemblyzer"}))
    assert not outcome.ok
    assert "word-synthetic: " in outcome.text and "logmel: ready" in outcome.text
    assert "resemblyzer: " in outcome.text and "is not available" in outcome.text


def test_unknown_names_stop_before_anything_is_written(kit):
    with pytest.raises(UnknownName, match="word-synthetic"):
        reproduce_all(config.load_params({**SETTINGS, "tasks": "wrd-synthetic"}))
    assert not (kit / "reports").exists()
