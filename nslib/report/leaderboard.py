"""Scores that are shared: a table of results as a file for others, and one page over one's own and theirs.

A file is Parquet: of one embedding the chosen test rows (`nslib.evaluation.results.ROWS`), who measured them, and, on
tasks with a committed manifest, what the chosen probe said of every test clip, from which score, interval and counts
follow; a score that does not is refused. Whose vectors they were, and that the probe was chosen on validation only, no
file can show. A score can be set beside others only if recordings and splits are the same: they are compared with the
manifests of the quick profile's recorded speech, for other tasks with results of one's own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nslib import config
from nslib.datasets import debian, splits
from nslib.datasets.table import read_parquet
from nslib.datasets.tasks import REGISTRY
from nslib.errors import BadParameter, NslibError, UnknownName, refuse_unknown
from nslib.evaluation.results import ROWS, check_table, write_table
from nslib.report.notebooks import render
from nslib.report.verify import recompute_score
from nslib.statistics.scores import get_metric, select_scores

__all__ = ["adopt_scores", "export_scores", "read_folder", "read_scores", "write_page"]

HERE, RECOMPUTED, REPORTED = "measured here", "recomputed", "as reported"  # how far a score is to be trusted
VERSION, LONGEST = 1, 500  # of the layout; characters of a text, so that no page is spoilt by one
_ENDING = ".nslib-row.parquet"
# answers: JSON, test clip to the answer of the chosen probe, empty if they are not shared; sha256: of all other columns
_COLUMNS = {**ROWS, "version": "int", "measured_by": "str", "about": "str", "answers": "str", "sha256": "str"}


def export_scores(rows: pd.DataFrame, embedding: str, path: str | Path, *, tasks: Sequence[str] = (),
                  predictions: pd.DataFrame | None = None, by: str = "", about: str = "") -> Path:
    """Write the scores of an embedding for others, as ``.parquet``; BadParameter for what others would refuse.

    With the answers (`predictions`) others can compute each score again, on tasks with a manifest. `tasks` are by
    default the kit's own: scores on recordings of one's own go along only if they are named. `by` says who measured it,
    `about` what it is and where it can be had.
    """
    path, chosen = Path(path), select_scores(rows)
    if path.suffix != ".parquet":
        raise BadParameter(f"a row is written as .parquet, best as NAME{_ENDING}; got {path.name}.")
    chosen = chosen[chosen["value"].notna()]
    own = chosen[chosen["embedding"] == embedding]
    if own.empty:
        raise UnknownName("embedding with a result", embedding, map(str, chosen["embedding"].unique()))
    names = list(own["task"].unique())
    refuse_unknown(f"task with a result of {embedding}", tasks, names)
    own = own[own["task"].isin(tasks or REGISTRY)]
    if own.empty:
        raise BadParameter(f"{embedding} was measured on recordings of your own only ({', '.join(names)}). Name those "
                           "that others may see (--tasks), or measure it on a task of the kit.")
    if own["weights_hash"].nunique() > 1:
        raise BadParameter(f"the scores of {embedding} are of {own['weights_hash'].nunique()} versions of it; measure "
                           "all tasks with one.")
    # notes may name recordings, which are nobody else's business
    own = own.assign(notes="", reason="", version=VERSION, measured_by=by, about=about)
    shared = []
    for row in own.to_dict("records"):
        manifest, answers = _read_manifest(row["task"]), {}
        if manifest and manifest[1] != (row["data_hash"], row["split_hash"]):
            raise BadParameter(f"the score on {row['task']} is not of all its clips (data {row['data_hash']}, the "
                               f"task's is {manifest[1][0]}): of a smoke run, or some could not be embedded. Measure "
                               "it again.")
        if manifest and predictions is not None:  # in their order, which resampling follows
            part = predictions[predictions["key"] == row["key"]]
            answers = dict(zip(part["clip_id"], part["y_pred"], strict=True))
        row["answers"] = json.dumps(answers) if answers else ""
        _refuse_faults(row, path)
        shared.append(row | {"sha256": _hash_row(row)})
    write_table(path, check_table(pd.DataFrame(shared), _COLUMNS))
    return path


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read scores of somebody's: the columns of `ROWS`, and version, measured_by, about, answers and sha256.

    BadParameter for another version, for what was changed since, and for a score that does not follow from its answers.
    """
    path = Path(path)
    try:
        frame = read_parquet(path)
    except NslibError as error:
        raise BadParameter(f"{path} cannot be read as a row ({str(error).splitlines()[0]}). One is written by: "
                           f"python -m nslib export-row EMBEDDING FILE.parquet") from error
    if "version" not in frame or frame.empty:
        raise BadParameter(f"{path} is no row of this kit.")
    if frame["version"].iloc[0] != VERSION:
        raise BadParameter(f"{path} is of version {frame['version'].iloc[0]}; this kit reads {VERSION}. Use a newer "
                           "kit.")
    try:
        frame = check_table(frame, _COLUMNS)
    except BadParameter as error:
        raise BadParameter(f"{path} is not formed as a row ({error}). Ask its author for it again.") from error
    for row in frame.to_dict("records"):
        if row["sha256"] != _hash_row(row):
            raise BadParameter(f"{path} has been changed since it was written: its checksum is not that of what it "
                               "says. Ask its author for it again.")
        _refuse_faults(row, path)
    return frame


