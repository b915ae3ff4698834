"""Published models: servers that fail, downloads that break, archives that are damaged or hostile."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import tarfile
import threading
import time

import pytest
import requests
from hub_server import (
    FILES,
    archive,
    contents,
    hangs_up,
    interrupted,
    left_over,
    member,
    model_archive,
    page,
    send,
    status,
)

from nslib.embeddings.hub import download, resolver, unpack
from nslib.embeddings.hub.sources import SOURCES
from nslib.errors import Unavailable

CHUNK = 1 << 16  # what is lost of an interrupted download is less

pytest_plugins = ["hub_fixtures"]


# ---- servers that fail ------------------------------------------------------------------------------


def test_forbidden_is_asked_once_and_explained(hub, models):
    hub.faults = [status(403)]
    with pytest.raises(Unavailable) as caught:
        resolver.resolve("yamnet")
    text = str(caught.value)
    assert "403" in text and "Kaggle" in text and str(models / "yamnet") in text and "NSLIB_HUB_URL" in text
    assert len(hub.storage) == 1
    assert left_over(models) == []


def test_second_handle_where_there_are_two(hub):
    del hub.handles["google/nonsemantic-speech-benchmark/trillsson4/1"]
    assert contents(resolver.resolve("trillsson4")) == FILES
    asked = [path.split("?")[0] for path, _ in hub.requests]
    assert asked == [*(f"/{handle}" for handle in SOURCES["trillsson4"].handles), "/storage/trillsson4.tar.gz"]


def test_nothing_under_any_handle(hub):
    hub.handles.clear()
    with pytest.raises(Unavailable, match="404"):
        resolver.resolve("trillsson5")
    assert len(hub.requests) == 2


@pytest.mark.parametrize("fault", [status(500), status(503), status(429), status(429, Retry_After="1"), hangs_up])
def test_what_passes_is_tried_again(hub, monkeypatch, fault):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    hub.faults = [fault, fault]
    assert contents(resolver.resolve("frill")) == FILES
    assert len(hub.storage) == 3
    assert len(waits) == 2 and 0 < waits[0] <= waits[1]


def test_server_that_says_how_long_to_wait(hub, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 20))
    hub.faults = [status(429, Retry_After="7"), status(503, Retry_After=soon)]
    resolver.resolve("frill")
    assert waits[0] == 7 and 15 < waits[1] <= 20
    hub.faults = [status(429, Retry_After="3600")]
    with pytest.raises(Unavailable, match=r"429 .*for 3600 s"):
        resolver.resolve("trill")


def test_server_that_keeps_failing(hub, models):
    hub.faults = [status(500)] * 9
    with pytest.raises(Unavailable, match=r"500 .*4 attempts"):
        resolver.resolve("frill")
    assert len(hub.storage) == 4
    hub.faults = []
    assert contents(resolver.resolve("frill")) == FILES


def test_web_page_instead_of_an_archive(hub, models):
    hub.faults = [page]
    with pytest.raises(Unavailable, match=r"text/html.*not an archive"):
        resolver.resolve("yamnet")
    assert left_over(models) == []


def test_silent_server_is_left_for_a_while(hub, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUTS", (1.0, 0.05))
    hub.faults = [lambda request, data: time.sleep(0.3)] * 4
    with pytest.raises(Unavailable, match="silent"):
        resolver.resolve("frill")
    before = len(hub.requests)
    with pytest.raises(Unavailable, match=r"model trill is not .*silent.* ago.*tfhub\.dev/.*/trill/3"):
        resolver.resolve("trill")
    assert len(hub.requests) == before


def test_unreachable_hub_is_remembered(models, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NSLIB_HUB_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        calls = []
        real = requests.get
        monkeypatch.setattr(requests, "get", lambda *a, **k: calls.append(a) or real(*a, **k))
        began = time.perf_counter()
        for name in SOURCES:
            with pytest.raises(Unavailable, match=f"model {name} is not .*127.0.0.1 cannot be reached"):
                resolver.resolve(name)
        assert len(calls) == 1
        assert time.perf_counter() - began < 2
        monkeypatch.setattr(resolver, "REMEMBER_SECONDS", 0.0)
        with pytest.raises(Unavailable, match="no connection can be made"):
            resolver.resolve("frill")
        assert len(calls) == 2


@pytest.mark.parametrize(("error", "words"), [
    (requests.exceptions.ProxyError("x"), "proxy"), (requests.exceptions.SSLError("x"), "certificate")])
def test_other_ways_of_not_reaching_it(models, monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setenv("NSLIB_HUB_URL", "https://hub.invalid")
    monkeypatch.setattr(requests, "get", fail)
    with pytest.raises(Unavailable, match=rf"hub\.invalid cannot be reached.*{words}"):
        resolver.resolve("frill")


def test_unknown_host(models, monkeypatch):
    def unknown(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("NSLIB_HUB_URL", "https://hub.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unavailable, match="its name is not known here"):
        resolver.resolve("frill")


def test_redirect_out_of_encryption_is_refused(models, monkeypatch):
    first, last = requests.Response(), requests.Response()
    first.url, last.url, last.status_code, last.history = "https://tfhub.dev/x", "http://storage/x", 200, [first]
    with pytest.raises(download.NotServed, match="without encryption"):
        download._judge(last, "model x", "")


# ---- interrupted downloads --------------------------------------------------------------------------


def test_resumed_where_it_broke(hub):
    hub.faults = [interrupted(hub, 2 * CHUNK + 100)]
    assert contents(resolver.resolve("trill")) == FILES
    assert hub.storage == [None, f"bytes={2 * CHUNK}-"]


def test_resumed_by_a_later_run(hub, models):
    hub.faults = [interrupted(hub, CHUNK + 100)] + [status(500)] * 3
    with pytest.raises(Unavailable):
        resolver.resolve("trill")
    assert (models / ".trill.part").stat().st_size == CHUNK
    assert contents(resolver.resolve("trill")) == FILES
    assert hub.storage[-1] == f"bytes={CHUNK}-"
    assert left_over(models) == ["trill", "trill.json"]


def test_connection_that_breaks_often_but_gets_on(hub, models, monkeypatch):
    monkeypatch.setattr(download, "_CHUNK", 10_000)
    breaks = [interrupted(hub, at) for at in range(25_000, 175_000, 25_000)]
    hub.faults = list(breaks)
    with pytest.raises(Unavailable, match=r"connection broke \(4 attempts\)"):
        resolver.resolve("trill")
    download.drop(models / ".trill.part")
    monkeypatch.setattr(download, "_PROGRESS", 15_000)
    hub.faults = list(breaks)
    assert contents(resolver.resolve("trill")) == FILES
    kept = (20_000, 50_000, 70_000, 100_000, 120_000, 150_000)  # whole pieces of 10,000
    assert hub.storage[-7:] == [None, *(f"bytes={at}-" for at in kept)]


def test_complete_part_is_not_fetched_again(hub, models):
    data = hub.archives["trill"]
    models.mkdir()
    (models / ".trill.part").write_bytes(data)
    url = f"{hub.url}/{SOURCES['trill'].handles[0]}?tf-hub-format=compressed"
    version = f'"{hashlib.md5(data).hexdigest()}"'
    (models / ".trill.part.json").write_text(json.dumps({"url": url, "version": version}))
    assert contents(resolver.resolve("trill")) == FILES
    assert hub.storage == [f"bytes={len(data)}-"]


@pytest.mark.parametrize("server", ["ignores ranges", "names no version"])
def test_server_that_cannot_resume(hub, server):
    hub.ranges, hub.versions = server != "ignores ranges", server != "names no version"
    hub.faults = [interrupted(hub, CHUNK + 100)]
    assert contents(resolver.resolve("trill")) == FILES
    assert len(hub.storage) == 2


def test_model_that_changed_meanwhile_is_fetched_whole(hub):
    new = {**FILES, "saved_model.pb": b"another"}
    hub.faults = [interrupted(hub, CHUNK + 100)] + [status(500)] * 3
    with pytest.raises(Unavailable):
        resolver.resolve("trill")
    hub.archives["trill"] = model_archive(new)
    assert contents(resolver.resolve("trill")) == new


def test_other_part_than_asked_for(hub):
    def wrong(request, data):
        send(request, 206, data[10:], {"Content-Range": f"bytes 10-{len(data) - 1}/{len(data)}"})

    hub.faults = [interrupted(hub, CHUNK + 100), wrong]
    assert contents(resolver.resolve("trill")) == FILES
    assert hub.storage == [None, f"bytes={CHUNK}-", None]


def test_two_at_once_fetch_one(hub):
    hub.faults = [lambda request, data: (time.sleep(0.2), hub.send_archive(request, data))]
    found = []
    threads = [threading.Thread(target=lambda: found.append(resolver.resolve("trill"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert len(hub.storage) == 1


# ---- bad archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [30, 600, -9, -4])
def test_truncated_archive(hub, models, keep):
    good = hub.archives["trill"]
    hub.archives["trill"] = good[:keep]
    with pytest.raises(Unavailable, match=r"cut short or damaged.*Run again"):
        resolver.resolve("trill")
    assert left_over(models) == []
    hub.archives["trill"] = good
    assert contents(resolver.resolve("trill")) == FILES


def test_damaged_archive(hub, models):
    data = bytearray(hub.archives["trill"])
    data[len(data) // 2] ^= 0x55
    hub.archives["trill"] = bytes(data)
    with pytest.raises(Unavailable, match="damaged"):
        resolver.resolve("trill")
    assert left_over(models) == []


HOSTILE = {
    "up": (member("../evil"), "unsafe name"),
    "up inside": (member("variables/../../evil"), "unsafe name"),
    "absolute": (member("/evil"), "unsafe name"),
    "backslash": (member("..\\evil"), "unsafe name"),
    "drive": (member("C:evil"), "unsafe name"),
    "nameless": (member("./."), "unsafe name"),
    "symlink": (member("variables", tarfile.SYMTYPE, "/"), "a link"),
    "relative symlink": (member("assets/x", tarfile.SYMTYPE, "../saved_model.pb"), "a link"),
    "hardlink": (member("assets/x", tarfile.LNKTYPE, "saved_model.pb"), "a link"),
    "device": (member("assets/x", tarfile.CHRTYPE), "device"),
    "pipe": (member("assets/x", tarfile.FIFOTYPE), "device"),
    "name twice": (member("saved_model.pb"), "damaged"),
    "file as folder": (member("saved_model.pb/x"), "damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive(hub, models, tmp_path, kind):
    info, words = HOSTILE[kind]
    good = [(member(name), data) for name, data in FILES.items()]
    hub.archives["trill"] = archive([*good, (info, b"evil"), (member("more"), b"x")])
    before = sorted(p for p in tmp_path.rglob("*") if "models" not in p.parts)
    with pytest.raises(Unavailable, match=words):
        resolver.resolve("trill")
    assert left_over(models) == []
    assert sorted(p for p in tmp_path.rglob("*") if "models" not in p.parts) == before


def test_archive_without_a_model(hub, models):
    hub.archives["trill"] = model_archive({"readme.txt": b"x"})
    with pytest.raises(Unavailable, match=r"no saved_model\.pb"):
        resolver.resolve("trill")
    assert left_over(models) == []


@pytest.mark.parametrize(("where", "limit", "value"), [
    (unpack, "MAX_BYTES", 50_000), (unpack, "MAX_FILES", 3), (download, "MAX_BYTES", 100_000)])
def test_archive_that_is_too_large(hub, models, monkeypatch, where, limit, value):
    monkeypatch.setattr(where, limit, value)
    with pytest.raises(Unavailable, match="more than"):
        resolver.resolve("trill")
    assert left_over(models) == []


def test_killed_unpacking_leaves_no_half_model_and_is_tidied(hub, models):
    (models / ".new-abc.trill").mkdir(parents=True)
    (models / ".new-abc.trill" / "saved_model.pb").write_bytes(b"half")
    (models / ".new-abc.trill-distilled").mkdir()
    assert resolver.present("trill") is None
    assert contents(resolver.resolve("trill")) == FILES
    assert left_over(models) == [".new-abc.trill-distilled", "trill", "trill.json"]


@pytest.mark.parametrize(("code", "words"), [
    (errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written")])
def test_disk_that_takes_nothing(hub, monkeypatch, code, words):
    def fail(*_):
        raise OSError(code, os.strerror(code), "there")

    monkeypatch.setattr(unpack, "unpack", fail)
    with pytest.raises(Unavailable, match=words):
        resolver.resolve("trill")
