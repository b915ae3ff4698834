"""scikit-learn's random forest, without what it does again for every tree.

Conventions
-----------
The trees are scikit-learn's, grown by its own compiled code from the same seeds: the same nodes, to the last bit. Left
out is what its Python code looks up and checks for each of a hundred trees, although the forest has done so: kinds of
labels, classes, weights, parameters. It is a quarter of the time at 500 clips and most of it at fifty, and threads
wait for one another in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

_PLAIN = {"criterion": "gini", "max_depth": None, "min_samples_split": 2, "min_samples_leaf": 1, "ccp_alpha": 0.0,
          "min_weight_fraction_leaf": 0.0, "max_features": "sqrt", "max_leaf_nodes": None, "monotonic_cst": None,
          "min_impurity_decrease": 0.0}


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

    def _make_estimator(self, append: bool = True, random_state: Any = None) -> Any:
        # The parent clones a tree and sets and looks up its parameters, a hundred times. Should a release rename this
        # step, or the ones below, the parent's are used: slower, and as right.
        if append or random_state is None or any(getattr(self, name) != usual for name, usual in _PLAIN.items()):
            return super()._make_estimator(append, random_state)
        tree = _Tree(**{name: getattr(self, name) for name in self.estimator_params})
        tree.random_state = random_state.randint(np.iinfo(np.int32).max)
        tree.learnt = int(np.ravel(self.n_classes_)[0])  # a list of one until the forest is whole
        return tree


class _Tree(DecisionTreeClassifier):
    """A tree that grows at once where a forest has checked everything."""

    learnt = 0

    def _fit(self, X: Any, y: Any, sample_weight: Any = None, check_input: bool = True,
             missing_values_in_feature_mask: Any = None) -> Any:
        plain = isinstance(X, np.ndarray) and sample_weight is not None  # a forest without bootstrap gives no weights
        checked = plain and not check_input and y.dtype == np.float64 and y.shape[1] == 1
        try:
            grown = _grown(self, X, y, sample_weight, missing_values_in_feature_mask) if checked else None
        except (ImportError, TypeError):  # of another release
            grown = None
        if grown is None:
            return super()._fit(X, y, sample_weight, check_input, missing_values_in_feature_mask)
        self.tree_, self.n_outputs_, self.n_features_in_ = grown, 1, X.shape[1]
        self.n_classes_ = np.intp(self.learnt)
        self.classes_ = np.arange(self.learnt, dtype=np.float64)
        self.max_features_ = _candidates(X)
        return self


def _candidates(x: npt.NDArray[Any]) -> int:
    return max(1, int(np.sqrt(x.shape[1])))


def _grown(tree: _Tree, x: npt.NDArray[Any], y: npt.NDArray[np.float64], counts: npt.NDArray[Any],
           missing: Any) -> Any:
    from sklearn.tree._criterion import Gini
    from sklearn.tree._splitter import BestSplitter
    from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

    classes = np.array([tree.learnt], dtype=np.intp)
    splitter = BestSplitter(Gini(1, classes), _candidates(x), 1, 0.0, np.random.RandomState(tree.random_state), None)
    grown = Tree(x.shape[1], classes, 1)
    builder = DepthFirstTreeBuilder(splitter, 2, 1, 0.0, np.iinfo(np.int32).max, 0.0)
    builder.build(grown, x, y, None if counts is None else np.asarray(counts, dtype=np.float64), missing)
    return grown
