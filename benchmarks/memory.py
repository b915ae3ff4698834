"""Peak memory of extraction over the size of the corpus: it should not grow.

Distinct clips of noise are written as WAV files, and the hand-made embedding ``logmel``, which needs little memory
itself, is extracted from the first 1,000, 10,000 and so on of them, each time in a process of its own. Counted is
the highest memory of that process (resident set) above what it had once everything was imported and the clip table
was loaded. Reading all vectors back afterwards takes their own size, and is not counted.

Usage: ``python benchmarks/memory.py [--largest N] [--seconds S] [--out FILE.png]``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from common import Figure, report

from nslib import audio, config

SMALLEST, LARGEST, SECONDS = 1_000, 100_000, 0.3
TARGET_GROWTH_MB = 50.0
_FILES_A_FOLDER = 5_000


def write_clips(folder: Path, count: int, seconds: float) -> pd.DataFrame:
    """Write clips and list them as a clip table."""
    rng = np.random.default_rng(0)
    samples = round(seconds * audio.SAMPLE_RATE)

    def rows() -> Iterator[tuple[str, str, str, float]]:
        for k in range(count):
            if k % _FILES_A_FOLDER == 0:
                place = folder / str(k // _FILES_A_FOLDER)
                place.mkdir()
            # lengths differ a little, as real ones do
            pcm = rng.integers(-3000, 3000, samples + k % 160, np.int16)
            with wave.open(str(path := place / f"{k}.wav"), "wb") as file:
                file.setparams((1, 2, audio.SAMPLE_RATE, len(pcm), "NONE", ""))
                file.writeframesraw(pcm.tobytes())
            key = audio.sha256(pcm.astype(np.float32) / np.float32(32767))
            yield f"clip{k}", str(path), key, len(pcm) / audio.SAMPLE_RATE

    return pd.DataFrame(rows(), columns=["clip_id", "audio", "sha256", "seconds"])


def one(table: Path, count: int) -> None:
    """Extract the first clips of a table and print how much memory that took."""
    import resource

    import psutil

    from nslib import embeddings
    from nslib.extraction import extract
    from nslib.extraction.cache import VectorCache

    clips = pd.read_parquet(table).iloc[:count].reset_index(drop=True)
    mine = embeddings.get("logmel")
    with tempfile.TemporaryDirectory() as folder:
        extract.fill_cache(clips.iloc[:10], mine, store=VectorCache(mine, Path(folder, "first")), progress=False)
        before, began = psutil.Process().memory_info().rss, time.perf_counter()
        filled = extract.fill_cache(clips, mine, store=VectorCache(mine, Path(folder, "all")), progress=False)
        taken = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    print(json.dumps({"clips": len(filled.clips), "before": before / 1e6, "above": (peak - before) / 1e6,
                      "vectors": len(filled.clips) * mine.dim * 4 / 1e6, "seconds": taken}))


def draw(rows: list[dict[str, float]], out: Path) -> None:
    """Save the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, axes = plt.subplots(figsize=(6.0, 3.6), layout="constrained")
    sizes = [row["clips"] for row in rows]
    axes.plot(sizes, [row["before"] + row["above"] for row in rows], "o-", label="peak of the process")
    axes.plot(sizes, [row["above"] for row in rows], "s-", label="of that, by extraction")
    axes.plot(sizes, [row["vectors"] for row in rows], ":", color="0.5", label="size of all vectors")
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlabel("clips in the corpus")
    axes.set_ylabel("memory (MB)")
    axes.legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(out, dpi=150)


def main() -> None:
    """Print a table, write a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=LARGEST)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a clip")
    parser.add_argument("--out", type=Path, default=config.reports_dir() / "benchmarks" / "memory.png")
    parser.add_argument("--one", nargs=2, metavar=("TABLE", "COUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(Path(given.one[0]), int(given.one[1]))
        return
    sizes = [size for size in (SMALLEST * 10**k for k in range(9)) if size < given.largest] + [given.largest]
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "clips.parquet"
        write_clips(Path(folder), given.largest, given.seconds).to_parquet(table)
        for size in sizes:
            command = [sys.executable, __file__, "--one", str(table), str(size)]
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows.append(row := json.loads(told.splitlines()[-1]))
            print(f"  {row['clips']:8} clips: extraction took {row['above']:6.1f} MB above {row['before']:.0f} MB, "
                  f"{row['seconds']:.1f} s; all vectors are {row['vectors']:.1f} MB", flush=True)
    draw(rows, given.out)
    growth = max(row["above"] for row in rows) - rows[0]["above"]
    report([Figure(f"growth of peak memory, {sizes[0]} to {sizes[-1]} clips", growth, "MB", at_most=TARGET_GROWTH_MB),
            Figure(f"peak memory above that of imports and clip table, {sizes[-1]} clips", rows[-1]["above"], "MB")])
    print(f"  figure: {given.out}")


if __name__ == "__main__":
    main()
