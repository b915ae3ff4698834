"""Figures of scores: the sentence and the picture say what the rows say; which scores are shown, in which order."""

import fabricated
import numpy as np
import pandas as pd
import pytest
from figure_examples import ANSWERS, CLAIMS, CLIPS, COSTS, EFFECTS, LEDGER, REPEATED, ROWS, TWO, VERDICTS, draw

from nslib import figures
from nslib.figures.scores import correct_for_chance, label_tasks, mark_best, order_embeddings, select_scores
from nslib.statistics.comparisons import AVERAGE, group_embeddings
from nslib.statistics.intervals import recall_by_class

SCORES = select_scores(ROWS)


def dots(axis, marker="o"):
    """Values of the dots of an axis, and whether they are filled."""
    lines = [line for line in axis.get_lines() if line.get_marker() == marker and len(line.get_xdata()) == 1]
    return [float(line.get_xdata()[0]) for line in lines], [line.get_markerfacecolor() != "#ffffff" for line in lines]


def test_one_score_a_task_and_embedding_of_the_last_run_recordings_first_the_best_embedding_first():
    later = ROWS.assign(value=0.123, when="2026-01-03T03:04:05+00:00")
    scores = select_scores(pd.concat([later, ROWS]))
    assert len(scores) == len(fabricated.TASKS) * len(fabricated.EMBEDDINGS) and (scores["value"] == 0.123).all()
    shuffled = select_scores(ROWS.sample(frac=1, random_state=0))
    assert shuffled["corpus_kind"].tolist() == sorted(shuffled["corpus_kind"])
    means = SCORES.assign(m=correct_for_chance(SCORES)).groupby("embedding")["m"].mean()
    assert [means[e] for e in order_embeddings(shuffled)] == sorted(means, reverse=True)
    best = order_embeddings(SCORES)[0]
    fewer = SCORES[(SCORES["embedding"] != best) | (SCORES["task"] == SCORES["task"].iloc[0])]
    assert order_embeddings(fewer)[-1] == best, "the mean over one task is no rank among means over all"
    assert select_scores(ROWS[:0]).empty and mark_best(ROWS[:0], ANSWERS).empty


def test_ties_are_told_by_paired_answers_where_these_are_known():
    alone, paired = mark_best(SCORES), mark_best(SCORES, ANSWERS)
    assert (alone == "best").equals(paired == "best") and (paired == "best").groupby(SCORES["task"]).sum().eq(1).all()
    told = group_embeddings(SCORES, ANSWERS).set_index(["task", "embedding"])["tied_with_best"]
    expected = [told[place] for place in zip(SCORES["task"], SCORES["embedding"], strict=True)]
    assert (paired != "").tolist() == expected and 0 < sum(expected) < len(expected) and not alone.equals(paired)
    other = ANSWERS.assign(clip_id=ANSWERS["embedding"] + ANSWERS["clip_id"])  # of other clips: not paired
    assert mark_best(SCORES, other).equals(alone)


def test_synthetic_tasks_are_called_so_wherever_they_are_shown():
    for name in ("result_heatmap", "accuracy_dots", "split_audit"):
        alt = draw(name).alt
        assert "style-espeak (synthetic)" in alt and "speaker-fillets (synthetic)" not in alt
    named = pd.DataFrame({"task": ["speaker-synthetic"], "corpus_kind": ["synthetic"]})
    assert label_tasks(named) == {"speaker-synthetic": "speaker-synthetic"}


def test_the_heat_map_and_the_dots_have_the_best_of_each_task():
    heatmap, panels = draw("result_heatmap"), draw("accuracy_dots")
    for axis, (task, part) in zip(panels.fig.axes, SCORES.groupby("task", sort=False), strict=True):
        top = part.loc[part["value"].idxmax()]
        assert f"{top['embedding']} with {100 * top['value']:.0f} %" in heatmap.alt
        marked = panels.table[panels.table["task"] == task]
        assert dots(axis) == (pytest.approx((100 * part["value"]).tolist()), (marked["standing"] != "").tolist())


