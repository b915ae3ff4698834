"""Multinomial logistic regression of more vectors than memory holds.

Reference
---------
What is minimised, and how, is scikit-learn's ``LogisticRegression(solver="lbfgs")``: SciPy's L-BFGS-B from zeros, with
its ``maxls=50`` and ``ftol=64 eps``, on the mean loss of the weighted clips plus ``|coef|^2 / (2 C weights)``. The
intercept bears no penalty. Two classes are one weight vector, more are one each: `nslib.classifiers` says how that
is translated to what the paper fitted.

Conventions
-----------
Loss and gradient are sums over blocks of rows, always the same blocks in the same order, in float64, computed by
TensorFlow: on the first GPU if there is one, else on all cores. So the vectors may be a memory-mapped file in float32,
of which one block at a time is in memory. What is: the optimiser's own memory, some 25 times the coefficients.

Where this differs from scikit-learn: only by rounding, as the sums go in another order. A fit that ends by itself
predicts the same. One that is cut off at `max_iter` has gone the same way, but after a hundred steps rounding may
have grown to where some clips between two classes are decided otherwise; ``benchmarks/large.py`` counts them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_is_fitted

from nslib.large.matrix import blocks

Floats = npt.NDArray[np.float64]
Step = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any, Any]]

_BLOCK = 1 << 24  # numbers of a block of rows: 128 MB in float64


class StreamedLogisticRegression(ClassifierMixin, BaseEstimator):
    """scikit-learn's ``LogisticRegression(solver="lbfgs")``, in blocks of rows.

    Parameters
    ----------
    C : float
        Inverse of the strength of the L2 penalty.
    tol : float
        Ends where no component of the gradient of the mean loss is larger.
    max_iter : int
        Iterations at most; a fit that reaches it warns.
    class_weight : dict, "balanced" or None
        As in scikit-learn.

    Attributes
    ----------
    classes_ : ndarray [classes]
    coef_ : ndarray [classes, dim], or [1, dim] with two classes
    intercept_ : ndarray [classes], or [1]
    n_iter_ : ndarray [1] int
        Iterations.
    loss_ : float
        What was minimised, where it ended.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(60, 4)).astype("float32"), np.arange(60) % 3
    >>> StreamedLogisticRegression().fit(x, y).coef_.shape                               # doctest: +SKIP
    (3, 4)
    """

    def __init__(self, C: float = 1.0, *, tol: float = 1e-4, max_iter: int = 100,
                 class_weight: dict[Any, float] | str | None = None):
        self.C, self.tol, self.max_iter, self.class_weight = C, tol, max_iter, class_weight

    def fit(self, X: Any, y: npt.ArrayLike) -> StreamedLogisticRegression:
        """Find the weights.

        Parameters
        ----------
        X : ndarray [clips, dim] float32 or float64
            Finite vectors, which may be memory-mapped, or `nslib.large.matrix.Normalised`.
        y : array-like [clips]
            Class of each.

        Returns
        -------
        StreamedLogisticRegression

        Raises
        ------
        ValueError
            If there is one class only, if sizes differ, or if vectors are not finite.
        """
        given = np.asarray(y)
        if X.ndim != 2 or len(given) != len(X):
            raise ValueError(f"give one class a row; got {X.shape} vectors and {len(given)} classes.")
        self.classes_, codes = np.unique(given, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"regression needs two classes or more; got {len(self.classes_)}.")
        self.n_features_in_ = X.shape[1]
        weights = np.ones(len(X)) if self.class_weight is None else compute_sample_weight(self.class_weight, given)
        units = 1 if len(self.classes_) == 2 else len(self.classes_)
        found = self._minimise(_Objective(X, codes, weights, units, self.C))
        table = found.x.reshape(units, -1, order="F")
        self.coef_, self.intercept_ = np.ascontiguousarray(table[:, :-1]), table[:, -1].copy()
        self.n_iter_, self.loss_ = np.array([found.nit], dtype=np.int32), float(found.fun)
        return self

    def _minimise(self, objective: _Objective) -> Any:
        options = {"maxiter": self.max_iter, "maxls": 50, "gtol": self.tol, "ftol": 64 * np.finfo(float).eps}
        found = optimize.minimize(objective, np.zeros(objective.size), method="L-BFGS-B", jac=True, options=options)
        if found.status:
            warnings.warn(f"lbfgs did not end by itself after {found.nit} of {self.max_iter} iterations: "
                          f"{found.message}", ConvergenceWarning, stacklevel=3)
        return found

    def decision_function(self, X: npt.NDArray[Any]) -> Floats:
        """Scores before the softmax.

        Parameters
        ----------
        X : ndarray [clips, dim] float

        Returns
        -------
        ndarray [clips, classes] float64, or [clips] of the second of two classes
        """
        check_is_fitted(self)
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise ValueError(f"X has {X.shape[-1]} features, but the fit saw {self.n_features_in_} features.")
        scores = np.empty((len(X), len(self.coef_)))
        for rows in blocks(len(X), X.shape[1], numbers=_BLOCK):
            scores[rows] = np.asarray(X[rows], dtype=np.float64) @ self.coef_.T + self.intercept_
        return scores if len(self.coef_) > 1 else scores[:, 0]

    def predict_proba(self, X: npt.NDArray[Any]) -> Floats:
        """Probability of each class.

        Parameters
        ----------
        X : ndarray [clips, dim] float

        Returns
        -------
        ndarray [clips, classes] float64
        """
        scores = self.decision_function(X)
        if scores.ndim > 1:
            return np.asarray(special.softmax(scores, axis=1))
        second = special.expit(scores)
        return np.column_stack([1 - second, second])

    def predict(self, X: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Likeliest class.

        Parameters
        ----------
        X : ndarray [clips, dim] float

        Returns
        -------
        ndarray [clips]
        """
        scores = self.decision_function(X)
        return self.classes_[scores.argmax(axis=1) if scores.ndim > 1 else (scores > 0).astype(int)]


