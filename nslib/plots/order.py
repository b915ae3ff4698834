"""What the result figures and the report share: which rows, in which order, called what, and ties.

Conventions
-----------
One score a task and embedding: the test score of the probe chosen on validation. Two scores are
called *not separable* when `nslib.ties` does not tell them apart: by their paired difference on the
same clips, with the error shared by all pairs of the task. Where the predictions are not at hand,
when their own intervals overlap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import results

if TYPE_CHECKING:
    import pandas as pd

SYNTHETIC = "synthetic"


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Test rows of the probes chosen on validation, one a task and embedding.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows (see `nslib.results`), of one or more runs; of repeated ones the last counts.

    Returns
    -------
    pandas.DataFrame
        Tasks on recordings first, then synthetic ones, both in the order of the rows; embeddings as
        `embeddings` has them.

    Raises
    ------
    ValueError
        If there is no such row.
    """
    kept = results.selected(rows)
    if kept.empty:
        raise ValueError("there is no selected test score among these rows: nothing was evaluated")
    place = {name: i for i, name in enumerate(embeddings(kept))}
    turn = {name: i for i, name in enumerate(kept["task"].unique())}
    keys = {"_s": kept["corpus_kind"] == SYNTHETIC, "_t": kept["task"].map(turn), "_e": kept["embedding"].map(place)}
    return kept.assign(**keys).sort_values(list(keys), kind="stable", ignore_index=True).drop(columns=list(keys))


def above_chance(scores: pd.DataFrame) -> pd.Series:
    """Share of the way from chance to perfect, so that tasks can be compared and averaged.

    Parameters
    ----------
    scores : pandas.DataFrame
        With the columns ``value`` and ``chance``.

    Returns
    -------
    pandas.Series
        0 at chance, 1 when perfect, negative below chance.
    """
    return (scores["value"] - scores["chance"]) / (1 - scores["chance"])


def embeddings(scores: pd.DataFrame) -> list[str]:
    """Embedding names: those on most tasks first, and from the highest mean of `above_chance` down.

    A mean over other tasks is no rank, so what ran on some only comes last.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row a task and embedding.

    Returns
    -------
    list of str
    """
    means = scores.assign(_m=above_chance(scores)).groupby("embedding")["_m"].mean()
    tasks = scores.groupby("embedding")["task"].nunique()
    return sorted((str(n) for n in means.index), key=lambda n: (-tasks[n], -means[n], n))


def tasks(scores: pd.DataFrame) -> list[str]:
    """Task names in the order of the rows.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `chosen` returns it.

    Returns
    -------
    list of str
    """
    return [str(t) for t in scores["task"].unique()]


def label(task: str, corpus_kind: str) -> str:
    """How a task is called wherever its numbers are shown.

    Parameters
    ----------
    task : str
        Its name.
    corpus_kind : {"real", "synthetic"}
        What the clips are.

    Returns
    -------
    str
        The name, with ``(synthetic)`` unless the name says so already.
    """
    said = SYNTHETIC in task
    return f"{task} (synthetic)" if corpus_kind == SYNTHETIC and not said else task


def labels(scores: pd.DataFrame) -> dict[str, str]:
    """Map of every task to its `label`.

    Parameters
    ----------
    scores : pandas.DataFrame
        Result rows.

    Returns
    -------
    dict
        Task name to label.
    """
    pairs = scores[["task", "corpus_kind"]].drop_duplicates("task")
    return {str(t): label(str(t), str(k)) for t, k in zip(pairs["task"], pairs["corpus_kind"], strict=True)}


def standing(scores: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.Series:
    """Say of each score whether it is the best of its task, not separable from it, or below.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `chosen` returns it.
    predictions : pandas.DataFrame, optional
        Test answers of the same probes (columns as in `nslib.results`).

    Returns
    -------
    pandas.Series
        ``"best"``, ``"tied"`` or ``""``, on the same index.
    """
    import pandas as pd

    apart = {} if predictions is None else _apart(scores, predictions)
    said = pd.Series("", index=scores.index)
    for _, part in scores.groupby(["task", "seed"], sort=False):
        top = part.loc[part["value"].idxmax()]
        for at, row in part.iterrows():
            said[at] = "best" if row["value"] >= top["value"] else "tied" if _tied(top, row, apart) else ""
    return said


Apart = dict[tuple[str, frozenset[str]], bool]


def _apart(scores: pd.DataFrame, predictions: pd.DataFrame) -> Apart:
    from nslib import ties

    found = ties.comparisons(scores, predictions)
    named = zip(found["task"], found["first"], found["second"], found["apart"], strict=True)
    return {(str(task), frozenset((first, second))): bool(apart) for task, first, second, apart in named}


def _tied(top: pd.Series, row: pd.Series, apart: Apart) -> bool:
    pair = str(row["task"]), frozenset((str(top["embedding"]), str(row["embedding"])))
    if row["metric"] != "accuracy" or pair not in apart:
        return bool(row["high"] >= top["low"])
    return not apart[pair]
