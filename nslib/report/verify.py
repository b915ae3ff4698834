"""Is every number of a report true? Scores from kept answers, and any task and embedding run once more.

Conventions
-----------
`verify_report` asks whether scores, intervals, counts and choices follow from the kept answers (also those of the
protocols), and whether ``results.csv`` and ``results.parquet`` say what the results say; at level ``all`` it runs every
pair of task and embedding again. ``ok`` has three values: true, false, and missing for what could not be checked here;
``why`` then says why not. Floats are the same if they differ by no more than `TOLERANCE`: the same sum in another
order.

`run_again` is `nslib.benchmark` (or a protocol) for one task and embedding with an empty folder of results, and,
afresh, an empty store of vectors, beside what is kept. What it makes is not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nslib import config
from nslib.config import Params
from nslib.datasets import loading, tasks
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.evaluation import benchmark, protocols, results
from nslib.evaluation.benchmark import specify_embedding
from nslib.evaluation.results import ROWS, check_table
from nslib.report.tables import is_built_in, is_fine_tuned, write_command
from nslib.statistics import intervals as statistics_intervals
from nslib.statistics import scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["format_checks", "run_again", "verify_report"]

LEVELS = ("scores", "all")
COLUMNS = ["key", "task", "embedding", "what", "file", "said", "recomputed", "ok", "why"]
TOLERANCE = 1e-9
_COMBINATION = ["probe", "l2", "speaker_norm", "seed"]
_SCORES = ("value", "low", "high")
_FACTS = ("probe", "l2", "speaker_norm", "metric", "n", "n_speakers", "classes", "interval_by", "seed")
_ORIGIN = {"data_hash": "the recordings", "split_hash": "labels, speakers or splits", "weights_hash": "the embedding",
           "key": "the code of the probes, their settings, or NumPy, SciPy or scikit-learn",
           "lock_hash": "the locked packages", "code_revision": "the kit's code"}
_DECIDING = ("data_hash", "split_hash", "weights_hash", "key")

Check = dict[str, Any]


def recompute_score(answers: pd.DataFrame, metric: str, *, level: float, seed: int) -> dict[str, Any]:
    """Compute what follows from the answers (``speaker``, ``y_true``, ``y_pred``) to a test: counts, chance and score.

    The answers must be in the order of the result, because resampling follows it. Of a metric that needs more than
    answers only counts and chance are given.
    """
    true, said, speaker = (answers[name].to_numpy(str) for name in ("y_true", "y_pred", "speaker"))
    made = {"n": len(answers), "n_speakers": len(set(speaker) - {""}),
            "chance": scores.chance(metric, true) if len(true) else math.nan}
    if scores.get_metric(metric).needs == "scores":
        return made
    if not len(true):
        return made | dict.fromkeys((*_SCORES, "interval_by"), math.nan)
    interval = statistics_intervals.interval(true, said, speaker, metric, level=level, seed=seed)
    return made | {"value": scores.score(metric, true, said), "low": interval.low, "high": interval.high,
                   "interval_by": interval.by}


# ------------------------------------------------------------------------------------------------ a report


def verify_report(folder: Path | None = None, *, level: str = "scores", progress: bool = True) -> pd.DataFrame:
    """Recompute the numbers of a report.

    Parameters
    ----------
    folder : Path, optional
        Of a report: ``results/``, ``results.csv``, ``results.parquet``. Default: the reports.
    level : {"scores", "all"}
        Scores from kept answers take seconds; all pairs again as long as the probes of the run.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    DataFrame
        One line a check: ``key, task, embedding, what, file, said, recomputed, ok, why``.

    Raises
    ------
    NslibError
        If the folder holds no results.
    UnknownName
        For another level.
    """
    import pandas as pd
    from tqdm.std import tqdm

    if level not in LEVELS:
        raise UnknownName("level of verification", level, LEVELS)
    folder = Path(folder) if folder is not None else config.reports_dir()
    home = folder / "results"
    if not any(home.glob("*.rows.parquet")):
        raise NslibError(f"{folder} holds no results: give the folder of a report, with results/ in it, or make one "
                         "with: python -m nslib reproduce")
    rows, answers, checks = _load(results.load_results, home, "rows")
    kept = {str(key): part for key, part in rows.groupby("key", sort=False)}
    for key, part in tqdm(kept.items(), "verify", unit="result", disable=not progress, leave=False):
        checks += _check_result(part, answers[answers["key"] == key])
        if level == "all":
            checks += _check_again(part, home)
    rows, answers, more = _load(protocols.load_protocols, home, "protocol")
    checks += [*more, *_check_protocols(rows, answers), *_check_tables(folder, kept)]
    return pd.DataFrame(checks, columns=COLUMNS).astype({"ok": "boolean"})


def format_checks(checks: pd.DataFrame) -> str:
    """Say what `verify_report` found: what is wrong, with key and file; what was not checked, by reason; the counts."""
    wrong, unknown, lines = checks[checks["ok"].eq(False).fillna(False)], checks[checks["ok"].isna()], []
    for row in wrong.to_dict("records"):
        cell = f"{row['task']}/{row['embedding']} " if row["task"] else ""
        key, why = f" (key {row['key']})" if row["key"] else "", f" ({row['why']})" if row["why"] else ""
        lines.append(f"WRONG {row['file']}: {cell}{row['what']}{key}: says {row['said']}, is {row['recomputed']}{why}")
    for why, part in unknown.groupby("why", sort=False):
        cells = list(dict.fromkeys(f"{r.task}/{r.embedding} {r.what}" for r in part.itertuples()))
        more = f" and {len(cells) - 12} more" if len(cells) > 12 else ""
        lines.append(f"not checked: {', '.join(cells[:12])}{more}: {why}")
    files, keys = (checks.loc[checks[name] != "", name].nunique() for name in ("file", "key"))
    right = int(checks["ok"].fillna(False).sum())
    return "\n".join([*lines, f"{right} of {len(checks) - len(unknown)} checks of {keys} results in {files} files are "
                              f"right, {len(wrong)} wrong, {len(unknown)} not made"])


def _check(about: Mapping[str, Any], what: str, file: str, said: Any, made: Any, why: str = "",
           ok: bool | None = None) -> Check:
    """Note a number that was looked at; it is right if both are the same, floats to the last bits, NaN with NaN."""
    if ok is None and isinstance(said, float) and isinstance(made, float):
        ok = said == made or abs(said - made) <= TOLERANCE or (math.isnan(said) and math.isnan(made))
    ok = bool(said == made) if ok is None else ok
    words = [f"{float(value):.10g}" if isinstance(value, float) else str(value) for value in (said, made)]
    return dict(zip(COLUMNS, [*(str(about.get(c, "")) for c in COLUMNS[:3]), what, file, *words, ok, why], strict=True))


def _skip(about: Mapping[str, Any], what: str, file: str, why: str) -> Check:
    """Note what could not be checked, and why."""
    return _check(about, what, file, "", "", why) | {"ok": None}


def _load(load: Callable[[Path], Any], home: Path, kind: str) -> tuple[pd.DataFrame, pd.DataFrame, list[Check]]:
    """Load every result of a kind; a file that cannot be read is noted as wrong."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows, answers = load(home)
    lost = {path.name.split(".")[0] for path in home.glob(f"*.{kind}.parquet")} - set(rows["key"])
    why = " ".join(str(warning.message) for warning in told)
    wrong = [_check({"key": key}, "the file", _name_file(key, kind), "a result", "unreadable", why)
             for key in sorted(lost)]
    return rows, answers, wrong + [_check(row, "checksums and schema", _name_file(row["key"], kind), "as written",
                                          "as written") for row in rows.drop_duplicates("key").to_dict("records")]


