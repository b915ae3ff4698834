"""Means over tasks with their intervals, and the sizes and times beside them."""

from __future__ import annotations

import fabricated
import keras
import numpy as np
import pytest

from nslib import quality, tables
from nslib.embeddings.cards import CARDS
from nslib.errors import Unavailable, UnknownName
from nslib.train import costs, sizes


def test_means_are_over_the_recorded_tasks_that_all_have():
    rows = fabricated.rows()
    found = quality.means(rows).set_index("name")
    chosen = tables.selected(rows)
    real = chosen[chosen["corpus_kind"] == "real"]
    assert found["quality"].to_dict() == pytest.approx(real.groupby("embedding")["value"].mean().to_dict())
    assert (found["tasks"] == 3).all() and found["quality"].is_monotonic_decreasing
    mfcc = real[real["embedding"] == "mfcc"]
    half = np.sqrt(((mfcc["value"] - mfcc["low"]) ** 2).sum()) / 3
    assert found.at["mfcc", "quality"] - found.at["mfcc", "low"] == pytest.approx(half)
    without = rows[~((rows["task"] == "language-five") & (rows["embedding"] == "untrained"))]
    assert (quality.means(without)["tasks"] == 2).all()
    assert (quality.means(without, ["mfcc", "logmel"])["tasks"] == 3).all()


def test_without_a_common_task_there_is_no_mean():
    rows = fabricated.rows()
    apart = rows[((rows["embedding"] == "mfcc") & (rows["task"] == "language-five"))
                 | ((rows["embedding"] == "logmel") & (rows["task"] == "speaker-fillets"))]
    with pytest.raises(Unavailable, match="no task has an accuracy of every embedding"):
        quality.means(apart)


def test_costs_stand_beside_the_means():
    found = quality.against_cost(fabricated.rows(), ["mfcc", "logmel"]).set_index("name")
    assert list(found.columns) == [*quality.MEANS[1:], *quality.COSTS]
    assert found["latency_ms"].gt(0).all() and found["parameters"].isna().all()


def test_what_is_not_known_is_not_a_number():
    assert quality.size("resemblyzer")[0] == CARDS["resemblyzer"].parameters
    assert np.isnan([quality.size("resemblyzer")[1], *quality.size("mine"), *quality.size("mfcc")]).all()
    assert np.isnan(quality.latency("mine")) and quality.latency("logmel", 0.5, repeats=2) > 0


@pytest.fixture(scope="module")
def network():
    """A convolution tapped in the middle, and a dense layer after it."""
    image = keras.Input((8, 8, 1))
    tap = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(image)
    top = keras.layers.Dense(5, use_bias=False)(keras.layers.GlobalAveragePooling2D()(tap))
    return keras.Model(image, {"middle": tap, "top": top})


def test_a_tap_costs_only_what_lies_before_it(network):
    middle, top = (costs.cost(sizes.up_to(network, tap)) for tap in ("middle", "top"))
    assert (middle.parameters, middle.multiply_adds) == (36, 36 * 64)
    assert (top.parameters, top.multiply_adds) == (36 + 20, 36 * 64 + 20)
    with pytest.raises(UnknownName, match="middle, top"):
        sizes.up_to(network, "bottom")


def test_the_taps_of_the_kits_network_differ_in_size():
    below, above = quality.size("trill-mini-layer19"), quality.size("trill-mini-top")
    whole = costs.cost(sizes.models.load("trill-mini"))
    assert below[0] < above[0] == whole.parameters and below[1] < above[1] == whole.multiply_adds
