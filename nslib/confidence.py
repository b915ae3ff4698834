"""How sure the chosen probe was: its probabilities on the test clips, which results do not keep.

Conventions
-----------
Results keep the labels that a probe answered, not its probabilities. They are had again by fitting the chosen probe
once more, on the same train clips, from stored vectors, by the code of the benchmark (`nslib.probe_fit.fit_one`). If an
answer then differs from the one that was kept, the result is of other code or other vectors: nothing is said of it.

What is found is kept beside the results, as ``<key>.confidence.parquet``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import embeddings, kept, measure, params, tables
from nslib.classifiers import CLASSIFIERS
from nslib.entrants import enter
from nslib.errors import NslibError, Unavailable
from nslib.findings import Found
from nslib.params import Params
from nslib.probe_data import Split, checked
from nslib.probe_fit import Task as FitTask
from nslib.probe_fit import Wanted, fit_one
from nslib.schema import PREDICTIONS, Column, empty
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

COLUMNS: tuple[Column, ...] = (
    *PREDICTIONS,
    Column("confidence", "float", "", "probability that the probe gave to its answer"),
    Column("brier", "float", "", "squared distance of its probabilities from the truth, summed over classes; 0 to 2"),
)
"""Of a table of answers with how sure the probe was of each."""

_KIND = "confidence"
_AGAIN = "Run the benchmark again."


def of(row: Any, train: Split, validation: Split, test: Split) -> pd.DataFrame:
    """Fit a chosen probe again and ask how sure it is of its answers on test.

    Parameters
    ----------
    row : mapping or Series
        A selected row of the results (`nslib.results.selected`): key, task, embedding, probe, l2, speaker_norm, seed.
    train, validation, test : Split
        Vectors, as the benchmark was given them. Nothing of validation or test reaches the fit.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row a test clip, in the order of ``clip_id``.

    Raises
    ------
    Unavailable
        If the row is not of one of the five probes, or the probe cannot be fitted.
    NslibError
        As for `nslib.probe.grid`.
    """
    import pandas as pd

    name = f"how sure {row['probe']} is of {row['embedding']} on {row['task']}"
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(name, "it is no probe on stored vectors", "Choose an embedding that was probed.")
    splits = checked(train, validation, test)
    classes = np.unique(np.concatenate([split.y for split in splits.values()]))
    # Any metric that needs probabilities makes the fit give them; none is computed here.
    wanted = Wanted(classes, "auc", int(row["seed"]))
    fit = fit_one(FitTask(str(row["probe"]), (bool(row["l2"]), bool(row["speaker_norm"])), splits, wanted))
    if "test" not in fit.answers:
        raise Unavailable(name, fit.reason, _AGAIN)
    given, truth, labels = fit.answers["test"], splits["test"].y, fit.labels["test"]
    sure = given[np.arange(len(given)), np.searchsorted(classes, labels)]
    brier = ((given - (truth[:, None] == classes)) ** 2).sum(axis=1)
    facts = {c: row[c] for c in ("key", "task", "embedding", "probe", "l2", "speaker_norm", "seed")}
    return pd.DataFrame({**facts, "clip_id": splits["test"].clip_id, "speaker": splits["test"].speaker,
                         "y_true": truth, "y_pred": labels, "confidence": sure, "brier": brier})[_names()]


def find(rows: pd.DataFrame, predictions: pd.DataFrame, parameters: Params | None = None, *, progress: bool = True,
         folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How sure the chosen probes of a benchmark were; what was found before is not computed again.

    Parameters
    ----------
    rows, predictions : DataFrame
        Of a benchmark, as in `nslib.schema.ROWS` and `nslib.schema.PREDICTIONS`.
    parameters : Params, optional
        Default: from the environment. Vectors that are not stored are extracted.
    progress : bool
        Progress bars on stderr.
    folder : Path, optional
        Where results are kept. Default: ``results`` below the reports.

    Returns
    -------
    answers : DataFrame
        Columns `COLUMNS`, one row a task, embedding and test clip.
    left_out : DataFrame
        Columns task, embedding, why: of which results nothing can be said.
    """
    import pandas as pd
    from tqdm.std import tqdm

    parameters = parameters or params.load()
    found, left_out, corpora = [], [], _Corpora(parameters, progress)
    for row in tqdm(tables.selected(rows).to_dict("records"), "confidence", unit="probe", disable=not progress):
        try:
            known = kept.find(str(row["key"]), _KIND, COLUMNS, folder)
            if known is None:
                known = _computed(row, predictions[predictions["key"] == row["key"]], corpora)
                kept.write(kept.place(str(row["key"]), _KIND, folder), known)
            found.append(known)
        except NslibError as error:
            left_out.append({"task": row["task"], "embedding": row["embedding"], "why": _why(error)})
    return (pd.concat([empty(COLUMNS), *found], ignore_index=True),
            pd.DataFrame(left_out, columns=["task", "embedding", "why"]))


def load(rows: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """What was found before, of the chosen results among some rows.

    Parameters
    ----------
    rows : DataFrame
        Of a benchmark, as in `nslib.schema.ROWS`.
    folder : Path, optional
        Where results are kept. Default: ``results`` below the reports.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; without rows if there is nothing.
    """
    import pandas as pd

    found = (kept.find(str(key), _KIND, COLUMNS, folder) for key in tables.selected(rows)["key"])
    return pd.concat([empty(COLUMNS), *(known for known in found if known is not None)], ignore_index=True)


class _Corpora:
    """The clips of tasks, loaded when they are first needed."""

    def __init__(self, parameters: Params, progress: bool):
        self._parameters, self._progress = parameters, progress
        self._known: dict[str, Corpus] = {}

    def get(self, task: str) -> Corpus:
        from nslib.tasks import REGISTRY

        if task not in REGISTRY:
            raise Unavailable(f"the clips of {task}", "it is a task of somebody's own recordings", "Use `of`.")
        if task not in self._known:
            found = Found()
            ready = measure.load_tasks([task], self._parameters, [], found, self._progress)
            if not ready:
                raise Unavailable(f"the clips of {task}", "they cannot be had here", "See nslib doctor.")
            self._known[task] = ready[0][1]
        return self._known[task]


def _computed(row: dict[str, Any], predictions: pd.DataFrame, corpora: _Corpora) -> pd.DataFrame:
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(str(row["embedding"]), "it was trained for the task, and is no probe on stored vectors", "")
    if row["embedding"] not in embeddings.names():
        raise Unavailable(str(row["embedding"]), "no embedding of this name is built in", "")
    out = enter(row["embedding"]).vectors(corpora.get(row["task"]).clips, progress=False)
    parts = []
    for name in SPLITS:
        chosen = (out.clips["split"] == name).to_numpy()
        part = out.clips[chosen]
        parts.append(Split(out.vectors[chosen], *(part[c].to_numpy(str) for c in ("label", "speaker", "clip_id"))))
    found = of(row, *parts)
    before = predictions.set_index("clip_id")["y_pred"].reindex(found["clip_id"]).to_numpy()
    other = int((found["y_pred"].to_numpy() != before).sum())
    if other or len(before) != len(predictions):
        raise NslibError(f"{other} of {len(found)} answers are not those that were kept: code, clips or vectors have "
                         f"changed since. {_AGAIN}")
    return found


def _why(error: NslibError) -> str:
    return error.why if isinstance(error, Unavailable) else str(error)


def _names() -> list[str]:
    return [column.name for column in COLUMNS]
