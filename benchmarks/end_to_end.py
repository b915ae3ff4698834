"""What a user waits for, as whole processes: this checkout of the kit, and another one side by side.

import        `import nslib; nslib.benchmark`
small         log-mel and MFCC on the synthetic tasks, few clips each, into an empty cache; and again
reproduce     ``make reproduce`` after install, into an empty cache; and again, with nothing changed
own           ``nslib benchmark logmel --dataset`` on 12,000 clips of a second, 40 classes
own-512       the same with a spectrum of 512 numbers, a function that is given
personalised  all probes inside 91 speakers at 12,288 dimensions, 910 fits
extraction    ``benchmarks/extract.py`` of the checkout on clips of a second: product over the bare network

Each round is made by both checkouts in turn (A B A B), each with its own cache and reports, in processes that import
the kit from their checkout. Counted are wall time, processor time (of kernels and pools too) and the peak of memory of
all processes together; medians over rounds; a figure of both is a ratio, this over the other. Scores (value, interval,
choice) of every probe are compared, and each difference is named. ``reproduce`` runs the other checkout's usual tasks
and embeddings, as far as this one has them; recordings and weights are fetched before it: no network is measured.

Usage: ``python benchmarks/end_to_end.py [--work NAME ...] [--small] [--rounds N] [--python PYTHON ...]
[--against CHECKOUT]``; everything goes to ``reports/benchmarks/end_to_end.json`` too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
from common import KEPT, Cost, Figure, report, run_process, write_clips

from nslib import config

HERE = Path(__file__).resolve().parents[1]
SETTINGS = ("PROFILE", "CORPUS", "TASKS", "EMBEDDINGS", "SEED", "SMOKE", "TRANSDUCTIVE", KEPT)
SMALL = ("-c", "import nslib; nslib.benchmark(['logmel', 'mfcc'], progress=False)")
PERSONALISED = """
import sys, numpy as np, pandas as pd
try:
    from nslib.datasets.tasks import get_task
    from nslib.evaluation.classifiers import PROBES
    from nslib.evaluation.protocols import make_task_vectors, run_one
    def run(data, **settings): run_one("within-speaker", data, **settings)
except ImportError:  # before the rooms
    from nslib import classifiers, protocols, tasks
    PROBES, get_task = classifiers.PROBES, tasks.get
    make_task_vectors, run = protocols.material, protocols.within_speaker
