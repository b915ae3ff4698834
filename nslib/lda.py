"""Linear discriminant analysis with Ledoit-Wolf shrinkage, for vectors of thousands of numbers.

Reference
---------
What is computed is scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")``. Shrinkage:
Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices". Row space: Woodbury's
identity.

Conventions
-----------
scikit-learn builds the covariance within classes, a matrix [dim, dim], and takes it apart by singular values. But
that matrix is ``D + U'U``. For class k with share p_k, n_k clips, standard deviations s_k and, of its standardised
clips Z_k, shrinkage a_k and mean variance m_k

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

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from nslib.large.matrix import blocks

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

SMALL = 128
"""Dimensions up to which scikit-learn's own solver is used: a fit takes it a fraction of a second."""

_BLOCK = 1 << 23  # numbers that a temporary array holds: 64 MB
_COLUMNS = 512  # that are multiplied at a time, to leave out what is below the diagonal
_EPS = float(np.finfo(np.float64).eps)


class ShrinkageLDA(LinearDiscriminantAnalysis):
    """scikit-learn's classifier with another way to the coefficients of ``solver="lsqr", shrinkage="auto"``.

    Takes the parameters of its parent, and with other settings is its parent.

    Notes
    -----
    Time is of the order of ``clips * dim * min(clips, dim)``. Memory besides the vectors: their copy and
    [clips, clips] where clips are fewer than dimensions, else two matrices [dim, dim].

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(40, 3000)), np.arange(40) % 2
    >>> ShrinkageLDA(solver="lsqr", shrinkage="auto").fit(x, y).coef_.shape
    (1, 3000)
    """

    def _solve_lstsq(self, X: Any, y: Any, shrinkage: Any, covariance_estimator: Any) -> None:
        # The parent's one step of O(dim^3). Should a release rename it, that one's is used: slower, and as right.
        if X.shape[1] <= SMALL or shrinkage != "auto" or covariance_estimator is not None:
            super()._solve_lstsq(X, y, shrinkage, covariance_estimator)
            return
        order = np.argsort(y, kind="stable")
        groups = np.split(order, np.flatnonzero(y[order][1:] != y[order][:-1]) + 1)
        self.means_, self.coef_ = coefficients(X, groups, self.priors_)
        self.intercept_ = -0.5 * np.einsum("kd,kd->k", self.means_, self.coef_) + np.log(self.priors_)


