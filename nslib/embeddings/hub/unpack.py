"""Unpack a model's archive: whole and safe, or not at all.

Reference: the hub sends a tar file, gzip compressed, of ``saved_model.pb``, ``variables`` and
``assets``.

Conventions
-----------
Everything is written into a folder beside the target, which gets its name at the end, so a killed run leaves
no half model. An archive with a name that is absolute or holds ``..``, with a link, a device or a
pipe, or with more than `MAX_BYTES` or `MAX_FILES` is refused as a whole: no published model has any.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from nslib.errors import Unavailable

MAX_BYTES = 2 << 30
MAX_FILES = 1000
MODEL = "saved_model.pb"

_REFUSE = "Do not use this archive, nothing of it was kept; check from where it was fetched."
# the last three: a name twice, or a file where a folder is needed
_DAMAGE = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError,
           FileExistsError, NotADirectoryError, IsADirectoryError)


def unpack(archive: Path, folder: Path, what: str) -> None:
    """Unpack an archive into a new folder.

    Parameters
    ----------
    archive : Path
    folder : Path
        Must not exist, or be empty; its parent is made.
    what : str
        The model, for errors.

    Raises
    ------
    Unavailable
        If the archive is damaged, cut short, unsafe, too large, or holds no model.
    """
    with staging(folder) as new:
        try:
            with _opened(archive) as data:
                _extract(data, new, what)
        except _DAMAGE as error:
            why = f"its archive is cut short or damaged ({str(error) or type(error).__name__})"
            raise Unavailable(what, why, "Run again; the archive was deleted and will be fetched anew.") from error
        if not (new / MODEL).is_file():
            raise Unavailable(what, f"its archive holds no {MODEL}", _REFUSE)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes another's name if the block ends well, and vanishes if not.

    Parameters
    ----------
    folder : Path
        Must not exist, or be empty.

    Yields
    ------
    Path
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".new-*.{folder.name}"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", suffix=f".{folder.name}", dir=folder.parent))
    try:
        new.chmod(0o755)  # mkdtemp makes it private; models are meant to be shared
        yield new
        _rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _rename(new: Path, folder: Path) -> None:
    try:
        if folder.is_dir():
            folder.rmdir()
        os.replace(new, folder)
    except OSError:
        if not (folder / MODEL).is_file():  # else another process was faster
            raise


@contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes]]:
    with archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            yield file
            return
        # GzipFile, not tarfile's own reader: it compares the checksum and misses an end that is not there
        with gzip.GzipFile(fileobj=file) as data:
            yield cast(IO[bytes], data)
            while data.read(1 << 20):
                pass


def _extract(data: IO[bytes], new: Path, what: str) -> None:
    left, count = MAX_BYTES, 0
    with tarfile.open(fileobj=data, mode="r|") as tar:
        for entry in tar:
            name, count, left = _safe(entry, what), count + 1, left - entry.size
            if left < 0 or count > MAX_FILES:
                why = f"its archive holds more than {MAX_BYTES} bytes or {MAX_FILES} files"
                raise Unavailable(what, why, _REFUSE)
            if entry.isfile():
                _copy(tar, entry, new.joinpath(*name))


def _safe(entry: tarfile.TarInfo, what: str) -> tuple[str, ...]:
    """Parts of an entry's name below the model's folder."""
    parts = tuple(part for part in entry.name.split("/") if part not in ("", "."))
    odd = entry.name.startswith("/") or ".." in parts or any(sign in entry.name for sign in "\\:\0")
    if odd or (entry.isfile() and not parts):
        raise Unavailable(what, f"its archive holds the unsafe name {entry.name!r}", _REFUSE)
    if not (entry.isfile() or entry.isdir()):
        kind = "a link" if entry.issym() or entry.islnk() else "a device or pipe"
        raise Unavailable(what, f"its archive holds {kind}, {entry.name!r}", _REFUSE)
    return parts


def _copy(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(entry)
    if source is None:
        raise ValueError(f"{entry.name} has no contents")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    if path.stat().st_size != entry.size:
        raise EOFError(f"{entry.name} is cut short")
