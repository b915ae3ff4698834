"""Figures: every one has a sentence and a table that agree with the rows, and is drawn the same twice."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import fabricated
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from nslib import plots, ties
from nslib.plots import order
from nslib.plots.figure import Figure, canvas, listed

ROWS, ANSWERS, CLIPS, LEDGER = (
    fabricated.rows(),
    fabricated.predictions(),
    fabricated.clips(),
    fabricated.ledger(),
)
RNG = np.random.default_rng(0)
PICTURE = RNG.normal(size=(198, 64))
SPANS = [(0.17 * i, 0.17 * i + 0.975) for i in range(7)]

MAKERS = {
    "result_heatmap": lambda: plots.result_heatmap(ROWS, ANSWERS),
    "accuracy_dots": lambda: plots.accuracy_dots(ROWS, ANSWERS),
    "choice": lambda: plots.choice(ROWS, "language-five", "logmel"),
    "optimism": lambda: plots.optimism(ROWS),
    "confusion": lambda: plots.confusion(ANSWERS, "language-five", "logmel"),
    "class_balance": lambda: plots.class_balance(
        CLIPS[CLIPS["task"] == "language-five"], task="language-five"
    ),
    "split_audit": lambda: plots.split_audit(CLIPS),
    "durations": lambda: plots.durations(CLIPS),
    "embedding_cost": lambda: plots.embedding_cost(LEDGER),
    "log_mel": lambda: plots.log_mel(PICTURE, wave=RNG.normal(size=32000), patches=SPANS, title="noise"),
    "filterbank": lambda: plots.filterbank(np.abs(RNG.normal(size=(257, 64)))),
    "patch_times": lambda: plots.patch_times({"TRILL": SPANS, "VGGish": []}, 2.0),
}


@pytest.fixture(scope="module")
def figures():
    return {name: make() for name, make in MAKERS.items()}


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_has_a_sentence_a_table_and_four_files(name, figures, tmp_path):
    figure = figures[name]
    assert figure.name == name and len(figure.table) and len(figure.alt) > 40 and figure.alt.endswith(".")
    path = figure.save(tmp_path)
    assert path == tmp_path / f"{name}.svg"
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".png", ".svg", ".txt"]
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / f"{name}.txt").read_text() == figure.alt + "\n"
    assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(figure.table)


@pytest.mark.parametrize("name", ["result_heatmap", "choice", "split_audit"])
def test_the_same_rows_give_the_same_bytes(name, figures):
    again = MAKERS[name]()
    assert again.alt == figures[name].alt
    assert again.render("svg") == figures[name].render("svg")
    assert b"dc:date" not in again.render("svg")


def test_shown_in_a_notebook_it_is_html_with_its_sentence(figures):
    shown = figures["confusion"]._repr_mimebundle_()
    assert set(shown) == {"text/html", "text/plain"} and shown["text/plain"] == figures["confusion"].alt
    assert re.search(r'<img alt="Confusions of logmel on language-five: [^"]+"', shown["text/html"])
    assert "<table" in shown["text/html"] and "image/png" not in shown


def test_markup_in_a_name_stays_text():
    fig, _ = canvas(1, 1)
    shown = Figure("x", fig, 'a "quoted" <b> name', pd.DataFrame({"a": ["<script>"]}))._repr_mimebundle_()[
        "text/html"
    ]
    assert "<script>" not in shown and "<b>" not in shown and 'alt="a &quot;quoted&quot;' in shown


def test_a_figure_without_a_sentence_cannot_be_made():
    fig, _ = canvas(1, 1)
    with pytest.raises(ValueError, match="no alternative text"):
        Figure("x", fig, " ", pd.DataFrame())


def test_nothing_is_left_behind_in_matplotlib(figures):
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    plots.optimism(ROWS).render("png")
    assert dict(mpl.rcParams) == before and plt.get_fignums() == []


def test_the_sentence_of_the_heat_map_has_the_best_of_each_task(figures):
    scores = ROWS[ROWS["selected"] & (ROWS["split"] == "test")]
    for _, part in scores.groupby("task"):
        top = part.loc[part["value"].idxmax()]
        assert f"{top['embedding']} with {100 * top['value']:.0f} %" in figures["result_heatmap"].alt


def test_synthetic_tasks_are_called_so_wherever_they_are_shown(figures):
    for name in ("result_heatmap", "accuracy_dots", "split_audit"):
        assert "style-espeak (synthetic)" in figures[name].alt
        assert "speaker-fillets (synthetic)" not in figures[name].alt
    assert order.label("speaker-synthetic", "synthetic") == "speaker-synthetic"


def test_recordings_come_before_synthetic_tasks_and_the_best_embedding_first():
    scores = order.chosen(ROWS.sample(frac=1, random_state=0))
    assert scores["corpus_kind"].tolist() == sorted(scores["corpus_kind"])
    means = scores.assign(m=order.above_chance(scores)).groupby("embedding")["m"].mean()
    assert [means[e] for e in order.embeddings(scores)] == sorted(means, reverse=True)
    best = order.embeddings(scores)[0]
    fewer = scores[(scores["embedding"] != best) | (scores["task"] == scores["task"].iloc[0])]
    assert order.embeddings(fewer)[-1] == best, "the mean over one task is no rank among means over all"


def test_one_row_a_cell_is_chosen_and_the_last_run_counts():
    later = ROWS.assign(value=0.123, when="2026-01-03T03:04:05+00:00")
    scores = order.chosen(pd.concat([later, ROWS]))
    assert (
        len(scores) == len(fabricated.TASKS) * len(fabricated.EMBEDDINGS) and (scores["value"] == 0.123).all()
    )


def test_nothing_selected_is_an_error_not_an_empty_figure():
    with pytest.raises(ValueError, match="nothing was evaluated"):
        plots.result_heatmap(ROWS.assign(selected=False))


def test_ties_are_told_by_paired_answers_where_these_are_known():
    scores = order.chosen(ROWS)
    alone, paired = order.standing(scores), order.standing(scores, ANSWERS)
    assert (alone == "best").equals(paired == "best") and (paired == "best").groupby(scores["task"]).sum().eq(
        1
    ).all()
    told = ties.groups(scores, ANSWERS).set_index(["task", "embedding"])["tied_with_best"]
    expected = [told[place] for place in zip(scores["task"], scores["embedding"], strict=True)]
    assert (paired != "").tolist() == expected and 0 < sum(expected) < len(expected)
    assert not alone.equals(paired)


def test_answers_of_other_clips_are_not_paired():
    other = ANSWERS.assign(clip_id=ANSWERS["embedding"] + ANSWERS["clip_id"])
    scores = order.chosen(ROWS)
    assert order.standing(scores, other).equals(order.standing(scores))


def test_the_optimism_figure_subtracts_what_was_chosen_from_the_best(figures):
    table = figures["optimism"].table
    assert (table["added"] >= 0).all() and len(table) == len(fabricated.TASKS) * len(fabricated.EMBEDDINGS)
    assert f"adds {100 * table['added'].mean():.1f} points on average" in figures["optimism"].alt


def test_the_confusion_counts_every_answer(figures):
    table = figures["confusion"].table
    assert table.drop(columns="y_true").to_numpy().sum() == 120


def test_the_confusion_is_of_the_newest_run_only():
    old = ANSWERS.assign(key=ANSWERS["key"] + "old", y_pred=ANSWERS["y_true"])
    both = pd.concat([old, ANSWERS], ignore_index=True)
    found, alone = (plots.confusion(table, "language-five", "mfcc") for table in (both, ANSWERS))
    assert found.alt == alone.alt and found.table.equals(alone.table)


def test_the_audit_figure_counts_speakers_in_two_splits():
    assert "no speaker in two splits" in plots.split_audit(CLIPS).alt
    mixed = CLIPS.assign(split=np.resize(["train", "test"], len(CLIPS)))
    assert "12 speakers in several splits" in plots.split_audit(mixed).alt


def test_cost_of_stored_vectors_is_not_invented(figures):
    assert (
        "mfcc" not in figures["embedding_cost"].alt and "stored already: 1" in figures["embedding_cost"].alt
    )
    with pytest.raises(ValueError, match="from the store"):
        plots.embedding_cost(LEDGER.assign(computed=0))


def test_unknown_cells_are_refused():
    with pytest.raises(ValueError, match="no scores of 'nobody'"):
        plots.choice(ROWS, "language-five", "nobody")
    with pytest.raises(ValueError, match="no predictions of 'nobody'"):
        plots.confusion(ANSWERS, "language-five", "nobody")


def test_words_in_a_sentence():
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
