"""Extraction: right vectors, each computed once, whatever fails or is killed on the way."""

import os
import threading
import time
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import psutil
import pytest
from helpers import clip_table, embedding, frame_energy, read_shards
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import audio
from nslib.errors import BadAudio, NslibError
from nslib.extraction import extract
from nslib.extraction.cache import COST_LOG, VectorCache, read_costs
from nslib.extraction.devices import Replica
from nslib.extraction.extract import Clip, WorkUnits, extract_vectors, group_clips


@given(st.lists(st.integers(1, 40 * 16000), max_size=40), st.randoms(use_true_random=False), st.booleans(),
       st.floats(0, 0.5), st.integers(0, 30000))
def test_groups_ignore_order_and_bound_the_padding(samples, random, same_length, padding, shortest):
    clips = [Clip(f"k{i}", "", "", n) for i, n in enumerate(samples)]
    options = {"same_length": same_length, "seconds": 30, "padding": padding, "shortest": shortest}
    groups = group_clips(clips, **options)
    assert groups == group_clips(random.sample(clips, len(clips)), **options)
    assert sorted((c for group in groups for c in group), key=lambda c: int(c.key[1:])) == clips
    for group in groups:
        fed = [max(clip.samples, shortest) for clip in group]
        assert len(group) == 1 or len(group) * max(fed) <= 30 * 16000
        assert not same_length or len(set(fed)) == 1
        assert 1 - sum(fed) / (len(fed) * max(fed)) <= padding + 1e-12


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 60)), max_size=40), st.data())
def test_units_are_the_groups_of_the_clips_whatever_the_order_of_the_table(rows, data):
    first = dict(reversed(rows))  # of a waveform that is there twice
    table = pd.DataFrame({"sha256": pd.array([f"k{k}" for k, _ in rows], "str"),
                          "seconds": [first[k] / 10 for k, _ in rows]})
    table = table.assign(audio="a" + table["sha256"], clip_id="c" + table["sha256"])
    clips = [Clip(f"k{k}", f"ak{k}", f"ck{k}", tenths * 1600) for k, tenths in first.items()]
    expected = group_clips(clips, same_length=False, seconds=8)
    units = WorkUnits(table, 8.0)
    assert list(units) == expected == units[:] and len(units) == len(expected)
    assert units.seconds == pytest.approx(sum(first.values()) / 10)
    assert list(WorkUnits(table.iloc[::-1], 8.0)) == expected
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table))), bool)
    known = {key for key, want in zip(table["sha256"], wanted, strict=True) if want}
    left = [rest for unit in expected if (rest := [clip for clip in unit if clip.key in known])]
    assert list(WorkUnits(table, 8.0, table["sha256"].isin(known).to_numpy(bool))) == left


@given(st.floats(1, 1e10), st.floats(1, 1e10))
def test_units_grow_with_the_corpus_by_doubling_and_stay_few(one, other):
    least, most = extract.UNIT_SECONDS, extract.MOST_UNITS
    (small, _), (large, seconds) = sorted((s, extract.choose_unit_seconds(s)) for s in (one, other))
    assert least <= extract.choose_unit_seconds(small) <= seconds and np.log2(seconds / least) % 1 == 0
    assert large / seconds <= most and (seconds == least or large / seconds > most / 2)


def make_units(folder):
    return WorkUnits(clip_table(folder, [0.3 + 0.01 * i for i in range(12)]), 1.0)


def test_every_clip_comes_with_its_own_waveform_or_its_own_problem_the_longest_first(tmp_path):
    units, seen = make_units(tmp_path), []
    lost = units[0][0]
    os.unlink(lost.path)
    for unit, decode in extract.decode_ahead(units):
        seen += unit
        for clip in set(unit) - {lost}:
            np.testing.assert_array_equal(decode(clip), audio.read(clip.path).wave)
    with pytest.raises(BadAudio, match="there is no such file"):
        decode(lost)
    assert seen == [clip for unit in reversed(units) for clip in unit] and len(seen) == 12


def test_look_ahead_is_bounded_in_seconds_of_audio_and_decoders_end_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "AHEAD_SECONDS", 2.0)
    begun = []
    monkeypatch.setattr(extract, "load_clip", lambda clip: begun.append(clip))
    before, done = threading.active_count(), 0
    coming = extract.decode_ahead(make_units(tmp_path))
    for unit, _ in coming:
        time.sleep(0.01)
        done += len(unit)
        assert len(begun) <= done + 6  # 2 s of clips of 0.3 s and more
        if done > 5:
            break
    coming.close()
    assert threading.active_count() == before


