"""Parameters are declared once; files are whole or not there; lock files and versions are read in one place."""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nslib import config
from nslib.errors import BadParameter, NslibError, UnknownName

# ------------------------------------------------------------------ parameters

def test_defaults_are_the_quick_profile_on_real_speech():
    assert config.load_params() == config.Params(profile="quick", corpus="real", seed=0, smoke=False)


def test_environment_is_read_and_arguments_win(monkeypatch):
    monkeypatch.setenv("SEED", "7")
    monkeypatch.setenv("TASKS", "a, b,")
    monkeypatch.setenv("SMOKE", "1")
    assert config.load_params() == config.Params(seed=7, tasks=("a", "b"), smoke=True)
    given_ = {"seed": 1, "tasks": ["c"], "smoke": False, "corpus": None}
    assert config.load_params(given_) == config.Params(seed=1, tasks=("c",))


@pytest.mark.parametrize(("given_", "nearest"), [({"sead": 1}, "seed"), ({"corpus": "reel"}, "real"),
                                                 ({"profile": "quik"}, "quick")])
def test_unknown_names_get_the_nearest_known_one(given_, nearest):
    with pytest.raises(UnknownName, match=f"Did you mean {nearest}"):
        config.load_params(given_)


@pytest.mark.parametrize("given_", [{"seed": "one"}, {"smoke": "maybe"}])
def test_unreadable_values_are_refused(given_):
    with pytest.raises(BadParameter, match=next(iter(given_))):
        config.load_params(given_)


@given(st.integers(), st.lists(st.text("abc-", min_size=1), max_size=4), st.booleans())
def test_what_goes_in_comes_out(seed, names, smoke):
    out = config.load_params({"seed": str(seed), "tasks": ",".join(names), "smoke": str(smoke)})
    assert (out.seed, out.tasks, out.smoke) == (seed, tuple(names), smoke)


# ------------------------------------------------------------------ paths and files

def test_one_variable_moves_the_cache_and_what_lies_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "there"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert config.cache_dir("vectors") == (tmp_path / "there" / "vectors").resolve()
    assert config.cache_dir("vectors").is_dir()
    assert config.manual_dir() == config.cache_dir("tfds") / "downloads" / "manual"
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "tfds"))
    assert config.tfds_dir() == tmp_path / "tfds"


def test_tests_leave_the_readers_cache_and_reports_alone():
    for folder in (config.reports_dir(), config.cache_dir("vectors")):
        assert not folder.is_relative_to(config.root()) and folder.is_relative_to(os.environ["NSLIB_CACHE"])


def test_a_file_is_replaced_whole_and_a_full_disk_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.txt"
    config.write_file(path, "first")
    config.write_file(path, b"second")
    assert path.read_text() == "second" and path.stat().st_mode & 0o777 == 0o644
    assert config.hash_file(path) == hashlib.sha256(b"second").hexdigest()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(config.os, "fsync", full)
    with pytest.raises(NslibError, match=r"no space left for .* point NSLIB_CACHE to a larger disk"):
        config.write_file(path, "third")
    assert path.read_text() == "second" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


# ------------------------------------------------------------------ versions

def test_lock_files_are_compared_with_what_is_installed(tmp_path, monkeypatch):
    text = ('numpy==0.1 \\\n    --hash=sha256:00\nnowhere-to-be-found==1 ; python_version >= "3.11" \\\n'
            'other==2 ; python_version < "3.0"\n')
    (tmp_path / "x.lock").write_text(text)
    monkeypatch.setattr(config, "root", lambda: tmp_path)
    numpy = importlib.metadata.version("numpy")
    assert config.lock_differences("x.lock") == [f"numpy 0.1 is locked, {numpy} is installed",
                                                 "nowhere-to-be-found 1 is locked, none is installed"]
    assert config.package_versions(["numpy", "nowhere-to-be-found"]) == {
        "numpy": numpy, "nowhere-to-be-found": "not installed"}


def test_the_hash_of_an_algorithm_is_of_its_version_and_its_packages_and_of_no_file():
    first = config.hash_algorithm("probe", 1, ["numpy"])
    assert len(first) == 16 and first == config.hash_algorithm("probe", 1, ["numpy"])
    others = {config.hash_algorithm("probe", 2, ["numpy"]), config.hash_algorithm("other", 1, ["numpy"]),
              config.hash_algorithm("probe", 1, ["scipy"])}
    assert len(others | {first}) == 4


@pytest.fixture
def fresh():
    for function in (config.code_revision, config.lock_hash):
        function.cache_clear()
    yield
    for function in (config.code_revision, config.lock_hash):
        function.cache_clear()


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments], cwd=folder, check=True,
                   capture_output=True)


def test_the_revision_is_that_of_a_checkout_of_our_own(tmp_path, monkeypatch, fresh):
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    kit = tmp_path / "kit"
    kit.mkdir()
    monkeypatch.setattr(config, "root", lambda: kit)
    assert config.code_revision() == "unknown"  # the repository around it is somebody else's
    git(kit, "init")
    config.code_revision.cache_clear()
    assert config.code_revision() == "unknown"  # no commit yet
    (kit / "file").write_text("1")
    git(kit, "add", "file")
    git(kit, "commit", "-m", "two")
    config.code_revision.cache_clear()
    clean = config.code_revision()
    assert len(clean) >= 7 and "dirty" not in clean
    (kit / "file").write_text("2")
    config.code_revision.cache_clear()
    assert config.code_revision() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    config.code_revision.cache_clear()
    assert config.code_revision() == "unknown"


def test_an_origin_names_revision_lock_and_time(tmp_path, monkeypatch, fresh):
    origin = config.describe_origin()
    assert list(origin) == ["code_revision", "lock_hash", "when"] and all(origin.values())
    assert origin["lock_hash"] == config.hash_file(config.root() / "requirements.lock")[:16]
    config.lock_hash.cache_clear()
    monkeypatch.setattr(config, "root", lambda: tmp_path)
    assert config.lock_hash() == "unknown"


# ------------------------------------------------------------------ the face

def test_import_is_light():
    code = ("import sys, nslib; print('numpy' in sys.modules); import nslib.paper.published, nslib.frontend; "
            "print([m for m in ('tensorflow', 'pandas', 'sklearn', 'scipy') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "[]"]


def test_unknown_attribute_names_the_public_surface():
    import nslib

    with pytest.raises(AttributeError, match="audio, benchmark"):
        _ = nslib.benchmrk
    assert set(nslib.__all__) <= set(dir(nslib))
