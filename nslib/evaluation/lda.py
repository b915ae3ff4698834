"""Linear discriminant analysis with Ledoit-Wolf shrinkage, for vectors of thousands of numbers.

What is computed is scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")``. Shrinkage:
Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices". Row space: Woodbury's
identity.

scikit-learn builds the covariance within classes, a matrix [dim, dim], and takes it apart by singular values: 5 s at
2,048 dimensions, growing with the cube; here it is a fraction of a second (``benchmarks/lda.py``). For that matrix is
``D + U'U``. For class k with share p_k, n_k clips, standard deviations s_k and, of its standardised clips Z_k,
shrinkage a_k and mean variance m_k

- ``D``, a diagonal, is the sum over classes of ``p_k a_k m_k s_k^2``: what shrinkage puts in;
- ``U`` [clips, dim] has the rows ``sqrt(p_k (1 - a_k) / n_k) s_k z``: the clips about their class's mean.

So the coefficients follow from the product of the rows, ``U D^-1 U'`` [clips, clips], where clips are fewer than
dimensions, and from a Cholesky factor of the matrix elsewhere. Shrinkage itself needs two sums of squares, which the
rows' products give as well.

Where this differs from scikit-learn by more than rounding:

- Up to `SMALL` dimensions it doesn't: scikit-learn's own solver is used.
- A dimension whose variance is below rounding (2.2e-16 of the largest eigenvalue) gets the coefficient 0, as in the
  least-squares solution of least norm. Less clear cases, of variances below some 1e-12 of the largest eigenvalue, are
  solved without the cut that scikit-learn makes within its own rounding errors.
- Where no class has more than two different clips, there is no shrinkage and the matrix is singular. scikit-learn's cut
  then falls into its rounding errors, and its coefficients grow to 1e15; here they are those of least norm, with the
  usual cut at max(clips, dim) x 2.2e-16.
- Vectors in float32 are computed in float64.
- There is no attribute ``covariance_``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ShrinkageLDA"]  # noqa: F822  (made when it is first asked for)

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

SMALL = 128
"""Dimensions up to which scikit-learn's own solver is used: a fit takes it a fraction of a second."""

_BLOCK = 1 << 23  # numbers that a temporary array holds: 64 MB
_COLUMNS = 512  # that are multiplied at a time, to leave out what is below the diagonal
_EPS = float(np.finfo(np.float64).eps)


@functools.cache
def _make_class() -> type:
    """Make `ShrinkageLDA` when it is first asked for: its parent's package takes a second to import."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    class ShrinkageLDA(LinearDiscriminantAnalysis):
        """scikit-learn's classifier with another way to the coefficients of ``solver="lsqr", shrinkage="auto"``."""

        def _solve_lstsq(self, X: Any, y: Any, shrinkage: Any, covariance_estimator: Any) -> None:
            # The parent's one step of O(dim^3). Should a release rename it, that one's is used: slower, and as right.
            if X.shape[1] <= SMALL or shrinkage != "auto" or covariance_estimator is not None:
                super()._solve_lstsq(X, y, shrinkage, covariance_estimator)
                return
            order = np.argsort(y, kind="stable")
            classes = np.split(order, np.flatnonzero(y[order][1:] != y[order][:-1]) + 1)
            if any(len(rows) == 1 for rows in classes):  # in the words of scikit-learn, whose own solver warns
                warnings.warn("Only one sample available. You may want to reshape your data array", stacklevel=2)
            if len(X) < X.shape[1]:
                u, diagonal, self.means_ = _factor_rows(X, classes, self.priors_)
                self.coef_ = _solve_rows(u, diagonal, self.means_)
            else:
                matrix, self.means_ = _sum_covariances(X, classes, self.priors_)
                self.coef_ = _solve_matrix(matrix, self.means_)
            self.intercept_ = -0.5 * np.einsum("kd,kd->k", self.means_, self.coef_) + np.log(self.priors_)

    ShrinkageLDA.__qualname__ = "ShrinkageLDA"  # so that a fitted one can be pickled
    return ShrinkageLDA


