"""Estimates: what they count, that a long run says them, and that what cannot fit is refused with both numbers."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
from helpers import clip_table, embedding
from test_measure import folder  # noqa: F401  the fixture

from nslib import estimates, extract, measure, params
from nslib.errors import Unavailable
from nslib.large import needs
from nslib.store import Store


def work(**changes):
    facts = {"task": "t", "embedding": "e", "clips": 1000, "train_clips": 700, "new_clips": 400,
             "new_audio_seconds": 7200.0, "dim": 12_288, "classes": 6, "combinations": 4,
             "vectors_seconds": 3600.0, "probes_seconds": 1800.0}
    return estimates.Work(**{**facts, **changes})


@pytest.mark.parametrize(("seconds", "words"), [(1, "1 min"), (600, "10 min"), (5399, "90 min"), (5400, "1.5 h"),
                                                (129_600, "1.5 days")])
def test_a_time_is_said_in_its_unit(seconds, words):
    assert estimates.duration(seconds) == words


def test_sums_are_of_what_is_left_to_do():
    second = work(embedding="f", dim=128, new_clips=0, new_audio_seconds=0, vectors_seconds=0)
    both = estimates.Estimate([work(), second])
    assert both.seconds == 3600 + 2 * 1800
    assert both.disk_gb == pytest.approx(400 * 12_288 * 4 / 1e9)
    forests = 100 * 2 * 2 * 0.64 * 700 * (8 * 6 + 64)
    assert both.memory_gb == pytest.approx((12_288 * (1000 * 12 + 700 * 16) + forests) / 1e9)
    said = both.text()
    assert "2.0 h on this machine" in said and "2.0 h of audio" in said
    assert "f: 0 min of embedding, 30 min of probes" in said


def test_more_clips_longer_vectors_and_more_classes_take_longer():
    base = estimates.probes_seconds(2000, 512, 6, 2)
    assert estimates.probes_seconds(4000, 512, 6, 2) > 1.9 * base
    assert estimates.probes_seconds(2000, 2048, 6, 2) > 1.9 * base
    assert estimates.probes_seconds(2000, 512, 600, 2) > base
    assert estimates.probes_seconds(2000, 512, 6, 4) == pytest.approx(2 * base)


def test_speed_comes_from_earlier_runs_else_from_a_trial(tmp_path, cache):
    mine, tried = embedding(), []
    assert estimates.times_real_time(mine.fingerprint, lambda: tried.append(1) or mine) > 0 and tried
    extract.vectors(clip_table(tmp_path / "clips", [3.0] * 10), mine, store=Store(mine), progress=False)
    assert estimates.times_real_time(mine.fingerprint, lambda: pytest.fail("a trial although the speed is known")) > 0


def test_what_fits_into_neither_memory_nor_disk_is_refused_with_both_numbers(monkeypatch):
    estimates.refuse_what_does_not_fit("t", 1000, 700, 128)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16e9))
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e9))
    with pytest.raises(Unavailable, match="about 51 GB of memory, or 14 GB of disk if they are streamed, and 1 GB"):
        estimates.refuse_what_does_not_fit("voxceleb", 148_642, 134_000, 12_288)


def test_a_grid_that_does_not_fit_is_counted_as_streamed(monkeypatch):
    large = estimates.Estimate([work(clips=148_642, train_clips=134_000, classes=1211)])
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16e9))
    assert large.memory_gb == pytest.approx(needs.streamed_gb(148_642, 134_000, 12_288, 1211)) and large.memory_gb < 6.5
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e12))
    assert large.memory_gb == pytest.approx(needs.memory_gb(148_642, 134_000, 12_288, 1211)) and large.memory_gb > 300


def test_a_long_run_says_first_what_it_will_take(folder, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(estimates, "LONG_SECONDS", 0.0)
    measure.benchmark("logmel", folder, params=params.load({}), progress=True)
    said = capsys.readouterr().err
    assert said.index("estimate: ") < said.index("embed logmel") and "GB of memory" in said


def test_a_short_run_says_nothing(folder, capsys):  # noqa: F811
    measure.benchmark("logmel", folder, params=params.load({}), progress=True)
    assert "estimate" not in capsys.readouterr().err
