"""The result table says where each number comes from; the tables for LaTeX say the same."""

from __future__ import annotations

import re
import shlex

import fabricated
import pandas as pd
import pytest

from nslib import config
from nslib.figures import scores as figures_scores
from nslib.report import latex, tables


@pytest.fixture(scope="module")
def table():
    return tables.build_result_table(fabricated.rows(), fabricated.predictions())


def test_best_and_tied_of_the_table_are_those_of_the_figures(table):
    shown = pd.Series({(c["task"], c["embedding"]): c["standing"] for c in table["cells"]})
    scores = figures_scores.select_scores(fabricated.rows())
    expected = figures_scores.mark_best(scores, fabricated.predictions())
    expected.index = pd.MultiIndex.from_frame(scores[["task", "embedding"]], names=[None, None])
    pd.testing.assert_series_equal(shown.sort_index(), expected.sort_index(), check_names=False)


def test_facts_name_everything_that_decides_a_number():
    rows = fabricated.rows()
    facts = {"data_hash": "d1", "split_hash": "d2", "weights_hash": "d3", "lock_hash": "d4", "code_revision": "d5",
             "seed": 7, "low": 0.5, "high": 0.75, "notes": "a note"}
    cell = tables.build_result_table(rows[rows["task"] == "speaker-fillets"].assign(**facts))["cells"][0]
    shown = dict(cell["facts"])
    assert list(shown)[:2] == ["Test score", "Interval"] and shown["Notebook"] == "05_benchmark"
    for name, value in {"Data": "d1 (recorded speech)", "Split": "d2 (by level", "Weights": "d3", "Lock file": "d4",
                        "Code": "d5", "Seed": "7", "When": "2026-01-02 03:04:05 UTC", "Chosen probe": cell["probe"],
                        "Interval": "50.0 to 75.0 % (95 % interval), bootstrap over speakers, 1000 resamples, seed 7",
                        "Test set": "120 clips, 6 speakers, 4 classes", "Best on test": "optimistic", "Notes": "a note",
                        "Vector": "96 numbers", "Converged": "yes", "Result key": cell["key"][:12]}.items():
        assert value in shown[name], name


@pytest.mark.parametrize(("changes", "smoke", "said"), [
    ({"task": "speaker-fillets", "embedding": "mfcc"}, False, "reproduce speaker-fillets/mfcc"),
    ({"task": "speaker-fillets", "embedding": "mfcc", "seed": 3}, True,
     "reproduce speaker-fillets/mfcc --seed 3 --smoke"),
    ({"task": "savee", "embedding": "trill-layer19"}, False, "reproduce savee/trill-layer19 --profile paper"),
    ({"task": "language-5", "embedding": "trill-mini-finetuned", "probe": "finetuned-mean"}, False,
     "reproduce language-5/trill-mini-finetuned"),
    ({"task": "my words", "embedding": "mfcc"}, False, "benchmark mfcc --dataset FOLDER"),
    ({"task": "language-5", "embedding": "my own"}, False, "benchmark FILE --tasks language-5"),
])
def test_the_command_is_one_that_the_shell_takes(changes, smoke, said):
    row = fabricated.rows().iloc[0].to_dict() | changes
    command = tables.write_command(row, config.load_params({"smoke": smoke}))
    assert command == f"python -m nslib {said}" and shlex.split(command)[2] == "nslib"


def test_the_latex_table_has_every_score_and_marks_best_and_tied(table):
    text = latex.format_results(table)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = text[text.index("tabular}{") + 9:].split("}")[0]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)} == {1 + len(fabricated.TASKS)}
    assert all(f"{100 * cell['value']:.1f}" in text for cell in table["cells"])
    standings = [cell["standing"] for cell in table["cells"]]
    assert text.count(r"\textbf") == standings.count("best") and text.count(r"\underline") == standings.count("tied")
    assert text.count("{") == text.count("}") and text.index(r"\toprule") < text.index(r"\bottomrule")
    assert latex.format_results(tables.build_result_table(fabricated.rows().iloc[:0])) == ""


@pytest.mark.parametrize(("text", "written"), [
    ("a_b & 5 %", r"a\_b \& 5 \%"), ("x<y>z", r"x\textless{}y\textgreater{}z"), ("1–2 × ≈", r"1--2 $\times$ $\approx$"),
    ("\\", r"\textbackslash{}"), ("{$#^~}", r"\{\$\#\textasciicircum{}\textasciitilde{}\}")])
def test_what_latex_takes_for_commands_is_escaped(text, written):
    table = latex.format_words("A caption\nof two lines, 5 %", ["a_b"], [[text]], "X")
    assert written + r" \\" in table
    assert table.startswith("% A caption of two lines, 5 %\n\\begin{tabularx}{\\textwidth}{X}")
