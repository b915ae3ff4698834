"""The packages of the lock as wheels, for a laptop without a network.

Conventions
-----------
Only what the kit itself needs is taken from the lock, not what its tests and documents need. Wheels are those of this
Python and this kind of machine. pip checks every download against the lock; a package that comes as source only is
built here. The lock of the workshop then names the very files in the folder, by their hashes.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from nslib import files, packages, params
from nslib.errors import Unavailable
from nslib.workshop.start import machine

LOCK, MADE_FOR = "requirements-workshop.lock", "made-for.txt"

_PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


def needed() -> set[str]:
    """Find the packages that the kit needs, and those that these need.

    Returns
    -------
    set of str
        Names as the lock writes them.

    Raises
    ------
    Unavailable
        If one of them is not installed here: what it needs is then not known.
    """
    project = tomllib.loads((params.root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[tuple[str, str], None] = {}
    waiting = [pair for text in project["dependencies"] for pair in _wanted(text, "")]
    while waiting:
        pair = waiting.pop()
        if pair in found:
            continue
        found[pair] = None
        try:
            own = importlib.metadata.requires(pair[0]) or []
        except importlib.metadata.PackageNotFoundError:
            remedy = "Run: make setup, and then this again with that Python."
            raise Unavailable(f"package {pair[0]}", "it is not installed here", remedy) from None
        waiting += [more for text in own for more in _wanted(text, pair[1])]
    return {name for name, _ in found}


def pinned(text: str, names: set[str]) -> str:
    """Take the entries of some packages out of a lock.

    Parameters
    ----------
    text : str
        Content of a lock with hashes.
    names : set of str

    Returns
    -------
    str
        A lock of these only.
    """
    entries = re.split(r"\n(?=\S)", text.strip())
    return "\n".join(e for e in entries if canonicalize_name(re.split(r"[=\s\[]", e, maxsplit=1)[0]) in names) + "\n"


def lock() -> str:
    """Take what the kit needs out of its lock.

    Returns
    -------
    str
        A lock with hashes, for every machine that the kit runs on.

    Raises
    ------
    Unavailable
        As of `needed`.
    """
    return pinned((params.root() / "requirements.lock").read_text(encoding="utf-8"), needed())


def fetch(folder: Path, lock_file: Path, *, progress: bool = True) -> int:
    """Have every wheel that an installation without a network needs, in one folder.

    Parameters
    ----------
    folder : Path
        It is made; wheels that are there already are used again.
    lock_file : Path
        The lock; afterwards it names these very files.
    progress : bool
        Say on stderr what is being done.

    Returns
    -------
    int
        Number of wheels.

    Raises
    ------
    Unavailable
        If pip fails; with the reason, and what to do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if progress:
        print("nslib: fetching the packages of the lock, about 1 GB ...", file=sys.stderr, flush=True)
    _pip("download", "--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(lock_file), "-d", str(folder))
    for source in sorted(p for p in folder.iterdir() if p.suffix in (".gz", ".zip")):
        _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source))
        source.unlink()
    wheels = sorted(folder.glob("*.whl"))
    files.write(lock_file, "".join(map(_entry, wheels)))
    files.write(folder / MADE_FOR, machine() + "\n")
    _rehearse(folder, lock_file)
    return len(wheels)


def _rehearse(folder: Path, lock_file: Path) -> None:
    """Let pip resolve an installation from these files alone."""
    _pip("install", "--dry-run", "--ignore-installed", "--no-index", "--find-links", str(folder),
         "--require-hashes", "-r", str(lock_file))


def _entry(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    return f"{canonicalize_name(name)}=={version} --hash=sha256:{packages.file_sha256(wheel)}\n"


def _pip(*words: str) -> None:
    if params.offline():
        raise Unavailable("the packages of the lock", "NSLIB_OFFLINE forbids downloads", "Unset it and run again.")
    done = packages.run([sys.executable, *_PIP, *words])
    if done.returncode:
        raise packages.failed("the packages of the lock", "pip", done.stderr)


def _wanted(text: str, extra: str) -> Iterator[tuple[str, str]]:
    from packaging.requirements import Requirement

    need = Requirement(text)
    if need.marker is None or need.marker.evaluate({"extra": extra}):
        yield from ((str(canonicalize_name(need.name)), wanted) for wanted in ("", *sorted(need.extras)))
