"""Logistic regression of few long vectors: scikit-learn's own steps, taken where they happen.

Reference
---------
R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, A limited memory algorithm for bound constrained optimization, 1995.

Conventions
-----------
Of ``n`` clips with ``d > n`` dimensions, the weights never leave the space that the clips span: they start at zero, and
every gradient is a sum of clips. L-BFGS only ever uses inner products, so in an orthonormal basis of that space, with
``n`` coordinates instead of ``d``, it takes the same steps; only its test for the end, the largest entry of the
gradient, is not the same in another basis, and is made here on the gradient in all dimensions. Both ways differ by
rounding. A fit that ends by itself forgets that; one that is stopped at its cap of iterations need not, and is done
again by scikit-learn: what is stopped early has scikit-learn's numbers, to the last bit. Clips that depend on one
another are left to it too: of twins with two labels the weights grow until the penalty holds them, and where that ends
rounding decides (scikit-learn's own scores move by a tenth with the order of the dimensions).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, special
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

Floats = npt.NDArray[np.float64]

# With less, the basis costs what its coordinates save.
_DIMENSIONS_A_CLIP = 8
# A clip is a sum of others, to rounding.
_DEPENDENT = 1e-9
_PLAIN = {"solver": "lbfgs", "penalty": "deprecated", "l1_ratio": 0.0, "fit_intercept": True, "warm_start": False,
          "dual": False, "verbose": 0}


class QuickLogisticRegression(LogisticRegression):
    """scikit-learn's classifier, quick where vectors are long and few; elsewhere it is its parent.

    Takes the parameters of its parent.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(30, 400)), np.arange(30) % 3
    >>> QuickLogisticRegression(C=1e5).fit(x, y).coef_.shape
    (3, 400)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> QuickLogisticRegression:
        """Find the weights.

        Parameters
        ----------
        X : array-like of float [clips, dim]
            Vectors; the quick way is for float64 in memory.
        y : array-like [clips]
            Class of each.
        sample_weight : array-like [clips], optional
            With it, this is the parent's.

        Returns
        -------
        QuickLogisticRegression
        """
        long = isinstance(X, np.ndarray) and X.dtype == np.float64 and X.ndim == 2
        long = long and X.shape[1] >= _DIMENSIONS_A_CLIP * len(X)
        usual = all(getattr(self, name, value) == value for name, value in _PLAIN.items())
        if long and usual and sample_weight is None and self._fit_in_rows(X, y):
            return self
        return super().fit(X, y, sample_weight)

    def _fit_in_rows(self, X: Any, y: Any) -> bool:
        self._validate_params()
        x, labels = validate_data(self, X, y)
        check_classification_targets(labels)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            return False  # the parent says so
        weights = np.ones(len(x)) if self.class_weight is None else compute_sample_weight(self.class_weight, labels)
        objective = _Objective(x, codes, weights, 1 if len(classes) == 2 else len(classes), self.C)
        found = objective.minimised(self.tol, self.max_iter) if objective.independent else None
        if found is None:
            return False
        table, iterations = found
        self.classes_, self.n_iter_ = classes, np.array([iterations], dtype=np.int32)
        self.coef_, self.intercept_ = np.ascontiguousarray((objective.basis @ table[:-1]).T), table[-1].copy()
        return True


class _Objective:
    """Mean loss and penalty, and the gradient, at weights in coordinates of the basis [coordinates + 1, units]."""

    def __init__(self, x: Floats, codes: npt.NDArray[np.intp], weights: Floats, units: int, strength: float):
        self.basis, triangle = linalg.qr(x.T, mode="economic", check_finite=False)
        steps = np.abs(np.diagonal(triangle))
        self.independent = bool(steps.min() > _DEPENDENT * steps.max())
        self.x = np.hstack([triangle.T, np.ones((len(x), 1))])
        self.weights, self.penalty = weights / weights.sum(), 1.0 / (strength * weights.sum())
        self.units, self.codes = units, codes
        self.target = np.eye(units)[codes] if units > 1 else codes[:, None].astype(float)
        self.gradient = np.empty((self.x.shape[1], units))

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(-1, self.units)
        scores = self.x @ table
        if self.units == 1:
            losses, found = np.logaddexp(0, scores[:, 0]) - self.target[:, 0] * scores[:, 0], special.expit(scores)
        else:
            scores -= scores.max(axis=1, keepdims=True)
            found = np.exp(scores)
            total = found.sum(axis=1, keepdims=True)
            losses = np.log(total[:, 0]) - scores[np.arange(len(scores)), self.codes]
            found /= total
        self.gradient = self.x.T @ (self.weights[:, None] * (found - self.target))
        self.gradient[:-1] += self.penalty * table[:-1]
        loss = float(self.weights @ losses) + 0.5 * self.penalty * float(np.vdot(table[:-1], table[:-1]))
        return loss, self.gradient.ravel()

    def minimised(self, tol: float, most: int) -> tuple[Floats, int] | None:
        """Weights [coordinates + 1, units] and iterations; None if it does not end by itself."""
        start, done = np.zeros(self.gradient.size), 0
        self(start)
        if self._flat(tol):
            return start.reshape(-1, self.units), 0

        def ended(intermediate_result: Any) -> None:
            nonlocal done
            done += 1
            if done < most and self._flat(tol):  # SciPy's own test comes after its cap, too
                raise StopIteration

        # as scikit-learn asks SciPy, but for the test of the gradient
        options = {"maxiter": most, "maxls": 50, "gtol": 0.0, "ftol": 64 * np.finfo(float).eps}
        found = optimize.minimize(self, start, method="L-BFGS-B", jac=True, callback=ended, options=options)
        by_itself = found.status == 0 or (done < most and self._flat(tol))
        return (found.x.reshape(-1, self.units), found.nit) if by_itself else None

    def _flat(self, tol: float) -> bool:
        """Whether no entry of the gradient in all dimensions is above `tol`."""
        inner, last = self.gradient[:-1], self.gradient[-1]
        # the largest entry is at least the root mean square, which costs nothing
        mean_square = np.vdot(inner, inner) / (len(self.basis) * self.units)
        return bool(np.abs(last).max() <= tol and mean_square <= tol**2 and np.abs(self.basis @ inner).max() <= tol)
