"""Other ways to compute a built-in embedding: ``name@backend`` is an embedding of its own, with its own vectors.

Backends
--------
===================  =================================================================================
``tensorflow``       a frozen graph; what TensorFlow embeddings are without ``@``
``bf16``             the same with products in bfloat16 (`nslib.embeddings.bfloat16`)
``litert``           LiteRT, float32 (`nslib.embeddings.litert`)
``litert-dynamic``   LiteRT, weights in 8 bits
``litert-int8``      LiteRT, weights and activations in 8 bits
``onnx``             ONNX Runtime; what embeddings are whose weights come as ONNX
``numpy``            NumPy; what hand-made features and Resemblyzer are
``opensmile``        openSMILE's own program
===================  =================================================================================

Conventions
-----------
What an embedding is without ``@`` is its first backend, and that name with ``@`` is the same embedding. Only networks
on patches behind a front end in NumPy have others; the front end stays as it is. A published model is a graph
from the waveform on, and has none. The fingerprint holds the backend and the version of the converter, so
vectors of two backends never mix. How far they are apart is measured by `nslib.embeddings.backends`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import replace

from nslib.embeddings import litert, sounds
from nslib.embeddings.base import EmbedFunction
from nslib.embeddings.cards import CARDS, Card
from nslib.errors import UnknownName

SIGN = "@"
FIRST = {"handmade": "numpy", "resemblyzer": "numpy", "opensmile": "opensmile", "speech_embedding": "onnx"}
"""Modules of `nslib.embeddings` that do not compute in TensorFlow, and what they compute in."""

PATCHED = ("kit", "untrained", "ina")
"""Modules whose ``parts(card)`` gives a network on patches."""

OTHERS = (*litert.FORMS, "bf16")


def offered(name: str) -> list[str]:
    """List the backends of an embedding.

    Parameters
    ----------
    name : str
        One of `nslib.embeddings.names`.

    Returns
    -------
    list of str
        What it is without ``@`` comes first. Whether the others can be had on this machine is another matter.

    Raises
    ------
    UnknownName
        For another name.
    """
    if name not in CARDS:
        raise UnknownName("embedding", name, CARDS)
    module = CARDS[name].module
    return [FIRST.get(module, "tensorflow"), *(OTHERS if module in PATCHED else ())]


def card(name: str) -> Card:
    """Give the card of an embedding, or of one of its backends.

    Parameters
    ----------
    name : str
        ``name`` or ``name@backend``.

    Returns
    -------
    Card

    Raises
    ------
    UnknownName
        If there is no such embedding, or it has no such backend.
    """
    base, sign, backend = name.partition(SIGN)
    known = offered(base)
    if not sign or backend == known[0]:
        return CARDS[base]
    if backend not in known:
        raise UnknownName(f"backend of {base}", backend, known)
    # the ranges of the sounds are part of a network in 8 bits
    made_by = f"tensorflow {importlib.metadata.version('tensorflow')}"
    heard = f" sounds {sounds.VERSION} {litert.CALIBRATION}" if backend == "litert-int8" else ""
    revision = f"{CARDS[base].revision} {backend} {made_by}{heard}"
    return replace(CARDS[base], name=name, module="backend", revision=revision)


def load(card: Card) -> EmbedFunction:
    """Give the embed function of another backend than the first.

    Parameters
    ----------
    card : Card
        As of `card`.

    Returns
    -------
    callable

    Raises
    ------
    Unavailable
        If the weights or the backend cannot be had on this machine.
    """
    from nslib.embeddings import bfloat16, patches

    base, _, backend = card.name.partition(SIGN)
    parts = importlib.import_module(f"nslib.embeddings.{CARDS[base].module}").parts(CARDS[base])
    if backend == "bf16":
        return patches.embedder(parts.cut, bfloat16.network(parts), steady=True)
    return patches.embedder(parts.cut, litert.network(parts, litert.FORMS[backend], card.revision))
