"""Vectors of a clip table: what is cached is read, what is missing is computed here, unit by unit, and cached.

Clips are sorted by length and cut into work units by the clips alone, so that every run, on any machine, decides the
same, and a killed run that is started again ends in the very same bytes. A unit is what a killed run can lose, a file
of the vector cache and a task of a scheduler; it is stored as soon as it is done. It is counted in seconds of audio,
padding included, because that is what memory and time grow with. A process can map about 65,000 files at a time
(Linux), and a scheduler takes some hundred tasks a second; so beyond `MOST_UNITS` units the size doubles until they
fit. A corpus that grows past a doubling gets other units for its new clips only, since vectors are found by clip:
nothing is computed twice.

Decode threads run ahead of the model. A clip's vector is the mean over its valid frames, accumulated in float64 and
kept in float32 (the authors average over time too; see ``np.mean(axis=0)`` in their notebook). Nothing is padded
silently: clips shorter than the embedding's minimum are padded with zeros and counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib import audio
from nslib.datasets.clip_cache import forget_sound
from nslib.datasets.table import PROBLEM_COLUMNS
from nslib.embeddings import runtime
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray, refuse_unsteady, stack_clips
from nslib.errors import BadAudio, NslibError
from nslib.extraction.cache import Cost, DamagedVectors, VectorCache
from nslib.extraction.devices import SmallerBatches, get_batch_seconds, load_replicas, tune_batch_seconds

__all__ = ["Extraction", "extract_frames", "extract_vectors", "fill_cache", "pad_clip"]

UNIT_SECONDS = 240.0
MOST_UNITS = 20_000

# Most of a batch that may be padding, where the embedding looks at it. Sorted corpora stay far below
# (benchmarks/extract.py); small ones, where neighbours differ by more, get smaller batches.
MOST_PADDING = 0.1

AHEAD_SECONDS = 480.0
_MOST_DECODERS = 8
_AT_ONCE = 8  # clips that a decoder is given: to give one takes as long as to decode a short one
# Vectors that would fill more of the free memory than this stay in a file.
_MEMORY_SHARE = 0.25
_MOST_UNWRITTEN = 2

DecodeFunction = Callable[["Clip"], FloatArray]


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip to compute."""

    key: str  # hash of its waveform
    path: str
    clip_id: str
    samples: int  # at 16 kHz


class WorkUnits(Sequence[list[Clip]]):
    """Work units of a clip table, made when they are asked for, so that a large table costs little memory.

    `seconds` is the most audio of a unit, counted with padding; a longer clip forms a unit of its own. A waveform that
    is in the table twice counts once. Clips that are not `wanted` (default: all are) are left out of their units.
    """

    def __init__(self, clips: pd.DataFrame, seconds: float, wanted: npt.NDArray[np.bool_] | None = None):
        self._clips = clips
        table = clips.reset_index(drop=True)[["sha256", "seconds"]].drop_duplicates("sha256")
        table["seconds"] = np.rint(table["seconds"].to_numpy(float) * SAMPLE_RATE).astype(np.int64)
        table = table.sort_values(["seconds", "sha256"])
        rows, samples = table.index.to_numpy(), table["seconds"].to_numpy()
        unit = np.repeat(np.arange(len(cuts := _find_cuts(samples.tolist(), seconds))), np.diff([*cuts, len(rows)]))
        if wanted is not None:
            chosen = wanted[rows]
            rows, samples, unit = rows[chosen], samples[chosen], unit[chosen]
        self._rows, self._samples = rows, samples
        starts = np.flatnonzero(np.diff(unit, prepend=-1))
        self._ends = np.append(starts, len(rows)) if len(rows) else np.zeros(1, np.int64)
        self.seconds = float(samples.sum()) / SAMPLE_RATE  # of all wanted clips

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        part = slice(self._ends[number], self._ends[number + 1])
        rows = self._clips.iloc[self._rows[part]]
        columns = zip(rows["sha256"], rows["audio"], rows["clip_id"], self._samples[part], strict=True)
        return [Clip(key, path, clip_id, int(n)) for key, path, clip_id, n in columns]


