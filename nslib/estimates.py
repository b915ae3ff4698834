"""What a run will take, said before it starts: hours, disk and memory.

Conventions
-----------
Extraction is estimated from what an embedding took on this machine before, or from a trial on noise.
Probes are estimated from counts of arithmetic and the speed of a matrix product here; expect such a
figure to be right within a factor of three, which is enough to tell minutes from days.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from nslib import params
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.errors import Unavailable
from nslib.large import needs

LONG_SECONDS = 600.0
"""A run that will take longer says so before it starts."""

_TRIAL_SECONDS, _TRIAL_CLIPS = 5, 4
_ITERATIONS, _TREES = 100, 100
# of a tree, by clip, level and candidate dimension, on one core: 5.2 to 5.7e-8 at three sizes (benchmarks/estimates.py)
_SECONDS_PER_SPLIT = 5.4e-8


@dataclass(frozen=True)
class Work:
    """One embedding on one task, as far as it is still to be done.

    Attributes
    ----------
    task, embedding : str
    clips, train_clips : int
        All of the task, and those that a probe is trained on.
    new_clips : int
        Clips without a vector.
    new_audio_seconds : float
        Of those.
    dim, classes : int
    combinations : int
        Of normalisations.
    probes_seconds, vectors_seconds : float
        Estimates; 0 for what is there already.
    """

    task: str
    embedding: str
    clips: int
    train_clips: int
    new_clips: int
    new_audio_seconds: float
    dim: int
    classes: int
    combinations: int
    vectors_seconds: float = 0.0
    probes_seconds: float = 0.0


@dataclass
class Estimate:
    """What is to be done, and what it will take.

    Attributes
    ----------
    work : list of Work
    """

    work: list[Work] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """float: of everything, one after the other."""
        return sum(w.vectors_seconds + w.probes_seconds for w in self.work)

    @property
    def disk_gb(self) -> float:
        """float: of new vectors."""
        return sum(w.new_clips * w.dim * 4 for w in self.work) / 1e9

    @property
    def memory_gb(self) -> float:
        """float: of the largest grid of probes."""
        return max((needs.grid_gb(w.clips, w.train_clips, w.dim, w.classes) for w in self.work), default=0.0)

    def text(self) -> str:
        """Say it.

        Returns
        -------
        str
            A line of totals, and a line for each embedding that takes a tenth of the time or more.
        """
        audio = sum(w.new_audio_seconds for w in self.work) / 3600
        lines = [f"estimate: {duration(self.seconds)} on this machine (within a factor of three); "
                 f"{audio:.1f} h of audio to embed, {self.disk_gb:.2f} GB of vectors to store, "
                 f"up to {self.memory_gb:.1f} GB of memory. A run that is stopped goes on where it was."]
        for name in dict.fromkeys(w.embedding for w in self.work):
            mine = Estimate([w for w in self.work if w.embedding == name])
            if mine.seconds >= 0.1 * self.seconds:
                embed = sum(w.vectors_seconds for w in mine.work)
                lines.append(f"  {name}: {duration(embed)} of embedding, {duration(mine.seconds - embed)} of probes")
        return "\n".join(lines)


def refuse_what_does_not_fit(task: str, clips: int, train_clips: int, dim: int, classes: int = 2) -> None:
    """Say that probes need more memory or disk than there is, before they start.

    Parameters
    ----------
    task : str
    clips, train_clips, dim : int
        As for `nslib.large.needs.memory_gb`.
    classes : int
        Of train.

    Raises
    ------
    Unavailable
        If vectors fit neither into memory nor, to be streamed, onto the disk, with the numbers.
    """
    if needs.fits_in_memory(clips, train_clips, dim, classes):
        return
    here = shutil.disk_usage(params.cache_dir()).free / 1e9
    for name, needed, free in (("memory", needs.streamed_gb(clips, train_clips, dim, classes), needs.free_gb()),
                               ("disk", needs.streamed_disk_gb(clips, train_clips, dim), here)):
        if needed > free:
            raise Unavailable(
                f"{name} for the probes of {task}",
                f"{clips} vectors of {dim} numbers need "
                f"about {needs.memory_gb(clips, train_clips, dim, classes):.0f} GB "
                f"of memory, or {needed:.0f} GB of {name} if they are streamed, and {free:.0f} GB are free",
                "Run on a larger machine, point NSLIB_CACHE to a larger disk, or choose an embedding with shorter "
                "vectors; the vectors computed so far are kept.")


def streaming(task: str, clips: int, train_clips: int, dim: int, classes: int, seconds: float) -> str:
    """Say what a grid will take whose vectors are streamed.

    Parameters
    ----------
    task : str
    clips, train_clips, dim, classes : int
        As for `nslib.large.needs.streamed_gb`.
    seconds : float
        From `probes_seconds`.

    Returns
    -------
    str
    """
    return (f"probes of {task}: {clips} vectors of {dim} numbers do not fit into memory and are streamed from disk: "
            f"about {duration(seconds)}, {needs.streamed_gb(clips, train_clips, dim, classes):.1f} GB of memory "
            f"and {needs.streamed_disk_gb(clips, train_clips, dim):.1f} GB of disk while it runs.")


def probes_seconds(train_clips: int, dim: int, classes: int, combinations: int, jobs: int = 2) -> float:
    """Time that a grid of the five probes takes on this machine.

    Parameters
    ----------
    train_clips, dim, classes : int
    combinations : int
        Of normalisations.
    jobs : int
        Fits at a time.

    Returns
    -------
    float
        Seconds.
    """
    logistic = 2 * _ITERATIONS * 4.0 * train_clips * dim * classes
    discriminant = 4.0 * train_clips * dim * min(train_clips, dim)
    forests = 2 * _TREES * train_clips * math.log2(max(train_clips, 2)) * math.sqrt(dim) * _split_seconds(classes)
    return combinations * ((logistic + discriminant) / _flops() + forests) / jobs


def _split_seconds(classes: int) -> float:
    # Every candidate split is weighed class by class, and trees of many classes are deep: 2.6 times as long with 50
    # classes as with 6, 23 times with 200 (4000 x 1024 vectors with much noise).
    return _SECONDS_PER_SPLIT * ((40 + classes) / 46) ** 1.5


@cache
def _flops() -> float:
    """Multiplications and additions a second of one core, float64."""
    from threadpoolctl import threadpool_limits

    x = np.ones((700, 700))
    with threadpool_limits(1):
        x @ x
        began = time.perf_counter()
        for _ in range(5):
            x @ x
    return 5 * 2 * 700.0**3 / (time.perf_counter() - began)


def times_real_time(fingerprint: str, load: Callable[[], Embedding]) -> float:
    """Seconds of audio that an embedding takes in a second.

    Parameters
    ----------
    fingerprint : str
        Under which the costs of earlier runs are known.
    load : callable
        Gives the embedding, if a trial is needed.

    Returns
    -------
    float
    """
    from nslib import ledger

    known = ledger.total(fingerprint)
    if known.audio_seconds > _TRIAL_SECONDS * _TRIAL_CLIPS:
        return known.audio_seconds / known.wall_seconds
    return _trial(load())


def _trial(embedding: Embedding) -> float:
    samples = max(_TRIAL_SECONDS * SAMPLE_RATE, embedding.min_samples)
    noise = np.random.default_rng(0).normal(0, 0.1, (_TRIAL_CLIPS, samples)).astype(np.float32)
    lengths = np.full(_TRIAL_CLIPS, samples, np.int64)
    embedding.embed(noise[:1], lengths[:1])  # the first call also builds the graph
    began = time.perf_counter()
    embedding.embed(noise, lengths)
    return noise.size / SAMPLE_RATE / (time.perf_counter() - began)


def duration(seconds: float) -> str:
    """Say a time in words.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    str
        Rounded: nobody plans by the second of an estimate.

    Examples
    --------
    >>> duration(90), duration(7200), duration(400_000)
    ('2 min', '2.0 h', '4.6 days')
    """
    for unit, size in (("days", 86_400), ("h", 3_600)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{math.ceil(seconds / 60)} min"
