"""Vectors in memory-mapped files that nobody has to delete.

Conventions
-----------
Vectors are float32 [clips, dim]. Their files have no name: the system frees them as soon as the last array on them is
gone, and also if the process is killed. They lie in ``large`` in the cache, and their space is reserved before
anything is written, so that a full disk is an error at the start and not a crash on the way. They count as the file
system's cache, not as memory of the process: under pressure the system takes their pages back.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import params
from nslib.errors import NslibError

if TYPE_CHECKING:
    from nslib.store import Store

Matrix = npt.NDArray[np.floating[Any]]

_BLOCK = 1 << 23  # numbers of a block: 64 MB in float64


def empty(clips: int, dim: int, *, by_columns: bool = False, kind: type[np.floating[Any]] = np.float32) -> Matrix:
    """Make a matrix in a file.

    Parameters
    ----------
    clips, dim : int
        Its shape.
    by_columns : bool
        Whether a dimension's numbers lie together, as trees read them, or a clip's.
    kind : type
        ``np.float32``, or ``np.float64``.

    Returns
    -------
    ndarray [clips, dim]
        Memory-mapped zeros.

    Raises
    ------
    NslibError
        If the disk has no room for it.
    """
    size, folder = np.dtype(kind).itemsize * clips * dim, params.cache_dir("large")
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            _reserve(file.fileno(), size)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise NslibError(f"no space left in {folder} for {size / 1e9:.1f} GB of vectors. Free some "
                             "space, or point NSLIB_CACHE to a larger disk, and run the same command again.") from error
        return np.memmap(file, kind, "r+", shape=(clips, dim), order="F" if by_columns else "C")


def _reserve(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)  # macOS has no such call; there a full disk shows late


def blocks(count: int, width: int, numbers: int | None = None) -> Iterator[slice]:
    """Rows that go through memory together.

    Parameters
    ----------
    count : int
        Rows.
    width : int
        Numbers of each.
    numbers : int, optional
        Of a block, at most. Default: 64 MB in float64.

    Returns
    -------
    iterator of slice
        Of all rows in order.
    """
    step = max(1, (numbers or _BLOCK) // max(width, 1))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def read(store: Store, keys: Sequence[str]) -> Matrix:
    """Vectors of clips from the store, as `Store.read`, but in a file.

    Parameters
    ----------
    store : Store
    keys : sequence of str
        Waveform hashes; repeats are allowed.

    Returns
    -------
    ndarray [clips, dim] float32
        Memory-mapped.

    Raises
    ------
    KeyError
        If one of them has no vector.
    NslibError
        If the disk is full.
    """
    out = empty(len(keys), store.dim)
    for rows in blocks(*out.shape):
        out[rows] = store.read(keys[rows])
    return out


def gathered(x: Matrix | Normalised, rows: npt.NDArray[np.intp], *, by_columns: bool = False) -> Matrix:
    """Some rows of a matrix, in some order.

    Parameters
    ----------
    x : ndarray [clips, dim] or Normalised
    rows : ndarray of int
        Which.
    by_columns : bool
        As for `empty`.

    Returns
    -------
    ndarray [rows, dim] float32
        Memory-mapped.
    """
    out = empty(len(rows), x.shape[1], by_columns=by_columns)
    for block in blocks(*out.shape):
        out[block] = x[rows[block]]
    return out


class Normalised:
    """What `nslib.classifiers.normalised` gives, to the last bit, of the rows and columns that are asked for.

    Parameters
    ----------
    x : ndarray [clips, dim] float32
        Vectors, which may be memory-mapped.
    speaker : ndarray [clips] str
        Speaker of each clip.
    l2, speaker_norm : bool
        Whether to scale to unit length, then to a z-score over each speaker's clips.

    Attributes
    ----------
    shape : (int, int)

    Notes
    -----
    Rounded to float32, as a file of the normalised vectors would have them, regression that stops early decides
    otherwise: probabilities moved by up to 0.3 on small tasks. What is kept is a length a clip and, in a file, a mean
    and a standard deviation for each speaker and dimension.
    """

    ndim = 2

    def __init__(self, x: Matrix, speaker: npt.NDArray[Any], *, l2: bool, speaker_norm: bool):
        self._x, self.shape = x, x.shape
        self._lengths = self._scaling = None
        if l2:
            self._lengths = np.concatenate([_lengths(x[rows]) for rows in blocks(*x.shape)])
        if speaker_norm:
            names, self._speaker = np.unique(speaker, return_inverse=True)
            self._scaling = self._scalings(len(names))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[np.float64]:
        rows, columns = index if isinstance(index, tuple) else (index, slice(None))
        found = self._scaled(rows, columns)
        if self._scaling is None:
            return found
        mean, scale = self._scaling
        found = found - mean[self._speaker[rows], columns]
        found /= scale[self._speaker[rows], columns]
        return found

    def _scaled(self, rows: Any, columns: slice) -> npt.NDArray[np.float64]:
        found = np.asarray(self._x[rows, columns], dtype=np.float64)
        return found if self._lengths is None else found / self._lengths[rows, None]

    def _scalings(self, speakers: int) -> tuple[Matrix, Matrix]:
        from sklearn.preprocessing import StandardScaler

        mean, scale = (empty(speakers, self.shape[1], kind=np.float64) for _ in range(2))
        order = np.argsort(self._speaker, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(self._speaker[order])) + 1):
            for columns in blocks(self.shape[1], len(own)):  # all at once, but of a speaker of thousands of clips
                scaler = StandardScaler().fit(self._scaled(own, columns))
                mean[self._speaker[own[0]], columns] = scaler.mean_
                scale[self._speaker[own[0]], columns] = scaler.scale_
        return mean, scale


def _lengths(block: Matrix) -> npt.NDArray[np.float64]:
    from sklearn.utils.extmath import row_norms

    found = row_norms(np.asarray(block, dtype=np.float64))  # as sklearn.preprocessing.normalize
    return np.where(found == 0, 1, found)