def __getattr__(name: str) -> Any:
    if name == "ShrinkageLDA":
        return _make_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _cut(count: int, step: int) -> Iterator[slice]:
    """Cut rows or columns into slices of `step`."""
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Cut rows of `width` numbers into slices of at most `_BLOCK` numbers."""
    return _cut(count, max(1, _BLOCK // max(width, 1)))


def measure_spread(x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each dimension of vectors [clips, dim]; 1 for the second if it does not vary."""
    # scikit-learn's StandardScaler, to the last bit; of a few clips, its checks take ten times as long as the sums
    mean = x.sum(axis=0) / len(x)
    rest = x - mean
    correction = rest.sum(axis=0)
    rest **= 2
    variance = (rest.sum(axis=0) - correction**2 / len(x)) / len(x)
    scale = np.sqrt(variance)
    scale[variance <= len(x) * _EPS * variance + (len(x) * mean * _EPS) ** 2] = 1
    return mean, scale


def _scale_class(x: npt.NDArray[Any], rows: Rows | slice, clips: int) -> tuple[Floats, Floats, Floats]:
    """Mean, centre and scale of a class; the centre is the mean after a second look, which the covariance takes too."""
    mean, centre, scale = np.empty((3, x.shape[1]))
    for cols in _blocks(x.shape[1], clips):
        part = np.asarray(x[rows, cols], dtype=np.float64)
        mean[cols], scale[cols] = measure_spread(part)
        centre[cols] = mean[cols] + scale[cols] * ((part - mean[cols]) / scale[cols]).mean(axis=0)
    return mean, centre, scale


def _shrinkage(norms: Floats, squares: float, dim: int) -> tuple[float, float]:
    """Shrinkage and mean variance from the rows' squared norms and the sum of squares of all products of two rows."""
    clips, total = len(norms), float(norms.sum())
    mean = total / clips / dim
    squares /= clips**2
    spread = (squares - 2 * mean * total / clips + dim * mean**2) / dim
    noise = (float((norms**2).sum()) / clips - squares) / (dim * clips)
    noise = min(max(noise, 0.0), spread)  # below zero by rounding only
    return (noise / spread if noise else 0.0), mean


def _weigh_rows(z: Floats, prior: float) -> tuple[Floats, Floats]:
    """Turn the rows of a class, in place, into their part of ``U``; return its mean and its part of ``D``."""
    mean, centre, scale = _scale_class(z, slice(None), len(z))
    z -= centre
    z /= scale
    products = z @ z.T
    shrinkage, variance = _shrinkage(np.diag(products), float(np.vdot(products, products)), z.shape[1])
    z *= scale * np.sqrt(prior * (1 - shrinkage) / len(z))
    return mean, prior * shrinkage * variance * scale**2


