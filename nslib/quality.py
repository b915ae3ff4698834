"""Quality beside cost: the mean score of each embedding, its size, and how long one clip takes.

Conventions
-----------
Means are over the tasks that *every* embedding of the table has, tasks counting equally, recorded speech where there
is any; their intervals combine those of the tasks as of independent test sets (`nslib.pairs.average`). Two such
intervals are no paired comparison: that is what `nslib.claims` makes.

The size of a tap is that of the network up to it: what lies behind layer 19 is not needed for layer 19.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nslib import embeddings, pairs, tables
from nslib.bootstrap import Difference
from nslib.errors import Unavailable
from nslib.frontend import SAMPLE_RATE

if TYPE_CHECKING:
    import pandas as pd

MEANS = ["name", "quality", "low", "high", "by", "tasks"]
COSTS = ["parameters", "multiply_adds", "latency_ms"]


def means(rows: pd.DataFrame, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean accuracy of each embedding over the tasks that all of them have.

    Parameters
    ----------
    rows : DataFrame
        Of a benchmark, as in `nslib.schema.ROWS`.
    names : sequence of str, optional
        Embeddings; default: all in `rows`. One without any row is left out.

    Returns
    -------
    DataFrame
        name, quality with low and high (shares of clips), by (what was resampled), tasks (how many), the best
        first.

    Raises
    ------
    Unavailable
        If there is no task that all of them have.
    """
    import pandas as pd

    scores = tables.selected(rows)
    scores = scores[scores["embedding"].isin(scores["embedding"] if names is None else names)]
    real = scores["corpus_kind"] == "real"
    scores = scores[(real | ~real.any()) & (scores["metric"] == "accuracy")]
    each = scores.groupby("task")["embedding"].nunique()
    common = scores[scores["task"].isin(each.index[each == scores["embedding"].nunique()])]
    if common.empty:
        raise Unavailable("a mean over tasks", "no task has an accuracy of every embedding",
                          "Run all of them on one task, or name fewer.")
    found = [_mean(str(name), part) for name, part in common.groupby("embedding", sort=False)]
    return pd.DataFrame(found, columns=MEANS).sort_values("quality", ascending=False, ignore_index=True)


def _mean(name: str, part: pd.DataFrame) -> dict[str, object]:
    one = [Difference(r.value, r.low, r.high, r.interval_by) for r in part.itertuples()]
    mean = pairs.average(one)
    return {"name": name, "quality": mean.diff, "low": mean.low, "high": mean.high, "by": mean.by, "tasks": len(part)}


def against_cost(rows: pd.DataFrame, names: Sequence[str] | None = None, *, seconds: float = 1.0) -> pd.DataFrame:
    """`means` with the cost of each embedding, as `nslib.plots.tradeoff` draws it.

    Parameters
    ----------
    rows, names
        As for `means`.
    seconds : float
        Length of the clip whose latency is measured.

    Returns
    -------
    DataFrame
        Columns of `means`, and parameters, multiply_adds (of one patch) and latency_ms; NaN where unknown.
    """
    found = means(rows, names)
    sizes = [size(name) for name in found["name"]]
    return found.assign(parameters=[s[0] for s in sizes], multiply_adds=[s[1] for s in sizes],
                        latency_ms=[latency(name, seconds) for name in found["name"]])


def size(name: str) -> tuple[float, float]:
    """Parameters and multiply-adds of an embedding.

    Parameters
    ----------
    name : str

    Returns
    -------
    (float, float)
        Parameters, and multiply-adds for one patch; NaN what is not known. Networks of the kit are counted, of
        others the card's number is taken.
    """
    from nslib.embeddings.cards import CARDS, KIT

    if name in KIT:
        from nslib.train.sizes import of_tap

        counted = of_tap(*KIT[name])
        return float(counted.parameters), float(counted.multiply_adds)
    stated = CARDS[name].parameters if name in CARDS else 0
    return float(stated or math.nan), math.nan


def latency(name: str, seconds: float = 1.0, repeats: int = 7) -> float:
    """Time from the samples of one clip to its vector, alone in its batch, on this machine.

    Parameters
    ----------
    name : str
        An embedding.
    seconds : float
        Length of the clip, of noise.
    repeats : int
        The median of so many, after one that is not counted.

    Returns
    -------
    float
        Milliseconds; NaN if it is not built in, or cannot be had here.
    """
    if name not in embeddings.names():
        return math.nan
    try:
        embedding = embeddings.get(name)
    except Unavailable:
        return math.nan
    samples = max(round(seconds * SAMPLE_RATE), embedding.min_samples)
    wave = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    length = np.array([samples])
    took = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        embedding.embed(wave, length)
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took[1:]))
