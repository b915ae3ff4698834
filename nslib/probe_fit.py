"""The probe's fits: every classifier on every normalisation, in threads or wherever a mapper takes them.

Conventions
-----------
One BLAS thread a job, so that the number of jobs does not change an answer. A normalised copy of the vectors is made
once and shared by all classifiers, and as few such copies are in memory at a time as keep all jobs busy: one with two
jobs and five classifiers, more where they are small.
Forests turn vectors into float32; they are given them so, once a normalisation, and column by column, as trees read
them. What is the same fit under two names is fitted once: see `nslib.probe_work`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.classifiers import CLASSIFIERS, IN_FLOAT32, normalised
from nslib.fit_guard import AT_WORK
from nslib.probe_data import Split
from nslib.probe_work import Answer, Fit, Variant, Wanted, collected, long_first, same_fits, told
from nslib.splits import SPLITS

_ROOM = 1 << 28  # bytes of normalised copies that are not worth waiting for: with more at a time, jobs end together


class Task(NamedTuple):
    """One fit, for a mapper: it can be pickled, and `fit_one` does it.

    Attributes
    ----------
    probe : str
    variant : (bool, bool)
        Whether to apply L2 normalisation, and the z-score by speaker.
    splits : dict of Split
        Vectors before normalisation, the same object in all tasks of a grid.
    wanted : Wanted
    """

    probe: str
    variant: Variant
    splits: dict[str, Split]
    wanted: Wanted


Mapper = Callable[[Callable[[Task], Fit], Iterable[Task]], Iterable[Fit]]


def fit_all(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split], wanted: Wanted, *,
            jobs: int, progress: Callable[[], object] | None, mapper: Mapper | None = None) -> list[Fit]:
    """Fit every probe on every variant of the vectors.

    Parameters
    ----------
    probes : sequence of str
        Names in `nslib.classifiers.PROBES`.
    variants : sequence of (bool, bool)
        Whether to apply L2 normalisation, and the z-score by speaker.
    splits : dict of Split
        From `nslib.probe_data.checked`.
    wanted : Wanted
    jobs : int
        Fits at a time, in threads.
    progress : callable, optional
        Called after each fit, and for each combination that needs none of its own.
    mapper : callable, optional
        ``mapper(function, tasks)`` gives ``function(task)`` for every `Task`, in any order: fits elsewhere, instead
        of in threads here.

    Returns
    -------
    list of Fit
        All variants of the first probe, then of the next.
    """
    copies = same_fits(probes, splits["train"].y)
    own = long_first(p for p in probes if p not in copies)
    if mapper is None:
        found = _in_threads(own, variants, splits, wanted, jobs)
    else:
        found = iter(mapper(fit_one, [Task(probe, v, splits, wanted) for probe in own for v in variants]))
    return collected(found, copies, progress, probes, variants)


def fit_one(task: Task) -> Fit:
    """Normalise the vectors, fit a probe and ask it for its answers.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Fit
        The same wherever it is computed, but for the seconds.
    """
    probe, variant, splits, wanted = task
    ready = _ready({name: _normalised(split, variant) for name, split in splits.items()}, [probe])
    with AT_WORK:
        return _fit(probe, variant, ready, wanted)


def _in_threads(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split], wanted: Wanted,
                jobs: int) -> Iterator[Fit]:
    import joblib

    needed = -(-joblib.effective_n_jobs(jobs) // len(probes))
    at_once = max(1, needed, _ROOM // sum(split.x.nbytes for split in splits.values()))
    parallel = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator_unordered")
    with AT_WORK, parallel as pool:
        for start in range(0, len(variants), at_once):
            yield from _fit_some(pool, probes, variants[start : start + at_once], splits, wanted)


def _fit_some(pool: Any, probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split],
              wanted: Wanted) -> Iterator[Fit]:
    import joblib

    ready = {variant: _ready({name: _normalised(split, variant) for name, split in splits.items()}, probes)
             for variant in variants}
    task = joblib.delayed(_fit)
    yield from pool(task(probe, variant, ready[variant], wanted) for probe in probes for variant in variants)


def _normalised(split: Split, variant: Variant) -> Split:
    l2, norm = variant
    return replace(split, x=normalised(split.x, split.speaker, l2=l2, speaker_norm=norm))


class _Ready(NamedTuple):
    splits: dict[str, Split]
    by_columns: npt.NDArray[np.float32] | None


def _ready(splits: dict[str, Split], probes: Sequence[str]) -> _Ready:
    wanted = any(probe in IN_FLOAT32 for probe in probes)
    return _Ready(splits, np.asarray(splits["train"].x, dtype=np.float32, order="F") if wanted else None)


def _fit(probe: str, variant: Variant, ready: _Ready, wanted: Wanted) -> Fit:
    splits = ready.splits
    learnt, codes = np.unique(splits["train"].y, return_inverse=True)
    train = ready.by_columns if probe in IN_FLOAT32 else splits["train"].x

    def work() -> tuple[float, dict[str, Answer]]:
        model, start = CLASSIFIERS[probe](len(codes), len(learnt), wanted.seed), time.perf_counter()
        model.fit(train, codes)
        seconds = time.perf_counter() - start
        return seconds, {name: (model.predict(splits[name].x), model.predict_proba(splits[name].x) if wanted.scores
                                else None) for name in SPLITS[1:]}

    return told(probe, variant, wanted, learnt, work)
