"""What the files of a published model hash to: recorded when they are first used, compared ever after.

No publisher states a checksum for these models, so none can be pinned here. The first use records the one
that was met; from then on other files under the same name are an error, and vectors in the store
never mix two versions of a model.

Conventions
-----------
The checksum is SHA-256 over name, size and contents of ``saved_model.pb`` and of all that lies in ``variables``
and ``assets``, in the order of the names. The record is ``<model>.json`` beside the model's folder
(in the cache, if that place is read-only). Sizes and times of change are kept in it, so that a
model is hashed again only if they differ, or when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nslib import files, params
from nslib.errors import Unavailable

PARTS = ("variables", "assets")
FOUND = "found on this machine"


@dataclass(frozen=True)
class Record:
    """What was recorded of a model.

    Attributes
    ----------
    sha256 : str
        Of its files.
    recorded : str
        Day and time in UTC.
    origin : str
        Where the files came from, as far as that is known.
    folder : str
        Where they lay.
    stats : dict
        File name to [bytes, time of change in ns].
    """

    sha256: str
    recorded: str
    origin: str
    folder: str
    stats: dict[str, list[int]] = field(default_factory=dict)


def of(folder: Path) -> str:
    """Hash a model's files.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    str
        64 hex digits.
    """
    digest = hashlib.sha256()
    for name, path in _files(folder).items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def verified(model: str, folder: Path, origin: str = FOUND, *, fully: bool = False) -> str:
    """Give a model's checksum: recorded now if this is its first use, else compared with the record.

    Parameters
    ----------
    model : str
        Its name.
    folder : Path
        Where its files lie.
    origin : str
        Where they came from; for the record.
    fully : bool
        Hash also files whose size and time of change are as recorded.

    Returns
    -------
    str
        64 hex digits.

    Raises
    ------
    Unavailable
        If the files are not the recorded ones.
    """
    known, stats = read(model), _stats(folder)
    if known and not fully and known.folder == str(folder) and known.stats == stats:
        return known.sha256
    found = of(folder)
    if known and known.sha256 != found:
        raise _changed(model, folder, known, found)
    first = known or Record(found, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", origin, "")
    if (first.folder, first.stats) != (str(folder), stats):
        _write(model, Record(found, first.recorded, first.origin, str(folder), stats))
    return found


def read(model: str) -> Record | None:
    """Read what is recorded of a model.

    Parameters
    ----------
    model : str

    Returns
    -------
    Record or None
        None before its first use.
    """
    path = next((p for p in _places(model) if p.is_file()), None)
    if path is None:
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise Unavailable(f"model {model}", f"the record of its checksum, {path}, cannot be read",
                          "Delete that record if you trust the model's files; they are recorded again then.") from error


def _changed(model: str, folder: Path, known: Record, found: str) -> Unavailable:
    record = next(p for p in _places(model) if p.is_file())
    why = (f"the files in {folder} are not the ones used before: their sha256 is {found[:16]}..., and "
           f"{known.sha256[:16]}... was recorded on {known.recorded} ({known.origin})")
    remedy = (f"Put the old files back, or delete {folder} to fetch them again. If the new ones are meant, delete "
              f"{record}: vectors of the old model stay in the store and are not used for the new one.")
    return Unavailable(f"model {model}", why, remedy)


def _files(folder: Path) -> dict[str, Path]:
    found = [folder / "saved_model.pb"]
    for part in PARTS:
        found += [path for path in (folder / part).rglob("*") if path.is_file()]
    return {name: path for name, path in sorted((p.relative_to(folder).as_posix(), p) for p in found)}


def _stats(folder: Path) -> dict[str, list[int]]:
    about = {name: path.stat() for name, path in _files(folder).items()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in about.items()}


def _places(model: str) -> tuple[Path, Path]:
    """Where the record may be: beside the model, else in the cache."""
    return params.models_dir() / f"{model}.json", params.cache_dir("model-checksums") / f"{model}.json"


def _write(model: str, record: Record) -> None:
    beside, cached = _places(model)
    above = next(folder for folder in beside.parents if folder.exists())
    writable = os.access(above, os.W_OK) and (not beside.exists() or os.access(beside, os.W_OK))
    files.write(beside if writable else cached, json.dumps(asdict(record), indent=1))
