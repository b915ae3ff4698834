"""The loss and its mining against loops over all triplets, and what is said of degenerate batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.errors import BadParameter, UnknownName
from nslib.train import settings as choices
from nslib.train.settings import TripletSettings

triplets = pytest.importorskip("nslib.train.triplets")


def brute_force(vectors, clips, margin, mining, both_ways):
    """Loss, mean distance of the mined negatives, and share of all triplets in the right order."""
    rows = [(vectors[i, k], clips[i], vectors[i, 1 - k]) for k in (0, 1) for i in range(len(clips))]
    hinges, mined, right = [], [], []
    for anchor, clip, positive in rows if both_ways else rows[: len(clips)]:
        near = float(np.sum((anchor - positive) ** 2))
        others = [float(np.sum((anchor - row) ** 2)) for row, name, _ in rows if name != clip]
        right += [near < other for other in others]
        if not others:
            continue
        beyond = [other for other in others if other > near]
        semi_hard = min(beyond) if beyond else max(others)
        far = min(others) if mining == "batch-hard" else semi_hard
        mined.append(far)
        hinges.append(max(0.0, near - far + margin))
    mean = lambda values: float(np.mean(values)) if values else 0.0  # noqa: E731
    return mean(hinges), mean(mined), mean(right), mean([hinge > 0 for hinge in hinges])


@st.composite
def batches(draw):
    pairs, dim = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    # steps of 1/8, so that distances are exact and ties are ties in both
    cells = st.integers(-16, 16).map(lambda n: n / 8)
    vectors = np.array(draw(st.lists(cells, min_size=pairs * 2 * dim, max_size=pairs * 2 * dim)))
    clips = np.array(draw(st.lists(st.integers(0, 4), min_size=pairs, max_size=pairs)))
    return vectors.reshape(pairs, 2, dim).astype(np.float32), clips


@settings(max_examples=150)
@given(batches(), st.sampled_from(choices.MINING), st.booleans(), st.sampled_from([0.125, 0.5, 2.0]))
def test_loss_and_mining_are_those_of_a_loop_over_all_triplets(batch, mining, both_ways, margin):
    vectors, clips = batch
    chosen = TripletSettings(margin=margin, mining=mining, both_ways=both_ways)
    loss, figures = triplets.loss(vectors, clips, chosen)
    expected = brute_force(vectors.astype(float), clips, margin, mining, both_ways)
    found = [loss, figures["negative"], figures["accuracy"], figures["active"]]
    np.testing.assert_allclose([float(value) for value in found], expected, atol=1e-4)


def test_distances_are_squared_and_never_negative():
    points = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    points[3] = points[4]
    found = triplets.distances(points).numpy()
    np.testing.assert_allclose(found, ((points[:, None] - points[None]) ** 2).sum(2), atol=1e-4)
    assert (found >= 0).all()


def test_the_gradient_pulls_the_positive_and_pushes_the_negative():
    import tensorflow as tf

    start = tf.Variable([[[0.0, 0.0], [0.6, 0.0]], [[0.0, 0.7], [0.0, 9.0]]])
    with tf.GradientTape() as tape:
        loss, _ = triplets.loss(start, [0, 1], TripletSettings(margin=1.0, both_ways=False))
    after = start - 0.01 * tape.gradient(loss, start)
    gap = lambda v: float(tf.norm(v[0, 0] - v[0, 1]) - tf.norm(v[0, 0] - v[1, 0]))  # noqa: E731
    assert gap(after) < gap(start)


def test_degenerate_batches_are_named():
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(4, 2, 8)).astype(np.float32)
    fine = triplets.loss(spread, [0, 1, 2, 3], TripletSettings())[1]
    assert triplets.complaints(fine) == []
    one_clip = triplets.loss(spread, [5, 5, 5, 5], TripletSettings())
    assert float(one_clip[0]) == 0 and "of one clip" in triplets.complaints(one_clip[1])[0]
    point = triplets.loss(np.ones((4, 2, 8), np.float32), [0, 1, 2, 3], TripletSettings())[1]
    assert "collapsed" in triplets.complaints(point)[0]
    assert "50% of the windows are silent" in triplets.complaints({**fine, "silent": 0.5})[0]


def test_every_choice_is_declared_with_what_the_paper_says():
    table = choices.table()
    assert set(table["paper"]) == set(choices.STATUSES)
    assert table["setting"].is_unique and table["remark"].notna().all()
    said = table.set_index("setting")["paper"]
    assert said["margin"] == said["learning_rate"] == said["batch"] == "unknown"
    assert said["tau"] == said["mining"] == "believed"


def test_settings_are_refused_by_name_and_by_value():
    with pytest.raises(UnknownName, match="margin"):
        choices.make({"margn": 0.1})
    with pytest.raises(UnknownName, match="semi-hard"):
        choices.make({"mining": "semihard"})
    for bad in ({"margin": 0}, {"short": 2.0},
                {"batch": 1}, {"gap": 11.0}, {"noise": -1.0}, {"steps": 0}, {"learning_rate": 2.0}):
        with pytest.raises(BadParameter):
            choices.make(bad)


def test_settings_survive_their_text():
    import json

    mine = choices.make({"tau": 3.0, "margin": 0.25, "seed": 7})
    assert choices.make(json.loads(mine.json())) == mine
