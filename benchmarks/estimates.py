"""How good the estimates of probe time are: processor seconds estimated and needed, and their ratio.

Run: ``python benchmarks/estimates.py`` (about a minute). The vectors are random, so easy that logistic regression
stops before the hundred iterations that an estimate counts; forests dominate all the same.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
from common import Figure, report
from threadpoolctl import threadpool_limits

from nslib import estimates
from nslib.classifiers import CLASSIFIERS

SIZES = ((400, 512, 4), (2000, 512, 6), (1500, 4096, 6))


def main() -> None:
    """Print a line a size."""
    print("clips  dim classes  estimated   needed  ratio  (forests alone: s by clip, level and candidate)")
    figures: list[Figure] = []
    for clips, dim, classes in SIZES:
        rng = np.random.default_rng(0)
        y = rng.integers(0, classes, clips)
        x = 3 * rng.normal(size=(clips, dim)) + rng.normal(size=(classes, dim))[y]
        taken = {name: seconds(make(clips, classes, 0), x, y) for name, make in CLASSIFIERS.items()}
        forests = sum(took for name, took in taken.items() if name.startswith("Forest"))
        constant = forests / (2 * 100 * clips * np.log2(clips) * np.sqrt(dim))
        guess, total = estimates.probes_seconds(clips, dim, classes, 1, jobs=1), sum(taken.values())
        figures.append(Figure(f"probes at {clips} x {dim}, {classes} classes: estimated / needed", guess / total,
                              at_least=1 / 3, at_most=3))
        print(f"{clips:5d} {dim:4d} {classes:7d} {guess:9.1f} s {total:6.1f} s {guess / total:6.2f}  ({constant:.1e})")
    report(figures)


def seconds(model: object, x: np.ndarray, y: np.ndarray) -> float:
    """Processor time of a fit on one BLAS thread."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began = time.process_time()
        model.fit(x, y)  # type: ignore[attr-defined]
        return time.process_time() - began


if __name__ == "__main__":
    main()
