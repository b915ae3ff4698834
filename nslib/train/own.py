"""Recordings of yours to train on: no labels are needed, speakers help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nslib.corpora import folder
from nslib.errors import BadParameter
from nslib.splits import by_group
from nslib.train import recorded
from nslib.train.recorded import Recordings

if TYPE_CHECKING:
    import pandas as pd

HELD_OUT = 0.05
PARTS = ("train", "validation")


def recordings(path: Path, join: float = 0.0, *, progress: bool = True) -> tuple[Recordings, Recordings]:
    """Read a folder or a list of recordings in two parts, to learn from and to stop by.

    Labels and splits, if there are any, are not looked at.

    Parameters
    ----------
    path : Path
        As `nslib.corpora.folder.read` takes it.
    join : float
        See `nslib.train.settings.PairSettings`.
    progress : bool

    Returns
    -------
    (Recordings, Recordings)
        `HELD_OUT` of the speakers, or of the clips where no speaker is named, are the second. Files that
        cannot be read are problems of the first.

    Raises
    ------
    BadParameter
        If there is too little for two parts.
    """
    found = folder.read(path, progress=progress)
    clips = found.clips
    groups = [row.speaker or row.clip_id for row in clips.itertuples()]
    names = sorted(set(groups))
    if len(names) < 2:
        raise BadParameter(f"{path} has {len(names)} speakers (or clips, where none is named); two are needed, one to "
                           "learn from and one to stop by.")
    side = by_group(names, names, (1 - HELD_OUT, HELD_OUT), PARTS)
    parts = clips.assign(part=[side[group] for group in groups])
    lost = tuple(f"{row.clip_id}: {row.reason}. {row.remedy}" for row in found.problems.itertuples())
    learn, held_out = (_part(parts, part, join, progress) for part in PARTS)
    return Recordings(learn.samples, learn.starts, learn.lengths, learn.names, (*lost, *learn.problems)), held_out


def _part(clips: pd.DataFrame, part: str, join: float, progress: bool) -> Recordings:
    mine = clips[clips["part"] == part].sort_values(["speaker", "clip_id"], ignore_index=True)
    return recorded.recordings(mine, join, progress=progress)
