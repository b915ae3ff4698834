"""``make bench``: every benchmark, one process each, and one table of what they found.

The table goes to ``reports/benchmarks/bench.md`` and, with all that is known of the machine, to ``bench.json``. A
benchmark that fails is shown as failed and the others go on; the exit code is then 1. A target that is not met is shown
as such and is no failure: other programs on the machine are enough to miss one. ``QUICK=1`` takes small sizes and few
rounds, to see that everything works: then figures are rough, and targets of large sizes may be missed.

Usage: ``python benchmarks/run.py [--only NAME,NAME] [--quick]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from common import KEPT, Figure

from nslib import config

HERE = Path(__file__).parent
NAMES = ("grid", "lda", "forest", "extract", "train", "gpu", "intervals", "end_to_end", "estimates", "peers",
         "faults")
"""Benchmarks in the order in which they are run."""

QUICK: dict[str, tuple[str, ...]] = {
    "grid": ("--dim", "2048", "--peer-dim", "256", "--speakers", "8"),
    "lda": ("--dims", "1024"),
    "forest": ("--only", "240x96x6", "--only", "2000x128x2"),
    "extract": ("--embedding", "trill-mini-top", "--clips", "120", "--rounds", "1"),
    "train": ("--pairs", "32", "--steps", "3"),
    "gpu": ("--small", "--clips", "60", "--rounds", "1", "--steps", "6"),
    "intervals": ("--trials", "40", "--families", "10"),
    "end_to_end": ("--rounds", "1", "--small"),
    "estimates": ("--largest", "1000", "--most-classes", "40", "--longest", "1024"),
    "peers": ("--clips", "300", "--rounds", "1"),
    "faults": ("--only", "F1")}
"""What a quick run passes on."""

LIMIT = 1800
"""Seconds after which a benchmark is stopped."""


@dataclass
class Outcome:
    """What became of one benchmark."""

    name: str
    seconds: float = 0.0
    load: float = -1.0  # of the machine before: what is near 0 was measured undisturbed; -1: the system does not say
    failed: str = ""  # why, if it failed
    figures: list[Figure] = field(default_factory=list)


def run(script: Path, options: Sequence[str] = ()) -> Outcome:
    """Run one benchmark and read its figures; what it prints goes on."""
    found = Outcome(script.stem, load=os.getloadavg()[0] if hasattr(os, "getloadavg") else -1.0)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "figures.json"
        try:
            code = subprocess.run([sys.executable, str(script), *options], env={**os.environ, KEPT: str(kept)},
                                  timeout=LIMIT, check=False).returncode
            found.failed = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            found.failed = f"stopped after {LIMIT} s"
        if kept.exists():
            found.figures = [Figure(**one) for one in json.loads(kept.read_text())]
    found.failed = found.failed or ("" if found.figures else "it reported no figure")
    found.seconds = time.perf_counter() - began
    return found


def machine() -> dict[str, str]:
    """Describe where it ran."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return {"processor": models[0].partition(":")[2].strip() if models else cpu, "cores": str(os.cpu_count()),
            "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB", "Python": platform.python_version(),
            **config.package_versions(), **config.describe_origin()}


def table(outcomes: list[Outcome], facts: dict[str, str], *, quick: bool = False) -> str:
    """Write the table as Markdown below the facts of `machine`; a quick run says that sizes were small."""
    lines = ["# Benchmarks", "", "; ".join(f"{k} {v}" for k, v in facts.items()), "",
             *(["A quick run: sizes are small and rounds few, so figures are rough.", ""] if quick else []),
             "| benchmark | what | figure | wanted | | seconds |", "|---|---|---|---|---|---|"]
    for one in outcomes:
        rows = [f"| {one.name} | {f.what}{f' ({f.note})' if f.note else ''} | {f.value:.4g} {f.unit} | {f.wanted} | "
                f"{'' if f.met is None else 'met' if f.met else 'NOT met'} |" for f in one.figures]
        rows += [f"| {one.name} | FAILED: {one.failed} | | | |"] if one.failed else []
        lines += [f"{row} {f'{one.seconds:.0f}' if row is rows[0] else ''} |" for row in rows]
    load = "; ".join(f"{o.name} {o.load:.1f}" for o in outcomes)
    judged = [f.met for o in outcomes for f in o.figures if f.met is not None]
    return "\n".join([*lines, "", f"{sum(judged)} of {len(judged)} targets met, "
                      f"{sum(bool(o.failed) for o in outcomes)} benchmarks failed; "
                      f"{sum(o.seconds for o in outcomes):.0f} s. Load of the machine before each: {load}.", ""])


def main() -> int:
    """Run them and write the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names, comma-separated: " + ", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", default=os.environ.get("QUICK", "") not in ("", "0"),
                        help="small sizes and few rounds (the same as QUICK=1)")
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name] or list(NAMES)
    if unknown := set(chosen) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    outcomes, folder = [], config.reports_dir() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        print(f"== {name}", flush=True)
        outcomes.append(run(HERE / f"{name}.py", QUICK.get(name, ()) if given.quick else ()))
        facts = machine()
        said = table(outcomes, facts, quick=given.quick)
        (folder / "bench.md").write_text(said)
        kept = {"machine": facts, "quick": given.quick, "outcomes": [asdict(outcome) for outcome in outcomes]}
        (folder / "bench.json").write_text(json.dumps(kept, indent=1))
    print(f"\n{said}-> {folder / 'bench.md'}")
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
