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
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import params
from nslib.errors import NslibError

if TYPE_CHECKING:
    from nslib.store import Store

__all__ = ["free_gb", "read"]

_BLOCK = 1 << 23  # numbers that are copied at a time


def free_gb() -> float:
    """Return the memory in GB that programs may have now."""
    import psutil

    return psutil.virtual_memory().available / 1e9


def read(store: Store, keys: Sequence[str]) -> npt.NDArray[np.float32]:
    """Read vectors of clips from the store as `Store.read` does, but into a file.

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
    vectors, step = _make_file(len(keys), store.dim), max(1, _BLOCK // store.dim)
    for start in range(0, len(keys), step):
        vectors[start : start + step] = store.read(keys[start : start + step])
    return vectors


def _make_file(clips: int, dim: int) -> npt.NDArray[np.float32]:
    """Memory-map zeros in a file without a name."""
    size, folder = 4 * clips * dim, params.cache_dir("large")
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                os.truncate(file.fileno(), size)  # macOS has no such call; there a full disk shows late
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise NslibError(f"no space left in {folder} for {size / 1e9:.1f} GB of vectors. Free some "
                             "space, or point NSLIB_CACHE to a larger disk, and run the same command again.") from error
        return np.memmap(file, np.float32, "r+", shape=(clips, dim))
