"""What a benchmark finds, and how it comes together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import ledger, results
from nslib.corpora.table import PROBLEM_COLUMNS, Corpus
from nslib.errors import NslibError
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd


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
        Cost of extraction on this machine, one row an embedding (see `nslib.extract.cost`).
    notes : list of str
        Sentences that a reader of the numbers must know.
    clips : DataFrame
        Clip tables of all tasks, one below the other, with the columns task and corpus_kind.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    not_run: pd.DataFrame
    problems: pd.DataFrame
    ledger: pd.DataFrame
    notes: list[str]
    clips: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Test score with interval, tasks by embeddings, as `nslib.results.table` prints it."""
        return results.table(self.rows)

    def with_fine_tuned(self, folder: Path | None = None) -> Results:
        """Add what is kept of the fine-tuned trill-mini, of its present weights, on the clips of this run.

        Parameters
        ----------
        folder : Path, optional
            As for `nslib.results.load`.

        Returns
        -------
        Results
            The same as before where nothing is kept: claim 4 then says what makes it.
        """
        from nslib.claimed import FINE_TUNED
        from nslib.train import models

        return self.with_kept([FINE_TUNED], models.FILES["trill-mini"].sha256, folder)

    def with_kept(self, names: Sequence[str], weights: str = "", folder: Path | None = None) -> Results:
        """Add kept results that this run did not make.

        Parameters
        ----------
        names : sequence of str
            Embeddings; those that have rows here already are passed over.
        weights : str
            Only results with this ``weights_hash``; empty: of any weights.
        folder : Path, optional
            As for `nslib.results.load`.

        Returns
        -------
        Results
            With the newest result of each on the very same clips and splits (task and ``split_hash``); what was
            made of others, by a smoke run for instance, is not taken.
        """
        wanted = set(names) - set(self.rows["embedding"])
        rows, answers = results.load(folder)
        same = self.rows[["task", "split_hash"]].drop_duplicates()
        there = rows["embedding"].isin(wanted) & ((rows["weights_hash"] == weights) | (not weights))
        mine = rows[there].merge(same)
        last = mine.sort_values("when", kind="stable").drop_duplicates(["task", "embedding"], keep="last")["key"]
        mine, answers = (part[part["key"].isin(last)] for part in (mine, answers))
        return dataclasses.replace(self, rows=results.join([self.rows, mine], results.ROWS),
                                   predictions=results.join([self.predictions, answers], results.PREDICTIONS))


@dataclass
class Found:
    """What has come together so far, task by task and embedding by embedding."""

    notes: list[str] = field(default_factory=list)
    _rows: list[pd.DataFrame] = field(default_factory=list)
    _predictions: list[pd.DataFrame] = field(default_factory=list)
    _not_run: list[dict[str, str]] = field(default_factory=list)
    _problems: list[pd.DataFrame] = field(default_factory=list)
    _clips: list[pd.DataFrame] = field(default_factory=list)
    _costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def refuse(self, task: str, embedding: str, error: NslibError) -> None:
        """Note that an embedding could not be measured on a task, why, and what would help."""
        why, remedy = getattr(error, "why", str(error)), getattr(error, "remedy", "")
        self._not_run.append({"task": task, "embedding": embedding, "why": why, "remedy": remedy})

    def corpus(self, task: Task, corpus: Corpus) -> None:
        """Take the clips of a task, its notes, and the clips that could not be used."""
        self.notes += [f"{task.name}: {note}" for note in (*corpus.notes, task.caution) if note]
        self._clips.append(corpus.clips.assign(task=task.name, corpus_kind=task.kind))
        self.lose(task.name, "", corpus.problems)

    def lose(self, task: str, embedding: str, problems: pd.DataFrame) -> None:
        """Name clips that were left out."""
        if len(problems):
            self._problems.append(problems.assign(task=task, embedding=embedding))

    def keep(self, embedding: str, fingerprint: str, rows: pd.DataFrame, predictions: pd.DataFrame) -> None:
        """Take the scores of an embedding on a task, and what computing its vectors cost."""
        self.notes += [f"{rows['task'].iloc[0]}: {note}" for note in rows["notes"].iloc[0].splitlines()]
        self._rows.append(rows)
        self._predictions.append(predictions)
        self._costs[embedding] = {"embedding": embedding, **ledger.total(fingerprint).summary()}

    def results(self) -> Results:
        """Put everything together."""
        import pandas as pd

        problems = ["task", "embedding", *PROBLEM_COLUMNS]
        return Results(
            rows=results.join(self._rows, results.ROWS),
            predictions=results.join(self._predictions, results.PREDICTIONS),
            not_run=pd.DataFrame(self._not_run, columns=["task", "embedding", "why", "remedy"]),
            problems=pd.concat([pd.DataFrame(columns=problems), *self._problems], ignore_index=True)[problems],
            ledger=pd.DataFrame(list(self._costs.values())),
            notes=list(dict.fromkeys(self.notes)),
            clips=pd.concat(self._clips, ignore_index=True) if self._clips else pd.DataFrame(),
        )
