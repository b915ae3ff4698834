"""Means over tasks with their intervals, and the sizes and times beside them."""

from __future__ import annotations

import fabricated
import numpy as np
import pytest

from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import Unavailable
from nslib.evaluation import cost
from nslib.statistics.scores import select_scores


def test_means_are_over_the_recorded_tasks_that_all_have():
    rows = fabricated.rows()
    table = cost.average_scores(rows).set_index("name")
    chosen = select_scores(rows)
    real = chosen[chosen["corpus_kind"] == "real"]
    assert table["quality"].to_dict() == pytest.approx(real.groupby("embedding")["value"].mean().to_dict())
    assert (table["tasks"] == 3).all() and table["quality"].is_monotonic_decreasing
    mfcc = real[real["embedding"] == "mfcc"]
    half = np.sqrt(((mfcc["value"] - mfcc["low"]) ** 2).sum()) / 3
    assert table.at["mfcc", "quality"] - table.at["mfcc", "low"] == pytest.approx(half)
    without = rows[~((rows["task"] == "language-five") & (rows["embedding"] == "untrained"))]
    assert (cost.average_scores(without)["tasks"] == 2).all()
    assert (cost.average_scores(without, ["mfcc", "logmel"])["tasks"] == 3).all()


def test_without_a_common_task_there_is_no_mean():
    rows = fabricated.rows()
    apart = rows[((rows["embedding"] == "mfcc") & (rows["task"] == "language-five"))
                 | ((rows["embedding"] == "logmel") & (rows["task"] == "speaker-fillets"))]
    with pytest.raises(Unavailable, match="no task has an accuracy of every embedding"):
        cost.compare_costs(apart)


def test_costs_stand_beside_the_means():
    table = cost.compare_costs(fabricated.rows(), ["mfcc", "logmel"])
    assert list(table.columns) == ["name", "quality", "low", "high", "by", "tasks", "parameters", "multiply_adds",
                                   "latency_ms"]
    assert table["latency_ms"].gt(0).all() and table["parameters"].isna().all()


def test_what_is_not_known_is_not_a_number():
    assert cost.count_size("resemblyzer")[0] == EMBEDDINGS["resemblyzer"].parameters
    assert np.isnan([cost.count_size("resemblyzer")[1], *cost.count_size("mine"), *cost.count_size("mfcc")]).all()
    assert np.isnan(cost.measure_latency("mine"))


def test_a_tap_costs_only_what_lies_before_it():
    below, above = cost.count_size("trill-mini-layer19"), cost.count_size("trill-mini-top")
    assert below[0] < above[0] and below[1] < above[1]
