"""The workshop as zip files: one for participants, and a small one for the instructor, to be unpacked over it.

What the files hold
-------------------
Participants: ``notebooks/`` (student edition), ``workshop-colab.ipynb`` (all of them in one), the kit (``nslib/``,
``data/``), ``cache/`` (recordings, weights, vectors), ``reports/`` (scores that are computed already), ``README.md``
(the plan), ``start.py`` and, if asked for, ``wheels/``. Instructor: ``instructor/``, ``reader/``, and the plan with
its notes.

Conventions
-----------
Everything is first put into a folder as participants will have it. There, with every download forbidden, every
chapter is proven (`nslib.workshop.proof`), so that what is packed has been run; then it is zipped. Nothing is packed
if anything failed.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import files, params
from nslib.errors import NslibError
from nslib.params import Params
from nslib.workshop import editions, material, merged, proof, readme, source, wheels
from nslib.workshop.opening import FILE
from nslib.workshop.outcome import Proof
from nslib.workshop.source import Chapter

ARCHIVE, FOR_INSTRUCTOR, MERGED = "nslib-workshop.zip", "nslib-workshop-instructor.zip", "workshop-colab.ipynb"
ROOT = "nslib-workshop"
"""Folder in the zip files."""

_KIT = ("nslib", "data", "pyproject.toml", "requirements.lock", "LICENSE", "CITATION.cff")
_SKIPPED = ("__pycache__", ".ipynb_checkpoints", ".venv")
_PACKED = (".whl", ".png", ".parquet")


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes
    ----------
    archive, for_instructor : Path
        The zip files.
    megabytes : float
        Of the first.
    exercises : int
        How many were proven.
    wheels : int
        0 if none were asked for.
    """

    archive: Path
    for_instructor: Path
    megabytes: float
    exercises: int
    wheels: int


def build(given: Params, out: Path, *, names: Iterable[str] | None = None, offline: bool = False,
          progress: bool = True) -> Built:
    """Make, prove and pack the workshop.

    Parameters
    ----------
    given : Params
        See `nslib.workshop.material.settings`.
    out : Path
        Folder of the zip files; the folder that they are made from stays there too.
    names : iterable of str, optional
        Notebooks; default: all with exercises.
    offline : bool
        Put the wheels of the lock into it.
    progress : bool
        Say on stderr what is being done.

    Returns
    -------
    Built

    Raises
    ------
    Unproven
        If an exercise does not keep what it promises.
    NslibError
        If a notebook breaks the contract or fails, the plan is too long, or something cannot be had.
    """
    chapters, chosen = source.chapters(names), material.settings(given)
    plan = readme.write(chapters, chosen, offline)  # a plan that is too long fails before anything is run
    home = out / ROOT
    _clear(home, keep=("wheels",))
    _say(progress, f"recordings and weights for {', '.join(chosen.tasks)}")
    _copy_kit(home)
    material.collect(chosen, home / "cache", progress=progress)
    files.write(home / FILE, readme.opening(chosen))
    files.write(home / "README.md", plan)
    proofs = [_prove(chapter, chosen, home, progress) for chapter in chapters]
    _write_editions(home, out, chapters, proofs)
    count = _packages(home, offline, progress)
    archive = _zip(home, out / ARCHIVE, progress)
    notes = _zip(out / "instructor", out / FOR_INSTRUCTOR, progress)
    exercises = sum(len(chapter.exercises) for chapter in chapters)
    return Built(archive, notes, archive.stat().st_size / 1e6, exercises, count)


def kernel_environment(chosen: Params, home: Path) -> dict[str, str]:
    """Say under which variables a notebook is run as in the room: this folder's cache, and no network.

    Parameters
    ----------
    chosen : Params
    home : Path
        The workshop's folder.

    Returns
    -------
    dict of str to str
    """
    return {**material.environment(chosen), "NSLIB_CACHE": str(home / "cache"), "NSLIB_REPORTS": str(home / "reports"),
            "NSLIB_OFFLINE": "1"}


def _clear(folder: Path, keep: Sequence[str] = ()) -> None:
    """Remove what an earlier build left, but for some names."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _copy_kit(home: Path) -> None:
    for name in _KIT:
        path = params.root() / name
        if path.is_dir():
            shutil.copytree(path, home / name, ignore=shutil.ignore_patterns(*_SKIPPED), dirs_exist_ok=True)
        elif path.exists():
            home.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, home / name)
    shutil.copyfile(Path(__file__).with_name("start.py"), home / "start.py")


def _prove(chapter: Chapter, chosen: Params, home: Path, progress: bool) -> dict[str, Proof]:
    _say(progress, f"{chapter.name}: running its {len(chapter.exercises)} exercises solved, empty and mistaken")
    place = home / "notebooks"
    place.mkdir(exist_ok=True)
    return proof.prove(chapter, kernel_environment(chosen, home), node=editions.reader(chapter), cwd=place)


def _packages(home: Path, offline: bool, progress: bool) -> int:
    """Put the lock, and if asked for its wheels, into the folder; how many wheels."""
    files.write(home / wheels.LOCK, wheels.lock())
    if offline:
        return wheels.fetch(home / "wheels", home / wheels.LOCK, progress=progress)
    shutil.rmtree(home / "wheels", ignore_errors=True)
    return 0


def _write_editions(home: Path, out: Path, chapters: Sequence[Chapter], proofs: Sequence[dict[str, Proof]]) -> None:
    names, notes = [chapter.name for chapter in chapters], out / "instructor"
    _clear(notes)
    students = [editions.student(c, p, names) for c, p in zip(chapters, proofs, strict=True)]
    for chapter, shown, node in zip(chapters, proofs, students, strict=True):
        _write(home / "notebooks" / chapter.name, node)
        _write(notes / "reader" / chapter.name, editions.reader(chapter, names))
        _write(notes / "instructor" / chapter.name, editions.instructor(chapter, shown, names))
    _write(home / MERGED, merged.merged(students, ARCHIVE))
    files.write(notes / "INSTRUCTOR.md", readme.for_instructor(chapters))


def _write(path: Path, node: Any) -> None:
    import nbformat

    nbformat.validate(node)
    files.write(path, nbformat.writes(node) + "\n")


def _zip(folder: Path, target: Path, progress: bool) -> Path:
    """Pack a folder; the file is there whole or not at all."""
    _say(progress, f"packing {target.name}")
    partial = target.with_suffix(".part")
    try:
        with zipfile.ZipFile(partial, "w") as packed:
            for path in sorted(p for p in folder.rglob("*") if p.is_file() and not set(_SKIPPED) & set(p.parts)):
                entry = zipfile.ZipInfo(f"{ROOT}/{path.relative_to(folder).as_posix()}")
                entry.external_attr = 0o644 << 16
                entry.compress_type = zipfile.ZIP_STORED if path.suffix in _PACKED else zipfile.ZIP_DEFLATED
                with path.open("rb") as content, packed.open(entry, "w") as place:
                    shutil.copyfileobj(content, place, 1 << 20)
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NslibError(f"no space left for {target}. Free some, or give another folder with --out.") from error
    return target


def _say(progress: bool, text: str) -> None:
    if progress:
        print(f"nslib: {text}", file=sys.stderr, flush=True)
