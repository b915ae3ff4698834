"""Read tables of vectors, ours or the authors', and put them to the probes."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nslib.corpora import table as clip_table
from nslib.embeddings.base import FloatArray
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.interchange import examples, records, shards
from nslib.interchange.examples import Row
from nslib.interchange.records import BadRecord
from nslib.probe import Split
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

PROBLEM_COLUMNS = ("file", "record", "reason", "remedy")


@dataclass(frozen=True)
class Table:
    """Clips and their vectors.

    Attributes
    ----------
    clips : DataFrame
        Clip table, sorted by clip_id; audio is ``""``, sample_rate 0 and source the name of the file. What a
        file does not tell is ``""``, or NaN for seconds.
    vectors : dict of str to ndarray of float32, [clips, dim]
        Embeddings by name.
    problems : DataFrame
        One row a record that was left out: file, record (from 0), reason, remedy.
    notes : tuple of str
        What was done to the vectors, and what is unusual about the table.
    """

    clips: pd.DataFrame
    vectors: dict[str, FloatArray]
    problems: pd.DataFrame
    notes: tuple[str, ...]


def read(paths: shards.Paths, names: Sequence[str] | None = None, *, strict: bool = True,
         label_list: str | Path | Sequence[str] | None = None, label_key: str = "label",
         speaker_key: str = "speaker_id", progress: bool = True) -> Table:
    """Read TFRecord files of the authors' pipeline, or of `write`.

    Parameters
    ----------
    paths : str, Path, iterable of these, or mapping of split to these
        Files, folders, patterns (``out/savee.*``), ``<prefix>@3``, ``<prefix>@*`` or a bare prefix. The split is taken
        from ``.train``, ``.validation`` or ``.test`` in a file's name, or from the mapping's key.
    names : sequence of str, optional
        Embeddings. Default: those of the first record.
    strict : bool
        Raise for the first record that cannot be used; else list it in `Table.problems` and go on.
    label_list : path or sequence of str, optional
        Names of the classes, as `write` makes it: labels that are numbers become names.
    label_key, speaker_key : str
        Fields of label and speaker. Labels may be text or whole numbers; the speaker may be missing.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    Table
        Vectors with several frames (told by their shape) are averaged over time, and counted in a note. A clip
        without an id gets one of the content of its record.

    Raises
    ------
    BadRecord
        If a record is damaged, cut short or lacks something, or its vector is not as long as the others'; with
        the file and the number of the record.
    BadParameter
        If no file is found, or a shard is missing.
    """
    found = shards.find(paths)
    classes = _classes(label_list)
    rows: list[_Placed] = []
    bad: list[BadRecord] = []
    for placed in _records(found, names, label_key, speaker_key, classes, progress):
        if isinstance(placed, BadRecord):
            bad.append(placed)
            if strict:
                raise placed
        else:
            names = list(placed.row.vectors) if names is None else names
            rows.append(placed)
    if not rows:
        first = f" First: {bad[0]}" if bad else ""
        raise NslibError(f"{len(found)} files hold no record that can be used.{first}")
    kept = _distinct(_equally_long(rows, names or [], bad), bad)
    if strict and bad:
        raise min(bad, key=lambda error: (error.path, error.number))
    return _table(kept, names or [], bad)


def benchmark_splits(table: Table, name: str | None = None) -> dict[str, Split]:
    """Bring a table to the probes: ``probe.grid(**benchmark_splits(table))``.

    Parameters
    ----------
    table : Table
    name : str, optional
        Which embedding. Needed if there are several.

    Returns
    -------
    dict
        train, validation and test to `nslib.probe.Split`.

    Raises
    ------
    BadParameter
        If a split is missing, or several embeddings are there and none is named.
    UnknownName
        If the embedding is not there.
    """
    if name is None and len(table.vectors) > 1:
        raise BadParameter(f"the table has {', '.join(table.vectors)}; name one of them.")
    name = name or next(iter(table.vectors))
    if name not in table.vectors:
        raise UnknownName("embedding of the table", name, table.vectors)
    counts = {split: int((table.clips["split"] == split).sum()) for split in SPLITS}
    if not all(counts.values()):
        raise BadParameter(f"a probe needs records of train, validation and test; there are {counts}. The names of "
                           "files must have .train, .validation or .test in them; else read({'train': ..., "
                           "'validation': ..., 'test': ...}).")
    return {split: _split(table, name, split) for split in SPLITS}


@dataclass(frozen=True)
class _Placed:
    """A record that was read, and where."""

    row: Row
    shard: shards.Shard
    number: int

    def bad(self, reason: str, remedy: str) -> BadRecord:
        return BadRecord(self.shard.path, self.number, reason, remedy)


def _split(table: Table, name: str, split: str) -> Split:
    rows = (table.clips["split"] == split).to_numpy(bool)
    part = table.clips[rows]
    return Split(table.vectors[name][rows], *(part[c].to_numpy(str) for c in ("label", "speaker", "clip_id")))


def _classes(given: str | Path | Sequence[str] | None) -> list[str] | None:
    if given is None or not isinstance(given, str | Path):
        return None if given is None else list(given)
    if not Path(given).is_file():
        raise BadParameter(f"label_list is {str(given)!r}, which is no file; give one name a line, or a list of names.")
    return Path(given).read_text(encoding="utf-8").splitlines()


def _records(found: list[shards.Shard], names: Sequence[str] | None, label_key: str, speaker_key: str,
             classes: list[str] | None, progress: bool) -> Iterator[_Placed | BadRecord]:
    from tqdm.std import tqdm

    total = sum(shard.path.stat().st_size for shard in found)
    with tqdm(total=total, desc="read vectors", unit="B", unit_scale=True, disable=not progress) as bar:
        for shard in found:
            for number, record in records.read(shard.path):
                if isinstance(record, BadRecord):
                    yield record
                    continue
                try:
                    row = examples.parsed(record, None if names is None else list(names), label_key, speaker_key)
                    row.label = _named(row.label, classes)
                    names = list(row.vectors) if names is None else names
                    yield _Placed(row, shard, number)
                except examples.Unusable as error:
                    yield BadRecord(shard.path, number, *error.args)
                bar.update(len(record) + 16)


def _named(label: str, classes: list[str] | None) -> str:
    if classes is None:
        return label
    if not label.isdecimal() or int(label) >= len(classes):
        raise examples.Unusable(f"its label is {label!r}, which is no place in a list of {len(classes)} names",
                                "Give the label_list that belongs to the table, or none.")
    return classes[int(label)]


def _equally_long(rows: list[_Placed], names: Sequence[str], bad: list[BadRecord]) -> list[_Placed]:
    """Rows whose vectors are as long as those of most; the authors' averaging was forgotten for the others."""
    for name in names:
        lengths = collections.Counter(len(placed.row.vectors[name]) for placed in rows)
        usual = lengths.most_common(1)[0][0]
        for placed in rows:
            if (size := len(placed.row.vectors[name])) != usual:
                bad.append(placed.bad(f"embedding/{name} has {size} numbers, {lengths[usual]} of {len(rows)} records "
                                      f"have {usual}", "Vectors must be averaged over time, or have their shape."))
        rows = [placed for placed in rows if len(placed.row.vectors[name]) == usual]
    return rows


