"""`make reproduce` in small: results, a notebook, a page; what fails is said and the rest goes on."""

from __future__ import annotations

import nbformat
import pytest

from nslib import measure, params, reproduction
from nslib.errors import Unavailable, UnknownName

SETTINGS = {"corpus": "synthetic", "tasks": "word-synthetic", "embeddings": "logmel", "smoke": True}


def notebook(folder, name, line):
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
    monkeypatch.setattr(params, "notebooks_dir", lambda: tmp_path / "notebooks")
    notebook(tmp_path / "notebooks", "01_good", "print(corpus)")
    return tmp_path


def test_results_notebook_and_page_then_nothing_left_to_do(kit):
    outcome = reproduction.run(params.load(SETTINGS))
    assert outcome.ok, outcome.text
    assert "1 results, 1 of 1 notebooks run now" in outcome.text
    page = (kit / "reports" / "index.html").read_text()
    for word in ("word-synthetic", "logmel", "numbers mean nothing", "01_good"):
        assert word in page
    assert "synthetic" in nbformat.read(kit / "reports" / "notebooks" / "01_good.ipynb", 4).cells[-3].outputs[0].text
    again = reproduction.run(params.load(SETTINGS))
    assert again.ok and "0 of 1 notebooks run now" in again.text


def test_a_failing_notebook_is_named_and_the_report_is_still_there(kit):
    notebook(kit / "notebooks", "02_bad", "print(corpus, 1 / 0)")
    outcome = reproduction.run(params.load(SETTINGS))
    assert not outcome.ok
    assert "02_bad failed" in outcome.text and "ZeroDivisionError" in outcome.text
    assert "ZeroDivisionError" in (kit / "reports" / "index.html").read_text()
    assert (kit / "reports" / "notebooks" / "01_good.ipynb").exists()


def test_an_embedding_that_cannot_be_had_is_not_run_and_no_failure(kit):
    outcome = reproduction.run(params.load({**SETTINGS, "embeddings": "logmel,speech-embedding"}))
    assert outcome.ok
    assert "not run: word-synthetic x speech-embedding: NSLIB_OFFLINE" in outcome.text
    assert "NSLIB_OFFLINE" in (kit / "reports" / "index.html").read_text()


def test_unknown_names_stop_before_anything_is_written(kit):
    with pytest.raises(UnknownName, match="word-synthetic"):
        reproduction.run(params.load({**SETTINGS, "tasks": "wrd-synthetic"}))
    assert not (kit / "reports").exists()


def test_recorded_speech_that_cannot_be_had_gives_way_to_synthetic(kit, monkeypatch):
    monkeypatch.setattr(measure, "SMOKE_EMBEDDINGS", ("logmel",))
    monkeypatch.setattr(measure, "SMOKE_PROBES", ("LDA_LSQR_AUTO",))
    outcome = reproduction.run(params.load({"corpus": "real", "smoke": True}))
    assert outcome.ok, outcome.text
    page = (kit / "reports" / "index.html").read_text()
    assert "No recorded speech could be had" in page and "speaker-synthetic" in page


def test_prepare_says_what_is_ready_and_what_is_missing(kit):
    outcome = reproduction.prepare(params.load({**SETTINGS, "embeddings": "logmel,resemblyzer"}))
    assert not outcome.ok
    assert "word-synthetic: " in outcome.text and "logmel: ready" in outcome.text
    assert str(Unavailable("package Resemblyzer==0.1.4", "", ""))[:20] in outcome.text
