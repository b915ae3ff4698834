"""Is every number of a report true? Scores from stored answers, and any task and embedding run once more.

`verify_report` asks whether scores, intervals, counts and choices follow from the stored answers (also those of the
protocols), and whether ``results.csv`` and ``results.parquet`` say what the results say. ``ok`` is true, false, or
missing for what could not be checked here; ``why`` then says why not. Floats are the same within `TOLERANCE`.
`run_again` is `nslib.benchmark` (or a protocol) for one task and embedding with an empty folder of results, and,
afresh, an empty store of vectors, beside what is stored. What it makes is not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import shlex
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm.std import tqdm

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets import loading, tasks
from nslib.datasets.table import read_parquet
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName, refuse_unknown
from nslib.evaluation import protocols
from nslib.evaluation.benchmark import SMOKE_PROBES, benchmark, load_embedding, specify_embedding
from nslib.evaluation.probe import mark_best, name_combination
from nslib.evaluation.results import FINE_TUNED, ROWS, check_table, load_results
from nslib.report import notebooks
from nslib.statistics import scores
from nslib.statistics.intervals import interval
from nslib.statistics.scores import CHOSEN_BY_FOLD
from nslib.training import finetune
from nslib.training.settings import FinetuneSettings

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
_DECIDING = ["data_hash", "split_hash", "weights_hash", "key"]
_FROM_ANSWERS, _FITTED = "from the kept answers", "fitted again on the stored vectors"

Check = dict[str, Any]


def recompute_score(answers: pd.DataFrame, metric: str, *, level: float, seed: int) -> dict[str, Any]:
    """Compute what follows from the answers to a test, in the order of the result: counts, chance, score, interval."""
    true, pred, speaker = (answers[name].to_numpy(str) for name in ("y_true", "y_pred", "speaker"))
    facts = {"n": len(answers), "n_speakers": len(set(speaker) - {""}),
             "chance": scores.chance(true, metric) if len(true) else math.nan}
    if scores.get_metric(metric).needs == "scores":
        return facts
    if not len(true):
        return facts | dict.fromkeys((*_SCORES, "interval_by"), math.nan)
    bounds = interval(true, pred, speaker, metric, level=level, seed=seed)  # resampling follows the order of the rows
    return facts | {"value": scores.score(true, pred, metric), "low": bounds.low, "high": bounds.high,
                    "interval_by": bounds.by}


@config.explain_failures()
def verify_report(folder: Path | None = None, *, level: str = "scores", progress: bool = True) -> pd.DataFrame:
    """Recompute the numbers of a report, a row each, columns `COLUMNS`.

    At the level ``scores`` it takes seconds; at ``all`` as long as the probes of the run. A folder without results is
    refused (NslibError), as is another level (UnknownName).
    """
    refuse_unknown("level of verification", level, LEVELS)
    folder = Path(folder) if folder is not None else config.reports_dir()
    home = folder / "results"
    if not any(home.glob("*.rows.parquet")):
        raise NslibError(f"{folder} holds no results: give the folder of a report, with results/ in it, or make one "
                         "with: python -m nslib reproduce")
    rows, answers, checks = _load(load_results, home, "rows")
    by_key = {str(key): part for key, part in rows.groupby("key", sort=False)}
    for key, part in tqdm(by_key.items(), "verify", unit="result", disable=not progress, leave=False):
        checks += _check_result(part, answers[answers["key"] == key])
        if level == "all":
            checks += _check_again(part, home)
    rows, answers, more = _load(protocols.load_protocols, home, "protocol")
    checks += [*more, *_check_protocols(rows, answers), *_check_tables(folder, by_key), *_check_notebooks(folder)]
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


def _check(about: Mapping[str, Any], what: str, file: str, said: Any, made: Any, why: str = "") -> Check:
    """Compare a value of a report with what it should be; NaN is NaN."""
    ok = bool(said == made)
    if isinstance(said, float) and isinstance(made, float):
        ok = ok or abs(said - made) <= TOLERANCE or (math.isnan(said) and math.isnan(made))
    words = [f"{float(value):.10g}" if isinstance(value, float) else str(value) for value in (said, made)]
    return dict(zip(COLUMNS, [*(str(about.get(c, "")) for c in COLUMNS[:3]), what, file, *words, ok, why], strict=True))


def _skip(about: Mapping[str, Any], what: str, file: str, why: str) -> Check:
    """Note what could not be checked, and why."""
    return _check(about, what, file, "", "", why) | {"ok": None}


def _name_file(key: str, kind: str = "rows") -> str:
    """Return where a table lies, relative to the folder of the report."""
    return f"results/{key}.{kind}.parquet"


def _name_combinations(table: pd.DataFrame) -> str:
    """Write the different probes of a table with their normalisation and seed."""
    return "; ".join(f"{name_combination(row)}, seed {row.seed}"
                     for row in table[_COMBINATION].drop_duplicates().itertuples())


def _load(load: Callable[[Path], Any], home: Path, kind: str) -> tuple[pd.DataFrame, pd.DataFrame, list[Check]]:
    """Load every result of a kind, and check that each file could be read, with its checksums and columns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows, answers = load(home)
    why = " ".join(str(warning.message) for warning in caught)
    readable = {row["key"]: row for row in rows.drop_duplicates("key").to_dict("records")}
    keys = sorted(path.name.split(".")[0] for path in home.glob(f"*.{kind}.parquet"))
    return rows, answers, [
        _check(readable[key], "the file", _name_file(key, kind), "a result", "a result") if key in readable else
        _check({"key": key}, "the file", _name_file(key, kind), "a result", "unreadable", why) for key in keys]