def test_ties_draws_the_letters_of_its_table():
    figure, grouped = draw("ties"), group_embeddings(TWO, ANSWERS)
    pd.testing.assert_frame_equal(figure.table[list(grouped)], grouped)
    average = figure.table[figure.table["task"] == AVERAGE]
    drawn = [t.get_text() for t in figure.fig.axes[0].texts if t.get_text().isalpha()]
    assert "".join(drawn) == "".join(average["letters"]) and "mean of 2 tasks" in figure.alt
    single = figure.table[figure.table["task"] == "language-five"]  # of a mean, hence narrower
    assert (average["high"] - average["low"]).max() < (single["high"] - single["low"]).max()
    assert [a.get_visible() for a in figure.fig.axes] == [True, True, True, False]
    assert len(figures.ties(ROWS, ANSWERS, "style-espeak").fig.axes) == 1


def test_effects_are_filled_where_the_interval_leaves_out_zero():
    figure = draw("effects")
    assert "3 embeddings, 2 with an interval that leaves out zero: mine +6.2 (2.0 to 10.5)" in figure.alt
    assert dots(figure.fig.axes[0]) == ([6.25, -1.0, -5.25], [True, False, True])
    pd.testing.assert_frame_equal(figure.table, EFFECTS)


def test_only_compared_numbers_and_tested_claims_are_drawn():
    against, claims = draw("against_published"), draw("claim_differences")
    assert dots(against.fig.axes[0], "D") == ([58.1, 65.9], [False, True]) and len(against.table) == len(VERDICTS) - 1
    assert "frill on crema_d: reproduced, published 65.9 %, ours 66.0 %" in against.alt
    assert len(claims.fig.axes) == 2 and len(claims.table) == len(CLAIMS) - 1 and "claim 5" not in claims.alt
    assert "claim 1, trill-top minus logmel (3 tasks): +30.0 points, interval 20.0 to 40.0, holds" in claims.alt
    assert "claim 6, share of variance explained by the embedding (3 tasks): 70.0 %" in claims.alt
    assert dots(claims.fig.axes[0]) == ([30.0, -1.0], [True, False])


def test_costs_that_are_not_known_are_not_drawn_and_equal_ones_stand_side_by_side():
    figure = figures.tradeoff(COSTS, what="share of variance in %", of="a patch")
    assert figure.alt.startswith("Share of variance in % against million parameters")
    assert "big 72.0 % (66.0 to 77.0), 24.5 million parameters, 492 million multiply-adds and 80 ms" in figure.alt
    assert "by-hand 50.0 % (45.0 to 56.0), 4 ms" in figure.alt
    assert figure.fig.axes[2].get_xlabel() == "milliseconds for a patch"
    x = [line.get_xdata()[0] for line in figure.fig.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert len(x) == 3 and x[0] == pytest.approx(24.5) and x[1] < 0.86 < x[2] < 0.86 * 1.1
    fewer = figures.tradeoff(COSTS.drop(columns="latency_ms").assign(multiply_adds=np.nan))
    assert len(fewer.fig.axes) == 1 and "by-hand 50.0 % (45.0 to 56.0), no cost known" in fewer.alt


def test_recall_and_confusion_say_the_same_and_the_newest_run_counts():
    figure, table = draw("recall"), recall_by_class(ROWS, ANSWERS, "style-espeak", "mfcc")
    assert dots(figure.fig.axes[0])[0] == pytest.approx((100 * table["recall"]).tolist())
    old = ANSWERS.assign(key=ANSWERS["key"] + "old", y_pred=ANSWERS["y_true"])
    confusion = figures.confusion(pd.concat([old, ANSWERS], ignore_index=True), "style-espeak", "mfcc")
    counts = confusion.table.set_index("y_true")
    assert all(counts.at[row.label, row.label] == round(row.recall * row.n) for row in table.itertuples())
    assert counts.to_numpy().sum() == 120 and "of 120 clips right over 4 labels" in confusion.alt


def test_repeated_splits_have_a_tick_each():
    figure = figures.stability(REPEATED)
    ticks = [len(line.get_xdata()) for line in figure.fig.axes[0].get_lines() if line.get_marker() == "|"]
    assert ticks == [3, 3, 3, 0]
    assert "moods, mfcc: 70 % over 3 splits, from 60 to 80 %, a standard deviation of 10.0 points" in figure.alt


def test_speakers_in_two_splits_are_counted_and_the_cost_of_stored_vectors_is_not_invented():
    assert "no speaker in two splits" in figures.split_audit(CLIPS).alt
    mixed = CLIPS.assign(split=np.resize(["train", "test"], len(CLIPS)))
    assert "12 speakers in several splits" in figures.split_audit(mixed).alt
    cost = figures.embedding_cost(LEDGER)
    assert "mfcc" not in cost.alt and "stored already: 1" in cost.alt
