"""TFRecord files, record by record: what is damaged is told exactly, and the rest can still be had.

Conventions
-----------
A record is its length (8 bytes, little-endian), a checksum of the length, the data and a checksum of
the data (masked CRC-32C, 4 bytes each). If the data of a record are damaged, the next record is still
found; if a length is damaged, or the file ends too early, what follows is lost. Records are counted
from 0.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from nslib.errors import NslibError

# TensorFlow greets with a page of notes about the machine; errors are raised anyway
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_AGAIN = "Copy or make the file again, or give strict=False to go on without what is lost."


class BadRecord(NslibError):
    """A record that cannot be used.

    Parameters
    ----------
    path : Path
    number : int
        From 0.
    reason : str
        What is wrong with it.
    remedy : str
        What the user can do about it.
    """

    def __init__(self, path: Path, number: int, reason: str, remedy: str):
        self.path, self.number, self.reason, self.remedy = path, number, reason, remedy
        super().__init__(f"{path}, record {number}: {reason}. {remedy}")


def write(path: Path, records: Iterable[bytes]) -> None:
    """Write a file of records in one step: it appears under its name only when it is whole.

    Parameters
    ----------
    path : Path
        An older file is replaced; missing folders are made.
    records : iterable of bytes

    Raises
    ------
    NslibError
        If it cannot be written, e.g. on a full disk. What was there before stays, and no scrap is left.
    """
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    # in a folder of its own, because a shard can be too large to be made in memory as nslib.files does
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=path.parent) as folder:
        temporary = Path(folder, path.name)
        try:
            with tf.io.TFRecordWriter(str(temporary)) as writer:
                for record in records:
                    writer.write(record)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except (OSError, tf.errors.OpError) as error:
            raise NslibError(f"{path} cannot be written: {error}. Free some space or choose another folder, and run "
                             "the same again.") from error


def read(path: Path) -> Iterator[tuple[int, bytes | BadRecord]]:
    """Read a file of records.

    Parameters
    ----------
    path : Path

    Yields
    ------
    number : int
        From 0.
    record : bytes or BadRecord
        Its data, or what is wrong with it. If that is the last one, everything after it is lost.

    Raises
    ------
    NslibError
        If the file is missing or cannot be opened.
    """
    import tensorflow as tf
    from tensorflow.python.lib.io.tf_record import tf_record_random_reader

    if not path.is_file():
        raise NslibError(f"{path} is not a file. Give TFRecord files, a pattern, or what their names begin with.")
    size, offset, number = path.stat().st_size, 0, 0
    reader = tf_record_random_reader(str(path))
    while offset < size:
        found: bytes | BadRecord
        try:
            found, offset = reader.read(offset)
        except (tf.errors.DataLossError, IndexError):
            reason, offset = _damage(path, offset, size)
            found = BadRecord(path, number, reason, _AGAIN)
        yield number, found
        number += 1


def _damage(path: Path, offset: int, size: int) -> tuple[str, int]:
    """What is wrong with the record at `offset`, and where the next one is (`size` if there is none)."""
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(12)
    lost = f"it and what follows (from byte {offset} of {size}) are lost"
    if len(head) < 12:
        return f"the file ends inside it; {lost}", size
    length, checksum = struct.unpack("<QI", head)
    if _masked_crc(head[:8]) != checksum:
        other = "this is no TFRecord file, or its beginning is damaged" if not offset else "its length is damaged"
        return f"{other}; {lost}", size
    if offset + 16 + length > size:
        return f"the file ends inside it; {lost}", size
    return "its data do not match their checksum", offset + 16 + length


def _masked_crc(data: bytes) -> int:
    # of the 8 bytes of a length only; TensorFlow checks the data
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