def test_vectors_are_means_over_valid_frames_in_the_order_given_and_frames_have_their_times(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.35, 2.5, 0.8])
    out = extract_vectors(clips, embedding(), progress=False)
    assert out.problems.empty
    for path, vector in zip(out.clips["audio"], out.vectors, strict=True):
        wave = audio.read(path).wave
        whole = wave[: len(wave) // 1600 * 1600].astype(np.float64)
        np.testing.assert_allclose(vector, [whole.mean(), (whole**2).mean()], rtol=1e-5, atol=1e-8)
    alone = extract_vectors(clips.iloc[[1]], embedding(revision="alone"), progress=False).vectors
    np.testing.assert_allclose(alone[0], out.vectors[1], atol=1e-6)  # whatever its company was
    seconds, vectors = extract.extract_frames(clips, embedding())["clip000"]
    np.testing.assert_allclose(seconds, np.arange(10) * 0.1, atol=1e-6)
    assert vectors.shape == (10, 2)
    with pytest.raises(BadAudio):
        extract.extract_frames(clips.assign(audio="gone.wav"), embedding())


def test_second_call_computes_nothing_and_costs_are_logged(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5])
    clips = pd.concat([clips, clips.assign(clip_id=["copy0", "copy1"])])  # two names of one sound are computed once
    first = extract_vectors(clips, embedding(), progress=False)
    np.testing.assert_array_equal(first.vectors[:2], first.vectors[2:])
    second = extract_vectors(clips, embedding(embed=None), progress=False)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert (first.cost["computed"], second.cost["computed"], second.cost["from_store"]) == (2, 0, 4)
    logged = read_costs(embedding().fingerprint).summary()
    assert logged == {k: v for k, v in first.cost.items() if k not in ("clips", "from_store")}


def test_short_clips_are_padded_and_counted_and_unsafe_padding_means_equal_lengths_only(tmp_path, cache):
    clips, seen = clip_table(tmp_path, [0.05, 0.5, 0.7, 0.5]), []

    def spy(waves, lengths):
        seen.extend(waves[i, :n] for i, n in enumerate(lengths))
        return frame_energy(waves, lengths)

    def strict(waves, lengths):
        assert len(set(lengths)) == 1 and lengths[0] == waves.shape[1]
        return frame_energy(waves, lengths)

    for pad, before in (("end", 0), ("centre", 400)):
        out = extract_vectors(clips, embedding(embed=spy, pad=pad), progress=False)
        assert out.cost["padded"] == 1
        short = [wave for wave in seen if len(wave) == 1600][-1]
        np.testing.assert_array_equal(short, np.pad(audio.read(clips["audio"][0]).wave, (before, 800 - before)))
    out = extract_vectors(clips[1:], embedding(embed=strict, pads_safely=False, revision="strict"), progress=False)
    assert out.problems.empty and out.cost["padding"] == 0


@pytest.mark.parametrize(("scale", "count", "words"), [
    ("poison", 1, "loop"), (np.nan, 1, "not finite"), (1, 0, "no valid frame")])
def test_one_poisoned_clip_costs_one_clip(tmp_path, cache, scale, count, words):
    clips = clip_table(tmp_path, [1.0] * 5)
    poison = audio.read(clips["audio"][3]).wave

    def picky(waves, lengths):
        frames, counts = frame_energy(waves, lengths)
        here = (waves == poison).all(axis=1)
        if here.any():
            frames[here] *= scale
            counts[here] *= count
        return frames, counts

    out = extract_vectors(clips, embedding(embed=picky), progress=False)
    assert list(out.clips["clip_id"]) == ["clip000", "clip001", "clip002", "clip004"]
    assert list(out.problems["clip_id"]) == ["clip003"] and words in out.problems["reason"][0]
    again = extract_vectors(clips, embedding(embed=picky), progress=False)
    assert (again.cost["computed"], len(again.problems)) == (0, 1)


def test_a_file_that_changed_or_went_is_a_problem_and_an_embedding_that_fails_on_all_is_an_error(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5, 0.7])
    with pytest.raises(NslibError, match=r"no vector for any of 3 clips.*has no attribute"):
        extract_vectors(clips, embedding(embed=lambda waves, lengths: waves.weights), progress=False)
    with pytest.raises(NslibError, match=r"expected frames of shape \[\d, frames, 3\]"):
        extract_vectors(clips, embedding(dim=3), progress=False)
    audio.write_wav(clips["audio"][0], np.zeros(16000, np.float32))
    os.unlink(clips["audio"][1])
    out = extract_vectors(clips, embedding(), progress=False)
    assert list(out.clips["clip_id"]) == ["clip002"]
    assert "not what it was" in out.problems["reason"][0]


