"""Figures of the regression and of quality against size: sentence, table and picture say the same, drawn twice."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nslib import plots

EFFECTS = pd.DataFrame(
    [("mine", "embedding", 6.25, 2.0, 10.5, 4), ("other", "embedding", -1.0, -5.2, 3.2, 4),
     ("worst", "embedding", -5.25, -9.5, -1.0, 3), ("easy", "task", 20.0, 15.0, 25.0, 3),
     ("hard", "task", -20.0, -25.0, -15.0, 3)], columns=["term", "kind", "effect", "low", "high", "n"])
COSTS = pd.DataFrame({
    "name": ["big", "small", "twin", "by-hand"], "quality": [0.72, 0.68, 0.40, 0.50], "low": [0.66, 0.61, 0.33, 0.45],
    "high": [0.77, 0.74, 0.47, 0.56], "parameters": [24.5e6, 0.86e6, 0.86e6, np.nan],
    "multiply_adds": [492e6, 14.3e6, 14.3e6, np.nan], "latency_ms": [80.0, 9.5, 9.75, 4.0]})
MAKERS = {"effects": lambda: plots.effects(EFFECTS), "tradeoff": lambda: plots.tradeoff(COSTS)}


@pytest.fixture(scope="module")
def figures():
    return {name: make() for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_has_a_sentence_a_table_and_four_files(name, figures, tmp_path):
    figure = figures[name]
    assert figure.name == name and len(figure.alt) > 40 and figure.alt.endswith(".")
    path = figure.save(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".png", ".svg", ".txt"]
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(figure.table)
    assert MAKERS[name]().render("svg") == figure.render("svg")


@pytest.mark.parametrize("name", MAKERS)
def test_everything_stays_on_the_page_and_axes_have_room(name, figures):
    fig = figures[name].fig
    renderer, page = FigureCanvasAgg(fig).get_renderer(), fig.bbox
    for axis in fig.axes:
        assert axis.get_position().width * fig.get_figwidth() > 1.8
        box = axis.get_tightbbox(renderer)
        assert box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1
    for legend in fig.legends:
        box = legend.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= page.x1


def test_the_sentence_on_effects_has_the_numbers_of_the_table(figures):
    found = figures["effects"]
    assert "3 embeddings, 2 with an interval that leaves out zero: mine +6.2 (2.0 to 10.5)" in found.alt
    assert "2 tasks, 2 with an interval that leaves out zero: easy +20.0" in found.alt
    pd.testing.assert_frame_equal(found.table, EFFECTS)


def dots(axis):
    return [line for line in axis.get_lines() if line.get_marker() == "o"]


def test_dots_lie_where_the_table_says_and_are_filled_where_zero_is_left_out(figures):
    embeddings, tasks = figures["effects"].fig.axes
    assert [float(line.get_xdata()[0]) for line in dots(embeddings)] == [6.25, -1.0, -5.25]
    assert [line.get_markerfacecolor() == "white" for line in dots(embeddings)] == [False, True, False]
    assert [t.get_text() for t in tasks.get_yticklabels()] == ["easy", "hard"]


def test_the_sentence_on_quality_names_every_cost_that_is_known_and_no_other(figures):
    found = figures["tradeoff"]
    assert "big 72.0 % (66.0 to 77.0), 24.5 million parameters, 492 million multiply-adds and 80 ms" in found.alt
    assert "by-hand 50.0 % (45.0 to 56.0), 4 ms" in found.alt and "nan" not in found.alt
    order = [found.alt.index(name) for name in ("big", "small", "by-hand", "twin")]
    assert order == sorted(order)
    assert len(found.fig.axes) == 3 and all(axis.get_xscale() == "log" for axis in found.fig.axes)
    assert [t.get_text() for t in found.fig.legends[0].get_texts()] == COSTS["name"].tolist()


def points(axis):
    return [line for line in axis.get_lines() if len(line.get_xdata()) == 1]


def test_points_lie_where_the_table_says_and_equal_costs_side_by_side(figures):
    parameters, _, latency = figures["tradeoff"].fig.axes
    assert [line.get_ydata()[0] for line in points(latency)] == pytest.approx([72, 68, 40, 50])
    assert [line.get_xdata()[0] for line in points(latency)] == pytest.approx([80, 9.5, 9.75, 4])
    x = [line.get_xdata()[0] for line in points(parameters)]
    assert len(x) == 3 and x[0] == pytest.approx(24.5) and x[1] < 0.86 < x[2] < 0.86 * 1.1


def test_a_cost_that_is_missing_has_no_panel():
    found = plots.tradeoff(COSTS.drop(columns="latency_ms").assign(multiply_adds=np.nan))
    assert len(found.fig.axes) == 1 and list(found.table) == ["name", "quality", "low", "high", "parameters"]
    assert "by-hand 50.0 % (45.0 to 56.0), no cost known" in found.alt


def test_costs_over_many_decades_have_readable_ticks():
    wide = COSTS.assign(parameters=[600e6, 24e6, 0.8e6, 0.02e6])[["name", "quality", "low", "high", "parameters"]]
    fig = plots.tradeoff(wide).fig
    renderer, (axis,) = FigureCanvasAgg(fig).get_renderer(), fig.axes
    low, high = axis.get_xlim()
    shown = [t for t in axis.get_xticklabels() if low <= t.get_position()[0] <= high]
    boxes = [t.get_window_extent(renderer) for t in shown]
    assert len(boxes) >= 3 and all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_without_effects_or_costs_there_is_no_figure():
    with pytest.raises(ValueError, match="there is no effect"):
        plots.effects(EFFECTS[:0])
    with pytest.raises(ValueError, match="no embedding has a cost"):
        plots.tradeoff(COSTS[["name", "quality", "low", "high"]])


def test_another_quality_and_another_latency_are_called_what_they_are():
    found = plots.tradeoff(COSTS, what="share of variance in %", of="a patch")
    assert found.alt.startswith("Share of variance in % against million parameters")
    assert found.fig.axes[2].get_xlabel() == "milliseconds for a patch"
    assert found.fig.axes[0].get_ylabel() == "share of variance in %, with its interval"
