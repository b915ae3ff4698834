"""From clips to vectors: which clips are worked on together, decoded ahead of the model, and one work unit computed.

Clips are sorted by length and cut into work units by the clips alone, so that every run, on any machine, decides the
same. A unit is what a killed run can lose, a file of the vector cache and a task of a scheduler. It is counted in
seconds of audio, padding included, because that is what memory and time grow with. A process can map about 65,000 files
at a time (Linux), and a scheduler takes some hundred tasks a second; so beyond `MOST_UNITS` units the size doubles
until they fit. A corpus that grows past a doubling gets other units for its new clips only, since vectors are found by
clip: nothing is computed twice.

A clip's vector is the mean over its valid frames, accumulated in float64 and kept in float32 (the authors average over
time too; see ``np.mean(axis=0)`` in their notebook).
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from nslib import audio
from nslib.embeddings import runtime
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray, IntArray
from nslib.errors import BadAudio, NslibError
from nslib.extraction.cache import Cost
from nslib.extraction.devices import get_batch_seconds

if TYPE_CHECKING:
    from concurrent.futures import Future

    import pandas as pd

__all__ = ["pad_clip"]

UNIT_SECONDS = 240.0
MOST_UNITS = 20_000

# Most of a batch that may be padding, where the embedding looks at it. Sorted corpora stay far below
# (benchmarks/extract.py); small ones, where neighbours differ by more, get smaller batches.
MOST_PADDING = 0.1

AHEAD_SECONDS = 480.0
_MOST_DECODERS = 8

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

    @overload
    def __getitem__(self, index: int) -> list[Clip]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Clip]]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        part = slice(self._ends[number], self._ends[number + 1])
        rows = self._clips.iloc[self._rows[part]]
        columns = zip(rows["sha256"], rows["audio"], rows["clip_id"], self._samples[part], strict=True)
        return [Clip(key, path, clip_id, int(n)) for key, path, clip_id, n in columns]

    def __iter__(self) -> Iterator[list[Clip]]:
        return (self[i] for i in range(len(self)))


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
    wave = audio.read(clip.path).wave
    if audio.sha256(wave) != clip.key:
        raise BadAudio(clip.path, "the audio is not what it was when the clips were listed",
                       "List the clips again, or restore the file.")
    return wave


def decode_ahead(units: Sequence[list[Clip]], lanes: int = 1) -> Generator[tuple[list[Clip], DecodeFunction]]:
    """Give each unit, the last one first, with `load_clip` for its clips, once each, while threads decode the next."""
    # `lanes` is how many units are worked on at a time; decoders, the resampler and the hash let other threads run
    from concurrent.futures import ThreadPoolExecutor

    decoded: dict[str, Future[FloatArray]] = {}
    queue: deque[list[Clip]] = deque()

    def decode(clip: Clip) -> FloatArray:
        return decoded.pop(clip.key).result()

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
                decoded.update({clip.key: pool.submit(load_clip, clip) for clip in following})
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
        waves = _decode_batch(batch, decode, embedding, result)
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


def _decode_batch(batch: list[Clip], decode: DecodeFunction, embedding: Embedding,
                  result: UnitResult) -> dict[Clip, FloatArray]:
    """Decode and pad the clips of a batch; those that cannot be read become problems of the result."""
    began, waves = time.perf_counter(), {}
    for clip in batch:
        try:
            waves[clip] = pad_clip(decode(clip), embedding)
        except BadAudio as error:
            result.problems[clip.key] = error
    result.cost.waiting_seconds += time.perf_counter() - began
    return waves


def _embed_batch(waves: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray | Exception]:
    """Embed a batch; if it fails, each clip alone, so that one bad clip costs one clip."""
    try:
        return list(_average_frames(waves, embedding, cost)) if waves else []
    except Exception as error:
        if len(waves) == 1:
            return [error]
    return [_embed_batch([wave], embedding, cost)[0] for wave in waves]


def _average_frames(waves: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray]:
    lengths: IntArray = np.array([len(wave) for wave in waves], np.int64)
    batch = np.zeros((len(waves), int(lengths.max())), np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    began = time.perf_counter()
    frames, counts = embedding.embed(batch, lengths)
    cost.busy_seconds += time.perf_counter() - began
    if frames.ndim != 3 or frames.shape[0] != len(waves) or frames.shape[2] != embedding.dim:
        raise NslibError(f"expected frames of shape [{len(waves)}, frames, {embedding.dim}], got "
                         f"{list(frames.shape)}")
    if (counts < 1).any():
        raise NslibError("no valid frame: the clip is shorter than the embedding's window")
    means = [row[:n].mean(0, dtype=np.float64).astype(np.float32) for row, n in zip(frames, counts, strict=True)]
    if not np.isfinite(means).all():
        raise NslibError("the vector is not finite (NaN or infinity)")
    return means
