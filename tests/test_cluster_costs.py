"""The cost arithmetic: by hand, by its laws, and from the command line."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from nslib import cli as machines
from nslib.cluster import costs
from nslib.errors import BadParameter
from nslib.extract.sizes import MOST_UNITS, unit_seconds
from nslib.extract.units import UNIT_SECONDS

JOB = costs.Job(clips=1e6, seconds=10, clips_per_second=25, workers=40, price=0.3, dim=1024, start_seconds=90,
                redone=0.1, tasks_per_second=200, sent_per_second=30_000)


def test_by_hand():
    found = costs.of(JOB)
    # 1e7 s of audio are more than 20,000 units of 240 s, so units have 960 s: 96 clips, 3.84 s of work
    assert (found.unit_seconds, found.units) == (960, pytest.approx(1e7 / 960))
    assert found.unit_minutes == pytest.approx(3.84 / 60)
    assert found.useful_workers == pytest.approx(3.84 / (1 / 200 + 96 / 30_000))
    assert found.hours == pytest.approx((1e6 / 25 * 1.1 / 40 + 90) / 3600)
    assert found.machine_hours == pytest.approx(40 * found.hours)
    assert found.money == pytest.approx(0.3 * found.machine_hours)
    assert found.audio_hours == pytest.approx(2777.78, abs=0.01)
    assert found.vectors_gb == pytest.approx(4.096) and found.audio_gb == pytest.approx(320)


def test_more_workers_than_the_scheduler_feeds_cost_and_gain_nothing():
    most = costs.of(JOB).useful_workers
    there, beyond = costs.of(replace(JOB, workers=most)), costs.of(replace(JOB, workers=2 * most))
    assert beyond.hours == pytest.approx(there.hours) and beyond.money == pytest.approx(2 * there.money)
    assert "more workers than the scheduler can feed" in costs.text(replace(JOB, workers=2 * most))
    assert "more workers than" not in costs.text(JOB)


@pytest.mark.parametrize("field", ["clips", "seconds", "clips_per_second", "workers", "dim", "tasks_per_second",
                                   "sent_per_second"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_what_cannot_be_is_refused(field, value):
    with pytest.raises(BadParameter, match=rf"{field} is .*more than 0"):
        replace(JOB, **{field: value})


def test_a_negative_price_is_refused_and_none_is_allowed():
    with pytest.raises(BadParameter, match=r"price is -1.*0 or more"):
        replace(JOB, price=-1)
    assert costs.of(replace(JOB, price=0)).money == 0


@given(st.floats(1, 1e10), st.floats(1, 1e10))
def test_units_grow_with_the_corpus_by_doubling_and_stay_few(one, other):
    small, large = sorted((one, other))
    assert UNIT_SECONDS <= unit_seconds(small) <= unit_seconds(large)
    assert math.log2(unit_seconds(large) / UNIT_SECONDS) % 1 == 0
    assert large / unit_seconds(large) <= MOST_UNITS
    if large > MOST_UNITS * UNIT_SECONDS:
        assert large / unit_seconds(large) > MOST_UNITS / 2
    else:
        assert unit_seconds(large) == UNIT_SECONDS


def test_the_command_says_what_it_assumes():
    found = CliRunner().invoke(machines.cluster_app, ["cost", "--clips", "1e6", "--seconds", "10", "--price", "0.3"])
    assert found.exit_code == 0
    assert "assumed: 1,000,000 clips of 10 s; 1 workers, each 20 clips/s at 0.3 an hour" in found.output
    assert "in the currency of the price" in found.output
