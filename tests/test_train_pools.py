"""Pools over time: golden values, and padding that changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.errors import UnknownName
from nslib.train import pools


def pooled(pool, frames, counts):
    return np.asarray(pool(np.asarray(frames, np.float32), np.asarray(counts)))


def test_mean_counts_a_clip_s_own_frames():
    frames = [[[1.0, 2.0], [3.0, 6.0], [np.nan, 9.0]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]]
    np.testing.assert_allclose(pooled(pools.named("mean"), frames, [2, 3]), [[2, 4], [7, 7]])


def test_autopool_goes_from_mean_to_maximum():
    frames = [[[10.0], [9.9]]]
    assert pooled(pools.named("autopool", alpha=0.0), frames, [2])[0, 0] == pytest.approx(9.95)
    soft = np.exp([10.0, 9.9]) / np.exp([10.0, 9.9]).sum()
    assert pooled(pools.named("autopool", alpha=1.0), frames, [2])[0, 0] == pytest.approx(soft @ [10, 9.9], abs=1e-5)
    # exp(10,000) is infinite: an unshifted softmax with its NaN made 1 adds the two up
    assert pooled(pools.named("autopool", alpha=1000.0), frames, [2])[0, 0] == pytest.approx(10.0)


def test_autopool_of_negative_frames_does_not_see_padding():
    frames = [[[-5.0], [-4.0], [0.0]]]
    assert pooled(pools.named("autopool", alpha=100.0), frames, [2])[0, 0] == pytest.approx(-4.0)


def test_autopool_of_very_negative_scores_does_not_see_padding():
    assert pooled(pools.named("autopool", alpha=1000.0), [[[-3e6], [-2e6], [0.0]]], [2])[0, 0] == pytest.approx(-2e6)


def test_netvlad_against_numpy():
    rng = np.random.default_rng(0)
    frames, counts = rng.normal(size=(3, 5, 4)), [5, 2, 1]
    pool = pools.named("netvlad", clusters=3, seed=7)
    found = pooled(pool, frames, counts)
    kernel, bias, centres = (np.asarray(w, float) for w in (pool.assign.kernel, pool.assign.bias, pool.centres))
    for clip, count, got in zip(frames, counts, found, strict=True):
        rows = np.zeros((3, 4))
        for frame in clip[:count]:
            z = frame @ kernel + bias
            rows += (np.exp(z) / np.exp(z).sum())[:, None] * (frame - centres)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.testing.assert_allclose(got, rows.ravel() / np.linalg.norm(rows), atol=1e-5)


@pytest.mark.parametrize("name", pools.POOLS)
@settings(max_examples=20)
@given(seed=st.integers(0, 999), more=st.integers(1, 5), filler=st.sampled_from([0.0, 1e6, -1e6, np.nan, np.inf]))
def test_padding_changes_nothing(name, seed, more, filler):
    rng = np.random.default_rng(seed)
    frames, counts = rng.normal(size=(2, 4, 3)), [4, 2]
    frames[1, 2:] = filler
    longer = np.concatenate([frames, np.full((2, more, 3), filler)], axis=1)
    pool = pools.named(name, alpha=2.0)
    np.testing.assert_allclose(pooled(pool, frames, counts), pooled(pool, longer, counts), atol=1e-6)


def test_unknown_pool():
    with pytest.raises(UnknownName, match="netvlad"):
        pools.named("netvald")