def choose_unit_seconds(audio_seconds: float) -> float:
    """Choose the size of a work unit for a corpus: `UNIT_SECONDS`, doubled until there are at most `MOST_UNITS`."""
    seconds = UNIT_SECONDS
    while audio_seconds > MOST_UNITS * seconds:
        seconds *= 2
    return seconds


def group_clips(clips: Sequence[Clip], *, same_length: bool, seconds: float, padding: float = 1.0,
                shortest: int = 0) -> list[list[Clip]]:
    """Cut clips, shortest first, into groups of at most `seconds` of audio, and at most a share of padding in them."""
    # the same clips give the same groups in whatever order they come; a longer clip forms a group of its own; that
    # clips shorter than `shortest` samples are brought to it first is not counted as a group's padding
    ordered = sorted(clips, key=lambda clip: (clip.samples, clip.key))
    lengths = [max(clip.samples, shortest) for clip in ordered]
    cuts = _find_cuts(lengths, seconds, 0.0 if same_length else padding)
    return [ordered[a:b] for a, b in itertools.pairwise([*cuts, len(ordered)])]


def name_unit(unit: Sequence[Clip]) -> str:
    """Name a work unit after its content, 24 hex digits: the same clips always have the same name."""
    return hashlib.sha256("".join(clip.key for clip in unit).encode()).hexdigest()[:24]


def count_seconds(units: Sequence[list[Clip]]) -> float:
    """Count the audio of work units in seconds."""
    if isinstance(units, WorkUnits):
        return units.seconds
    return sum(clip.samples for unit in units for clip in unit) / SAMPLE_RATE


def _find_cuts(lengths: Sequence[int], seconds: float, padding: float = 1.0) -> list[int]:
    """Find where groups of ascending lengths begin."""
    cuts: list[int] = []
    total = 0
    for k, length in enumerate(lengths):
        count, total = k - cuts[-1] + 1 if cuts else 1, total + length
        fed = count * length
        if not cuts or fed > seconds * SAMPLE_RATE or fed - total > padding * fed:
            cuts.append(k)
            total = length
    return cuts


def load_clip(clip: Clip) -> FloatArray:
    """Decode a clip, float32 [samples]; raise `BadAudio` if it cannot be read or is not the one that was listed."""
    if clip.key in (waves := _shared.waves):
        return waves[clip.key]
    known = audio.read_known(clip.path, clip.key, clip.samples) if clip.path.lower().endswith(".wav") else None
    if known is not None:  # as quick to read again: the system keeps it in memory
        return known
    wave = audio.read(clip.path).wave
    if audio.sha256(wave) != clip.key:
        forget_sound(Path(clip.path))
        raise BadAudio(clip.path, "the audio is not what it was when the clips were listed",
                       "Run the same command again, which lists it anew, or restore the file first.")
    if wave.nbytes <= _shared.room:
        _shared.room -= wave.nbytes
        waves[clip.key] = wave
    return wave


_shared = SimpleNamespace(waves={}, room=0)


@contextlib.contextmanager
def share_decoded() -> Iterator[None]:
    """Decode a clip once for all embeddings inside, as far as an eighth of the free memory holds the sound."""
    import psutil

    _shared.room = psutil.virtual_memory().available // 8
    try:
        yield
    finally:
        _shared.waves, _shared.room = {}, 0


def _try_load(clip: Clip) -> FloatArray | Exception:
    """Decode a clip, or give back why it cannot be, so that one costs no other."""
    try:
        return load_clip(clip)
    except Exception as error:
        return error