def _distinct(rows: list[_Placed], bad: list[BadRecord]) -> list[_Placed]:
    """Rows with an id of their own: the first of each id, and records without id that are alike, numbered."""
    seen: dict[str, _Placed] = {}
    for placed in rows:
        first = seen.setdefault(placed.row.clip_id, placed)
        if first is placed:
            continue
        if "no id" not in placed.row.traits:
            bad.append(placed.bad(f"clip_id {placed.row.clip_id!r} is also that of record {first.number} of "
                                  f"{first.shard.path}", "Leave one of them out."))
            continue
        placed.row.traits.add("repeated")
        copies = 2
        while f"{placed.row.clip_id}-{copies}" in seen:
            copies += 1
        placed.row.clip_id = f"{placed.row.clip_id}-{copies}"
        seen[placed.row.clip_id] = placed
    return list(seen.values())


def _table(rows: list[_Placed], names: Sequence[str], bad: list[BadRecord]) -> Table:
    import pandas as pd

    rows.sort(key=lambda placed: placed.row.clip_id)
    clips = clip_table.make({
        "clip_id": p.row.clip_id, "audio": "", "sha256": p.row.sha256, "seconds": p.row.seconds, "sample_rate": 0,
        "label": p.row.label, "speaker": p.row.speaker, "split": p.shard.split, "source": p.shard.path.name,
    } for p in rows).clips
    notes = _notes(rows)
    vectors = {}
    for name in names:
        vectors[name] = np.empty((len(rows), len(rows[0].row.vectors[name])), np.float32)
        for place, placed in enumerate(rows):
            vectors[name][place] = placed.row.vectors.pop(name)  # taken out, so that memory does not double
    lost = [(str(e.path), e.number, e.reason, e.remedy) for e in bad]
    problems = pd.DataFrame(lost, columns=list(PROBLEM_COLUMNS)).sort_values(["file", "record"], ignore_index=True)
    return Table(clips, vectors, problems, notes)


def _notes(rows: list[_Placed]) -> tuple[str, ...]:
    said = {
        "averaged": "with several frames, averaged over time",
        "no shape": "that do not tell the shape of their vectors, taken as averaged over time",
        "no id": "without clip_id, named by the hash of their content",
        "repeated": "that are the same as another one in all that was read, numbered",
    }
    counts = {text: sum(trait in placed.row.traits for placed in rows) for trait, text in said.items()}
    counts["without a speaker"] = sum(not placed.row.speaker for placed in rows)
    counts["in files whose names do not tell the split"] = sum(not placed.shard.split for placed in rows)
    unread = sorted({name for placed in rows for name in placed.row.unread})
    return (*[f"Records {what}: {n} of {len(rows)}." for what, n in counts.items() if n],
            *[f"Fields that were not used: {', '.join(unread)}."] * bool(unread))
