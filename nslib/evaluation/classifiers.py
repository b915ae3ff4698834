"""The paper's five classifiers and two normalisations, as today's scikit-learn must be told them.

Reference: Shor et al., 2020, section 3, and the settings of the authors' scikit-learn evaluation. Where scikit-learn
has changed since the paper, settings are translated so that the same thing is computed:

- ``multi_class="multinomial"`` is gone. With three classes or more it is what is left. With two, what is left is binary
  regression, whose penalty falls on the one weight vector ``w = w1 - w0``. The multinomial penalty
  ``(|w0|^2 + |w1|^2) / 2`` has its minimum at ``w1 = -w0 = w / 2``, where it is ``|w|^2 / 4``: the binary optimum at
  2 C, with the same probabilities.
- Since version 1.4 the loss is averaged, no longer summed, over clips, so that ``tol`` means something else:
  ``tol / clips`` stops where 1e-4 did. It matters: with 1e-4 on the mean, easy tasks stop after a dozen of the hundred
  iterations, and some answers change.
- Forests had no seed; here they have one.
- Discriminant analysis takes another way to the same coefficients: see `nslib.evaluation.lda`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.evaluation import lda

__all__ = ["CLASSIFIERS", "IN_FLOAT32", "PROBES", "find_same_fits", "normalise"]

Floats = npt.NDArray[np.float64]


def _logistic(clips: int, classes: int, seed: int, weight: str | None = None) -> Any:
    """Multinomial regression of the paper; two classes need twice its strength (see above)."""
    from sklearn.linear_model import LogisticRegression

    strength = 1e5 if classes > 2 else 2e5
    return LogisticRegression(C=strength, tol=1e-4 / clips, max_iter=100, class_weight=weight)


def _logistic_balanced(clips: int, classes: int, seed: int) -> Any:
    """Regression in which every class weighs the same."""
    return _logistic(clips, classes, seed, "balanced")


def _lda(clips: int, classes: int, seed: int) -> Any:
    """Discriminant analysis with Ledoit-Wolf shrinkage."""
    return lda.ShrinkageLDA(solver="lsqr", shrinkage="auto")


class RandomForest:
    """scikit-learn's random forest, tree by tree the same, without what it checks and copies again for every tree."""

    def __init__(self, trees: int, class_weight: str | None, seed: int) -> None:
        self.trees, self.class_weight, self.seed = trees, class_weight, seed

    def fit(self, x: npt.ArrayLike, y: npt.ArrayLike) -> RandomForest:
        """Grow the trees on clips [clips, dim] of the classes `y`; quickest on float32 by columns."""
        import sklearn
        from sklearn.tree import DecisionTreeClassifier
        from sklearn.utils import check_X_y
        from sklearn.utils.class_weight import compute_sample_weight

        rows, labels = check_X_y(x, y, dtype=np.float32)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        odds = None if self.class_weight is None else compute_sample_weight(self.class_weight, labels)
        odds = None if odds is None else odds / odds.sum()
        seeds = np.random.RandomState(self.seed).randint(np.iinfo(np.int32).max, size=self.trees)
        random = np.random.RandomState(0)  # to seed one takes a hundredth of the time of making one
        model, clips = DecisionTreeClassifier(max_features="sqrt", random_state=random), len(rows)
        self._grown = []
        with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            for seed in seeds:
                random.seed(seed)
                drawn = random.randint(0, clips, clips) if odds is None else random.choice(clips, clips, p=odds)
                random.seed(seed)
                counts = np.bincount(drawn, minlength=clips).astype(np.float64)
                self._grown.append(model.fit(rows, codes, sample_weight=counts, check_input=False).tree_)
        return self

    def predict_proba(self, x: npt.ArrayLike) -> Floats:
        """Average what the trees say: [clips, classes]."""
        from sklearn.utils import check_array

        rows = check_array(x, dtype=np.float32, order="C")
        total = np.zeros((len(rows), len(self.classes_)))
        for tree in self._grown:
            total += tree.predict(rows)[:, : len(self.classes_)]
        return total / len(self._grown)

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the likeliest class of each clip."""
        return self.classes_[self.predict_proba(x).argmax(axis=1)]


def _forest(clips: int, classes: int, seed: int, weight: str | None = None) -> Any:
    """A hundred trees."""
    return RandomForest(100, weight, seed)


def _forest_balanced(clips: int, classes: int, seed: int) -> Any:
    """A hundred trees in which every class weighs the same."""
    return _forest(clips, classes, seed, "balanced")


CLASSIFIERS: dict[str, Callable[[int, int, int], Any]] = {
    "LogisticRegression": _logistic,
    "LogisticRegression_balanced": _logistic_balanced,
    "LDA_LSQR_AUTO": _lda,
    "Forest_balanced_100": _forest_balanced,
    "Forest_unbalanced_100": _forest,
}
"""The authors' names to ``(clips, classes, seed) -> classifier``."""

PROBES = tuple(CLASSIFIERS)
"""The order of choice: of equal validation scores the first wins, then no L2, then no z-score."""

IN_FLOAT32 = ("Forest_balanced_100", "Forest_unbalanced_100")
"""Probes that scikit-learn computes in float32, whatever they are given; quickest by columns, as trees read them."""

_SAME_IF_BALANCED = {"LogisticRegression_balanced": "LogisticRegression"}


def find_same_fits(probes: Sequence[str], y: npt.NDArray[Any]) -> dict[str, str]:
    """Map probes whose fit is that of another, to the last bit, as all classes of train are of one size, to that other.

    All weights of ``class_weight="balanced"`` are then 1. (Forests are not the same: scikit-learn draws the clips of a
    tree in another way as soon as there are weights.)
    """
    if len(set(np.unique(y, return_counts=True)[1].tolist())) > 1:
        return {}
    return {name: source for name, source in _SAME_IF_BALANCED.items() if {name, source} <= set(probes)}


def l2_normalise(x: npt.ArrayLike) -> Floats:
    """Scale each vector [clips, dim] to unit length, in float64.

    A vector of zeros stays one. (The authors' code divides by its norm, which gives NaN.)
    """
    from sklearn.preprocessing import normalize

    return normalize(np.array(x, dtype=np.float64, order="C"), copy=False)


def speaker_normalise(x: npt.ArrayLike, speaker: npt.ArrayLike) -> Floats:
    """Z-score each dimension of vectors [clips, dim] over the clips of each speaker [clips], in float64.

    The standard deviation is the population's; a dimension that does not vary becomes 0. Transductive: a test speaker's
    clips are normalised by all clips of that speaker in the test set, which a system that hears one clip at a time does
    not have.
    """
    return _z_score(np.array(x, dtype=np.float64, order="C"), speaker)


def _z_score(x: Floats, speaker: npt.ArrayLike) -> Floats:
    """Z-score the rows of each speaker in place."""
    from sklearn.preprocessing import StandardScaler

    names = np.asarray(speaker, dtype=str)
    order = np.argsort(names, kind="stable")
    for rows in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
        x[rows] = StandardScaler().fit_transform(x[rows])
    return x


def normalise(x: npt.ArrayLike, speaker: npt.ArrayLike, *, l2: bool, speaker_norm: bool) -> Floats:
    """Apply `l2_normalise`, then `speaker_normalise`, as wanted; `x` itself if nothing changes in it."""
    if not l2:
        return speaker_normalise(x, speaker) if speaker_norm else np.ascontiguousarray(x, dtype=np.float64)
    unit = l2_normalise(x)
    return _z_score(unit, speaker) if speaker_norm else unit
