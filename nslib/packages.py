"""Wheels as a source of files, through pip.

pip's own configuration is used (index, proxy, certificates), so that this works wherever pip works; no address is
written here. Nothing of a package is run, imported or unpickled.

Conventions
-----------
Every failure is an `Unavailable` that says which of these it was: no pip, no network, no such package, disk full,
wrong checksum. Files already in the cache are used without asking anybody. ``NSLIB_OFFLINE=1`` in the environment
forbids every request.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from nslib import params
from nslib.archives import read_wheel
from nslib.errors import NETWORK as NETWORK
from nslib.errors import Unavailable
from nslib.errors import failed_download as failed
from nslib.files import file_sha256 as file_sha256
from nslib.files import run_client as run


def pypi(name: str, version: str, sha256: str | Collection[str]) -> Path:
    """Have a wheel, downloading it with pip if it is not in the cache.

    Parameters
    ----------
    name, version : str
        The distribution.
    sha256 : str or collection of str
        Hex digest that the wheel must have (several, if it differs between platforms).

    Returns
    -------
    Path
        The wheel, with its checksum verified now.

    Raises
    ------
    Unavailable
        Saying why and what to do.
    """
    allowed = {sha256} if isinstance(sha256, str) else set(sha256)
    cached = cached_wheel(name, version)
    if cached and file_sha256(cached) in allowed:
        return cached
    return _pip(f"{name}=={version}", allowed)


def cached_wheel(name: str, version: str) -> Path | None:
    """Find a wheel in the cache, without asking pip and without checking it.

    Parameters
    ----------
    name, version : str

    Returns
    -------
    Path or None
    """
    prefix = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    return next((p for p in _wheels().iterdir() if p.name.lower().startswith(prefix)), None)


def _wheels() -> Path:
    return params.cache_dir("packages", "pypi")


def member(wheel: Path, name: str) -> bytes:
    """Read one file out of a wheel (see `nslib.archives.read_wheel`).

    Parameters
    ----------
    wheel : Path
    name : str

    Returns
    -------
    bytes

    Raises
    ------
    Unavailable
        If it has no such member or is damaged.
    """
    return read_wheel(wheel, name)


def _pip(pin: str, allowed: set[str]) -> Path:
    what = f"package {pin}"
    if params.offline():
        raise Unavailable(what, "NSLIB_OFFLINE forbids downloads", "Unset it and run again.")
    with tempfile.TemporaryDirectory(dir=_wheels(), prefix=".pip-") as folder:
        words = ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input",
                 "--retries=2", "--timeout=20", "-q", "-d", folder, pin]
        print(f"Fetching {pin} ...", file=sys.stderr)
        done = run([sys.executable, "-m", "pip", *words])
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _explain(what, done.stderr)
        digest = file_sha256(wheels[0])
        if digest not in allowed:
            why = f"the sha256 of what pip fetched is {digest}, not the pinned one"
            raise Unavailable(what, why, "Do not use it; check which package index pip is set up for.")
        return wheels[0].replace(_wheels() / wheels[0].name)


def _explain(what: str, said: str) -> Unavailable:
    if "No module named pip" in said:
        return Unavailable(what, "this Python has no pip", "Run: python -m ensurepip")
    absent = "No matching distribution" in said or "Could not find a version" in said
    if absent and not NETWORK.search(said):
        why = "the package index has no wheel of that version for this Python and machine"
        return Unavailable(what, why, "Use another machine, or leave out what needs it.")
    return failed(what, "pip", said)


# Debian packages: for callers that use the old names
from nslib.datasets.debian import archives_dir as debian_dir  # noqa: E402
from nslib.datasets.debian import fetch_packages as debian  # noqa: E402
from nslib.datasets.debian import find_archive as cached_deb  # noqa: E402

__all__ = ["cached_deb", "cached_wheel", "debian", "debian_dir", "member", "pypi"]
