"""How probes grow with clips, classes and dimensions, and what the kit says before it starts: one plot.

Each point is the paper's grid (five probes, four normalisations) on synthetic vectors, in a process of its own: wall
time, processor time and peak memory, beside the estimates of time and memory that a long run prints first. One axis
grows at a time: clips 1,000 to 100,000 (128 dimensions, 6 classes), classes 2 to 1,200 (10,000 clips), dimensions 128
to 12,288 (1,000 clips). Clips are those in train; validation and test have a quarter of them each. The plot is
``reports/benchmarks/growth.svg``, its numbers ``growth.csv``.

Usage: ``python benchmarks/estimates.py [--largest CLIPS] [--most-classes N] [--longest DIM]``
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import Figure, report, run_process

from nslib import config
from nslib.evaluation import benchmark, probe
from nslib.evaluation.probe import LabelledVectors

AXES = {"clips": (1_000, 10_000, 100_000), "classes": (2, 40, 1_200), "dimensions": (128, 1_024, 12_288)}
OTHERS = {"clips": {"classes": 6, "dimensions": 128}, "classes": {"clips": 10_000, "dimensions": 128},
          "dimensions": {"clips": 1_000, "classes": 6}}


def make_vectors(clips: int, classes: int, dim: int, seed: int) -> LabelledVectors:
    """Make vectors of a few strong directions, classes and noise, as embeddings have them; 20 speakers."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(dim)
    y = np.arange(clips) % classes
    x = rng.standard_normal((clips, dim), np.float32)
    x += 0.5 * fixed.standard_normal((classes, dim), np.float32)[y]
    x += rng.standard_normal((clips, 8), np.float32) @ fixed.standard_normal((8, dim), np.float32)
    names = np.array([f"{seed}-{i:06d}" for i in range(clips)])
    return LabelledVectors(x, np.char.zfill(y.astype(str), 4), (np.arange(clips) % 20).astype(str), names)


def time_grid(clips: int, classes: int, dim: int) -> None:
    """Print the estimates of one point and what its grid took."""
    # every class must be in each part
    splits = [make_vectors(n, classes, dim, k) for k, n in enumerate((clips, *[max(clips // 4, classes)] * 2))]
    said = benchmark.estimate_probes_seconds(clips, dim, classes, 4)
    memory = benchmark.memory_gb(sum(len(split.y) for split in splits), clips, dim)
    probe.grid(*(make_vectors(60, 2, 8, k) for k in range(3)))  # what is compiled or loaded once is not of the size
    began = time.perf_counter()
    probe.grid(*splits)
    print(json.dumps({"estimated s": said, "took s": time.perf_counter() - began, "estimated MB": 1000 * memory}))


def measure(limits: dict[str, int]) -> pd.DataFrame:
    """One row a point, up to the given sizes."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for axis, sizes in AXES.items():
            for size in [n for n in sizes if n <= limits[axis]]:
                point = {axis: size} | {other: min(n, limits[other]) for other, n in OTHERS[axis].items()}
                log = Path(folder) / "said.txt"
                words = [str(point[name]) for name in ("clips", "classes", "dimensions")]
                cost = run_process([sys.executable, __file__, "--one", *words], Path(folder), os.environ, log)
                found = json.loads(log.read_text().splitlines()[-1])
                rows.append({"axis": axis, **point, **found, "processor s": cost.processor, "peak MB": cost.memory})
                print(f"  {', '.join(f'{n:,} {name}' for name, n in point.items())}: estimated "
                      f"{found['estimated s']:.1f} s, took {found['took s']:.1f} s; estimated "
                      f"{found['estimated MB']:.0f} MB of arrays, peak {cost.memory:.0f} MB", flush=True)
    return pd.DataFrame(rows)


def draw(rows: pd.DataFrame, folder: Path) -> None:
    """Draw time against size, a panel an axis, and write the numbers."""
    from matplotlib.figure import Figure as Picture

    folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / "growth.csv", index=False)
    picture = Picture(figsize=(11, 3.8), layout="constrained")
    panels = picture.subplots(1, len(AXES), sharey=True)
    for panel, (axis, part) in zip(panels, rows.groupby("axis", sort=False), strict=False):
        others = ", ".join(f"{part[name].iloc[0]:,} {name}" for name in OTHERS[axis])
        panel.fill_between(part[axis], part["estimated s"] / 3, part["estimated s"] * 3, color="0.9",
                           label="estimate, within a factor of three")
        panel.loglog(part[axis], part["estimated s"], "--", color="0.5", label="estimate, said before")
        panel.loglog(part[axis], part["took s"], "o-", color="#0072B2", label="took, by the clock")
        panel.loglog(part[axis], part["processor s"], "s:", color="#D55E00", label="processor time, imports too")
        panel.set(title=others, xlabel=axis)
        panel.minorticks_off()
        panel.set_xticks(part[axis], [f"{size:,}" for size in part[axis]])
    panels[0].set_ylabel("seconds")
    picture.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    picture.savefig(folder / "growth.svg")
    print(f"  figure: {folder / 'growth.svg'}")


def main() -> None:
    """Measure, draw, and hold each estimate to its promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=AXES["clips"][-1], help="clips at most")
    parser.add_argument("--most-classes", type=int, default=AXES["classes"][-1])
    parser.add_argument("--longest", type=int, default=AXES["dimensions"][-1], help="dimensions at most")
    parser.add_argument("--one", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        time_grid(*given.one)
        return
    rows = measure({"clips": given.largest, "classes": given.most_classes, "dimensions": given.longest})
    draw(rows, config.reports_dir() / "benchmarks")
    report([Figure(f"estimate over what it took: {row.clips:,} clips, {row.classes:,} classes, "
                   f"{row.dimensions:,} dimensions", row[5] / row[6], "x", at_least=1 / 3, at_most=3.0)
            for row in rows[["axis", "clips", "classes", "dimensions", "estimated s", "took s"]].itertuples()])


if __name__ == "__main__":
    main()
