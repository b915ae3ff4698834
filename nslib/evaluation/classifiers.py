"""The paper's five classifiers and two normalisations, as today's scikit-learn must be told them.

Reference: Shor et al., 2020, section 3, and the settings of the authors' scikit-learn evaluation. Where scikit-learn
has changed since, settings are translated so that the same thing is computed:

- ``multi_class="multinomial"`` is gone. With three classes or more it is what is left. With two, what is left is binary
  regression, whose penalty falls on the one weight vector ``w = w1 - w0``. The multinomial penalty
  ``(|w0|^2 + |w1|^2) / 2`` has its minimum at ``w1 = -w0 = w / 2``, where it is ``|w|^2 / 4``: the binary optimum at
  2 C, with the same probabilities.
- Since version 1.4 the loss is averaged, no longer summed, over clips, so that ``tol`` means something else:
  ``tol / clips`` stops where 1e-4 did. It matters: with 1e-4 on the mean, easy tasks stop after a dozen of the hundred
  iterations, and some answers change.
- Forests had no seed; here they have one. Forests and discriminant analysis take another way to the same trees and
  coefficients (`nslib.evaluation.forest`, `nslib.evaluation.lda`).

Probes of other benchmarks, and ridge regression for labels that are numbers, are families of their own: a choice is
made within one family, so that a result of the paper's five is never one of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.evaluation import forest, lda

__all__ = ["CLASSIFIERS", "FAMILIES", "PROBES", "RIDGES", "make_probe", "normalise"]

Floats = npt.NDArray[np.float64]

_TREES = 100


def _logistic(clips: int, classes: int, seed: int, weight: str | None = None) -> Any:
    """Multinomial regression of the paper; two classes need twice its strength (see above)."""
    from sklearn.linear_model import LogisticRegression

    strength = 1e5 if classes > 2 else 2e5
    return LogisticRegression(C=strength, tol=1e-4 / clips, max_iter=100, class_weight=weight)


def _lda(clips: int, classes: int, seed: int) -> Any:
    """Discriminant analysis with Ledoit-Wolf shrinkage."""
    return lda.ShrinkageLDA(solver="lsqr", shrinkage="auto")


def _forest(clips: int, classes: int, seed: int, weight: str | None = None) -> Any:
    """A hundred trees."""
    return forest.RandomForest(_TREES, weight, seed)


CLASSIFIERS: dict[str, Callable[[int, int, int], Any]] = {
    "LogisticRegression": _logistic,
    "LogisticRegression_balanced": partial(_logistic, weight="balanced"),
    "LDA_LSQR_AUTO": _lda,
    "Forest_balanced_100": partial(_forest, weight="balanced"),
    "Forest_unbalanced_100": _forest,
}
"""The authors' names to ``(clips, classes, seed) -> classifier``."""

PROBES = tuple(CLASSIFIERS)
"""The order of choice: of equal validation scores the first wins, then no L2, then no z-score."""

def _scaled(model: Any) -> Any:
    """A model of vectors whose dimensions have mean 0 and variance 1 over train."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _svm(clips: int, classes: int, seed: int) -> Any:
    """Support vectors of a linear kernel, one class against the rest."""
    from sklearn.svm import LinearSVC

    return _scaled(LinearSVC(C=1.0, max_iter=1000, random_state=seed))


def _neighbours(clips: int, classes: int, seed: int) -> Any:
    """Vote of the five nearest clips; of equal votes the nearer ones count, not scikit-learn's first class."""
    from sklearn.neighbors import KNeighborsClassifier

    return _scaled(KNeighborsClassifier(min(5, clips), weights=_weigh_votes))


def _weigh_votes(distances: Floats) -> Floats:
    """Weights of votes that decide between equal numbers of them only."""
    return np.tile(1 - 1e-3 * np.arange(distances.shape[1]), (len(distances), 1))


def _mlp(clips: int, classes: int, seed: int) -> Any:
    """A hidden layer of 64 units."""
    from sklearn.neural_network import MLPClassifier

    return _scaled(MLPClassifier((64,), random_state=seed))


def _sgd(clips: int, classes: int, seed: int) -> Any:
    """Logistic regression by stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    return _scaled(SGDClassifier(loss="log_loss", random_state=seed))


def _ridge(clips: int, classes: int, seed: int, strength: float) -> Any:
    """Linear regression with a penalty."""
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(strength))


OTHER_PROBES: dict[str, Callable[[int, int, int], Any]] = {
    "SVM_linear": _svm, "kNN_5": _neighbours, "MLP_64": _mlp, "SGD_linear": _sgd}
"""Probes of other benchmarks, on dimensions of variance 1: asked for by name, never in the choice among the five."""

RIDGES: dict[str, Callable[[int, int, int], Any]] = {
    f"Ridge_{strength}": partial(_ridge, strength=float(strength)) for strength in (1, 100, 10_000)}
"""Probes of labels that are numbers."""

FAMILIES = {"the paper's five": CLASSIFIERS, "those of other benchmarks": OTHER_PROBES, "those of numbers": RIDGES}
"""Among the probes of one family a choice is made."""


def make_probe(name: str, clips: int, classes: int, seed: int) -> Any:
    """Make the probe of this name for a training part of so many clips and classes."""
    return next(family[name] for family in FAMILIES.values() if name in family)(clips, classes, seed)


FORESTS = ("Forest_balanced_100", "Forest_unbalanced_100")


def find_same_fits(probes: Sequence[str], y: npt.NDArray[Any]) -> dict[str, str]:
    """Find probes whose fit is that of another, to the last bit, because all classes of train are of one size."""
    # All weights of ``class_weight="balanced"`` are then 1. (Forests are not the same: scikit-learn draws the clips of
    # a tree in another way as soon as there are weights.)
    of_one_size = len(set(np.unique(y, return_counts=True)[1].tolist())) == 1
    both = {"LogisticRegression", "LogisticRegression_balanced"} <= set(probes)
    return {"LogisticRegression_balanced": "LogisticRegression"} if of_one_size and both else {}


def l2_normalise(x: npt.ArrayLike) -> Floats:
    """Scale each vector [clips, dim] to unit length; one of zeros stays one."""
    from sklearn.preprocessing import normalize

    # the authors' code divides by the norm, which gives NaN of zeros
    return np.asarray(normalize(np.array(x, dtype=np.float64, order="C"), copy=False))


def _z_score(x: Floats, speaker: npt.ArrayLike) -> Floats:
    """Z-score each dimension over the clips of each speaker, in place; one that does not vary becomes 0."""
    # Transductive: a test speaker's clips are normalised by all clips of that speaker in the test set, which a system
    # that hears one clip at a time does not have.
    names = np.asarray(speaker, dtype=str)
    order = np.argsort(names, kind="stable")
    for rows in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
        part = x[rows]
        mean, scale = lda.measure_spread(part)
        x[rows] = (part - mean) / scale
    return x


def normalise(x: npt.ArrayLike, speaker: npt.ArrayLike, *, l2: bool, speaker_norm: bool) -> Floats:
    """Scale vectors [clips, dim] to unit length, then z-score them by speaker, as wanted: float64, maybe `x` itself."""
    if not l2 and not speaker_norm:
        return np.ascontiguousarray(x, dtype=np.float64)
    made = l2_normalise(x) if l2 else np.array(x, dtype=np.float64, order="C")
    return _z_score(made, speaker) if speaker_norm else made
