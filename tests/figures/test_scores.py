"""The sentence and the picture of each figure say what its rows say; which scores are shown, in which order."""

import fabricated
import figure_examples as made
import numpy as np
import pandas as pd
import pytest
from figure_examples import ANSWERS, COSTS, ROWS, draw

from nslib import figures
from nslib.figures.figure import MUTED
from nslib.figures.scores import correct_for_chance, label_tasks, mark_best, order_embeddings, order_scores
from nslib.statistics.calibration import calibration_errors, reliability_table
from nslib.statistics.comparisons import AVERAGE, group_embeddings
from nslib.statistics.intervals import recall_by_class

SCORES = order_scores(ROWS)


def dots(axis, marker="o"):
    """Values of the dots of an axis, and whether they are filled."""
    lines = [line for line in axis.get_lines() if line.get_marker() == marker and len(line.get_xdata()) == 1]
    return [float(line.get_xdata()[0]) for line in lines], [line.get_markerfacecolor() != "#ffffff" for line in lines]


@pytest.mark.parametrize(("name", "said"), [
    ("personalisation", "(interval 70 to 90, chance 25) to untrained with 40 %; higher than on new speakers for 2"),
    ("protocol_switch", "mean of 3 embeddings: by-clip 78 %, by-speaker 63 %"),
    ("protocol_switch", "changes +15 points. "), ("protocol_switch", "Scores by clip are no results."),
    ("learning", "with 4 clips ina at 60 % is highest; with 8 clips ina at 70 % is highest; with 14 clips ina at 80 %"),
    ("curve", "Loss: held-out 0.1 to 0.2 (this run), train 0.15 to 0.2 (this run), held-out 0.2 to 0.4 (full run)"),
    ("calibration_gaps", "one: 1 of 2 probes are too sure and 0 not sure enough, furthest off over-4"),
    ("robustness", "White noise, lowest: logmel 70 % at 0 dB, mfcc 50 % at 0 dB. Telephone band, lowest: logmel 60 %"),
    ("embedding_map", made.MAP.describe()), ("result_heatmap", "style-espeak (synthetic)"), ("ties", "mean of 2 tasks"),
    ("split_audit", "no speaker in two splits"),
    ("effects", "3 embeddings, 2 with an interval that leaves out zero: mine +6.2 (2.0 to 10.5)"),
    ("against_published", "frill on crema_d: reproduced, published 65.9 %, ours 66.0 %"),
    ("claim_differences", "claim 6, share of variance explained by the embedding (3 tasks): 70.0 %"),
    ("tradeoff", "24.5 million parameters, 492 million multiply-adds and 80 ms"),
    ("stability", "mfcc: 70 % over 3 splits, from 60 to 80 %, a standard"), ("embedding_cost", "stored already: 1")])
def test_the_sentence_has_the_numbers_of_the_rows(name, said):
    assert said in draw(name).alt


def test_one_score_a_task_and_embedding_of_the_last_run_recordings_first_the_best_embedding_first():
    later = ROWS.assign(value=0.123, when="2026-01-03T03:04:05+00:00")
    scores = order_scores(pd.concat([later, ROWS]))
    assert len(scores) == len(fabricated.TASKS) * len(fabricated.EMBEDDINGS) and (scores["value"] == 0.123).all()
    shuffled = order_scores(ROWS.sample(frac=1, random_state=0))
    assert shuffled["corpus_kind"].is_monotonic_increasing
    means, (best, *rest) = correct_for_chance(SCORES).groupby(SCORES["embedding"]).mean(), order_embeddings(shuffled)
    assert [best, *rest] == means.sort_values(ascending=False).index.tolist()
    fewer = SCORES[(SCORES["embedding"] != best) | (SCORES["task"] == SCORES["task"].iloc[0])]
    assert order_embeddings(fewer)[-1] == best, "the mean over one task is no rank among means over all"
    assert order_scores(ROWS[:0]).empty and mark_best(ROWS[:0], ANSWERS).empty
    assert label_tasks(pd.DataFrame({"task": ["synthetic"], "corpus_kind": "synthetic"}))["synthetic"] == "synthetic"


def test_ties_are_told_by_paired_answers_where_these_are_known():
    alone, paired = mark_best(SCORES), mark_best(SCORES, ANSWERS)
    assert (alone == "best").equals(paired == "best") and (paired == "best").groupby(SCORES["task"]).sum().eq(1).all()
    told = group_embeddings(SCORES, ANSWERS).set_index(["task", "embedding"])["tied_with_best"]
    expected = [told[place] for place in zip(SCORES["task"], SCORES["embedding"], strict=True)]
    assert (paired != "").tolist() == expected and 0 < sum(expected) < len(expected) and not alone.equals(paired)
    other = ANSWERS.assign(clip_id=ANSWERS["embedding"] + ANSWERS["clip_id"])  # of other clips: not paired
    assert mark_best(SCORES, other).equals(alone)
    errors = SCORES.assign(metric="equal_error_rate", value=1 - SCORES["value"], low=1 - SCORES["high"],
                           high=1 - SCORES["low"], chance=1 - SCORES["chance"])
    assert mark_best(errors).equals(alone)  # the lowest error is the best
    assert np.allclose(correct_for_chance(errors), correct_for_chance(SCORES))
    assert order_embeddings(errors) == order_embeddings(SCORES)


