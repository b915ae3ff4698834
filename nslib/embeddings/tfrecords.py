"""Files of vectors in the form of the authors' pipeline: records of tf.Example, written whole and read one by one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nslib.errors import NslibError

__all__ = ["BadRecord", "decode_example", "encode_example", "read_records", "write_records"]


class BadRecord(NslibError):
    """A record that cannot be used: its file, its number from 0, what is wrong with it, and what to do about it."""

    def __init__(self, path: Path, number: int, reason: str, remedy: str):
        self.path, self.number, self.reason, self.remedy = path, number, reason, remedy
        super().__init__(f"{path}, record {number}: {reason}. {remedy}")


def encode_example(features: Mapping[str, Sequence[Any]]) -> bytes:
    """Serialise a tf.Example: by name bytes, floats or whole numbers; the same bytes for the same features."""
    import tensorflow as tf

    example = tf.train.Example()
    for name, values in features.items():
        kind = {bytes: "bytes_list", int: "int64_list"}.get(type(values[0]), "float_list")
        getattr(example.features.feature[name], kind).value.extend(values)
    return bytes(example.SerializeToString(deterministic=True))


def decode_example(record: bytes) -> dict[str, tuple[str, Sequence[Any]]]:
    """Read a tf.Example, or raise ValueError: by name its kind (``"bytes_list"``, ..., or empty) and values."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise ValueError(str(error)) from error
    kinds = {name: feature.WhichOneof("kind") or "" for name, feature in features.items()}
    return {name: (kind, getattr(features[name], kind).value if kind else []) for name, kind in kinds.items()}


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write a TFRecord file in one step, or raise NslibError: it appears under its name only when it is whole."""
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    # in a folder of its own, because a shard can be too large to be made in memory as nslib.config does
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


def read_records(path: Path) -> Iterator[bytes]:
    """Read the records of a TFRecord file one by one; BadRecord where it is damaged."""
    import tensorflow as tf

    number = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield record
            number += 1
    except tf.errors.DataLossError as error:
        raise BadRecord(path, number, f"it is damaged or cut short, or this is no TFRecord file ({error.message})",
                        "Copy or make the file again.") from error