def decode_ahead(units: Sequence[list[Clip]], lanes: int = 1) -> Generator[tuple[list[Clip], DecodeFunction]]:
    """Give each unit, the last one first, with `load_clip` for its clips, once each, while threads decode the next."""
    # `lanes` is how many units are worked on at a time; decoders, the resampler and the hash let other threads run
    decoded: dict[str, tuple[Future[list[Any]], int]] = {}
    queue: deque[list[Clip]] = deque()

    def decode(clip: Clip) -> FloatArray:
        job, place = decoded.pop(clip.key)
        wave, job.result()[place] = job.result()[place], None  # it is let go when it has been embedded
        if isinstance(wave, Exception):
            raise wave
        return cast(FloatArray, wave)

    # on two processors a second decoder only takes turns with the model: one is ten times as fast as that
    pool = ThreadPoolExecutor(max(1, min(runtime.count_threads() - 1, _MOST_DECODERS)), "decode")
    # the longest clips first: what is too large for the memory shows at once, the model has not to wait for a
    # hundred short clips at the start, and several devices end together
    coming, waiting = reversed(units), 0.0
    try:
        following = next(coming, None)
        while following is not None or queue:
            while following is not None:
                seconds = count_seconds([following])
                if queue and waiting + seconds > AHEAD_SECONDS * lanes:
                    break
                for clips in (following[k:k + _AT_ONCE] for k in range(0, len(following), _AT_ONCE)):
                    job = pool.submit(lambda clips: [_try_load(clip) for clip in clips], clips)
                    decoded.update({clip.key: (job, place) for place, clip in enumerate(clips)})
                queue.append(following)
                waiting += seconds
                following = next(coming, None)
            unit = queue.popleft()
            waiting -= count_seconds([unit])
            yield unit, decode
    finally:
        pool.shutdown(cancel_futures=True)


def pad_clip(wave: FloatArray, embedding: Embedding) -> FloatArray:
    """Bring a clip, float32 [samples], to the embedding's minimum; the same array where nothing is to be added."""
    short = embedding.min_samples - len(wave)
    if short <= 0:
        return wave
    before = short // 2 if embedding.pad == "centre" else 0
    return np.pad(wave, (before, short - before))


def embed_frames(wave: FloatArray, embedding: Embedding) -> FloatArray:
    """Embed one clip, float32 [samples]: its valid frames, float32 [frames, dim]."""
    ready = pad_clip(wave, embedding)
    frames, counts = embedding.embed(ready[None], np.array([len(ready)]))
    return frames[0, : int(counts[0])]


@dataclass
class UnitResult:
    """What a work unit came to: clips that have a vector, these float32 [dim], problems by hash of a clip, the cost."""

    clips: list[Clip] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)
    problems: dict[str, BadAudio] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)


def embed_unit(unit: list[Clip], decode: DecodeFunction, embedding: Embedding) -> UnitResult:
    """Embed the clips of a unit in batches; clip by clip the same whoever does it, if the embedding's function is."""
    result = UnitResult()
    cost = result.cost
    cost.batch_seconds = get_batch_seconds(embedding)
    # Some embeddings pad a clip that does not fill their window by themselves: that counts too.
    shortest = max(embedding.min_samples, round(embedding.window * SAMPLE_RATE))
    ragged = runtime.is_ragged(embedding.embed)
    for batch in group_clips(unit, same_length=not (embedding.pads_safely or ragged), seconds=cost.batch_seconds,
                             padding=1.0 if ragged else MOST_PADDING, shortest=embedding.min_samples):
        began, waves = time.perf_counter(), dict[Clip, FloatArray]()
        for clip in batch:
            try:
                waves[clip] = pad_clip(decode(clip), embedding)
            except BadAudio as error:
                result.problems[clip.key] = error
        cost.waiting_seconds += time.perf_counter() - began
        for clip, vector in zip(waves, _embed_batch(list(waves.values()), embedding, cost), strict=True):
            if isinstance(vector, Exception):
                result.problems[clip.key] = BadAudio(clip.path, f"{embedding.name} failed on it: {vector}",
                                                     "Try the clip alone with nslib.embeddings.check.")
                continue
            result.clips.append(clip)
            result.vectors.append(vector)
            cost.computed += 1
            cost.padded += clip.samples < shortest
            cost.audio_seconds += clip.samples / SAMPLE_RATE
        cost.samples_real += sum(clip.samples for clip in waves)
        fed = [len(wave) for wave in waves.values()]
        cost.samples_fed += sum(fed) if ragged else len(fed) * max(fed, default=0)
    return result


