"""How sure the chosen probe was: its probabilities on the test clips, which results do not keep.

They are had again by fitting the chosen probe once more, on the same train clips, from stored vectors, by the code of
the benchmark. If an answer then differs from the one that was kept, the result is of other code or other vectors:
nothing is said of it. What is found is kept beside the results, as ``<key>.confidence.parquet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets.tasks import REGISTRY
from nslib.errors import NslibError, Unavailable
from nslib.evaluation import benchmark
from nslib.evaluation.classifiers import CLASSIFIERS
from nslib.evaluation.probe import FitSettings, LabelledVectors, ProbeTask, check_splits, fit_probe, list_classes
from nslib.evaluation.results import (
    PREDICTIONS,
    Column,
    ResultsBuilder,
    find_table,
    join_tables,
    selected,
    table_path,
    write_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from nslib.datasets.table import Dataset

__all__ = ["COLUMNS", "find_confidence", "load_confidence"]

COLUMNS: tuple[Column, ...] = (
    *PREDICTIONS,
    Column("confidence", "float", "", "probability that the probe gave to its answer"),
    Column("brier", "float", "", "squared distance of its probabilities from the truth, summed over classes; 0 to 2"),
)
"""Of a table of answers with how sure the probe was of each."""

_KIND = "confidence"
_AGAIN = "Run the benchmark again."


def measure_confidence(row: Any, train: LabelledVectors, validation: LabelledVectors,
                       test: LabelledVectors) -> pd.DataFrame:
    """Fit a chosen probe again and ask how sure it is of its answers on test.

    `row` is a selected row of the results; the splits are as the benchmark was given them, and nothing of validation or
    test reaches the fit. Returns `COLUMNS`, one row a test clip, in the order of ``clip_id``. Unavailable if the row is
    not of one of the five probes, or the probe cannot be fitted; other faults as for `nslib.evaluation.probe.grid`.
    """
    import pandas as pd

    name = f"how sure {row['probe']} is of {row['embedding']} on {row['task']}"
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(name, "it is no probe on stored vectors", "Choose an embedding that was probed.")
    splits = check_splits(train, validation, test)
    # any metric that needs probabilities makes the fit give them; none is computed here
    settings = FitSettings(list_classes(splits), "auc", int(row["seed"]))
    fit = fit_probe(ProbeTask(str(row["probe"]), (bool(row["l2"]), bool(row["speaker_norm"])), splits, settings))
    if "test" not in fit.answers:
        raise Unavailable(name, fit.reason, _AGAIN)
    given, truth, labels = fit.answers["test"], splits["test"].y, fit.labels["test"]
    facts = {column: row[column] for column in ("key", "task", "embedding", "probe", "l2", "speaker_norm", "seed")}
    table = pd.DataFrame({
        **facts, "clip_id": splits["test"].clip_id, "speaker": splits["test"].speaker, "y_true": truth,
        "y_pred": labels, "confidence": given[np.arange(len(given)), np.searchsorted(settings.classes, labels)],
        "brier": ((given - (truth[:, None] == settings.classes)) ** 2).sum(axis=1)})
    return table[[column.name for column in COLUMNS]]


def find_confidence(rows: pd.DataFrame, predictions: pd.DataFrame, params: Params | None = None, *,
                    progress: bool = True, folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How sure the chosen probes of a benchmark were; what is stored is not computed again.

    Rows and predictions are those of a benchmark; vectors that are not stored are extracted. Returns the answers, with
    `COLUMNS`, one row a task, embedding and test clip, and of which results nothing can be said: task, embedding, why.
    """
    import pandas as pd
    from tqdm.std import tqdm

    params = params or config.load_params()
    tables, left_out = [], []
    corpora: dict[str, Dataset] = {}
    for row in tqdm(selected(rows).to_dict("records"), "confidence", unit="probe", disable=not progress):
        key = str(row["key"])
        try:
            table = find_table(key, _KIND, COLUMNS, folder)
            if table is None:
                table = _refit(row, predictions[predictions["key"] == key], params, corpora, progress)
                write_table(table_path(key, _KIND, folder), table)
            tables.append(table)
        except NslibError as error:
            why = error.why if isinstance(error, Unavailable) else str(error)
            left_out.append({"task": row["task"], "embedding": row["embedding"], "why": why})
    return join_tables(tables, COLUMNS), pd.DataFrame(left_out, columns=["task", "embedding", "why"])


def load_confidence(rows: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """Read what is stored of the chosen results among the rows of a benchmark: `COLUMNS`, maybe without rows."""
    stored = (find_table(str(key), _KIND, COLUMNS, folder) for key in selected(rows)["key"])
    return join_tables([table for table in stored if table is not None], COLUMNS)


def _refit(row: dict[str, Any], predictions: pd.DataFrame, params: Params, corpora: dict[str, Dataset],
           progress: bool) -> pd.DataFrame:
    """Fit the probe of a row again, on the task's stored vectors, and compare its answers with those that were kept."""
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(str(row["embedding"]), "it was trained for the task, and is no probe on stored vectors", "")
    if row["embedding"] not in embeddings.names():
        raise Unavailable(str(row["embedding"]), "no embedding of this name is built in", "")
    task = str(row["task"])
    if task not in corpora:
        corpora[task] = _load_corpus(task, params, progress)
    spec = benchmark.specify_embedding(str(row["embedding"]))
    out = measure_confidence(row, *benchmark.label_vectors(spec.vectors(corpora[task].clips, progress=False)))
    before = predictions.set_index("clip_id")["y_pred"].reindex(out["clip_id"]).to_numpy()
    other = int((out["y_pred"].to_numpy() != before).sum())
    if other or len(before) != len(predictions):
        raise NslibError(f"{other} of {len(out)} answers are not those that were kept: code, clips or vectors have "
                         f"changed since. {_AGAIN}")
    return out


def _load_corpus(task: str, params: Params, progress: bool) -> Dataset:
    """Load the clips of a built-in task."""
    if task not in REGISTRY:
        raise Unavailable(f"the clips of {task}", "it is a task of somebody's own recordings",
                          "Use `measure_confidence`.")
    ready = benchmark.load_tasks([task], params, [], ResultsBuilder(), progress)
    if not ready:
        raise Unavailable(f"the clips of {task}", "they cannot be had here", "See nslib doctor.")
    return ready[0][1]
