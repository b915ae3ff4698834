"""Extraction: right vectors, each computed once, whatever fails or is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, embedding, frame_energy
from hypothesis import given
from hypothesis import strategies as st

from nslib import audio, extract, ledger
from nslib.errors import BadAudio, NslibError
from nslib.extract import Item, devices
from nslib.extract.units import Units
from nslib.large import needs
from nslib.store import Store

lengths = st.lists(st.integers(1, 40 * 16000), max_size=40)


def _items(samples):
    return [Item(f"k{i}", "", "", n) for i, n in enumerate(samples)]


@given(lengths, st.randoms(use_true_random=False), st.booleans())
def test_plan_is_a_partition_that_ignores_order(samples, random, same_length):
    items = _items(samples)
    groups = extract.plan(items, same_length=same_length, seconds=30)
    shuffled = list(items)
    random.shuffle(shuffled)
    assert groups == extract.plan(shuffled, same_length=same_length, seconds=30)
    assert sorted((i for g in groups for i in g), key=lambda i: int(i.key[1:])) == items
    for group in groups:
        assert len(group) == 1 or len(group) * max(i.samples for i in group) <= 30 * 16000
        assert not same_length or len({i.samples for i in group}) == 1


def test_vectors_are_means_over_valid_frames_in_the_order_given(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.35, 2.5, 0.8])
    out = extract.vectors(clips, embedding(), progress=False)
    assert out.problems.empty
    for clip, vector in zip(out.clips.itertuples(), out.vectors, strict=True):
        wave = audio.read(clip.audio).wave
        frames = wave[: len(wave) // 1600 * 1600].reshape(-1, 1600).astype(np.float64)
        np.testing.assert_allclose(vector, [frames.mean(), (frames**2).mean()], rtol=1e-5, atol=1e-8)


def test_vector_does_not_depend_on_company(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.35, 2.5, 0.8, 1.0])
    together = extract.vectors(clips, embedding(), progress=False).vectors
    for i in range(len(clips)):
        alone = extract.vectors(clips.iloc[[i]], embedding(revision=f"alone{i}"), progress=False).vectors
        np.testing.assert_allclose(alone[0], together[i], atol=1e-6)


def test_an_empty_store_that_was_given_is_used(tmp_path, cache):
    store = Store(embedding(), tmp_path)
    extract.vectors(clip_table(tmp_path, [0.5]), embedding(), store=store, progress=False)
    assert len(store) == 1 and len(Store(embedding())) == 0


def test_second_call_computes_nothing(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5])
    first = extract.vectors(clips, embedding(), progress=False)

    def refuse(*_):
        raise AssertionError("computed again")

    second = extract.vectors(clips, embedding(embed=refuse), progress=False)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert (first.ledger["computed"], second.ledger["computed"], second.ledger["from_store"]) == (2, 0, 2)
    cost = ledger.total(embedding().fingerprint).summary()
    assert cost == {k: v for k, v in first.ledger.items() if k not in ("clips", "from_store")}


def test_short_clips_are_padded_and_counted(tmp_path, cache):
    clips = clip_table(tmp_path, [0.05, 0.5])
    seen = []

    def spy(waves, lengths):
        seen.extend(waves[i, :n] for i, n in enumerate(lengths))
        return frame_energy(waves, lengths)

    for pad in ("end", "centre"):
        seen.clear()
        out = extract.vectors(clips, embedding(embed=spy, pad=pad), progress=False)
        assert out.ledger["padded"] == 1
        short = audio.read(clips["audio"][0]).wave
        before = 400 if pad == "centre" else 0
        np.testing.assert_array_equal(seen[0], np.pad(short, (before, 800 - before)))


def test_unsafe_padding_means_equal_lengths_only(tmp_path, cache):
    clips = clip_table(tmp_path, [0.5, 0.7, 0.5, 0.9])

    def strict(waves, lengths):
        assert len(set(lengths)) == 1 and lengths[0] == waves.shape[1]
        return frame_energy(waves, lengths)

    out = extract.vectors(clips, embedding(embed=strict, pads_safely=False), progress=False)
    assert out.problems.empty and out.ledger["padding"] == 0


@pytest.mark.parametrize("how", ["raises", "nan", "no frame"])
def test_one_poisoned_clip_costs_one_clip(tmp_path, cache, how):
    clips = clip_table(tmp_path, [1.0] * 5)
    poison = audio.read(clips["audio"][3]).wave

    def picky(waves, lengths):
        frames, counts = frame_energy(waves, lengths)
        for i, wave in enumerate(waves):
            if np.array_equal(wave, poison):
                if how == "raises":
                    raise RuntimeError("poisoned")
                frames[i] = np.nan if how == "nan" else frames[i]
                counts[i] = 0 if how == "no frame" else counts[i]
        return frames, counts

    out = extract.vectors(clips, embedding(embed=picky), progress=False)
    assert list(out.clips["clip_id"]) == ["clip000", "clip001", "clip002", "clip004"]
    assert list(out.problems["clip_id"]) == ["clip003"]
    said = {"raises": "poisoned", "nan": "not finite", "no frame": "no valid frame"}[how]
    assert said in out.problems["reason"][0]
    again = extract.vectors(clips, embedding(embed=picky), progress=False)
    assert (again.ledger["computed"], len(again.problems)) == (0, 1)


def test_a_file_that_changed_or_went_is_a_problem_not_a_wrong_vector(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5, 0.7])
    audio.write_wav(clips["audio"][0], np.zeros(16000, np.float32))
    os.unlink(clips["audio"][1])
    out = extract.vectors(clips, embedding(), progress=False)
    assert list(out.clips["clip_id"]) == ["clip002"]
    assert "not what it was" in out.problems["reason"][0]


def test_an_embedding_that_always_fails_is_an_error(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5])

    def broken(waves, lengths):
        raise ValueError("no weights")

    with pytest.raises(NslibError, match=r"no vector for any of 2 clips.*no weights"):
        extract.vectors(clips, embedding(embed=broken), progress=False)


def test_wrong_shape_is_explained(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0])
    with pytest.raises(NslibError, match=r"expected frames of shape \[1, frames, 3\]"):
        extract.vectors(clips, embedding(dim=3), progress=False)


def test_same_audio_under_two_names_is_computed_once(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0, 0.5])
    twice = pd.concat([clips, clips.assign(clip_id=["copy0", "copy1"])], ignore_index=True)
    out = extract.vectors(twice, embedding(), progress=False)
    assert out.ledger["computed"] == 2
    np.testing.assert_array_equal(out.vectors[:2], out.vectors[2:])


def test_frames_carry_their_start_times(tmp_path, cache):
    clips = clip_table(tmp_path, [1.0])
    seconds, vectors = extract.frames(clips, embedding())["clip000"]
    np.testing.assert_allclose(seconds, np.arange(10) * 0.1, atol=1e-6)
    assert vectors.shape == (10, 2)
    with pytest.raises(BadAudio):
        extract.frames(clips.assign(audio="gone.wav"), embedding())


KILLED = """
import sys, time, pandas as pd
sys.path.insert(0, {tests!r})
from helpers import embedding, frame_energy
from nslib import extract
extract.UNIT_SECONDS = 4.0
def slow(waves, lengths):
    time.sleep({delay})
    return frame_energy(waves, lengths)