def adopt_scores(path: str | Path, rows: pd.DataFrame, folder: Path | None = None) -> tuple[Path, list[str]]:
    """Take scores of somebody's into ``rows`` below the reports; return the copy, and notes on what could be verified.

    `rows` are results of one's own, for tasks without a manifest. A score of other recordings or another split is
    refused.
    """
    scores, notes = read_scores(path), list[str]()
    again, rest = list[str](), list[str]()
    for score in scores.to_dict("records"):
        task, manifest = score["task"], _read_manifest(score["task"])
        own = rows[rows["task"] == task]
        hashes = [manifest[1]] if manifest else list(zip(own["data_hash"], own["split_hash"], strict=True))
        if not hashes:
            notes.append(f"{task}: nothing here says what recordings and splits it has, so they could not be compared. "
                         f"Measure any embedding on it once: python -m nslib benchmark mfcc --tasks {task}")
        elif (score["data_hash"], score["split_hash"]) not in hashes:
            data, split = hashes[-1]
            raise BadParameter(f"{path}: its score on {task} is of data {score['data_hash']} and split "
                               f"{score['split_hash']}; here they are {data} and {split}. Numbers of different clips "
                               "do not belong into one table.")
        (rest if _find_truth(score) is None else again).append(task)
    if again:
        notes.append(f"computed again from the answers, and right: {', '.join(again)}. Whose vectors they were, no "
                     "file can show.")
    if rest:
        notes.append(f"as reported, since the answers are not in the file or the truth is not here: {', '.join(rest)}.")
    name = re.sub(r"[^A-Za-z0-9.@_-]+", "-", scores["embedding"].iloc[0])
    target = (folder or config.reports_dir() / "rows") / f"{name}-{scores['sha256'].iloc[0][:8]}{_ENDING}"
    config.write_file(target, Path(path).read_bytes())
    return target, notes


def read_folder(folder: Path | None = None) -> pd.DataFrame:
    """Read the scores of others that were taken in, with ``file``; each damaged one is left out with a warning."""
    frames = [pd.DataFrame(columns=[*_COLUMNS, "file"])]
    for path in sorted((folder or config.reports_dir() / "rows").glob(f"*{_ENDING}")):
        try:
            frames.append(read_scores(path).assign(file=path.name))
        except NslibError as error:
            warnings.warn(f"{error} It is left out.", stacklevel=2)
    return pd.concat(frames[1:] or frames, ignore_index=True)


