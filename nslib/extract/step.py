"""The pure step: decoded clips of one work unit in, their vectors out. It runs here, or on a worker far away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nslib import audio
from nslib.embeddings import patches
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray, IntArray
from nslib.errors import BadAudio, NslibError
from nslib.extract import tuning
from nslib.extract.units import Item, plan
from nslib.ledger import Cost

Wave = Callable[[Item], FloatArray]

# Most of a batch that may be padding, where the embedding looks at it. Sorted corpora stay far below
# (benchmarks/extract.py); small ones, where neighbours differ by more, get smaller batches.
MOST_PADDING = 0.1


@dataclass
class Done:
    """What a unit came to.

    Attributes
    ----------
    items : list of Item
        Clips that have a vector now.
    vectors : list of float32 [dim]
        Of these.
    problems : dict of str to BadAudio
        Hash of a clip to why it has none.
    cost : Cost
        Without wall time and memory.
    """

    items: list[Item] = field(default_factory=list)
    vectors: list[FloatArray] = field(default_factory=list)
    problems: dict[str, BadAudio] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)


def step(unit: list[Item], wave: Wave, embedding: Embedding) -> Done:
    """Embed the clips of a unit, in batches of the size that `nslib.extract.tuning` knows for the embedding.

    Parameters
    ----------
    unit : list of Item
    wave : callable
        Gives a clip's waveform, float32 [samples]; raises `BadAudio`. See `load`.
    embedding : Embedding

    Returns
    -------
    Done
        Clip by clip the same whoever does it, as long as the embedding's function is.
    """
    done = Done()
    done.cost.batch_seconds = tuning.batch_seconds(embedding)
    # Some embeddings pad a clip that does not fill their window by themselves: that counts too.
    shortest = max(embedding.min_samples, round(embedding.window * SAMPLE_RATE))
    ragged = patches.is_ragged(embedding.embed)
    for batch in plan(unit, same_length=not (embedding.pads_safely or ragged), seconds=done.cost.batch_seconds,
                      padding=1.0 if ragged else MOST_PADDING, shortest=embedding.min_samples):
        ready = _ready(batch, wave, embedding, done)
        for item, vector in zip(ready, _batch(list(ready.values()), embedding, done.cost), strict=True):
            if isinstance(vector, Exception):
                done.problems[item.key] = BadAudio(item.path, f"{embedding.name} failed on it: {vector}",
                                                   "Try the clip alone with nslib.embeddings.check.")
                continue
            done.items.append(item)
            done.vectors.append(vector)
            done.cost.computed += 1
            done.cost.padded += item.samples < shortest
            done.cost.audio_seconds += item.samples / SAMPLE_RATE
        done.cost.samples_real += sum(item.samples for item in ready)
        fed = [len(wave) for wave in ready.values()]
        done.cost.samples_fed += sum(fed) if ragged else len(fed) * max(fed, default=0)
    return done


def load(item: Item) -> FloatArray:
    """Decode a clip and make sure that it is the one that was listed.

    Parameters
    ----------
    item : Item

    Returns
    -------
    float32 [samples]

    Raises
    ------
    BadAudio
        If it cannot be read, or has changed.
    """
    wave = audio.read(item.path).wave
    if audio.sha256(wave) != item.key:
        raise BadAudio(item.path, "the audio is not what it was when the clips were listed",
                       "List the clips again, or restore the file.")
    return wave


def padded(wave: FloatArray, embedding: Embedding) -> FloatArray:
    """Bring a clip to the embedding's minimum.

    Parameters
    ----------
    wave : float32 [samples]
    embedding : Embedding

    Returns
    -------
    float32 [samples]
        The same array where nothing is to be added.
    """
    short = embedding.min_samples - len(wave)
    if short <= 0:
        return wave
    before = short // 2 if embedding.pad == "centre" else 0
    return np.pad(wave, (before, short - before))


def _ready(batch: list[Item], wave: Wave, embedding: Embedding, done: Done) -> dict[Item, FloatArray]:
    began, waves = time.perf_counter(), {}
    for item in batch:
        try:
            waves[item] = padded(wave(item), embedding)
        except BadAudio as error:
            done.problems[item.key] = error
    done.cost.waiting_seconds += time.perf_counter() - began
    return waves


def _batch(inputs: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray | Exception]:
    """Vectors of a batch; if the batch fails, of each clip alone, so that one bad clip costs one clip."""
    try:
        return list(_mean_vectors(inputs, embedding, cost)) if inputs else []
    except Exception as error:
        if len(inputs) == 1:
            return [error]
    return [_batch([one], embedding, cost)[0] for one in inputs]


def _mean_vectors(inputs: list[FloatArray], embedding: Embedding, cost: Cost) -> list[FloatArray]:
    lengths: IntArray = np.array([len(wave) for wave in inputs], np.int64)
    padded = np.zeros((len(inputs), int(lengths.max())), np.float32)
    for row, wave in zip(padded, inputs, strict=True):
        row[: len(wave)] = wave
    began = time.perf_counter()
    found, counts = embedding.embed(padded, lengths)
    cost.busy_seconds += time.perf_counter() - began
    if found.ndim != 3 or found.shape[0] != len(inputs) or found.shape[2] != embedding.dim:
        raise NslibError(f"expected frames of shape [{len(inputs)}, frames, {embedding.dim}], got "
                         f"{list(found.shape)}")
    if (counts < 1).any():
        raise NslibError("no valid frame: the clip is shorter than the embedding's window")
    means = [row[:n].mean(0, dtype=np.float64).astype(np.float32) for row, n in zip(found, counts, strict=True)]
    if not np.isfinite(means).all():
        raise NslibError("the vector is not finite (NaN or infinity)")
    return means
