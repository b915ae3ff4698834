"""Results to be read: the chosen score of each embedding on each task, with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def selected(rows: pd.DataFrame) -> pd.DataFrame:
    """The result of each embedding on each task: the test score of what validation chose.

    Parameters
    ----------
    rows : DataFrame
        Rows, maybe of several runs.

    Returns
    -------
    DataFrame
        One row a task, embedding and metric, in order of first appearance; of several runs the newest.
    """
    chosen = rows[rows["selected"] & (rows["split"] == "test")]
    one = ["task", "embedding", "metric"]
    newest = chosen.sort_values("when", kind="stable").drop_duplicates(one, keep="last")
    return newest.sort_index().reset_index(drop=True)


def table(rows: pd.DataFrame, decimals: int = 2) -> pd.DataFrame:
    """Results to be read: tasks by embeddings, each cell ``"0.87 [0.80, 0.93]"``.

    Parameters
    ----------
    rows : DataFrame
        Rows; the selected ones are taken.
    decimals : int
        Digits after the point.

    Returns
    -------
    DataFrame of str
        Columns ``metric``, ``chance``, ``interval over`` (speakers or clips) and one an embedding.
        Tasks of synthetic speech are called so. A cell of an embedding that has no result is ``"not run"``.
    """
    import pandas as pd

    chosen = selected(rows)
    unsaid = (chosen["corpus_kind"] == "synthetic") & ~chosen["task"].str.contains("synthetic")
    label = chosen["task"].where(~unsaid, chosen["task"] + " (synthetic)")
    facts = pd.DataFrame({"task": label, "metric": chosen["metric"].str.replace("_", " "),
                          "chance": [f"{v:.{decimals}f}" for v in chosen["chance"]],
                          "interval over": chosen["interval_by"] + "s",
                          "embedding": chosen["embedding"], "cell": _cells(chosen, decimals)})
    index = ["task", "metric"]
    first = facts.drop_duplicates(index).set_index(index)[["chance", "interval over"]]
    cells = facts.set_index([*index, "embedding"])["cell"].unstack("embedding")
    order = list(dict.fromkeys(facts["embedding"]))
    wide = first.join(cells.reindex(columns=order)).fillna("not run").reset_index("metric")
    return wide.rename_axis(index="task", columns=None)


def _cells(rows: pd.DataFrame, decimals: int) -> list[str]:
    return [f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"
            for value, low, high in zip(rows["value"], rows["low"], rows["high"], strict=True)]
