"""What every benchmark shares: a figure with its target, and how figures are said and kept.

A benchmark is a script of one command. It prints what it finds for a reader; those of its figures that have a target,
or that the table of ``make bench`` should show, it also gives to `report`, which ``benchmarks/run.py`` reads.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

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


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a process took, with all that it started."""

    wall: float  # seconds
    processor: float  # seconds
    memory: float  # MB at the highest, of all of them at one time


def run_process(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], log: Path) -> Cost:
    """Run a command in a folder and measure it; what it prints goes to `log`, whose end is shown if it fails."""
    with log.open("w") as said:
        began = time.perf_counter()
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=said, stderr=said)
        peaks, ended = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch_memory, args=(process.pid, peaks, ended))
        watcher.start()
        # of all children that were waited for too, as kernels and pools are
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:300]}\nended with {process.returncode}:\n"
                         f"{log.read_text(errors='replace')[-3000:]}")
    # its own ru_maxrss is no help: on Linux it is never below that of the process that started it
    return Cost(wall, used.ru_utime + used.ru_stime, peaks[0])


def _watch_memory(pid: int, peaks: list[float], ended: threading.Event) -> None:
    """Note the memory of a process and its descendants ten times a second or less, shared pages counted once."""
    took = 0.0  # at most a twentieth of a processor goes to looking: with gigabytes a look takes a tenth of a second
    while not ended.wait(max(0.1, 20 * took)):
        total, began = 0.0, time.perf_counter()
        try:
            parent = psutil.Process(pid)
            for process in (parent, *parent.children(recursive=True)):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss) / 1e6
        except psutil.Error:  # one of them has just ended: the next look counts
            continue
        peaks[0], took = max(peaks[0], total), time.perf_counter() - began


def write_clips(folder: Path, clips: int, classes: int, speakers: int) -> list[tuple[Path, str, str]]:
    """Write clips of a second as ``label/speaker/clip.wav``, noise coloured by both, and return path and names."""
    made, length, rng = [], 16_000, np.random.default_rng(0)
    bands = np.linspace(0, 39.999, length // 2 + 1).astype(int)
    of_label, of_speaker = rng.normal(0, 1, (classes, 40)), rng.normal(0, 1, (speakers, 40))
    for k in range(clips):
        label, speaker = k % classes, k // classes % speakers
        loudness = 2.0 * rng.normal(0, 1, 40) + of_label[label] + of_speaker[speaker]
        sound = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, length)) * np.exp(0.5 * loudness)[bands], length)
        path = folder / f"class{label:02d}" / f"speaker{speaker:02d}" / f"{k:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, length, length, "NONE", ""))
            file.writeframesraw((8_000 * sound / np.abs(sound).max()).astype("<i2").tobytes())
        made.append((path, f"class{label:02d}", f"speaker{speaker:02d}"))
    return made
