"""Notes put together, and tables for LaTeX."""

import re

import fabricated
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nslib.report import latex, notes, tables

NAMES = ("logmel", "mfcc", "trill-mini-top")


def test_notes_that_differ_in_name_and_numbers_become_one():
    said = ["within speakers: style: logmel: 34 of 240 fits ended, as the authors' do.",
            "within speakers: style: mfcc: 61 of 240 fits ended, as the authors' do.",
            "style: A caution: read it.", "style: A caution: read it.", "other: mfcc: 3 of 9 fits failed.",
            "within speakers: style: trill-mini-top: 1 of 240 fits ended, as the authors' do."]
    assert notes.grouped(said, NAMES) == [
        "within speakers: style: … of 240 fits ended, as the authors' do: logmel 34, mfcc 61, trill-mini-top 1.",
        "style: A caution: read it.", "other: mfcc: 3 of 9 fits failed."]


def test_equal_notes_name_the_embeddings_only():
    assert notes.grouped([f"t: {name}: 2 clips left out." for name in NAMES], NAMES) == [
        "t: 2 clips left out: logmel, mfcc, trill-mini-top."]


@given(st.lists(st.tuples(st.sampled_from(["a", "within speakers: b"]), st.sampled_from(NAMES), st.integers(0, 99),
                          st.integers(0, 9)), max_size=12))
def test_nothing_that_notes_say_is_lost(given):
    said = [f"{where}: {name}: {one} of {other}.5 clips." for where, name, one, other in given]
    together = " ".join(notes.grouped(said, NAMES))
    for where, name, one, _ in given:
        assert where in together and name in together and re.search(rf"\b{one}\b", together)


def test_the_latex_table_has_every_score_and_marks_best_and_tied():
    table = tables.result_table(fabricated.rows(), fabricated.predictions())
    text = latex.results(table)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = text[text.index("tabular}{") + 9:].split("}")[0]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)} == {1 + len(fabricated.TASKS)}
    for cell in table["cells"]:
        assert f"{100 * cell['value']:.1f}" in text
    standings = [cell["standing"] for cell in table["cells"]]
    assert text.count(r"\textbf") == standings.count("best") and text.count(r"\underline") == standings.count("tied")
    assert text.count("{") == text.count("}") and text.index(r"\toprule") < text.index(r"\bottomrule")
    assert latex.results(tables.result_table(fabricated.rows().iloc[:0])) == ""


@pytest.mark.parametrize(("text", "written"), [
    ("a_b & 5 %", r"a\_b \& 5 \%"), ("x<y>z", r"x\textless{}y\textgreater{}z"), ("1–2 × ≈", r"1--2 $\times$ $\approx$"),
    ("\\", r"\textbackslash{}"), ("{$#^~}", r"\{\$\#\textasciicircum{}\textasciitilde{}\}")])
def test_what_latex_takes_for_commands_is_escaped(text, written):
    assert latex.escaped(text) == written
    table = latex.words("A caption\nof two lines, 5 %", ["a_b"], [[text]], "X")
    assert written + r" \\" in table
    assert table.startswith("% A caption of two lines, 5 %\n\\begin{tabularx}{\\textwidth}{X}")
