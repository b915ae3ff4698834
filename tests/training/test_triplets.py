"""The loss and its mining against loops over all triplets, and what is said of degenerate batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nslib.training import triplets
from nslib.training.settings import MINING, TripletSettings


def brute_force(vectors, clips, margin, mining, both_ways):
    """Loss, mean distance of mined negatives; shares in the right order, of those that pay, of nearest positives."""
    rows = [(vectors[i, k], clips[i], vectors[i, 1 - k]) for k in (0, 1) for i in range(len(clips))]
    hinges, mined, right, nearest, soft = [], [], [], [], []
    for anchor, clip, positive in rows if both_ways else rows[: len(clips)]:
        near = float(np.sum((anchor - positive) ** 2))
        others = [float(np.sum((anchor - row) ** 2)) for row, name, _ in rows if name != clip]
        right += [near < other for other in others]
        if others:
            semi_hard = min((other for other in others if other > near), default=max(others))
            far = {"semi-hard": [semi_hard], "batch-hard": [min(others)]}.get(mining, others)
            mined += far
            hinges += [max(0.0, near - other + margin) for other in far]
            soft.append(0.2 * np.log1p(sum(np.exp((near - other + margin) / 0.2) for other in others)))
        nearest.append(near < min(others, default=np.inf))
    paid = {"all": [hinge for hinge in hinges if hinge > 0], "soft": soft}.get(mining, hinges)
    return [np.mean(values or [0]) for values in (paid, mined, right, [hinge > 0 for hinge in hinges], nearest)]


@st.composite
def batches(draw):
    pairs, dim = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    # steps of 1/8, so that distances are exact and ties are ties in both
    cells = st.integers(-16, 16).map(lambda n: n / 8)
    return (draw(arrays(np.float32, (pairs, 2, dim), elements=cells)),
            draw(arrays(np.int64, pairs, elements=st.integers(0, 4))))


@settings(max_examples=60)
@given(batches(), st.sampled_from(MINING), st.booleans(), st.sampled_from([0.125, 0.5, 2.0]))
def test_loss_and_mining_are_those_of_a_loop_over_all_triplets(batch, mining, both_ways, margin):
    vectors, clips = batch
    loss, figures = triplets.compute_loss(vectors, clips, TripletSettings(margin, mining, both_ways=both_ways))
    expected = brute_force(vectors.astype(float), clips, margin, mining, both_ways)
    computed = [loss, figures["negative"], figures["accuracy"], figures["active"], figures["nearest"]]
    np.testing.assert_allclose([float(value) for value in computed], expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("change", "said"), [("nothing", None), ("one clip", "of one clip"), ("a point", "collapsed"),
                                              ("silence", "50% of the windows are silent")])
def test_degenerate_batches_are_named(change, said):
    vectors = np.random.default_rng(0).normal(size=(4, 2, 8)).astype(np.float32)
    clips = [5] * 4 if change == "one clip" else [0, 1, 2, 3]
    loss, figures = triplets.compute_loss(0 * vectors if change == "a point" else vectors, clips, TripletSettings())
    problems = triplets.describe_problems(figures | ({"silent": 0.5} if change == "silence" else {}))
    assert problems == [] if said is None else said in problems[0]
    assert change != "one clip" or float(loss) == 0
