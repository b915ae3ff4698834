"""The probes' fits on the workers of a dask scheduler.

Conventions
-----------
The vectors of a grid are sent once, to one worker, from which the others take them; they are no part of a
task, and die with the workers that hold them. Then they are sent again, and the fits that were lost are done
again. A fit uses one BLAS thread wherever it runs, and so gives the same numbers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nslib.cluster import stream
from nslib.errors import NslibError
from nslib.probe_fit import Fit, Mapper, Task

if TYPE_CHECKING:
    from distributed import Client

SENT_AT_MOST = 3


def mapper(client: Client) -> Mapper:
    """Make what `nslib.probe.grid` takes as `mapper`.

    Parameters
    ----------
    client : distributed.Client

    Returns
    -------
    callable
        ``(function, tasks) -> iterator of fits``, in any order. It raises `NslibError` with the words of a worker
        that failed.
    """

    def over(function: Callable[[Task], Fit], tasks: Iterable[Task]) -> Iterator[Fit]:
        left, last = dict(enumerate(tasks)), None
        for _ in range(SENT_AT_MOST):
            for number, outcome in _sent(client, function, left):
                if _died(outcome):
                    last = outcome
                else:
                    yield _fit(outcome, left.pop(number))
            if not left:
                return
        raise NslibError(f"workers died {SENT_AT_MOST} times over {len(left)} fits: {last}. Give them more memory, or "
                         "fit on this machine: leave the cluster out, the vectors are in the store.")

    return over


def fitted(function: Callable[[Task], Fit], task: Task, splits: Any) -> Fit:
    """Put the vectors back into a task and do it; this runs on a worker.

    Parameters
    ----------
    function : callable
    task : Task
        Without its splits.
    splits : dict of Split

    Returns
    -------
    Fit
    """
    return function(task._replace(splits=splits))


def _sent(client: Client, function: Callable[[Task], Fit], tasks: dict[int, Task]) -> Iterator[tuple[int, Any]]:
    # all tasks of a grid have the same vectors, but that is for the caller to know: each object is sent once
    vectors = {id(task.splits): task.splits for task in tasks.values()}
    # in a list: of a dictionary dask would make one datum for each of its names, which two grids share
    there = {key: client.scatter([splits], hash=False)[0] for key, splits in vectors.items()}
    calls = [stream.Task(str(number), (function, task._replace(splits={}), there[id(task.splits)]))
             for number, task in tasks.items()]
    for call, outcome in stream.through(client, f"nslib-fits-{secrets.token_hex(8)}", fitted, calls):
        yield int(call.key), outcome


def _died(outcome: Any) -> bool:
    from distributed.scheduler import KilledWorker

    # whoever waits at a worker that dies is suspected by dask: a fit that did nothing may be told that it kills
    return isinstance(outcome, stream.Lost | KilledWorker)


def _fit(outcome: Any, task: Task) -> Fit:
    if isinstance(outcome, Fit):
        return outcome
    raise NslibError(f"a worker failed at {task.probe}: {type(outcome).__name__}: {outcome}") from outcome
