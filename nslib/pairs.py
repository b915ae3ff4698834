"""Paired differences between embeddings: on a task, within speakers, and averaged over tasks.

Reference
---------
G. Zou, W. Huang and X. Zhang, *A note on confidence interval estimation for a linear function of binomial
proportions*, Comput. Stat. Data Anal. 53, 2009 (the interval of an average).

Conventions
-----------
The answers of an embedding to a task are a table, one row a test clip (within speakers: one a clip and split),
indexed by ``clip_id``. Differences are first minus second, on the clips that both have answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nslib import paired
from nslib.bootstrap import LEVEL, Difference
from nslib.errors import BadParameter
from nslib.tasks import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

Answers = dict[str, dict[str, "pd.DataFrame"]]
"""Task to embedding to its test answers."""

_WITHIN = "within-speaker"


def average(differences: Sequence[Difference]) -> Difference:
    """Mean of differences on independent test sets, with its interval.

    Parameters
    ----------
    differences : sequence of Difference
        At least one.

    Returns
    -------
    Difference
        Its bounds lie as far from the mean as the root of the mean square of the single ones, divided by the root
        of their number. ``by`` names what was resampled, both if they differ.

    Raises
    ------
    BadParameter
        For none.

    Examples
    --------
    >>> average([Difference(0.1, 0.0, 0.2, "clip"), Difference(0.3, 0.2, 0.4, "clip")]).diff
    0.2
    """
    n = len(differences)
    if not n:
        raise BadParameter("there is no difference to average: give at least one task.")
    mean = math.fsum(d.diff for d in differences) / n
    down = math.sqrt(math.fsum((d.diff - d.low) ** 2 for d in differences)) / n
    up = math.sqrt(math.fsum((d.high - d.diff) ** 2 for d in differences)) / n
    by = sorted({d.by for d in differences})
    return Difference(mean, mean - down, mean + up, " and ".join(by))


def answered(chosen: pd.DataFrame, predictions: pd.DataFrame) -> Answers:
    """Answers of a benchmark.

    Parameters
    ----------
    chosen : DataFrame
        The rows whose scores are shown (`nslib.tables.selected`).
    predictions : DataFrame
        As in `nslib.schema.PREDICTIONS`, maybe of more runs.

    Returns
    -------
    dict
        Task to embedding to a table with ``right`` and ``speaker``.
    """
    marked = predictions.assign(right=predictions["y_true"] == predictions["y_pred"])
    by_key = {str(key): part.set_index("clip_id")[["right", "speaker"]] for key, part in marked.groupby("key")}
    found: Answers = {}
    for row in chosen.to_dict("records"):
        if row["key"] in by_key:
            found.setdefault(row["task"], {})[row["embedding"]] = by_key[row["key"]]
    return found


def answered_within(answers: pd.DataFrame | None) -> Answers:
    """Answers within speakers with all training clips, of the newest run.

    Parameters
    ----------
    answers : DataFrame, optional
        Of the protocols, as in `nslib.schema.PROTOCOL_ANSWERS`.

    Returns
    -------
    dict
        Task to embedding to its rows.
    """
    found: Answers = {}
    if answers is None:
        return found
    own = answers[(answers["protocol"] == _WITHIN) & (answers["shots"] == 0)]
    for (task, embedding), part in own.groupby(["task", "embedding"], sort=False):
        newest = part[part["key"] == part["key"].iloc[-1]]
        found.setdefault(str(task), {})[str(embedding)] = newest.set_index("clip_id", drop=False)
    return found


def one_kind(answers: Answers, kinds: Mapping[str, str]) -> tuple[Answers, str]:
    """Keep recorded speech if there is any, and say which it is.

    Parameters
    ----------
    answers : dict
        From `answered` or `answered_within`.
    kinds : mapping
        Task to its kind, for those that the registry does not know.

    Returns
    -------
    answers : dict
        Of tasks of one kind.
    speech : {"recorded", "synthetic"}
    """
    kind = {task: kinds.get(task) or (REGISTRY[task].kind if task in REGISTRY else "real") for task in answers}
    kept = {task: there for task, there in answers.items() if kind[task] == "real"}
    return (kept, "recorded") if kept or not answers else (answers, "synthetic")


def compared(first: pd.DataFrame, second: pd.DataFrame) -> paired.Paired | None:
    """Pair the answers of two embeddings to a task.

    Parameters
    ----------
    first, second : DataFrame
        From `answered`.

    Returns
    -------
    Paired or None
        Its differences are first minus second; None if there is no clip that both have answered.
    """
    if not first.index.equals(second.index):
        common = first.index.intersection(second.index, sort=False)
        first, second = first.loc[common], second.loc[common]
    if first.empty:
        return None
    return paired.Paired.of(first["right"], second["right"], first["speaker"])


def difference(first: pd.DataFrame, second: pd.DataFrame, level: float = LEVEL) -> Difference | None:
    """Difference in accuracy on a task.

    Parameters
    ----------
    first, second : DataFrame
        From `answered`.
    level : float
        Confidence level.

    Returns
    -------
    Difference or None
        None if there is no clip that both have answered.
    """
    both = compared(first, second)
    return None if both is None else both.at(level)


def difference_within(first: pd.DataFrame, second: pd.DataFrame, level: float = LEVEL) -> Difference | None:
    """Difference in within-speaker accuracy on a task, speakers counting equally.

    Parameters
    ----------
    first, second : DataFrame
        From `answered_within`.
    level : float
        Confidence level.

    Returns
    -------
    Difference or None
        See `nslib.protocols.intervals`; None if there is no clip that both have answered.
    """
    from nslib.protocols import intervals

    pair = ["split_number", "clip_id"]
    first, second = (frame.reset_index(drop=True) for frame in (first, second))
    common = first[pair].merge(second[pair])
    if common.empty:
        return None
    both = (frame.merge(common) for frame in (first, second))
    return intervals.difference(*both, of_speakers=True, level=level)
