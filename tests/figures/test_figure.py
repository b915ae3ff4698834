"""Every figure has a sentence and a table, stays on its page, and is drawn the same twice; one of nothing says so."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from figure_examples import ANSWERS, COSTS, LEDGER, MAKERS, NOISY, ROWS, SHORT, SURE, draw
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nslib import figures
from nslib.errors import UnknownName
from nslib.figures.figure import Figure, make_axes

EMPTY = {name: (make, make.__defaults__[0][:0]) for name, make in MAKERS.items() if make.__defaults__}
NOTHING = {**EMPTY, "unselected": (MAKERS["result_heatmap"], ROWS.assign(selected=False)),
           "stored": (MAKERS["embedding_cost"], LEDGER.assign(computed=0)),
           "unknown costs": (MAKERS["tradeoff"], COSTS.assign(parameters=0, multiply_adds=float("nan"), latency_ms=0)),
           "clean only": (MAKERS["robustness"], NOISY[:1]), "no run": (MAKERS["curve"], None),
           "no map": (figures.embedding_map, None), "no regression": (MAKERS["effects"], None)}


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_has_a_sentence_and_a_table_and_stays_on_its_page(name):
    figure = draw(name)
    assert figure.name == name and len(figure.table) and len(figure.alt) > 40 and figure.alt.endswith(".")
    assert "nan" not in figure.alt
    renderer, page = FigureCanvasAgg(figure.fig).get_renderer(), figure.fig.bbox
    for axis in [axis for axis in figure.fig.axes if axis.get_visible() and axis.get_label() != "<colorbar>"]:
        assert axis.get_position().width * figure.fig.get_figwidth() > 1.5
        for artist in filter(None, (axis, axis.get_legend())):
            box = artist.get_tightbbox(renderer)
            assert box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1
    for legend in figure.fig.legends:
        box = legend.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1


@pytest.mark.parametrize("name", ["ties", "choice", "split_audit", "personalisation", "embedding_map", "log_mel"])
def test_the_same_rows_give_the_same_bytes(name):
    figure, again = draw(name), MAKERS[name]()
    assert again.alt == figure.alt and again.table.equals(figure.table) and again.render("svg") == figure.render("svg")


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_was_run_a_figure_says_so(name):
    make, nothing = NOTHING[name]
    figure = make(nothing)
    assert re.match(r"Nothing to show: \w.{9,}\.$", figure.alt) and figure.table.empty
    (text,) = figure.fig.axes[0].texts
    assert text.get_text().replace("\n", " ") == figure.alt
    assert text.get_window_extent().x1 <= figure.fig.bbox.x1


def test_what_is_asked_for_by_name_and_not_there_is_an_error():
    for wrong, message in [
        (lambda: figures.choice(ROWS, "language-five", "nobody"), "no scores of 'nobody' on 'language-five'"),
        (lambda: figures.recall(ROWS, ANSWERS, "style-espeak", "nobody"), "no predictions of 'nobody'"),
        (lambda: figures.ties(ROWS, ANSWERS, "nothing"), "no answers to 'nothing'"),
        (lambda: figures.calibration(SURE, "one", ["e9"]), "no answers of e9 to 'one'"),
        (lambda: figures.tradeoff(COSTS[["name", "quality", "low", "high"]]), "no embedding has a cost: give one of"),
        (lambda: figures.robustness(NOISY.assign(task=list("ab") * 6)), "curves of one task; there are 2 in 12 rows")]:
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(UnknownName, match="accuracy"):
        figures.curve(SHORT, figures=("acuracy",))


@pytest.mark.parametrize("figure", [draw("ties"), MAKERS["ties"](ROWS[:0])], ids=["scores", "nothing"])
def test_a_figure_is_kept_as_four_files(figure, tmp_path):
    assert figure.save(tmp_path / "new") == tmp_path / "new" / "ties.svg"
    content = {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert sorted(content) == [f"ties.{ending}" for ending in ("csv", "png", "svg", "txt")]
    assert ElementTree.fromstring(content["ties.svg"]).tag.endswith("svg") and b"dc:date" not in content["ties.svg"]
    assert content["ties.png"].startswith(b"\x89PNG") and content["ties.txt"].decode() == figure.alt + "\n"
    table = pd.read_csv(tmp_path / "new" / "ties.csv")
    assert list(table) == list(figure.table) and len(table) == len(figure.table)


def test_shown_in_a_notebook_it_is_html_with_its_sentence_and_markup_in_a_name_stays_text():
    shown = draw("confusion")._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"} and shown["text/plain"] == draw("confusion").alt
    assert re.search(r'(?s)<img alt="Confusions of logmel on language-five: [^"]+".*<table', shown["text/html"])
    odd = Figure("x", make_axes(1, 1)[0], 'a "quoted" <b> name', pd.DataFrame({"a": ["<script>"]}))
    shown = odd._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="no alternative text"):
        Figure("x", make_axes(1, 1)[0], " ", pd.DataFrame())
    assert "<script>" not in shown and "<b>" not in shown and 'alt="a &quot;quoted&quot;' in shown


def test_nothing_is_left_behind_in_matplotlib():
    before = dict(mpl.rcParams)
    MAKERS["optimism"]().render("png")
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []
