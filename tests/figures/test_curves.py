"""Figures of protocols, training and trust: the sentence and the lines say what the rows say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from figure_examples import LEARNING, LONG, MAP, SHORT, SURE, WITHIN, draw

from nslib import figures
from nslib.figures.figure import MUTED
from nslib.statistics.calibration import calibration_errors, reliability_table


def test_the_personal_sentence_has_the_numbers_of_the_rows():
    figure = draw("personalisation")
    assert ("moods, 10 speakers: ina with 80 % (interval 70 to 90, chance 25) to untrained with 40 %; higher than on "
            "new speakers for 2 of 2") in figure.alt
    assert "tones-synthetic, 10 speakers" in figure.alt
    assert list(figure.table["embedding"]) == ["ina", "mfcc", "untrained"] * 2
    assert figure.table["value_new"].isna().tolist() == [False, False, True] * 2
    alone = figures.personalisation(WITHIN[(WITHIN["task"] == "moods") & (WITHIN["embedding"] == "mfcc")])
    assert "new speakers" not in alone.alt and alone.table["value_new"].isna().tolist() == [True]


def test_scores_by_clip_are_called_what_they_are():
    figure = draw("protocol_switch")
    assert figure.alt.endswith("Scores by clip are no results.")
    assert "mean of 3 embeddings: by-clip 78 %, by-speaker 63 %" in figure.alt
    assert "dividing by clip instead of by speaker changes +15 points" in figure.alt
    labels = [text.get_text() for text in figure.fig.legends[0].get_texts()]
    assert sum("careless" in label for label in labels) == 2 and any("8 clips a class" in label for label in labels)
    assert len(figure.table) == 24 and set(figure.table["shared_speakers"]) == {0, 9}
    assert all(line.get_visible() for line in figure.fig.axes[0].get_ygridlines())


def test_learning_names_the_highest_for_every_number_of_clips():
    figure = draw("learning")
    for clips, percent in ((4, 60), (8, 70), (14, 80)):
        assert f"with {clips} clips ina at {percent} % is highest" in figure.alt
    lines = figure.fig.axes[0].get_lines()[:3]
    assert [line.get_label() for line in lines] == ["ina", "mfcc", "untrained"]
    drawn = np.concatenate([line.get_ydata() for line in lines])
    assert sorted(drawn) == pytest.approx(sorted(100 * LEARNING[LEARNING["task"] == "moods"]["value"]))


def test_the_learning_curve_is_its_rows_and_the_reference_lies_behind():
    both = draw("curve")
    assert both.alt.startswith("Learning curves (this run, 40 steps and full run, 1,000 steps). Loss: held-out 0.1 to "
                               "0.2 (this run), train 0.15 to 0.2 (this run), held-out 0.2 to 0.4 (full run)")
    assert len(both.table) == len(SHORT) + len(LONG) and "full run" not in figures.curve(SHORT).alt
    titles = [axis.get_title("left") for axis in both.fig.axes]
    assert titles == ["loss", "triplets right", "anchors with a loss", "mean squared distance of clips"]
    lines = both.fig.axes[1].get_lines()
    assert [line.get_color() == MUTED for line in lines] == [True, True, False, False]
    held_out = SHORT[(SHORT["part"] == "held-out") & (SHORT["figure"] == "accuracy")]
    assert list(lines[2].get_xdata()) == list(held_out["step"])
    assert list(lines[2].get_ydata()) == pytest.approx(list(held_out["value"]))
    three = figures.curve(SHORT, figures=("loss", "spread", "active"))
    assert [axis.get_visible() for axis in three.fig.axes] == [True, True, True, False]
    assert [axis.get_xlabel() for axis in three.fig.axes[:3]] == ["", "step", "step"]


def test_calibration_says_what_its_table_says():
    diagram, gaps = draw("calibration"), draw("calibration_gaps")
    one, every = calibration_errors(SURE[SURE["task"] == "one"]), calibration_errors(SURE)
    pd.testing.assert_frame_equal(diagram.table, reliability_table(SURE[SURE["task"] == "one"]))
    pd.testing.assert_frame_equal(gaps.table, every)
    assert all(f"expected calibration error {100 * row.ece:.1f} points" in diagram.alt for row in one.itertuples())
    assert "one: 1 of 2 probes are too sure and 0 not sure enough, furthest off over-0.4" in gaps.alt
    assert len(figures.calibration(SURE, "one", ["over-0.4"]).fig.axes) == 1


def test_robustness_draws_each_condition_from_clean_to_worst():
    figure = draw("robustness")
    assert figure.alt.startswith("Scores on changed test clips of t (40 clips, chance 25 %). Clean: logmel 90 % "
                                 "(interval 85 to 95), mfcc 70 % (interval 65 to 75). White noise, lowest: logmel 70 % "
                                 "at 0 dB, mfcc 50 % at 0 dB. Telephone band, lowest: logmel 60 %, mfcc 40 %. Gain")
    ticks = [[label.get_text() for label in axis.get_xticklabels()] for axis in figure.fig.axes[:3]]
    assert ticks == [["clean", "20", "0"], ["clean", "300–3400 Hz"], ["clean", "−20", "0"]]
    lines = [{line.get_label(): line for line in axis.get_lines()} for axis in figure.fig.axes[:3]]
    assert list(lines[0]["logmel"].get_ydata()) == pytest.approx([90, 80, 70])
    assert list(lines[2]["logmel"].get_ydata()) == pytest.approx([50, 40])  # the clean end of gains is 0 dB


def test_the_map_names_the_nine_with_most_clips_and_counts_the_others():
    figure = draw("embedding_map")
    assert figure.fig.axes[0].get_title("left") == "by label: 81 % of neighbours agree (chance 25 %)"
    assert MAP.describe() in figure.alt and "of other speakers only" in figure.alt
    labels = [text.get_text() for text in figure.fig.axes[1].get_legend().get_texts()]
    assert len(labels) == 10 and "5 others" in labels
    lines = figure.fig.axes[1].get_lines()
    assert sum(len(line.get_xdata()) for line in lines) == len(MAP.points)
    same = figures.embedding_map(dataclasses.replace(MAP, points=MAP.points.assign(speaker=MAP.points["label"])))
    assert [axis.get_title("left")[:29] for axis in same.fig.axes] == ["by label, which is the speaker"[:29]]
