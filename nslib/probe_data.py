"""What the probe is given: the vectors of a split, checked, in order, and what cannot be right about them.

Conventions
-----------
Rows are brought into the order of ``clip_id`` and into float64, so that the order of clips does not change an
answer. Vectors that do not fit so into memory stay in files, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter, NslibError
from nslib.large.matrix import blocks, gathered
from nslib.splits import SPLITS, label_is_speaker


@dataclass(frozen=True)
class Split:
    """Vectors of one split.

    Attributes
    ----------
    x : ndarray [clips, dim] float
        One vector a clip.
    y, speaker, clip_id : ndarray [clips] str
        Class, speaker (``""`` if unknown) and unique name of each clip.
    """

    x: npt.NDArray[np.floating[Any]]
    y: npt.NDArray[Any]
    speaker: npt.NDArray[Any]
    clip_id: npt.NDArray[Any]


def checked(train: Split, validation: Split, test: Split, *, streamed: bool = False) -> dict[str, Split]:
    """Check three splits and bring them into order.

    Parameters
    ----------
    train, validation, test : Split
    streamed : bool
        Whether vectors stay, or are put, into files in float32 (`nslib.large.matrix`), not into float64 in memory.

    Returns
    -------
    dict
        Name of each split to its rows in the order of ``clip_id``.

    Raises
    ------
    NslibError
        If vectors are not finite, or a split is empty or of one class.
    BadParameter
        If clips or dimensions do not match, or a clip comes twice in a split.
    """
    given = zip(SPLITS, (train, validation, test), strict=True)
    splits = {name: _ordered(name, split, streamed) for name, split in given}
    dims = {name: split.x.shape[1] for name, split in splits.items()}
    if len(set(dims.values())) > 1 or not dims["train"]:
        raise BadParameter(f"vectors of all splits must be equally long, and not empty; got {dims}.")
    return splits


def _ordered(name: str, split: Split, streamed: bool) -> Split:
    x = np.asanyarray(split.x)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    y, speaker, clip_id = (np.asarray(a, dtype=str) for a in (split.y, split.speaker, split.clip_id))
    if x.ndim != 2 or not len(x) == len(y) == len(speaker) == len(clip_id):
        raise BadParameter(f"{name} needs one vector, label, speaker and clip_id a clip; got vectors "
                           f"{x.shape}, {len(y)} labels, {len(speaker)} speakers, {len(clip_id)} names.")
    broken = clip_id[~_finite(x)]
    if len(broken):
        raise NslibError(f"{len(broken)} of {len(x)} {name} vectors hold NaN or infinity, the first that of "
                         f"{broken[0]}. Check the embedding with nslib.check.")
    if len(set(clip_id)) < len(clip_id):
        raise BadParameter(f"{len(clip_id) - len(set(clip_id))} names of clips come twice in {name}.")
    if len(set(y)) < 2:
        raise NslibError(f"{name} holds {len(x)} clips of {len(set(y))} classes; a task needs two or more.")
    order = np.argsort(clip_id)
    ready = _filed(x, order) if streamed else np.ascontiguousarray(x[order], dtype=np.float64)
    return Split(ready, y[order], speaker[order], clip_id[order])


def _finite(x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    finite = np.empty(len(x), dtype=bool)
    for rows in blocks(*x.shape):
        finite[rows] = np.isfinite(x[rows]).all(axis=1)
    return finite


def _filed(x: npt.NDArray[Any], order: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    there = isinstance(x, np.memmap) and x.dtype == np.float32 and (order[1:] > order[:-1]).all()
    return x if there else gathered(x, order)


def speaker_norms(splits: dict[str, Split], wanted: bool) -> tuple[tuple[bool, ...], list[str]]:
    """Decide whether the z-score by speaker can be tried.

    Parameters
    ----------
    splits : dict of Split
        From `checked`.
    wanted : bool
        Whether it is asked for.

    Returns
    -------
    norms : tuple of bool
        Values of ``speaker_norm`` to try.
    said : list of str
        Why it is left out although wanted.
    """
    if not wanted:
        return (False,), []
    labels, speakers = (np.concatenate([getattr(s, a) for s in splits.values()]) for a in ("y", "speaker"))
    if (speakers == "").any():
        return (False,), ["No z-score by speaker: not every speaker is known."]
    if label_is_speaker(labels, speakers):
        return (False,), ["No z-score by speaker: the speaker is the label, which the z-score would use."]
    return (False, True), []


def label_notes(splits: dict[str, Split]) -> list[str]:
    """Sentences on labels that train lacks and on vectors of zeros.

    Parameters
    ----------
    splits : dict of Split
        From `checked`.

    Returns
    -------
    list of str
    """
    said = []
    for name, split in splits.items():
        unlearnt = ~np.isin(split.y, splits["train"].y)
        if unlearnt.any():
            absent = ", ".join(sorted(set(split.y[unlearnt])))
            said.append(f"{unlearnt.sum()} {name} clips have a label that train lacks, so no answer to them "
                        f"can be right: {absent}.")
        silent = sum(int((~split.x[rows].any(axis=1)).sum()) for rows in blocks(*split.x.shape))
        if silent:
            said.append(f"{silent} {name} vectors are all zero; L2 normalisation leaves them so.")
    return said