def _name_file(key: str, kind: str = "rows") -> str:
    """Return where a table lies, relative to the folder of the report."""
    return f"results/{key}.{kind}.parquet"


def _check_result(rows: pd.DataFrame, answers: pd.DataFrame) -> Iterator[Check]:
    """Recompute everything that the answers and the scores of all combinations decide."""
    about, metric, test = dict(rows.iloc[0]), str(rows["metric"].iloc[0]), rows[rows["split"] == "test"]
    file, file_of_answers = (_name_file(about["key"], kind) for kind in ("rows", "predictions"))
    for flag, split in (("selected", "validation"), ("best_on_test", "test")):
        part = rows[rows["split"] == split]
        values = part["value"].to_numpy(float) * (1 if scores.get_metric(metric).higher_is_better else -1)
        best = "" if np.isnan(values).all() else _name_combinations(part.iloc[[np.nanargmax(values)]])
        for where, group in rows.groupby("split", sort=False):
            yield _check(about, f"{flag} ({where})", file, _name_combinations(group[group[flag]]), best,
                         f"best of {len(part)} on {split}")
    chosen = test[test["selected"]]
    if len(chosen) != 1:
        nothing = not len(chosen) and bool(test["value"].isna().all()) and answers.empty
        yield _check(about, "chosen rows of the test", file, len(chosen), 0 if nothing else 1)
        return
    yield _check(about, "whose answers", file_of_answers, _name_combinations(answers), _name_combinations(chosen),
                 "the chosen combination")
    yield _check(about, "clips that come twice", file_of_answers, int(answers["clip_id"].duplicated().sum()), 0)
    row = chosen.iloc[0]
    made = recompute_score(answers, metric, level=float(row["level"]), seed=int(row["seed"]))
    for name, value in made.items():
        every = test[name].unique()  # counts and chance are of the test set: all combinations say the same
        several = name in ("n", "n_speakers", "chance") and len(every) > 1
        yield _check(about, f"test {name}", file, ", ".join(map(str, every)) if several else row[name], value,
                     "from the kept answers")
    if "value" not in made:
        yield _skip(about, "test score", file, f"{metric} needs scores, and only answers are kept")


