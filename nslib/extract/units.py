"""Which clips are worked on together: decided by the clips alone, so that every run decides the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib.embeddings.base import SAMPLE_RATE

if TYPE_CHECKING:
    import pandas as pd

# A unit is what a killed run can lose, and a batch is what the model sees at once. Both are counted
# in seconds of audio, padding included, because that is what memory and time grow with. Longer batches
# are slower on a CPU, whose cache they leave (benchmarks/extract.py tries several).
UNIT_SECONDS = 240.0
BATCH_SECONDS = 30.0


@dataclass(frozen=True)
class Item:
    """One clip to compute: its hash, where its audio is, its readable name and its length."""

    key: str
    path: str
    clip_id: str
    samples: int


def plan(items: Sequence[Item], *, same_length: bool, seconds: float) -> list[list[Item]]:
    """Cut clips, shortest first, into groups of at most `seconds` of audio counted with padding.

    Parameters
    ----------
    items : sequence of Item
    same_length : bool
        Put only clips of equal length in a group.
    seconds : float
        Budget of a group; a longer clip forms a group of its own.

    Returns
    -------
    list of list of Item
        Every item once; the same items give the same groups in whatever order they come.
    """
    groups: list[list[Item]] = []
    for item in sorted(items, key=lambda i: (i.samples, i.key)):
        fits = bool(groups) and (len(groups[-1]) + 1) * item.samples <= seconds * SAMPLE_RATE
        if fits and not (same_length and groups[-1][-1].samples != item.samples):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def items(clips: pd.DataFrame) -> list[Item]:
    """Take the clips of a table, each waveform once.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds.

    Returns
    -------
    list of Item
    """
    first = clips.drop_duplicates("sha256")
    columns = zip(first["sha256"], first["audio"], first["clip_id"], first["seconds"], strict=True)
    return [Item(k, a, c, round(s * SAMPLE_RATE)) for k, a, c, s in columns]


def name(unit: Sequence[Item]) -> str:
    """Name a work unit after its content.

    Parameters
    ----------
    unit : sequence of Item

    Returns
    -------
    str
        24 hex digits; the same clips always have the same.
    """
    return hashlib.sha256("".join(item.key for item in unit).encode()).hexdigest()[:24]
