"""Which clips are worked on together: decided by the clips alone, so that every run decides the same."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE

if TYPE_CHECKING:
    import pandas as pd

# A unit is what a killed run can lose, and what one shard of the store holds. It is counted in seconds of
# audio, padding included, because that is what memory and time grow with.
UNIT_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Item:
    """One clip to compute: its hash, where its audio is, its readable name and its length."""

    key: str
    path: str
    clip_id: str
    samples: int


class Units(Sequence[list[Item]]):
    """Work units of a clip table, made when they are asked for, so that a large table costs little memory.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds. A waveform that is in it twice
        counts once.
    seconds : float
        Most audio of a unit, counted with padding; a longer clip forms a unit of its own.
    wanted : bool [clips], optional
        Clips to work on; the others are left out of their units. Default: all.

    Attributes
    ----------
    seconds : float
        Audio of all wanted clips.
    """

    def __init__(self, clips: pd.DataFrame, seconds: float, wanted: npt.NDArray[np.bool_] | None = None):
        self._clips = clips
        first, ranks = _ranked(clips["sha256"])
        samples = np.rint(clips["seconds"].to_numpy(float)[first] * SAMPLE_RATE).astype(np.int64)
        order = np.lexsort((ranks, samples))
        rows, samples = first[order], samples[order]
        unit = np.repeat(np.arange(len(cuts := _cuts(samples.tolist(), seconds))), np.diff([*cuts, len(rows)]))
        if wanted is not None:
            kept = wanted[rows]
            rows, samples, unit = rows[kept], samples[kept], unit[kept]
        self._rows, self._samples = rows, samples
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        self._ends = np.append(starts, len(rows)) if len(rows) else np.zeros(1, np.int64)
        self.seconds = float(samples.sum()) / SAMPLE_RATE

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> list[Item]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Item]]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        some = range(len(self))[index]
        part = slice(self._ends[some], self._ends[some + 1])
        chosen = self._clips.iloc[self._rows[part]]
        columns = zip(chosen["sha256"], chosen["audio"], chosen["clip_id"], self._samples[part], strict=True)
        return [Item(key, path, clip_id, int(n)) for key, path, clip_id, n in columns]

    def __iter__(self) -> Iterator[list[Item]]:
        return (self[i] for i in range(len(self)))


def plan(items: Sequence[Item], *, same_length: bool, seconds: float, padding: float = 1.0,
         shortest: int = 0) -> list[list[Item]]:
    """Cut clips, shortest first, into groups of at most `seconds` of audio counted with padding.

    Parameters
    ----------
    items : sequence of Item
    same_length : bool
        Put only clips of equal length in a group.
    seconds : float
        Budget of a group; a longer clip forms a group of its own.
    padding : float
        Most share of a group that may be padding.
    shortest : int
        Samples to which shorter clips are brought first; that is not counted as a group's padding.

    Returns
    -------
    list of list of Item
        Every item once; the same items give the same groups in whatever order they come.
    """
    ordered = sorted(items, key=lambda i: (i.samples, i.key))
    lengths = [max(i.samples, shortest) for i in ordered]
    cuts = _cuts(lengths, seconds, 0.0 if same_length else padding)
    return [ordered[a:b] for a, b in itertools.pairwise([*cuts, len(ordered)])]


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


def _ranked(keys: pd.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows with the first of each key, and the places of these keys in alphabetic order; makes no Python strings."""
    order = np.asarray(keys.array.argsort(kind="stable"), np.int64)
    ordered = keys.array.take(order)
    new = np.ones(len(order), bool)
    new[1:] = ~np.asarray(ordered[1:] == ordered[:-1], bool)
    first = order[new]
    rows = np.argsort(first)
    return first[rows], rows


def _cuts(lengths: Sequence[int], seconds: float, padding: float = 1.0) -> list[int]:
    """Where groups of ascending lengths begin."""
    cuts: list[int] = []
    total = 0
    for k, length in enumerate(lengths):
        count, total = k - cuts[-1] + 1 if cuts else 1, total + length
        fed = count * length
        if not cuts or fed > seconds * SAMPLE_RATE or fed - total > padding * fed:
            cuts.append(k)
            total = length
    return cuts
