"""Rob Northen's packing, method 1: literals and copies, with Huffman-coded counts.

Format, as described by the projects that read old games: magic "RNC" and 1, sizes unpacked and packed
and their checksums (big-endian), two bytes; then blocks. A block is three code tables (counts of
literals, distances, lengths of copies), the number of pairs, and the pairs. Bits come from
little-endian 16-bit words, lowest first; literals lie between those words as plain bytes, so a word is
fetched only when its first bit is needed. Both checksums are CRC-16/ARC; the unpacked one is verified.
"""

from __future__ import annotations

import struct
from functools import lru_cache

MAGIC = b"RNC\x01"
_HEADER = 18
_LONGEST = 16

Codes = tuple[int, list[int], list[int]]


class _Bits:
    def __init__(self, data: bytes, place: int):
        self.data, self.place, self.held, self.count = data + bytes(4), place, 0, 0

    def take(self, n: int) -> int:
        while self.count < n:
            self._fetch()
        value = self.held & ((1 << n) - 1)
        self.held >>= n
        self.count -= n
        return value

    def _fetch(self) -> None:
        if self.place + 4 > len(self.data):
            raise ValueError("packed data end too early")
        word = self.data[self.place] | self.data[self.place + 1] << 8
        self.held |= word << self.count
        self.count += 16
        self.place += 2

    def number(self, codes: Codes) -> int:
        mask, symbols, lengths = codes
        # look ahead without fetching: the next word is not ours before one of its bits is needed
        word = self.data[self.place] | self.data[self.place + 1] << 8
        seen = (self.held | word << self.count) & mask
        if not lengths[seen]:
            raise ValueError("a code that is in no table")
        symbol = symbols[seen]
        self.take(lengths[seen])
        return symbol if symbol < 2 else 1 << (symbol - 1) | self.take(symbol - 1)

    def copy(self, n: int) -> bytes:
        start, self.place = self.place, self.place + n
        return self.data[start:start + n]


def unpack(data: bytes) -> bytes:
    """Unpack a whole file.

    Parameters
    ----------
    data : bytes
        From the magic on; what follows the packed bytes is not looked at.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If it is not in this format, or the checksum differs.
    """
    if not data.startswith(MAGIC) or len(data) < _HEADER:
        raise ValueError("no RNC file of method 1")
    size, packed, checksum = struct.unpack(">IIH", data[4:14])
    bits, out = _Bits(data[:_HEADER + packed], _HEADER), bytearray()
    bits.take(2)
    while len(out) < size:
        tables = [_codes(bits) for _ in range(3)]
        pairs = bits.take(16)
        for left in range(pairs, 0, -1):
            out += bits.copy(bits.number(tables[0]))
            if left > 1:
                _repeat(out, bits.number(tables[1]) + 1, bits.number(tables[2]) + 2)
    if len(out) != size or crc(bytes(out)) != checksum:
        raise ValueError("its checksum is wrong")
    return bytes(out)


def _repeat(out: bytearray, distance: int, length: int) -> None:
    if distance > len(out):
        raise ValueError("a copy from before the start")
    while length:  # the copy may overlap what it makes
        piece = out[-distance:][:length] if distance >= length else bytes(out[-distance:])[:length]
        out += piece
        length -= len(piece)


def _codes(bits: _Bits) -> Codes:
    """Read a table: code lengths of the symbols; codes count up, and are stored lowest bit first."""
    sizes = [bits.take(4) for _ in range(bits.take(5))]
    span = 1 << max(sizes, default=0)
    symbols, lengths = [0] * span, [0] * span
    code = 0
    for length in range(1, _LONGEST):
        for symbol, size in enumerate(sizes):
            if size == length:
                low = int(f"{code:0{length}b}"[::-1], 2)
                for rest in range(low, span, 1 << length):
                    symbols[rest], lengths[rest] = symbol, length
                code += 1
        code <<= 1
    return span - 1, symbols, lengths


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc(data: bytes) -> int:
    """Checksum CRC-16/ARC.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    int

    Examples
    --------
    >>> hex(crc(b"123456789"))
    '0xbb3d'
    """
    table, value = _crc_table(), 0
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value
