"""The probe's fits: every classifier on every normalisation, in threads.

Conventions
-----------
One BLAS thread a job, so that the number of jobs does not change an answer. A normalised copy of the vectors is made
once and shared by all classifiers, and as few such copies are in memory at a time as keep all jobs busy: one with two
jobs and five classifiers.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import metrics
from nslib.classifiers import CLASSIFIERS, normalised
from nslib.probe_data import Split
from nslib.splits import SPLITS

Names = npt.NDArray[np.str_]
Variant = tuple[bool, bool]
Warned = dict[int, list[tuple[type[Warning], str]]]


@dataclass(frozen=True)
class Fit:
    """What one combination answered.

    Attributes
    ----------
    probe, l2, speaker_norm
        The combination.
    answers : dict
        Split to what its metric takes: labels [clips], or scores [clips, classes]; empty if the fit failed.
    labels : dict
        Split to the answered label of each clip.
    converged : bool
        Whether the fit ended by itself.
    seconds : float
        Time of the fit.
    reason : str
        Why there is no answer, or what the classifier warned of.
    """

    probe: str
    l2: bool
    speaker_norm: bool
    answers: dict[str, npt.NDArray[Any]]
    labels: dict[str, Names]
    converged: bool
    seconds: float
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is the same for all fits of a grid.

    Attributes
    ----------
    classes : ndarray [classes] str
        Labels of all splits, sorted.
    metric : str
        A name in `nslib.metrics.METRICS`.
    seed : int
        Of the forests.
    """

    classes: Names
    metric: str
    seed: int


def fit_all(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split], wanted: Wanted, *,
            jobs: int, progress: Callable[[], object] | None) -> list[Fit]:
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
        Fits at a time.
    progress : callable, optional
        Called after each fit.

    Returns
    -------
    list of Fit
        All variants of the first probe, then of the next.
    """
    import joblib
    import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
    from threadpoolctl import threadpool_limits

    at_once = max(1, -(-joblib.effective_n_jobs(jobs) // len(probes)))
    fits: list[Fit] = []
    parallel = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")
    with _heard() as warned, threadpool_limits(1), parallel as pool:
        for start in range(0, len(variants), at_once):
            for fit in _fit_some(pool, probes, variants[start : start + at_once], splits, wanted, warned):
                fits.append(fit)
                if progress:
                    progress()
    return sorted(fits, key=lambda fit: (probes.index(fit.probe), variants.index((fit.l2, fit.speaker_norm))))


def _fit_some(pool: Any, probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split], wanted: Wanted,
              warned: Warned) -> Iterator[Fit]:
    import joblib

    ready = {variant: {name: _normalised(split, variant) for name, split in splits.items()} for variant in variants}
    task = joblib.delayed(_fit)
    yield from pool(task(probe, variant, ready[variant], wanted, warned) for variant in variants for probe in probes)


def _normalised(split: Split, variant: Variant) -> Split:
    l2, norm = variant
    return replace(split, x=normalised(split.x, split.speaker, l2=l2, speaker_norm=norm))


@contextmanager
def _heard() -> Iterator[Warned]:
    # warnings.catch_warnings(record=True) is not for threads: this one listens for all of them.
    warned: Warned = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_, **__: warned[threading.get_ident()].append(
            (category, str(message)))
        yield warned


def _fit(probe: str, variant: Variant, ready: dict[str, Split], wanted: Wanted, warned: Warned) -> Fit:
    from sklearn.exceptions import ConvergenceWarning

    learnt, codes = np.unique(ready["train"].y, return_inverse=True)
    model, why, start = CLASSIFIERS[probe](len(codes), len(learnt), wanted.seed), "", time.perf_counter()
    answers, labels = {}, {}
    warned.pop(threading.get_ident(), None)
    try:
        model.fit(ready["train"].x, codes)
        seconds = time.perf_counter() - start
        for name in SPLITS[1:]:
            labels[name] = learnt[model.predict(ready[name].x)]
            answers[name] = _answer(model, ready[name].x, labels[name], learnt, wanted)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        seconds, why = time.perf_counter() - start, f"{type(error).__name__}: {error}"
        answers, labels = {}, {}
    heard = warned.pop(threading.get_ident(), [])
    converged = not why and not any(issubclass(kind, ConvergenceWarning) for kind, _ in heard)
    said = {text.strip().split("\n")[0] for kind, text in heard if not issubclass(kind, ConvergenceWarning)}
    reason = "; ".join([why] * bool(why) + sorted(said))
    return Fit(probe, *variant, answers, labels, converged, seconds, reason)


def _answer(model: Any, x: npt.NDArray[Any], labels: Names, learnt: Names, wanted: Wanted) -> npt.NDArray[Any]:
    if metrics.get(wanted.metric).needs == "labels":
        return labels
    table = np.zeros((len(x), len(wanted.classes)))  # a class that train lacks gets one score everywhere
    table[:, np.searchsorted(wanted.classes, learnt)] = model.predict_proba(x)
    return table
