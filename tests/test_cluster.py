"""Units on worker processes: what is killed, raises or repeats leaves the store that a local run leaves."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from helpers import clip_table, embedding, frame_energy

from nslib import audio, cluster, extract
from nslib.cluster import machines, recipes, stream
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.store import Store


@pytest.fixture(scope="module")
def client():
    with machines.client("local:2") as found:
        yield found


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "UNIT_SECONDS", 4.0)
    return clip_table(tmp_path / "audio", [0.5 + 0.1 * i for i in range(20)])


def shards(store):
    return {path.name: path.read_bytes() for path in store.path.glob("*.arrow")}


def local(clips, root):
    store = Store(embedding(), root)
    extract.vectors(clips, embedding(), store=store, progress=False)
    return shards(store)


def on(client, clips, mine, root, shared=None, progress=False):
    store = Store(mine, root)
    with cluster.connect(client, shared=shared) as engine:
        out = extract.vectors(clips, mine, store=store, progress=progress, run=engine.run(lambda: recipes.of(mine)))
    return out, store


def first(path):
    """Whether this is the first call on any worker."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


class Stumbles:
    """Cannot be unpickled the first time."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return stumble, (self.marker,)


def stumble(marker):
    if first(marker):
        raise OSError("the disk was away for a moment")
    return Stumbles(marker)


@pytest.mark.parametrize("shared", [None, False])
def test_the_store_is_that_of_a_local_run_and_a_second_run_computes_nothing(client, clips, tmp_path, shared):
    out, store = on(client, clips, embedding(), tmp_path / "far", shared)
    assert shards(store) == local(clips, tmp_path / "here")
    assert out.ledger["computed"] == 20 and out.problems.empty and len(out.vectors) == 20
    assert out.ledger["audio_seconds"] == pytest.approx(clips["seconds"].sum())
    assert (store.path / "costs.jsonl").read_text().count("\n") == 1
    assert not list(store.path.glob(".t*")), "token or scrap left"

    def refuse(waves, lengths):
        raise AssertionError("computed again")

    again, _ = on(client, clips, embedding(embed=refuse), tmp_path / "far")
    assert again.ledger["computed"] == 0
    np.testing.assert_array_equal(again.vectors, out.vectors)


def test_a_killed_worker_and_errors_that_pass_lose_nothing(client, clips, tmp_path):
    raised, loaded, folder = str(tmp_path / "raised"), Stumbles(str(tmp_path / "loaded")), tmp_path / "far"

    def slow(waves, lengths):
        assert loaded
        if len(waves) == 1 and first(raised):
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
    killer = threading.Thread(target=kill)
    killer.start()
    out, store = on(client, clips, embedding(embed=slow), folder)
    killer.join(10)
    assert victim and victim[0] not in client.run(os.getpid).values()
    assert os.path.exists(raised) and os.path.exists(loaded.marker)
    assert out.problems.empty
    assert shards(store) == local(clips, tmp_path / "here")


@pytest.mark.parametrize("how", ["raises", "kills"])
def test_a_poisoned_clip_ends_in_the_problems(client, clips, tmp_path, how):
    poison = audio.read(clips["audio"][13]).wave

    def deadly(waves, lengths):
        if any(np.array_equal(wave[: len(poison)], poison) for wave in waves):
            if how == "raises":
                raise ValueError("poisoned")
            os.kill(os.getpid(), signal.SIGSEGV)
        return frame_energy(waves, lengths)

    out, _ = on(client, clips, embedding(embed=deadly), tmp_path / "far")
    assert list(out.problems["clip_id"]) == ["clip013"]
    assert {"raises": "poisoned", "kills": "SIGSEGV"}[how] in out.problems["reason"][0]
    assert len(out.clips) == 19 == out.ledger["computed"]
    kept = clips.drop(13)
    expected = extract.vectors(kept, embedding(), store=Store(embedding(), tmp_path / "here"), progress=False)
    np.testing.assert_array_equal(out.vectors, expected.vectors)


def test_answers_that_got_lost_with_a_worker_are_asked_for_again_and_not_for_ever(client, clips, tmp_path, monkeypatch):
    through, seen = stream.through, []

    def lossy(client, name, function, tasks):
        for number, (task, outcome) in enumerate(through(client, name, function, tasks)):
            seen.append(name)
            yield task, stream.Lost("gone") if len(set(seen)) == 1 and number % 2 else outcome

    monkeypatch.setattr(stream, "through", lossy)
    out, store = on(client, clips, embedding(), tmp_path / "far")
    assert len(set(seen)) == 2 and out.problems.empty and out.ledger["computed"] == 20
    assert shards(store) == local(clips, tmp_path / "here")
    monkeypatch.setattr(stream, "through", lambda c, n, f, tasks: ((task, stream.Lost("gone")) for task in tasks))
    with pytest.raises(NslibError, match=r"workers died 10 times over \d+ units of clips"):
        on(client, clips, embedding(revision="other"), tmp_path / "far")


def test_what_a_worker_cannot_decode_is_a_problem_with_its_words(client, clips, tmp_path):
    os.unlink(clips["audio"][3])
    audio.write_wav(clips["audio"][5], np.zeros(16000, np.float32))
    out, _ = on(client, clips, embedding(), tmp_path / "far")
    assert list(out.problems["clip_id"]) == ["clip003", "clip005"]
    assert "not what it was" in out.problems["reason"][1] and "List the clips again" in out.problems["remedy"][1]


def test_a_worker_that_sees_no_folder_or_has_another_model_says_so(client, clips, tmp_path, monkeypatch):
    from nslib.cluster import work

    mine = embedding()
    store = Store(mine, tmp_path / "far")
    with cluster.connect(client) as engine:
        run = engine.run(lambda: recipes.of(embedding(revision="old")))
    with pytest.raises(NslibError, match=r"worker tcp://127.*another energy.*same weights"):
        extract.vectors(clips, mine, store=store, progress=False, run=run)
    with cluster.connect(client) as engine:
        run = engine.run(lambda: recipes.File(str(tmp_path / "gone.onnx")))
    with pytest.raises(NslibError, match=r"worker tcp://127.*the model .*gone.onnx is not there"):
        extract.vectors(clips, mine, store=store, progress=False, run=run)
    seen = {"tcp://10.0.0.7:1": (False, True), "tcp://10.0.0.8:1": (True, True)}
    monkeypatch.setattr(client, "run", lambda *a, **k: seen)
    with pytest.raises(NslibError, match=r"worker tcp://10.0.0.7:1 does not see the store's folder.*NSLIB_CACHE"):
        on(client, clips, mine, tmp_path / "far")
    monkeypatch.setattr(client, "run", lambda *a, **k: {"tcp://10.0.0.7:1": (True, False)})
    with pytest.raises(NslibError, match=r"worker tcp://10.0.0.7:1 does not see the recording"):
        on(client, clips, mine, tmp_path / "far")
    assert not work.ORDERS and not list(store.path.glob(".token*"))


def test_workers_that_see_no_folder_send_the_vectors(client, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "run", lambda *a, **k: {"tcp://10.0.0.7:1": (False, True)})
    asked = []
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, *a: (asked.append(a[0]), write(self, *a))[1])
    _, store = on(client, clips, embedding(), tmp_path / "far")
    assert sorted(f"{name}.arrow" for name in asked) == sorted(shards(store))
    assert shards(store) == local(clips, tmp_path / "here")


def test_an_address_without_a_scheduler_is_told_in_seconds(monkeypatch):
    monkeypatch.setattr(machines, "CONNECT_SECONDS", 1)
    began = time.monotonic()
    with (pytest.raises(Unavailable, match=r"tcp://127.0.0.1:9 .*did not answer within 1 s.*dask scheduler"),
          cluster.connect("tcp://127.0.0.1:9")):
        pass
    assert time.monotonic() - began < 8


@pytest.mark.parametrize("address", ["local:0", "local:two", "local:", "nowhere", "ftp://127.0.0.1:9"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(BadParameter, match=r"local:2"), cluster.connect(address):
        pass


def test_local_workers_listen_on_loopback_only_and_share_the_cores(client):
    assert client.scheduler.address.startswith("tcp://127.0.0.1:")
    info = client.scheduler_info(n_workers=-1)["workers"]
    assert len(info) == 2 and all(address.startswith("tcp://127.0.0.1:") for address in info)
    assert {w["nthreads"] for w in info.values()} == {1}
    this = psutil.Process()
    listening = [c.laddr.ip for p in (this, *this.children(recursive=True)) for c in p.net_connections("tcp")
                 if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5 and set(listening) == {"127.0.0.1"}
    found = client.run(lambda: os.environ["NSLIB_THREADS"])
    assert set(found.values()) == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


def test_what_cannot_be_pickled_is_refused_before_it_is_sent(client, clips, tmp_path):
    lock = threading.Lock()

    def locked(waves, lengths):
        with lock:
            return frame_energy(waves, lengths)

    with pytest.raises(BadParameter, match=r"energy cannot be sent to workers.*first called"):
        on(client, clips, embedding(embed=locked), tmp_path / "far")


def test_every_way_to_name_an_embedding_has_a_recipe(tmp_path):
    from nslib.entrants import enter

    assert enter("logmel").recipe() == recipes.BuiltIn("logmel")
    assert enter(enter("logmel").load()).recipe() == recipes.BuiltIn("logmel")
    mine = enter(lambda waves: waves.std(axis=1, keepdims=True), "loud")
    assert mine.recipe().load().fingerprint == mine.fingerprint


def test_embed_and_benchmark_on_a_cluster(client, clips, tmp_path, monkeypatch):
    import nslib

    tables = {}
    for where in (None, client):
        monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / str(where is None)))
        tables[where is None] = nslib.embed(tmp_path / "audio", "logmel", cluster=where, progress=False)
    pd.testing.assert_frame_equal(tables[True], tables[False])
