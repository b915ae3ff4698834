"""Speech embeddings under one contract: built in, or yours.

>>> from nslib import embeddings
>>> embeddings.names()[:2]
['logmel', 'mfcc']
>>> mine = embeddings.from_callable(my_function, name="mine")     # doctest: +SKIP
>>> print(embeddings.check(mine))                                  # doctest: +SKIP

`nslib.embeddings.base` has the contract. Nothing heavy is imported and nothing is downloaded
before `get`. ``name@backend`` is the same network computed another way (`nslib.embeddings.backend`), an embedding of
its own; `names` and `describe` do not list those, `backends` measures them.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from nslib import params
from nslib.embeddings.base import Embedding, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.cards import CARDS, Card
from nslib.errors import Unavailable, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from nslib.embeddings.backend_error import backends
    from nslib.embeddings.checker import CheckReport, check
    from nslib.embeddings.custom import from_callable
    from nslib.embeddings.files import from_file, from_onnx, from_saved_model, from_tflite

# without it TensorFlow takes all memory of every GPU at once; it is read when a GPU is first used
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

__all__ = ["CheckReport", "Embedding", "backends", "check", "describe", "fingerprint", "from_callable", "from_file",
           "from_onnx", "from_saved_model", "from_tflite", "get", "names", "needs_extra"]

_PLACED = ("kit", "untrained", "ina", "hub")
"""Modules whose functions TensorFlow computes, on the device that is asked for."""

_LAZY = {"backends": "backend_error", "CheckReport": "checker", "check": "checker", "from_callable": "custom",
         **dict.fromkeys(("from_file", "from_onnx", "from_saved_model", "from_tflite"), "files")}


def names(profile: str | None = None) -> list[str]:
    """List the built-in embeddings.

    Parameters
    ----------
    profile : {"quick", "paper"}, optional
        Only those that belong to it. Default: all.

    Returns
    -------
    list of str

    Raises
    ------
    UnknownName
        For another profile.
    """
    if profile is not None and profile not in params.CHOICES["profile"]:
        raise UnknownName("profile", profile, params.CHOICES["profile"])
    return [name for name, card in CARDS.items() if profile is None or profile in card.profiles]


def get(name: str) -> Embedding:
    """Load a built-in embedding, fetching its weights the first time.

    Parameters
    ----------
    name : str
        One of `names`, or with a backend, such as ``"trill-mini-top@litert-int8"``.

    Returns
    -------
    Embedding
        The same object every time within a process.

    Raises
    ------
    UnknownName
        For another name, or a backend that the embedding does not have.
    Unavailable
        If its weights, its backend or its library cannot be had; the error says what would help.
    """
    return _load(_pinned(_card(name)))


def fingerprint(name: str) -> str:
    """Fingerprint of a built-in embedding, without loading it.

    That of a model of the hub needs the checksum of its files, so it fetches them the first time.

    Parameters
    ----------
    name : str
        As of `get`.

    Returns
    -------
    str
        As `Embedding.fingerprint`.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If the files of a model of the hub cannot be had, or are not those of its first use.
    """

    def never(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        raise AssertionError("a card has no function")

    return _pinned(_card(name)).embedding(never).fingerprint


def needs_extra(name: str) -> bool:
    """Whether a built-in embedding is an extra that must be asked for, because of its licence.

    Parameters
    ----------
    name : str
        As of `get`.

    Returns
    -------
    bool
    """
    return bool(_card(name).needs)


def _card(name: str) -> Card:
    from nslib.embeddings import backend

    return backend.card(name)


def _pinned(card: Card) -> Card:
    """Give a card of the hub the revision of the files that are here."""
    if not card.hub:
        return card
    from nslib.embeddings import hub

    return replace(card, revision=hub.read_revision(card))


@cache
def _load(card: Card) -> Embedding:
    if card.needs and importlib.util.find_spec(card.needs) is None:
        remedy = f"It is an extra, because of its licence ({card.licence}): make setup {card.needs.upper()}=1"
        raise Unavailable(card.name, f"the package {card.needs} is not installed", remedy)
    module = importlib.import_module(f"nslib.embeddings.{card.module}")

    def load() -> EmbedFunction:
        if not hasattr(module, "parts"):
            return module.load_builtin(card) if hasattr(module, "load_builtin") else module.load(card)
        from nslib.embeddings import graphs

        return graphs.embedder(module.parts(card))

    def replica(device: str) -> EmbedFunction:
        from nslib.embeddings import graphs

        with graphs.on(device):
            return load()

    return card.embedding(load(), replica if card.module in _PLACED else None)


def describe() -> pd.DataFrame:
    """Tabulate the static facts of the built-in embeddings; loads and downloads nothing.

    Returns
    -------
    DataFrame
        Indexed by name: kind, profiles, dim, window and hop in seconds, shortest clip in seconds,
        parameters, download in MB, licence, source, trained_on, citation.
    """
    import pandas as pd

    rows = [{
        "name": c.name, "kind": c.kind, "profiles": ", ".join(c.profiles), "dim": c.dim,
        "window": c.window, "hop": c.hop, "shortest": c.min_samples / 16_000, "parameters": c.parameters,
        "download_mb": c.megabytes, "licence": c.licence,
        "source": c.source, "trained_on": c.trained_on, "citation": c.citation,
    } for c in CARDS.values()]
    return pd.DataFrame(rows).set_index("name")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"nslib.embeddings.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'nslib.embeddings' has no attribute {name!r}")
