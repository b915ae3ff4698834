"""What a protocol works on, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import splits
from nslib.classifiers import CLASSIFIERS, PROBES
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

FAST = ("LogisticRegression", "LDA_LSQR_AUTO")
"""Probes of the protocols unless others are asked for: two of the five, because a protocol fits hundreds of times."""

_NAMED = 8


@dataclass(frozen=True)
class Material:
    """Vectors of one embedding for the clips of one task.

    Attributes
    ----------
    task : Task
    embedding, fingerprint : str
        Name of the embedding, and what its results are kept under.
    clips : DataFrame
        Clip table, sorted by ``clip_id``.
    vectors : ndarray [clips, dim] float32
        Row by row.
    listed : tuple of (clip_id, speaker)
        Among what splits within speakers are drawn, in this order: all clips of the task, so that a clip for
        which an embedding has no vector does not change the split of the others.
    """

    task: Task
    embedding: str
    fingerprint: str
    clips: pd.DataFrame
    vectors: npt.NDArray[np.floating[Any]]
    listed: tuple[tuple[str, str], ...]

    @cached_property
    def clip_id(self) -> npt.NDArray[Any]:
        """Names, [clips] str."""
        return self.clips["clip_id"].to_numpy(str)

    @cached_property
    def label(self) -> npt.NDArray[Any]:
        """Classes, [clips] str."""
        return self.clips["label"].fillna("").to_numpy(str)

    @cached_property
    def speaker(self) -> npt.NDArray[Any]:
        """Speakers, [clips] str; empty if unknown."""
        return self.clips["speaker"].fillna("").to_numpy(str)

    @cached_property
    def split(self) -> npt.NDArray[Any]:
        """The task's own splits, [clips] str."""
        return self.clips["split"].fillna("").to_numpy(str)


@dataclass(frozen=True)
class Computed:
    """What a protocol found.

    Attributes
    ----------
    rows : DataFrame
        Columns of `nslib.schema.PROTOCOL_ROWS` but for the origin.
    answers : DataFrame
        Columns of `nslib.schema.PROTOCOL_ANSWERS` but for the origin.
    notes : tuple of str
        What was left out, counted, or cannot be right.
    """

    rows: pd.DataFrame
    answers: pd.DataFrame
    notes: tuple[str, ...]


def material(task: Task, clips: pd.DataFrame, vectors: npt.ArrayLike, *, embedding: str, fingerprint: str,
             listed: pd.DataFrame | None = None) -> Material:
    """Put together what a protocol works on.

    Parameters
    ----------
    task : Task
        What is asked.
    clips : DataFrame
        Clip table in any order.
    vectors : array-like [clips, dim] float
        In the same order.
    embedding : str
        How to call the vectors in tables.
    fingerprint : str
        What they were made by, e.g. `nslib.embeddings.fingerprint`: with the clips, it names the result.
    listed : DataFrame, optional
        Clip table with also those clips that have no vector. Default: `clips`.

    Returns
    -------
    Material

    Raises
    ------
    BadParameter
        If there is not one vector a clip, or a clip's name comes twice.
    NslibError
        If a vector is not finite.
    """
    x = np.asarray(vectors)
    if x.ndim != 2 or len(x) != len(clips) or not x.size:
        raise BadParameter(f"give one vector a clip, [clips, dim]; got {x.shape} for {len(clips)} clips.")
    if clips["clip_id"].duplicated().any():
        raise BadParameter(f"{clips['clip_id'].duplicated().sum()} names of clips come twice.")
    broken = clips["clip_id"][[not np.isfinite(row).all() for row in x]]
    if len(broken):
        raise NslibError(f"{len(broken)} of {len(x)} vectors hold NaN or infinity, the first that of "
                         f"{broken.iloc[0]}. Check the embedding with nslib.embeddings.check.")
    among = names(clips if listed is None else listed)
    if clips["clip_id"].is_monotonic_increasing:  # as every corpus is: gigabytes of vectors are not copied
        return Material(task, embedding, fingerprint, clips.reset_index(drop=True), x, among)
    order = np.argsort(clips["clip_id"].to_numpy(str), kind="stable")
    return Material(task, embedding, fingerprint, clips.iloc[order].reset_index(drop=True), x[order], among)


def names(clips: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Name and speaker of each clip, sorted: what splits are drawn among.

    Parameters
    ----------
    clips : DataFrame
        Clip table.

    Returns
    -------
    tuple of (str, str)
    """
    columns = (clips[name].fillna("").astype(str) for name in ("clip_id", "speaker"))
    return tuple(sorted(zip(*columns, strict=True)))


def usable(given: Material, protocol: str) -> tuple[Material, list[str]]:
    """Keep the clips whose speaker is known; refuse a task that the protocol is not defined for.

    Parameters
    ----------
    given : Material
    protocol : str
        Its name, for the messages.

    Returns
    -------
    Material
    notes : list of str

    Raises
    ------
    Unavailable
        If the label is the speaker, no speaker is known, or the task is not scored by accuracy.
    """
    task, speaker = given.task, given.speaker
    known = speaker != ""
    why = ""
    if task.speaker_is_label or splits.label_is_speaker(given.label, speaker):
        why = "the label is the speaker, so that clips can be split neither between speakers nor within one"
    elif not known.any():
        why = "no clip says who speaks"
    elif task.metric != "accuracy":
        why = f"it is scored by {task.metric}, and the protocol is defined for accuracy"
    if why:
        raise Unavailable(f"the protocol {protocol} on {task.name}", why,
                          "Choose a task with several speakers, each with several labels.")
    if known.all():
        return given, []
    note = f"{(~known).sum()} of {len(known)} clips were left out: their speaker is not known."
    return replace(given, clips=given.clips[known].reset_index(drop=True), vectors=given.vectors[known],
                   listed=tuple(pair for pair in given.listed if pair[1])), [note]


def probe_names(probes: Sequence[str]) -> list[str]:
    """Known probes in the order of choice.

    Parameters
    ----------
    probes : sequence of str

    Returns
    -------
    list of str

    Raises
    ------
    UnknownName, BadParameter
        For an unknown probe, or none.
    """
    for name in probes:
        if name not in CLASSIFIERS:
            raise UnknownName("probe", name, CLASSIFIERS)
    if not probes:
        raise BadParameter(f"give at least one probe of {', '.join(PROBES)}.")
    return [name for name in PROBES if name in probes]


def best(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Mark the highest of some scores, of equal ones the first; none where all are NaN."""
    marked = np.zeros(len(values), dtype=bool)
    if not np.isnan(values).all():
        marked[np.nanargmax(values)] = True
    return marked


def named(names: Iterable[str]) -> str:
    """Names in a sentence; of many the first few, and how many more."""
    found = list(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def blank(**facts: object) -> dict[str, object]:
    """A row in which only what applies must be said: no interval, one split, all speakers, nothing marked."""
    nan = float("nan")
    return {"shots": 0, "split_number": "", "speaker": "", "spread": nan, "splits": 1, "validation": nan, "value": nan,
            "low": nan, "high": nan, "interval_by": "", "selected": False, "best_on_test": False, "reason": "",
            "metric": "accuracy", **facts}
