"""Reaching a scheduler, or starting worker processes on this machine.

Conventions
-----------
Worker processes of ``local:N`` are started by command, not by multiprocessing, so that a script needs no
``if __name__ == "__main__"`` and none of its code runs twice. They and their scheduler listen on the loopback
interface only: everybody who can reach a dask scheduler can make it run any code.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib.embeddings import threads
from nslib.errors import BadParameter, NslibError, Unavailable

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
WORKERS_SECONDS = 60
LOOPBACK = "127.0.0.1"

# A unit that ended this many workers and one more is looked at clip by clip (nslib.cluster.alone). On a
# scheduler of the user's it is what dask's distributed.scheduler.allowed-failures says there.
ALLOWED_FAILURES = 1

_HOW = "Give the address of a dask scheduler, such as tcp://10.0.0.5:8786, or local:2 for two workers here."


@contextmanager
def client(cluster: Any) -> Iterator[Client]:
    """Connect to a cluster that has workers.

    Parameters
    ----------
    cluster : str, distributed.Client or cluster object of dask
        As for `nslib.cluster.connect`.

    Yields
    ------
    distributed.Client

    Raises
    ------
    BadParameter
        For an address that is none.
    Unavailable
        If no scheduler answers, or it has no workers.
    """
    import distributed

    if isinstance(cluster, distributed.Client):
        _await_workers(cluster)
        yield cluster
    elif isinstance(cluster, str) and cluster.startswith("local:"):
        with _local(_count(cluster)) as started, _connected(started) as found:
            yield found
    else:
        with _connected(cluster) as found:
            yield found


@contextmanager
def _connected(to: Any) -> Iterator[Client]:
    import distributed

    shown = to if isinstance(to, str) else getattr(to, "scheduler_address", repr(to))
    try:
        found = distributed.Client(to, timeout=CONNECT_SECONDS, set_as_default=False)
    except (ValueError, TypeError) as error:
        raise BadParameter(f"cluster is {shown!r}: {error}. {_HOW}") from error
    except OSError as error:
        raise Unavailable(f"the scheduler at {shown}", f"it did not answer within {CONNECT_SECONDS} s ({error})",
                          f"Start it with: dask scheduler. {_HOW}") from error
    with found:
        _await_workers(found)
        yield found


def _await_workers(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        address = client.scheduler.address if client.scheduler else "?"
        raise Unavailable(f"the cluster at {address}", f"it had no worker for {WORKERS_SECONDS} s",
                          f"Start workers with: dask worker {address} --nthreads 1. A cluster that scales itself "
                          "needs a minimum of one worker.") from error


def _count(address: str) -> int:
    number = re.fullmatch(r"local:(\d+)", address)
    if not number or int(number[1]) < 1:
        raise BadParameter(f"cluster is {address!r}; give local: and a number of worker processes, as in local:2.")
    return int(number[1])


@contextmanager
def _local(workers: int) -> Iterator[Any]:
    import distributed
    from distributed.deploy.subprocess import SubprocessWorker
    from distributed.worker_memory import parse_memory_limit

    memory = parse_memory_limit("auto", 1, workers, logger=logging.getLogger(__name__))
    kwargs = {"host": LOOPBACK, "nthreads": 1, "memory_limit": memory, "env": _share(workers),
              "preload": [_same_imports()], "dashboard": False, "dashboard_address": f"{LOOPBACK}:0",
              "silence_logs": logging.CRITICAL}
    scheduler = {"cls": distributed.Scheduler, "options": {
        "host": LOOPBACK, "port": 0, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0",
        "allowed_failures": ALLOWED_FAILURES}}
    worker = {"cls": SubprocessWorker, "options": {"worker_kwargs": kwargs}}
    try:
        cluster = distributed.SpecCluster({i: worker for i in range(workers)}, scheduler, worker, name="nslib",
                                          silence_logs=logging.CRITICAL)
    except RuntimeError as error:
        raise NslibError(f"{workers} worker processes could not be started: {error}") from error
    with cluster:
        yield cluster


def _share(workers: int) -> dict[str, str]:
    return {"NSLIB_THREADS": str(max(1, threads.count() // workers))}


def _same_imports() -> str:
    """Give the program by which a worker process comes to import what can be imported here."""
    path = [str(Path(part).resolve()) for part in sys.path]
    return f"import sys; sys.path += [part for part in {path!r} if part not in sys.path]"
