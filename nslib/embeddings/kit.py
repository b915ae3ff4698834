"""Taps of the networks that the kit has trained itself, their untrained twin among them.

See `nslib.train.models` for the networks and `nslib.train.embedding` for how clips become patches.
"""

from __future__ import annotations

from nslib.embeddings import graphs
from nslib.embeddings.cards import KIT, Card
from nslib.train import embedding, models


def parts(card: Card) -> graphs.Patched:
    """Give the network behind its front end.

    Parameters
    ----------
    card : Card

    Returns
    -------
    Patched

    Raises
    ------
    Unavailable
        If the weights are missing or not those of the card.
    """
    network, tap = KIT[card.name]
    return embedding.parts(models.load(network), tap)