def _embed_batch(waves: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray | Exception]:
    """Embed a batch; if it fails, each clip alone, so that one bad clip costs one clip."""
    try:
        return list(_average_frames(waves, embedding, cost)) if waves else []
    except Exception as error:
        if len(waves) == 1:
            return [error]
    return [_embed_batch([wave], embedding, cost)[0] for wave in waves]


def _average_frames(waves: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray]:
    batch, lengths = stack_clips(waves)
    began = time.perf_counter()
    frames, counts = embedding.embed(batch, lengths)
    cost.busy_seconds += time.perf_counter() - began
    if frames.ndim != 3 or frames.shape[0] != len(waves) or frames.shape[2] != embedding.dim:
        raise NslibError(f"expected frames of shape [{len(waves)}, frames, {embedding.dim}], got "
                         f"{list(frames.shape)}")
    if (counts < 1).any():
        raise NslibError("no valid frame: the clip is shorter than the embedding's window; give min_samples")
    means = (list(frames[:, 0].astype(np.float32)) if frames.shape[1] == 1 else
             [row[:n].mean(0, dtype=np.float64).astype(np.float32) for row, n in zip(frames, counts, strict=True)])
    if not np.isfinite(means).all():
        raise NslibError("the vector is not finite (NaN or infinity)")
    return means


# Computes work units and stores their vectors; adds to the cost; gives the clips without a vector by their hash, and
# why. The last argument is whether to show a progress bar.
RunUnits = Callable[[Sequence[list[Clip]], Embedding, VectorCache, Cost, bool], dict[str, BadAudio]]


@dataclass(frozen=True)
class Extraction:
    """Vectors of clips, and what they cost."""

    vectors: FloatArray  # [clips, dim]; memory-mapped if it would fill a quarter of the free memory
    clips: pd.DataFrame  # that have a vector, in the order given
    problems: pd.DataFrame  # clip_id, audio, reason, remedy of the clips without a vector
    cost: dict[str, Any]  # clips, from_store, and of what was computed now: `nslib.extraction.cache.Cost.summary`
    notes: tuple[str, ...] = ()  # sentences that a reader of the vectors must know


def extract_vectors(clips: pd.DataFrame, embedding: Embedding, *, store: VectorCache | None = None,
                    progress: bool = True, run: RunUnits | None = None, own: bool = False) -> Extraction:
    """Give one vector a clip, computing only what is not cached yet.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds.
    embedding : Embedding
        What to compute.
    store : VectorCache, optional
        Where vectors are kept (default: the embedding's in the cache).
    progress : bool
        Show a progress bar on stderr.
    run : callable, optional
        Does the work units and stores them, as of `nslib.extraction.cluster.Engine`. Default: this process does.
    own : bool
        The embedding is not the kit's: before anything of it is computed, `refuse_unsteady` tries it.

    Raises
    ------
    NslibError
        If the embedding fails on every clip, is not steady, or the disk is full.
    """
    import psutil

    if embedding.part is not None:
        whole, start = embedding.part
        out = extract_vectors(clips, whole, store=store, progress=progress, run=run, own=own)
        vectors = out.vectors[:, start:start + embedding.dim]
        return replace(out, vectors=vectors, notes=_describe_vectors(vectors, out.clips, embedding))
    cache = VectorCache(embedding) if store is None else store
    usable, problems, cost = fill_cache(clips, embedding, store=cache, progress=progress, run=run, own=own)
    mapped = 4 * len(usable) * cache.dim > _MEMORY_SHARE * psutil.virtual_memory().available
    try:
        vectors = cache.read(usable["sha256"], mapped=mapped)
        return Extraction(vectors, usable, problems, cost, _describe_vectors(vectors, usable, embedding))
    except DamagedVectors as error:  # they are not in the cache any more
        warnings.warn(str(error), stacklevel=2)
    return extract_vectors(clips, embedding, store=cache, progress=progress, run=run, own=own)


