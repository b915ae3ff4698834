"""What every test gets: a cache and a folder of reports, one for all workers, and no network but loopback."""

import os
import shutil
import socket
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# the same examples everywhere, and no clock: a busy machine is not a failure
settings.register_profile("nslib", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nslib")


def pytest_configure(config: pytest.Config) -> None:
    """Move cache and reports before any test module is imported; workers inherit them from the first process."""
    if not hasattr(config, "workerinput"):
        os.environ["NSLIB_CACHE"] = config._nslib_cache = tempfile.mkdtemp(prefix="nslib-tests-")  # type: ignore[attr-defined]
        for name in ("PROFILE", "CORPUS", "TASKS", "EMBEDDINGS", "SEED", "SMOKE"):
            os.environ.pop(name, None)
        os.environ["NSLIB_REPORTS"] = os.path.join(os.environ["NSLIB_CACHE"], "reports")
        os.environ["NSLIB_OFFLINE"] = "1"  # child processes (pip, apt, kernels) are not reached by the guard below
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first: a worker that got one last would keep the others waiting."""
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("heavy")}
    items.sort(key=lambda item: item.path not in long)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache."""
    if hasattr(config, "_nslib_cache"):
        shutil.rmtree(config._nslib_cache, ignore_errors=True)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("127.0.0.1", "localhost", "::1"):
            pytest.fail(f"a test tried to reach the network: {address}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache for one test, and no reports."""
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "cache"


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """Put a program that says something in the place of ``nvidia-smi``."""
    def write(says, code=0):
        path = tmp_path / "nvidia-smi"
        path.write_text("#!/bin/sh\ncase \"$*\" in *--query-gpu=index,name,*) ;; *) exit 9;; esac\n"
                        f"cat <<'END'\n{says}END\nexit {code}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return write


@pytest.fixture
def call(monkeypatch, capsys):
    """Run `nslib words` in this process; return exit code, stdout and stderr."""
    def run(*words):
        from nslib import cli

        monkeypatch.setattr(sys, "argv", ["nslib", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def browser():
    """The Chromium of this machine, driven by Playwright."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    # where CI may install one, a run without it has not tested what readers see, and fails instead of skipping
    if not path and not (os.environ.get("CI") and shutil.which("apt-get")):
        pytest.skip("no Chromium here: install one (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu"]
    with sync_playwright() as driver, driver.chromium.launch(executable_path=path, args=options) as started:
        yield started