def _check_result(rows: pd.DataFrame, answers: pd.DataFrame) -> Iterator[Check]:
    """Recompute everything that the answers and the scores of all combinations decide."""
    about, metric = dict(rows.iloc[0]), str(rows["metric"].iloc[0])
    rows = rows[rows["metric"] == metric]  # what was chosen by it may be scored by others too
    test = rows[rows["split"] == "test"]
    file, answers_file = _name_file(about["key"]), _name_file(about["key"], "predictions")
    for flag, split in (("selected", "validation"), ("best_on_test", "test")):
        part = rows[rows["split"] == split]
        best = _name_combinations(part[mark_best(part, flag)])
        for where, group in rows.groupby("split", sort=False):
            yield _check(about, f"{flag} ({where})", file, _name_combinations(group[group[flag]]), best,
                         f"best of {len(part)} on {split}")
    chosen = test[test["selected"]]
    if len(chosen) != 1:
        nothing = not len(chosen) and bool(test["value"].isna().all()) and answers.empty
        yield _check(about, "chosen rows of the test", file, len(chosen), 0 if nothing else 1)
        return
    said, whose = _name_combinations(answers), _name_combinations(chosen)
    if chosen["probe"].item() == CHOSEN_BY_FOLD:  # each fold has a combination of its own
        seed = f", seed {chosen['seed'].item()}"
        whose = "; ".join(sorted(one.rsplit(" in ", 1)[0] + seed for one in chosen["reason"].item().split("; ")))
        said = "; ".join(sorted(said.split("; ")))
    yield _check(about, "whose answers", answers_file, said, whose, "the chosen combination")
    yield _check(about, "clips that come twice", answers_file, int(answers["clip_id"].duplicated().sum()), 0)
    row = chosen.iloc[0]
    made = recompute_score(answers, metric, level=float(row["level"]), seed=int(row["seed"]))
    for name, value in made.items():
        every = test[name].unique()  # counts and chance are of the test set: all combinations say the same
        several = name in ("n", "n_speakers", "chance") and len(every) > 1
        yield _check(about, f"test {name}", file, ", ".join(map(str, every)) if several else row[name], value,
                     _FROM_ANSWERS)
    if "value" not in made:
        yield _skip(about, "test score", file, f"{metric} needs scores, and only answers are kept")


def _check_again(rows: pd.DataFrame, home: Path) -> Iterator[Check]:
    """Run the pair of a result again from the stored vectors, and compare score, interval and answers."""
    row = rows[rows["split"] == "test"].iloc[0].to_dict()
    file = _name_file(row["key"])
    if is_fine_tuned(row):
        yield _skip(row, "fits", file, "a fine-tuned network has no stored vectors; python -m nslib reproduce "
                                       "TASK/EMBEDDING trains it")
        return
    try:
        smoke = set(rows["probe"]) - {CHOSEN_BY_FOLD} == set(SMOKE_PROBES)
        again = run_again(row["key"], Params(smoke=smoke), folder=home, progress=False)
    except NslibError as error:
        yield _skip(row, "fits", file, str(error))
        return
    for name in (*_DECIDING, *_SCORES, *_FACTS):
        yield _check(row, f"{name} of the chosen probe", file, again.stored[name], again.made[name], _FITTED)
    yield _check(row, "answers of the chosen probe that differ", _name_file(row["key"], "predictions"),
                 again.differing, 0, _FITTED)


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
            yield _check(row, f"{name}, {words}", _name_file(row["key"], "protocol"), row[name], value, _FROM_ANSWERS)


