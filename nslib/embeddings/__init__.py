"""Speech embeddings under one contract: built in, or yours.

>>> from nslib import embeddings
>>> embeddings.names()[:2]
['logmel', 'mfcc']
>>> mine = embeddings.from_callable(my_function, name="mine")     # doctest: +SKIP
>>> print(embeddings.check(mine))                                  # doctest: +SKIP

`nslib.embeddings.base` has the contract. Nothing heavy is imported and nothing is downloaded
before `get`.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from nslib import params
from nslib.embeddings.base import Embedding, FloatArray, IntArray
from nslib.embeddings.cards import CARDS, Card
from nslib.errors import Unavailable, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from nslib.embeddings.checker import CheckReport, check
    from nslib.embeddings.custom import from_callable
    from nslib.embeddings.files import from_file, from_onnx, from_saved_model, from_tflite

__all__ = ["CheckReport", "Embedding", "check", "describe", "fingerprint", "from_callable", "from_file", "from_onnx",
           "from_saved_model", "from_tflite", "get", "names", "needs_extra"]

_LAZY = {"CheckReport": "checker", "check": "checker", "from_callable": "custom",
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
        One of `names`.

    Returns
    -------
    Embedding
        The same object every time within a process.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If its weights or its library cannot be had; the error says what would help.
    """
    return _load(_pinned(_card(name)))


def fingerprint(name: str) -> str:
    """Fingerprint of a built-in embedding, without loading it.

    That of a model of the hub needs the checksum of its files, so it fetches them the first time.

    Parameters
    ----------
    name : str
        One of `names`.

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
        One of `names`.

    Returns
    -------
    bool
    """
    return bool(_card(name).needs)


def _card(name: str) -> Card:
    if name not in CARDS:
        raise UnknownName("embedding", name, CARDS)
    return CARDS[name]


def _pinned(card: Card) -> Card:
    """Give a card of the hub the revision of the files that are here."""
    if not card.hub:
        return card
    from nslib.embeddings import hub

    return replace(card, revision=hub.revision(card))


@cache
def _load(card: Card) -> Embedding:
    if card.needs and importlib.util.find_spec(card.needs) is None:
        remedy = f"It is an extra, because of its licence ({card.licence}): make setup {card.needs.upper()}=1"
        raise Unavailable(card.name, f"the package {card.needs} is not installed", remedy)
    module = importlib.import_module(f"nslib.embeddings.{card.module}")
    return card.embedding(module.load(card))


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
