"""The published models: TRILL, TRILL-distilled, FRILL, TRILLsson, YAMNet and VGGish from TF Hub.

`sources` says where they lie, `resolver` finds or fetches them (`download`, `unpack`), `checksums` holds
their files together, `adapters` says how each is called, `frozen` makes that fast, `inside` reads layers that are not
given out, and `proof` tries a model when it is loaded.

A SavedModel is a program. What will be run is said on stderr before it is loaded: handle, checksum
and folder.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from nslib.embeddings import graphs
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray
from nslib.embeddings.cards import Card
from nslib.embeddings.hub import adapters, checksums, sources
from nslib.embeddings.hub.resolver import present, resolve
from nslib.errors import Unavailable

# TensorFlow greets with a page of notes about the machine; errors are raised anyway
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["load", "present", "resolve", "revision"]

OPEN = 2
"""Models that are kept in memory; the largest take more than a gigabyte."""


def revision(card: Card) -> str:
    """Revision of an embedding: checksum of the model's files, and which output is read.

    Fetches the model if it is not on this machine.

    Parameters
    ----------
    card : Card
        With ``hub``.

    Returns
    -------
    str

    Raises
    ------
    Unavailable
        If the model cannot be had, or its files are not those of its first use.
    """
    return _revision(card, checksums.verified(card.hub, resolve(card.hub)))


def load(card: Card) -> EmbedFunction:
    """Give the embed function.

    Parameters
    ----------
    card : Card
        With ``hub`` and the revision that `revision` gives.

    Returns
    -------
    callable
        It opens the model again if others were opened since. Loaded on a device (`nslib.embeddings.graphs.on`), it
        keeps the model as long as it lives.

    Raises
    ------
    Unavailable
        If the model cannot be had, its files were changed, or it is not what the card says.
    """
    if graphs.device():
        return _fresh(card, str(resolve(card.hub)))
    _open(card, str(resolve(card.hub)))

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        return _open(card, str(resolve(card.hub)))(waves, lengths)

    return embed


def _revision(card: Card, sha256: str) -> str:
    output = adapters.ADAPTERS[card.name].output
    return f"{sha256[:16]} {output.op if isinstance(output, adapters.Inside) else output}"


@lru_cache(maxsize=OPEN)
def _open(card: Card, folder: str) -> EmbedFunction:
    return _fresh(card, folder)


def _fresh(card: Card, folder: str) -> EmbedFunction:
    from nslib.embeddings.hub import proof

    sha256 = checksums.verified(card.hub, Path(folder), fully=True)
    if _revision(card, sha256) != card.revision:
        why = "its model was replaced while this program ran"
        raise Unavailable(f"embedding {card.name}", why, "Start the program again.")
    _announce(card, folder)
    adapter, rank, call = proof.opened(_module(card, folder), card)
    return adapters.embedder(call, adapter, rank)


def _module(card: Card, folder: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tensorflow_hub imports what setuptools will drop
        import tensorflow_hub
    try:
        return graphs.bound(tensorflow_hub.load)(folder)
    except Exception as error:  # TensorFlow raises all sorts for files that are no model
        why = f"TensorFlow cannot load {folder}: {type(error).__name__}: {str(error).strip()[:200]}"
        raise Unavailable(f"embedding {card.name}", why, sources.get(card.hub).by_hand) from error


def _announce(card: Card, folder: str) -> None:
    from tqdm.std import tqdm

    record = checksums.read(card.hub)
    known = f"sha256 {record.sha256} recorded {record.recorded}, {record.origin}" if record else "unrecorded"
    tqdm.write(f"Loading {card.name} from {folder} ({sources.get(card.hub).handles[0]}; {known})", file=sys.stderr)