def test_filling_a_given_cache_leaves_the_vectors_there_only_and_what_is_large_is_mapped(tmp_path, cache, monkeypatch):
    clips, store = clip_table(tmp_path / "audio", [0.5, 0.6]), VectorCache(embedding(), tmp_path)
    _, problems, cost = extract.fill_cache(clips, embedding(), store=store, progress=False)
    assert len(store) == 2 == cost["computed"] and problems.empty and len(VectorCache(embedding())) == 0
    again = extract_vectors(clips, embedding(), store=store, progress=False)
    assert again.cost["computed"] == 0
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.0))
    mapped = extract_vectors(clips, embedding(), store=store, progress=False).vectors
    assert isinstance(mapped, np.memmap) and not isinstance(again.vectors, np.memmap) and mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, again.vectors)


def test_an_interrupted_run_resumes_and_ends_in_the_same_bytes(tmp_path, cache, monkeypatch):
    calls = []

    def embed(waves, lengths):
        calls.append(len(waves))
        if sum(calls) > 12:  # what comes before is written meanwhile, by another thread
            deadline = time.monotonic() + 20
            while not list(store.path.glob("*.arrow")) and time.monotonic() < deadline:
                time.sleep(0.01)
            raise KeyboardInterrupt
        return frame_energy(waves, lengths)

    clips = clip_table(tmp_path / "audio", [0.5 + 0.1 * i for i in range(20)])
    monkeypatch.setattr(extract, "UNIT_SECONDS", 4.0)
    store, whole = (VectorCache(embedding(), tmp_path / name) for name in ("stopped", "whole"))
    with pytest.raises(KeyboardInterrupt):
        extract_vectors(clips, embedding(embed=embed), store=store, progress=False)
    stored = len(VectorCache.at(store.path))
    out = extract_vectors(clips, embedding(), store=store, progress=False)
    assert 0 < stored < 20 and out.cost["computed"] == 20 - stored
    extract_vectors(clips, embedding(), store=whole, progress=False)
    assert read_shards(whole) == read_shards(store)


def test_several_devices_give_the_same_bytes_and_a_store_that_fails_ends_all_threads(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path / "audio", [0.3 + 0.05 * i for i in range(30)])
    monkeypatch.setattr(extract, "UNIT_SECONDS", 2.0)
    one, three = (VectorCache(embedding(), tmp_path / name) for name in ("one", "three"))
    extract_vectors(clips, embedding(), store=one, progress=False)
    used, meeting = set(), threading.Barrier(3, timeout=20)

    def embed(waves, lengths):
        if threading.get_ident() not in used:
            used.add(threading.get_ident())
            meeting.wait()  # passes only if all three are at work at the same time
        return frame_energy(waves, lengths)

    with monkeypatch.context() as patch:
        patch.setattr(extract, "load_replicas", lambda _: [Replica(f"CPU:{k}", embed) for k in range(3)])
        out = extract_vectors(clips, embedding(), store=three, progress=False)
    assert read_shards(one) == read_shards(three) and len(read_shards(one)) > 5
    assert out.cost["devices"] == "CPU:0, CPU:1, CPU:2"
    monkeypatch.setattr(VectorCache, "write", Mock(side_effect=NslibError("no space left")))
    before = threading.active_count()
    with pytest.raises(NslibError, match="no space left"):
        extract_vectors(clips, embedding(), progress=False)
    assert threading.active_count() == before


def test_the_cost_log_tells_where_time_went_and_its_old_lines_are_still_read(tmp_path, cache):
    def slow(waves, lengths):
        time.sleep(0.2)
        return frame_energy(waves, lengths)

    clips, store = clip_table(tmp_path / "audio", [0.5, 0.6, 0.7]), VectorCache(embedding())
    (store.path / COST_LOG).write_text('{"computed": 3, "padded": 1, "audio_seconds": 6, "samples_real": 9, '
                                       '"samples_fed": 10, "wall_seconds": 2, "peak_memory_gb": 0.5}\n')
    before = read_costs(embedding().fingerprint).summary()
    assert before["clips_per_second"] == 1.5 and np.isnan(before["device_busy"]) and before["devices"] == ""
    cost = extract_vectors(clips, embedding(embed=slow), store=store, progress=False).cost
    assert 0.3 < cost["device_busy"] <= 1 and 0 <= cost["decode_wait"] <= 1 - cost["device_busy"]
    after = read_costs(embedding().fingerprint).summary()
    assert after["computed"] == 6 and after["device_busy"] == cost["device_busy"]