class _Objective:
    """Mean loss and penalty at some weights, and the gradient: a function of the flat weights, as SciPy wants it.

    Weights lie as in scikit-learn: of one feature, all classes; the intercepts last.
    """

    def __init__(self, x: npt.NDArray[Any], codes: npt.NDArray[np.intp], weights: Floats, units: int, strength: float):
        self.x, self.codes, self.weights, self.units = x, codes, weights / weights.sum(), units
        self.penalty = 1.0 / (strength * weights.sum())
        self.size = units * (x.shape[1] + 1)
        self.step = _binary() if units == 1 else _multinomial()

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        import tensorflow as tf

        table = flat.reshape(-1, self.units)  # [dim + 1, units]: the transpose of Fortran's [units, dim + 1]
        coef, intercept = tf.constant(table[:-1]), tf.constant(table[-1])
        gradient, loss = np.zeros_like(table), 0.0
        for rows in blocks(len(self.x), self.x.shape[1], numbers=_BLOCK):
            block = tf.constant(np.ascontiguousarray(self.x[rows]))
            found = self.step(block, tf.constant(self.codes[rows]), tf.constant(self.weights[rows]), coef, intercept)
            loss += float(found[0])
            gradient[:-1] += found[1].numpy()
            gradient[-1] += found[2].numpy()
        if not np.isfinite(loss):
            raise ValueError("the loss is not finite: X holds NaN, infinity or numbers too large to be summed.")
        gradient[:-1] += self.penalty * table[:-1]
        return loss + 0.5 * self.penalty * float(np.vdot(table[:-1], table[:-1])), gradient.ravel()


@cache
def _multinomial() -> Step:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(block: Any, codes: Any, weights: Any, coef: Any, intercept: Any) -> tuple[Any, Any, Any]:
        x = tf.cast(block, tf.float64)
        scores = x @ coef + intercept
        scores -= tf.reduce_max(scores, axis=1, keepdims=True)
        total = tf.reduce_sum(tf.exp(scores), axis=1)
        loss = tf.reduce_sum(weights * (tf.math.log(total) - tf.gather(scores, codes, batch_dims=1)))
        target = tf.one_hot(codes, tf.shape(scores)[1], dtype=tf.float64)
        wrong = weights[:, None] * (tf.exp(scores) / total[:, None] - target)
        return loss, tf.matmul(x, wrong, transpose_a=True), tf.reduce_sum(wrong, axis=0)

    return step


@cache
def _binary() -> Step:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(block: Any, codes: Any, weights: Any, coef: Any, intercept: Any) -> tuple[Any, Any, Any]:
        x = tf.cast(block, tf.float64)
        scores = (x @ coef + intercept)[:, 0]
        target = tf.cast(codes, tf.float64)
        loss = tf.reduce_sum(weights * (tf.math.softplus(scores) - target * scores))
        wrong = (weights * (tf.math.sigmoid(scores) - target))[:, None]
        return loss, tf.matmul(x, wrong, transpose_a=True), tf.reduce_sum(wrong, axis=0)

    return step