def _recompute_protocol(answers: pd.DataFrame, row: Mapping[str, Any]) -> dict[str, Any]:
    """Compute what follows from the answers of a row of a protocol."""
    made: dict[str, Any] = {"n": answers["clip_id"].nunique()}
    if answers.empty or row["metric"] != "accuracy":
        return made
    test = protocols.make_test(answers, row["protocol"])
    made["value"] = test.mean()
    if row["interval_by"] and row["split_number"]:  # a single split is scored as a benchmark is
        again = recompute_score(answers, row["metric"], level=row["level"], seed=row["seed"])
        made |= {name: again[name] for name in ("low", "high", "interval_by")}
    elif row["interval_by"]:
        bounds = test.interval(row["level"], seed=row["seed"])
        made |= {"low": bounds.low, "high": bounds.high, "interval_by": bounds.by}
    return made


def _check_tables(folder: Path, by_key: Mapping[str, pd.DataFrame]) -> Iterator[Check]:
    """Compare the two tables of all rows with the results, value by value; what is equal as text is equal."""
    def read_text(source: Any) -> pd.DataFrame:
        return pd.read_csv(source, dtype=str, keep_default_na=False)

    def as_text(table: pd.DataFrame) -> pd.DataFrame:
        return read_text(io.StringIO(table.to_csv(index=False)))

    keys: dict[str, set[str]] = {}
    for name in ("results.parquet", "results.csv"):
        try:
            table = read_text(folder / name) if name.endswith("csv") else as_text(read_parquet(folder / name))
            check_table(table[:0], ROWS)
        except (OSError, ValueError, NslibError) as error:
            yield _check({}, "the file", name, "rows", "unreadable", str(error).splitlines()[0])
            continue
        keys[name] = set(table["key"])
        for key, shown in table.groupby("key", sort=False):
            shown, stored = shown.reset_index(drop=True), as_text(by_key.get(str(key), table[:0]))
            about = dict((shown if stored.empty else stored).iloc[0])
            yield _check(about, "number of rows", name, len(shown), len(stored), "as kept in results/")
            differ = (shown != stored).to_numpy() if len(shown) == len(stored) else np.zeros((0, 0))
            for row, column in zip(*differ.nonzero(), strict=True):
                yield _check(about, f"{stored.columns[column]} of {_name_combinations(stored.iloc[[row]])}", name,
                             shown.iat[row, column], stored.iat[row, column], "as kept in results/")
    for name, present in keys.items():
        lost = sorted(set().union(*keys.values()) - present)
        yield _check({}, "results that the other table has", name, f"{len(lost)} missing", "0 missing", ", ".join(lost))


def _check_notebooks(folder: Path) -> Iterator[Check]:
    """Compare executed notebooks and their pages with what their runs wrote."""
    home, known = folder / "notebooks", set[str]()
    for run in notebooks.read_last_runs(home):
        for name, said, made in notebooks.compare_files(home, run):
            known.add(name)
            yield _check({}, "the file", f"notebooks/{name}", said[:16], made[:16] or "missing", "as its run wrote it")
    for path in sorted(path for ending in ("ipynb", "html") for path in home.glob(f"*.{ending}")):
        if path.name not in known:
            yield _check({}, "the file", f"notebooks/{path.name}", "a notebook that was run", "without a record",
                         "python -m nslib reproduce runs it again")


class Rerun(NamedTuple):
    """A pair run again: is it equal as a report shows it, in words, its row now and as stored, answers that differ."""

    equal: bool
    text: str
    made: Mapping[str, Any]
    stored: Mapping[str, Any]
    differing: int | None


