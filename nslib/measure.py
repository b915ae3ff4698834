"""The two verbs of the kit: `benchmark` an embedding on tasks, and `embed` recordings.

Everything else is reached from here in one direction: tasks -> clips -> vectors -> probes ->
results. Vectors and results that exist already are used again, so both verbs can be called
freely from notebooks, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import corpora, embeddings, extract, probe, results, splits, tasks
from nslib import params as parameters
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.params import Params
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

Embeddable = str | Embedding | Callable[..., Any]


@dataclass
class Results:
    """What a benchmark gives.

    Attributes
    ----------
    rows : DataFrame
        One row a score (see `nslib.results` for the columns); `nslib.results.selected(rows)` keeps
        the one chosen on validation for each task and embedding.
    predictions : DataFrame
        Test predictions of the chosen probes, one row a clip.
    not_run : DataFrame
        Columns task, embedding, why, remedy.
    problems : DataFrame
        Clips that were left out: task, embedding, clip_id, audio, reason, remedy.
    ledger : DataFrame
        Cost of extraction, one row a task and embedding.
    notes : list of str
        Sentences that a reader of the numbers must know.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    not_run: pd.DataFrame
    problems: pd.DataFrame
    ledger: pd.DataFrame
    notes: list[str]

    def table(self) -> pd.DataFrame:
        """Test score with interval, tasks by embeddings, as `nslib.results.table` prints it."""
        return results.table(self.rows)
