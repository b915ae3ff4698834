"""Table 1 of the paper beside the same facts counted in the clips that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import tasks
from nslib.published.rules import NOSS
from nslib.published.tables import load

if TYPE_CHECKING:
    import pandas as pd

_PUBLISHED = {"classes": "classes, published", "samples": "clips, published", "mean_seconds": "mean seconds, published"}
_ORDER = ["classes", "classes, published", "clips", "clips, published", "mean seconds", "mean seconds, published",
          "speakers"]
NOT_HERE = "not run"


def measured(clips: pd.DataFrame) -> pd.DataFrame:
    """Count what Table 1 states, task by task.

    Parameters
    ----------
    clips : DataFrame
        Clip tables, one below the other, with the column ``task``; may be empty.

    Returns
    -------
    DataFrame
        Indexed by task: classes, clips, mean seconds, speakers (0 where they are not given).
    """
    import pandas as pd

    if clips.empty:
        return pd.DataFrame(columns=["classes", "clips", "mean seconds", "speakers"]).rename_axis("task")
    by_task = clips.assign(speaker=clips["speaker"].where(clips["speaker"] != "")).groupby("task", sort=False)
    return by_task.agg(**{"classes": ("label", "nunique"), "clips": ("clip_id", "size"),
                          "mean seconds": ("seconds", "mean"), "speakers": ("speaker", "nunique")})


def table1(clips: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of the paper from the data itself, each number beside the published one and its status.

    Parameters
    ----------
    clips : DataFrame
        As in `measured`; of other tasks than the six of NOSS nothing is taken.

    Returns
    -------
    DataFrame of str
        The six data sets; what is counted is ``"not run"`` where the clips are not here.
    """
    cells = load(NOSS, "1")
    printed = cells.pivot(index="task", columns="metric", values="shown").rename(columns=_PUBLISHED)
    names = [name for name in tasks.REGISTRY if name in printed.index]
    here = measured(clips).reindex(names)
    counted = here.assign(**{name: here[name].map(_count) for name in ("classes", "clips", "speakers")},
                          **{"mean seconds": here["mean seconds"].map(_seconds)})
    return counted.join(printed)[_ORDER].rename_axis(index=None, columns=None)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == value else NOT_HERE


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value == value else NOT_HERE
