"""Many machines, on one: two workers against one, and what a scheduler takes when there are ten million clips.

scaling     `nslib.extract.vectors` over wav files on ``local:1`` and on ``local:2``, one thread each, in turn
simulation  work units of that many clips go through a scheduler in a process of its own, as the product sends
            them; two workers unpack each and answer, and compute nothing

The cost arithmetic (`nslib.cluster.costs`) is held to the simulation: from the tasks per second of its first
tenth it must foretell how long the whole takes.

Usage: ``python benchmarks/cluster.py [--clips N] [--rounds K]``; ``--clips 1e7`` is the whole simulation.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from common import Figure, report
from extract import make_clips
from nslib.extract.sizes import unit_seconds
from nslib.extract.units import Item

from nslib import embeddings
from nslib.cluster import costs, machines, messages, stream
from nslib.extract import units as planning
from nslib.extraction import cluster, extract
from nslib.extraction.cache import Cost, VectorCache

CLIP_SECONDS = 5.0
EMBEDDING = "logmel"


@dataclass
class Seen:
    """What a simulation came to."""

    seconds: float
    tasks: int
    clips: int
    tenth: float
    scheduler_mb: tuple[float, float]
    client_mb: float


def units(clips: int, each: int) -> Iterator[list[Item]]:
    """Units of made-up clips, one at a time; names and paths as long as real ones."""
    for first in range(0, clips, each):
        numbers = range(first, min(clips, first + each))
        yield [Item(hashlib.sha256(b"%d" % n).hexdigest(), f"/shared/corpus/id{n % 7000:05d}/video/{n:08d}.wav",
                    f"id{n % 7000:05d}/{n:08d}", round(CLIP_SECONDS * 16_000)) for n in numbers]


def fake(order_id: str, unit: bytes) -> messages.Outcome:
    """Answer as `work.embedded` does, without a model."""
    items = messages.unpacked(unit)
    cost = Cost(computed=len(items), audio_seconds=sum(item.samples for item in items) / 16_000)
    return messages.Outcome(planning.name(items), tuple(item.key for item in items), None, {}, cost)


def peak_mb() -> float:
    """Highest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def simulate(clips: int) -> Seen:
    """Send the units of that many clips through a scheduler."""
    from distributed import Client
    from distributed.deploy.subprocess import SubprocessCluster

    each = round(unit_seconds(clips * CLIP_SECONDS) / CLIP_SECONDS)
    tasks = (stream.Task(planning.name(unit), ("simulation", messages.packed(unit))) for unit in units(clips, each))
    started = SubprocessCluster(host=machines.LOOPBACK, n_workers=2, threads_per_worker=1, dashboard_address=None)
    with started, Client(started) as client:
        client.wait_for_workers(2)
        client.run(fake, "warm", messages.packed(next(units(1, 1))))  # imports
        began, done, count, tenth, early = time.perf_counter(), 0, 0, 0.0, 0.0
        for _, outcome in stream.through(client, "simulation", fake, tasks):
            if isinstance(outcome, BaseException):
                raise outcome
            done, count = done + outcome.cost.computed, count + 1
            if not tenth and done >= clips / 10:
                tenth = time.perf_counter() - began
                early = client.run_on_scheduler(peak_mb)
        seconds = time.perf_counter() - began
        return Seen(seconds, count, done, tenth, (early, client.run_on_scheduler(peak_mb)), peak_mb())


def foretold(clips: int, tasks_per_second: float) -> float:
    """Seconds that the cost arithmetic expects where nothing but the scheduler takes time."""
    job = cluster.ClusterJob(clips, CLIP_SECONDS, clips_per_second=1e9, workers=1e9, start_seconds=0, redone=0,
                    tasks_per_second=tasks_per_second, sent_per_second=1e12)
    return costs.of(job).hours * 3600


def one_run(engine: Any, clips: pd.DataFrame, folder: Path) -> float:
    """Wall seconds of an extraction into an empty store."""
    embedding = embeddings.get(EMBEDDING)
    with tempfile.TemporaryDirectory(dir=folder) as root:
        began = time.perf_counter()
        out = extract.extract_vectors(clips, embedding, store=VectorCache(embedding, Path(root)), progress=False,
                              run=engine.run(lambda: cluster.BuiltInModel(EMBEDDING)))
        assert out.ledger["computed"] == len(clips)
        return time.perf_counter() - began


def scaling(clips: int, rounds: int) -> dict[int, float]:
    """Median seconds of one worker and of two, taken in turn."""
    os.environ["NSLIB_THREADS"] = "1"
    taken: dict[int, list[float]] = {1: [], 2: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        table = make_clips(folder, clips)
        engines = {n: stack.enter_context(cluster.connect(f"local:{n}")) for n in taken}
        for engine in engines.values():  # the first units load the embedding
            one_run(engine, table.sample(50, random_state=0), folder)
        for _ in range(rounds):
            for n, engine in engines.items():
                taken[n].append(one_run(engine, table, folder))
    return {n: statistics.median(seconds) for n, seconds in taken.items()}


def show_scaling(files: int, rounds: int) -> None:
    """Print the first part."""
    taken = scaling(files, rounds)
    print(f"scaling: {files} wav files, {EMBEDDING}, one thread a worker, median of {rounds} rounds")
    report([Figure("one worker", files / taken[1], "clips/s"), Figure("two workers", files / taken[2], "clips/s"),
            Figure("two workers against one", taken[1] / taken[2], "times", at_least=1.6, note="on two idle cores")])


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=float, default=2e5, help="of the simulation")
    parser.add_argument("--files", type=int, default=800, help="wav files of the scaling; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.files:
        show_scaling(given.files, given.rounds)
    clips = round(given.clips)
    seen = simulate(clips)
    assert seen.clips == clips
    print(f"simulation: {clips:,} clips of {CLIP_SECONDS:g} s in {seen.tasks:,} tasks, {seen.seconds:.0f} s")
    ratio = seen.seconds / foretold(clips, seen.tasks / 10 / seen.tenth)
    early, late = seen.scheduler_mb
    report([Figure("tasks through the scheduler", seen.tasks / seen.seconds, "tasks/s"),
            Figure("clips through the scheduler", seen.clips / seen.seconds, "clips/s", at_least=5000,
                   note="of 250 workers at 20 clips/s"),
            Figure("scheduler, peak memory", late, "MB", at_most=500),
            Figure("scheduler, peak at the end against that at a tenth", late / early, "times", at_most=1.5),
            Figure("client, peak memory", seen.client_mb, "MB", at_most=1000),
            Figure("time against what the cost arithmetic foretold", ratio, "times", at_least=0.5, at_most=2)])


if __name__ == "__main__":
    main()
