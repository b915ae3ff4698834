"""Many tasks through a scheduler, few of them at a time: neither it nor this process holds them all.

Conventions
-----------
An exception is tried again by dask (`RETRIES`). Tasks of a run have one name and a number or content behind it,
so that dask keeps those that no worker is free for at the scheduler: a worker that dies takes few with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from nslib.errors import NslibError

if TYPE_CHECKING:
    from distributed import Client, Future

RETRIES = 2
AHEAD_PER_WORKER = 8
AHEAD_AT_LEAST = 64


class Lost(NslibError):
    """What a task is left with whose data died with a worker: it can be done again with data sent anew."""


@dataclass(frozen=True)
class Task:
    """A call on a worker.

    Attributes
    ----------
    key : str
        Unlike that of any other task of the run.
    arguments : tuple
        Of the function.
    """

    key: str
    arguments: tuple[Any, ...]


def through(client: Client, name: str, function: Callable[..., Any], tasks: Iterable[Task]
            ) -> Iterator[tuple[Task, Any]]:
    """Have a function called for each task, in any order.

    Parameters
    ----------
    client : distributed.Client
    name : str
        Of the run, unlike that of any other run.
    function : callable
        Of a module that workers can import.
    tasks : iterable of Task
        Taken one by one as there is room for them.

    Yields
    ------
    task : Task
    outcome : object
        What the function returned; or the exception, if it raised more often than it is tried, or if its
        worker died more often than the scheduler allows (`distributed.scheduler.KilledWorker`); or `Lost`.

    Raises
    ------
    NslibError
        If the scheduler has gone.
    """
    flight = _Flight(client, name, function, iter(tasks))
    try:
        flight.fill()
        while flight.flying:
            batch = flight.done.next_batch(block=True)
            for future, outcome in zip(batch, _outcomes(client, batch), strict=True):
                yield flight.flying.pop(future.key)[0], outcome
            flight.fill()
    finally:
        client.cancel([future for _, future in flight.flying.values()])


class _Flight:
    """Tasks on their way."""

    def __init__(self, client: Client, name: str, function: Callable[..., Any], coming: Iterator[Task]):
        from distributed import as_completed

        self.client, self.name, self.function, self.coming = client, name, function, coming
        self.flying: dict[Any, tuple[Task, Future]] = {}
        self.done = as_completed(loop=client.loop, raise_errors=False)
        self.most = 1

    def fill(self) -> None:
        """Submit more when half of them are done: one by one would cost the scheduler more than the tasks."""
        if len(self.flying) > self.most // 2:
            return
        self.most = max(AHEAD_AT_LEAST, AHEAD_PER_WORKER * len(self.client.nthreads()))
        new = list(islice(self.coming, self.most - len(self.flying)))
        if new:
            keys = [(self.name, task.key) for task in new]
            futures = self.client.map(self.function, *zip(*(task.arguments for task in new), strict=True), key=keys,
                                      pure=False, retries=RETRIES)
            self.flying |= {future.key: (task, future) for task, future in zip(new, futures, strict=True)}
            self.done.update(futures)


def _outcomes(client: Client, batch: list[Future]) -> list[Any]:
    well = [future for future in batch if future.status == "finished"]
    try:
        results = dict(zip((f.key for f in well), client.gather(well), strict=True))
    except CancelledError:  # one of them has died with its worker since
        results = {f.key: _result(client, f) for f in well}
    return [results[f.key] if f.key in results else _why_not(client, f) for f in batch]


def _result(client: Client, future: Future) -> Any:
    try:
        return future.result()
    except CancelledError:
        return _why_not(client, future)


def _why_not(client: Client, future: Future) -> BaseException:
    if future.status == "error":
        error = future.exception()
        assert error is not None
        return error
    if client.status != "running":
        raise gone()
    return Lost(f"{future.key} was lost with the worker that held its data.")


def gone() -> NslibError:
    """Say that the scheduler has gone.

    Returns
    -------
    NslibError
    """
    return NslibError("the connection to the scheduler broke off. What was stored is kept: start the scheduler and its "
                      "workers again, and run the same command.")
