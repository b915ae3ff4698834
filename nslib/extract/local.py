"""Work units on this machine: clips are decoded ahead of the model, and stored while it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from functools import update_wrapper

import numpy as np

from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.errors import BadAudio
from nslib.extract import decoding, devices, tuning
from nslib.extract import units as planning
from nslib.extract.step import Done, Wave, step
from nslib.extract.units import Item
from nslib.ledger import Cost
from nslib.store import Store

_UNWRITTEN = 2


def run(units: Sequence[list[Item]], embedding: Embedding, store: Store, cost: Cost,
        progress: bool) -> dict[str, BadAudio]:
    """Embed and store units, on every device at once.

    Parameters
    ----------
    units : sequence of list of Item
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
    if not units:
        return problems
    copies = _copies(embedding, cost)
    total = decoding.seconds(units)
    tuning.tune(copies[0], total / len(copies))
    bar = tqdm(total=total, desc=f"embed {embedding.name}", unit="s", disable=not progress,
               bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]")
    with bar, ThreadPoolExecutor(1, "store") as writer, closing(_done(units, copies)) as results:
        unwritten: deque[Future[None]] = deque()
        for unit, done in results:
            unwritten.append(writer.submit(_write, store, unit, done))
            while len(unwritten) > _UNWRITTEN:
                unwritten.popleft().result()
            cost.add(done.cost)
            problems |= done.problems
            # the sum of parts can pass the total by a rounding error, which the bar warns of
            bar.update(min(sum(i.samples for i in unit) / SAMPLE_RATE, total - bar.n))
        for last in unwritten:
            last.result()
    return problems


def _copies(embedding: Embedding, cost: Cost) -> list[Embedding]:
    found = devices.replicas(embedding)
    cost.devices = [copy.device for copy in found]
    return [replace(embedding, embed=update_wrapper(devices.within_memory(copy.embed), copy.embed)) for copy in found]


def _write(store: Store, unit: list[Item], done: Done) -> None:
    if done.items:
        store.write(planning.name(unit), [item.key for item in done.items], np.stack(done.vectors))


def _done(units: Sequence[list[Item]], copies: list[Embedding]) -> Generator[tuple[list[Item], Done]]:
    """Units with what they came to, as they are done."""
    with closing(decoding.ahead(units, len(copies))) as coming:
        if len(copies) > 1:
            yield from _side_by_side(coming, copies)
            return
        for unit, wave in coming:  # in the caller's thread, where Ctrl-C and a user's own function are at home
            yield unit, step(unit, wave, copies[0])


def _side_by_side(coming: Iterable[tuple[list[Item], Wave]],
                  copies: list[Embedding]) -> Generator[tuple[list[Item], Done]]:
    free, begun = list(copies), {}  # type: list[Embedding], dict[Future[Done], tuple[list[Item], Embedding]]

    def ended() -> Iterator[tuple[list[Item], Done]]:
        for future in wait(begun, return_when=FIRST_COMPLETED).done:
            unit, copy = begun.pop(future)
            free.append(copy)
            yield unit, future.result()

    with ThreadPoolExecutor(len(copies), "device") as pool:
        for unit, wave in coming:
            if not free:
                yield from ended()
            copy = free.pop()
            begun[pool.submit(step, unit, wave, copy)] = unit, copy
        while begun:
            yield from ended()
