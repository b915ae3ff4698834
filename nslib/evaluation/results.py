"""The results table: its columns, its files, and how it is read.

A *key* is a hash of everything that decides a result (all rows of one embedding on one task): equal keys mean that the
same would be computed again. Tables are kept as ``<key>.<kind>.parquet``, each written whole or not at all, with
checksums, and held to their columns when they are read. A result is ``<key>.predictions.parquet`` and
``<key>.rows.parquet``; rows are written last, so a result without rows does not exist. A file that cannot be read is
named in a warning and counts as missing. Any table with a column ``key`` can be kept so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nslib import config
from nslib.datasets.table import COLUMNS, PROBLEM_COLUMNS, Dataset, read_parquet
from nslib.datasets.tasks import Task
from nslib.embeddings import networks
from nslib.errors import BadParameter, NslibError, refuse_unknown
from nslib.evaluation.probe import Grid, probe_hash, select_best
from nslib.extraction import cache
from nslib.statistics.scores import CHOSEN_BY_FOLD, get_metric, keep_newest, select_scores

__all__ = ["FINE_TUNED", "PREDICTIONS", "ROWS", "Columns", "Results", "add_origin", "check_table", "export_rows",
           "find_result", "has_failures", "join_tables", "load_results", "make_key", "save_result",
           "select_by_protocol", "table", "write_table"]

BEST_LAYER = "best layer by validation"

FINE_TUNED = "trill-mini-finetuned"
"""Name of the kit's own network, fine-tuned, in the column ``embedding``."""

PROTOCOLS = {
    "validation": "the kit's: of all probes and normalisations the best on validation",
    "authors-2020": "the authors' notebook of April 2020: the z-score by speaker, then the better on validation of "
                    "logistic regression, plain and balanced",
    "authors-2021": "the authors' later code has all five probes and does not choose: the best on test, as FRILL's "
                    "model card reports it. That these five made the paper's table is not proven"}
"""Who chooses among the same fits, by name."""

Columns = Mapping[str, str]
"""Names of columns, in their order, to their types: str, int, float, bool. docs/results.md explains each."""

ROWS: Columns = {
    "key": "str", "task": "str", "corpus_kind": "str", "embedding": "str", "dim": "int", "probe": "str", "l2": "bool",
    "speaker_norm": "bool", "seed": "int", "split": "str", "metric": "str", "value": "float", "n": "int",
    "n_speakers": "int", "classes": "int", "chance": "float", "low": "float", "high": "float", "interval_by": "str",
    "level": "float", "selected": "bool", "best_on_test": "bool", "converged": "bool", "fit_seconds": "float",
    "reason": "str", "notes": "str", "data_hash": "str", "split_hash": "str", "weights_hash": "str",
    "lock_hash": "str", "code_revision": "str", "when": "str"}
"""Scores: a row a task, embedding, probe, normalisation and split."""


def pick_columns(*names: str) -> Columns:
    """Return columns of `ROWS` by name."""
    return {name: ROWS[name] for name in names}


ORIGIN = pick_columns("data_hash", "split_hash", "weights_hash", "lock_hash", "code_revision", "when")
_ANSWER = dict.fromkeys(("clip_id", "speaker", "y_true", "y_pred"), "str")

PREDICTIONS: Columns = {**pick_columns("key", "task", "embedding", "probe", "l2", "speaker_norm", "seed"), **_ANSWER}
"""Answers: a row a test clip, of the selected probe."""

PROTOCOL_ROWS: Columns = {
    **pick_columns("key", "task", "corpus_kind", "embedding", "dim"), "protocol": "str", "shots": "int",
    "split_number": "str", "speaker": "str", **pick_columns("probe", "l2", "speaker_norm", "seed", "metric"),
    "validation": "float", "value": "float", "spread": "float", "splits": "int", "n": "int", "n_train": "int",
    "n_speakers": "int", "shared_speakers": "int",
    **pick_columns("classes", "chance", "low", "high", "interval_by", "level", "selected", "best_on_test", "reason",
                   "notes"), **ORIGIN}
