"""Networks on patches: pieces of bounded size, the same bits in any company, shared log-mel frames."""

from __future__ import annotations

import numpy as np
import pytest

from nslib import embeddings, frontend
from nslib.embeddings import patches, threads
from nslib.train import embedding as trained


def _cut(wave):
    return wave[: len(wave) // 10 * 10].reshape(-1, 10)


def _batch(lengths, seed=0):
    rng = np.random.default_rng(seed)
    waves = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, n in zip(waves, lengths, strict=True):
        row[:n] = rng.normal(0, 0.1, n)
    return waves, np.array(lengths)


@pytest.mark.parametrize("steady", [False, True])
def test_each_clip_gets_the_frames_of_its_own_patches(steady):
    embed = patches.embedder(_cut, lambda p: p[:, :3] * 2, at_once=32, steady=steady)
    waves, lengths = _batch([10, 705, 99, 320, 1200])
    frames, counts = embed(waves, lengths)
    assert counts.tolist() == [1, 70, 9, 32, 120]
    for wave, n, row, count in zip(waves, lengths, frames, counts, strict=True):
        np.testing.assert_array_equal(row[:count], _cut(wave[:n])[:, :3] * 2)
        assert not row[count:].any()


def test_a_network_sees_no_more_than_it_was_promised():
    sizes = []

    def network(p):
        sizes.append(len(p))
        return p[:, :2]

    patches.embedder(_cut, network, at_once=32)(*_batch([705, 99, 320]))
    assert sizes == [32, 32, 32, 15]
    sizes.clear()
    embed = patches.embedder(_cut, network, at_once=64, steady=True)
    embed(*_batch([705, 99, 320]))
    assert set(sizes) <= {64, patches.FEW}
    sizes.clear()
    embed(*_batch([90]))
    assert sizes == [patches.FEW]


def test_a_size_that_gives_other_bits_is_not_used():
    def network(p):
        return p[:, :2] * np.float32(1 + 1e-7 * (len(p) == patches.FEW))

    assert patches.agreeing(network, (10,)) == (patches.AT_ONCE,)
    assert patches.agreeing(lambda p: p[:, :2], (10,)) == (patches.AT_ONCE, patches.FEW)

    def by_row(p):
        return p[:, :2] * (1 + np.float32(1e-6) * np.arange(len(p), dtype=np.float32))[:, None]

    assert patches.agreeing(by_row, (10,)) == (patches.AT_ONCE,)


def test_a_failing_patch_is_an_error_of_the_batch():
    def network(p):
        raise RuntimeError("poisoned")

    with pytest.raises(RuntimeError, match="poisoned"):
        patches.embedder(_cut, network, steady=True)(*_batch([100, 900]))


@pytest.mark.parametrize("name", ["trill-mini-top", "trill-mini-layer19", "untrained", "trill-mini-distilled"])
def test_networks_of_the_kit_give_the_same_bits_alone_and_in_any_company(name):
    mine = embeddings.get(name)
    waves, lengths = _batch([16000, 23000, 48000, 31234, 16000, 90000, 17000])
    together, counts = mine.embed(waves, lengths)
    order = np.array([3, 6, 0, 5])
    some, few = mine.embed(waves[order], lengths[order])
    for i, n in enumerate(counts):
        alone, one = mine.embed(waves[i:i + 1, : lengths[i]], lengths[i:i + 1])
        assert one[0] == n
        np.testing.assert_array_equal(alone[0, :n], together[i, :n])
    for i, k in enumerate(order):
        np.testing.assert_array_equal(some[i, : few[i]], together[k, : counts[k]])


def test_overlapping_windows_share_their_log_mel_frames(monkeypatch):
    computed = []
    spectra = frontend.spectra
    monkeypatch.setattr(frontend, "spectra", lambda framed, *a: computed.append(len(framed)) or spectra(framed, *a))
    samples = 5 * 16000
    found = trained.cut(np.zeros(samples, np.float32))
    assert sum(computed) == 1 + (samples - frontend.WINDOW) // frontend.HOP
    assert len(found) * found.shape[1] > 4 * sum(computed)


def test_long_clips_are_computed_in_blocks_with_the_same_result(monkeypatch):
    wave = np.random.default_rng(0).normal(0, 0.1, 16000 * 3).astype(np.float32)
    whole = frontend.log_mel(wave)
    monkeypatch.setattr(frontend, "_BLOCK", 64)
    np.testing.assert_array_equal(frontend.log_mel(wave), whole)


def test_results_come_in_order_and_before_the_end():
    with threads.each(lambda k: k * k, range(50)) as found:
        assert next(found) == 0
        assert list(found) == [k * k for k in range(1, 50)]
    assert threads.over(str, [1]) == ["1"] and threads.over(str, []) == []
