"""Where clips come from, in one form for all data sets: a table of them, and a way to read each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib.audio import Clip

if TYPE_CHECKING:
    import pandas as pd

INDEX = ("clip_id", "label", "speaker", "split", "sample_rate", "source")
"""Columns of a table of clips that have not been decoded."""

Read = Callable[[Collection[str]], Iterator[tuple[str, Callable[[], Clip]]]]
"""From the ids of clips to each of them, in the order of the index: its id, and how to decode it, which
raises `BadAudio` if it cannot be used."""


@dataclass(frozen=True)
class Origin:
    """A data set as it can be read.

    Attributes
    ----------
    key : str
        Names everything that the clips are made of: another key, other clips.
    index : callable
        Gives a DataFrame with the columns `INDEX`, one row a clip, in a fixed order.
    read : callable
        See `Read`.
    part : float
        How much of the whole data set it is, by bytes: small ones need less room.
    notes : tuple of str
        Sentences for the report.
    """

    key: str
    index: Callable[[], pd.DataFrame]
    read: Read
    part: float = 1.0
    notes: tuple[str, ...] = ()