"""Scores of the protocols: a row a split and combination, a split and speaker, and over all of them."""

PROTOCOL_ANSWERS: Columns = {**pick_columns("key", "task", "embedding"), "protocol": "str", "shots": "int",
                             "split_number": "str", **_ANSWER}
"""Answers of the protocols: a row a test clip and split, of what was chosen on validation."""

LEDGER: Columns = {
    "embedding": "str", "computed": "int", "padded": "int", "audio_seconds": "float", "wall_seconds": "float",
    "clips_per_second": "float", "times_real_time": "float", "padding": "float", "device_busy": "float",
    "decode_wait": "float", "peak_memory_gb": "float", "batch_seconds": "float", "devices": "str"}
"""Cost of extraction: a row an embedding."""

Tables = Mapping[str, Columns]

# Kind of table to its columns: what a result is kept as. The first is written last; the second may be empty.
BENCHMARK_TABLES: Tables = {"rows": ROWS, "predictions": PREDICTIONS}
PROTOCOL_TABLES: Tables = {"protocol": PROTOCOL_ROWS, "answers": PROTOCOL_ANSWERS}

_DTYPES = {"str": "str", "int": "int64", "float": "float64", "bool": "bool"}
_KINDS = {"int": "iu", "float": "fiu", "bool": "b"}
_NOT_RUN = ("task", "embedding", "why", "remedy")


def check_table(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Check a table against its columns, and give it these in their order and of their exact types."""
    refuse_unknown("results column", frame.columns, columns)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise BadParameter(f"the results lack {', '.join(missing)}; nslib.evaluation.results.add_origin adds the "
                           "origin.")
    for name, dtype in columns.items() if len(frame) else ():
        values = frame[name]
        text = dtype == "str" and pd.api.types.infer_dtype(values.astype(object), skipna=False) == "string"
        if not text and values.dtype.kind not in _KINDS.get(dtype, ""):
            raise BadParameter(f"results column {name!r} must be {dtype}; got {values.dtype}.")
    return frame[list(columns)].astype({name: _DTYPES[dtype] for name, dtype in columns.items()})


def join_tables(parts: Sequence[pd.DataFrame], columns: Columns) -> pd.DataFrame:
    """Put tables of the same columns below each other; of none, the right columns and types remain."""
    empty = pd.DataFrame({name: pd.Series(dtype=_DTYPES[dtype]) for name, dtype in columns.items()})
    return pd.concat([empty, *parts], ignore_index=True)


def table_path(key: str, kind: str, folder: Path | None = None) -> Path:
    """Return the path of a table, there or not; here and below the default folder is ``results`` below the reports."""
    if not key.isalnum():  # anything else could lead elsewhere
        raise BadParameter(f"a key is letters and digits, as nslib makes it; got {key!r}.")
    return (Path(folder) if folder is not None else config.reports_dir() / "results") / f"{key}.{kind}.parquet"


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table in one step or not at all (NslibError): ``.csv`` in full precision, else Parquet with checksums."""
    if path.suffix == ".csv":
        config.write_file(path, frame.to_csv(index=False, lineterminator="\n"))
        return
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, write_page_checksum=True)
    config.write_file(path, buffer.getvalue())


def find_table(key: str, kind: str, columns: Columns, folder: Path | None = None) -> pd.DataFrame | None:
    """Read a stored table; None if it is not there, and, with a warning, if it cannot be read."""
    found = _find_tables(key, folder, {kind: columns}, "It is not used.")
    return None if found is None else found[0]


def make_key(*, task: str, embedding: str, data_hash: str, split_hash: str, weights_hash: str,
             settings: Mapping[str, object]) -> str:
    """Make the key of a result, 32 hex digits, of columns of `ROWS` and the settings that can change a score."""
    made_of = [task, embedding, data_hash, split_hash, weights_hash, dict(settings), probe_hash()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=list).encode()).hexdigest()[:32]


