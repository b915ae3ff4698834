"""What a user waits for, as a whole process: importing the kit, and a small benchmark, cold and warm.

import    `import nslib; nslib.benchmark`: seconds, and modules that it loads
cold      log-mel and MFCC on the synthetic tasks, few clips each, with an empty cache of vectors and results
warm      the same again: everything is found

Every figure is the median over rounds, in fresh processes. With ``--against`` another checkout of the kit is measured
too, in turn with this one, in the same environment, and each figure is a ratio: this one over the other.

Usage: ``python benchmarks/end_to_end.py [--rounds N] [--against CHECKOUT]``
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Figure, report

HERE = Path(__file__).resolve().parents[1]
IMPORT = ("import sys, time; began = time.perf_counter(); import nslib; nslib.benchmark; "
          "print('RESULT', time.perf_counter() - began, len(sys.modules), 'tensorflow' in sys.modules)")
BENCHMARK = ("import sys, time; began = time.perf_counter(); import nslib; "
             "nslib.benchmark(['logmel', 'mfcc'], progress=False); "
             "print('RESULT', time.perf_counter() - began, len(sys.modules), 'tensorflow' in sys.modules)")


def run(checkout: Path, code: str, cache: Path) -> tuple[float, int, bool]:
    """Seconds, loaded modules and whether TensorFlow is among them, of code in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "NSLIB_CACHE": str(cache), "CORPUS": "synthetic",
                   "NSLIB_REPORTS": str(cache / "reports"), "SMOKE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=cache, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        raise SystemExit(f"{checkout}: {done.stderr[-2000:]}")
    return float(lines[0][1]), int(lines[0][2]), lines[0][3] == "True"


def measure(checkouts: list[Path], rounds: int) -> dict[str, list[list[float]]]:
    """Figures of each checkout, taken in turn: name to one list of rounds a checkout."""
    figures: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for place, checkout in enumerate(checkouts):
            with tempfile.TemporaryDirectory() as folder:
                seconds, modules, heavy = run(checkout, IMPORT, Path(folder))
                cold = run(checkout, BENCHMARK, Path(folder))
                warm = run(checkout, BENCHMARK, Path(folder))
            found = {"import nslib; nslib.benchmark: seconds": seconds, "modules that it loads": modules,
                     "small benchmark, cold: seconds": cold[0], "small benchmark, warm: seconds": warm[0],
                     "TensorFlow loaded for log-mel (0: no)": float(heavy or cold[2])}
            for name, value in found.items():
                figures.setdefault(name, [[] for _ in checkouts])[place].append(value)
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout of the kit")
    given = parser.parse_args()
    checkouts = [HERE, *([given.against.resolve()] if given.against else [])]
    figures = measure(checkouts, given.rounds)
    print(json.dumps({name: [[round(v, 3) for v in one] for one in rounds] for name, rounds in figures.items()}))
    for name, rounds in figures.items():
        middle = [statistics.median(one) for one in rounds]
        report([Figure(name, middle[0])])
        if given.against and middle[1]:
            report([Figure(f"{name}, over {given.against.name}", middle[0] / middle[1])])


if __name__ == "__main__":
    main()