def run_again(cell: str, params: Params, *, protocol: str | None = None, seed: int | None = None, fresh: bool = False,
              folder: Path | None = None, progress: bool = True) -> Rerun:
    """Run one task and embedding again, by the benchmark or a protocol with its usual settings, beside what is stored.

    The choice is made on validation, as in the run itself: what is compared is the score, not one fit. `cell` is
    ``task/embedding`` or, without a protocol, the first characters (six or more) of a result's key; the seed that of
    the stored result, for a protocol that of `params`. `fresh`: compute the vectors too, into a temporary store.
    """
    if protocol is not None:
        task, slash, embedding = cell.partition("/")
        if not slash:
            raise BadParameter(f"with a protocol, name the cell as TASK/EMBEDDING; got {cell!r}.")
        tasks.get_task(task)  # which tells the nearest names
        params = params if seed is None else dataclasses.replace(params, seed=seed)
        rows, _ = protocols.load_protocols(folder)
        rows = rows[(rows["task"] == task) & (rows["embedding"] == embedding) & rows["selected"]
                    & (rows["split_number"] == "") & (rows["speaker"] == "")]
        made, _ = _run_pair(task, embedding, params, protocol, fresh, progress)
        reruns = []
        for row in protocols.summarise(made).to_dict("records"):
            same = rows[(rows["protocol"] == row["protocol"]) & (rows["shots"] == row["shots"])]
            shots = f", {row['shots']} shots" if row["shots"] else ""
            reruns.append(_set_beside(f"{cell}, {row['protocol']}{shots}", row, _find_nearest(row, same)))
        return Rerun(all(r.equal for r in reruns), "\n\n".join(r.text for r in reruns), {}, {}, None)
    rows, answers = load_results(folder)
    task, embedding, chosen = _resolve_cell(cell, rows[rows["selected"] & (rows["split"] == "test")])
    if seed is None and len(chosen):
        seed = int(chosen["seed"].iloc[-1])
    params = params if seed is None else dataclasses.replace(params, seed=seed)
    made, predictions = _run_pair(task, embedding, params, None, fresh, progress)
    best = made[made["selected"] & (made["split"] == "test")]
    if best.empty:
        raise BadParameter(f"no probe could be fitted for {cell}: {made['reason'].iloc[0]}")
    row = best.iloc[0].to_dict()
    stored = _find_nearest(row, chosen[chosen["seed"] == params.seed])
    before = answers[answers["key"] == stored.get("key")]
    both = before.merge(predictions, on="clip_id")
    same_clips = stored and len(both) == len(predictions) == len(before)
    differing = int((both["y_pred_x"] != both["y_pred_y"]).sum()) if same_clips else None
    return _set_beside(f"{task}/{embedding}", row, stored, differing)


