"""scikit-learn's random forest, without what it does again for every tree.

Conventions
-----------
The trees are scikit-learn's, grown by its own compiled code from the same seeds: the same nodes, to the last bit. Left
out is what its Python code makes, looks up and checks for each of a hundred trees: two random generators from the
machine's entropy, only to be seeded; filters of warnings; kinds of labels, classes, weights, parameters. It is a
quarter of the time at 500 clips and most of it at fifty, and threads wait for one another in it.

What is not a probe's case (other settings of trees, weights of clips, missing values, several jobs) is the parent's.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted, validate_data

_PLAIN = {"criterion": ("gini",), "max_depth": (None,), "min_samples_split": (2,), "min_samples_leaf": (1,),
          "ccp_alpha": (0.0,), "min_weight_fraction_leaf": (0.0,), "max_features": ("sqrt",), "max_leaf_nodes": (None,),
          "monotonic_cst": (None,), "min_impurity_decrease": (0.0,), "bootstrap": (True,), "max_samples": (None,),
          "oob_score": (False,), "warm_start": (False,), "n_jobs": (None, 1), "verbose": (0,),
          "class_weight": (None, "balanced")}
_SEEDS = np.iinfo(np.int32).max


class QuickForest(RandomForestClassifier):
    """scikit-learn's classifier; with other settings of trees than its defaults, it is its parent.

    Takes the parameters of its parent.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(40, 9)), np.arange(40) % 2
    >>> QuickForest(10, random_state=0).fit(x, y).predict(x).shape
    (40,)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuickForest:
        """Grow the trees.

        Parameters
        ----------
        X : array-like of float [clips, dim]
            Vectors; quickest as float32 by columns, which is how trees read them.
        y : array-like [clips]
            Class of each.
        sample_weight : array-like [clips], optional
            With it, this is the parent's.

        Returns
        -------
        QuickForest
        """
        usual = all(getattr(self, name) in allowed for name, allowed in _PLAIN.items())
        if usual and sample_weight is None and np.ndim(y) == 1 and _finite(X):
            try:
                return self._grow(*validate_data(self, X, y, dtype=np.float32))
            except (ImportError, TypeError):  # of a release whose trees are grown in another way
                pass
        return super().fit(X, y, sample_weight)

    def _grow(self, x: npt.NDArray[np.float32], y: npt.NDArray[Any]) -> QuickForest:
        self._validate_params()
        self.classes_, codes = np.unique(y, return_inverse=True)
        weights = None if self.class_weight is None else compute_sample_weight("balanced", y)
        random, given = check_random_state(self.random_state), _Given(x, codes, len(self.classes_), weights)
        self.estimators_ = [self._tree(given, random.randint(_SEEDS)) for _ in range(self.n_estimators)]
        self.n_classes_, self.n_outputs_ = given.classes, 1
        # what the parent leaves behind for its own use
        self._n_samples = self._n_samples_bootstrap = len(x)
        self._sample_weight = weights
        self._validate_estimator()
        return self

    def _tree(self, given: _Given, seed: int) -> DecisionTreeClassifier:
        tree = DecisionTreeClassifier(**{name: getattr(self, name) for name in self.estimator_params})
        tree.random_state = seed
        tree.tree_ = given.grown(seed)
        tree.n_outputs_, tree.n_features_in_, tree.max_features_ = 1, self.n_features_in_, given.candidates
        tree.n_classes_, tree.classes_ = np.intp(given.classes), np.arange(given.classes, dtype=np.float64)
        return tree

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Mean of what the trees say.

        Parameters
        ----------
        X : array-like of float [clips, dim]
            Vectors.

        Returns
        -------
        ndarray [clips, classes] float64
        """
        check_is_fitted(self)
        if self.n_outputs_ > 1 or self.n_jobs not in _PLAIN["n_jobs"]:
            return super().predict_proba(X)
        x = self._validate_X_predict(X)
        total = np.zeros((len(x), self.n_classes_))
        for tree in self.estimators_:
            total += tree.tree_.predict(x)[:, :self.n_classes_]
        return total / len(self.estimators_)


class _Given:
    """What all trees of a forest are grown from."""

    def __init__(self, x: npt.NDArray[np.float32], codes: npt.NDArray[np.intp], classes: int,
                 weights: npt.NDArray[np.float64] | None):
        self.x, self.y, self.classes = x, np.ascontiguousarray(codes.reshape(-1, 1), dtype=np.float64), classes
        self.odds = None if weights is None else weights / np.sum(weights)
        self.candidates = max(1, int(np.sqrt(x.shape[1])))

    def grown(self, seed: int) -> Any:
        """Grow a tree of scikit-learn's on clips drawn with replacement."""
        from sklearn.tree._criterion import Gini
        from sklearn.tree._splitter import BestSplitter
        from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

        counts = np.bincount(self._drawn(_seeded(seed)), minlength=len(self.x))
        classes = np.array([self.classes], dtype=np.intp)
        splitter = BestSplitter(Gini(1, classes), self.candidates, 1, 0.0, _seeded(seed), None)
        tree = Tree(self.x.shape[1], classes, 1)
        DepthFirstTreeBuilder(splitter, 2, 1, 0.0, _SEEDS, 0.0).build(tree, self.x, self.y, counts.astype(np.float64),
                                                                      None)
        return tree

    def _drawn(self, random: np.random.RandomState) -> npt.NDArray[np.integer[Any]]:
        clips = len(self.x)
        return random.randint(0, clips, clips) if self.odds is None else random.choice(clips, clips, p=self.odds)


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.random = np.random.RandomState(0)


_OF_THREAD = _OfThread()


def _seeded(seed: int) -> np.random.RandomState:
    # a new generator takes a hundred times as long as to seed one, and a forest wants two a tree
    _OF_THREAD.random.seed(seed)
    return _OF_THREAD.random


def _finite(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "f" and bool(np.isfinite(x.sum(dtype=np.float64)))
