"""The grid of probes on vectors that go through memory in blocks.

Conventions
-----------
The classifiers are those of `nslib.classifiers`, with their settings. Regression is `nslib.logistic`. Discriminant
analysis is `nslib.lda`, which takes the vectors class by class. A forest grows as many trees at a time as
memory holds (a tree of a thousand classes and 100,000 clips takes a gigabyte), asks them, adds up what they say, and
lets them go: seeds and sums are in the order of one forest, so the answers are those of one forest.

Seconds of a forest are of growing and asking.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.classifiers import CLASSIFIERS, IN_FLOAT32
from nslib.fit_guard import AT_WORK
from nslib.large import needs
from nslib.large.matrix import Normalised, blocks, gathered
from nslib.probe_data import Split
from nslib.probe_work import Answer, Fit, Variant, Wanted, collected, long_first, same_fits, told

if TYPE_CHECKING:
    from nslib.lda import ShrinkageLDA

Codes = npt.NDArray[np.intp]


def fit_all(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, Split], wanted: Wanted, *,
            jobs: int, progress: Callable[[], object] | None) -> list[Fit]:
    """Fit every probe on every variant of the vectors, one after the other.

    Parameters
    ----------
    probes : sequence of str
        Names in `nslib.classifiers.PROBES`.
    variants : sequence of (bool, bool)
        Whether to apply L2 normalisation, and the z-score by speaker.
    splits : dict of Split
        From `nslib.probe_data.checked` with ``streamed=True``.
    wanted : Wanted
    jobs : int
        Trees grown at a time, in threads. Regression uses all cores.
    progress : callable, optional
        Called after each fit, and for each combination that needs none of its own.

    Returns
    -------
    list of Fit
        All variants of the first probe, then of the next.

    Raises
    ------
    NslibError
        If the disk is full.
    """
    copies = same_fits(probes, splits["train"].y)
    own = long_first(probe for probe in probes if probe not in copies)
    with AT_WORK:
        found = (fit for variant in variants for fit in _fit_variant(own, variant, splits, wanted, jobs))
        return collected(found, copies, progress, probes, variants)


def _fit_variant(probes: Sequence[str], variant: Variant, splits: dict[str, Split], wanted: Wanted,
                 jobs: int) -> Iterator[Fit]:
    l2, norm = variant
    asked = {name: Normalised(split.x, split.speaker, l2=l2, speaker_norm=norm) for name, split in splits.items()}
    train = asked.pop("train")
    learnt, codes = np.unique(splits["train"].y, return_inverse=True)
    forests = [probe for probe in probes if probe in IN_FLOAT32]
    by_columns = gathered(train, np.arange(len(train)), by_columns=True) if forests else None
    for probe in probes:
        model = CLASSIFIERS[probe](len(codes), len(learnt), wanted.seed)
        if probe in forests:
            work = partial(_forest, model, by_columns, codes, asked, wanted, jobs)
        else:
            by_columns = None  # forests are first: this frees the file
            work = partial(_regression if hasattr(model, "C") else _analysis, model, train, codes, asked, wanted)
        yield told(probe, variant, wanted, learnt, work)


def _regression(like: Any, train: Normalised, codes: Codes, asked: dict[str, Normalised],
                wanted: Wanted) -> tuple[float, dict[str, Answer]]:
    from nslib.logistic import StreamedLogisticRegression

    start = time.perf_counter()
    model = StreamedLogisticRegression(like.C, tol=like.tol, max_iter=like.max_iter, class_weight=like.class_weight)
    model.fit(train, codes)
    return time.perf_counter() - start, _answers(model, asked, wanted)


def _analysis(model: Any, train: Normalised, codes: Codes, asked: dict[str, Normalised],
              wanted: Wanted) -> tuple[float, dict[str, Answer]]:
    start = time.perf_counter()
    fit_analysis(model, train, codes)
    return time.perf_counter() - start, _answers(model, asked, wanted)


def fit_analysis(model: ShrinkageLDA, x: Normalised, y: Codes) -> None:
    """Fit discriminant analysis to vectors of which blocks, or single classes, are in memory at a time.

    Parameters
    ----------
    model : ShrinkageLDA
        Its ``solver="lsqr", shrinkage="auto"`` is computed.
    x : Normalised
        [clips, dim]; where clips are fewer than dimensions, all are in memory, in float64.
    y : ndarray of int [clips]
        Classes from 0, none missing.

    Raises
    ------
    ValueError
        If there are not more clips than classes, or variances overflow.
    """
    from nslib.lda import coefficients

    model.classes_, counts = np.unique(y, return_counts=True)
    if len(y) <= len(counts):
        raise ValueError("The number of samples must be more than the number of classes.")
    model.priors_, model.n_features_in_ = counts / len(y), x.shape[1]
    groups = np.split(np.argsort(y, kind="stable"), np.cumsum(counts)[:-1])
    model.means_, model.coef_ = coefficients(x, groups, model.priors_)
    model.intercept_ = -0.5 * np.einsum("kd,kd->k", model.means_, model.coef_) + np.log(model.priors_)
    if len(counts) == 2:
        model.coef_, model.intercept_ = np.diff(model.coef_, axis=0), np.diff(model.intercept_)


def _answers(model: Any, asked: dict[str, Normalised], wanted: Wanted) -> dict[str, Answer]:
    return {name: (_by_blocks(model.predict, x), _by_blocks(model.predict_proba, x) if wanted.scores else None)
            for name, x in asked.items()}


def _by_blocks(ask: Callable[[Any], npt.NDArray[Any]], x: Normalised) -> npt.NDArray[Any]:
    return np.concatenate([ask(x[rows]) for rows in blocks(*x.shape)])


def _forest(forest: Any, train: Any, codes: Codes, asked: dict[str, Normalised], wanted: Wanted,
            jobs: int) -> tuple[float, dict[str, Answer]]:
    start, classes = time.perf_counter(), int(codes.max()) + 1
    at_once = int(np.clip(needs.forest_bytes(len(codes)) // needs.tree_bytes(len(codes), classes), 1, needs.TREES))
    tables = {name: np.zeros((len(x), classes)) for name, x in asked.items()}
    drawn = np.random.RandomState(forest.random_state)  # goes on from tree to tree, as within one forest
    for first in range(0, needs.TREES, at_once):
        forest.set_params(n_estimators=min(at_once, needs.TREES - first), random_state=drawn, n_jobs=jobs)
        forest.fit(train, codes)
        for name, x in asked.items():
            for rows in blocks(*x.shape):
                block = x[rows].astype(np.float32)
                for tree in forest.estimators_:
                    tables[name][rows] += tree.predict_proba(block, check_input=False)
        del forest.estimators_
    for table in tables.values():
        table /= needs.TREES
    return time.perf_counter() - start, {name: (table.argmax(axis=1), table if wanted.scores else None)
                                         for name, table in tables.items()}
