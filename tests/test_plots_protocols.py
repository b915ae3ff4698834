"""Figures of the protocols: the sentence and the table say what the rows say, and are drawn the same twice."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nslib import plots
from nslib.protocols.material import blank
from nslib.schema import PROTOCOL_ROWS

TASKS, EMBEDDINGS = {"moods": "real", "tones-synthetic": "synthetic"}, ("mfcc", "resemblyzer", "untrained")
VALUES = {"mfcc": 0.7, "resemblyzer": 0.8, "untrained": 0.4}
ORIGIN = ("data_hash", "split_hash", "weights_hash", "lock_hash", "code_revision")


def row(task, embedding, protocol, value, shots=0, **facts):
    """A row over all splits."""
    usual = {"key": "k", "dim": 4, "seed": 0, "probe": "LDA_LSQR_AUTO", "l2": False, "speaker_norm": False, "splits": 5,
             "spread": 0.02, "n": 60, "n_train": 12, "n_speakers": 10, "shared_speakers": 10, "classes": 4,
             "chance": 0.25, "low": value - 0.1, "high": value + 0.1, "interval_by": "speaker", "level": 0.95,
             "selected": True, "notes": "", "when": "2026-01-01T00:00:00+00:00", **dict.fromkeys(ORIGIN, "0")}
    return blank(task=task, corpus_kind=TASKS[task], embedding=embedding, protocol=protocol, value=value,
                 validation=value, shots=shots, **usual | facts)


def table(rows):
    return pd.DataFrame(rows)[[column.name for column in PROTOCOL_ROWS]]


def within(*shots):
    return table([row(t, e, "within-speaker", VALUES[e] - (0.1 * (3 - n) if n else 0), n, n_train=4 * n or 14)
                  for t in TASKS for e in EMBEDDINGS for n in shots or (0,)])


def switched():
    away = {"by-speaker": 0.0, "by-speaker-8-shot": -0.1, "by-clip": 0.15, "by-clip-8-shot": -0.05}
    return table([row(t, e, p, VALUES[e] + d, 8 if "shot" in p else 0, shared_speakers=0 if "speaker" in p else 9)
                  for t in TASKS for e in EMBEDDINGS for p, d in away.items()])


def strangers():
    """Result rows of the benchmark; the untrained network was not run."""
    return pd.DataFrame([{
        "task": t, "corpus_kind": kind, "embedding": e, "metric": "accuracy", "value": VALUES[e] - 0.05, "low": 0.3,
        "high": 0.9, "chance": 0.3, "selected": True, "split": "test", "when": "2026", "seed": 0}
        for t, kind in TASKS.items() for e in EMBEDDINGS[:2]])


MAKERS = {"personalisation": lambda: plots.personalisation(within(), strangers()),
          "protocol_switch": lambda: plots.protocol_switch(switched()),
          "learning": lambda: plots.learning(within(1, 2, 0))}


@pytest.fixture(scope="module")
def figures():
    return {name: make() for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_has_a_sentence_a_table_and_four_files(name, figures, tmp_path):
    figure = figures[name]
    assert figure.name == name and len(figure.table) and len(figure.alt) > 40 and figure.alt.endswith(".")
    path = figure.save(tmp_path)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".png", ".svg", ".txt"]
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(figure.table)
    assert MAKERS[name]().render("svg") == figure.render("svg")


@pytest.mark.parametrize("name", MAKERS)
def test_axes_have_room_and_legends_stay_on_the_page(name, figures):
    fig = figures[name].fig
    renderer = FigureCanvasAgg(fig).get_renderer()
    page = fig.bbox
    for axis in fig.axes:
        assert axis.get_position().width * fig.get_figwidth() > 2
        assert axis.get_legend() is None or page.x1 >= axis.get_legend().get_window_extent(renderer).x1
    for legend in fig.legends:
        box = legend.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1


def test_the_personal_sentence_has_the_numbers_of_the_rows(figures):
    found = figures["personalisation"]
    assert ("moods, 10 speakers: resemblyzer with 80 % (interval 70 to 90, chance 25) to untrained with 40 %; higher "
            "than on new speakers for 2 of 2") in found.alt
    assert "tones-synthetic, 10 speakers" in found.alt
    assert list(found.table["embedding"]) == ["resemblyzer", "mfcc", "untrained"] * 2
    assert found.table["value_new"].isna().tolist() == [False, False, True] * 2
    alone = plots.personalisation(within())
    assert "new speakers" not in alone.alt and alone.table["value_new"].isna().all()


def test_scores_by_clip_are_called_what_they_are(figures):
    found = figures["protocol_switch"]
    assert found.alt.endswith("Scores by clip are no results.")
    assert "mean of 3 embeddings: by-clip 78 %, by-speaker 63 %" in found.alt
    assert "dividing by clip instead of by speaker changes +15 points" in found.alt
    labels = [text.get_text() for text in found.fig.legends[0].get_texts()]
    assert sum("careless" in label for label in labels) == 2 and any("8 clips a class" in label for label in labels)
    assert len(found.table) == 24 and set(found.table["shared_speakers"]) == {0, 9}


def test_learning_names_the_highest_for_every_number_of_clips(figures):
    found = figures["learning"]
    for clips, percent in ((4, 60), (8, 70), (14, 80)):
        assert f"with {clips} clips resemblyzer at {percent} % is highest" in found.alt
    lines = [line.get_label() for line in found.fig.axes[0].get_lines()]
    assert lines[:3] == ["resemblyzer", "mfcc", "untrained"]
    drawn = np.concatenate([line.get_ydata() for line in found.fig.axes[0].get_lines()[:3]])
    assert sorted(drawn) == pytest.approx(sorted(100 * found.table[found.table["task"] == "moods"]["value"]))


def test_one_task_and_one_embedding_are_drawn_too():
    one = within(1, 0)
    one = one[(one["task"] == "moods") & (one["embedding"] == "mfcc")]
    for figure in (plots.learning(one), plots.personalisation(one)):
        assert "moods" in figure.alt and len(figure.table) in (1, 2)


@pytest.mark.parametrize("maker", [plots.personalisation, plots.protocol_switch, plots.learning])
def test_without_results_there_is_no_figure(maker):
    with pytest.raises(ValueError, match="there is no"):
        maker(within()[:0])
