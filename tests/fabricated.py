"""Made-up rows with the columns of real ones, for tests of figures and reports. No score is real."""

import functools
import itertools
from typing import Any

import numpy as np
import pandas as pd

from nslib.datasets import splits
from nslib.evaluation.classifiers import PROBES
from nslib.evaluation.results import PREDICTIONS, ROWS, Columns, check_table

TASKS = (("speaker-fillets", "real", 4), ("language-five", "real", 5), ("phrase-hedgewars", "real", 6),
         ("style-espeak", "synthetic", 4))
EMBEDDINGS = ("logmel", "mfcc", "untrained", "speech-embedding", "resemblyzer", "ina-events")


def rows(seed: int = 0) -> pd.DataFrame:
    """Every task, embedding, probe, normalisation and split, with one selected test row a cell."""
    return _make_rows(seed).copy()


@functools.cache
def _make_rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return _filled(pd.concat([_cell(rng, *task, e) for task in TASKS for e in EMBEDDINGS], ignore_index=True), ROWS)


def _filled(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """The rest of the schema with nothing in it: what figures and pages do not show may change freely."""
    nothing = {"str": "", "int": 0, "float": 0.0, "bool": False}
    return check_table(table.assign(**{n: nothing[dtype] for n, dtype in columns.items() if n not in table}), columns)


def _cell(rng: np.random.Generator, task: str, kind: str, classes: int, embedding: str) -> pd.DataFrame:
    centre = rng.uniform(1 / classes, 0.97)
    grid = itertools.product(PROBES, (False, True), (False, True), ("validation", "test"))
    cell = pd.DataFrame(grid, columns=["probe", "l2", "speaker_norm", "split"])
    value = np.clip(centre + rng.normal(0, 0.03, len(cell)), 0.02, 1)
    cell = cell.assign(
        task=task, corpus_kind=kind, classes=classes, embedding=embedding, value=value, low=np.maximum(0, value - 0.06),
        high=np.minimum(1, value + 0.05), key=f"{task}{embedding}".replace("-", "").replace("_", ""), dim=96, seed=0,
        metric="accuracy", n=120, n_speakers=6, chance=1 / classes, interval_by="speaker", level=0.95, converged=True,
        fit_seconds=0.01, data_hash="d" * 16, split_hash="5" * 16, weights_hash="a" * 16, lock_hash="1" * 16,
        code_revision="c" * 12, when="2026-01-02T03:04:05+00:00")
    best = {split: part["value"].idxmax() for split, part in cell.groupby("split")}
    names = ["probe", "l2", "speaker_norm"]
    return cell.assign(selected=(cell[names] == cell.loc[best["validation"], names]).all(axis=1),
                       best_on_test=cell.index == best["test"])


def predictions(seed: int = 0) -> pd.DataFrame:
    """Answers of the selected probes on 120 test clips, as often right as the rows of that seed say."""
    return _make_predictions(seed).copy()


@functools.cache
def _make_predictions(seed: int) -> pd.DataFrame:
    scores = rows(seed).query("selected and split == 'test'")
    return _filled(pd.concat([_answers(row) for row in scores.to_dict("records")], ignore_index=True), PREDICTIONS)


def _answers(row: dict[str, Any]) -> pd.DataFrame:
    truth = np.arange(120) % row["classes"]
    # The clips are equally hard for every embedding, so that those of the lower score nest in the higher.
    hard = np.random.default_rng(1).permutation(120)
    answer = np.where(hard < round(120 * row["value"]), truth, (truth + 1) % row["classes"])
    names = {name: row[name] for name in ("key", "task", "embedding", "probe", "l2", "speaker_norm", "seed")}
    return pd.DataFrame(names | {
        "clip_id": [f"{row['task']}/{i:03d}" for i in range(120)], "speaker": [f"s{i % 6}" for i in range(120)],
        "y_true": [f"c{v}" for v in truth], "y_pred": [f"c{v}" for v in answer]})


def clips(seed: int = 0) -> pd.DataFrame:
    """Clip tables of all tasks, one below the other."""
    made = [(task, kind, f"{task}/{i}", f"c{i % n}") for task, kind, n in TASKS for i in range(40 * n)]
    table = pd.DataFrame(made, columns=["task", "corpus_kind", "clip_id", "label"])
    rng = np.random.default_rng(seed)
    speaker = rng.integers(12, size=len(table))
    return table.assign(
        audio="", sha256="", sample_rate=16000, source="made-up", seconds=rng.lognormal(0.5, 0.5, len(table)),
        speaker=[f"s{s}" for s in speaker], split=np.array(splits.SPLITS)[np.digitize(speaker, [7, 9])])


def ledger() -> pd.DataFrame:
    """Cost of each embedding; one of them was in the store already."""
    made = pd.DataFrame({
        "embedding": EMBEDDINGS, "times_real_time": (900.0, 700.0, 60.0, 310.0, 45.0, 100.0), "wall_seconds": 2.0,
        "computed": 300, "clips": 300, "from_store": 0, "clips_per_second": 150.0, "audio_seconds": 600.0, "padded": 3,
        "padding": 0.1, "peak_memory_gb": 1.0})
    made.loc[made["embedding"] == "mfcc", ["computed", "times_real_time", "clips_per_second"]] = [0, np.nan, np.nan]
    return made
