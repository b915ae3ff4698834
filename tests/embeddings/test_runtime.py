"""Threads; networks on patches: pieces of bounded size, the same bits in any company."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import check_company
from hypothesis import given
from hypothesis import strategies as st

from nslib import embeddings, frontend
from nslib.embeddings import runtime
from nslib.errors import BadParameter


def cut(wave):
    return wave[: len(wave) // 10 * 10].reshape(-1, 10)


def batch(lengths, seed=0):
    rng = np.random.default_rng(seed)
    waves = np.zeros((len(lengths), max(lengths)), np.float32)
    for row, n in zip(waves, lengths, strict=True):
        row[:n] = rng.normal(0, 0.1, n)
    return waves, np.array(lengths)


@pytest.mark.parametrize(("variable", "count"), [
    ("NSLIB_THREADS", runtime.count_threads), ("JOBS", runtime.count_jobs)])
def test_counts_of_threads_and_of_jobs(monkeypatch, variable, count):
    monkeypatch.delenv(variable, raising=False)
    assert count() == len(os.sched_getaffinity(0))
    monkeypatch.setenv(variable, "3")
    assert count() == 3
    for asked in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv(variable, asked)
        with pytest.raises(BadParameter, match=f"{variable} is '{asked}'; give a whole number of .*: 1 or more"):
            count()


def test_jobs_of_a_size_are_as_many_as_free_memory_holds(monkeypatch):
    monkeypatch.setenv("JOBS", "4")
    for free, jobs in ((1e9, 1), (7e9, 3), (1e12, 4)):
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: SimpleNamespace(available=free))
        assert (runtime.count_jobs(2.0), runtime.count_jobs()) == (jobs, 4)


def test_threads_put_the_limit_of_blas_back():
    from threadpoolctl import threadpool_info

    def blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas()
    inner = runtime.map_threads(lambda k: (k, max(runtime.map_threads(lambda _: max(blas()), range(2)))), range(6))
    assert inner == [(k, 1) for k in range(6)]
    with pytest.raises(ZeroDivisionError):
        runtime.map_threads(lambda k: 1 / k, [1, 0])
    assert blas() == before


@pytest.mark.parametrize("steady", [False, True])
@given(counts=st.lists(st.integers(1, 90), min_size=1, max_size=6), at_once=st.sampled_from([1, 7, 32, 64]))
def test_each_clip_gets_the_frames_of_its_own_patches(steady, counts, at_once):
    sizes = []

    def network(patches):
        sizes.append(len(patches))
        return patches[:, :3] * 2

    embed = runtime.make_embedder(runtime.each_clip(cut), network, at_once, steady=steady)
    waves, lengths = batch([10 * count + 5 for count in counts])
    frames, found = embed(waves, lengths)
    assert found.tolist() == counts and runtime.is_ragged(embed)
    for wave, n, row, count in zip(waves, lengths, frames, counts, strict=True):
        np.testing.assert_array_equal(row[:count], cut(wave[:n])[:, :3] * 2)
        assert not row[count:].any()
    assert max(sizes) <= at_once and (steady or sum(sizes) == sum(counts))


def test_a_steady_network_sees_calls_of_two_sizes_only():
    sizes = []

    def network(patches):
        sizes.append(len(patches))
        return patches[:, :2]

    embed = runtime.make_embedder(runtime.each_clip(cut), network, steady=True)
    embed(*batch([705, 99, 320]))
    assert set(sizes) == {runtime.AT_ONCE, runtime.FEW}

    def by_size(patches):
        return patches[:, :2] * np.float32(1 + 1e-7 * (len(patches) == runtime.FEW))

    assert runtime.find_steady_sizes(by_size, (10,)) == (runtime.AT_ONCE,)


@pytest.mark.parametrize("name", ["trill-mini-layer19", "untrained", "trill-mini-distilled", "logmel", "mfcc"])
def test_what_the_kit_computes_is_the_same_bits_alone_and_in_any_company(name):
    lengths = [*[16_000] * 5, 9_000, 9_000, 70_000, 16_000]  # neighbours of one length are cut in one call
    groups = runtime.group_lengths(*batch(lengths))
    assert [group.shape for group in groups] == [(4, 16_000), (1, 16_000), (2, 9_000), (1, 70_000), (1, 16_000)]
    check_company(embeddings.get(name).embed, lengths)


def test_long_clips_are_computed_in_blocks_with_the_same_result(monkeypatch):
    wave = np.random.default_rng(0).normal(0, 0.1, 16000 * 3).astype(np.float32)
    whole = frontend.log_mel(wave)
    monkeypatch.setattr(frontend, "_BLOCK", 64)
    np.testing.assert_array_equal(frontend.log_mel(wave), whole)
