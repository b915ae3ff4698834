"""What a GPU gives, in at most eight minutes: extraction, precision, replicas, memory that does not suffice, training.

Networks are of the published models' shapes (TRILL, TRILL-distilled, FRILL), with weights that were drawn: these cost
the same. Each is measured in float32 and in mixed precision (float16), end to end against the bare network on batches
in memory; with two GPUs or more, on one and on all. A batch that does not fit a part of the memory is halved until it
does, and must give the same vectors. A step of triplet training in mixed precision must be faster than in float32,
and its loss must keep to that of float32 within the noise from step to step. The table goes to
``reports/benchmarks/gpu.md``, as docs/speed.md takes it in. Without a GPU, and with ``--small``, all of it runs with
small networks: then figures mean nothing.

Usage: ``python benchmarks/gpu.py [--clips N] [--rounds K] [--steps N] [--small]``
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import Figure, in_turn, report, seconds_of
from extract import batches, make_clips, product
from train import make_noise

from nslib import config
from nslib.embeddings import networks
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.extraction import devices
from nslib.training import trainer
from nslib.training.settings import make_training_settings

LARGE = {"resnet50-trill": networks.LAYER19_TAP, "mobilenet-1.0": networks.EMBEDDING_TAP,
         "mobilenetv3-small-2.0": networks.EMBEDDING_TAP}
SMALL = {"trill-mini": networks.LAYER19_TAP, "mobilenetv3-small-0.25-512": networks.EMBEDDING_TAP}
PRECISIONS = ("float32", "mixed_float16")
BATCH_SECONDS = (60.0, 240.0)
PART_GB = 3  # of the GPU's memory, that a batch shall not fit
LONG_BATCH = 1024  # clips of 10 s


def build(network: str, tap: str, precision: str) -> Embedding:
    """Make an embedding of a new network in a precision."""
    with trainer.use_precision(precision):
        model = networks.build_network(network)
    return networks.make_embedding(model, tap, f"{network}-{precision}")


def measure_extraction(network: str, tap: str, clips: pd.DataFrame, rounds: int) -> list[Figure]:
    """Measure extraction in both precisions against the bare network, and the difference of their vectors."""
    seconds, found, rates, vectors = float(clips["seconds"].sum()), [], {}, {}
    for precision in PRECISIONS:
        embedding = build(network, tap, precision)
        ready = {size: batches(clips, embedding, size) for size in BATCH_SECONDS}
        ways: dict[str, Callable[[], object]] = {"product": lambda e=embedding: product(clips, e)}
        for size, some in ready.items():
            ways[f"bare {size:g}"] = lambda e=embedding, some=some: [e.embed(*batch) for batch in some]
        in_turn(ways, 1)  # builds the graphs
        times = in_turn(ways, rounds)
        bare = min(time for way, time in times.items() if way != "product")
        rates[precision], vectors[precision] = seconds / times["product"], product(clips, embedding).vectors
        found += [Figure(f"{network}, {precision}: times real time", rates[precision], "x"),
                  Figure(f"{network}, {precision}: extraction over the bare network", bare / times["product"],
                         at_least=0.9)]
    one, other = (vectors[precision] for precision in PRECISIONS)
    apart = np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)
    return [*found, Figure(f"{network}: mixed precision over float32", rates[PRECISIONS[1]] / rates[PRECISIONS[0]]),
            Figure(f"{network}: largest change of a vector by mixed precision", 100 * float(apart.max()), "%",
                   at_most=2.0)]


def measure_replicas(network: str, tap: str, clips: pd.DataFrame, rounds: int) -> list[Figure]:
    """Measure extraction on all GPUs against one; nothing where there are not two."""
    gpus = [name for name in devices.list_devices() if name.startswith("GPU:")]
    if len(gpus) < 2:
        return []
    embedding, times = build(network, tap, "float32"), []
    for chosen in (gpus[:1], gpus):
        with config.environment(NSLIB_DEVICES=",".join(chosen)):
            product(clips, embedding)
            times.append(statistics.median(seconds_of(lambda: product(clips, embedding)) for _ in range(rounds)))
    return [Figure(f"{network}: {len(gpus)} GPUs over one", times[0] / times[1], at_least=0.8 * len(gpus))]


def halve(network: str, tap: str, clips: int) -> None:
    """Embed a batch that a part of the memory does not hold, and print how far off that leaves the vectors."""
    import tensorflow as tf

    if gpus := tf.config.list_physical_devices("GPU"):
        part = tf.config.LogicalDeviceConfiguration(memory_limit=1024 * PART_GB)
        tf.config.set_logical_device_configuration(gpus[0], [part])
    embed = build(network, tap, "float32").embed
    waves = np.random.default_rng(0).normal(0, 0.1, (clips, 10 * SAMPLE_RATE)).astype(np.float32)
    lengths, calls = np.full(clips, waves.shape[1]), []

    def counted(some: Any, of: Any) -> Any:
        calls.append(len(some))
        if not gpus and len(some) > 2:  # the processor's memory is not filled for a test
            raise tf.errors.ResourceExhaustedError(None, None, "as if it were full")
        return embed(some, of)

    vectors, _ = devices.SmallerBatches(counted)(waves, lengths)
    few = np.concatenate([embed(waves[k:k + 2], lengths[k:k + 2])[0] for k in range(0, min(clips, 8), 2)])
    print(f"halved {sum(size > 2 for size in calls)} {np.abs(vectors[:len(few)] - few).max()}")


def measure_halving(network: str, tap: str, clips: int) -> list[Figure]:
    """Run `halve` in a process of its own, whose GPU has little memory."""
    done = subprocess.run([sys.executable, __file__, "--halve", network, tap, str(clips)], capture_output=True,
                          text=True, env={**os.environ, "NSLIB_DEVICES": ""}, check=True)
    _, times, apart = done.stdout.splitlines()[-1].split()
    return [Figure(f"{network}: batch of {clips} clips, larger calls before it fitted", float(times), at_least=1),
            Figure(f"{network}: largest change of a number by halving", float(apart), at_most=1e-4)]


def measure_training(network: str, pairs: int, steps: int) -> list[Figure]:
    """Measure steps of triplet training in both precisions, on the same batches from the same weights."""
    bank, losses, times = make_noise(2 * pairs), {}, {}
    for precision in PRECISIONS:
        chosen = make_training_settings({"network": network, "batch": pairs, "held_out": 1, "precision": precision})
        learner = trainer.TripletLearner(bank, bank, chosen)
        taken, figures = learner.steps(learner.batches(0, steps)), []
        spent = [seconds_of(lambda taken=taken, figures=figures: figures.append(next(taken))) for _ in range(steps)]
        losses[precision], times[precision] = np.array([one["loss"] for one in figures]), statistics.median(spent[1:])
    full, mixed = (losses[precision] for precision in PRECISIONS)
    noise = float(np.std(np.diff(full))) or 1.0
    apart = float(np.sqrt(np.mean((mixed - full) ** 2))) / noise
    return [*(Figure(f"{network}: step of {pairs} pairs, {precision}", times[precision], "s")
              for precision in PRECISIONS),
            Figure(f"{network}: training step, float32 over mixed precision",
                   times[PRECISIONS[0]] / times[PRECISIONS[1]], at_least=1.0),
            Figure(f"{network}: loss in mixed precision off float32's, in its noise of a step", apart, at_most=1.0)]


def write_table(figures: list[Figure], title: str) -> Path:
    """Write the rows that docs/speed.md takes in."""
    rows = [f"| {one.what} | {one.value:.3g} {one.unit}".rstrip() + f" | {one.wanted or '–'}"
            f"{'' if one.met is None or one.met else ': **not met**'} |" for one in figures]
    path = config.reports_dir() / "benchmarks" / "gpu.md"
    config.write_file(path, "\n".join([f"| {title} | figure | wanted |", "|---|---|---|", *rows, ""]))
    return path


def main() -> None:
    """Measure, report, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--small", action="store_true", help="small networks, as without a GPU")
    parser.add_argument("--halve", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.halve:
        halve(given.halve[0], given.halve[1], int(given.halve[2]))
        return
    gpus = devices.list_gpus()
    small = given.small or not gpus
    shapes, first = (SMALL, "trill-mini") if small else (LARGE, "resnet50-trill")
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), given.clips)
        found = [figure for name, tap in shapes.items()
                 for figure in measure_extraction(name, tap, clips, given.rounds)]
        found += measure_replicas(first, shapes[first], clips, given.rounds)
    found += measure_halving(first, shapes[first], 6 if small else LONG_BATCH)
    found += measure_training(first, 8 if small else 256, given.steps)
    report(found)
    title = "no GPU, small networks: the figures mean nothing" if small else f"{len(gpus)} x {gpus[0].name}"
    print(f"table: {write_table(found, title)}")


if __name__ == "__main__":
    main()
