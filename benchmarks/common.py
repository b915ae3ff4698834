"""What every benchmark shares: a figure with its target, and how figures are said and kept.

A benchmark is a script of one command. It prints what it finds for a reader; those of its figures that have a target,
or that the table of ``make bench`` should show, it also gives to `report`, which ``benchmarks/run.py`` reads.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KEPT = "NSLIB_BENCHMARK_FIGURES"
"""Environment variable: where `report` writes figures too, as a list of JSON."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One thing that was measured."""

    what: str
    value: float
    unit: str = ""  # empty for a ratio
    at_least: float | None = None  # what is wanted
    at_most: float | None = None
    note: str = ""  # what a reader must know

    @property
    def wanted(self) -> str:
        """str: the target in words; empty if there is none."""
        limits = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if limit is not None)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        if not self.wanted:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most)

    def line(self) -> str:
        """Say it."""
        said = f"  {self.what:<58} {self.value:10.4g} {self.unit}".rstrip()
        if self.wanted:
            said += f"; wanted: {self.wanted}, {'met' if self.met else 'NOT met'}"
        return said + (f" ({self.note})" if self.note else "")


def report(figures: Sequence[Figure]) -> None:
    """Print figures, and add them to those that are kept where `run` wants them."""
    for figure in figures:
        print(figure.line(), flush=True)
    where = os.environ.get(KEPT)
    if where:
        path = Path(where)
        before = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps(before + [dataclasses.asdict(figure) for figure in figures], indent=1))


def seconds_of(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure the seconds of one call; by `time.process_time` where other programs should not count."""
    began = clock()
    work()
    return clock() - began


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int,
            clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Measure the median seconds of several ways to do a thing, in turn, so that drift of the machine hits all."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            times[way].append(seconds_of(work, clock))
    return {way: statistics.median(taken) for way, taken in times.items()}
