"""How sure the chosen probe was: its probabilities on the test clips, which results do not keep.

They are had again by fitting the chosen probe once more, on the same train clips, from stored vectors, by the code of
the benchmark. If an answer then differs from the stored one, the result is of other code or other vectors: nothing is
said of it. Tables are kept beside the results, as ``<key>.confidence.parquet``.
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
from nslib.evaluation.probe import LabelledVectors, check_splits, refit_probe, refuse_other_answers
from nslib.evaluation.results import (
    PREDICTIONS,
    Column,
    ResultsBuilder,
    find_table,
    join_tables,
    table_path,
    write_table,
)
from nslib.statistics.scores import select_scores

if TYPE_CHECKING:
    import pandas as pd

    from nslib.datasets.table import Dataset

__all__ = ["find_confidence", "load_confidence"]

COLUMNS: tuple[Column, ...] = (
    *PREDICTIONS,
    Column("confidence", "float", "", "probability that the probe gave to its answer"),
    Column("brier", "float", "", "squared distance of its probabilities from the truth, summed over classes; 0 to 2"),
)

_KIND = "confidence"


def measure_confidence(row: Any, train: LabelledVectors, validation: LabelledVectors,
                       test: LabelledVectors) -> pd.DataFrame:
    """Fit the probe of a selected row again, and return `COLUMNS` of its answers on test, in the order of clips."""
    import pandas as pd

    splits = check_splits(train, validation, test)
    # any metric that needs probabilities makes the fit give them; none is computed here
    fit, settings = refit_probe(row, splits, "auc")
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

    Parameters
    ----------
    rows, predictions : DataFrame
        Of a benchmark. Vectors that are not stored are extracted.
    params : Params, optional
        Default: from the environment.
    folder : Path, optional
        Where results are kept. Default: ``results`` below the reports.

    Returns
    -------
    answers : DataFrame
        The columns of `nslib.evaluation.PREDICTIONS`, confidence (probability that the probe gave to its answer) and
        brier (squared distance of its probabilities from the truth, summed over classes; 0 to 2); one row a task,
        embedding and test clip.
    left_out : DataFrame
        Columns task, embedding, why: of which results nothing can be said.
    """
    import pandas as pd
    from tqdm.std import tqdm

    params = params or config.load_params()
    tables, left_out = [], []
    corpora: dict[str, Dataset] = {}
    for row in tqdm(select_scores(rows).to_dict("records"), "confidence", unit="probe", disable=not progress):
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
    """Read what `find_confidence` has stored of the chosen results among some rows; maybe a table without rows."""
    stored = (find_table(str(key), _KIND, COLUMNS, folder) for key in select_scores(rows)["key"])
    return join_tables([table for table in stored if table is not None], COLUMNS)


def _refit(row: dict[str, Any], predictions: pd.DataFrame, params: Params, corpora: dict[str, Dataset],
           progress: bool) -> pd.DataFrame:
    """Measure a row on the task's stored vectors, and compare its answers with the stored ones."""
    task, name = str(row["task"]), str(row["embedding"])
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(name, "it was trained for the task, and is no probe on stored vectors", "")
    if name not in embeddings.names():
        raise Unavailable(name, "no embedding of this name is built in", "")
    if task not in REGISTRY:
        raise Unavailable(f"the clips of {task}", "it is a task of somebody's own recordings",
                          "Use `measure_confidence`.")
    if task not in corpora:
        ready = benchmark.load_tasks([task], params, [], ResultsBuilder(), progress)
        if not ready:
            raise Unavailable(f"the clips of {task}", "they cannot be had here", "See nslib doctor.")
        corpora[task] = ready[0][1]
    vectors = benchmark.specify_embedding(name).vectors(corpora[task].clips, progress=False)
    table = measure_confidence(row, *benchmark.label_vectors(vectors))
    refuse_other_answers(table, predictions)
    return table
