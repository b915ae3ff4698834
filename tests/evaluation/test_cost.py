"""Means over tasks with their intervals, and the sizes and times beside them."""

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
    real = select_scores(rows).query("corpus_kind == 'real'")
    assert table["quality"].to_dict() == pytest.approx(real.groupby("embedding")["value"].mean().to_dict())
    assert (table["tasks"] == 3).all() and table["quality"].is_monotonic_decreasing
    mfcc = real[real["embedding"] == "mfcc"]
    half = np.sqrt(((mfcc["value"] - mfcc["low"]) ** 2).sum()) / 3
    assert table.at["mfcc", "quality"] - table.at["mfcc", "low"] == pytest.approx(half)
    without = rows.query("not (task == 'language-five' and embedding == 'untrained')")
    assert (cost.average_scores(without)["tasks"] == 2).all()
    assert (cost.average_scores(without, ["mfcc", "logmel"])["tasks"] == 3).all()
    with pytest.raises(Unavailable, match="no task has an accuracy of every embedding"):
        cost.compare_costs(rows.query("(embedding == 'mfcc') == (task == 'language-five')"))


def test_costs_stand_beside_the_means_where_they_are_known():
    table = cost.compare_costs(fabricated.rows(), ["mfcc", "logmel"])
    assert table["latency_ms"].gt(0).all() and table["parameters"].isna().all()
    assert cost.count_size("resemblyzer")[0] == EMBEDDINGS["resemblyzer"].parameters
    assert np.isnan([cost.count_size("resemblyzer")[1], *cost.count_size("mine")]).all()
    assert cost.prepare_call("mine") is None
    below, above = cost.count_size("trill-mini-layer19"), cost.count_size("trill-mini-top")
    assert below[0] < above[0] and below[1] < above[1]  # a tap costs only what lies before it
