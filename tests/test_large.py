"""Probes from files: the answers of the probes in memory, in blocks of a few numbers; files that nobody leaves."""

import errno
import os
import signal
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from helpers import embedding
from test_probe_fit import task

from nslib import classifiers, estimates, extract, lda, logistic, probe, probe_data, probe_fit, probing
from nslib.errors import NslibError, Unavailable
from nslib.large import grid, matrix, needs
from nslib.store import Store

LABELS = ["validation", "test"]


@pytest.fixture
def small_blocks(monkeypatch, cache):
    """Every matrix goes through memory in several blocks, and forests a few trees at a time."""
    for module, numbers in ((matrix, 3000), (logistic, 9000), (lda, 300)):
        monkeypatch.setattr(module, "_BLOCK", numbers)
    monkeypatch.setattr(needs, "forest_bytes", lambda clips: 40 * needs.tree_bytes(clips, 3))


def single(parts):
    return [probe.Split(part.x.astype(np.float32), part.y, part.speaker, part.clip_id) for part in parts]


VARIANTS = [(l2, norm) for l2 in (False, True) for norm in (False, True)]


def both(parts, metric="accuracy", probes=probe.PROBES, variants=VARIANTS):
    """Fits in memory and from files, of the same vectors."""
    held, filed = (probe_data.checked(*parts, streamed=streamed) for streamed in (False, True))
    wanted = probe_fit.Wanted(np.unique(held["train"].y), metric, 3)
    given = {"jobs": 2, "progress": None}
    return (probe_fit.fit_all(probes, variants, held, wanted, **given),
            grid.fit_all(probes, variants, filed, wanted, **given))


def leftovers(cache):
    return list((cache / "large").iterdir())


# --- answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("clips", "classes", "dim", "metric"), [
    (61, 3, 12, "auc"), (41, 2, 150, "auc"), (160, 3, 140, "auc"), (48, 4, 140, "accuracy")])
def test_answers_from_files_are_those_in_memory(small_blocks, cache, clips, classes, dim, metric):
    for one, other in zip(*both(single(task(clips=clips, classes=classes, dim=dim)), metric), strict=True):
        assert (one.probe, one.l2, one.speaker_norm) == (other.probe, other.l2, other.speaker_norm)
        exact = one.probe in classifiers.IN_FLOAT32
        for name in LABELS:
            assert (one.labels[name] == other.labels[name]).all()
            if metric == "auc":
                assert other.answers[name] == pytest.approx(one.answers[name], abs=0 if exact else 1e-4)
    assert not leftovers(cache)


def test_a_forest_is_the_same_however_few_trees_grow_at_a_time(small_blocks, monkeypatch):
    parts, tables = single(task(clips=61, classes=3)), []
    for trees in (7, 99, 100):
        monkeypatch.setattr(needs, "forest_bytes", lambda clips, n=trees: (n + 0.5) * needs.tree_bytes(clips, 3))
        held, filed = both(parts, "auc", classifiers.IN_FLOAT32, [(True, True)])
        tables.append([fit.answers["test"] for fit in filed])
        assert all((one.answers["test"] == other.answers["test"]).all() for one, other in zip(held, filed, strict=True))
    assert len({np.array(table).tobytes() for table in tables}) == 1


def test_vectors_are_normalised_as_in_memory_to_the_last_bit(small_blocks):
    one = single(task(clips=60, dim=9))[0]
    one.x[3] = 0
    rows = np.random.default_rng(0).permutation(60)[:17]
    for l2 in (False, True):
        for norm in (False, True):
            found = matrix.Normalised(one.x, one.speaker, l2=l2, speaker_norm=norm)
            expected = classifiers.normalised(one.x, one.speaker, l2=l2, speaker_norm=norm)
            assert found.shape == expected.shape and len(found) == 60
            assert all((found[k] == expected[k]).all() for k in (slice(None), rows, (rows, slice(2, 5))))


def test_a_speaker_of_many_clips_is_normalised_some_dimensions_at_a_time(small_blocks):
    x = np.random.default_rng(0).normal(3, 2, (1600, 4)).astype(np.float32)
    found = matrix.Normalised(x, np.array(["one"] * 1600), l2=True, speaker_norm=True)
    assert found[:] == pytest.approx(classifiers.normalised(x, ["one"] * 1600, l2=True, speaker_norm=True), abs=1e-12)


def test_the_vectors_that_are_given_stay_as_they_are(small_blocks):
    one = single(task(clips=61, classes=3))[0]
    x = one.x.astype(np.float64)
    for l2 in (False, True):
        matrix.Normalised(x, one.speaker, l2=l2, speaker_norm=True)[:20]
    assert (x == one.x).all()


def test_lda_reads_a_class_of_many_clips_from_a_file_by_rows(small_blocks, monkeypatch):
    rng = np.random.default_rng(0)
    y = np.arange(900) % 3
    x = (rng.normal(size=(900, 140)) * 10.0 ** rng.uniform(-2, 2, 140) + 5 + y[:, None]).astype(np.float32)
    x[:, 7], x[:, 8] = 0.1, 0
    filed = matrix.Normalised(matrix.gathered(x, np.arange(900)), y, l2=False, speaker_norm=False)
    asked, seen = lda._scaling_of_rows, []
    monkeypatch.setattr(lda, "_scaling_of_rows", lambda *given: seen.append(1) or asked(*given))
    one = classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](900, 3, 0).fit(x.astype(float), y)
    other = classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](900, 3, 0)
    grid.fit_analysis(other, filed, y)
    assert len(seen) == 3 and np.abs(one.coef_ - other.coef_).max() <= 1e-9 * np.abs(one.coef_).max()


