"""Quality beside cost: the mean score of each embedding, its size, and how long one clip takes.

Means are over the tasks that *every* embedding of the table has, tasks counting equally, recorded speech where there
is any; their intervals combine those of the tasks as of independent test sets
(`nslib.statistics.comparisons.average_differences`). Two such intervals are no paired comparison: that is what
`nslib.paper.claims` makes.

The size of a tap is that of the network up to it: what lies behind layer 19 is not needed for layer 19.
"""

from __future__ import annotations

import math
import timeit
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd

from nslib import config, embeddings
from nslib.embeddings.networks import TRAINED_TAPS, count_tap_cost
from nslib.embeddings.registry import EMBEDDINGS
from nslib.embeddings.runtime import load_now
from nslib.errors import NslibError, Unavailable
from nslib.frontend import SAMPLE_RATE
from nslib.statistics.comparisons import average_differences
from nslib.statistics.intervals import Difference
from nslib.statistics.scores import select_scores

__all__ = ["compare_costs", "count_size", "time_call"]


def average_scores(rows: pd.DataFrame, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Average the accuracy of each embedding over the tasks that all of them have, as in `compare_costs`."""
    scores = select_scores(rows)
    scores = scores[scores["embedding"].isin(scores["embedding"] if names is None else names)]
    real = scores["corpus_kind"] == "real"
    scores = scores[(real | ~real.any()) & (scores["metric"] == "accuracy")]
    if scores.empty:
        return pd.DataFrame(columns=["name", "quality", "low", "high", "by", "tasks"])
    each = scores.groupby("task")["embedding"].nunique()
    common = scores[scores["task"].isin(each.index[each == scores["embedding"].nunique()])]
    if common.empty:
        raise Unavailable("a mean over tasks", "no task has an accuracy of every embedding",
                          "Run all of them on one task, or name fewer.")
    averages = []
    for name, part in common.groupby("embedding", sort=False):
        mean = average_differences([Difference(r.value, r.low, r.high, r.interval_by) for r in part.itertuples()])
        averages.append({"name": name, "quality": mean.diff, "low": mean.low, "high": mean.high, "by": mean.by,
                         "tasks": len(part)})
    return pd.DataFrame(averages).sort_values("quality", ascending=False, ignore_index=True)


def compare_costs(rows: pd.DataFrame, names: Sequence[str] | None = None, *, seconds: float = 1.0) -> pd.DataFrame:
    """Set the mean accuracy of each embedding beside its cost, as `nslib.figures.tradeoff` draws it; the best first.

    Columns are name, quality with low and high (shares of clips), by (what was resampled), tasks (how many),
    parameters, multiply_adds (of one patch) and latency_ms (of a clip of so many ``seconds``), NaN where unknown. No
    row if nothing was run; ``names`` without any row are left out. Unavailable if there is no task that all of them
    have.
    """
    averages = average_scores(rows, names)
    sizes = [count_size(name) for name in averages["name"]]
    calls = [prepare_call(name, seconds) for name in averages["name"]]
    with config.wait_for_quiet():
        times = [time_call(call, 7) if call else math.nan for call in calls]
    return averages.assign(parameters=[size[0] for size in sizes], multiply_adds=[size[1] for size in sizes],
                           latency_ms=times)


@cache
def count_size(name: str) -> tuple[float, float]:
    """Count parameters, and multiply-adds for one patch, of an embedding; NaN what is not known.

    Networks of the kit are counted, of others the card's number is taken.
    """
    if name in TRAINED_TAPS:
        counted = count_tap_cost(*TRAINED_TAPS[name])
        return float(counted.parameters), float(counted.multiply_adds)
    stated = EMBEDDINGS[name].parameters if name in EMBEDDINGS else 0
    return float(stated or math.nan), math.nan


def prepare_call(name: str, seconds: float = 1.0) -> Callable[[], object] | None:
    """Load an embedding and make a call of it, from a clip of noise to its vector; None if it cannot be had here."""
    try:
        embedding = embeddings.get(name)
        load_now(embedding)
    except NslibError:
        return None
    samples = max(round(seconds * SAMPLE_RATE), embedding.min_samples)
    wave = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    length = np.array([samples])
    return lambda: embedding.embed(wave, length)


def time_call(call: Callable[[], object], calls: int, warm_up: int = 1) -> float:
    """Median milliseconds of a call; so many before are not counted."""
    seconds = timeit.repeat(call, number=1, repeat=warm_up + calls)
    return 1000 * float(np.median(seconds[warm_up:]))
