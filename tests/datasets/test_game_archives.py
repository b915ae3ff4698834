"""Recordings inside the resource files of games: fabricated ones, packed by a packer of the test's own."""

from __future__ import annotations

import io
import struct
import wave

import debs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.datasets import debian, game_archives
from nslib.datasets.game_archives import INNER_MARK, QUEEN, SKY
from nslib.errors import Unavailable


class Writer:
    """Bits, lowest first, in little-endian words that are set aside when their first bit comes."""

    def __init__(self):
        self.out, self.place, self.bit = bytearray(), 0, 16

    def put(self, value: int, count: int) -> None:
        for i in range(count):
            if self.bit == 16:
                self.place, self.bit = len(self.out), 0
                self.out += b"\0\0"
            if value >> i & 1:
                self.out[self.place + self.bit // 8] |= 1 << self.bit % 8
            self.bit += 1

    def number(self, value: int) -> None:
        """A number by a table in which each of 16 symbols has a code of four bits."""
        symbol = value.bit_length()
        self.put(int(f"{symbol:04b}"[::-1], 2), 4)
        if symbol > 1:
            self.put(value - (1 << symbol - 1), symbol - 1)


def packed(parts: list[tuple[bytes, int, int]]) -> tuple[bytes, bytes]:
    """Pack literals, each followed by a copy of (distance, length) but the last; and what it unpacks to."""
    writer, plain = Writer(), bytearray()
    writer.put(0, 2)
    for _ in range(3):
        writer.put(16, 5)
        for _ in range(16):
            writer.put(4, 4)
    writer.put(len(parts), 16)
    for i, (literal, distance, length) in enumerate(parts):
        writer.number(len(literal))
        writer.out += literal
        plain += literal
        if i < len(parts) - 1:
            writer.number(distance - 1)
            writer.number(length - 2)
            for _ in range(length):
                plain.append(plain[-distance])
    crcs = [game_archives.crc16(bytes(data)) for data in (plain, writer.out)]
    head = struct.pack(">IIHHBB", len(plain), len(writer.out), *crcs, 0, 1)
    return b"RNC\x01" + head + bytes(writer.out), bytes(plain)


@st.composite
def recipes(draw):
    parts, size = [], 0
    for _ in range(draw(st.integers(1, 8))):
        literal = draw(st.binary(min_size=0 if size else 1, max_size=40))
        size += len(literal)
        distance, length = draw(st.integers(1, size)), draw(st.integers(2, 60))
        parts.append((literal, distance, length))
        size += length
    return parts


@settings(max_examples=100)
@given(recipes())
def test_what_is_packed_is_unpacked(parts):
    data, plain = packed(parts)
    assert game_archives.unpack_rnc(data + b"what follows") == plain


def test_damage_is_noticed():
    good, _ = packed([(b"hello world", 3, 9), (b"!", 1, 2)])
    for bad in (good[:25], b"RNC\x02" + good[4:], good[:-3] + b"xyz", b""):
        with pytest.raises(ValueError):
            game_archives.unpack_rnc(bad)


def test_the_checksum_has_the_published_check_value():
    assert game_archives.crc16(b"123456789") == 0xBB3D


def queen(files: dict[str, bytes]) -> bytes:
    """A resource table of MP3 files."""
    head = b"QTBL" + b"CEM10\0\0\0" + b"\1" + struct.pack(">H", len(files))
    offset, rows = len(head) + 21 * len(files), b""
    for name, data in files.items():
        rows += struct.pack(">12sBII", name.encode(), 1, offset, len(data))
        offset += len(data)
    return head + rows + b"".join(files.values())


def sky(files: dict[int, bytes]) -> tuple[bytes, bytes]:
    """A directory and its disk; every other offset in units of 16 bytes."""
    index, disk = struct.pack("<I", len(files)), b""
    for i, (number, data) in enumerate(files.items()):
        disk += bytes(-len(disk) % 16)
        where = len(disk) >> 4 | 1 << 23 if i % 2 else len(disk)
        index += struct.pack("<H", number) + where.to_bytes(3, "little") + len(data).to_bytes(3, "little")
        disk += data
    return index, disk


LINE = bytes(np.random.default_rng(0).integers(0, 256, 900, np.uint8))


@pytest.fixture
def package(tmp_path):
    small, _ = packed([(LINE, 1, 2), (b"", 1, 2)])
    index, disk = sky({100: b"no speech", 50_001: bytes(22) + LINE, 50_002: bytes(22) + small})
    files = {QUEEN: queen({"020001P2.SB": b"mp3 one", "MUSIC.RL": b"no", "JOE0001.SB": b"mp3 two"}),
             SKY: disk, SKY.replace(".dsk", ".dnr"): index, "usr/share/doc/x": b"plain"}
    return debs.deb(tmp_path / "game_1_all.deb", files)


def names(*inner: str) -> list[str]:
    return [f"{QUEEN if 'SB' in name else SKY}{INNER_MARK}{name}" for name in inner]


def test_files_inside_resource_files_are_listed_and_read_beside_the_others(package):
    inside = names("020001P2.SB.mp3", "JOE0001.SB.mp3", "50001.wav", "50002.wav")
    assert set(debian.list_files(package)) == {*inside, "usr/share/doc/x", game_archives.SKY.replace(".dsk", ".dnr")}
    found = dict(debian.read_files(package, [*inside[1:], *names("59999.wav"), "usr/share/doc/x"]))
    assert set(found) == {*inside[1:], "usr/share/doc/x"}
    assert found["usr/share/doc/x"] == b"plain" and found[inside[1]] == b"mp3 two"
    for name, expected in ((inside[2], LINE), (inside[3], LINE + LINE[-1:] * 2)):
        with wave.open(io.BytesIO(found[name])) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (11_025, 1, 1)
            assert file.readframes(10_000) == expected


def test_another_format_is_said(tmp_path):
    path = debs.deb(tmp_path / "game_2_all.deb", {QUEEN: b"QTBLnothing like it"})
    with pytest.raises(Unavailable, match="not in the format that is known"):
        debian.list_files(path)
