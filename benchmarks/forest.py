"""What the kit's forest saves: processor seconds of a hundred trees here and in scikit-learn, ratios in one run.

Both get the same float32 vectors by columns. That the trees are the same is a test (tests/evaluation/test_forest.py);
here the probabilities are compared once more, at sizes that a test has no time for.

Usage: ``python benchmarks/forest.py [--only CLIPSxDIMxCLASSES ...]``
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from common import Figure, report
from sklearn.ensemble import RandomForestClassifier

from nslib.evaluation.forest import RandomForest

SIZES = ((240, 96, 6), (2000, 128, 2), (6000, 128, 40), (6000, 512, 40), (4000, 1024, 200))


def clips(count: int, dim: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors by columns that tell something of their classes."""
    centres, rng = np.random.default_rng(dim).normal(0, 0.3, (classes, dim)), np.random.default_rng(seed)
    y = np.arange(count) % classes
    return np.asfortranarray(rng.normal(size=(count, dim)) + centres[y], dtype=np.float32), y


def time_fit(model: Any, x: np.ndarray, y: np.ndarray) -> float:
    """Processor seconds of a fit."""
    began = time.process_time()
    model.fit(x, y)
    return time.process_time() - began


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="sizes such as 240x96x6 (default: five)")
    given = parser.parse_args()
    RandomForest(1, None, 0).fit(*clips(20, 4, 2, 0))  # compiled once
    figures = []
    for count, dim, classes in [tuple(map(int, size.split("x"))) for size in given.only or ()] or SIZES:
        x, y = clips(count, dim, classes, 0)
        ours, theirs = RandomForest(100, None, 0), RandomForestClassifier(100, random_state=0)
        here, there = (time_fit(model, x, y) for model in (ours, theirs))
        name, new = f"forest at {count:,} x {dim:,}, {classes} classes", clips(1000, dim, classes, 1)[0]
        same = float(np.mean(ours.predict_proba(new) == theirs.predict_proba(new)))
        figures += [Figure(f"{name}: scikit-learn / here", there / here, "x", at_least=2.5),
                    Figure(f"{name}: probabilities that are the same", same, at_least=1.0)]
        print(f"{name}: {here:.2f} s here, {there:.2f} s in scikit-learn", flush=True)
    report(figures)


if __name__ == "__main__":
    main()