def _describe_vectors(vectors: FloatArray, clips: pd.DataFrame, embedding: Embedding) -> tuple[str, ...]:
    """Say how many clips were padded, and if nothing can be told from vectors that are the same, to rounding."""
    least, count = max(embedding.min_samples, round(embedding.window * SAMPLE_RATE)), len(clips)
    short = int((np.rint(clips["seconds"] * SAMPLE_RATE) < least).sum())
    same = count > 1 and all(np.allclose(v, vectors[0], 1e-6, 0) for v in vectors)
    said = {f"{short} of {count} clips were padded to its window.": short, f"All {count} vectors are the same.": same}
    return tuple(f"{embedding.name}: {text}" for text, holds in said.items() if holds)


def fill_cache(clips: pd.DataFrame, embedding: Embedding, *, store: VectorCache | None = None, progress: bool = True,
               run: RunUnits | None = None, own: bool = False) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Compute vectors as `extract_vectors` does and leave them in the cache, so that memory does not grow with them.

    Parameters and errors are those of `extract_vectors`; what is returned are clips, problems and cost of `Extraction`.
    """
    cache = VectorCache(embedding) if store is None else store
    cost = Cost()
    known = cache.holds(clips["sha256"])
    units = WorkUnits(clips, choose_unit_seconds(float(clips["seconds"].sum())), ~known)
    if units:
        _tell_damage(cache)
        (refuse_unsteady if own else runtime.load_now)(embedding)  # what is wrong with it is not a clip's problem
    began = time.perf_counter()
    problems = (run or run_here)(units, embedding, cache, cost, progress)
    have = cache.holds(clips["sha256"])
    if problems and not have.any():
        first = next(iter(problems.values()))
        raise NslibError(f"{embedding.name} gave no vector for any of {len(clips)} clips. First: {first}")
    if cost.computed:
        cost.log(cache.path, time.perf_counter() - began)
    usable = clips.reset_index(drop=True) if have.all() else clips[have].reset_index(drop=True)
    lost = [[row.clip_id, row.audio, problems[row.sha256].reason, problems[row.sha256].remedy]
            for row in clips[~have].itertuples()]
    return (usable, pd.DataFrame(lost, columns=list(PROBLEM_COLUMNS)),
            {"clips": len(clips), "from_store": int(known.sum()), **cost.summary()})


def _tell_damage(cache: VectorCache) -> None:
    """Warn of stored vectors that cannot be read."""
    if cache.damaged:
        warnings.warn(f"{len(cache.damaged)} files of stored vectors cannot be read, {cache.damaged[0]} for one: their "
                      "clips are computed again.", stacklevel=3)


class _SideBySide(list[VectorCache]):
    """Caches of several embeddings, into each of which its part is written of the vectors that one pass gave."""

    def write(self, unit: str, keys: Sequence[str], vectors: FloatArray) -> None:
        """Write a shard of each."""
        for cache, some in zip(self, np.split(vectors, np.cumsum([cache.dim for cache in self])[:-1], 1), strict=True):
            cache.write(unit, keys, some)


def fill_caches(clips: pd.DataFrame, embeddings: Sequence[Embedding], joined: Embedding, progress: bool,
                run: RunUnits) -> None:
    """Compute what no cache of some embeddings has, by one that gives the vectors of all, side by side."""
    cost, caches = Cost(), _SideBySide(map(VectorCache, embeddings))
    known = np.logical_or.reduce([cache.holds(clips["sha256"]) for cache in caches])
    units = WorkUnits(clips, choose_unit_seconds(float(clips["seconds"].sum())), ~known)
    if units:
        runtime.load_now(joined)
        for cache in caches:
            _tell_damage(cache)
    began = time.perf_counter()
    run(units, joined, cast(VectorCache, caches), cost, progress)  # of which only the writing is used
    for cache in caches if cost.computed else ():
        cost.log(cache.path, time.perf_counter() - began)


def extract_frames(clips: pd.DataFrame, embedding: Embedding) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Give frame-level vectors with their start times; computed afresh, not cached.

    Returns
    -------
    dict
        clip_id to ``(seconds [frames], vectors [frames, dim])``; frame ``t`` sees the audio from ``seconds[t]`` to
        ``seconds[t] + embedding.window``.

    Raises
    ------
    BadAudio
        For the first clip that cannot be read.
    """
    frames_of = {}
    for clip in (clip for unit in WorkUnits(clips, float("inf")) for clip in unit):
        frames = embed_frames(load_clip(clip), embedding)
        frames_of[clip.clip_id] = np.arange(len(frames), dtype=np.float32) * embedding.hop, frames
    return frames_of