def coefficients(x: Any, groups: Sequence[Rows], priors: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    """Solve for the weights of every class.

    Parameters
    ----------
    x : ndarray of float [clips, dim], or `nslib.large.matrix.Normalised`
        Finite vectors, of two dimensions or more.
    groups : sequence of ndarray of int
        Rows of each class.
    priors : ndarray of float [classes]
        Share of each class.

    Returns
    -------
    means : ndarray [classes, dim] float64
        Mean of each class.
    weights : ndarray [classes, dim] float64
        ``means`` divided by the covariance within classes.

    Raises
    ------
    ValueError
        If variances overflow.
    """
    if any(len(rows) == 1 for rows in groups):  # in the words of scikit-learn, whose own solver warns below `SMALL`
        warnings.warn("Only one sample available. You may want to reshape your data array", stacklevel=2)
    if len(x) < x.shape[1]:
        u, diagonal, means = _rows(x, groups, priors)
        return means, _solve_rows(u, diagonal, means)
    matrix, means = _matrix(x, groups, priors)
    return means, _solve_matrix(matrix, means)


def _columns(matrix: Floats) -> Iterator[slice]:
    return (slice(start, min(start + _COLUMNS, len(matrix))) for start in range(0, len(matrix), _COLUMNS))


def _scaling(x: npt.NDArray[Any], rows: Rows | slice, clips: int) -> tuple[Floats, Floats, Floats]:
    """Mean, centre and scale of a class; the centre is the mean after a second look, which the covariance takes too."""
    if not isinstance(x, np.ndarray):
        return _scaling_of_rows(x, rows)
    mean, centre, scale = np.empty((3, x.shape[1]))
    for cols in blocks(x.shape[1], clips, numbers=_BLOCK):
        scaler = StandardScaler()
        rest = scaler.fit_transform(np.asarray(x[rows, cols], dtype=np.float64)).mean(axis=0)
        mean[cols], scale[cols] = scaler.mean_, scaler.scale_
        centre[cols] = mean[cols] + scale[cols] * rest
    return mean, centre, scale


def _scaling_of_rows(x: Any, rows: Any) -> tuple[Floats, Floats, Floats]:
    # Some columns of a file of rows are a pass over all of it. This way it is two.
    scaler, total = StandardScaler(), np.zeros(x.shape[1])
    for block in blocks(len(rows), x.shape[1], numbers=_BLOCK):
        scaler.partial_fit(np.asarray(x[rows[block]], dtype=np.float64))
    for block in blocks(len(rows), x.shape[1], numbers=_BLOCK):
        total += scaler.transform(np.asarray(x[rows[block]], dtype=np.float64)).sum(axis=0)
    return scaler.mean_, scaler.mean_ + scaler.scale_ * total / len(rows), scaler.scale_


def _shrinkage(norms: Floats, squares: float, dim: int) -> tuple[float, float]:
    """Shrinkage and mean variance from the rows' squared norms and the sum of squares of all products of two rows."""
    clips, total = len(norms), float(norms.sum())
    mean = total / clips / dim
    squares /= clips**2
    spread = (squares - 2 * mean * total / clips + dim * mean**2) / dim
    noise = (float((norms**2).sum()) / clips - squares) / (dim * clips)
    noise = min(max(noise, 0.0), spread)  # below zero by rounding only
    return (noise / spread if noise else 0.0), mean


def _weigh(z: Floats, scale: Floats, prior: float) -> Floats:
    """Turn standardised rows, in place, into their part of ``U``, and return the part of ``D``."""
    products = z @ z.T
    shrinkage, mean = _shrinkage(np.diag(products), float(np.vdot(products, products)), z.shape[1])
    z *= scale * np.sqrt(prior * (1 - shrinkage) / len(z))
    return prior * shrinkage * mean * scale**2


def _standardise(z: Floats) -> tuple[Floats, Floats]:
    mean, centre, scale = _scaling(z, slice(None), len(z))
    z -= centre
    z /= scale
    return mean, scale


def _rows(x: npt.NDArray[Any], groups: Sequence[Rows], priors: npt.NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    u = np.asarray(x[np.concatenate(groups)], dtype=np.float64)
    means, diagonal, start = np.empty((len(groups), x.shape[1])), np.zeros(x.shape[1]), 0
    for k, rows in enumerate(groups):
        part = u[start : start + len(rows)]
        means[k], scale = _standardise(part)
        diagonal += _weigh(part, scale, float(priors[k]))
        start += len(rows)
    return u, diagonal, means


def _matrix(x: npt.NDArray[Any], groups: Sequence[Rows], priors: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    dim = x.shape[1]
    means, diagonal, matrix = np.empty((len(groups), dim)), np.zeros(dim), np.zeros((dim, dim))
    waiting: list[Floats] = []  # a thousand classes need not go through the matrix a thousand times
    for k, rows in enumerate(groups):
        if len(rows) > dim // 4:  # the products of dimensions serve for the shrinkage too, at the price of a matrix
            means[k] = _add_large(matrix, diagonal, x, rows, float(priors[k]))
            continue
        part = np.asarray(x[rows], dtype=np.float64)
        means[k], scale = _standardise(part)
        diagonal += _weigh(part, scale, float(priors[k]))
        waiting.append(part)
        if sum(map(len, waiting)) > dim // 8:
            _add_products(matrix, np.concatenate(waiting))
            waiting = []
    _add_products(matrix, np.concatenate([np.empty((0, dim)), *waiting]))
    _mirror(matrix)
    matrix.flat[:: dim + 1] += diagonal
    return matrix, means


def _add_large(matrix: Floats, diagonal: Floats, x: npt.NDArray[Any], rows: Rows, prior: float) -> Floats:
    mean, centre, scale = _scaling(x, rows, len(rows))
    own, norms = np.zeros_like(matrix), np.empty(len(rows))
    for block in blocks(len(rows), x.shape[1], numbers=_BLOCK):
        z = (x[rows[block]] - centre) / scale
        norms[block] = np.einsum("nd,nd->n", z, z)
        _add_products(own, z)
    _mirror(own)
    shrinkage, variance = _shrinkage(norms, float(np.vdot(own, own)), x.shape[1])
    diagonal += prior * shrinkage * variance * scale**2
    weight = scale * (prior * (1 - shrinkage) / len(rows))
    for block in blocks(len(own), len(own), numbers=_BLOCK):
        matrix[block] += own[block] * weight[block, None] * scale
    return mean


def _add_products(matrix: Floats, z: Floats) -> None:
    """Add ``z'z`` to the blocks of `matrix` on and above its diagonal."""
    for cols in _columns(matrix):
        matrix[: cols.stop, cols] += z[:, : cols.stop].T @ z[:, cols]


def _mirror(matrix: Floats) -> None:
    for cols in _columns(matrix):
        matrix[cols, : cols.start] = matrix[: cols.start, cols].T


def _largest(start: Floats, times: Callable[[Floats], Floats]) -> float:
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
    variance = diagonal + np.einsum("nd,nd->d", u, u)
    largest = _largest(variance, lambda v: diagonal * v + (u @ v) @ u)
    lost = variance <= _EPS * largest
    u[:, lost], means = 0, np.where(lost, 0, means)
    cut = max(u.shape) * _EPS * largest
    if not (diagonal[~lost] > cut).any():
        values, vectors = linalg.eigh(u @ u.T)
        kept = values > cut
        half = vectors[:, kept].T @ u
        return (means @ half.T / values[kept] ** 2) @ half
    root = np.sqrt(np.where(lost, 1, diagonal))
    u /= root
    products = u @ u.T
    products.flat[:: len(u) + 1] += 1
    factor = linalg.cho_factor(products.T, overwrite_a=True)

    def solved(right: Floats) -> Floats:
        return right - linalg.cho_solve(factor, u @ right.T).T @ u

    right = means / root
    first = solved(right)
    first += solved(right - first - (first @ u.T) @ u)  # a difference of nearly equal vectors: corrected once
    return first / root


def _solve_matrix(matrix: Floats, means: Floats) -> Floats:
    variance = np.diag(matrix).copy()
    largest = _largest(variance, lambda v: matrix @ v)
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
    kept = values > cut * largest
    return (means @ vectors[:, kept] / values[kept]) @ vectors[:, kept].T
