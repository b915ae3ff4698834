"""Recordings inside the resource files of two adventure games, read like members of their package.

Two games whose publishers gave them away have thousands of spoken lines, all in one file. A member
of a package may therefore be named ``outer#inner``: ``inner`` is a file inside the resource file
``outer``. Nothing is unpacked to disk and nothing of a game is run.

References
----------
The formats are those that ScummVM documents: the resource table of Flight of the Amazon Queen
("QTBL": twelve-character name, bundle, offset, length, big-endian) with MP3 files, and the directory
of Beneath a Steel Sky (``sky.dnr``: number, 24-bit offset, 24 bits of length and flags,
little-endian) with unsigned 8-bit samples at 11,025 Hz, packed by Rob Northen's method 1 (`nslib.corpora.rnc`).

Conventions
-----------
``inner`` ends with the kind of its bytes: ``020001P2.SB.mp3``, ``50007.wav`` (made here of the raw samples).
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path

from nslib import archives
from nslib.corpora import rnc
from nslib.errors import Unavailable

MARK = "#"
QUEEN = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
SKY = "usr/share/scummvm/beneath-a-steel-sky/sky.dsk"
SKY_RATE = 11_025

_SKY_INDEX = SKY.replace(".dsk", ".dnr")
_SKY_HEADER, _SKY_LINES = 22, range(50_000, 60_000)
_PARTS = {QUEEN: (QUEEN,), SKY: (_SKY_INDEX, SKY)}

Inner = dict[str, Callable[[], bytes]]


def list_deb(path: Path) -> list[str]:
    """List the files of a package, those inside its resource files included.

    Parameters
    ----------
    path : Path

    Returns
    -------
    list of str
        Resource files that are known are replaced by what is in them.

    Raises
    ------
    Unavailable
        If the archive or a resource file is damaged.
    """
    names = archives.list_deb(path)
    inside = [f"{outer}{MARK}{inner}" for outer in _PARTS if outer in names for inner in _open(path, outer)]
    return [name for name in names if name not in _PARTS] + inside


def read_deb(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Read members of a package, as `nslib.archives.read_deb`; ``outer#inner`` is looked up in ``outer``.

    Parameters
    ----------
    path : Path
    wanted : collection of str

    Yields
    ------
    name : str
    data : bytes

    Raises
    ------
    Unavailable
        If the archive or a resource file is damaged.
    """
    plain = [name for name in wanted if MARK not in name]
    if plain:
        yield from archives.read_deb(path, plain)
    inside = [name for name in wanted if MARK in name]
    for outer in {name.split(MARK)[0] for name in inside} & set(_PARTS):
        there = _open(path, outer)
        for name in inside:
            inner = name.split(MARK, 1)[1]
            if name.startswith(outer + MARK) and inner in there:
                yield name, _read(path, name, there[inner])


def _read(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except (ValueError, IndexError, struct.error) as error:
        raise _damaged(path, name, error) from error


def _open(path: Path, outer: str) -> Inner:
    parts = dict(archives.read_deb(path, _PARTS[outer]))
    try:
        return _queen(parts[QUEEN]) if outer == QUEEN else _sky(parts[_SKY_INDEX], parts[SKY])
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise _damaged(path, outer, error) from error


def _damaged(path: Path, name: str, error: Exception) -> Unavailable:
    why = f"it is not in the format that is known here ({str(error) or type(error).__name__})"
    return Unavailable(f"{name} of {path.name}", why, "Use the package of Debian 12 (bookworm).")


def _queen(data: bytes) -> Inner:
    if data[:4] != b"QTBL" or data[12] != 1:
        raise ValueError("no table of MP3 files")
    count: int = struct.unpack(">H", data[13:15])[0]
    found: Inner = {}
    for place in range(15, 15 + 21 * count, 21):
        name, _, offset, length = struct.unpack(">12sBII", data[place:place + 21])
        text = name.rstrip(b"\0").decode("ascii")
        if text.endswith(".SB"):
            found[f"{text}.mp3"] = _cut(data, offset, length)
    return found


def _cut(data: bytes, offset: int, length: int) -> Callable[[], bytes]:
    if offset + length > len(data):
        raise ValueError(f"bytes {offset} to {offset + length} of {len(data)}")
    return lambda: data[offset:offset + length]


def _sky(index: bytes, data: bytes) -> Inner:
    count: int = struct.unpack("<I", index[:4])[0]
    found: Inner = {}
    for place in range(4, 4 + 8 * count, 8):
        number = int.from_bytes(index[place:place + 2], "little")
        where = int.from_bytes(index[place + 2:place + 5], "little")
        length = int.from_bytes(index[place + 5:place + 8], "little") & 0x3FFFFF
        # the highest bit says that the offset counts units of 16 bytes
        offset = (where & 0x7FFFFF) << (4 if where >> 23 else 0)
        if number in _SKY_LINES:
            found[f"{number}.wav"] = partial(_pcm, _cut(data, offset, length))
    return found


def _pcm(cut: Callable[[], bytes]) -> bytes:
    """Make a WAV file of a spoken line: header, then samples that are packed if they begin with RNC."""
    body = cut()[_SKY_HEADER:]
    samples = rnc.unpack(body) if body.startswith(rnc.MAGIC) else body
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, SKY_RATE, len(samples), "NONE", ""))
        file.writeframesraw(samples)
    return buffer.getvalue()
