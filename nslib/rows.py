"""A row of the result table as a file: what one person measured, for others to set beside their own.

Conventions
-----------
A file is JSON: the embedding, who measured it and with which code, and one entry a task with the score, its interval,
the test size, the hashes of recordings and splits, and the answers (`nslib.rows_answers`). ``sha256`` is of everything
else in it, so that a file that was damaged is refused; whoever edits with care can make a new one, so a score that does
not follow from its answers is refused as well. Neither proves whose vectors they were: a row of others is *reported*.

A row can be set beside others only if recordings and splits are the same. For the quick profile's tasks of recorded
speech they are compared with the committed manifests; for other tasks with results of one's own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files, params, provenance, rows_answers, tables
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.schema import ROWS
from nslib.tasks import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "nslib row"
VERSION = 1
SCORE = ("task", "corpus_kind", "metric", "value", "low", "high", "level", "interval_by", "n", "n_speakers", "classes",
         "chance", "probe", "l2", "speaker_norm", "seed", "data_hash", "split_hash", "when")
"""What is said of each score; columns of `nslib.schema.ROWS`."""
LONGEST = 500
"""Characters of a text in a file, so that no page is spoilt by one."""

_TOP = ("format", "version", "embedding", "dim", "weights_hash", "about", "measured_by", "kit", "scores")
_TEXTS = ("embedding", "weights_hash", "about", "measured_by")
_JSON = {"str": str, "int": int, "float": int | float, "bool": bool}
_TYPES = {column.name: _JSON[column.dtype] for column in ROWS if column.name in SCORE}
_SHARES = ("value", "low", "high", "level", "chance")
_ENDING = ".nslib-row.json"


def export(rows: pd.DataFrame, embedding: str, path: str | Path, *, tasks: Sequence[str] = (),
           predictions: pd.DataFrame | None = None, by: str = "", about: str = "") -> Path:
    """Write the row of an embedding.

    Parameters
    ----------
    rows : DataFrame
        Of `nslib.benchmark`, or `nslib.results.load`.
    embedding : str
        Its name in them.
    path : path-like
        Ending in ``.json``.
    tasks : sequence of str
        Default: the kit's own. Scores on recordings of one's own go along only if they are named.
    predictions : DataFrame, optional
        Answers of the same results. With them others can compute each score again, on tasks with a manifest.
    by : str
        Who measured it, as others shall read it.
    about : str
        What it is, and where it can be had.

    Returns
    -------
    Path

    Raises
    ------
    UnknownName
        For an embedding or a task that has no result, with the nearest.
    BadParameter
        For another ending, too long a text, or if scores are of several weights, or of a part of a task's clips, as in
        a smoke run.
    """
    path, chosen = Path(path), tables.selected(rows)
    if path.suffix != ".json":
        raise BadParameter(f"a row is written as .json, best as NAME{_ENDING}; got {path.name}.")
    mine = chosen[(chosen["embedding"] == embedding) & chosen["value"].notna()]
    if mine.empty:
        raise UnknownName("embedding with a result", embedding, map(str, chosen["embedding"].unique()))
    mine = _of_tasks(mine, tasks)
    if mine["weights_hash"].nunique() > 1:
        raise BadParameter(f"the scores of {embedding} are of {mine['weights_hash'].nunique()} versions of it; measure "
                           "all tasks with one.")
    for score in mine.to_dict("records"):
        _need_whole(score)
    from nslib import __version__

    content = {"format": FORMAT, "version": VERSION, "embedding": embedding, "dim": int(mine["dim"].iloc[0]),
               "weights_hash": str(mine["weights_hash"].iloc[0]), "about": about, "measured_by": by,
               "kit": {"version": __version__, "code_revision": provenance.code_revision(),
                       "lock_hash": str(mine["lock_hash"].iloc[-1])},
               "scores": [_score(row, predictions) for row in mine.to_dict("records")]}
    _refuse_long(content, path)
    files.write(path, json.dumps(content | {"sha256": _digest(content)}, indent=1, ensure_ascii=False) + "\n")
    return path


def read(path: str | Path) -> dict[str, Any]:
    """Read a row of somebody's, and hold it to its checksum and its form.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict

    Raises
    ------
    BadParameter
        If it is no row, of a newer version, changed since it was written, says what cannot be, or a score on the
        recordings of the kit does not follow from its answers.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadParameter(f"{path} cannot be read as a row ({error}). One is written by: python -m nslib export-row "
                           "EMBEDDING FILE.json") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadParameter(f"{path} is no row of this kit.")
    if content.get("version") != VERSION:
        raise BadParameter(f"{path} is of version {content.get('version')}; this kit reads {VERSION}. Use a newer kit.")
    said = content.pop("sha256", "")
    if said != _digest(content):
        raise BadParameter(f"{path} has been changed since it was written: its checksum is not that of what it says. "
                           "Ask its author for it again.")
    _check_form(content, path)
    for score in content["scores"]:
        _check(score, path)
        clips = rows_answers.truth(score)
        if clips is not None and (wrong := rows_answers.contradictions(score, clips)):
            raise BadParameter(f"{path}: its score on {score['task']} does not follow from its answers: "
                               f"{'; '.join(wrong)}. Ask its author to export it again.")
    return content


