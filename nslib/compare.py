"""Two runs, of another machine or another version: what moved beyond noise, and what differs in their origin.

References
----------
S. Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Stat. 6, 1979. G. Zou, W. Huang and X.
Zhang, Comput. Stat. Data Anal. 53, 2009 (the interval of a difference of two independent scores).

Conventions
-----------
Differences are the second run minus the first. Where both have answered the very same clips (``data_hash`` and
``split_hash``), answers are paired clip by clip; where recordings or splits differ, the two scores are taken as
independent, which is said. A score has *moved* if its p-value, corrected by Holm's procedure over all cells of the
comparison, is at most 5 %: the chance that anything is called so where nothing differs is then at most that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import metrics, paired
from nslib.bootstrap import LEVEL, Difference, Interval
from nslib.compare_runs import COSTS, ORIGIN, Run, read

if TYPE_CHECKING:
    import pandas as pd

PAIRED, UNPAIRED, NOT_COMPARED = "same clips", "other clips or splits", "no answers kept"
CELLS = ["task", "embedding", "metric", "first", "second", "difference", "low", "high", "p", "p_adjusted", "clips",
         "answered_differently", "how", "moved"]
_SAME = ("data_hash", "split_hash")
_LABELS = "accuracy"


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not.

    Attributes
    ----------
    cells : DataFrame
        One row a task and embedding that both have, columns `CELLS`: the two scores, their difference with its own 95 %
        interval, the p-value alone and corrected, how many test clips were answered differently (where they are the
        same), how it was compared, and whether it moved.
    origin : DataFrame
        Columns what, first, second, cells: each difference in provenance, and how many cells have it.
    only : DataFrame
        Columns task, embedding, run: cells that one run lacks.
    costs : DataFrame
        Indexed by embedding: for each column of the ledger the second run's value over the first's.
    notes : tuple of str
        What could not be read or compared.
    """

    cells: pd.DataFrame
    origin: pd.DataFrame
    only: pd.DataFrame
    costs: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def moved(self) -> bool:
        """bool: whether any score moved beyond noise."""
        return bool(self.cells["moved"].any())

    def text(self) -> str:
        """The comparison for a terminal."""
        from nslib import compare_text

        return compare_text.text(self)

    def markdown(self) -> str:
        """The comparison as Markdown."""
        from nslib import compare_text

        return compare_text.markdown(self)


def compare(first: Path, second: Path, level: float = LEVEL) -> Comparison:
    """Compare two report folders.

    Parameters
    ----------
    first, second : Path
        Folders of reports; see `nslib.compare_runs.read`.
    level : float
        Confidence level of each interval; 1 minus it is the error that all cells share.

    Returns
    -------
    Comparison

    Raises
    ------
    NslibError, BadParameter
        If one of the two is no report, is empty, or is of another schema.
    """
    a, b = read(first), read(second)
    shared = a.scores.index.intersection(b.scores.index, sort=False)
    notes = [*a.notes, *b.notes]
    if not len(shared):
        notes.append("The two runs have no task and embedding in common, so nothing was compared.")
    pairs = [(a.scores.loc[one], b.scores.loc[one]) for one in shared]
    by_key = [_by_key(run) for run in (a, b)]
    cells = _family([_cell(x, y, by_key[0].get(x["key"]), by_key[1].get(y["key"]), level) for x, y in pairs], level)
    return Comparison(cells, _origin(pairs), _only(a, b), _costs(a, b), tuple(notes))


def _by_key(run: Run) -> dict[str, pd.DataFrame]:
    marked = run.predictions.assign(right=run.predictions["y_true"] == run.predictions["y_pred"])
    return {str(key): part.set_index("clip_id") for key, part in marked.groupby("key")}


def _cell(x: pd.Series, y: pd.Series, mine: pd.DataFrame | None, other: pd.DataFrame | None,
          level: float) -> dict[str, Any]:
    found = {"task": x["task"], "embedding": x["embedding"], "metric": x["metric"], "first": x["value"],
             "second": y["value"], "difference": y["value"] - x["value"], "low": math.nan, "high": math.nan,
             "p": math.nan, "clips": min(x["n"], y["n"]), "answered_differently": -1, "how": NOT_COMPARED}
    if mine is None or other is None:
        return found
    same = all(x[name] == y[name] for name in _SAME) and set(mine.index) == set(other.index)
    if same and x["metric"] == _LABELS:
        other = other.loc[mine.index]
        at: Callable[[float], Difference] = paired.Paired.of(other["right"], mine["right"], mine["speaker"]).at
        found |= {"how": PAIRED, "answered_differently": int((mine["y_pred"] != other["y_pred"]).sum())}
    elif metrics.get(x["metric"]).needs == "labels":
        at = _independent(x, y, mine, other)
        found |= {"how": UNPAIRED}
    else:
        return found
    own = at(level)
    return found | {"low": own.low, "high": own.high, "p": paired.p_value(at)}


def _independent(x: pd.Series, y: pd.Series, mine: pd.DataFrame, other: pd.DataFrame) -> Callable[[float], Difference]:
    """Difference of two scores that have no clips in common, at any level."""
    def at(level: float) -> Difference:
        first, second = _interval(x, mine, level), _interval(y, other, level)
        diff = y["value"] - x["value"]
        down = math.hypot(y["value"] - second.low, first.high - x["value"])
        up = math.hypot(second.high - y["value"], x["value"] - first.low)
        return Difference(diff, diff - down, diff + up, " and ".join(sorted({first.by, second.by})))

    return at


def _interval(row: pd.Series, answers: pd.DataFrame, level: float) -> Interval:
    true, said, speaker = (answers[name].to_numpy(str) for name in ("y_true", "y_pred", "speaker"))
    return metrics.interval(true, said, speaker, str(row["metric"]), level=level, seed=int(row["seed"]))


def _family(found: list[dict[str, Any]], level: float) -> pd.DataFrame:
    import pandas as pd

    cells = pd.DataFrame(found, columns=CELLS).assign(p_adjusted=math.nan, moved=False)
    tested = cells["p"].notna()
    if tested.any():
        moved, adjusted = paired.holm(cells.loc[tested, "p"].to_numpy(float), level)
        cells.loc[tested, "p_adjusted"], cells.loc[tested, "moved"] = adjusted, moved
    return cells


def _origin(pairs: list[tuple[pd.Series, pd.Series]]) -> pd.DataFrame:
    import pandas as pd

    lines = [{"what": what, "first": str(x[what]), "second": str(y[what]), "cells": f"{x['task']}/{x['embedding']}"}
             for what in ORIGIN for x, y in pairs if x[what] != y[what]]
    frame = pd.DataFrame(lines, columns=["what", "first", "second", "cells"])
    return frame.groupby(["what", "first", "second"], sort=False)["cells"].agg(list).reset_index()


def _only(a: Run, b: Run) -> pd.DataFrame:
    import pandas as pd

    lines = [{"task": task, "embedding": embedding, "run": which}
             for which, run, other in (("first", a, b), ("second", b, a))
             for task, embedding, _ in run.scores.index.difference(other.scores.index, sort=False)]
    return pd.DataFrame(lines, columns=["task", "embedding", "run"])


def _costs(a: Run, b: Run) -> pd.DataFrame:
    both = a.costs.index.intersection(b.costs.index, sort=False)
    columns = [name for name in COSTS if name in a.costs and name in b.costs]
    ratio = b.costs.loc[both, columns] / a.costs.loc[both, columns]
    return ratio[ratio.notna().any(axis=1)]
