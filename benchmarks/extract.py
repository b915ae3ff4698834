"""How close extraction comes to the bare model: ratios measured in one run.

Three ways to get the same vectors from the same wav files, taken in turn, several rounds:

product    `nslib.extract.vectors`, end to end: read files, check hashes, batch, embed, store
bare       the embedding function alone on batches already in memory, at its best batch size
one by one read one file, embed it, take the next

Usage: ``python benchmarks/extract.py [--embedding NAME] [--clips N] [--rounds K]``
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


def make_clips(folder: Path, count: int) -> pd.DataFrame:
    """Clips of speech-like length (lognormal, 0.6 to 12 s) filled with noise; the content costs the same."""
    rng = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate(np.clip(rng.lognormal(0.7, 0.6, count), 0.6, 12)):
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


def measure(embedding: Embedding, clips: pd.DataFrame, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, one entry a round, the ways taken in turn so that drift hits all."""
    by_size = {s: batches(clips, embedding, s) for s in BATCH_SECONDS}
    for padded, lengths in by_size[BATCH_SECONDS[0]][:3]:
        embedding.embed(padded, lengths)
    times: dict[str, list[float]] = {"product": [], "bare": [], "one by one": []}
    for _ in range(rounds):
        times["product"].append(seconds_of(lambda: product(clips, embedding)))
        times["bare"].append(min(seconds_of(lambda g=g: [embedding.embed(*b) for b in g])  # type: ignore[misc]
                                 for g in by_size.values()))
        times["one by one"].append(seconds_of(lambda: one_by_one(clips, embedding)))
    return times


def main() -> None:
    """Print a table for each embedding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedding", action="append", help="default: untrained and speech-embedding")
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), given.clips)
        audio = clips["seconds"].sum()
        print(f"{len(clips)} wav files, {audio:.0f} s of audio, {given.rounds} rounds, median shown")
        for name in given.embedding or ["untrained", "speech-embedding"]:
            times = measure(nslib.embeddings.get(name), clips, given.rounds)
            middle = {way: statistics.median(t) for way, t in times.items()}
            for way, s in middle.items():
                print(f"  {name:18} {way:10} {len(clips) / s:8.1f} clips/s {audio / s:8.0f} x real time")
            pairs = zip(times["product"], times["bare"], times["one by one"], strict=True)
            ratios = [(b / p, o / p) for p, b, o in pairs]
            print(f"  {name:18} product = {statistics.median(r[0] for r in ratios):.2f} of the bare model, "
                  f"{statistics.median(r[1] for r in ratios):.1f} x one by one")


if __name__ == "__main__":
    main()