def add_origin(grid: Grid, *, key: str, task: str, corpus_kind: str, embedding: str, data_hash: str, split_hash: str,
               weights_hash: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Add to the scores of a grid what they are of and where they come from: rows and answers for `save_result`."""
    names = {"key": key, "task": task, "embedding": embedding}
    origin = {"corpus_kind": corpus_kind, "data_hash": data_hash, "split_hash": split_hash,
              "weights_hash": weights_hash, "notes": "\n".join(grid.notes), **config.describe_origin()}
    return (check_table(grid.rows.assign(**names, **origin), ROWS),
            check_table(grid.predictions.assign(**names), PREDICTIONS))


def save_result(rows: pd.DataFrame, predictions: pd.DataFrame, folder: Path | None = None,
                tables: Tables = BENCHMARK_TABLES) -> list[Path]:
    """Store results, a known key anew, and return the files of rows; if a table is wrong, nothing is stored."""
    kind, kind_of_predictions = tables
    rows, predictions = check_table(rows, tables[kind]), check_table(predictions, tables[kind_of_predictions])
    orphans = set(predictions["key"]) - set(rows["key"])
    if orphans:
        raise BadParameter(f"predictions without rows for the keys {', '.join(sorted(orphans))}.")
    written = []
    for key, part in rows.groupby("key", sort=False):
        path = table_path(str(key), kind, folder)
        write_table(table_path(str(key), kind_of_predictions, folder), predictions[predictions["key"] == key])
        write_table(path, part)
        written.append(path)
    return written


def load_results(folder: Path | None = None, tables: Tables = BENCHMARK_TABLES) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all stored results: rows and predictions, oldest first; one warning names the files that cannot be read."""
    (kind, columns), (_, columns_of_predictions) = tables.items()
    readable, unreadable = [], []
    for path in sorted(table_path("0", kind, folder).parent.glob(f"*.{kind}.parquet")):
        try:
            readable.append(_read_result(path.name.removesuffix(f".{kind}.parquet"), folder, tables))
        except NslibError as error:
            unreadable.append(str(error))
    if unreadable:
        warnings.warn(f"{len(unreadable)} results were left out: {' '.join(unreadable)}", stacklevel=2)
    readable.sort(key=lambda pair: (str(pair[0]["when"].max()), str(pair[0]["key"].iloc[0])))
    return (join_tables([rows for rows, _ in readable], columns),
            join_tables([predictions for _, predictions in readable], columns_of_predictions))


def find_result(key: str, folder: Path | None = None,
                tables: Tables = BENCHMARK_TABLES) -> tuple[pd.DataFrame, ...] | None:
    """Read rows and predictions of a key; None if there are none, and, with a warning, if they cannot be read."""
    return _find_tables(key, folder, tables, "It is computed again.")


def _find_tables(key: str, folder: Path | None, tables: Tables, then: str) -> tuple[pd.DataFrame, ...] | None:
    """Read the tables of a key; None if there are none, or, warned of with what follows, they cannot be read."""
    if not table_path(key, next(iter(tables)), folder).exists():
        return None
    try:
        return _read_result(key, folder, tables)
    except NslibError as error:
        warnings.warn(f"{error} {then}", stacklevel=3)
        return None


def _read_result(key: str, folder: Path | None, tables: Tables) -> tuple[pd.DataFrame, ...]:
    """Read the tables of a key, each held to its checksums, its columns and the key, else NslibError."""
    read: list[pd.DataFrame] = []
    for kind, columns in tables.items():
        path = table_path(key, kind, folder)
        try:
            frame = check_table(read_parquet(path), columns)
        except BadParameter as error:
            raise NslibError(f"{path} cannot be read ({error})") from error
        if set(frame["key"]) - {key} or (frame.empty and not read):
            raise NslibError(f"{path} holds another result than its name says.")
        read.append(frame)
    return tuple(read)


def export_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write rows for other programs, in full precision, to a ``.csv`` or ``.parquet`` file (else BadParameter)."""
    if path.suffix not in (".csv", ".parquet"):
        raise BadParameter(f"cannot write {str(path)!r}: give a file name that ends in .csv or .parquet.")
    write_table(path, check_table(rows, ROWS))


class ScoreTable(pd.DataFrame):
    """A table to read: whole where it is printed, in blocks as wide as the terminal, and in a notebook."""

    def __repr__(self) -> str:
        return self.to_string(line_width=shutil.get_terminal_size().columns)

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None, "display.max_columns", None):
            return super()._repr_html_()


def table(rows: pd.DataFrame, layers: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Make the table to read: tasks by embeddings, a cell as ``"0.87 [0.80, 0.93] LogisticRegression +z"``.

    What has no score is "not run". Behind it stand probe and normalisation, and of `layers` (as of `choose_layers`) the
    one that is best on validation. The first columns are ``metric``, ``chance`` and ``interval over``.
    """
    chosen, best = select_scores(rows, every_metric=True), choose_layers(rows, layers or {})
    unmarked = (chosen["corpus_kind"] == "synthetic") & ~chosen["task"].str.contains("synthetic")
    words = [name_choice(row, best) for row in chosen.to_dict("records")]
    return spread_scores(chosen, {"task": chosen["task"].where(~unmarked, chosen["task"] + " (synthetic)")},
                         {"interval over": chosen["interval_by"] + "s"}, words)


def choose_layers(rows: pd.DataFrame, layers: Mapping[str, str]) -> dict[tuple[str, str], bool]:
    """Tell of each task and embedding that is a layer (name to model) whether validation chooses it of its model."""
    own = rows[rows["selected"] & (rows["split"] == "validation") & rows["embedding"].isin([*layers])]
    own = own[own["value"].notna()].drop_duplicates(["task", "embedding"])  # of several metrics the first chooses
    worth = own["value"] * [1 if get_metric(name).higher_is_better else -1 for name in own["metric"]]
    best = {*worth.groupby([own["task"], own["embedding"].map(layers)]).idxmax()}
    return {(row.task, row.embedding): row.Index in best for row in own.itertuples()}


def describe_layers(rows: pd.DataFrame, layers: Mapping[str, str]) -> list[str]:
    """Say of each task and model which of its layers validation chooses."""
    of = Counter(layers.values())
    return [f"{task}: {name}: Validation chooses this layer of {of[layers[name]]}; take no other by its test score."
            for (task, name), best in choose_layers(rows, layers).items() if best]


def name_choice(row: Mapping[str, Any], layers: Mapping[tuple[str, str], bool] | None = None) -> str:
    """Name probe and normalisation in short, of folds in how many the z-score was chosen; and a layer that was."""
    normed = [name for name, on in ((" +L2", row["l2"]), (" +z", row["speaker_norm"])) if on]
    if row["probe"] == CHOSEN_BY_FOLD:
        folds = sum(map(int, re.findall(r"speaker_norm True in (\d+) of", str(row["reason"]))))
        normed = [f" (+z in {folds})"] if folds else []
    of_layers = (layers or {}).get((row["task"], row["embedding"]))
    return "".join([row["probe"], *normed, f", {BEST_LAYER}" if of_layers else ""])


def count_tested(clips: int, speakers: int) -> str:
    """Clips and speakers of a test in words; of 0 speakers none are known."""
    return f"{clips} clips, {speakers} speakers" if speakers else f"{clips} clips, speakers unknown"


def select_by_protocol(rows: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Select the result of each embedding on each task, from the same fits, as one of `PROTOCOLS` chooses.

    One row a task and embedding; none where the protocol is not defined (``authors-2020`` without known speakers, or
    where they are the label). ``UnknownName`` for another name.
    """
    refuse_unknown("protocol", protocol, PROTOCOLS)
    if protocol == "validation":
        return select_scores(rows)
    flagged = rows["best_on_test"]
    if protocol == "authors-2020":
        known = rows["probe"].str.startswith("LogisticRegression") & rows["speaker_norm"] & ~rows["l2"]
        pool = rows[known & (rows["split"] == "validation")]
        best = {(key, probe) for (key, metric), part in pool.groupby(["key", "metric"])
                for probe in part["probe"][select_best(part["value"], metric)]}
        flagged = known & np.array([pair in best for pair in zip(rows["key"], rows["probe"], strict=True)], bool)
    return select_scores(rows.assign(selected=flagged))


def spread_scores(chosen: pd.DataFrame, index: Mapping[str, Any], facts: Mapping[str, Any],
                  words: Iterable[str] | None = None) -> pd.DataFrame:
    """Set scores, intervals and words side by side, a column an embedding, a row for each of `index` and metric."""
    texts = [f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}] {said}".rstrip()
             for row, said in zip(chosen.itertuples(), words or [""] * len(chosen), strict=True)]
    table = chosen[["embedding"]].assign(
        **index, metric=[get_metric(name).words for name in chosen["metric"]], score=texts,
        chance=[f"{value:.2f}" for value in chosen["chance"]], **facts)
    by, order = [*index, "metric"], list(dict.fromkeys(table["embedding"]))
    first = table.drop_duplicates(by).set_index(by)[["chance", *facts]]
    wide = table.set_index([*by, "embedding"])["score"].unstack("embedding").reindex(columns=order)
    return ScoreTable(first.join(wide).fillna("not run").reset_index("metric").rename_axis(columns=None))


def has_failures(not_run: pd.DataFrame) -> bool:
    """Tell whether something was not run although this machine has all that it needs."""
    return bool(not_run["remedy"].eq("").any())  # what is not available has a remedy


@dataclass
class Results:
    """What a benchmark gives.

    - ``rows``: one row a score, as in `ROWS`; `nslib.evaluation.select_scores` takes those chosen on validation
    - ``predictions``: test predictions of the chosen probes, one row a clip, as in `PREDICTIONS`
    - ``not_run``: task, embedding, why, remedy
    - ``problems``: clips that were left out: task, embedding, clip_id, audio, reason, remedy
    - ``ledger``: cost of extraction on this machine, one row an embedding, columns `LEDGER`
    - ``notes``: sentences that a reader of the numbers must know
    - ``clips``: clip tables of all tasks, one below the other, with the columns task and corpus_kind
    - ``layers``: names of embeddings that are layers of one model, to that model
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    not_run: pd.DataFrame
    problems: pd.DataFrame
    ledger: pd.DataFrame
    notes: list[str]
    clips: pd.DataFrame
    layers: dict[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Return test scores with intervals, tasks by embeddings, as `nslib.evaluation.table` makes it."""
        return table(self.rows, layers=self.layers)

    def best(self, task: str) -> str:
        """Name the embedding that did best on validation on a task; empty, if none was run on it."""
        own = self.rows[(self.rows["task"] == task) & self.rows["selected"] & (self.rows["split"] == "validation")]
        if own.empty:
            return ""
        own = own[own["metric"] == own["metric"].iloc[0]]
        return str(own["embedding"][select_best(own["value"], str(own["metric"].iloc[0]))].iloc[0])

    def with_fine_tuned(self, folder: Path | None = None) -> Results:
        """Add stored results of the fine-tuned trill-mini, of its present weights, on the clips of this run."""
        return self.with_stored([FINE_TUNED], networks.WEIGHT_FILES["trill-mini"].sha256, folder)

    def with_costs(self) -> Results:
        """Tell what vectors have taken by now: others than `nslib.benchmark` compute some too."""
        weights = {**dict(zip(self.rows["embedding"], self.rows["weights_hash"], strict=True)), **self.layers}
        costs = [{"embedding": name, **cache.read_costs(weights[name]).summary()} for name in self.ledger["embedding"]]
        return dataclasses.replace(self, ledger=pd.DataFrame(costs, columns=list(LEDGER)))

    def with_stored(self, names: Sequence[str], weights: str = "", folder: Path | None = None) -> Results:
        """Add stored results of embeddings that have no rows here yet, the newest of each task.

        They must be of the very same clips and splits (task and ``split_hash``), which those of a smoke run are not,
        and of the ``weights_hash`` given, if any.
        """
        wanted = set(names) - set(self.rows["embedding"])
        rows, predictions = load_results(folder)
        of_wanted = rows["embedding"].isin(wanted) & ((rows["weights_hash"] == weights) | (not weights))
        rows = rows[of_wanted].merge(self.rows[["task", "split_hash"]].drop_duplicates())
        newest = keep_newest(rows, ["task", "embedding"])["key"]
        rows, predictions = (part[part["key"].isin(newest)] for part in (rows, predictions))
        return dataclasses.replace(self, rows=join_tables([self.rows, rows], ROWS),
                                   predictions=join_tables([self.predictions, predictions], PREDICTIONS))


@dataclass
class ResultsBuilder:
    """Results as they come together, task by task and embedding by embedding."""

    notes: list[str] = field(default_factory=list)
    layers: dict[str, str] = field(default_factory=dict)
    _rows: list[pd.DataFrame] = field(default_factory=list)
    _predictions: list[pd.DataFrame] = field(default_factory=list)
    _not_run: list[dict[str, str]] = field(default_factory=list)
    _problems: list[pd.DataFrame] = field(default_factory=list)
    _clips: list[pd.DataFrame] = field(default_factory=list)
    _costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def refuse(self, task: str, embedding: str, error: NslibError) -> None:
        """Note that an embedding could not be measured on a task, why, and what would help."""
        why, remedy = str(getattr(error, "why", error)).rstrip(" ."), getattr(error, "remedy", "")
        self._not_run.append({"task": task, "embedding": embedding, "why": why, "remedy": remedy})

    def add_clips(self, task: Task, corpus: Dataset) -> None:
        """Take the clips of a task, its notes, and the clips that could not be used."""
        self.notes += [f"{task.name}: {note}" for note in (*corpus.notes, task.caution) if note]
        self._clips.append(corpus.clips.assign(task=task.name, corpus_kind=task.kind))
        self.add_problems(task.name, "", corpus.problems)

    def add_problems(self, task: str, embedding: str, problems: pd.DataFrame) -> None:
        """Take clips that were left out, with the reason of each."""
        if len(problems):
            self._problems.append(problems.assign(task=task, embedding=embedding))

    def add_scores(self, embedding: str, fingerprint: str, rows: pd.DataFrame, predictions: pd.DataFrame) -> None:
        """Take the scores of an embedding on a task, and what computing its vectors cost."""
        self.notes += [f"{rows['task'].iloc[0]}: {note}" for note in rows["notes"].iloc[0].splitlines()]
        self._rows.append(rows)
        self._predictions.append(predictions)
        self._costs[embedding] = {"embedding": embedding, **cache.read_costs(fingerprint).summary()}

    def results(self) -> Results:
        """Put everything together; each note is kept once."""
        problems, clips = ["task", "embedding", *PROBLEM_COLUMNS], [*COLUMNS, "task", "corpus_kind"]
        rows = join_tables(self._rows, ROWS)
        return Results(
            rows=rows,
            predictions=join_tables(self._predictions, PREDICTIONS),
            not_run=pd.DataFrame(self._not_run, columns=list(_NOT_RUN)),
            problems=pd.concat([pd.DataFrame(columns=problems), *self._problems], ignore_index=True)[problems],
            ledger=pd.DataFrame(list(self._costs.values()), columns=list(LEDGER)),
            notes=list(dict.fromkeys([*self.notes, *describe_layers(rows, self.layers)])),
            layers=self.layers,
            clips=pd.concat(self._clips or [pd.DataFrame(columns=clips)], ignore_index=True),
        )
