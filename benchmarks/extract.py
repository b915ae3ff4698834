"""How close extraction comes to the bare model: ratios measured in one run.

Three ways to get the same vectors from the same wav files, taken in turn, several rounds:

product    `nslib.extract.vectors`, end to end: read files, check hashes, batch, embed, store
bare       the embedding function alone on batches already in memory, at the batch size that is best
           in the median over rounds
one by one read one file, embed it, take the next

Usage: ``python benchmarks/extract.py [--embedding NAME] [--clips N] [--rounds K] [--seconds S]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

import nslib
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.extract import Item, plan
from nslib.store import Store

BATCH_SECONDS = (4.0, 8.0, 15.0, 30.0, 60.0)


def make_clips(folder: Path, count: int, length: float | None = None) -> pd.DataFrame:
    """Clips of one length, or of speech-like lengths (lognormal, 0.6 to 12 s), filled with noise: it costs the same."""
    rng = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate(np.clip(rng.lognormal(0.7, 0.6, count), 0.6, 12)):
        seconds = length or seconds
        path = nslib.audio.write_wav(folder / f"{i:05d}.wav", rng.normal(0, 0.05, round(seconds * SAMPLE_RATE)))
        wave = nslib.audio.read(path).wave
        rows.append((path.stem, str(path), nslib.audio.sha256(wave), len(wave) / SAMPLE_RATE))
    return pd.DataFrame(rows, columns=["clip_id", "audio", "sha256", "seconds"])


def batches(clips: pd.DataFrame, embedding: Embedding, seconds: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Padded batches in memory, as the model wants them."""
    items = [Item(c.sha256, c.audio, c.clip_id, round(c.seconds * SAMPLE_RATE)) for c in clips.itertuples()]
    out = []
    for group in plan(items, same_length=not embedding.pads_safely, seconds=seconds):
        lengths = np.array([max(i.samples, embedding.min_samples) for i in group])
        padded = np.zeros((len(group), lengths.max()), np.float32)
        for row, item in zip(padded, group, strict=True):
            row[: item.samples] = nslib.audio.read(item.path).wave
        out.append((padded, lengths))
    return out


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def product(clips: pd.DataFrame, embedding: Embedding) -> None:
    """Extraction into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        nslib.extract.vectors(clips, embedding, store=Store(embedding, Path(folder)), progress=False)


def one_by_one(clips: pd.DataFrame, embedding: Embedding) -> None:
    """What a plain loop does."""
    for path in clips["audio"]:
        wave = nslib.audio.read(path).wave
        wave = np.pad(wave, (0, max(0, embedding.min_samples - len(wave))))
        frames, counts = embedding.embed(wave[None], np.array([len(wave)]))
        frames[0, : counts[0]].mean(0)


def measure(embedding: Embedding, clips: pd.DataFrame, rounds: int) -> dict[str, float]:
    """Median seconds of each way; the ways are taken in turn, so that drift hits all."""
    by_size = {f"bare, batches of {s:.0f} s": batches(clips, embedding, s) for s in BATCH_SECONDS}
    for padded, lengths in next(iter(by_size.values()))[:3]:
        embedding.embed(padded, lengths)
    ways: dict[str, Callable[[], object]] = {"product": lambda: product(clips, embedding)}
    ways |= {way: lambda g=g: [embedding.embed(*b) for b in g] for way, g in by_size.items()}  # type: ignore[misc]
    ways["one by one"] = lambda: one_by_one(clips, embedding)
    times = {way: [] for way in ways}  # type: dict[str, list[float]]
    for _ in range(rounds):
        for way, work in ways.items():
            times[way].append(seconds_of(work))
    return {way: statistics.median(taken) for way, taken in times.items()}


def main() -> None:
    """Print a table for each embedding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedding", action="append", help="default: untrained and speech-embedding")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="length of every clip (default: speech-like lengths)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), given.clips, given.seconds)
        audio = clips["seconds"].sum()
        print(f"{len(clips)} wav files, {audio:.0f} s of audio, median of {given.rounds} rounds")
        for name in given.embedding or ["untrained", "speech-embedding"]:
            taken = measure(nslib.embeddings.get(name), clips, given.rounds)
            for way, s in taken.items():
                print(f"  {name:18} {way:24} {len(clips) / s:8.1f} clips/s {audio / s:8.0f} x real time")
            bare = min(s for way, s in taken.items() if way.startswith("bare"))
            print(f"  {name:18} product = {bare / taken['product']:.2f} of the bare model, "
                  f"{taken['one by one'] / taken['product']:.1f} x one by one")


if __name__ == "__main__":
    main()