def _name_combinations(table: pd.DataFrame) -> str:
    """Write the different probes of a table with their normalisation and seed."""
    return "; ".join(", ".join([str(row[0]), *(f"{name} {value}" for name, value in zip(_COMBINATION[1:], row[1:],
                                                                                       strict=True))])
                     for row in table[_COMBINATION].drop_duplicates().itertuples(index=False, name=None))


def _check_again(rows: pd.DataFrame, home: Path) -> Iterator[Check]:
    """Run the pair of a result again from the stored vectors, and compare score, interval and answers."""
    row = rows[rows["split"] == "test"].iloc[0].to_dict()
    if is_fine_tuned(row):
        yield _skip(row, "fits", _name_file(row["key"]), "a fine-tuned network has no stored vectors; python -m nslib "
                                                         "reproduce TASK/EMBEDDING trains it")
        return
    try:
        again = run_again(row["key"], Params(smoke=set(rows["probe"]) == set(benchmark.SMOKE_PROBES)), folder=home,
                          progress=False)
    except NslibError as error:
        yield _skip(row, "fits", _name_file(row["key"]), str(error))
        return
    for name in (*_DECIDING, *_SCORES, *_FACTS):
        yield _check(row, f"{name} of the chosen probe", _name_file(row["key"]), again.kept[name], again.made[name],
                     "fitted again on the stored vectors")
    yield _check(row, "answers of the chosen probe that differ", _name_file(row["key"], "predictions"),
                 again.differing, 0, "fitted again on the stored vectors")


def _check_protocols(rows: pd.DataFrame, answers: pd.DataFrame) -> Iterator[Check]:
    """Recompute what was chosen in each protocol: each split, each speaker, and over all of them."""
    # Rows of one speaker are of the choice by themselves; a row without a value has no answers.
    chosen = rows[(rows["selected"] | (rows["speaker"] != "")) & rows["value"].notna()]
    by_question = dict(list(answers.groupby(["key", "protocol", "shots"])))
    for row in chosen.to_dict("records"):
        part = by_question.get((row["key"], row["protocol"], row["shots"]), answers[:0])
        for name in ("split_number", "speaker"):
            part = part[part[name] == row[name]] if row[name] else part
        words = row["protocol"] + (f", {row['shots']} shots" if row["shots"] else "")
        words += f", split {row['split_number']}" if row["split_number"] else ", all splits"
        words += f", speaker {row['speaker']}" if row["speaker"] else ""
        for name, value in _recompute_protocol(part, row).items():
            yield _check(row, f"{name}, {words}", _name_file(row["key"], "protocol"), row[name], value,
                         "from the kept answers")


