"""The paper's grid of probes on long vectors: how long it takes, and how long scikit-learn's plain way takes.

grid     5 probes x 4 normalisations at 240 x 12,288, 7 classes, as `nslib.probe.grid` has them
peer     the same fits as the authors' evaluation makes them: each classifier of scikit-learn on its own, one after the
         other, discriminant analysis by scikit-learn's own solver; at a size that it can do
within   personalised probes: 91 speakers of 80 clips, 6 classes, 12,288 dimensions, all probes with and without L2

Seconds are the processor's where two ways are compared (both on one BLAS thread), and the clock's elsewhere.

Usage: ``python benchmarks/grid.py [--dim N] [--peer-dim N] [--speakers N]``
"""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import Figure, report, seconds_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits

import nslib
from nslib import probe
from nslib.classifiers import CLASSIFIERS, PROBES, normalised
from nslib.probe_data import Split
from nslib.protocols import fits
from nslib.protocols.material import Material
from nslib.protocols.plans import Plan

CLASSES = 7
SPEAKER_CLASSES, CLIPS_EACH = 6, 80
PARTS = {"train": 64, "validation": 8, "test": 8}


def made(clips: int, dim: int, seed: int) -> Split:
    """Vectors of a few strong directions, classes and noise, as embeddings have them."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(dim)
    y = rng.integers(0, CLASSES, clips)
    y[:CLASSES] = np.arange(CLASSES)
    x = rng.normal(size=(clips, dim)) + 0.2 * fixed.normal(size=(CLASSES, dim))[y]
    x += rng.normal(size=(clips, 20)) @ fixed.normal(size=(20, dim))
    names = np.array([f"{seed}-{i:05d}" for i in range(clips)])
    return Split(x.astype(np.float32), y.astype(str), (np.arange(clips) % 10).astype(str), names)


def grid(dim: int) -> float:
    """Seconds of the kit's grid."""
    splits = [made(240, dim, 0), made(120, dim, 1), made(120, dim, 2)]
    return seconds_of(lambda: probe.grid(*splits, jobs=2))


def plain(splits: list[Split], lda: Any) -> list[np.ndarray]:
    """Answers of every fit, one after the other, each on a copy of its own."""
    train, _, test = splits
    out = []
    for name in PROBES:
        for l2 in (False, True):
            for norm in (False, True):
                x, new = (normalised(np.asarray(s.x, np.float64), s.speaker, l2=l2, speaker_norm=norm)
                          for s in (train, test))
                model = lda() if name == "LDA_LSQR_AUTO" else CLASSIFIERS[name](len(x), CLASSES, 0)
                out.append(model.fit(x, train.y.astype(int)).predict(new))
    return out


def against_peer(dim: int) -> list[Figure]:
    """The kit's grid and the plain way on one core, and whether they answer the same."""
    splits = [made(240, dim, 0), made(120, dim, 1), made(120, dim, 2)]
    theirs: list[np.ndarray] = []
    with threadpool_limits(1):
        slow = seconds_of(lambda: theirs.extend(plain(splits, lambda: LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto"))), time.process_time)
    fast = seconds_of(lambda: probe.grid(*splits, jobs=1), time.process_time)
    ours = plain(splits, lambda: CLASSIFIERS["LDA_LSQR_AUTO"](240, CLASSES, 0))
    same = np.mean([np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)])
    return [Figure(f"grid at 240 x {dim}, scikit-learn's plain way / here", slow / fast, "x",
                   note=f"{slow:.1f} s and {fast:.1f} s of processor; the kit's time has its intervals in it"),
            Figure("fits that answer the same", same, at_least=1.0)]


def speakers(count: int, dim: int) -> tuple[Material, Plan]:
    """Clips of many speakers, each split inside itself."""
    clips, rng = count * CLIPS_EACH, np.random.default_rng(0)
    label = np.arange(clips) % SPEAKER_CLASSES
    x = rng.normal(size=(clips, dim)).astype(np.float32)
    x += 0.2 * rng.normal(size=(SPEAKER_CLASSES, dim)).astype(np.float32)[label]
    table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(clips)], "label": label.astype(str),
                          "speaker": (np.arange(clips) // CLIPS_EACH).astype(str)})
    listed = tuple(zip(table["clip_id"], table["speaker"], strict=True))
    parts = {}
    for k in range(count):
        order = k * CLIPS_EACH + np.arange(CLIPS_EACH)
        cuts = np.cumsum(list(PARTS.values()))[:-1]
        parts[str(k)] = dict(zip(PARTS, np.split(order, cuts), strict=True))
    task = nslib.datasets.tasks.get_task("style-synthetic")
    return Material(task, "benchmark", "0", table, x, listed), Plan(0, parts, {})


def within(count: int, dim: int) -> float:
    """Seconds of all probes inside every speaker."""
    mine, plan = speakers(count, dim)
    combinations = [(name, l2) for name in PROBES for l2 in (False, True)]
    return seconds_of(lambda: fits.fit(mine, [plan], combinations, seed=0, jobs=2, progress=None))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=12_288)
    parser.add_argument("--peer-dim", type=int, default=1024)
    parser.add_argument("--speakers", type=int, default=91)
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regressions that end at their hundred iterations
        grid(64)
        report([Figure(f"grid of 5 probes x 4 normalisations at 240 x {given.dim}", grid(given.dim), "s", at_most=30)])
        report([Figure(f"all probes inside {given.speakers} speakers at {given.dim} dimensions",
                       within(given.speakers, given.dim), "s", at_most=60,
                       note=f"{given.speakers * len(PROBES) * 2} fits")])
        report(against_peer(given.peer_dim))


if __name__ == "__main__":
    main()
