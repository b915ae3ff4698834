"""Clips are decoded ahead, within bounds, by whatever decodes; a killed process loses nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from helpers import clip_table, embedding

from nslib import audio, extract
from nslib.errors import BadAudio, UnknownName
from nslib.extract import decoding
from nslib.extract.units import Units
from nslib.store import Store


@pytest.fixture
def units(tmp_path):
    return Units(clip_table(tmp_path / "audio", [0.3 + 0.01 * i for i in range(12)]), 1.0)


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_every_clip_comes_with_its_own_waveform(units, monkeypatch, how):
    monkeypatch.setenv(decoding.VARIABLE, how)
    seen = []
    for unit, wave in decoding.ahead(units):
        for item in unit:
            np.testing.assert_array_equal(wave(item), audio.read(item.path).wave)
            seen.append(item.key)
    assert seen == [item.key for unit in reversed(units) for item in unit] and len(seen) == 12


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_a_file_that_cannot_be_read_is_its_own_problem(units, monkeypatch, how):
    monkeypatch.setenv(decoding.VARIABLE, how)
    os.unlink(units[0][0].path)
    warnings.simplefilter("error")  # no process may end of it
    bad = []
    for unit, wave in decoding.ahead(units):
        for item in unit:
            try:
                wave(item)
            except BadAudio as error:
                bad.append((item.key, error.reason))
    assert bad == [(units[0][0].key, "there is no such file")]


def test_look_ahead_is_bounded_in_seconds_of_audio(units, monkeypatch):
    monkeypatch.setattr(decoding, "AHEAD_SECONDS", 2.0)
    begun = []
    monkeypatch.setattr(decoding._Decoders, "start", lambda self, unit: begun.append(decoding.seconds([unit])))
    done = 0.0
    for unit, _ in decoding.ahead(units):
        done += decoding.seconds([unit])
        assert sum(begun) - done <= 2.0
    assert sum(begun) == pytest.approx(done) == pytest.approx(units.seconds)


def test_a_killed_decoder_is_said_and_nothing_is_lost(tmp_path, cache, monkeypatch):
    import psutil

    clips = clip_table(tmp_path / "audio", [0.3 + 0.01 * i for i in range(12)])
    expected = extract.vectors(clips, embedding(), store=Store(embedding(), tmp_path / "threads"), progress=False)
    monkeypatch.setattr(extract, "UNIT_SECONDS", 1.0)
    monkeypatch.setenv(decoding.VARIABLE, "processes")
    killed = []

    def deadly(waves, lengths):
        if len(killed) < decoding.RESTARTS + 1:
            for child in psutil.Process().children(recursive=True):
                if "loky" in " ".join(child.cmdline()) and "tracker" not in " ".join(child.cmdline()):
                    child.send_signal(signal.SIGKILL)
            killed.append(len(lengths))
            time.sleep(0.2)
        return embedding().embed(waves, lengths)

    monkeypatch.setattr(decoding, "AHEAD_SECONDS", 0.1)
    mine = embedding(embed=deadly)
    with pytest.warns(RuntimeWarning, match="was killed; its clips are read again"):
        out = extract.vectors(clips, mine, store=Store(mine, tmp_path / "processes"), progress=False)
    assert out.problems.empty and len(killed) == decoding.RESTARTS + 1
    np.testing.assert_array_equal(out.vectors, expected.vectors)


def test_processes_take_over_where_they_pay(units, monkeypatch):
    made = []
    monkeypatch.setattr(decoding, "_processes", lambda: made.append(1) or decoding._threads())
    monkeypatch.setattr(decoding, "_SAMPLE_SECONDS", 0.5)
    monkeypatch.setattr(decoding, "AHEAD_SECONDS", 0.1)

    def count(cpus, worth):
        made.clear()
        monkeypatch.setenv("NSLIB_THREADS", str(cpus))
        monkeypatch.setattr(decoding, "_PAYS_SECONDS", worth)
        for unit, wave in decoding.ahead(units):
            for item in unit:
                wave(item)
        return len(made)

    assert count(2, 0.0) == 0, "two processors are busy with the model"
    assert count(4, 1e9) == 0, "too little to decode"
    assert count(4, 0.0) > 0


def test_decoders_end_with_the_run(units, monkeypatch):
    monkeypatch.setenv(decoding.VARIABLE, "threads")
    before = threading.active_count()
    coming = decoding.ahead(units)
    next(coming)
    assert threading.active_count() > before
    coming.close()
    assert threading.active_count() == before


def test_other_ways_to_decode_are_refused(units, monkeypatch):
    monkeypatch.setenv(decoding.VARIABLE, "thread")
    with pytest.raises(UnknownName, match="threads"):
        next(decoding.ahead(units))
