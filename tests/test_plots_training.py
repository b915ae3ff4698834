"""Learning curves: the sentence and the table say what the rows say; the reference stays behind."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pandas as pd
import pytest

from nslib import plots
from nslib.errors import UnknownName
from nslib.plots.figure import MUTED

FIGURES = ("loss", "accuracy", "active", "spread")


def curve(last: int, better: float) -> pd.DataFrame:
    """Three looks; nothing is learnt before the first."""
    rows = [(step, part, figure, better * (1 + step / last) + number)
            for step in (0, last // 2, last) for part in ("train", "held-out") if step or part == "held-out"
            for number, figure in enumerate(FIGURES)]
    return pd.DataFrame(rows, columns=["step", "part", "figure", "value"])


SHORT, LONG = curve(40, 0.1), curve(1000, 0.2)


@pytest.fixture(scope="module")
def both():
    return plots.curve(SHORT, LONG)


def test_it_has_a_sentence_a_table_and_four_files(both, tmp_path):
    path = both.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"curve.{e}" for e in ("csv", "png", "svg", "txt")]
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert plots.curve(SHORT, LONG).render("svg") == both.render("svg")


def test_the_table_is_both_curves(both):
    assert len(both.table) == len(SHORT) + len(LONG)
    for run, given in (("this run", SHORT), ("full run", LONG)):
        own = both.table[both.table["run"] == run].drop(columns="run").reset_index(drop=True)
        pd.testing.assert_frame_equal(own[list(given)], given)


def test_the_sentence_says_where_each_line_begins_and_ends(both):
    assert both.alt.startswith("Learning curves (this run, 40 steps and full run, 1,000 steps). Loss: held-out 0.1 to "
                               "0.2 (this run), train 0.15 to 0.2 (this run), held-out 0.2 to 0.4 (full run)")
    assert "Triplets right: held-out 1.1 to 1.2 (this run)" in both.alt and both.alt.endswith(".")
    assert "full run" not in plots.curve(SHORT).alt


def test_the_lines_are_the_rows_and_the_reference_lies_behind(both):
    titles = [axis.get_title("left") for axis in both.fig.axes]
    assert titles == ["loss", "triplets right", "anchors with a loss", "mean squared distance of clips"]
    lines = both.fig.axes[1].get_lines()
    assert [line.get_color() == MUTED for line in lines] == [True, True, False, False]
    assert {line.get_marker() for line in lines[2:]} == {"o", "s"}
    held_out = SHORT[(SHORT["part"] == "held-out") & (SHORT["figure"] == "accuracy")]
    assert list(lines[2].get_xdata()) == list(held_out["step"])
    assert list(lines[2].get_ydata()) == pytest.approx(list(held_out["value"]))
    assert len(both.fig.legends[0].get_texts()) == 4


@pytest.mark.parametrize("figures", [("loss",), ("loss", "spread", "active")])
def test_any_number_of_panels(figures):
    made = plots.curve(SHORT, figures=figures)
    assert sum(axis.axison for axis in made.fig.axes) == len(figures)
    assert set(made.table["figure"]) == set(figures)
    assert made.fig.axes[len(figures) - 1].get_xlabel() == "step"


def test_what_is_not_there_is_not_drawn():
    with pytest.raises(UnknownName, match="accuracy"):
        plots.curve(SHORT, figures=("acuracy",))
    with pytest.raises(ValueError, match="there is no curve"):
        plots.curve(SHORT[:0])
