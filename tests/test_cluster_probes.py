"""Fits on worker processes: the numbers of a local run, whatever dies."""

from __future__ import annotations

import os
import signal

import numpy as np
import pandas as pd
import pytest
from helpers import tone

from nslib import audio, measure, params, probe_data, probe_fit
from nslib.cluster import machines, probes, stream
from nslib.errors import NslibError
from nslib.probe_fit import Wanted

VARIANTS = [(False, False), (False, True), (True, False), (True, True)]
PROBES = ["LogisticRegression", "LDA_LSQR_AUTO", "Forest_unbalanced_100"]


@pytest.fixture(scope="module")
def client():
    with machines.client("local:2") as found:
        yield found


@pytest.fixture(scope="module")
def splits():
    def split(seed, n):
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, n)
        x = rng.normal(size=(n, 20)) + y[:, None]
        names = [f"{seed}-{i:03d}" for i in range(n)]
        return probe_data.Split(x, y.astype(str), (np.arange(n) % 4).astype(str), np.array(names))

    return probe_data.checked(split(0, 60), split(1, 30), split(2, 30))


def fits(splits, mapper=None):
    wanted = Wanted(np.array(["0", "1", "2"]), "accuracy", 0)
    return probe_fit.fit_all(PROBES, VARIANTS, splits, wanted, jobs=1, progress=None, mapper=mapper)


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert (one.probe, one.l2, one.speaker_norm, one.converged, one.reason) == (
            other.probe, other.l2, other.speaker_norm, other.converged, other.reason)
        for name in other.answers:
            np.testing.assert_array_equal(one.answers[name], other.answers[name])
            np.testing.assert_array_equal(one.labels[name], other.labels[name])


def test_the_fits_are_those_of_a_local_run(client, splits):
    same(fits(splits, probes.mapper(client)), fits(splits))


def test_workers_that_die_with_the_vectors_lose_no_fit(client, splits, tmp_path):
    marker = str(tmp_path)

    def deadly(task):
        try:
            os.mkdir(f"{marker}/{task.probe}{task.variant}")
        except FileExistsError:
            return probe_fit.fit_one(task)
        if len(os.listdir(marker)) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return probe_fit.fit_one(task)

    over = probes.mapper(client)
    same(fits(splits, lambda function, tasks: over(deadly, tasks)), fits(splits))


def test_fits_whose_vectors_are_lost_are_sent_again(client, splits, monkeypatch):
    sent = []
    through = stream.through

    def lossy(client, name, function, tasks):
        sent.append([task.key for task in tasks])
        for task, outcome in through(client, name, function, tasks):
            yield task, stream.Lost("gone") if len(sent) == 1 and int(task.key) % 2 else outcome

    monkeypatch.setattr(stream, "through", lossy)
    same(fits(splits, probes.mapper(client)), fits(splits))
    assert [len(keys) for keys in sent] == [12, 6]
    monkeypatch.setattr(stream, "through", lambda c, n, f, tasks: ((task, stream.Lost("gone")) for task in tasks))
    with pytest.raises(NslibError, match="workers died 3 times over 12 fits: gone"):
        fits(splits, probes.mapper(client))


def test_a_fit_that_fails_on_a_worker_keeps_its_words(client, splits):
    def broken(task):
        raise ArithmeticError("no such number")

    over = probes.mapper(client)
    with pytest.raises(NslibError, match=r"a worker failed at .*ArithmeticError: no such number"):
        fits(splits, lambda function, tasks: over(broken, tasks))


def test_a_benchmark_on_the_cluster_has_the_rows_of_a_local_one(client, tmp_path, monkeypatch):
    for label, hertz in (("low", 200), ("high", 2000)):
        for speaker in range(6):
            (tmp_path / "pitches" / label / f"s{speaker}").mkdir(parents=True)
            for take in range(2):
                wave = tone(0.6 + 0.1 * take, hertz * (1 + 0.02 * speaker), seed=10 * speaker + take)
                audio.write_wav(tmp_path / "pitches" / label / f"s{speaker}" / f"{take}.wav", wave)
    rows = {}
    for where in (None, client):
        monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / f"cache{where is None}"))
        monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / f"reports{where is None}"))
        found = measure.benchmark("logmel", tmp_path / "pitches", params=params.load({"smoke": True}), progress=False,
                                  cluster=where)
        rows[where is None] = found.rows
    drift = [c for c in rows[True] if c in ("fit_seconds", "when")]
    pd.testing.assert_frame_equal(rows[True].drop(columns=drift), rows[False].drop(columns=drift))
