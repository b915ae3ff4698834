"""Extraction: clips in, one vector a clip out, as fast as the model allows and never twice.

Clips are sorted by length and cut into work units; decode threads run ahead of the model; a unit
is stored as soon as it is done. The units depend only on which clips are asked for, so a killed
run that is started again goes through the very same batches and ends in the very same bytes.

Conventions
-----------
A clip's vector is the mean over its valid frames, accumulated in float64 and kept in float32
(the authors average over time too; see reference ``np.mean(axis=0)`` in their notebook). Nothing
is padded silently: clips shorter than the embedding's minimum are padded with zeros and counted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import audio
from nslib.corpora.table import PROBLEM_COLUMNS
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray, IntArray
from nslib.errors import BadAudio, NslibError
from nslib.ledger import Cost
from nslib.store import Store

if TYPE_CHECKING:
    import pandas as pd

# A unit is what a killed run can lose, and a batch is what the model sees at once. Both are counted
# in seconds of audio, padding included, because that is what memory and time grow with. Longer batches
# are slower on a CPU, whose cache they leave (benchmarks/extract.py tries several).
UNIT_SECONDS = 240.0
BATCH_SECONDS = 30.0
DECODE_THREADS = 2
UNITS_AHEAD = 3



@dataclass(frozen=True)
class Item:
    """One clip to compute: its hash, where its audio is, its readable name and its length."""

    key: str
    path: str
    clip_id: str
    samples: int


@dataclass(frozen=True)
class Extraction:
    """What came out.

    Attributes
    ----------
    vectors : ndarray of float32, [clips, dim]
        Row ``i`` belongs to row ``i`` of `clips`.
    clips : DataFrame
        The clips that have a vector, in the order given.
    problems : DataFrame
        Columns clip_id, audio, reason, remedy: clips without a vector.
    ledger : dict
        clips, from_store, and the cost of what was computed now: computed (clips), padded (clips
        shorter than the embedding's minimum or window), audio_seconds, wall_seconds, clips_per_second,
        times_real_time, padding (share of the samples fed to the model), peak_memory_gb (of the
        process so far).
    """

    vectors: FloatArray
    clips: pd.DataFrame
    problems: pd.DataFrame
    ledger: dict[str, Any]


def vectors(clips: pd.DataFrame, embedding: Embedding, *, store: Store | None = None,
            progress: bool = True) -> Extraction:
    """One vector a clip, computing only what the store does not hold yet.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds.
    embedding : Embedding
        What to compute.
    store : Store, optional
        Where vectors are kept (default: the one in the cache).
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    Extraction

    Raises
    ------
    NslibError
        If the embedding fails on every clip, or the disk is full.
    """
    import pandas as pd

    store = Store(embedding) if store is None else store
    began = time.perf_counter()
    cost = Cost()
    missing = set(store.missing(clips["sha256"]))
    planned = plan(_items(clips), same_length=False, seconds=UNIT_SECONDS)
    todo = [rest for unit in planned if (rest := [item for item in unit if item.key in missing])]
    problems = _run(todo, embedding, store, cost, progress)
    have = clips["sha256"].map(lambda key: key in store).to_numpy(bool)
    if problems and not have.any():
        first = next(iter(problems.values()))
        raise NslibError(f"{embedding.name} gave no vector for any of {len(clips)} clips. First: {first}")
    kept = clips[have].reset_index(drop=True)
    if cost.computed:
        cost.remember(store.path, time.perf_counter() - began)
    from_store = int((~clips["sha256"].isin(missing)).sum())
    ledger = {"clips": len(clips), "from_store": from_store, **cost.summary()}
    lost = _problems_of(clips[~have], problems)
    return Extraction(store.read(list(kept["sha256"])), kept, pd.DataFrame(lost, columns=list(PROBLEM_COLUMNS)), ledger)


def frames(clips: pd.DataFrame, embedding: Embedding) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Frame-level vectors with their start times; computed afresh, not stored.

    Parameters
    ----------
    clips : DataFrame
        Clip table, as in `vectors`.
    embedding : Embedding
        What to compute.

    Returns
    -------
    dict
        clip_id to ``(seconds [frames], vectors [frames, dim])``; frame ``t`` sees the audio from
        ``seconds[t]`` to ``seconds[t] + embedding.window``.

    Raises
    ------
    BadAudio
        For the first clip that cannot be read.
    """
    out = {}
    for item in _items(clips):
        wave = _padded(_load(item), embedding)
        found, counts = embedding.embed(wave[None], np.array([len(wave)]))
        count = int(counts[0])
        out[item.clip_id] = (np.arange(count, dtype=np.float32) * embedding.hop, found[0, :count])
    return out


def plan(items: Sequence[Item], *, same_length: bool, seconds: float) -> list[list[Item]]:
    """Cut clips, shortest first, into groups of at most `seconds` of audio counted with padding.

    Parameters
    ----------
    items : sequence of Item
    same_length : bool
        Put only clips of equal length in a group.
    seconds : float
        Budget of a group; a longer clip forms a group of its own.

    Returns
    -------
    list of list of Item
        Every item once; the same items give the same groups in whatever order they come.
    """
    groups: list[list[Item]] = []
    for item in sorted(items, key=lambda i: (i.samples, i.key)):
        fits = bool(groups) and (len(groups[-1]) + 1) * item.samples <= seconds * SAMPLE_RATE
        if fits and not (same_length and groups[-1][-1].samples != item.samples):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _items(clips: pd.DataFrame) -> list[Item]:
    first = clips.drop_duplicates("sha256")
    columns = zip(first["sha256"], first["audio"], first["clip_id"], first["seconds"], strict=True)
    return [Item(k, a, c, round(s * SAMPLE_RATE)) for k, a, c, s in columns]


def _run(units: list[list[Item]], embedding: Embedding, store: Store, cost: Cost,
         progress: bool) -> dict[str, BadAudio]:
    from tqdm.std import tqdm

    problems: dict[str, BadAudio] = {}
    total = sum(i.samples for unit in units for i in unit) / SAMPLE_RATE
    bar = tqdm(total=total, desc=f"embed {embedding.name}", unit="s", disable=not (progress and units),
               bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]")
    with bar:
        for unit, clips in _decoding(units):
            done = _unit(unit, clips, embedding, cost, problems)
            if done:
                keys = [item.key for item, _ in done]
                store.write(_unit_name(unit), keys, np.stack([vector for _, vector in done]))
            # the sum of parts can pass the total by a rounding error, which the bar warns of
            bar.update(min(sum(i.samples for i in unit) / SAMPLE_RATE, total - bar.n))
    return problems


def _unit_name(unit: list[Item]) -> str:
    return hashlib.sha256("".join(item.key for item in unit).encode()).hexdigest()[:24]


def _decoding(units: list[list[Item]]) -> Iterator[tuple[list[Item], dict[str, Future[FloatArray]]]]:
    """Give each unit with its clips, some of them still being decoded; the next units are decoded ahead."""
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        ahead: list[dict[str, Future[FloatArray]]] = []
        for k, unit in enumerate(units):
            while len(ahead) < min(UNITS_AHEAD, len(units) - k):
                ahead.append({item.key: pool.submit(_load, item) for item in units[k + len(ahead)]})
            yield unit, ahead.pop(0)


def _load(item: Item) -> FloatArray:
    wave = audio.read(item.path).wave
    if audio.sha256(wave) != item.key:
        raise BadAudio(item.path, "the audio is not what it was when the clips were listed",
                       "List the clips again, or restore the file.")
    return wave


def _padded(wave: FloatArray, embedding: Embedding) -> FloatArray:
    short = embedding.min_samples - len(wave)
    if short <= 0:
        return wave
    before = short // 2 if embedding.pad == "centre" else 0
    return np.pad(wave, (before, short - before))


def _unit(unit: list[Item], clips: dict[str, Future[FloatArray]], embedding: Embedding, cost: Cost,
          problems: dict[str, BadAudio]) -> list[tuple[Item, FloatArray]]:
    done: list[tuple[Item, FloatArray]] = []
    # Some embeddings pad a clip that does not fill their window by themselves: that counts too.
    shortest = max(embedding.min_samples, round(embedding.window * SAMPLE_RATE))
    for batch in plan(unit, same_length=not embedding.pads_safely, seconds=BATCH_SECONDS):
        ready = _ready(batch, clips, embedding, problems)
        for item, vector in zip(ready, _batch(list(ready.values()), embedding), strict=True):
            if isinstance(vector, Exception):
                problems[item.key] = BadAudio(item.path, f"{embedding.name} failed on it: {vector}",
                                              "Try the clip alone with nslib.embeddings.check.")
            else:
                done.append((item, vector))
                cost.computed += 1
                cost.padded += item.samples < shortest
                cost.audio_seconds += item.samples / SAMPLE_RATE
        cost.samples_real += sum(item.samples for item in ready)
        cost.samples_fed += len(ready) * max(map(len, ready.values()), default=0)
    return done


def _ready(batch: list[Item], clips: dict[str, Future[FloatArray]], embedding: Embedding,
           problems: dict[str, BadAudio]) -> dict[Item, FloatArray]:
    waves = {}
    for item in batch:
        try:
            waves[item] = _padded(clips.pop(item.key).result(), embedding)
        except BadAudio as error:
            problems[item.key] = error
    return waves


def _batch(inputs: list[FloatArray], embedding: Embedding) -> list[FloatArray | Exception]:
    """Vectors of a batch; if the batch fails, of each clip alone, so that one bad clip costs one clip."""
    try:
        return list(_mean_vectors(inputs, embedding)) if inputs else []
    except Exception as error:
        if len(inputs) == 1:
            return [error]
    return [_batch([one], embedding)[0] for one in inputs]


def _mean_vectors(inputs: list[FloatArray], embedding: Embedding) -> list[FloatArray]:
    lengths: IntArray = np.array([len(wave) for wave in inputs], np.int64)
    padded = np.zeros((len(inputs), int(lengths.max())), np.float32)
    for row, wave in zip(padded, inputs, strict=True):
        row[: len(wave)] = wave
    found, counts = embedding.embed(padded, lengths)
    if found.ndim != 3 or found.shape[0] != len(inputs) or found.shape[2] != embedding.dim:
        raise NslibError(f"expected frames of shape [{len(inputs)}, frames, {embedding.dim}], got "
                         f"{list(found.shape)}")
    if (counts < 1).any():
        raise NslibError("no valid frame: the clip is shorter than the embedding's window")
    means = [row[:n].mean(0, dtype=np.float64).astype(np.float32) for row, n in zip(found, counts, strict=True)]
    if not np.isfinite(means).all():
        raise NslibError("the vector is not finite (NaN or infinity)")
    return means


def _problems_of(lost: pd.DataFrame, problems: dict[str, BadAudio]) -> list[list[str]]:
    return [[row.clip_id, row.audio, problems[row.sha256].reason, problems[row.sha256].remedy]
            for row in lost.itertuples()]
