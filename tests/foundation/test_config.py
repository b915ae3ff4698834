"""Parameters are declared once; files are whole or not there; lock files and versions are read in one place."""

import errno
import hashlib
import importlib.metadata
import os
import pickle
import subprocess
import sys
from unittest import mock

import pytest

import nslib
from nslib import config
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable, UnknownName, failed_download


def test_environment_is_read_and_arguments_win(monkeypatch):
    assert config.load_params() == config.Params(profile="quick", corpus="real", seed=0, smoke=False)
    for name, value in {"SEED": "-7", "TASKS": "a, b,", "SMOKE": "True"}.items():
        monkeypatch.setenv(name, value)
    assert config.load_params() == config.Params(seed=-7, tasks=("a", "b"), smoke=True)
    given = {"seed": 1, "tasks": ["c"], "smoke": False, "corpus": None}
    assert config.load_params(given) == config.Params(seed=1, tasks=("c",))


def test_a_rehearsal_is_of_the_paper_profile_and_has_reports_of_its_own():
    params, home = config.load_params(rehearse=True), config.reports_dir()
    assert (params.profile, params.smoke, params.clips_per_class) == ("paper", True, 4)
    assert params.caveat == "Rehearsal: the numbers mean nothing."
    with config.environment(REHEARSE=1):
        assert config.load_params() == params and config.reports_dir() == home / "rehearsal"
        quick = config.load_params(profile="quick", smoke=True)  # as notebooks ask beside
        assert (quick.rehearse, quick.clips_per_class) == (False, 8) and quick.caveat.startswith("Smoke run")
    assert config.reports_dir() == home and not config.load_params().caveat
    with config.environment(REHEARSE=0):
        assert config.reports_dir() == home and config.load_params().transductive is None


@pytest.mark.parametrize(("given", "error", "message"), [
    ({"sead": 1}, UnknownName, "Did you mean seed"), ({"profile": "quik"}, UnknownName, "Did you mean quick"),
    ({"seed": "one"}, BadParameter, "seed' is 'one'; give a whole number"),
    ({"smoke": "maybe"}, BadParameter, "smoke' is 'maybe'; allowed: 1 or 0")])
def test_unknown_names_and_unreadable_values_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        config.load_params(given)


def test_one_variable_moves_the_cache_and_what_lies_in_it(tmp_path, monkeypatch):
    for folder in (config.reports_dir(), config.cache_dir("vectors")):  # tests leave the reader's own alone
        assert folder.is_relative_to(os.environ["NSLIB_CACHE"]) and not folder.is_relative_to(config.root())
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "there"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    folder = config.cache_dir("vectors")
    assert folder == (tmp_path / "there" / "vectors").resolve() and folder.is_dir()
    assert config.manual_dir() == config.cache_dir("tfds") / "downloads" / "manual"
    monkeypatch.setenv("NSLIB_DATA_DIR", str(tmp_path / "tfds"))
    assert config.tfds_dir() == tmp_path / "tfds"


