"""Recordings inside the resource files of two adventure games, read like files of their Debian package.

The publishers of both games gave them away; all their spoken lines are in one file. A recording is named
``outer#inner``: ``inner`` is in the resource file ``outer`` and ends with the kind of its bytes:
``020001P2.SB.mp3``, ``50007.wav`` (made here of the raw samples). Nothing of a game is run.

Reference: the formats are those that ScummVM documents: the resource table of Flight of the Amazon Queen
("QTBL": twelve-character name, bundle, offset, length, big-endian) with MP3 files, and the directory
of Beneath a Steel Sky (``sky.dnr``: number, 24-bit offset, 24 bits of length and flags,
little-endian) with unsigned 8-bit samples at 11,025 Hz, packed by Rob Northen's method 1.
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from nslib.errors import Unavailable

__all__ = ["INNER_MARK", "QUEEN", "SKY"]

INNER_MARK = "#"
"""Between a resource file and the recording inside it."""

QUEEN = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
SKY = "usr/share/scummvm/beneath-a-steel-sky/sky.dsk"
_SKY_INDEX = SKY.replace(".dsk", ".dnr")

RESOURCES = {QUEEN: (QUEEN,), SKY: (_SKY_INDEX, SKY)}
"""Resource files that are known, and the files of the package that are needed to read each."""

_RNC_MAGIC, _RNC_HEADER = b"RNC\x01", 18

Readers = dict[str, Callable[[], bytes]]
_Codes = tuple[int, list[int], list[int]]


def open_resource(package: str, outer: str, parts: Mapping[str, bytes]) -> Readers:
    """Name of each recording of a resource file, and the function that reads it; `parts` are the files it needs."""
    with _explain_format(package, outer):
        readers = _open_queen(parts[QUEEN]) if outer == QUEEN else _open_sky(parts[_SKY_INDEX], parts[SKY])
    return {inner: partial(_read, package, f"{outer}{INNER_MARK}{inner}", read) for inner, read in readers.items()}


def _read(package: str, name: str, read: Callable[[], bytes]) -> bytes:
    """Read one recording."""
    with _explain_format(package, name):
        return read()


@contextmanager
def _explain_format(package: str, name: str) -> Iterator[None]:
    """Turn errors of reading a resource file into a remedy."""
    try:
        yield
    except (KeyError, ValueError, IndexError, struct.error) as error:
        why = f"it is not in the format that is known here ({str(error) or type(error).__name__})"
        raise Unavailable(f"{name} of {package}", why, "Use the package of Debian 12 (bookworm).") from error


def _open_queen(data: bytes) -> Readers:
    """MP3 files of Flight of the Amazon Queen."""
    if data[:4] != b"QTBL" or data[12] != 1:
        raise ValueError("no table of MP3 files")
    count: int = struct.unpack(">H", data[13:15])[0]
    readers: Readers = {}
    for place in range(15, 15 + 21 * count, 21):
        name, _, offset, length = struct.unpack(">12sBII", data[place:place + 21])
        text = name.rstrip(b"\0").decode("ascii")
        if text.endswith(".SB"):
            readers[f"{text}.mp3"] = _cut(data, offset, length)
    return readers


def _open_sky(index: bytes, data: bytes) -> Readers:
    """Spoken lines of Beneath a Steel Sky."""
    count: int = struct.unpack("<I", index[:4])[0]
    readers: Readers = {}
    for place in range(4, 4 + 8 * count, 8):
        number = int.from_bytes(index[place:place + 2], "little")
        where = int.from_bytes(index[place + 2:place + 5], "little")
        length = int.from_bytes(index[place + 5:place + 8], "little") & 0x3FFFFF
        # the highest bit says that the offset counts units of 16 bytes
        offset = (where & 0x7FFFFF) << (4 if where >> 23 else 0)
        if 50_000 <= number < 60_000:
            readers[f"{number}.wav"] = partial(_make_wav, _cut(data, offset, length))
    return readers


def _cut(data: bytes, offset: int, length: int) -> Callable[[], bytes]:
    """A function that gives some of the bytes, which must be there."""
    if offset + length > len(data):
        raise ValueError(f"bytes {offset} to {offset + length} of {len(data)}")
    return lambda: data[offset:offset + length]


def _make_wav(read: Callable[[], bytes]) -> bytes:
    """Make a WAV file of a spoken line: header of 22 bytes, then samples that are packed if they begin with RNC."""
    body = read()[22:]
    samples = unpack_rnc(body) if body.startswith(_RNC_MAGIC) else body
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 1, 11_025, len(samples), "NONE", ""))
        file.writeframesraw(samples)
    return buffer.getvalue()


def unpack_rnc(data: bytes) -> bytes:
    """Unpack Rob Northen's method 1: literals and copies, with Huffman-coded counts.

    After magic, sizes and checksums (big-endian) come two bits, then blocks: three code tables (counts of literals,
    distances, lengths of copies), the number of pairs, and the pairs. Bits come from little-endian 16-bit words,
    lowest first; literals lie between those words as plain bytes, so a word is fetched only when its first bit is
    needed. Both checksums are CRC-16/ARC; that of the unpacked bytes is verified. `ValueError` if it is anything else.
    """
    if not data.startswith(_RNC_MAGIC) or len(data) < _RNC_HEADER:
        raise ValueError("no RNC file of method 1")
    size, packed, checksum = struct.unpack(">IIH", data[4:14])
    bits, out = _Bits(data[:_RNC_HEADER + packed], _RNC_HEADER), bytearray()
    bits.take(2)
    while len(out) < size:
        tables = [bits.take_codes() for _ in range(3)]
        for left in range(bits.take(16), 0, -1):
            out += bits.copy(bits.take_number(tables[0]))
            if left > 1:
                _repeat(out, bits.take_number(tables[1]) + 1, bits.take_number(tables[2]) + 2)
    if len(out) != size or crc16(bytes(out)) != checksum:
        raise ValueError("its checksum is wrong")
    return bytes(out)


class _Bits:
    """Bits, numbers and literals of packed data."""

    def __init__(self, data: bytes, place: int):
        self.data, self.place, self.held, self.count = data + bytes(4), place, 0, 0

    def _next_word(self) -> int:
        return self.data[self.place] | self.data[self.place + 1] << 8

    def take(self, n: int) -> int:
        """The next `n` bits."""
        while self.count < n:
            if self.place + 4 > len(self.data):
                raise ValueError("packed data end too early")
            self.held |= self._next_word() << self.count
            self.count += 16
            self.place += 2
        value = self.held & ((1 << n) - 1)
        self.held >>= n
        self.count -= n
        return value

    def take_number(self, codes: _Codes) -> int:
        """A number: the code of its count of bits, then the bits below the first."""
        mask, symbols, lengths = codes
        # look ahead without fetching: the next word is not ours before one of its bits is needed
        ahead = (self.held | self._next_word() << self.count) & mask
        if not lengths[ahead]:
            raise ValueError("a code that is in no table")
        symbol = symbols[ahead]
        self.take(lengths[ahead])
        return symbol if symbol < 2 else 1 << (symbol - 1) | self.take(symbol - 1)

    def take_codes(self) -> _Codes:
        """A table: code lengths of the symbols; codes count up, and are stored lowest bit first."""
        sizes = [self.take(4) for _ in range(self.take(5))]
        span = 1 << max(sizes, default=0)
        symbols, lengths = [0] * span, [0] * span
        code = 0
        for length in range(1, 16):
            for symbol, size in enumerate(sizes):
                if size == length:
                    low = int(f"{code:0{length}b}"[::-1], 2)
                    for rest in range(low, span, 1 << length):
                        symbols[rest], lengths[rest] = symbol, length
                    code += 1
            code <<= 1
        return span - 1, symbols, lengths

    def copy(self, n: int) -> bytes:
        """The next `n` plain bytes."""
        start, self.place = self.place, self.place + n
        return self.data[start:start + n]


def _repeat(out: bytearray, distance: int, length: int) -> None:
    """Append a copy of earlier bytes; it may overlap what it makes."""
    if distance > len(out):
        raise ValueError("a copy from before the start")
    start = len(out) - distance
    pattern = bytes(out[start:start + length])
    out += (pattern * (length // len(pattern) + 1))[:length]


def crc16(data: bytes) -> int:
    """Checksum CRC-16/ARC."""
    value = 0
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value


def _crc_of_byte(value: int) -> int:
    """One entry of the table of the checksum."""
    for _ in range(8):
        value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


_CRC_TABLE = tuple(map(_crc_of_byte, range(256)))
