"""A row of the result table as a file: what one person measured, for others to set beside their own.

Conventions
-----------
A file is JSON: the embedding, who measured it and with which code, and one entry a task with the score, its interval,
the test size, and the hashes of recordings and splits. ``sha256`` is of everything else in it, so that a file that was
changed by accident, or by hand, is refused. It proves nothing about who measured: a row of others is *reported*, never
*verified*.

A row can be set beside others only if recordings and splits are the same. For the quick profile's tasks of recorded
speech they are compared with the committed manifests; for other tasks with results of one's own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files, params, provenance, tables
from nslib.errors import BadParameter, NslibError, UnknownName

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "nslib row"
VERSION = 1
SCORE = ("task", "corpus_kind", "metric", "value", "low", "high", "level", "interval_by", "n", "n_speakers", "classes",
         "chance", "probe", "l2", "speaker_norm", "seed", "data_hash", "split_hash", "when")
"""What is said of each score; columns of `nslib.schema.ROWS`."""

_TOP = ("format", "version", "embedding", "dim", "weights_hash", "about", "measured_by", "kit", "scores")
_SHARES = ("value", "low", "high", "level", "chance")
_ENDING = ".nslib-row.json"


def export(rows: pd.DataFrame, embedding: str, path: str | Path, *, by: str = "", about: str = "") -> Path:
    """Write the row of an embedding.

    Parameters
    ----------
    rows : DataFrame
        Of `nslib.benchmark`, or `nslib.results.load`.
    embedding : str
        Its name in them.
    path : path-like
        Ending in ``.json``.
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
        For an embedding that has no result, with the nearest.
    BadParameter
        For another ending, or if scores are of several weights, or of a part of a task's clips, as in a smoke run.
    """
    path, chosen = Path(path), tables.selected(rows)
    if path.suffix != ".json":
        raise BadParameter(f"a row is written as .json, best as NAME{_ENDING}; got {path.name}.")
    mine = chosen[(chosen["embedding"] == embedding) & chosen["value"].notna()]
    if mine.empty:
        raise UnknownName("embedding with a result", embedding, map(str, chosen["embedding"].unique()))
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
               "scores": [{name: _plain(row[name]) for name in SCORE} for row in mine.to_dict("records")]}
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
        If it is no row, of a newer version, changed since it was written, or says what cannot be.
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
    for score in content["scores"]:
        _check(score, path)
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
    notes.append("The scores are as reported: the vectors are not here, so nothing was recomputed.")
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


def _need_whole(score: Mapping[str, Any]) -> None:
    known = _of_manifest(score["task"])
    if known and (score["data_hash"], score["split_hash"]) != known:
        raise BadParameter(f"the score on {score['task']} is not of all its clips (data {score['data_hash']}, the "
                           f"task's is {known[0]}): of a smoke run, or some could not be embedded. Measure it again.")


def _of_manifest(task: str) -> tuple[str, str] | None:
    from nslib import splits
    from nslib.corpora import manifests

    path = manifests.manifest_path(task)
    if not path.is_file():
        return None
    manifest = manifests.read_manifest(path)
    return splits.data_hash(manifest), splits.split_hash(manifest)


def _hashes(task: str, rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Hashes of recordings and split that a task has here."""
    if known := _of_manifest(task):
        return [known]
    own = rows[rows["task"] == task]
    return list(dict.fromkeys(zip(own["data_hash"], own["split_hash"], strict=True)))


def _check(score: Mapping[str, Any], path: Path) -> None:
    missing = [name for name in SCORE if name not in score]
    if missing:
        raise BadParameter(f"{path}: a score lacks {', '.join(missing)}.")
    shares = [score[name] for name in _SHARES]
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in shares)
    if not numbers or not score["low"] <= score["value"] <= score["high"] or score["n"] < 1:
        raise BadParameter(f"{path}: its score on {score['task']} cannot be: value {score['value']}, interval "
                           f"{score['low']} to {score['high']}, {score['n']} clips.")
    if score["metric"] == "accuracy" and not 0 <= score["low"] <= score["high"] <= 1:
        raise BadParameter(f"{path}: its accuracy on {score['task']} is not between 0 and 1.")


def _digest(content: Mapping[str, Any]) -> str:
    made_of = json.dumps({name: content.get(name) for name in _TOP}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(made_of.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