def test_the_heat_map_and_the_dots_have_the_best_of_each_task():
    heatmap, panels = draw("result_heatmap"), draw("accuracy_dots")
    for axis, (task, part) in zip(panels.fig.axes, SCORES.groupby("task", sort=False), strict=True):
        top = part.loc[part["value"].idxmax()]
        assert f"{top['embedding']} with {100 * top['value']:.0f} %" in heatmap.alt
        marked = panels.table[panels.table["task"] == task]
        assert dots(axis) == (pytest.approx((100 * part["value"]).tolist()), (marked["standing"] != "").tolist())
    for drawn in (figures.result_heatmap, figures.accuracy_dots):
        assert "none above chance" in drawn(ROWS.assign(chance=0.99)).alt


def test_ties_draws_the_letters_of_its_table():
    figure, grouped = draw("ties"), group_embeddings(made.TWO, ANSWERS)
    pd.testing.assert_frame_equal(figure.table[list(grouped)], grouped)
    average = figure.table[figure.table["task"] == AVERAGE]
    drawn = [t.get_text() for t in figure.fig.axes[0].texts if t.get_text().isalpha()]
    assert "".join(drawn) == "".join(average["letters"])
    assert len(figures.ties(ROWS, ANSWERS, "style-espeak").fig.axes) == 1


def test_what_is_found_is_filled_and_only_compared_numbers_and_tested_claims_are_drawn():
    effects, against, claims = draw("effects"), draw("against_published"), draw("claim_differences")
    assert dots(effects.fig.axes[0]) == ([6.25, -1.0, -5.25], [True, False, True])
    pd.testing.assert_frame_equal(effects.table, made.EFFECTS)
    assert dots(against.fig.axes[0], "D") == ([58.1, 65.9], [False, True])
    assert (len(against.table), len(claims.table)) == (len(made.VERDICTS) - 1, len(made.CLAIMS) - 1)
    assert dots(claims.fig.axes[0]) == ([30.0, -1.0], [True, False])


def test_costs_that_are_not_known_are_not_drawn_and_equal_ones_stand_side_by_side():
    figure = figures.tradeoff(COSTS, what="share of variance in %", of="a patch")
    assert figure.alt.startswith("Share of variance in % against million parameters")
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


def test_protocols_draw_every_split_embedding_and_number_of_clips():
    figure = draw("personalisation")
    assert list(figure.table["embedding"]) == ["ina", "mfcc", "untrained"] * 2
    assert figure.table["value_new"].isna().tolist() == [False, False, True] * 2
    labels = [text.get_text() for text in draw("protocol_switch").fig.legends[0].get_texts()]
    assert sum("careless" in label for label in labels) == 2 and any("8 clips a class" in label for label in labels)
    lines = draw("learning").fig.axes[0].get_lines()[:3]
    assert [line.get_label() for line in lines] == ["ina", "mfcc", "untrained"]
    assert list(lines[0].get_ydata()) == pytest.approx([60, 70, 80])


def test_the_learning_curve_is_its_rows_and_the_reference_lies_behind():
    lines = draw("curve").fig.axes[1].get_lines()
    assert "full run" not in figures.curve(made.SHORT).alt
    assert [line.get_color() == MUTED for line in lines] == [True, True, False, False]
    held_out = made.SHORT[(made.SHORT["part"] == "held-out") & (made.SHORT["figure"] == "accuracy")]
    assert np.array_equal(lines[2].get_xydata(), held_out[["step", "value"]])


def test_calibration_says_what_its_table_says_and_robustness_goes_from_clean_to_worst():
    diagram, one = draw("calibration"), made.SURE[made.SURE["task"] == "one"]
    pd.testing.assert_frame_equal(diagram.table, reliability_table(one))
    assert all(f"calibration error {100 * ece:.1f} points" in diagram.alt for ece in calibration_errors(one)["ece"])
    assert len(figures.calibration(made.SURE, "one", ["over-4"]).fig.axes) == 1
    axes = draw("robustness").fig.axes[:3]
    ticks = [[label.get_text() for label in axis.get_xticklabels()] for axis in axes]
    assert ticks == [["clean", "20", "0"], ["clean", "300–3400 Hz"], ["clean", "−20", "0"]]
    drawn = [list(line.get_ydata()) for axis in axes for line in axis.get_lines() if line.get_label() == "logmel"]
    assert drawn[0] == pytest.approx([90, 80, 70])
    assert drawn[2] == pytest.approx([50, 40])  # the clean end of gains is 0 dB


def test_the_map_names_the_nine_with_most_clips_and_speakers_in_two_splits_are_counted():
    figure = draw("embedding_map")
    labels = [text.get_text() for text in figure.fig.axes[1].get_legend().get_texts()]
    assert len(labels) == 10 and "5 others" in labels
    mixed = made.CLIPS.assign(split=np.resize(["train", "test"], len(made.CLIPS)))
    assert "12 speakers in several splits" in figures.split_audit(mixed).alt