def test_a_file_is_replaced_whole_and_a_full_disk_keeps_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path))
    path = tmp_path / "new" / "a.txt"
    config.write_file(path, "first")
    config.write_file(path, b"second")
    assert path.read_text() == "second" and path.stat().st_mode & 0o777 == 0o644
    assert config.hash_file(path) == hashlib.sha256(b"second").hexdigest()
    monkeypatch.setattr(config.os, "fsync", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(NslibError, match=r"no space left for .* point NSLIB_CACHE to a larger disk"):
        config.write_file(path, "third")
    assert path.read_text() == "second" and [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_lock_files_are_compared_with_what_is_installed(tmp_path, monkeypatch):
    (tmp_path / "x.lock").write_text('numpy==0.1 \\\n    --hash=sha256:00\nother==2 ; python_version < "3.0"\n'
                                     'nowhere-to-be-found==1 ; python_version >= "3.11" \\\n')
    monkeypatch.setattr(config, "root", lambda: tmp_path)
    numpy = importlib.metadata.version("numpy")
    assert config.lock_differences("x.lock") == [f"numpy 0.1 is locked, {numpy} is installed",
                                                 "nowhere-to-be-found 1 is locked, none is installed"]
    assert config.package_versions(["numpy", "no-such"]) == {"numpy": numpy, "no-such": "not installed"}


def test_an_origin_names_time_lock_and_the_revision_of_a_checkout_of_our_own(tmp_path, monkeypatch):
    def git(folder, *arguments):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments], cwd=folder, check=True,
                       capture_output=True)

    origin = config.describe_origin()
    assert list(origin) == ["code_revision", "lock_hash", "when"] and all(origin.values())
    assert origin["lock_hash"] == config.hash_file(config.root() / "requirements.lock")[:16]
    revision, kit = config.code_revision.__wrapped__, tmp_path / "kit"  # what is remembered stays
    kit.mkdir()
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "one")
    monkeypatch.setattr(config, "root", lambda: kit)
    assert config.lock_hash.__wrapped__() == revision() == "unknown"  # the repository around it is somebody else's
    git(kit, "init")
    assert revision() == "unknown"  # no commit yet
    (kit / "file").touch()
    git(kit, "add", "file")
    git(kit, "commit", "-m", "two")
    clean = revision()
    assert len(clean) >= 7 and "dirty" not in clean
    (kit / "file").write_text("2")
    assert revision() == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert revision() == "unknown"


@pytest.mark.parametrize("error", [
    BadParameter("a value"), UnknownName("task", "savvee", ["savee", "crema_d"]),
    BadAudio("a.wav", "it is cut short", "Copy it again."), Unavailable("weights", "no network", "Fetch them.")])
def test_an_error_survives_pickling_with_all_its_words(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and str(back) == str(error) and vars(back) == vars(error)


@pytest.mark.parametrize(("output", "message"), [
    ("E: write: No space left on device", "w is not available: the disk is full. Free some space, or set NSLIB_CACHE."),
    ("Could not resolve 'mirror'", "or the server that apt is set up for, cannot be reached. Connect and run again"),
    ("get\nE: bad key of https://host/x", "apt failed: E: bad key of <address>. Try it by hand.")])
def test_why_a_download_failed_is_told_without_the_machines_addresses(output, message):
    assert message in str(failed_download("w", "apt", output))


def test_import_is_light_and_an_unknown_attribute_names_the_public_surface():
    code = ("import sys, nslib; print('numpy' in sys.modules); import nslib.paper.published, nslib.frontend; "
            "from nslib.datasets.noss_sources import SOURCES, get_status; [get_status(name) for name in SOURCES]; "
            "print([m for m in ('tensorflow', 'sklearn', 'scipy') if m in sys.modules])")
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["False", "[]"]
    with pytest.raises(AttributeError, match="audio, benchmark"):
        _ = nslib.benchmrk


@pytest.mark.parametrize(("script", "fails"), [("import nslib.embeddings, tensorflow", False),
                                               ("import nslib; nslib.load_classifier", True)])
def test_what_tensorflow_says_on_starting_is_dropped_and_everything_else_is_kept(tmp_path, script, fails):
    """A package in its place writes, past Python, what TensorFlow 2.21 writes whatever its log level is."""
    lines = ["WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
             "I0000 00:00:1796019299.659063 11881 port.cc:153] oneDNN custom operations are on.", "fatal: no memory"]
    end = "raise ImportError('no such library')" if fails else ""
    (tmp_path / "tensorflow.py").write_text("\n".join(
        ["import os", *(f"os.write(2, {line.encode() + bytes([10])!r})" for line in lines), end]))
    code = f"import os\ntry:\n    {script}\nexcept ImportError as why:\n    print(why)\nos.write(2, b'I0000 mine\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{config.root()}"})
    assert done.stderr.splitlines() == ["fatal: no memory", "I0000 mine"]
    assert done.stdout == ("no such library\n" if fails else "")