def _resolve_cell(cell: str, chosen: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    """Find the task, the embedding and the stored rows that ``task/embedding``, or the beginning of a key, means."""
    task, slash, embedding = cell.partition("/")
    stored = chosen[(chosen["task"] == task) & (chosen["embedding"] == embedding)]
    if not slash:
        stored = chosen[chosen["key"].str.startswith(cell)] if len(cell) >= 6 else chosen[:0]
        if stored.empty:
            raise UnknownName("cell", cell, (chosen["task"] + "/" + chosen["embedding"]).unique())
        if stored["key"].nunique() > 1:
            raise BadParameter(f"{stored['key'].nunique()} results begin with {cell!r}: give more characters.")
        task, embedding = str(stored["task"].iloc[0]), str(stored["embedding"].iloc[0])
    if task not in tasks.REGISTRY and len(stored):
        raise BadParameter(f"{task!r} is a task of recordings of your own, of which the kit keeps no address. Measure "
                           f"it again with: {write_command(stored.iloc[-1])}")
    tasks.get_task(task)  # which tells the nearest names
    trained = any(is_fine_tuned(row) for row in [{"probe": "", "embedding": embedding}, *stored.to_dict("records")])
    if not is_built_in(embedding) and not trained:
        if len(stored):
            raise BadParameter(f"{embedding!r} is an embedding of your own, of which only the name is kept. Measure it "
                               f"again with: {write_command(stored.iloc[-1])}")
        specify_embedding(embedding)  # which tells the nearest names
    return task, embedding, stored


def write_command(row: Mapping[str, Any], params: Params | None = None) -> str:
    """Write the shell command that makes just this score again, with FOLDER and FILE for what only the user knows."""
    name, embedding = str(row["task"]), str(row["embedding"])
    task = tasks.REGISTRY.get(name)
    if task is None:
        words = ["benchmark", shlex.quote(embedding) if is_built_in(embedding) else "FILE", "--dataset", "FOLDER"]
    elif not is_built_in(embedding) and not is_fine_tuned(row):
        words = ["benchmark", "FILE", "--tasks", shlex.quote(name)]
    else:
        words = ["reproduce", shlex.quote(f"{name}/{embedding}")]
    words += ["--profile", "paper"] if task is not None and task.profile == "paper" else []
    words += ["--seed", str(row["seed"])] if int(row["seed"]) else []
    words += ["--smoke"] if params is not None and params.smoke else []
    said = "" if params is None or params.transductive is None else f"TRANSDUCTIVE={int(params.transductive)} "
    return said + " ".join(["python -m nslib", *words])


def is_fine_tuned(row: Mapping[str, Any]) -> bool:
    """Tell whether a score is of a network that was trained for the task, and of no probe."""
    return str(row["probe"]).startswith(("finetuned-", "frozen-")) or row["embedding"] == FINE_TUNED


def is_built_in(embedding: str) -> bool:
    """Tell whether the kit knows an embedding by this name, such as ``logmel`` or ``trill-mini-top@litert``."""
    with contextlib.suppress(NslibError):
        embeddings.needs_extra(embedding)
        return True
    return False


@contextlib.contextmanager
def _use_empty_folders(fresh: bool) -> Iterator[None]:
    """Let results, and vectors if `fresh`, go to empty folders; the rest of the cache stays where it is."""
    with config.scratch_folder("again") as folder:
        places, cache = {"NSLIB_REPORTS": folder / "reports"}, folder / "cache"
        if fresh:
            places["NSLIB_CACHE"] = cache
            cache.mkdir()
            for entry in config.cache_dir().iterdir():
                if entry.name != "vectors":
                    (cache / entry.name).symlink_to(entry)
        with config.environment(**places):
            yield


def _run_pair(task: str, embedding: str, params: Params, protocol: str | None, fresh: bool,
              progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure one embedding on one task, plainly or by a protocol, whatever is stored of it."""
    if protocol is None and not is_built_in(embedding):  # a fine-tuned network, which has no vectors
        settings = FinetuneSettings(seed=params.seed)
        if finetune.name_finetuned(settings) != embedding:
            raise BadParameter(f"{embedding} was trained with settings that only its name tells. Train it again with: "
                               f"python -m nslib train finetune {task} NAME=VALUE")
        with _use_empty_folders(fresh=False):
            return finetune.benchmark_finetuned(tasks.get_task(task), params, settings, progress=progress)
    if fresh:  # recordings and weights go to the cache that stays
        loading.load_clips(tasks.get_task(task), params, progress=progress)
        load_embedding(embedding)
    with _use_empty_folders(fresh):
        if protocol is None:
            plain = benchmark(embedding, task, params=params, progress=progress)
            not_run, pair = plain.not_run, (plain.rows, plain.predictions)
        else:
            other = protocols.run_protocol(protocol, embedding, task, params, progress=progress)
            not_run, pair = other.not_run, (other.rows, other.answers)
    for row in not_run.itertuples():
        what = f"{row.embedding} on {row.task}"
        raise Unavailable(what, row.why, row.remedy) if row.remedy else NslibError(f"{what}: {row.why}")
    return pair


def _find_nearest(made: Mapping[str, Any], candidates: pd.DataFrame) -> dict[str, Any]:
    """Return the stored row with most hashes in common, of several the newest; empty if there is none."""
    shared = (candidates[_DECIDING] == [made[name] for name in _DECIDING]).sum(axis=1)
    ordered = candidates.assign(shared=shared).sort_values(["shared", "when"], kind="stable")
    return ordered.iloc[-1].to_dict() if len(ordered) else {}


def _set_beside(title: str, made: Mapping[str, Any], stored: Mapping[str, Any], differing: int | None = None) -> Rerun:
    """Compare a row with what is stored of it, to the last decimal that the report shows."""
    lines, called = [], {"value": "score", "l2": "L2"}
    for name in (*_SCORES, *_FACTS, *_ORIGIN):
        one, two = ("–" if not row or row[name] in ("", None) or row[name] != row[name] else
                    f"{100 * float(row[name]):.1f}" if name in _SCORES else str(row[name]) for row in (stored, made))
        lines.append((called.get(name, name.replace("_", " ")), one, two, "differs" if stored and one != two else ""))
    moved = ", ".join(f"{words} by {100 * (float(made[name]) - float(stored[name])):+.1f}"
                      for name, (words, *_, differs) in zip(_SCORES, lines, strict=False) if differs)
    clips = "" if differing is None else f" {differing} of {made['n']} test clips are answered differently."
    names = [name for name in _DECIDING if stored and made[name] != stored[name]]
    # other data or weights have another key by themselves
    why = [f"{_ORIGIN[name]} ({name})" for name in names if name != "key" or len(names) == 1]
    differs = (f"What differs: {'; '.join(why)}." if why else
               "Every hash that decides the result is the same: the kept number was changed since, or this machine "
               "computes something else from the same.")
    verdict = "Nothing is kept of this cell, so there is nothing to compare it with."
    if stored:
        equal = "Equal, to the last decimal that the report shows."
        verdict = f"Moved: {moved}.{clips} {differs}" if moved else f"{equal}{clips}"
    table = pd.DataFrame(lines, columns=["what", "kept", "recomputed", ""]).set_index("what").to_string()
    return Rerun(not moved, f"{title}\n{table}\n{verdict}", made, stored, differing)
