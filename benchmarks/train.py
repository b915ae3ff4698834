"""Whether audio comes as fast as the network learns, and how fast a trained one listens: measured in one run.

loop       `nslib.training.trainer.TripletLearner.steps` on `nslib.training.data.make_dataset`, as training has it:
           windows drawn from memory-mapped samples, changed, log-mel, step
bare       the same step on batches that lie in memory ready made
log-mel    `make_dataset` alone: nobody learns from what it gives
inference  a network of the shape of trill-mini as an embedding of the kit, one for each tap: waveform in, vectors out

Loop and bare are taken in turn, several rounds, and the median is compared; starting up is in neither. Looks at
held-out pairs and checkpoints, which come every hundred steps, are not in it. The audio is made here: noise with the
spectrum and the pauses of speech, which costs the same as speech.

Usage: ``python benchmarks/train.py [--batch PAIRS] [--steps N] [--rounds K]``
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import scipy.signal
from common import Figure, report, seconds_of

from nslib.embeddings import networks
from nslib.embeddings.base import SAMPLE_RATE
from nslib.training import data, settings, trainer

SETTLE = 5
"""Batches before each round that are not timed: as many as may have been made ready while nobody took them."""

CHOICES = {"gap": 0.4, "weight": "seconds", "short": 0.3}


def speech_like(seconds: float, seed: int) -> np.ndarray:
    """Noise that falls by 6 dB an octave and comes in syllables, as loud as speech; int16."""
    rng = np.random.default_rng(seed)
    noise = scipy.signal.lfilter([1], [1, -0.9], rng.normal(0, 1, round(seconds * SAMPLE_RATE)))
    syllables = np.clip(np.sin(2 * np.pi * 3 * np.arange(len(noise)) / SAMPLE_RATE + rng.uniform(0, 6)) + 0.5, 0, 1)
    return data.round_to_int16((0.03 * noise * syllables).astype(np.float32))


def recordings(pieces: int) -> data.AudioBank:
    """Pieces of speech-like lengths (lognormal, 1.5 to 12 s)."""
    lengths = np.clip(np.random.default_rng(0).lognormal(0.9, 0.5, pieces), 1.5, 12)
    waves = [speech_like(seconds, seed) for seed, seconds in enumerate(lengths)]
    sizes = np.array([len(wave) for wave in waves], np.int64)
    names = tuple(map(str, range(pieces)))
    return data.AudioBank(np.concatenate(waves), np.cumsum(sizes) - sizes, sizes, names)


def exhaust(things: Iterable[Any]) -> None:
    """Take everything."""
    for _ in things:
        pass


def learning(pairs: data.Pairs, chosen: settings.TrainingSettings, steps: int, rounds: int) -> dict[str, float]:
    """Median steps a second of the loop and of the bare step, under the loop's conditions."""
    times: dict[str, list[float]] = {"loop": [], "bare": []}
    with trainer.use_deterministic_operations():
        network = trainer.TripletLearner(pairs.bank, pairs.bank, chosen)
        ready = list(data.make_dataset(pairs, 0, steps))
        loop = network.steps(data.make_dataset(pairs, 0, (steps + SETTLE) * rounds))
        for _ in range(rounds):
            exhaust(islice(loop, SETTLE))
            times["loop"].append(seconds_of(lambda: exhaust(islice(loop, steps))))
            times["bare"].append(seconds_of(lambda: exhaust(float(network.learn(b)["loss"]) for b in ready)))
    return {way: steps / statistics.median(taken) for way, taken in times.items()}


def hearing(pairs: data.Pairs, steps: int, rounds: int) -> float:
    """Seconds of audio that become log-mel in a second."""
    audio = 2 * pairs.settings.batch * steps * data.WINDOW_SAMPLES / SAMPLE_RATE
    batches = iter(data.make_dataset(pairs, 0, (steps + SETTLE) * rounds))
    taken = []
    for _ in range(rounds):
        exhaust(islice(batches, SETTLE))
        taken.append(seconds_of(lambda: exhaust(islice(batches, steps))))
    return audio / statistics.median(taken)


def inference(tap: str, rounds: int) -> float:
    """Seconds of audio that become vectors in a second, in batches of 30 s."""
    heard = networks.make_embedding(networks.trill_mini(), tap, "benchmark")
    clips = np.stack([speech_like(3.0, seed) for seed in range(10)]).astype(np.float32) / np.float32(32767)
    lengths = np.full(len(clips), clips.shape[1])
    heard.embed(clips, lengths)
    taken = statistics.median(seconds_of(lambda: heard.embed(clips, lengths)) for _ in range(2 * rounds))
    return clips.size / SAMPLE_RATE / taken


def main() -> None:
    """Print what was measured beside what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="pairs in a batch")
    parser.add_argument("--steps", type=int, default=20, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores; {given.batch} pairs a batch, median of {given.rounds} rounds")
    chosen = settings.make_training_settings({**CHOICES, "batch": given.batch})
    pairs = data.Pairs(recordings(8 * given.batch), chosen.pairs)
    speeds = learning(pairs, chosen, given.steps, given.rounds)
    report([Figure("loop / bare step", speeds["loop"] / speeds["bare"], at_least=0.85,
                   note=f"{speeds['loop']:.2f} and {speeds['bare']:.2f} steps/s"),
            Figure("log-mel of training windows", hearing(pairs, given.steps, given.rounds), "x real time",
                   at_least=200)])
    report([Figure(f"inference, {tap}", inference(tap, given.rounds), "x real time", at_least=60)
            for tap in networks.TAPS])


if __name__ == "__main__":
    main()
