"""Recall of each class: which labels an embedding gets right, and how sure one can be of that.

Conventions
-----------
Recall of a class is the share of its test clips that the chosen probe named right. Its interval is that of an accuracy
on these clips alone (`nslib.metrics.interval`): over the speakers of the class where five or more have it, else over
its clips, as where the label is the speaker. Classes are small, and their intervals wide; they are not widened further
for being several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib import metrics, tables
from nslib.bootstrap import LEVEL

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["task", "embedding", "label", "n", "n_speakers", "recall", "low", "high", "by", "taken_for", "times"]


def table(rows: pd.DataFrame, predictions: pd.DataFrame, task: str | None = None, embedding: str | None = None, *,
          level: float = LEVEL) -> pd.DataFrame:
    """Recall of each class with its interval.

    Parameters
    ----------
    rows, predictions : DataFrame
        Of a benchmark, as in `nslib.schema.ROWS` and `nslib.schema.PREDICTIONS`.
    task, embedding : str, optional
        Only these.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    DataFrame
        One row a task, embedding and class, the highest recall first: label, n (clips) of n_speakers (known ones),
        recall (0 to 1) with low and high, by (what was resampled), taken_for (the label most often answered instead;
        empty if none was) and how many times.
    """
    import pandas as pd

    chosen = tables.selected(rows)
    found: list[dict[str, Any]] = []
    for row in chosen.to_dict("records"):
        if task in (None, row["task"]) and embedding in (None, row["embedding"]):
            own = predictions[predictions["key"] == row["key"]]
            classes = [_class(str(label), part, level) for label, part in own.groupby("y_true")]
            classes.sort(key=lambda one: (-one["recall"], one["label"]))
            found += [{"task": row["task"], "embedding": row["embedding"]} | one for one in classes]
    return pd.DataFrame(found, columns=COLUMNS)


def _class(label: str, part: pd.DataFrame, level: float) -> dict[str, Any]:
    right = part["y_true"] == part["y_pred"]
    interval = metrics.interval(part["y_true"], part["y_pred"], part["speaker"], level=level)
    wrong = part.loc[~right, "y_pred"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return {"label": label, "n": len(part), "n_speakers": part.loc[part["speaker"] != "", "speaker"].nunique(),
            "recall": float(right.mean()), **interval._asdict(),
            "taken_for": str(wrong.index[0]) if len(wrong) else "", "times": int(wrong.iloc[0]) if len(wrong) else 0}
