"""How time grows with the number of clips and of dimensions: slopes between neighbouring sizes, on a log-log scale.

A slope of 1 is linear growth, 2 quadratic. Each step of the kit is run at growing sizes on one BLAS thread, in turn;
the fastest of some rounds counts, and the slope over the upper half of the sizes is held to what the step's arithmetic
says it grows with at most; below that, fixed costs hide it. All points are in ``reports/benchmarks/growth.png``.

Usage: ``python benchmarks/growth.py [--rounds K]``
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
from common import Figure, report, seconds_of
from threadpoolctl import threadpool_limits

import nslib
from nslib import config, plots
from nslib.classifiers import CLASSIFIERS
from nslib.extraction.cache import VectorCache
from nslib.plots.figure import MARKERS
from nslib.statistics import intervals

CLASSES = 6
ROOM = 0.4
"""By how much a slope may pass what is expected: caches, and a machine with other work."""


@dataclass(frozen=True)
class Curve:
    """A step of the kit at growing sizes.

    Attributes
    ----------
    what : str
    along : {"clips", "dimensions"}
    sizes : tuple of int
    expected : float
        Slope in the limit.
    work : callable
        Size to a function that does it.
    """

    what: str
    along: str
    sizes: tuple[int, ...]
    expected: float
    work: Callable[[int], Callable[[], object]]


def fit(probe: str, clips: int, dim: int) -> Callable[[], object]:
    """Fit one of the paper's classifiers to random vectors."""
    rng = np.random.default_rng(0)
    y = np.arange(clips) % CLASSES
    x = rng.normal(size=(clips, dim)) + rng.normal(size=(CLASSES, dim))[y]
    return lambda: CLASSIFIERS[probe](clips, CLASSES, 0).fit(x, y)


def interval(clips: int) -> Callable[[], object]:
    """Resample the speakers of a test set."""
    rng = np.random.default_rng(0)
    truth = (np.arange(clips) % CLASSES).astype(str)
    answers = np.where(rng.random(clips) < 0.7, truth, "0")
    speaker = (np.arange(clips) % max(5, clips // 20)).astype(str)
    return lambda: intervals.interval(truth, answers, speaker, "accuracy", seed=0)


def extraction(root: Path, clips: int) -> Callable[[], object]:
    """Embed wav files of a second."""
    embedding, rows = nslib.embeddings.get("logmel"), []
    folder = root / str(clips)
    folder.mkdir()
    for i in range(clips):
        path = nslib.audio.write_wav(folder / f"{i}.wav", np.random.default_rng(i).normal(0, 0.05, 16_000))
        rows.append((path.stem, str(path), nslib.audio.sha256(nslib.audio.read(path).wave), 1.0))
    table = pd.DataFrame(rows, columns=["clip_id", "audio", "sha256", "seconds"])

    def work() -> None:
        with tempfile.TemporaryDirectory(dir=root) as store:
            nslib.extraction.extract.extract_vectors(table, embedding, store=VectorCache(embedding, Path(store)), progress=False)

    return work


def curves(root: Path) -> list[Curve]:
    """All steps."""
    dims, clips = (512, 1024, 2048, 4096, 8192, 16_384), (100, 200, 400, 800, 1600)
    names = {"LDA_LSQR_AUTO": (1.0, 2.0), "LogisticRegression": (1.0, 1.0), "Forest_unbalanced_100": (0.5, 1.1)}
    out = []
    for probe, (by_dim, by_clips) in names.items():
        out.append(Curve(f"{probe}, 240 clips", "dimensions", dims, by_dim, lambda d, p=probe: fit(p, 240, d)))
        out.append(Curve(f"{probe}, 4096-d", "clips", clips, by_clips, lambda n, p=probe: fit(p, n, 4096)))
    out.append(Curve("interval, accuracy", "clips", (500, 2000, 8000, 32_000, 128_000), 1.0, interval))
    out.append(Curve("extraction, logmel", "clips", (100, 200, 400, 800), 1.0, lambda n: extraction(root, n)))
    return out


def measured(curve: Curve, rounds: int) -> np.ndarray:
    """Processor seconds at each size, the least of the rounds; the sizes are taken in turn."""
    works = [curve.work(size) for size in curve.sizes]
    works[0]()
    return np.min([[seconds_of(work, time.process_time) for work in works] for _ in range(rounds)], axis=0)


def slope(sizes: tuple[int, ...], seconds: np.ndarray) -> float:
    """Slope over the upper half of the sizes."""
    start = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[start:]), np.log(seconds[start:]), 1)[0])


def draw(found: list[tuple[Curve, np.ndarray]], folder: Path) -> None:
    """The figure, and what it says in words."""
    import matplotlib
    from matplotlib.figure import Figure as Picture

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(plots.style()):
        picture = Picture(figsize=(11, 5.5), layout="constrained")
        axes = dict(zip(("clips", "dimensions"), picture.subplots(1, 2), strict=True))
        for (curve, seconds), mark, colour in zip(found, MARKERS, plots.palette(len(found)), strict=False):
            label = f"{curve.what}: slope {slope(curve.sizes, seconds):.2f}, expected up to {curve.expected:g}"
            axes[curve.along].loglog(curve.sizes, seconds, marker=mark, color=colour, label=label)
        for name, ax in axes.items():
            ax.set(xlabel=name, ylabel="processor seconds")
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
        picture.savefig(folder / "growth.png", dpi=150)
    said = [f"{c.what}: {', '.join(f'{n} {c.along} {s:.3g} s' for n, s in zip(c.sizes, seconds, strict=True))}; slope "
            f"{slope(c.sizes, seconds):.2f}, expected up to {c.expected:g}." for c, seconds in found]
    (folder / "growth.txt").write_text("Processor time against size, both logarithmic.\n" + "\n".join(said) + "\n")


def main() -> None:
    """Print the slopes and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regressions that end at their hundred iterations
        for curve in curves(Path(name)):
            found.append((curve, measured(curve, given.rounds)))
            value = slope(curve.sizes, found[-1][1])
            report([Figure(f"{curve.what}: slope along {curve.along}", value, at_most=curve.expected + ROOM,
                           note=f"{found[-1][1][-1]:.3g} s at {curve.sizes[-1]:,}")])
    draw(found, config.reports_dir() / "benchmarks")


if __name__ == "__main__":
    main()