speakers, dim = map(int, sys.argv[1:])
clips, rng = 80 * speakers, np.random.default_rng(0)
label = np.arange(clips) % 6
x = rng.normal(size=(clips, dim)).astype(np.float32) + 0.05 * rng.normal(size=(6, dim)).astype(np.float32)[label]
table = pd.DataFrame({"clip_id": [f"c{i:05d}" for i in range(clips)], "label": label.astype(str), "split": "",
                      "sha256": [f"{i:064x}" for i in range(clips)], "speaker": (np.arange(clips) // 80).astype(str)})
data = make_task_vectors(get_task("style-synthetic"), table, x, embedding="random", fingerprint="0")
run(data, split_numbers=(666,), probes=PROBES, probabilities=(0.8, 0.1, 0.1), progress=False)
"""
SPECTRUM = """
import numpy as np
def spectrum(waves):
    frames = waves[:, :waves.shape[1] // 512 * 512].reshape(len(waves), -1, 512)
    bins = np.log(np.abs(np.fft.rfft(frames)[..., 1:]) ** 2 + 1e-6)
    return np.concatenate([bins.mean(1), bins.std(1)], 1).astype(np.float32)
"""
OFFERED = """
import json
try:
    from nslib.config import load_params
    from nslib.datasets.tasks import REGISTRY, choose_task_names
    from nslib.evaluation.benchmark import default_embeddings
except ImportError:
    from nslib import measure, params, tasks
    default_embeddings, load_params = measure.defaults, params.load
    REGISTRY, choose_task_names = tasks.REGISTRY, tasks.names
import nslib
given = load_params()
print(json.dumps([nslib.__file__, [list(REGISTRY), nslib.embeddings.names()],
                  [list(choose_task_names(given)), list(default_embeddings(given))]]))
"""


@dataclass(frozen=True)
class Step:
    """A process that is measured: what to say, its command behind python, and the ratios that are wanted at most."""

    name: str
    command: tuple[str, ...]
    wanted: tuple[float | None, float | None, float | None] = (None, None, None)  # wall, processor, memory


STEPS = {
    "import": (Step("import nslib; nslib.benchmark", ("-c", "import nslib; nslib.benchmark")),),
    "small": (Step("small benchmark, empty cache", SMALL), Step("small benchmark again", SMALL)),
    "reproduce": (Step("make reproduce, empty cache", ("-m", "nslib", "reproduce"), (0.45, 0.75, 1.0)),
                  Step("make reproduce again", ("-m", "nslib", "reproduce"), (0.5, None, None))),
    "own": (Step("own data, {clips} clips x {classes} classes, log-mel",
                 ("-m", "nslib", "benchmark", "logmel", "--dataset", "{data}"), (0.35, 0.45, 0.6)),),
    "own-512": (Step("own data, {clips} clips x {classes} classes, 512 dimensions",
                     ("-m", "nslib", "benchmark", "{data}.py:spectrum", "--dataset", "{data}"), (0.45, 0.55, 0.6)),),
    "personalised": (Step("all probes inside {speakers} speakers, {dim} dimensions",
                          ("-c", PERSONALISED, "{speakers}", "{dim}"), (1.0, 1.0, 1.0)),),
    "extraction": (Step("extraction of {short} clips of a second, beside the bare network",
                        ("{checkout}/benchmarks/extract.py", "--seconds", "1", "--clips", "{short}",
                         "--embedding", "trill-mini-top")),)}
SIZES = {True: {"clips": 400, "classes": 8, "speakers": 6, "dim": 256, "short": 60},
         False: {"clips": 12_000, "classes": 40, "speakers": 91, "dim": 12_288, "short": 1_000}}
MEASURES = ("wall s", "processor s", "peak MB")
BARE = 0.85  # of the bare network, wanted of extraction
ROW = ("protocol", "shots", "task", "embedding", "probe", "l2", "speaker_norm", "split_number", "speaker", "split",
       "metric")
SCORE = ("value", "low", "high", "selected")
MADE_OF = ("data_hash", "split_hash", "weights_hash")  # where these are others, scores may be


@dataclass
class Checkout:
    """One of the two: where it is, its Python, and what its processes took, by step."""

    path: Path
    python: str
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    scores: dict[str, pd.DataFrame] = field(default_factory=dict)  # by work, of the last round
    figures: dict[str, list[Figure]] = field(default_factory=dict)  # that a step reports itself

    @property
    def name(self) -> str:
        """str: its revision, with + where files are changed."""
        asked = ["git", "describe", "--always", "--dirty=+"]
        return subprocess.run(asked, cwd=self.path, capture_output=True, text=True).stdout.strip() or self.path.name

    def environment(self, cache: Path, settings: dict[str, str]) -> dict[str, str]:
        """Of its processes: the kit of this checkout, a cache and reports of their own."""
        ours = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        return {**ours, "PYTHONPATH": str(self.path), "NSLIB_CACHE": str(cache), "TF_CPP_MIN_LOG_LEVEL": "3",
                "NSLIB_REPORTS": str(cache / "reports"), KEPT: str(cache / "figures.json"), **settings}

    def offer(self, folder: Path, settings: dict[str, str]) -> tuple[list[list[str]], list[list[str]]]:
        """Names of all tasks and embeddings, and of those of a run that names none."""
        done = subprocess.run([self.python, "-c", OFFERED], env=self.environment(folder, settings), cwd=folder,
                              capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{self.path} with {self.python}: {done.stderr[-2000:]}")
        where, known, usual = json.loads(done.stdout.splitlines()[-1])
        if not Path(where).is_relative_to(self.path):
            raise SystemExit(f"{self.python} imports {where} in place of {self.path}.")
        return known, usual

    def run(self, work: str, cache: Path, settings: dict[str, str], values: dict[str, object]) -> None:
        """Make a round of a work into a cache, and keep what it took and what it found."""
        for step in STEPS[work]:
            words = [word if word == PERSONALISED else word.format(checkout=self.path, **values)
                     for word in step.command]
            cost = run_process([self.python, *words], cache, self.environment(cache, settings), cache / "said.txt")
            self.costs.setdefault(step.name, []).append(cost)
            print(f"  {self.name}, {step.name.format(**values)}: {cost.wall:.1f} s, {cost.processor:.1f} s of "
                  f"processor, {cost.memory:.0f} MB", flush=True)
        self.scores[work] = read_scores(cache / "reports" / "results")
        if (cache / "figures.json").exists():
            self.figures[work] = [Figure(**one) for one in json.loads((cache / "figures.json").read_text())]


def read_scores(folder: Path) -> pd.DataFrame:
    """Value, interval and choice of every row of results and protocols, by what the row is of."""
    paths = [path for kind in ("rows", "protocol") for path in sorted(folder.glob(f"*.{kind}.parquet"))]
    tables = [pd.read_parquet(path) for path in paths] or [pd.DataFrame()]
    rows = pd.concat(tables, ignore_index=True).reindex(columns=[*ROW, *SCORE, *MADE_OF])
    rows[[*ROW]] = rows[[*ROW]].astype(object).where(rows[[*ROW]].notna(), "").astype(str)
    rows["place"] = rows.groupby([*ROW]).cumcount()
    return rows.set_index([*ROW, "place"]).astype({name: float for name in SCORE})


def list_differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Name each row whose score, interval or choice is not the same, maybe of other data, and what only one has."""
    both = ours.index.intersection(theirs.index)
    here, there = ours.loc[both], theirs.loc[both]
    same, said = (here == there) | (here.isna() & there.isna()), []
    for key in both[~same[[*SCORE]].all(axis=1)]:
        others = [name.removesuffix("_hash") for name in MADE_OF if not same.loc[key, name]]
        shown = [f"{one.value:.4f} [{one.low:.4f}, {one.high:.4f}]{', chosen' if one.selected else ''}"
                 for one in (there.loc[key], here.loc[key])]
        said.append(f"{' '.join(part for part in key[:-1] if part)}: {shown[0]} -> {shown[1]}"
                    + (f" (other {', '.join(others)})" if others else ""))
    for side, keys in (("here", ours.index.difference(both)), ("there", theirs.index.difference(both))):
        said += [f"only {side}: {' '.join(part for part in key[:-1] if part)}" for key in keys]
    return said


def prepare(checkouts: list[Checkout], works: list[str], small: bool, folder: Path) -> tuple[dict[str, str], Path]:
    """Make what the works need, and return the settings of ``reproduce`` and the folder of clips."""
    settings = {"CORPUS": "synthetic", "SMOKE": "1"} if small else {}
    size = SIZES[small]
    if any(work.startswith("own") for work in works):
        write_clips(folder / "clips", size["clips"], size["classes"], 60)
        (folder / "clips.py").write_text(SPECTRUM)
    offers = [checkout.offer(folder, settings) for checkout in checkouts]
    for k, name in enumerate(("TASKS", "EMBEDDINGS")):
        settings[name] = ",".join(one for one in offers[-1][1][k] if all(one in known[k] for known, _ in offers))
    for k, checkout in enumerate(checkouts if "reproduce" in works and not small else ()):
        shutil.copytree(config.cache_dir("packages"), folder / f"fetched{k}" / "packages")  # what is here already
        run_process([checkout.python, "-m", "nslib", "data", "prepare"], folder,
                    checkout.environment(folder / f"fetched{k}", settings), folder / "said.txt")
    return settings, folder / "clips"


def compare(works: list[str], checkouts: list[Checkout], values: dict[str, object]) -> list[str]:
    """Report ratios and differences of scores; return the lines of a table."""
    lines = [f"| {' against '.join(c.name for c in checkouts)} | wall | processor | peak memory | scores |",
             "|---|---|---|---|---|"]
    for work in works:
        differences = list_differences(*(c.scores[work] for c in checkouts)) if len(checkouts) > 1 else []
        rows = len(checkouts[0].scores[work])
        for step in STEPS[work]:
            name, cells = step.name.format(**values), []
            for measure, attribute, wanted in zip(MEASURES, ("wall", "processor", "memory"), step.wanted, strict=True):
                middle = [statistics.median(getattr(cost, attribute) for cost in c.costs[step.name]) for c in checkouts]
                shown = " / ".join(f"{value:.4g}" for value in middle)
                if len(middle) > 1:
                    report([Figure(f"{name}, {measure} over the other's", middle[0] / middle[1], at_most=wanted,
                                   note=shown)])
                else:
                    report([Figure(f"{name}, {measure}", middle[0])])
                cells.append(f"{middle[0] / middle[-1]:.2f} ({shown})" if len(middle) > 1 else shown)
            scores = f"{len(differences)} differences in {rows}" if len(checkouts) > 1 and rows else ""
            lines.append(f"| {name} | {' | '.join(cells)} | {scores} |")
        for said in differences[:20]:
            print(f"  {said}")
        if len(differences) > 20:
            print(f"  ... and {len(differences) - 20} more, in end_to_end.json")
        for checkout, wanted in zip(checkouts, (BARE, None), strict=False):
            report([Figure(f"{checkout.name}, {f.what}", f.value, at_least=wanted)
                    for f in checkout.figures.get(work, ()) if "bare model" in f.what])
    return lines


def main() -> None:
    """Measure, print the table and keep everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", action="append", choices=STEPS, help="default: import and small")
    parser.add_argument("--small", action="store_true", help="sizes for a trial")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--python", action="append", help="of this checkout, and of the other one if it has its own")
    parser.add_argument("--against", type=Path, help="another checkout of the kit")
    given = parser.parse_args()
    works, pythons = given.work or ["import", "small"], given.python or [sys.executable]
    checkouts = [Checkout(path.resolve(), pythons[min(k, len(pythons) - 1)])
                 for k, path in enumerate([HERE, *([given.against] if given.against else [])])]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings, clips = prepare(checkouts, works, given.small, folder)
        values = {**SIZES[given.small], "data": clips}
        few = {"CORPUS": "synthetic", "SMOKE": "1"}
        for work in works:
            for turn in range(given.rounds):
                for k, checkout in enumerate(checkouts):
                    cache = folder / f"{work}-{turn}-{k}"
                    cache.mkdir()
                    if work == "reproduce" and (fetched := folder / f"fetched{k}" / "packages").exists():
                        shutil.copytree(fetched, cache / "packages")
                    checkout.run(work, cache, {"reproduce": settings, "small": few}.get(work, {}), values)
                    shutil.rmtree(cache)
        lines = compare(works, checkouts, values)
    print("\n".join(lines))
    kept = {c.name: {step: [asdict(cost) for cost in costs] for step, costs in c.costs.items()} for c in checkouts}
    named = {work: list_differences(*(c.scores[work] for c in checkouts)) for work in works if given.against}
    config.write_file(config.reports_dir() / "benchmarks" / "end_to_end.json", json.dumps(
        {"costs": kept, "differences": named, "table": lines, "small": given.small}, indent=1))


if __name__ == "__main__":
    main()
