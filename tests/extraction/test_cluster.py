"""Units and fits on worker processes: what is killed, raises or repeats leaves what a local run leaves."""

import math
import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pandas as pd
import psutil
import pytest
from helpers import clip_table, embedding, frame_energy, read_shards, write_pitches

import nslib
from nslib import audio, config
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.extraction import cluster, extract
from nslib.extraction.cache import VectorCache
from nslib.extraction.cluster import BuiltInModel, ClusterJob, ModelFile, connect, make_recipe
from nslib.extraction.extract import extract_vectors

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it


@pytest.fixture(scope="module")
def client():
    with cluster.open_client("local:2") as client:
        yield client


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "UNIT_SECONDS", 4.0)
    return clip_table(tmp_path / "audio", [0.5 + 0.1 * i for i in range(20)])


def extract_here(clips, root):
    store = VectorCache(embedding(), root)
    extract_vectors(clips, embedding(), store=store, progress=False)
    return read_shards(store)


def extract_there(client, clips, model, root, recipe=None):
    store = VectorCache(model, root)
    with connect(client) as engine:
        run = engine.run(lambda: recipe or make_recipe(model))
        return extract_vectors(clips, model, store=store, progress=False, run=run), store


def is_first(path):
    """Whether this is the first call on any worker."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    return True


class Stumbles(str):
    """The path of a marker that cannot be unpickled the first time."""

    def __reduce__(self):
        return stumble, (str(self),)


def stumble(marker):
    if is_first(marker):
        raise OSError("the disk was away for a moment")
    return Stumbles(marker)


def test_the_cache_is_that_of_a_local_run_and_a_second_run_computes_nothing(client, clips, tmp_path):
    out, store = extract_there(client, clips, embedding(), tmp_path / "far")
    assert read_shards(store) == extract_here(clips, tmp_path / "here")
    assert out.cost["computed"] == 20 and out.problems.empty and len(out.vectors) == 20
    assert out.cost["audio_seconds"] == pytest.approx(clips["seconds"].sum())
    again, _ = extract_there(client, clips, embedding(embed=None), tmp_path / "far")
    assert again.cost["computed"] == 0
    np.testing.assert_array_equal(again.vectors, out.vectors)


def test_a_killed_worker_and_errors_that_pass_lose_nothing(client, clips, tmp_path):
    raised, loaded, folder = str(tmp_path / "raised"), Stumbles(str(tmp_path / "loaded")), tmp_path / "far"

    def slow(waves, lengths):
        assert loaded
        if len(waves) == 1 and is_first(raised):
            raise RuntimeError("this once")
        time.sleep(0.15)
        return frame_energy(waves, lengths)

    def kill():
        store = folder / embedding().fingerprint
        while len(list(store.glob("*.arrow"))) < 2:
            time.sleep(0.02)
        victim.append(sorted(client.run(os.getpid).values())[0])
        os.kill(victim[0], signal.SIGKILL)

    victim: list[int] = []
    threading.Thread(target=kill, daemon=True).start()
    out, store = extract_there(client, clips, embedding(embed=slow), folder)
    assert victim and victim[0] not in client.run(os.getpid).values()
    assert os.path.exists(raised) and os.path.exists(loaded) and out.problems.empty
    assert read_shards(store) == extract_here(clips, tmp_path / "here")


@pytest.mark.parametrize("how", ["raises", "kills"])
def test_a_poisoned_clip_ends_in_the_problems(client, clips, tmp_path, how):
    poison = audio.read(clips["audio"][13]).wave

    def deadly(waves, lengths):
        if any(np.array_equal(wave[: len(poison)], poison) for wave in waves):
            if how == "raises":
                raise ValueError("poisoned")
            os.kill(os.getpid(), signal.SIGSEGV)
        return frame_energy(waves, lengths)

    out, _ = extract_there(client, clips, embedding(embed=deadly), tmp_path / "far")
    assert list(out.problems["clip_id"]) == ["clip013"] and len(out.clips) == 19 == out.cost["computed"]
    assert {"raises": "poisoned", "kills": "SIGSEGV"}[how] in out.problems["reason"][0]


def test_a_worker_that_sees_no_recordings_or_has_another_model_says_so(client, clips, tmp_path, monkeypatch):
    old, gone = make_recipe(embedding(revision="old")), ModelFile(str(tmp_path / "gone.onnx"))
    for recipe, words in ((old, "another energy.*same weights"), (gone, "the model .*gone.onnx is not there")):
        with pytest.raises(NslibError, match=rf"worker tcp://127.*{words}"):
            extract_there(client, clips, embedding(), tmp_path / "far", recipe)
    with pytest.raises(NslibError, match=r"worker tcp://127.* does not see the recording .*none.wav"):
        client.run(cluster._check_sight, str(tmp_path / "none.wav"))
    monkeypatch.setattr(client, "run", lambda *a, **k: {"tcp://10.0.0.7:1": ImportError("No module named 'nslib'")})
    with pytest.raises(NslibError, match=r"worker tcp://10.0.0.7:1 cannot run nslib: ImportError.*same version"):
        extract_there(client, clips, embedding(), tmp_path / "far")


def test_embed_and_benchmark_on_a_cluster(client, tmp_path, monkeypatch):
    pitches, tables, rows = write_pitches(tmp_path / "pitches", takes=2), [], []
    for given in ({"progress": False}, {"progress": False, "cluster": client}):
        for name in ("NSLIB_CACHE", "NSLIB_REPORTS"):
            monkeypatch.setenv(name, str(tmp_path / f"{name}{len(given)}"))
        tables.append(nslib.embed(pitches, "logmel", **given))
        results = nslib.benchmark("logmel", pitches, params=config.load_params(smoke=True), **given)
        rows.append(results.rows.drop(columns=["fit_seconds", "when"]))
    pd.testing.assert_frame_equal(*tables)
    pd.testing.assert_frame_equal(*rows)


def test_an_address_without_a_scheduler_or_that_is_none_is_told_in_seconds(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    began = time.monotonic()
    with (pytest.raises(Unavailable, match=r"tcp://127.0.0.1:9 .*did not answer within 1 s.*dask scheduler"),
          connect("tcp://127.0.0.1:9")):
        pass
    assert time.monotonic() - began < 8
    for address in ("local:0", "local:two", "nowhere"):
        with pytest.raises(BadParameter, match=r"local:2"), connect(address):
            pass


def test_local_workers_listen_on_loopback_only_and_share_the_cores_and_how_an_embedding_travels(client):
    assert list(client.nthreads().values()) == [1, 1]
    this = psutil.Process()
    listening = [c.laddr.ip for p in (this, *this.children(recursive=True)) for c in p.net_connections("tcp")
                 if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5 and set(listening) == {"127.0.0.1"}
    threads = client.run(lambda: os.environ["NSLIB_THREADS"])
    assert set(threads.values()) == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert make_recipe(nslib.embeddings.get("logmel")) == BuiltInModel("logmel")
    assert make_recipe(embedding()).load().fingerprint == embedding().fingerprint
    with pytest.raises(BadParameter, match=r"energy cannot be sent to workers.*first called"):
        make_recipe(embedding(embed=threading.Lock()))


class Task(NamedTuple):
    probe: str
    splits: dict[str, Any]


TASKS = [Task(f"probe{i}", {"train": np.arange(6.0).reshape(3, 2)}) for i in range(12)]


def fit(task):
    return task.probe, float(task.splits["train"].sum())


def test_fits_are_those_of_a_local_run_also_if_workers_die_and_errors_keep_their_words(client, tmp_path):
    marker = str(tmp_path)

    def deadly(task):
        if is_first(f"{marker}/{task.probe}") and len(os.listdir(marker)) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return fit(task)

    with connect(client) as engine:
        for function in (fit, deadly):
            assert sorted(engine.mapper(function, TASKS)) == sorted(map(fit, TASKS))
        with pytest.raises(NslibError, match=r"a worker failed at probe\d+: AttributeError: .*'weights'"):
            list(engine.mapper(lambda task: task.weights, TASKS))


def test_what_got_lost_with_a_worker_is_not_sent_for_ever(client, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_get_outcome", lambda *_: CancelledError())
    _, store = extract_there(client, clips, embedding(), tmp_path / "far")
    assert read_shards(store) == extract_here(clips, tmp_path / "here")
    with connect(client) as engine, pytest.raises(NslibError, match="workers died 3 times over a fit"):
        list(engine.mapper(fit, TASKS))


@pytest.mark.parametrize(("how", "spared"), [
    pytest.param(signal.SIGKILL, 0, marks=pytest.mark.slow), pytest.param(signal.SIGSTOP, 0, marks=pytest.mark.heavy),
    pytest.param(signal.SIGSTOP, 1, marks=pytest.mark.heavy)])
def test_without_a_living_worker_it_is_given_up_and_one_is_enough(clips, tmp_path, monkeypatch, how, spared):
    seconds = 0.2 if spared else 2.0  # whoever is to die must not be done before, however busy the machine is

    def slow(waves, lengths):
        time.sleep(seconds)
        return frame_energy(waves, lengths)

    def hit():
        while not list(store.glob("*.arrow")) and time.monotonic() - began < 120:
            time.sleep(0.02)
        workers = sorted(client.run(os.getpid).values())[spared:]
        nannies = [psutil.Process(pid).ppid() for pid in workers] if not spared else []
        for pid in [*nannies, *workers]:
            os.kill(pid, how)

    monkeypatch.setattr(cluster, "SILENT_SECONDS", 6.0)
    model, began = embedding(embed=slow), time.monotonic()
    store = tmp_path / "far" / model.fingerprint
    with cluster.open_client("local:2") as client:
        thread = threading.Thread(target=hit)
        thread.start()
        if spared:
            out, _ = extract_there(client, clips, model, tmp_path / "far")
            assert len(out.clips) == 20
        else:
            with pytest.raises(NslibError, match=r"given up: no worker.*run the same command again"):
                extract_there(client, clips, model, tmp_path / "far")
        thread.join()
    assert time.monotonic() - began < 120


JOB = ClusterJob(clips=1e6, seconds=10, clips_per_second=25, workers=40, price=0.3, dim=1024, start_seconds=90,
                 redone=0.1, tasks_per_second=200, sent_per_second=30_000)


def test_costs_by_hand_and_that_more_workers_than_the_scheduler_feeds_gain_nothing():
    figures = cluster.estimate_cluster_cost(JOB)
    # 1e7 s of audio are more than 20,000 units of 240 s, so units have 960 s: 96 clips, 3.84 s of work
    hours = (1e6 / 25 * 1.1 / 40 + 90) / 3600
    assert figures == pytest.approx({
        "audio_hours": 1e7 / 3600, "audio_gb": 320, "vectors_gb": 4.096, "hours": hours, "machine_hours": 40 * hours,
        "money": 0.3 * 40 * hours, "unit_seconds": 960, "units": 1e7 / 960, "unit_minutes": 3.84 / 60,
        "useful_workers": 3.84 / (1 / 200 + 96 / 30_000)})
    most = figures["useful_workers"]
    enough, beyond = (cluster.estimate_cluster_cost(replace(JOB, workers=n)) for n in (most, 2 * most))
    assert (beyond["hours"], beyond["money"]) == pytest.approx((enough["hours"], 2 * enough["money"]))
    text = cluster.describe_cluster_cost(replace(JOB, workers=2 * most))
    assert "more workers than the scheduler can feed" in text and "in the currency of the price" in text
    assert "1,000,000 clips of 10 s; 40 workers, each 25 clips/s at 0.3 an" in cluster.describe_cluster_cost(JOB)
    for name, value, least in (("dim", math.nan, "more than 0"), ("price", -1, "0 or more")):
        with pytest.raises(BadParameter, match=f"{name} is .*{least}"):
            replace(JOB, **{name: value})
