"""Names of the files of a table: ``<prefix>.<split>-00000-of-00003``, and finding them.

Conventions
-----------
The authors' pipeline writes ``.train``, ``.validation`` or ``.test`` after the prefix, and then
``@*`` (which its runner outside Google takes literally) and the number of the shard. ``<prefix>@3``
means all three shards.
"""

from __future__ import annotations

import glob
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from nslib.errors import BadParameter, UnknownName
from nslib.splits import SPLITS

Paths = str | Path | Iterable[str | Path] | Mapping[str, str | Path | Iterable[str | Path]]

LABEL_LIST = ".label_list.txt"

_SHARD = re.compile(r"(?P<table>.+?)(@(\*|\d+))?-(?P<shard>\d{5})-of-(?P<count>\d{5})")
_SPLIT = re.compile(rf"(?:^|\.)({'|'.join(SPLITS)})(?=[.@-]|$)")


class Shard(NamedTuple):
    """A file of a table.

    Attributes
    ----------
    path : Path
    split : str
        ``""`` if its name does not tell.
    """

    path: Path
    split: str


def name(prefix: Path, split: str, shard: int, count: int) -> Path:
    """Name a shard.

    Parameters
    ----------
    prefix : Path
    split : str
        ``""`` for a table without splits.
    shard, count : int
        Number of the shard, from 0, and how many there are.

    Returns
    -------
    Path
    """
    middle = f".{split}" if split else ""
    return prefix.with_name(f"{prefix.name}{middle}-{shard:05d}-of-{count:05d}")


def existing(prefix: Path) -> list[Path]:
    """Every shard of a table, of any split and count.

    Parameters
    ----------
    prefix : Path

    Returns
    -------
    list of Path
    """
    tables = {prefix.name, *(f"{prefix.name}.{split}" for split in SPLITS)}
    found = [p for p in prefix.parent.glob("*") if (m := _SHARD.fullmatch(p.name)) and m["table"] in tables]
    return sorted(found)


def find(paths: Paths) -> list[Shard]:
    """Find the files of a table.

    Parameters
    ----------
    paths : str, Path, iterable of these, or mapping of split to these
        A file, a folder of shards, a pattern (``*``, ``?``), ``<prefix>@3``, ``<prefix>@*`` or a bare
        prefix. The split is taken from the name of a file, or given by a mapping.

    Returns
    -------
    list of Shard
        Each file once, sorted.

    Raises
    ------
    BadParameter
        If nothing is found, a shard is missing, or shards of different runs are mixed.
    UnknownName
        For an unknown split in a mapping.
    """
    if isinstance(paths, Mapping):
        unknown = [split for split in paths if split not in SPLITS]
        if unknown:
            raise UnknownName("split", unknown[0], SPLITS)
        return [Shard(path, split) for split, given in paths.items() for path in _files(given)]
    return [Shard(path, _split(path)) for path in _files(paths)]


def _split(path: Path) -> str:
    found = _SPLIT.findall(path.name)
    return found[-1] if found else ""


def _files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    found = {path for given in several for path in _expanded(str(given))}
    if not found:
        raise BadParameter("an empty list of files was given.")
    return sorted(found)


def _expanded(given: str) -> list[Path]:
    if Path(given).is_file():
        return [Path(given)]
    spec = re.fullmatch(r"(.+)@(\*|\d+)", given)
    if spec:
        found = existing(Path(spec[1]))
        count = None if spec[2] == "*" else int(spec[2])
    else:
        matches = sorted(Path(given).glob("*-of-*")) if Path(given).is_dir() else map(Path, glob.glob(given))
        found = [p for p in matches if p.is_file() and not p.name.endswith(LABEL_LIST)] or existing(Path(given))
        count = None
    if not found:
        raise BadParameter(f"no file is {given!r}, matches it as a pattern, or is a shard of it "
                           f"({Path(given).name}-00000-of-00001).")
    _check_whole(found, count)
    return found


def _check_whole(found: list[Path], count: int | None) -> None:
    tables: dict[tuple[Path, str], dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for path in found:
        if shard := _SHARD.fullmatch(path.name):
            tables[path.parent, shard["table"]][int(shard["count"])].add(int(shard["shard"]))
    for (folder, table), counts in tables.items():
        if len(counts) > 1:
            raise BadParameter(f"{folder / table} has shards of {' and of '.join(map(str, sorted(counts)))} files; "
                               "they are of different runs. Delete the older ones, or name the files.")
        total, have = next(iter(counts.items()))
        missing = sorted(set(range(total)) - have)
        if missing or count not in (None, total):
            raise BadParameter(f"{folder / table} has {len(have)} of {count or total} shards; missing: "
                               f"{', '.join(f'{k:05d}' for k in missing) or 'all of that count'}. Copy them here, or "
                               "name the files to read without them.")
