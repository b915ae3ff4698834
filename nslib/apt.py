"""Debian packages through apt-get, without root and without touching the system's own lists.

apt gets a lists and an archives directory inside the cache and keeps the rest of its configuration
(mirror, releases, proxy, keys). Archives are checked against the checksum that apt gives, and then
kept under their own name; a killed download is taken up again by the next run.

Reference: apt-get(8), ``Dir::State::lists`` and ``Dir::Cache``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nslib import params
from nslib.errors import NETWORK, Unavailable
from nslib.errors import failed_download as failed
from nslib.files import client_environment as environment
from nslib.files import file_sha256
from nslib.files import run_client as run
from nslib.packages import SYNTHETIC_TOO, debian_dir

LISTS_DAYS = 7
"""apt's lists are fetched again when they are older than this."""


class Archive(NamedTuple):
    """A ``.deb`` as apt describes it."""

    file: str
    size: int
    algorithm: str
    digest: str


def fetch(names: Sequence[str], progress: bool) -> None:
    """Download packages into `nslib.packages.debian_dir`.

    Parameters
    ----------
    names : sequence of str
    progress : bool

    Raises
    ------
    Unavailable
        See `nslib.packages.debian`.
    """
    _need_apt(names)
    archives = _look_up(names)
    _need_space(sum(a.size for a in archives.values()))
    _download(archives, progress)


def _need_apt(names: Sequence[str]) -> None:
    by_hand = f"Copy the .deb files of a Debian 12 mirror to {debian_dir()}. {SYNTHETIC_TOO}"
    if params.offline():
        raise Unavailable(_packages(names), "NSLIB_OFFLINE forbids downloads", f"Unset it. {SYNTHETIC_TOO}")
    if shutil.which("apt-get") is None:
        why = "this machine has no apt-get (it comes with Debian, Ubuntu and their relatives)"
        raise Unavailable(_packages(names), why, by_hand)


def _need_space(size: int) -> None:
    free = shutil.disk_usage(debian_dir()).free
    if size * 1.1 > free:
        why = f"the disk is full: {size / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free"
        raise Unavailable("space for Debian packages", why, f"Free some, or set NSLIB_CACHE. {SYNTHETIC_TOO}")


def _apt(*words: str) -> list[str]:
    state = params.cache_dir("packages", "debian")
    lists, cache = state / "lists", state / "apt"
    for folder in (lists / "partial", cache / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # the sandbox user could not enter a private home folder; it changes nothing for other users
    options = {"Dir::State::lists": lists, "Dir::Cache": cache, "APT::Sandbox::User": "root",
               "Acquire::Retries": 2, "Acquire::http::Timeout": 30, "Acquire::https::Timeout": 30}
    return ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items()), *words]


def _look_up(names: Sequence[str]) -> dict[str, Archive]:
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
    done = run(_apt("update"))
    # apt ends with 0 where only some lists failed, so its words decide, and only if a name is missing
    if done.returncode == 0 and not NETWORK.search(done.stderr):
        stamp.touch()
    return done.stderr


def _addresses(names: Sequence[str]) -> tuple[dict[str, Archive], str]:
    done = run(_apt("download", "--print-uris", *names))
    found = {}
    for line in re.finditer(r"^'[^']*' ((\S+?)_\S+) (\d+) (\w+):(\w+)", done.stdout, re.MULTILINE):
        file, name, size, algorithm, digest = line.groups()
        found[name] = Archive(file, int(size), algorithm.lower(), digest)
    if done.returncode and len(names) > 1:  # apt says nothing about any if it does not know one
        each = [_addresses([name]) for name in names]
        return {k: v for one, _ in each for k, v in one.items()}, "\n".join(said for _, said in each)
    return found, done.stderr


def _download(archives: dict[str, Archive], progress: bool) -> None:
    partial = params.cache_dir("packages", "debian", "partial")
    code, said = _watch(archives, partial, progress)
    errors = []
    for name, archive in archives.items():
        path = partial / archive.file
        there = path.stat().st_size if path.exists() else -1
        if there == archive.size or (there >= 0 and not code):
            try:
                os.replace(_verified(name, archive, path), debian_dir() / archive.file)
            except Unavailable as error:
                errors.append(error)
        else:
            errors.append(_explain(_packages([name]), said))
    if errors:
        raise errors[0]


def _watch(archives: dict[str, Archive], folder: Path, progress: bool) -> tuple[int, str]:
    """Let apt download into a folder, showing how it grows; its exit code and messages."""
    from tqdm.std import tqdm

    paths, null = [folder / a.file for a in archives.values()], subprocess.DEVNULL
    total = sum(a.size for a in archives.values())
    with (tqdm(total=total, desc="Debian packages", unit="B", unit_scale=True, disable=not progress) as bar,
          subprocess.Popen(_apt("download", *archives), cwd=folder, env=environment(), stdin=null,
                           stdout=null, stderr=subprocess.PIPE, text=True, errors="replace") as apt):
        try:
            while True:
                try:
                    _, said = apt.communicate(timeout=0.25)
                    return apt.returncode, said
                except subprocess.TimeoutExpired:
                    continue
                finally:
                    bar.update(sum(p.stat().st_size for p in paths if p.exists()) - bar.n)
        except BaseException:
            apt.kill()
            raise


def _verified(name: str, archive: Archive, path: Path) -> Path:
    try:
        digest = file_sha256(path, archive.algorithm)
    except ValueError:
        why = f"apt gives a checksum of the kind {archive.algorithm}, which Python lacks"
        raise Unavailable(_packages([name]), why, SYNTHETIC_TOO) from None
    if digest != archive.digest:
        path.unlink()
        why = f"its {archive.algorithm} is {digest[:12]}..., and {archive.digest[:12]}... in apt's lists"
        raise Unavailable(_packages([name]), why, "Run again; the damaged file was deleted.")
    return path


def _explain(what: str, said: str) -> Unavailable:
    if re.search(r"Could not get lock|Unable to lock", said):
        why = "another run is fetching packages now"
        return Unavailable(what, why, "Wait until it has ended and run again.")
    if "Unable to locate package" in said and not NETWORK.search(said):
        why = "apt knows no package of that name in the releases this machine is set up for"
        return Unavailable(what, why, f"It is in Debian 12's main section. {SYNTHETIC_TOO}")
    return failed(what, "apt-get", said, SYNTHETIC_TOO)


def _packages(names: Sequence[str]) -> str:
    return f"Debian package {names[0]}" + (f" (and {len(names) - 1} more)" if len(names) > 1 else "")
