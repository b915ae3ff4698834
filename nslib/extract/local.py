"""Work units on this machine: clips are decoded ahead of the model, and a unit is stored as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray
from nslib.errors import BadAudio
from nslib.extract import units as planning
from nslib.extract.step import load, step
from nslib.extract.units import Item
from nslib.ledger import Cost
from nslib.store import Store

DECODE_THREADS = 2
UNITS_AHEAD = 3


def run(units: list[list[Item]], embedding: Embedding, store: Store, cost: Cost, progress: bool) -> dict[str, BadAudio]:
    """Embed and store units, one after the other.

    Parameters
    ----------
    units : list of list of Item
    embedding : Embedding
    store : Store
    cost : Cost
        Is added to.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    dict of str to BadAudio
        Hash of a clip to why it has no vector.
    """
    from tqdm.std import tqdm

    problems: dict[str, BadAudio] = {}
    total = sum(i.samples for unit in units for i in unit) / SAMPLE_RATE
    bar = tqdm(total=total, desc=f"embed {embedding.name}", unit="s", disable=not (progress and units),
               bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]")
    with bar:
        for unit, clips in _decoding(units):
            done = step(unit, lambda item, clips=clips: clips.pop(item.key).result(), embedding)
            if done.items:
                store.write(planning.name(unit), [item.key for item in done.items], np.stack(done.vectors))
            cost.add(done.cost)
            problems |= done.problems
            # the sum of parts can pass the total by a rounding error, which the bar warns of
            bar.update(min(sum(i.samples for i in unit) / SAMPLE_RATE, total - bar.n))
    return problems


def _decoding(units: list[list[Item]]) -> Iterator[tuple[list[Item], dict[str, Future[FloatArray]]]]:
    """Give each unit with its clips, some of them still being decoded; the next units are decoded ahead."""
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        ahead: list[dict[str, Future[FloatArray]]] = []
        for k, unit in enumerate(units):
            while len(ahead) < min(UNITS_AHEAD, len(units) - k):
                ahead.append({item.key: pool.submit(load, item) for item in units[k + len(ahead)]})
            yield unit, ahead.pop(0)
