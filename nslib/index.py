"""Where a vector lies, in 16 bytes a clip: millions of clips need no gigabyte of names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]

_ROW_BITS = 24
_LOOSE = 20_000


class Index:
    """Shard and row of keys.

    Only a 64-bit hash of a key is kept, Python's own, which differs from process to process. Two of ten million
    keys have the same with a probability of 3 in a million: who reads a row must compare its key.
    """

    def __init__(self) -> None:
        self._hashes, self._places = np.empty(0, np.int64), np.empty(0, np.int64)
        self._loose: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._hashes) + len(self._loose)

    def add(self, keys: Sequence[str], shard: int) -> None:
        """Take the rows of a shard; where a key is known already, the new row counts.

        Parameters
        ----------
        keys : sequence of str
            In the order of the rows.
        shard : int
        """
        start = shard << _ROW_BITS
        self._loose.update({hash(key): start + row for row, key in enumerate(keys)})
        if len(self._loose) > _LOOSE:
            self._merge()

    def find(self, keys: Iterable[str]) -> Places:
        """Places of keys.

        Parameters
        ----------
        keys : iterable of str

        Returns
        -------
        int64 [keys]
            See `split`; -1 for a key that is not there.
        """
        self._merge()
        wanted = np.fromiter(map(hash, keys), np.int64)
        if not len(self._hashes):
            return np.full(len(wanted), -1)
        at = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        return np.where(self._hashes[at] == wanted, self._places[at], -1)

    def has(self, key: str) -> bool:
        """Whether a key is there; for many keys `find` is quicker.

        Parameters
        ----------
        key : str

        Returns
        -------
        bool
        """
        wanted = hash(key)
        if wanted in self._loose:
            return True
        at = int(np.searchsorted(self._hashes, wanted))
        return at < len(self._hashes) and int(self._hashes[at]) == wanted

    def _merge(self) -> None:
        if not self._loose:
            return
        new = np.fromiter(self._loose, np.int64, len(self._loose))
        places = np.fromiter(self._loose.values(), np.int64, len(self._loose))
        self._loose = {}
        # of equal hashes the last counts, so the new ones go first, and `unique` takes the first
        self._hashes, first = np.unique(np.concatenate([new, self._hashes]), return_index=True)
        self._places = np.concatenate([places, self._places])[first]


def split(places: Places) -> tuple[Places, Places]:
    """Shard and row of places.

    Parameters
    ----------
    places : int64 [keys]

    Returns
    -------
    shards, rows : int64 [keys]
    """
    return places >> _ROW_BITS, places & ((1 << _ROW_BITS) - 1)