@pytest.mark.parametrize(("clips", "classes"), [(80, 2), (80, 3), (9, 3), (4, 4)])
def test_lda_of_rows_is_lda(small_blocks, clips, classes):
    x, y = np.random.default_rng(0).normal(size=(clips, 200)), np.arange(clips) % classes
    one, other = (classifiers.CLASSIFIERS["LDA_LSQR_AUTO"](clips, classes, 0) for _ in range(2))
    if clips == classes:
        for fit in (one.fit, partial(grid.fit_analysis, other)):
            with pytest.raises(ValueError, match="number of samples must be more than the number of classes"):
                fit(x, y)
        return
    one.fit(x, y)
    grid.fit_analysis(other, x, y)
    assert one.classes_.tolist() == other.classes_.tolist() and one.coef_.shape == other.coef_.shape
    assert one.decision_function(x) == pytest.approx(other.decision_function(x), abs=1e-9)
    assert one.predict_proba(x) == pytest.approx(other.predict_proba(x), abs=1e-9)


# --- the grid ---------------------------------------------------------------------------------


def test_a_grid_from_files_has_the_rows_of_one_in_memory_and_says_so(small_blocks, cache):
    parts = single(task(clips=61, classes=3))
    held, filed = (probe.grid(*parts, streamed=streamed) for streamed in (False, True))
    assert held.rows.drop(columns="fit_seconds").equals(filed.rows.drop(columns="fit_seconds"))
    assert held.predictions.equals(filed.predictions) and not held.notes
    assert filed.notes == ("183 vectors went through memory in blocks.",)


def test_what_does_not_fit_into_memory_is_streamed_by_itself(small_blocks, monkeypatch, capsys):
    parts = single(task(clips=61, classes=3, dim=140))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1.0))
    assert "blocks" in probe.grid(*parts, probes=["LDA_LSQR_AUTO"]).notes[0]
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e12))
    assert not probe.grid(*parts, probes=["LDA_LSQR_AUTO"]).notes


def test_benchmarks_say_first_what_streaming_takes(small_blocks, monkeypatch, capsys):
    import pandas as pd

    parts = single(task(clips=61, classes=3))
    table = pd.concat([pd.DataFrame({"split": name, "label": part.y, "speaker": part.speaker, "clip_id": part.clip_id})
                       for name, part in zip(["train", *LABELS], parts, strict=True)])
    order = np.random.default_rng(0).permutation(len(table))
    out = extract.Extraction(np.concatenate([part.x for part in parts])[order], table.iloc[order], pd.DataFrame(), {})
    settings = {"probes": ["LDA_LSQR_AUTO"], "seed": 0}
    held = probing.grid("t", "e", out, settings, progress=True)
    assert capsys.readouterr().err.count("streamed") == 0
    monkeypatch.setattr(needs, "fits_in_memory", lambda *size: False)
    filed = probing.grid("t", "e", out, settings, progress=True)
    said = capsys.readouterr().err
    assert "probes of t: 183 vectors of 6 numbers" in said and "GB of disk" in said and "1 min" in said
    assert held.rows.drop(columns="fit_seconds").equals(filed.rows.drop(columns="fit_seconds"))


def test_it_is_refused_only_if_disk_or_what_streaming_holds_do_not_fit(monkeypatch, cache):
    voxceleb = ("voxceleb", 148_642, 134_000, 12_288, 1_211)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16e9))
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda _: SimpleNamespace(free=30e9))
    estimates.refuse_what_does_not_fit(*voxceleb)
    assert needs.streamed_gb(*voxceleb[1:]) < 1.3 * 134_000 * 12_288 * 4 / 1e9
    monkeypatch.setattr(estimates.shutil, "disk_usage", lambda _: SimpleNamespace(free=13e9))
    with pytest.raises(Unavailable, match="14 GB of disk if they are streamed, and 13 GB are free"):
        estimates.refuse_what_does_not_fit(*voxceleb)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=3e9))
    with pytest.raises(Unavailable, match="GB of memory if they are streamed, and 3 GB are free"):
        estimates.refuse_what_does_not_fit(*voxceleb)


# --- files ------------------------------------------------------------------------------------


def test_vectors_are_read_from_the_store_into_a_file(small_blocks, cache):
    store = Store(embedding())
    x = np.random.default_rng(0).normal(size=(200, store.dim)).astype(np.float32)
    keys = [f"key{i}" for i in range(200)]
    store.write("one", keys[:90], x[:90])
    store.write("two", keys[90:], x[90:])
    order = np.random.default_rng(1).permutation(200)
    found = matrix.read(store, [keys[i] for i in order])
    assert isinstance(found, np.memmap) and (found == x[order]).all() and not leftovers(cache)
    with pytest.raises(KeyError):
        matrix.read(store, ["unknown"])


def test_a_full_disk_is_said_before_anything_is_written(monkeypatch, cache):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NslibError, match=r"no space left in .*large for 0\.1 GB of vectors"):
        matrix.empty(1000, 25_000)
    assert not leftovers(cache)


def test_an_error_and_even_a_kill_leave_no_file(cache):
    with pytest.raises(NslibError, match="NaN"):
        broken = single(task(clips=61))
        broken[2].x[5] = np.nan
        probe.grid(*broken, streamed=True)
    code = ("from nslib.large import matrix; import numpy as np, time\n"
            "x = matrix.empty(100, 1000); x[:] = 1; print('ready', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert not leftovers(cache)