def build_table(own: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put scores of one's own and of `read_folder` below each other, with ``by``, ``about`` and ``trust``."""
    here = select_scores(own)
    here = here[here["value"].notna()].assign(by=HERE, about="", trust=HERE)
    comparable = here["task"].isin({*REGISTRY, *others["task"]})
    here = here[comparable] if comparable.any() else here  # nobody else has recordings of one's own
    records = others.to_dict("records")
    others = others.assign(by=[f"reported by {row['measured_by'] or 'somebody'}" for row in records],
                           trust=[REPORTED if _find_truth(row) is None else RECOMPUTED for row in records])
    table = pd.concat([part for part in (here, others[list(here.columns)]) if len(part)] or [here], ignore_index=True)
    if table.empty:
        raise NslibError("there is no row yet: measure an embedding, or take one in with: python -m nslib import-row "
                         "FILE")
    return table


def write_page(own: pd.DataFrame, others: pd.DataFrame, folder: Path | None = None) -> Path:
    """Write ``leaderboard.html`` and ``leaderboard.csv`` to a folder (default: the reports).

    Embeddings with a score on every task come first, by their mean, which is no rank: intervals overlap.
    """
    folder, table = folder or config.reports_dir(), build_table(own, others)
    about = table.drop_duplicates("task").set_index("task", drop=False)
    heads = [{"name": row["task"], "synthetic": row["corpus_kind"] == "synthetic", "n": row["n"],
              "chance": row["chance"]} for row in about.to_dict("records")]
    lines = []
    for (name, by, weights), part in table.groupby(["embedding", "by", "weights_hash"], sort=True):
        scores = part.drop_duplicates("task", keep="last").set_index("task")
        cells = [dict(scores.loc[task]) if task in scores.index else None for task in about.index]
        lines.append({"name": name, "by": by, "weights": weights, "about": part["about"].iloc[0],
                      "dim": part["dim"].iloc[0], "cells": cells,
                      "mean": -1.0 if None in cells else float(scores["value"].mean())})
    lines.sort(key=lambda line: -line["mean"])
    config.write_file(folder / "leaderboard.csv", table.to_csv(index=False))
    config.write_file(folder / "leaderboard.html", render("leaderboard.html.j2", heads=heads, lines=lines,
                                                          recomputed=RECOMPUTED, reported=REPORTED))
    return folder / "leaderboard.html"


def _read_manifest(task: str) -> tuple[pd.DataFrame, tuple[str, str]] | None:
    """Read the clips of a task as the kit commits them, with the hashes of recordings and split; None without."""
    path = debian.manifest_path(task)
    if not path.is_file():
        return None
    clips = debian.read_manifest(path)
    return clips, (splits.hash_data(clips), splits.hash_split(clips))


def _find_truth(row: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return the clips by which a score follows from its answers; None if it cannot be computed again here."""
    if not row["answers"] or get_metric(row["metric"]).needs == "scores":
        return None
    manifest = _read_manifest(row["task"])
    return manifest[0] if manifest and manifest[1] == (row["data_hash"], row["split_hash"]) else None


def _refuse_faults(row: Mapping[str, Any], path: Path) -> None:
    """Refuse a text that would spoil a page, numbers that no score can have, and a score that its answers belie."""
    for name in ("embedding", "weights_hash", "about", "measured_by"):
        if (length := len(row[name])) > LONGEST:
            raise BadParameter(f"{path}: {name!r} has {length} characters; at most {LONGEST} are taken.")
    numbers = all(math.isfinite(row[name]) for name in ("value", "low", "high", "level", "chance"))
    if not numbers or not row["low"] <= row["value"] <= row["high"] or row["n"] < 1:
        raise BadParameter(f"{path}: its score on {row['task']} cannot be: value {row['value']}, interval "
                           f"{row['low']} to {row['high']}, {row['n']} clips.")
    if row["metric"] == "accuracy" and not 0 <= row["low"] <= row["high"] <= 1:
        raise BadParameter(f"{path}: its accuracy on {row['task']} is not between 0 and 1.")
    try:
        answers = json.loads(row["answers"] or "{}")
    except ValueError:
        answers = None
    if not isinstance(answers, dict) or not all(isinstance(value, str) for value in answers.values()):
        raise BadParameter(f"{path}: the answers of its score on {row['task']} are not one text a clip, each once.")
    if wrong := _find_contradictions(row, answers):
        raise BadParameter(f"{path}: its score on {row['task']} does not follow from its answers: {'; '.join(wrong)}. "
                           "Ask its author to export it again.")


def _find_contradictions(row: Mapping[str, Any], answers: dict[str, str]) -> list[str]:
    """Compute a score from its answers again, and say what differs."""
    if (clips := _find_truth(row)) is None:
        return []
    test = clips[(clips["split"] == "test") | bool(splits.count_folds(clips))].set_index("clip_id")
    if differ := set(test.index) ^ set(answers):
        return [f"the answers are not those of the {len(test)} test clips: {len(set(test.index) - set(answers))} lack "
                f"one, {len(set(answers) - set(test.index))} are of other clips, such as {min(differ)}"]
    test = test.loc[list(answers)].rename(columns={"label": "y_true"}).assign(y_pred=list(answers.values()))
    again = recompute_score(test, row["metric"], level=row["level"], seed=row["seed"])
    return [f"{name} is {row[name]}, from the answers {value}" for name, value in again.items()
            if row[name] != value and (isinstance(value, str) or not math.isclose(row[name], value, abs_tol=1e-9))]


def _hash_row(row: Mapping[str, Any]) -> str:
    """Hash everything in a row but its hash."""
    content = {name: row[name] for name in _COLUMNS if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
