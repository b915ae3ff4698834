"""Clips are read, resampled and checked ahead of the model: by threads, or by processes where they pay.

Conventions
-----------
Decoders, the resampler and the hash let other threads run, so threads, which start at once and copy nothing,
are faster on two processors (benchmarks/extract.py). Processes take over after the first clips if there are
more than two and what is left to decode, at the cost measured on those clips, is worth starting them.
``NSLIB_DECODE=threads`` or ``processes`` decides it beforehand. If a process dies, the clips that it had are
read again, by new processes and at last by threads.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple

from nslib.embeddings import threads
from nslib.embeddings.base import SAMPLE_RATE, FloatArray
from nslib.errors import BadAudio, UnknownName
from nslib.extract.step import Wave, load
from nslib.extract.units import Item

VARIABLE = "NSLIB_DECODE"
AHEAD_SECONDS = 480.0
MOST_PROCESSES = 8
RESTARTS = 2
# a process starts in about two seconds of processor time, so less than this is not worth several
_PAYS_SECONDS = 20.0
_SAMPLE_SECONDS = 60.0


def ahead(units: Sequence[list[Item]], lanes: int = 1) -> Generator[tuple[list[Item], Wave]]:
    """Give each unit, the last one first, with a function for its clips; the next are decoded meanwhile.

    Parameters
    ----------
    units : sequence of list of Item
    lanes : int
        How many units are worked on at a time.

    Yields
    ------
    (list of Item, callable)
        The function gives a clip's waveform, once, and raises `BadAudio` as `nslib.extract.step.load`.

    Raises
    ------
    UnknownName
        If ``NSLIB_DECODE`` is neither threads nor processes.
    """
    decoders = _Decoders(seconds(units))
    queue: deque[list[Item]] = deque()
    # the longest clips first: what is too large for the memory shows at once, the model has not to wait for a
    # hundred short clips at the start, and several devices end together
    coming, waiting = reversed(units), 0.0
    try:
        following = next(coming, None)
        while following is not None or queue:
            while following is not None and (not queue or waiting + _seconds(following) <= AHEAD_SECONDS * lanes):
                decoders.start(following)
                queue.append(following)
                waiting += _seconds(following)
                following = next(coming, None)
            unit = queue.popleft()
            waiting -= _seconds(unit)
            yield unit, decoders.wave
    finally:
        decoders.close()


def _seconds(unit: Sequence[Item]) -> float:
    return sum(item.samples for item in unit) / SAMPLE_RATE


def seconds(units: Sequence[list[Item]]) -> float:
    """Audio of units.

    Parameters
    ----------
    units : sequence of list of Item

    Returns
    -------
    float
        Seconds.
    """
    known = getattr(units, "seconds", None)
    return float(known) if known is not None else sum(map(_seconds, units))


class _Read(NamedTuple):
    wave: FloatArray | BadAudio
    seconds: float


def _read(item: Item) -> _Read:
    began = time.thread_time()
    try:
        return _Read(load(item), time.thread_time() - began)
    except BadAudio as error:
        return _Read(error, time.thread_time() - began)


class _Decoders:
    """Threads or processes that decode, and the clips that they have in hand."""

    def __init__(self, audio_seconds: float):
        self._left = audio_seconds
        self._cost, self._sampled, self._deaths = 0.0, 0.0, 0
        self._lock = threading.Lock()
        self._work: dict[str, tuple[Executor, Future[_Read]]] = {}
        self._old: list[Executor] = []
        self._asked = os.environ.get(VARIABLE, "").strip()
        if self._asked not in ("", "threads", "processes"):
            raise UnknownName(VARIABLE, self._asked, ("threads", "processes"))
        self._processes = self._asked == "processes"
        self._pool = _processes() if self._processes else _threads()

    def start(self, unit: list[Item]) -> None:
        with self._lock:
            if not self._processes and not self._asked and self._pays():
                self._change(_processes())
            for item in unit:
                self._submit(item)

    def wave(self, item: Item) -> FloatArray:
        while True:
            with self._lock:
                pool, future = self._work.pop(item.key)
            try:
                read = future.result()
            except BrokenProcessPool:
                with self._lock:
                    self._replace(pool)
                    self._submit(item)
                continue
            length = item.samples / SAMPLE_RATE
            with self._lock:
                self._cost, self._sampled = self._cost + read.seconds, self._sampled + length
                self._left -= length
            if isinstance(read.wave, BadAudio):
                raise read.wave
            return read.wave

    def close(self) -> None:
        for _, future in self._work.values():
            future.cancel()
        for pool in (*self._old, self._pool):
            pool.shutdown()

    def _submit(self, item: Item) -> None:
        while True:
            pool = self._pool
            try:
                self._work[item.key] = pool, pool.submit(_read, item)
                return
            except BrokenProcessPool:
                self._replace(pool)

    def _pays(self) -> bool:
        if threads.count() <= 2 or self._deaths or self._sampled < _SAMPLE_SECONDS:
            return False
        return self._left * self._cost / self._sampled > _PAYS_SECONDS

    def _change(self, pool: Executor) -> None:
        self._old.append(self._pool)
        self._pool = pool
        self._processes = not isinstance(pool, ThreadPoolExecutor)

    def _replace(self, broken: Executor) -> None:
        """Put new decoders in the place of broken ones, unless another thread has done so."""
        if broken is not self._pool:
            return
        self._deaths += 1
        again = self._deaths <= RESTARTS
        self._change(_processes() if again else _threads())
        warnings.warn("a process that decodes audio was killed; its clips are read again, by "
                      f"{'new processes' if again else 'threads from now on'}.", RuntimeWarning, stacklevel=4)


def _threads() -> Executor:
    # on two processors a second decoder only takes turns with the model: one is ten times as fast as that
    return ThreadPoolExecutor(max(1, min(threads.count() - 1, MOST_PROCESSES)), "decode")


def _processes() -> Any:
    # unlike the standard library's, these need no guard around the user's script
    from joblib.externals.loky import ProcessPoolExecutor

    most = max(1, min(threads.count() - 1, MOST_PROCESSES))
    return ProcessPoolExecutor(most, env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
