"""Provenance: revision of the checkout, hash of the lock, versions of packages."""

import subprocess

import numpy as np
import pytest

from nslib import params, provenance


@pytest.fixture
def fresh():
    cached = (provenance.code_revision, provenance.lock_hash)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments], cwd=folder, check=True,
                   capture_output=True)


def test_revision_is_the_checkouts_own(tmp_path, monkeypatch, fresh):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    kit = tmp_path / "kit"
    kit.mkdir()
    monkeypatch.setattr(params, "root", lambda: kit)
    assert provenance.code_revision() == "unknown"  # the repository around it is somebody else's
    git(kit, "init")
    provenance.code_revision.cache_clear()
    assert provenance.code_revision() == "unknown"  # no commit yet
    (kit / "file").write_text("1")
    git(kit, "add", "file")
    git(kit, "commit", "-m", "two")
    provenance.code_revision.cache_clear()
    clean = provenance.code_revision()
    assert len(clean) >= 7 and "dirty" not in clean
    (kit / "file").write_text("2")
    provenance.code_revision.cache_clear()
    assert provenance.code_revision() == f"{clean}-dirty"


def test_revision_without_git(tmp_path, monkeypatch, fresh):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(params, "root", lambda: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.code_revision() == "unknown"


def test_lock_hash_follows_the_file(tmp_path, monkeypatch, fresh):
    monkeypatch.setattr(params, "root", lambda: tmp_path)
    assert provenance.lock_hash() == "unknown"
    seen = set()
    for text in ("a==1", "a==2"):
        (tmp_path / "requirements.lock").write_text(text)
        provenance.lock_hash.cache_clear()
        seen.add(provenance.lock_hash())
    assert len(seen) == 2 and all(len(value) == 16 for value in seen)


def test_versions_are_those_installed():
    found = provenance.versions(["numpy", "no-such-package-here"])
    assert found == {"numpy": np.__version__, "no-such-package-here": "not installed"}