def run_here(units: Sequence[list[Clip]], embedding: Embedding, store: VectorCache, cost: Cost,
             progress: bool) -> dict[str, BadAudio]:
    """Embed and store work units on every device of this machine at once (a `RunUnits`)."""
    problems: dict[str, BadAudio] = {}
    if not units:
        return problems
    replicas = load_replicas(embedding)
    cost.devices = [replica.device for replica in replicas]
    copies = [replace(embedding, embed=SmallerBatches(replica.embed)) for replica in replicas]
    tune_batch_seconds(copies[0], count_seconds(units) / len(copies))
    bar = open_bar(f"embed {embedding.name}", units, progress)
    with bar, ThreadPoolExecutor(1, "store") as writer, closing(_embed_units(units, copies)) as results:
        unwritten: deque[Future[None]] = deque()
        for unit, result in results:
            unwritten.append(writer.submit(store_result, store, unit, result))
            while len(unwritten) > _MOST_UNWRITTEN:
                unwritten.popleft().result()
            cost.add(result.cost)
            problems |= result.problems
            advance_bar(bar, unit)
        for last in unwritten:
            last.result()
    return problems


def store_result(store: VectorCache, unit: list[Clip], result: UnitResult) -> None:
    """Write the shard of a work unit, unless none of its clips has a vector."""
    if result.clips:
        store.write(name_unit(unit), [clip.key for clip in result.clips], np.stack(result.vectors))


def open_bar(title: str, units: Sequence[list[Clip]], progress: bool) -> Any:
    """Make a progress bar that counts seconds of audio."""
    from tqdm.std import tqdm

    return tqdm(total=count_seconds(units), desc=title, unit="s", disable=not progress,
                bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}] {postfix}")


def advance_bar(bar: Any, unit: list[Clip]) -> None:
    """Count a work unit as done."""
    # the sum of parts can pass the total by a rounding error, which the bar warns of
    bar.update(min(count_seconds([unit]), bar.total - bar.n))


def _embed_units(units: Sequence[list[Clip]], copies: list[Embedding]) -> Generator[tuple[list[Clip], UnitResult]]:
    """Give work units with what they came to, as they are done."""
    def work(copy: Embedding, task: tuple[list[Clip], DecodeFunction]) -> tuple[list[Clip], UnitResult]:
        return task[0], embed_unit(*task, copy)

    begun: set[Future[tuple[list[Clip], UnitResult]]] = set()
    share = runtime.share_workers([partial(work, copy) for copy in copies])  # each works on one unit at a time
    with closing(decode_ahead(units, len(copies))) as coming, ThreadPoolExecutor(len(copies), "device") as pool:
        for task in coming:
            if len(copies) == 1:  # in the caller's thread, where Ctrl-C and a user's own function are at home
                yield work(copies[0], task)
                continue
            begun.add(pool.submit(share, task))
            if len(begun) == len(copies):
                done, begun = wait(begun, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(begun))