def _recompute_protocol(answers: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what follows from the answers of a row of a protocol."""
    made: dict[str, Any] = {"n": answers["clip_id"].nunique()}
    if answers.empty or row["metric"] != "accuracy":
        return made
    of_speakers = row["protocol"] == protocols.WITHIN_SPEAKER
    made["value"] = protocols.average_accuracy(answers, of_speakers=of_speakers)
    if not row["interval_by"]:
        return made
    if row["split_number"]:  # a single split is scored as a benchmark is
        again = recompute_score(answers, row["metric"], level=row["level"], seed=row["seed"])
        return made | {name: again[name] for name in ("low", "high", "interval_by")}
    found = protocols.measure_interval(answers, of_speakers=of_speakers, level=row["level"], seed=row["seed"])
    return made | {"low": found.low, "high": found.high, "interval_by": found.by}


def _check_tables(folder: Path, kept: Mapping[str, pd.DataFrame]) -> Iterator[Check]:
    """Hold the two tables of all rows to the results, value by value; what is equal as text is equal."""
    import pandas as pd
    import pyarrow as pa

    def as_text(table: pd.DataFrame) -> pd.DataFrame:
        return read_text(io.StringIO(table.to_csv(index=False)))

    def read_text(source: Any) -> pd.DataFrame:
        return pd.read_csv(source, dtype=str, keep_default_na=False)

    shown = {}
    for name in ("results.parquet", "results.csv"):
        try:
            table = read_text(folder / name) if name.endswith("csv") else as_text(
                pd.read_parquet(folder / name, page_checksum_verification=True))
            check_table(table[:0], ROWS)
        except (OSError, ValueError, pa.ArrowException) as error:
            yield _check({}, "the file", name, "rows", "unreadable", str(error).splitlines()[0])
            continue
        shown[name] = set(table["key"])
        for key, part in table.groupby("key", sort=False):
            mine, said = as_text(kept.get(str(key), table[:0])), part.reset_index(drop=True)
            about = dict(said.iloc[0] if mine.empty else mine.iloc[0])
            yield _check(about, "number of rows", name, len(said), len(mine), "as kept in results/")
            differ = (said != mine).to_numpy() if len(said) == len(mine) else np.zeros((0, 0))
            for row, column in zip(*differ.nonzero(), strict=True):
                yield _check(about, f"{mine.columns[column]} of {_name_combinations(mine.iloc[[row]])}", name,
                             said.iat[row, column], mine.iat[row, column], "as kept in results/")
    for name, keys in shown.items():
        lost = sorted(set().union(*shown.values()) - keys)
        yield _check({}, "results that the other table has", name, f"{len(lost)} missing", "0 missing", ", ".join(lost))


# ------------------------------------------------------------------------------------------------ one pair again


class Rerun(NamedTuple):
    """A task and embedding that were run again.

    Attributes
    ----------
    equal : bool
        Whether the report would show the same numbers, with one decimal of percent.
    text : str
        Kept and recomputed numbers beside each other, and what could be the reason if they differ.
    made, kept : Mapping
        The row of the chosen probe on test now, and as it is kept; empty if nothing is kept, and of a protocol.
    differing : int or None
        How many test clips are answered differently; None where answers cannot be paired.
    """

    equal: bool
    text: str
    made: Mapping[str, Any]
    kept: Mapping[str, Any]
    differing: int | None


def run_again(cell: str, params: Params, *, protocol: str | None = None, seed: int | None = None, fresh: bool = False,
              folder: Path | None = None, progress: bool = True) -> Rerun:
    """Run one task and embedding again, beside what is kept of it.

    All combinations of the probes are fitted and the choice is made on validation, as in the run itself: what is
    compared is the score, not one fit. A protocol is run with its usual settings.

    Parameters
    ----------
    cell : str
        ``task/embedding``, or, without a protocol, the first characters of a result's key (six or more).
    params : Params
        For ``smoke``; its seed where nothing is kept.
    protocol : {"within-speaker", "repeated", "switch"}, optional
        Default: the benchmark.
    seed : int, optional
        Default: that of the kept result; for a protocol that of `params`.
    fresh : bool
        Compute the vectors too, into a temporary store.
    folder : Path, optional
        Of the results; default ``results`` below the reports.
    progress : bool
        Progress bars on stderr.

    Raises
    ------
    UnknownName
        For a protocol, task, embedding or key that is not known, with the nearest.
    BadParameter
        For what is no cell, or a key that begins several results.
    Unavailable
        If the recordings or the embedding cannot be had, or the protocol cannot be run on the task.
    """
    if protocol is not None:
        task, slash, embedding = cell.partition("/")
        if not slash:
            raise BadParameter(f"with a protocol, name the cell as TASK/EMBEDDING; got {cell!r}.")
        tasks.get_task(task)  # which tells the nearest names
        rows, params = protocols.load_protocols(folder)[0], params if seed is None else dataclasses.replace(params, seed=seed)
        made, _ = _run_pair(task, embedding, params, protocol, fresh, progress)
        return _compare_protocol(made, rows[(rows["task"] == task) & (rows["embedding"] == embedding)])
    rows, answers = results.load_results(folder)
    chosen = rows[rows["selected"] & (rows["split"] == "test")]
    task, embedding, chosen = _resolve_cell(cell, chosen)
    if seed is None and len(chosen):
        seed = int(chosen["seed"].iloc[-1])
    params = params if seed is None else dataclasses.replace(params, seed=seed)
    made, predictions = _run_pair(task, embedding, params, None, fresh, progress)
    row = made[made["selected"] & (made["split"] == "test")]
    if row.empty:
        raise BadParameter(f"no probe could be fitted for {cell}: {made['reason'].iloc[0]}")
    return _compare_score(row.iloc[0].to_dict(), predictions, chosen[chosen["seed"] == params.seed], answers)


def _resolve_cell(cell: str, chosen: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    """Find the task, the embedding and the kept rows that ``task/embedding``, or the beginning of a key, means."""
    task, slash, embedding = cell.partition("/")
    mine = chosen[(chosen["task"] == task) & (chosen["embedding"] == embedding)]
    if not slash:
        mine = chosen[chosen["key"].str.startswith(cell)] if len(cell) >= 6 else chosen[:0]
        if mine.empty:
            raise UnknownName("cell", cell, (chosen["task"] + "/" + chosen["embedding"]).unique())
        if mine["key"].nunique() > 1:
            raise BadParameter(f"{mine['key'].nunique()} results begin with {cell!r}: give more characters.")
        task, embedding = str(mine["task"].iloc[0]), str(mine["embedding"].iloc[0])
    if task not in tasks.REGISTRY and len(mine):
        raise BadParameter(f"{task!r} is a task of recordings of your own, of which the kit keeps no address. Measure "
                           f"it again with: {write_command(mine.iloc[-1])}")
    tasks.get_task(task)  # which tells the nearest names
    trained = any(is_fine_tuned(row) for row in [{"probe": "", "embedding": embedding}, *mine.to_dict("records")])
    if not is_built_in(embedding) and not trained:
        if len(mine):
            raise BadParameter(f"{embedding!r} is an embedding of your own, of which only the name is kept. Measure it "
                               f"again with: {write_command(mine.iloc[-1])}")
        specify_embedding(embedding)  # which tells the nearest names
    return task, embedding, mine


@contextlib.contextmanager
def _use_empty_folders(fresh: bool) -> Iterator[None]:
    """Let results, and vectors if `fresh`, go to empty folders; the rest of the cache stays where it is."""
    with tempfile.TemporaryDirectory(prefix="nslib-again-") as folder:
        places = {"NSLIB_REPORTS": Path(folder, "reports")}
        if fresh:
            places["NSLIB_CACHE"] = Path(folder, "cache")
            places["NSLIB_CACHE"].mkdir()
            for entry in config.cache_dir().iterdir():
                if entry.name != "vectors":
                    (places["NSLIB_CACHE"] / entry.name).symlink_to(entry)
        before = {name: os.environ.get(name) for name in places}
        os.environ.update({name: str(path) for name, path in places.items()})
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                os.environ.update({name: value} if value is not None else {})


def _run_pair(task: str, embedding: str, params: Params, protocol: str | None, fresh: bool,
              progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure one embedding on one task, plainly or by a protocol, whatever is kept of it."""
    if fresh:  # recordings and weights go to the cache that stays
        loading.load_clips(tasks.get_task(task), params, progress=progress)
        specify_embedding(embedding).load()
    with _use_empty_folders(fresh):
        if protocol is None and not is_built_in(embedding):
            return _train_again(task, embedding, params, progress)
        if protocol is None:
            plain = benchmark.benchmark(embedding, task, params=params, progress=progress)
            not_run, pair = plain.not_run, (plain.rows, plain.predictions)
        else:
            other = protocols.run_protocol(protocol, embedding, task, params, progress=progress)
            not_run, pair = other.not_run, (other.rows, other.answers)
    for row in not_run.itertuples():
        what = f"{row.embedding} on {row.task}"
        raise Unavailable(what, row.why, row.remedy) if row.remedy else NslibError(f"{what}: {row.why}")
    return pair


def _train_again(task: str, embedding: str, params: Params, progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fine-tune a network again: it has no vectors."""
    from nslib.training import finetune  # imports TensorFlow
    from nslib.training.settings import FinetuneSettings

    settings = FinetuneSettings(seed=params.seed)
    if finetune.name_finetuned(settings) != embedding:
        raise BadParameter(f"{embedding} was trained with settings that only its name tells. Train it again with: "
                           f"python -m nslib train finetune {task} NAME=VALUE")
    return finetune.benchmark_finetuned(tasks.get_task(task), params, settings, progress=progress)


def _compare_score(made: dict[str, Any], predictions: pd.DataFrame, chosen: pd.DataFrame,
                   answers: pd.DataFrame) -> Rerun:
    """Set a score beside what is kept: of several results the one with most hashes in common, then the newest."""
    import pandas as pd

    kept, differing = {}, None
    if len(chosen):
        shared = sum((chosen[name] == made[name]).astype(int) for name in _DECIDING)
        place = chosen.assign(shared=shared).sort_values(["shared", "when"], kind="stable").index[-1]
        kept = chosen.loc[place].to_dict()
        before = answers.loc[answers["key"] == kept["key"], ["clip_id", "y_pred"]]
        both = before.merge(predictions[["clip_id", "y_pred"]], on="clip_id")
        if len(both) == len(predictions) == len(before):
            differing = int((both["y_pred_x"] != both["y_pred_y"]).sum())
    lines = []
    for name in (*_SCORES, *_FACTS, *_ORIGIN):
        write = _show if name in _SCORES else str
        one, two = (write(row[name]) if row and row[name] != "" else "–" for row in (kept, made))
        lines.append((_name(name), one, two, "differs" if "–" not in (one, two) and one != two else ""))
    table = pd.DataFrame(lines, columns=["what", "kept", "recomputed", ""]).set_index("what")
    moved = ", ".join(f"{_name(n)} by {100 * (float(made[n]) - float(kept[n])):+.1f}" for n in _SCORES
                      if kept and _show(made[n]) != _show(kept[n]))
    clips = "" if differing is None else f" {differing} of {made['n']} test clips are answered differently."
    if not kept:
        verdict = "Nothing is kept of this cell, so there is nothing to compare it with."
    elif not moved:
        verdict = f"Equal, to the last decimal that the report shows.{clips}"
    else:
        verdict = f"Moved: {moved}.{clips} {_explain(made, kept)}"
    with pd.option_context("display.max_columns", None, "display.width", 200, "display.max_colwidth", 60):
        text = f"{made['task']}/{made['embedding']}\n{table.to_string()}\n{verdict}"
    return Rerun(not moved, text, made, kept, differing)


def _explain(made: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    """Say which hashes differ."""
    names = [name for name in _DECIDING if made[name] != kept[name]]
    # other data or weights have another key by themselves
    why = [f"{_ORIGIN[name]} ({name})" for name in names if name != "key" or len(names) == 1]
    return f"What differs: {'; '.join(why)}." if why else (
        "Every hash that decides the result is the same: the kept number was changed since, or this machine "
        "computes something else from the same.")


def _compare_protocol(rows: pd.DataFrame, mine: pd.DataFrame) -> Rerun:
    """Set the summary rows of a protocol beside those that are kept, of the same clips and seed if there are some."""
    now, one = rows.iloc[0], ["protocol", "shots"]
    same = mine[(mine["split_hash"] == now["split_hash"]) & (mine["seed"] == now["seed"])]
    made, kept = (protocols.summarise(part).set_index(one, drop=False) for part in (rows, same if len(same) else mine))
    kept, equal, lines = kept[kept.index.isin(made.index)], True, [f"{now['task']}/{now['embedding']}"]
    for at, row in made.iterrows():
        before, again = (_show_score(kept.loc[at]) if at in kept.index else "nothing"), _show_score(row)
        equal &= before in (again, "nothing")
        same_or_not = "" if before == "nothing" else "  equal" if before == again else "  MOVED"
        shots = f", {row['shots']} shots" if row["shots"] else ""
        lines.append(f"{row['protocol']}{shots}: kept {before}, recomputed {again}{same_or_not}")
    if len(kept):
        lines += [f"{_name(name)}: kept {kept.iloc[0][name]}, recomputed {now[name]}" for name in _ORIGIN
                  if name != "key" and kept.iloc[0][name] != now[name]]
    return Rerun(equal, "\n".join(lines), {}, {}, None)


def _name(column: str) -> str:
    """Return what a column is called in words."""
    return {"value": "score", "l2": "L2"}.get(column, column.replace("_", " "))


def _show(value: Any) -> str:
    """Write a share as the report shows it: percent with one decimal."""
    return f"{100 * float(value):.1f}"


def _show_score(row: Any) -> str:
    """Write a score with its interval."""
    value, low, high = ("–" if row[name] != row[name] else _show(row[name]) for name in _SCORES)
    return f"{value} [{low}–{high}]"
