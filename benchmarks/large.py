"""Regression on more vectors than memory should hold: against scikit-learn's, and its peak of memory.

(a) `nslib.logistic` and scikit-learn's ``LogisticRegression`` at sizes that both can do, on the same vectors, with the
    paper's settings (C = 1e5, 100 iterations at most) and converged (C = 0.001): the ratio of processor time,
    and the share of new clips that are decided otherwise. Both compute in float64. The second size does not end before
    its 100 iterations: there rounding may decide.
(b) A matrix in a file, ``--clips`` x 12,288 with ``--classes``, for ``--iterations``: peak of the process's own
    (anonymous) memory over what it held before, in copies of the matrix in float32. Pages of the file itself are the
    system's cache and do not count. From its speed: what VoxCeleb would take, by count of arithmetic.

Usage: ``python benchmarks/large.py [--clips N] [--classes N] [--iterations N]`` (about two minutes on two cores)
"""

from __future__ import annotations

import argparse
import gc
import threading
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common import Figure, report, seconds_of
from sklearn.linear_model import LogisticRegression

from nslib.large import matrix, needs
from nslib.logistic import StreamedLogisticRegression

SIZES = ((2000, 4096, 40), (8000, 256, 20))
PUBLISHED = {"C": 1e5, "max_iter": 100}
CONVERGED = {"C": 1e-3, "max_iter": 2000}
VOXCELEB = (148_642, 134_000, 12_288, 1_211)


class Peak:
    """Largest anonymous memory of this process while it is open, over what there was before, in bytes."""

    def __enter__(self) -> Peak:
        gc.collect()
        self._over, self._before = threading.Event(), anonymous()
        self.bytes = 0
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.bytes = max(self.bytes, anonymous() - self._before)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()


def anonymous() -> int:
    """Bytes that only this process holds; Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def clips(out: Any, classes: int, seed: int) -> np.ndarray:
    """Fill a matrix with overlapping classes, the same for every seed, and give the class of each row."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 0.25, (classes, out.shape[1])).astype(np.float32)
    y = rng.integers(0, classes, len(out))
    for rows in matrix.blocks(*out.shape):
        out[rows] = rng.standard_normal((rows.stop - rows.start, out.shape[1]), np.float32) + centres[y[rows]]
    return y


def compare(count: int, dim: int, classes: int) -> list[Figure]:
    """Part (a), at one size."""
    x, new = np.empty((count, dim), np.float32), np.empty((2000, dim), np.float32)
    y, _ = clips(x, classes, 0), clips(new, classes, 1)
    said, size = [], f"{count:,} x {dim:,}, {classes} classes"
    for name, settings in (("as published", PUBLISHED), ("converged", CONVERGED)):
        tol = 1e-4 / count if settings is PUBLISHED else 1e-7
        ours, theirs = (kind(tol=tol, **settings) for kind in (StreamedLogisticRegression, LogisticRegression))
        taken, slow = (seconds_of(partial(model.fit, given, y), time.process_time)
                       for model, given in ((ours, x), (theirs, x.astype(np.float64))))
        moved = float((ours.predict(new) != theirs.predict(new)).mean())
        said += [Figure(f"(a) {size}, {name}: scikit-learn / here", slow / taken,
                        note=f"{slow:.1f} and {taken:.1f} s of processor time; {ours.n_iter_[0]} and "
                             f"{theirs.n_iter_[0]} iterations"),
                 Figure("(a)   new clips decided otherwise", 100 * moved, "%",
                        at_most=0 if settings is CONVERGED else None)]
    return said


def streamed(count: int, dim: int, classes: int, iterations: int) -> list[Figure]:
    """Part (b)."""
    x = matrix.empty(count, dim)
    y = clips(x, classes, 0)
    began = time.perf_counter()
    model = StreamedLogisticRegression(1e5, tol=1e-4 / count, max_iter=iterations)
    with Peak() as peak:
        model.fit(x, y)
    taken, speed = time.perf_counter() - began, 4.0 * count * dim * classes * (model.n_iter_[0] + 1)
    hours = 4.0 * VOXCELEB[1] * VOXCELEB[2] * VOXCELEB[3] * 101 / (speed / taken) / 3600
    train = 4 * VOXCELEB[1] * VOXCELEB[2] / 1e9
    whole = needs.streamed_gb(*VOXCELEB)
    return [Figure(f"(b) {count:,} x {dim:,}, {classes} classes, from a file: memory", peak.bytes / (4 * x.size),
                   "copies", at_most=1.3, note=f"{peak.bytes / 1e9:.2f} GB for {4 * x.size / 1e9:.2f} GB of vectors"),
            Figure(f"(b)   {model.n_iter_[0]} iterations", taken, "s", note=f"{speed / taken / 1e9:.0f} GFlop/s"),
            Figure("(b)   VoxCeleb: memory of the whole grid, by count", whole / train, "copies", at_most=1.3,
                   note=f"{whole:.1f} GB for {train:.1f} GB of vectors; "
                        f"{needs.streamed_disk_gb(*VOXCELEB[:3]):.0f} GB of disk"),
            Figure("(b)   VoxCeleb: one regression of 100 iterations, at this speed", hours, "h")]


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=2)
    given = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
        StreamedLogisticRegression().fit(small, np.arange(60) % 3)  # TensorFlow itself
        for size in SIZES:
            report(compare(*size))
        report(streamed(given.clips, 12_288, given.classes, given.iterations))


if __name__ == "__main__":
    main()