out = extract.vectors(pd.read_pickle({table!r}), embedding(embed=slow), progress=False)
print(out.ledger["computed"])
"""


def test_killed_run_resumes_and_ends_in_the_same_bytes(tmp_path, monkeypatch):
    clips = clip_table(tmp_path / "audio", [0.5 + 0.1 * i for i in range(20)])
    clips.to_pickle(tmp_path / "clips.pkl")

    def start(cache, delay):
        code = KILLED.format(tests=os.path.dirname(__file__), delay=delay, table=str(tmp_path / "clips.pkl"))
        return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "NSLIB_CACHE": str(tmp_path / cache)})

    assert start("whole", 0).communicate(timeout=120)[0].strip() == "20"
    victim = start("killed", 0.3)
    store = tmp_path / "killed" / "vectors" / embedding().fingerprint
    while len(list(store.glob("*.arrow"))) < 2:
        assert victim.poll() is None, "finished before it could be killed"
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    kept = len(Store(embedding(), store.parent))
    assert 0 < kept < 20
    assert start("killed", 0).communicate(timeout=120)[0].strip() == str(20 - kept)
    whole = tmp_path / "whole" / "vectors" / embedding().fingerprint
    shards = {p.name: p.read_bytes() for p in whole.glob("*.arrow")}
    assert shards == {p.name: p.read_bytes() for p in store.glob("*.arrow")}
    assert len(shards) > 3


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(1, 60)), max_size=40), st.data())
def test_units_are_the_plan_of_the_clips_whatever_the_order_of_the_table(rows, data):
    first = dict(reversed(rows))  # of a waveform that is there twice
    table = pd.DataFrame({"sha256": pd.array([f"k{k}" for k, _ in rows], "str"),
                          "seconds": [first[k] / 10 for k, _ in rows]})
    table = table.assign(audio="a" + table["sha256"], clip_id="c" + table["sha256"])
    items = [Item(f"k{k}", f"ak{k}", f"ck{k}", tenths * 1600) for k, tenths in first.items()]
    expected = extract.plan(items, same_length=False, seconds=8)
    units = Units(table, 8.0)
    assert list(units) == expected == units[:] and len(units) == len(expected)
    assert units.seconds == pytest.approx(sum(first.values()) / 10)
    assert list(Units(table.iloc[::-1].reset_index(drop=True), 8.0)) == expected
    wanted = np.array(data.draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table))), bool)
    known = {key for key, want in zip(table["sha256"], wanted, strict=True) if want}
    left = [rest for unit in expected if (rest := [item for item in unit if item.key in known])]
    by_key = table["sha256"].isin(known).to_numpy(bool)
    assert list(Units(table, 8.0, by_key)) == left


@given(lengths, st.floats(0, 0.5), st.integers(0, 30000))
def test_padding_of_a_group_is_bounded(samples, padding, shortest):
    for group in extract.plan(_items(samples), same_length=False, seconds=60, padding=padding, shortest=shortest):
        fed = [max(item.samples, shortest) for item in group]
        assert 1 - sum(fed) / (len(fed) * max(fed)) <= padding + 1e-12


def test_several_devices_share_the_work_and_give_the_same_bytes(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path / "audio", [0.3 + 0.05 * i for i in range(30)])
    monkeypatch.setattr(extract, "UNIT_SECONDS", 2.0)
    one = extract.vectors(clips, embedding(), store=Store(embedding(), tmp_path / "one"), progress=False)
    used, meeting = [], threading.Barrier(3, timeout=20)

    def on(device):
        def embed(waves, lengths):
            if device not in used:
                meeting.wait()  # passes only if all three are at work at the same time
            used.append(device)
            return frame_energy(waves, lengths)

        return devices.Replica(device, embed)

    monkeypatch.setattr(devices, "replicas", lambda embedding: [on(f"CPU:{k}") for k in range(3)])
    store = Store(embedding(), tmp_path / "three")
    three = extract.vectors(clips, embedding(), store=store, progress=False)
    np.testing.assert_array_equal(three.vectors, one.vectors)
    shards = [{p.name: p.read_bytes() for p in (tmp_path / name / embedding().fingerprint).glob("*.arrow")}
              for name in ("one", "three")]
    assert shards[0] == shards[1] and len(shards[0]) > 5
    assert set(used) == {"CPU:0", "CPU:1", "CPU:2"}
    assert three.ledger["devices"] == "CPU:0, CPU:1, CPU:2"


def test_a_device_that_fails_ends_the_run_and_its_threads(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path / "audio", [0.3 + 0.05 * i for i in range(10)])
    monkeypatch.setattr(extract, "UNIT_SECONDS", 1.0)
    monkeypatch.setattr(Store, "write", lambda *_: (_ for _ in ()).throw(NslibError("no space left")))
    before = threading.active_count()
    with pytest.raises(NslibError, match="no space left"):
        extract.vectors(clips, embedding(), progress=False)
    assert threading.active_count() == before


def test_the_ledger_tells_where_time_went(tmp_path, cache):
    clips = clip_table(tmp_path / "audio", [0.5, 0.6, 0.7])

    def slow(waves, lengths):
        time.sleep(0.2)
        return frame_energy(waves, lengths)

    mine = embedding(embed=slow)
    found = extract.vectors(clips, mine, progress=False).ledger
    assert 0.3 < found["device_busy"] <= 1 and 0 <= found["decode_wait"] < 0.6
    assert found["device_busy"] + found["decode_wait"] <= 1
    assert found["batch_seconds"] > 0 and found["devices"]


def test_old_lines_of_the_ledger_are_still_read(tmp_path, cache):
    clips = clip_table(tmp_path / "audio", [0.5, 0.6])
    store = Store(embedding())
    old = {"computed": 3, "padded": 1, "audio_seconds": 6.0, "samples_real": 9, "samples_fed": 10, "wall_seconds": 2.0,
           "peak_memory_gb": 0.5}
    (store.path / ledger.FILE).write_text(json.dumps(old) + "\n")
    before = ledger.total(embedding().fingerprint).summary()
    assert before["clips_per_second"] == 1.5 and np.isnan(before["device_busy"]) and before["devices"] == ""
    new = extract.vectors(clips, embedding(), store=store, progress=False).ledger
    after = ledger.total(embedding().fingerprint).summary()
    assert after["computed"] == 5 and after["device_busy"] == new["device_busy"]


def test_fill_leaves_the_vectors_in_the_store(tmp_path, cache):
    clips = clip_table(tmp_path / "audio", [0.5, 0.6])
    filled = extract.fill(clips, embedding(), progress=False)
    again = extract.vectors(clips, embedding(), progress=False)
    assert again.ledger["computed"] == 0
    np.testing.assert_array_equal(filled.store.read(filled.clips["sha256"]), again.vectors)


def test_vectors_that_would_fill_the_memory_are_mapped_from_a_file(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path, [1.0, 0.5, 0.8])
    held = extract.vectors(clips, embedding(), progress=False).vectors
    monkeypatch.setattr(needs, "free_gb", lambda: 1e-9)
    mapped = extract.vectors(clips, embedding(), progress=False).vectors
    assert isinstance(mapped, np.memmap) and not isinstance(held, np.memmap)
    np.testing.assert_array_equal(mapped, held)
