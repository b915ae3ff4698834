"""The paper's grid of probes on long vectors: how long it takes, and how long scikit-learn's plain way takes.

grid     5 probes x 4 normalisations at 240 x 12,288, 7 classes, as `nslib.evaluation.probe.grid` has them
peer     the same fits as the authors' evaluation makes them: each classifier of scikit-learn on its own, one after the
         other, discriminant analysis by scikit-learn's own solver; at a size that it can do
within   personalised probes: 91 speakers of 80 clips, 6 classes, 12,288 dimensions, all probes with and without L2

Seconds are the processor's where two ways are compared (both on one BLAS thread), and the clock's elsewhere.

Usage: ``python benchmarks/grid.py [--dim N] [--peer-dim N] [--speakers N]``
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from common import Figure, report, seconds_of
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits

from nslib.datasets.tasks import get_task
from nslib.evaluation import probe, protocols
from nslib.evaluation.classifiers import CLASSIFIERS, PROBES, normalise
from nslib.evaluation.probe import LabelledVectors

CLASSES = 7
SPEAKER_CLASSES, CLIPS_EACH = 6, 80
SHARES = (0.8, 0.1, 0.1)


def made(clips: int, dim: int, seed: int) -> LabelledVectors:
    """Vectors of a few strong directions, classes and noise, as embeddings have them."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(dim)
    y = rng.integers(0, CLASSES, clips)
    y[:CLASSES] = np.arange(CLASSES)
    x = rng.normal(size=(clips, dim)) + 0.2 * fixed.normal(size=(CLASSES, dim))[y]
    x += rng.normal(size=(clips, 20)) @ fixed.normal(size=(20, dim))
    names = np.array([f"{seed}-{i:05d}" for i in range(clips)])
    return LabelledVectors(x.astype(np.float32), y.astype(str), (np.arange(clips) % 10).astype(str), names)


def grid(dim: int) -> float:
    """Seconds of the kit's grid."""
    splits = [made(240, dim, 0), made(120, dim, 1), made(120, dim, 2)]
    return seconds_of(lambda: probe.grid(*splits, jobs=2))


def plain(splits: list[LabelledVectors], lda: Any) -> list[np.ndarray]:
    """Answers of every fit, one after the other, each on a copy of its own."""
    train, _, test = splits
    out = []
    for name in PROBES:
        for l2 in (False, True):
            for norm in (False, True):
                x, new = (normalise(np.asarray(s.x, np.float64), s.speaker, l2=l2, speaker_norm=norm)
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


def speakers(count: int, dim: int) -> protocols.TaskVectors:
    """Vectors of many speakers, each with as many clips of every class."""
    clips, rng = count * CLIPS_EACH, np.random.default_rng(0)
    label = np.arange(clips) % SPEAKER_CLASSES
    x = rng.normal(size=(clips, dim)).astype(np.float32)
    x += 0.2 * rng.normal(size=(SPEAKER_CLASSES, dim)).astype(np.float32)[label]
    table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(clips)], "label": label.astype(str), "split": "",
                          "sha256": [f"{i:064x}" for i in range(clips)],
                          "speaker": (np.arange(clips) // CLIPS_EACH).astype(str)})
    return protocols.make_task_vectors(get_task("style-synthetic"), table, x, embedding="benchmark",
                                       fingerprint="0")


def within(count: int, dim: int) -> float:
    """Seconds of all probes inside every speaker, on one split."""
    data = speakers(count, dim)
    with tempfile.TemporaryDirectory() as reports:
        os.environ["NSLIB_REPORTS"] = reports  # where the result would be found again
        return seconds_of(lambda: protocols.run_one(
            "within-speaker", data, split_numbers=(666,), probes=PROBES, probabilities=SHARES, progress=False))


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
