"""What the row space saves: discriminant analysis here and in scikit-learn, ratios measured in one run.

Each row fits the same clips both ways, on one BLAS thread as the probe does, and compares decisions on new clips.
Seconds are the processor's, so that other programs do not count. scikit-learn is run up to ``--dims`` dimensions: 2,048
take it some 5 s, 4,096 some 30 s, and time goes on to grow with the cube.
The probe itself leaves vectors of up to 128 numbers to scikit-learn.

Usage: ``python benchmarks/lda.py [--dims N] [--only CLIPSxDIM ...]``
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from typing import Any

import numpy as np
from common import Figure, report
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits

from nslib.evaluation import lda

SIZES = ((240, 512), (240, 2048), (240, 4096), (240, 12288), (2000, 12288), (2000, 2048), (5000, 2048))
CLASSES = 6
WANTED = 4096
"""Dimensions from which on a hundred times is wanted."""


def clips(count: int, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a few strong directions and noise, as embeddings have them; the same classes for every seed."""
    fixed, rng = np.random.default_rng(dim), np.random.default_rng(seed)
    centres, directions = fixed.normal(0, 0.2, (CLASSES, dim)), fixed.normal(size=(20, dim))
    y = np.arange(count) % CLASSES
    x = rng.normal(size=(count, dim))
    x += rng.normal(size=(count, 20)) @ directions
    x += centres[y]
    return x, y


def fitted(model: Any, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Processor seconds of a fit, and the peak of what it allocates in GB."""
    tracemalloc.start()
    began = time.process_time()
    model.fit(x, y)
    taken, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1] / 1e9
    tracemalloc.stop()
    return taken, peak


def compare(count: int, dim: int, largest: int) -> tuple[str, list[Figure]]:
    """One line of the table, and where both ways ran what they come to."""
    x, y = clips(count, dim, 0)
    ours = lda.ShrinkageLDA(solver="lsqr", shrinkage="auto")
    taken, peak = fitted(ours, x, y)
    line = f"{count:7,} x {dim:6,}  {x.nbytes / 1e9:7.2f} GB  {taken:8.2f} s  {peak:6.2f} GB"
    if dim > largest:
        return f"{line}  {'not run':>10}", []
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    slow, more = fitted(theirs, x, y)
    new = clips(1000, dim, 1)[0]
    found, expected = ours.decision_function(new), theirs.decision_function(new)
    apart = np.abs(found - expected).max() / np.abs(expected).max()
    same = float(np.mean(ours.predict(new) == theirs.predict(new)))
    name = f"LDA at {count:,} x {dim:,}"
    figures = [Figure(f"{name}: scikit-learn / here", slow / taken, "x", at_least=100 if dim >= WANTED else None),
               Figure(f"{name}: largest difference of decisions, relative", apart, at_most=1e-6),
               Figure(f"{name}: predictions that are the same", same, at_least=1.0)]
    return (f"{line}  {slow:8.2f} s  {more:6.2f} GB  {slow / taken:6.1f} x  "
            f"{apart:9.1e}"), figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dims", type=int, default=4096, help="run scikit-learn up to so many dimensions")
    parser.add_argument("--only", action="append", help="sizes such as 240x2048 (default: seven)")
    given = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in given.only] if given.only else SIZES
    lda.SMALL = 0  # the first size shows why the probe asks for no row space there
    print(f"{'clips x dim':>16}  {'vectors':>10}  {'here':>10}  {'memory':>9}  {'theirs':>10}  {'memory':>9}  "
          f"{'ratio':>8}  difference of decisions")
    figures: list[Figure] = []
    with threadpool_limits(1):
        compare(60, 600, 600)  # the first call of everything
        for count, dim in sizes:
            line, new = compare(count, dim, given.dims)
            print(line, flush=True)
            figures += new
    report(figures)


if __name__ == "__main__":
    main()
