"""What a worker does: load the embedding once, compute a unit, write its shard.

Conventions
-----------
A worker process computes one unit at a time, however many threads dask gives it: an embedding uses the
cores by itself (``NSLIB_THREADS``). It keeps one embedding loaded, the last.

A unit with problems is tried a second time before anything is written. What fails twice is a problem of the
clip; if the second try goes better, the whole unit is computed anew, so that a disturbance leaves no trace in
the bytes of the shard.
"""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from nslib.cluster import alone
from nslib.cluster.messages import Order, Outcome, unpacked
from nslib.cluster.recipes import Recipe
from nslib.embeddings.base import Embedding, FloatArray
from nslib.errors import NslibError
from nslib.extract import devices
from nslib.extract import units as planning
from nslib.extract.step import Done, load, step
from nslib.extract.units import Item
from nslib.store import Store

CLIPS_AHEAD = 16
DECODE_THREADS = 2


ORDERS: dict[str, Order] = {}
_BUSY = threading.Lock()
_LOADED: dict[Recipe, Embedding] = {}
_STORES: dict[str, Store | None] = {}


def embedded(order_id: str, unit: bytes) -> Outcome:
    """Compute a unit and write its shard, or send its vectors.

    Parameters
    ----------
    order_id : str
    unit : bytes
        From `nslib.cluster.messages.packed`.

    Returns
    -------
    Outcome

    Raises
    ------
    NslibError
        If this worker does not see the folders, or has another embedding.
    """
    with _BUSY:
        order, embedding = _prepared(order_id)
        items = unpacked(unit)
        return _outcome(order, items, _tried_twice(items, embedding))


def cautious(order_id: str, unit: bytes) -> Outcome:
    """Do as `embedded` for a unit that ended workers: clip by clip, in a process that may die.

    Parameters
    ----------
    order_id : str
    unit : bytes
        From `nslib.cluster.messages.packed`.

    Returns
    -------
    Outcome
        A clip that ended its process is a problem that says how.
    """
    with _BUSY:
        order, _ = _prepared(order_id)
        items = unpacked(unit)
        return _outcome(order, items, alone.each(order.recipe, items))


def sees(store: str, token: str, witness: str) -> tuple[bool, bool]:
    """Look for two files.

    Parameters
    ----------
    store, token, witness : str
        As in `Order`.

    Returns
    -------
    store, audio : bool
        Whether this worker sees them.
    """
    return Path(store, token).is_file(), not witness or Path(witness).is_file()


def take(order: Order) -> None:
    """Learn what a run is about, before its first unit.

    Parameters
    ----------
    order : Order
    """
    ORDERS[order.id] = order


def forget(order_id: str) -> None:
    """Drop an order that is done; the embedding stays loaded.

    Parameters
    ----------
    order_id : str
    """
    ORDERS.pop(order_id, None)
    _STORES.pop(order_id, None)


def blind(worker: str, store: str | None, audio: str | None) -> NslibError:
    """Say what a worker does not see, and what to do.

    Parameters
    ----------
    worker : str
        Its address.
    store, audio : str or None
        What is missing.

    Returns
    -------
    NslibError
    """
    lines = [f"worker {worker} does not see the store's folder {store}. Put the cache (NSLIB_CACHE) on a disk that "
             "every worker has at the same path, or let the vectors be sent back: shared=False."] if store else []
    if audio:
        lines.append(f"worker {worker} does not see the recording {audio}. Put the recordings on a disk that every "
                     "worker has at the same path.")
    return NslibError(" ".join(lines))


def _prepared(order_id: str) -> tuple[Order, Embedding]:
    order = ORDERS[order_id]
    if order.id not in _STORES:
        store, audio = sees(order.store, order.token, order.witness)
        if (order.writes and not store) or not audio:
            raise blind(_here(), order.store if order.writes and not store else None, None if audio else order.witness)
    embedding = _loaded(order)
    if order.id not in _STORES:
        _STORES[order.id] = Store(embedding, Path(order.store).parent) if order.writes else None
    return order, embedding


def _loaded(order: Order) -> Embedding:
    if order.recipe not in _LOADED:
        _LOADED.clear()
        try:
            loaded = order.recipe.load()
            _LOADED[order.recipe] = replace(loaded, embed=devices.within_memory(loaded.embed))
        except NslibError as error:
            raise NslibError(f"worker {_here()}: {error}") from error
    embedding = _LOADED[order.recipe]
    if embedding.fingerprint != order.fingerprint:
        raise NslibError(f"worker {_here()} has another {embedding.name} (fingerprint {embedding.fingerprint}, "
                         f"expected {order.fingerprint}). Install the same nslib and the same weights there.")
    return embedding


def _tried_twice(unit: list[Item], embedding: Embedding) -> Done:
    done = _decoded_and_embedded(unit, embedding)
    failed = [item for item in unit if item.key in done.problems]
    if not failed or len(step(failed, load, embedding).problems) == len(failed):
        return done
    return _decoded_and_embedded(unit, embedding)


def _decoded_and_embedded(unit: list[Item], embedding: Embedding) -> Done:
    ahead: dict[str, Future[FloatArray]] = {}
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        coming = iter(unit)

        def wave(item: Item) -> FloatArray:
            while len(ahead) < CLIPS_AHEAD and (new := next(coming, None)) is not None:
                ahead[new.key] = pool.submit(load, new)
            return ahead.pop(item.key).result() if item.key in ahead else load(item)

        return step(unit, wave, embedding)


def _outcome(order: Order, unit: list[Item], done: Done) -> Outcome:
    keys, shard, vectors = tuple(item.key for item in done.items), planning.name(unit), None
    store = _STORES[order.id]
    if keys:
        vectors = np.stack(done.vectors)
        if store is not None:
            store.write(shard, keys, vectors)
            vectors = None
    done.cost.devices = [_here(stable=True)]
    return Outcome(shard, keys, vectors, done.problems, done.cost)


def _here(stable: bool = False) -> str:
    """Say which worker this is; `stable` gives what stays when its process is started again."""
    import distributed

    try:
        worker = distributed.get_worker()
    except ValueError:  # not a worker of dask, but of a Beam runner
        return f"{socket.gethostname()}, process {os.getpid()}"
    return str((worker.nanny if stable else None) or worker.address)