def _factor_rows(x: npt.NDArray[Any], classes: Sequence[Rows],
                 priors: npt.NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """``U``, the diagonal of ``D`` and the means of all classes."""
    u = np.asarray(x[np.concatenate(classes)], dtype=np.float64)
    means, diagonal, start = np.empty((len(classes), x.shape[1])), np.zeros(x.shape[1]), 0
    for k, rows in enumerate(classes):
        means[k], part = _weigh_rows(u[start : start + len(rows)], float(priors[k]))
        diagonal += part
        start += len(rows)
    return u, diagonal, means


def _sum_covariances(x: npt.NDArray[Any], classes: Sequence[Rows], priors: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """``D + U'U`` [dim, dim] and the means of all classes."""
    dim = x.shape[1]
    means, diagonal, matrix = np.empty((len(classes), dim)), np.zeros(dim), np.zeros((dim, dim))
    waiting: list[Floats] = []  # a thousand classes need not go through the matrix a thousand times
    for k, rows in enumerate(classes):
        if len(rows) > dim // 4:  # the products of dimensions serve for the shrinkage too, at the price of a matrix
            means[k] = _add_large_class(matrix, diagonal, x, rows, float(priors[k]))
            continue
        weighed = np.asarray(x[rows], dtype=np.float64)
        means[k], part = _weigh_rows(weighed, float(priors[k]))
        diagonal += part
        waiting.append(weighed)
        if sum(map(len, waiting)) > dim // 8:
            _add_products(matrix, np.concatenate(waiting))
            waiting = []
    _add_products(matrix, np.concatenate([np.empty((0, dim)), *waiting]))
    _mirror(matrix)
    matrix.flat[:: dim + 1] += diagonal
    return matrix, means


def _add_large_class(matrix: Floats, diagonal: Floats, x: npt.NDArray[Any], rows: Rows, prior: float) -> Floats:
    """Add a class of many clips to the covariance, in blocks of rows; return its mean."""
    mean, centre, scale = _scale_class(x, rows, len(rows))
    products, norms = np.zeros_like(matrix), np.empty(len(rows))
    for block in _blocks(len(rows), x.shape[1]):
        z = (x[rows[block]] - centre) / scale
        norms[block] = np.einsum("nd,nd->n", z, z)
        _add_products(products, z)
    _mirror(products)
    shrinkage, variance = _shrinkage(norms, float(np.vdot(products, products)), x.shape[1])
    diagonal += prior * shrinkage * variance * scale**2
    weight = scale * (prior * (1 - shrinkage) / len(rows))
    for block in _blocks(len(products), len(products)):
        matrix[block] += products[block] * weight[block, None] * scale
    return mean


def _add_products(matrix: Floats, z: Floats) -> None:
    """Add ``z'z`` to the blocks of `matrix` on and above its diagonal."""
    for cols in _cut(len(matrix), _COLUMNS):
        matrix[: cols.stop, cols] += z[:, : cols.stop].T @ z[:, cols]


def _mirror(matrix: Floats) -> None:
    """Copy what is above the diagonal below it."""
    for cols in _cut(len(matrix), _COLUMNS):
        matrix[cols, : cols.start] = matrix[: cols.start, cols].T


def _largest_eigenvalue(start: Floats, times: Callable[[Floats], Floats]) -> float:
    """Largest eigenvalue, within a factor of two or so: it is needed for cuts at the level of rounding."""
    v, value = start, 0.0
    for _ in range(5):
        length = float(np.linalg.norm(v))
        if not length:
            return 0.0
        v = v / length
        after = times(v)
        value, v = float(v @ after), after
    return value


def _solve_rows(u: Floats, diagonal: Floats, means: Floats) -> Floats:
    """Divide the means by ``D + U'U`` without building it."""
    from scipy import linalg

    variance = diagonal + np.einsum("nd,nd->d", u, u)
    largest = _largest_eigenvalue(variance, lambda v: diagonal * v + (u @ v) @ u)
    lost = variance <= _EPS * largest
    u[:, lost], means = 0, np.where(lost, 0, means)
    cut = max(u.shape) * _EPS * largest
    if not (diagonal[~lost] > cut).any():
        values, vectors = linalg.eigh(u @ u.T)
        above = values > cut
        half = vectors[:, above].T @ u
        return (means @ half.T / values[above] ** 2) @ half
    root = np.sqrt(np.where(lost, 1, diagonal))
    u /= root
    products = u @ u.T
    products.flat[:: len(u) + 1] += 1
    factor = linalg.cho_factor(products.T, overwrite_a=True)

    def solve(right: Floats) -> Floats:
        return right - linalg.cho_solve(factor, u @ right.T).T @ u

    right = means / root
    first = solve(right)
    first += solve(right - first - (first @ u.T) @ u)  # a difference of nearly equal vectors: corrected once
    return first / root


def _solve_matrix(matrix: Floats, means: Floats) -> Floats:
    """Divide the means by the matrix, which is overwritten."""
    from scipy import linalg

    variance = np.diag(matrix).copy()
    largest = _largest_eigenvalue(variance, lambda v: matrix @ v)
    lost = variance <= _EPS * largest
    matrix[lost], matrix[:, lost], means = 0, 0, np.where(lost, 0, means)
    root = np.sqrt(np.where(lost, 1, variance))
    matrix /= root
    matrix /= root[:, None]
    matrix.flat[:: len(matrix) + 1] = 1
    cut = len(matrix) * _EPS
    try:
        factor, lower = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True)  # keeps the other triangle
        if linalg.lapack.dpocon(factor, 1.0, uplo="L")[0] > cut:
            return linalg.cho_solve((factor, lower), (means / root).T).T / root
    except linalg.LinAlgError:
        pass  # singular to rounding, as below
    matrix.flat[:: len(matrix) + 1] = 1
    matrix *= root
    matrix *= root[:, None]
    values, vectors = linalg.eigh(matrix.T, lower=False, overwrite_a=True)
    above = values > cut * largest
    return (means @ vectors[:, above] / values[above]) @ vectors[:, above].T
