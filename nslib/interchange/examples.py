"""One clip as a tf.Example, with the field names of the authors' pipeline.

Conventions
-----------
``embedding/<name>`` holds the vector and ``embedding/<name>/shape`` its shape, ``[1, dim]``; ``label``
and ``speaker_id`` are bytes. We add ``clip_id``, ``sha256`` (of the audio), ``seconds`` and ``key``,
which is the same for the same clip in every run. (The authors draw a random key for each record.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import FloatArray

PREFIX, SHAPE = "embedding/", "/shape"

_AVERAGE = "Write the table again, averaged over time."


class Unusable(Exception):
    """A record that cannot be used: ``(reason, remedy)``."""


@dataclass
class Row:
    """What a record says.

    Attributes
    ----------
    clip_id, sha256, label, speaker : str
        ``""`` if not told.
    seconds : float
        NaN if not told.
    vectors : dict of str to float32 [dim]
    traits : set of str
        What is to be said about the table: ``averaged``, ``no shape``, ...
    unread : set of str
        Fields that are not used.
    """

    clip_id: str
    sha256: str
    label: str
    speaker: str
    seconds: float
    vectors: dict[str, FloatArray]
    traits: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)


def key(clip_id: str, sha256: str) -> str:
    """Key of a clip: the same in every run.

    Parameters
    ----------
    clip_id, sha256 : str

    Returns
    -------
    str
        32 hex digits, as many bits as the authors' random keys have.
    """
    return hashlib.sha256(f"{clip_id}\0{sha256}".encode()).hexdigest()[:32]


def serialised(clip: Mapping[str, Any], label: str, vectors: Mapping[str, FloatArray]) -> bytes:
    """Make a record.

    Parameters
    ----------
    clip : mapping
        clip_id, sha256, seconds, speaker.
    label : str
    vectors : mapping of str to float32 [dim]

    Returns
    -------
    bytes
        The same bytes for the same clip.
    """
    import tensorflow as tf

    example = tf.train.Example()
    features = example.features.feature
    texts = {"clip_id": clip["clip_id"], "sha256": clip["sha256"], "label": label, "speaker_id": clip["speaker"],
             "key": key(clip["clip_id"], clip["sha256"])}
    for name, text in texts.items():
        if text or name == "label":
            features[name].bytes_list.value.append(text.encode())
    if np.isfinite(clip["seconds"]):
        features["seconds"].float_list.value.append(clip["seconds"])
    for name, vector in vectors.items():
        features[PREFIX + name].float_list.MergeFromString(_packed(vector))
        features[PREFIX + name + SHAPE].int64_list.value.extend([1, len(vector)])
    return bytes(example.SerializeToString(deterministic=True))


def parsed(record: bytes, names: list[str] | None, label_key: str, speaker_key: str) -> Row:
    """Understand a record.

    Parameters
    ----------
    record : bytes
    names : list of str or None
        Embeddings; None for all of the record.
    label_key, speaker_key : str
        Fields.

    Returns
    -------
    Row
        Without clip_id in the record, its hash.

    Raises
    ------
    Unusable
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise Unusable(f"it is no tf.Example ({error})", "Give the output of the embedding pipeline.") from error
    present = present_names(features)
    if not present:
        raise Unusable(f"it has no field {PREFIX}NAME; it has {', '.join(sorted(features)) or 'none'}",
                       "Give the output of the embedding pipeline.")
    row = Row(_text(features, "clip_id"), _text(features, "sha256"), _text(features, label_key),
              _text(features, speaker_key), _seconds(features), {})
    if label_key not in features:
        raise Unusable(f"it has no field {label_key}; it has {', '.join(sorted(features))}", "Give label_key=.")
    for name in present if names is None else names:
        row.vectors[name] = _vector(features, name, present, row.traits)
    if not row.clip_id:
        row.traits.add("no id")
        row.clip_id = hashlib.sha256(_content(row)).hexdigest()[:32]
    used = {"clip_id", "sha256", "seconds", "key", label_key, speaker_key}
    used |= {PREFIX + name + end for name in row.vectors for end in ("", SHAPE)}
    row.unread = set(features) - used
    return row


def present_names(features: Any) -> list[str]:
    """Names of the embeddings of a record.

    Parameters
    ----------
    features : mapping
        Of a tf.Example.

    Returns
    -------
    list of str
    """
    return sorted(f[len(PREFIX):] for f in features if f.startswith(PREFIX) and not f.endswith(SHAPE))


def _content(row: Row) -> bytes:
    head = "\0".join([row.label, row.speaker, *sorted(row.vectors)]).encode()
    return head + b"".join(row.vectors[name].astype("<f4").tobytes() for name in sorted(row.vectors))


def _text(features: Any, name: str) -> str:
    """A field of bytes, or of a whole number as text: the authors' labels are either."""
    if name not in features:
        return ""
    kind = features[name].WhichOneof("kind")
    values = getattr(features[name], kind).value if kind else []
    if kind not in ("bytes_list", "int64_list") or len(values) != 1:
        raise Unusable(f"its {name} is {len(values)} values of {kind or 'nothing'}, not one text or whole number",
                       "Give label_key= or speaker_key= if that is another field.")
    if kind == "int64_list":
        return str(values[0])
    try:
        return str(values[0].decode())
    except UnicodeDecodeError as error:
        raise Unusable(f"its {name} is no UTF-8 text", "Give label_key= or speaker_key= if that is another "
                       "field.") from error


def _seconds(features: Any) -> float:
    values = features["seconds"].float_list.value if "seconds" in features else []
    return float(values[0]) if len(values) == 1 else float("nan")


def _vector(features: Any, name: str, present: list[str], traits: set[str]) -> FloatArray:
    if name not in present:
        raise Unusable(f"it has no {PREFIX}{name}; it has {', '.join(present)}", "Read with names= of these.")
    flat = _unpacked(features[PREFIX + name].float_list.SerializeToString())
    if not len(flat):
        raise Unusable(f"{PREFIX}{name} is empty", "Leave the clip out, or compute it again.")
    if PREFIX + name + SHAPE not in features:
        traits.add("no shape")
        return flat
    frames = _frames(flat, tuple(features[PREFIX + name + SHAPE].int64_list.value), name)
    if len(frames) == 1:
        return frames[0]
    traits.add("averaged")
    return np.asarray(frames.mean(0, dtype=np.float64), np.float32)


# On the wire a list of floats is one field of little-endian float32: taking it as such is ten times as
# fast as number by number, which for a large data set is the difference between a minute and ten.


def _packed(vector: FloatArray) -> bytes:
    data, rest, head = vector.astype("<f4").tobytes(), 4 * len(vector), b"\x0a"
    while rest > 127:
        head, rest = head + bytes([rest & 127 | 128]), rest >> 7
    return head + bytes([rest]) + data


def _unpacked(data: bytes) -> FloatArray:
    start = 1
    while start < len(data) and data[start] & 128:
        start += 1
    return np.frombuffer(data, "<f4", offset=min(start + 1, len(data))).astype(np.float32)


def _frames(flat: FloatArray, shape: tuple[int, ...], name: str) -> npt.NDArray[np.float32]:
    if not shape or min(shape) < 1 or int(np.prod(shape)) != len(flat):
        raise Unusable(f"{PREFIX}{name} has {len(flat)} numbers, but the shape {list(shape)}", _AVERAGE)
    if any(size > 1 for size in shape[:-2]):
        raise Unusable(f"{PREFIX}{name} has the shape {list(shape)}, which is not [frames, dim]", _AVERAGE)
    return flat.reshape(-1, shape[-1])