def adopt(path: str | Path, rows: pd.DataFrame, folder: Path | None = None) -> tuple[Path, list[str]]:
    """Take a row of somebody's into one's own folder, if it is of the same recordings and splits.

    Parameters
    ----------
    path : path-like
    rows : DataFrame
        Results of one's own, for tasks that have no manifest.
    folder : Path, optional
        Default: ``rows`` below the reports.

    Returns
    -------
    path : Path
        Of the copy.
    notes : list of str
        What could not be verified.

    Raises
    ------
    BadParameter
        As `read`; and if a score is of other recordings or another split, with both hashes.
    """
    content, notes = read(path), []
    for score in content["scores"]:
        task, own = score["task"], _hashes(score["task"], rows)
        if not own:
            notes.append(f"{task}: nothing here says what recordings and splits it has, so they could not be compared. "
                         f"Measure any embedding on it once: python -m nslib benchmark mfcc --tasks {task}")
        elif (score["data_hash"], score["split_hash"]) not in own:
            data, split = own[-1]
            raise BadParameter(f"{path}: its score on {task} is of data {score['data_hash']} and split "
                               f"{score['split_hash']}; here they are {data} and {split}. Numbers of different clips "
                               "do not belong into one table.")
    again = [score["task"] for score in content["scores"] if rows_answers.truth(score) is not None]
    if again:
        notes.append(f"computed again from the answers, and right: {', '.join(again)}. Whose vectors they were, no "
                     "file can show.")
    if rest := [score["task"] for score in content["scores"] if score["task"] not in again]:
        notes.append(f"as reported, since the answers are not in the file or the truth is not here: {', '.join(rest)}.")
    name = re.sub(r"[^A-Za-z0-9.@_-]+", "-", content["embedding"])
    target = _folder(folder) / f"{name}-{_digest(content)[:8]}{_ENDING}"
    files.write(target, Path(path).read_text(encoding="utf-8"))
    return target, notes


def adopted(folder: Path | None = None) -> list[dict[str, Any]]:
    """Rows of others that were taken in.

    Parameters
    ----------
    folder : Path, optional

    Returns
    -------
    list of dict
        By the names of their files; a damaged one is left out with a warning.
    """
    import warnings

    found = []
    for path in sorted(_folder(folder).glob(f"*{_ENDING}")):
        try:
            found.append(read(path))
        except NslibError as error:
            warnings.warn(f"{error} It is left out.", stacklevel=2)
    return found


def _folder(folder: Path | None) -> Path:
    return folder if folder is not None else params.reports_dir() / "rows"


def _of_tasks(mine: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    there = list(mine["task"].unique())
    for task in tasks:
        if task not in there:
            raise UnknownName(f"task with a result of {mine['embedding'].iloc[0]}", task, there)
    chosen = tasks or [task for task in there if task in REGISTRY]
    if not chosen:
        raise BadParameter(f"{mine['embedding'].iloc[0]} was measured on recordings of your own only "
                           f"({', '.join(there)}). Name those that others may see (--tasks), or measure it on a task "
                           "of the kit.")
    return mine[mine["task"].isin(chosen)]


def _score(row: Mapping[str, Any], predictions: pd.DataFrame | None) -> dict[str, Any]:
    said = {name: _plain(row[name]) for name in SCORE}
    if predictions is None or rows_answers.manifest(said["task"]) is None:
        return said | {"answers": None}
    return said | {"answers": rows_answers.pack(predictions, str(row["key"]))}


def _need_whole(score: Mapping[str, Any]) -> None:
    clips = rows_answers.manifest(score["task"])
    if clips is not None and (score["data_hash"], score["split_hash"]) != (known := rows_answers.hashes(clips)):
        raise BadParameter(f"the score on {score['task']} is not of all its clips (data {score['data_hash']}, the "
                           f"task's is {known[0]}): of a smoke run, or some could not be embedded. Measure it again.")


def _hashes(task: str, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Hashes of recordings and split that a task has here."""
    clips = rows_answers.manifest(task)
    if clips is not None:
        return [rows_answers.hashes(clips)]
    own = rows[rows["task"] == task]
    return list(dict.fromkeys(zip(own["data_hash"], own["split_hash"], strict=True)))


def _refuse_long(content: Mapping[str, Any], path: Path) -> None:
    for name in _TEXTS:
        if (length := len(str(content[name]))) > LONGEST:
            raise BadParameter(f"{path}: {name!r} has {length} characters; at most {LONGEST} are taken.")


def _check_form(content: Mapping[str, Any], path: Path) -> None:
    wrong = [name for name in _TOP if name not in content]
    wrong += [name for name in _TEXTS if not isinstance(content.get(name), str)]
    wrong += [] if isinstance(content.get("dim"), int) else ["dim"]
    scores = content.get("scores")
    if wrong or not isinstance(scores, list) or not scores or not all(isinstance(score, dict) for score in scores):
        called = ", ".join(dict.fromkeys(wrong)) or "scores"
        raise BadParameter(f"{path} is not formed as a row ({called}). Ask its author for it again.")
    _refuse_long(content, path)


def _check(score: Mapping[str, Any], path: Path) -> None:
    wrong = [name for name in SCORE if not isinstance(score.get(name), _TYPES[name])]
    if wrong:
        raise BadParameter(f"{path}: a score has no {', '.join(wrong)} that could be read.")
    numbers = all(math.isfinite(score[name]) for name in _SHARES)
    if not numbers or not score["low"] <= score["value"] <= score["high"] or score["n"] < 1:
        raise BadParameter(f"{path}: its score on {score['task']} cannot be: value {score['value']}, interval "
                           f"{score['low']} to {score['high']}, {score['n']} clips.")
    if score["metric"] == "accuracy" and not 0 <= score["low"] <= score["high"] <= 1:
        raise BadParameter(f"{path}: its accuracy on {score['task']} is not between 0 and 1.")
    if score.get("answers") is not None and not rows_answers.well_formed(score["answers"]):
        raise BadParameter(f"{path}: the answers of its score on {score['task']} are not one text a clip, each once.")


def _digest(content: Mapping[str, Any]) -> str:
    made_of = json.dumps({name: content.get(name) for name in _TOP}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(made_of.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
