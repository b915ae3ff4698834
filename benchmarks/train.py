"""A step of triplet training with all changes of windows on, against the bare step on one batch that is kept.

Both learn with the same code, in turns; the audio is noise, so that no download is needed. Also said: seconds of audio
that the trained network takes in a second, as an embedding.

Usage: ``python benchmarks/train.py [--pairs N] [--steps N]``
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import tensorflow as tf
from common import Figure, report

from nslib import embeddings
from nslib.embeddings import networks
from nslib.training import data, trainer
from nslib.training.settings import make_training_settings


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=512)
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    settings = make_training_settings(networks.read_settings("trill-mini") | {"batch": given.pairs, "held_out": 1})
    bank = make_noise(2 * given.pairs)
    learner = trainer.TripletLearner(bank, bank, settings)
    kept = next(iter(data.make_dataset(learner.pairs, 0, 1)))
    drawn, bare = learner.steps(learner.batches(0, 10**6)), learner.steps(repeat(kept))
    times = {"drawn": list[float](), "bare": list[float]()}
    for step in range(given.steps + 2):
        for name, steps in (("drawn", drawn), ("bare", bare)):
            began = time.perf_counter()
            next(steps)
            if step >= 2:  # the first builds the graph, and finds batches that were drawn ahead
                times[name].append(time.perf_counter() - began)
    found = {name: median(values) for name, values in times.items()}
    network = embeddings.get("trill-mini-layer19")
    wave = np.random.default_rng(0).normal(0, 0.1, (8, 10 * 16_000)).astype(np.float32)
    network.embed(wave, np.full(8, wave.shape[1]))
    began = time.perf_counter()
    network.embed(wave, np.full(8, wave.shape[1]))
    report([Figure(f"bare step of {given.pairs} pairs", found["bare"], "s"),
            Figure("bare step against a step with all changes", found["bare"] / found["drawn"], at_least=0.9),
            Figure("trill-mini-layer19, times real time", 80 / (time.perf_counter() - began), "x", at_least=200)])


def make_noise(pieces: int) -> data.AudioBank:
    """Make a bank of two seconds of noise a piece."""
    room = 32_000
    samples = data.round_to_int16(np.random.default_rng(0).normal(0, 0.1, pieces * room).astype(np.float32))
    frames = np.concatenate(list(data.compute_frames(samples)))
    starts = np.arange(pieces, dtype=np.int64) * room
    return data.AudioBank(samples, frames, starts, np.full(pieces, room), tuple(map(str, range(pieces))))


def repeat(batch: Any) -> Any:
    """Make a dataset of one batch for ever."""
    return tf.data.Dataset.from_tensors(batch).cache().repeat()


if __name__ == "__main__":
    main()
