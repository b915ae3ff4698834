"""Many machines: the step of `nslib.extract`, and the probes' fits, on the workers of a dask scheduler.

>>> import nslib
>>> nslib.embed("my_recordings/", embedding="logmel", cluster="local:2")                # doctest: +SKIP
>>> nslib.benchmark("logmel", cluster="tls://scheduler.example.org:8786")               # doctest: +SKIP

Conventions
-----------
A task is one work unit of `nslib.extract.units`, and its shard in the store has the name of its content.
Whoever computes a unit, and however often, writes the same shard: a killed worker, a retry or a second run
can neither lose nor double anything. ``docs/clusters.md`` says how to set up a cluster, and how to close it
to strangers: a dask scheduler runs whatever code it is sent.

Nothing of dask is imported before `connect` is called with a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib.extract import local

if TYPE_CHECKING:
    from nslib.cluster.recipes import Recipe
    from nslib.extract import Run
    from nslib.probe_fit import Mapper

__all__ = ["Engine", "connect"]


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    Attributes
    ----------
    run : callable
        Takes how an embedding is loaded (a function that gives a `nslib.cluster.recipes.Recipe`; called only if
        it is needed), and gives what `nslib.extract.vectors` takes as `run`.
    mapper : callable or None
        What `nslib.probe.grid` takes as `mapper`; None fits on this machine.
    """

    run: Callable[[Callable[[], Recipe]], Run]
    mapper: Mapper | None


@contextmanager
def connect(cluster: Any = None, *, shared: bool | None = None) -> Iterator[Engine]:
    """Go to where the work is to be done; what was started for it is ended at the end.

    Parameters
    ----------
    cluster : str, distributed.Client or cluster object of dask, optional
        Address of a scheduler (``tcp://host:8786``, ``tls://host:8786``, ``host:8786``), or ``local:N`` for N
        worker processes on this machine, or an object that a Client can connect to. Default: no cluster; the
        work is done in this process.
    shared : bool, optional
        Whether workers write into the store's folder themselves. If not, they send the vectors here, which
        needs no common disk for the store, but this machine's network and disk for everything. Default: a
        small file is written into the folder, and the workers are asked whether they see it.

    Yields
    ------
    Engine

    Raises
    ------
    BadParameter
        For an address that is none.
    Unavailable
        If no scheduler answers, or it has no workers.
    """
    if cluster is None:
        yield Engine(lambda recipe: local.run, None)
        return
    from nslib.cluster import engine, machines, probes

    with machines.client(cluster) as client:
        yield Engine(lambda recipe: engine.on(client, recipe, shared), probes.mapper(client))
