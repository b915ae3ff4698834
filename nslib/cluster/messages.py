"""What travels between this machine and the workers: the order of a run, its units, and what they came to.

Conventions
-----------
Units travel as bytes: a scheduler looks through every list that it is given, and keeps what it
made of it. Sent as lists, a million clips cost it half a gigabyte and half of its speed.
"""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, field

from nslib.cluster.recipes import Recipe
from nslib.embeddings.base import FloatArray
from nslib.errors import BadAudio
from nslib.extract.units import Item
from nslib.ledger import Cost


@dataclass(frozen=True)
class Order:
    """What is the same for all units of a run.

    Attributes
    ----------
    id : str
    recipe : Recipe
    fingerprint : str
        That the embedding must have.
    store : str
        The embedding's folder in the store.
    writes : bool
        Whether the worker writes into it, or sends the vectors back.
    token : str
        Name of a file in `store` by which a worker knows that it sees the same folder.
    witness : str
        An audio file that is there; "" if none is.
    """

    id: str
    recipe: Recipe
    fingerprint: str
    store: str
    writes: bool
    token: str
    witness: str


@dataclass(frozen=True)
class Outcome:
    """What a unit came to.

    Attributes
    ----------
    shard : str
        Name of the shard: that of the unit, as on one machine.
    keys : tuple of str
        Clips that have a vector.
    vectors : ndarray of float32 [clips, dim] or None
        None if they are in the store.
    problems : dict of str to BadAudio
        Hash of a clip to why it has none.
    cost : Cost
    """

    shard: str
    keys: tuple[str, ...]
    vectors: FloatArray | None
    problems: dict[str, BadAudio]
    cost: Cost = field(default_factory=Cost)


def packed(unit: list[Item]) -> bytes:
    """Make a unit ready to travel.

    Parameters
    ----------
    unit : list of Item

    Returns
    -------
    bytes
    """
    return zlib.compress(pickle.dumps([(i.key, i.path, i.clip_id, i.samples) for i in unit]), 1)


def unpacked(unit: bytes) -> list[Item]:
    """Undo `packed`.

    Parameters
    ----------
    unit : bytes

    Returns
    -------
    list of Item
    """
    return [Item(*fields) for fields in pickle.loads(zlib.decompress(unit))]
