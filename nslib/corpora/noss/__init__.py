"""NOSS itself: its six data sets as TensorFlow Datasets prepares them, and the two that FRILL added.

=============  ====================================================================
`sources`      static facts: versions, sizes, pages, what to do by hand
`state`        where a data set stands here, told at once
`manual`       the look at what was fetched by hand (`peek`: into ZIP archives)
`registry`     TensorFlow Datasets' own list of files and checksums
`builders`     preparing with the real builders, guarded (`network`, `room`, `failures`, `around`)
`decoding`     their clips decoded without FFmpeg's programs
`mirror`       CREMA-D from a clone of its mirror
`prepared`     reading what TensorFlow Datasets prepared
`folders`      ESC-50's human sounds, and masked speech
`clips`        the clip table, and the clips as 16 kHz WAV files
=============  ====================================================================

TensorFlow and TensorFlow Datasets are imported only where a data set is prepared or read for the first
time; a finished clip table needs neither, nor the prepared files, which may be deleted then.
"""

from __future__ import annotations

import json
from pathlib import Path

from nslib import files
from nslib.corpora.noss import clips, folders, manual, prepared
from nslib.corpora.noss.around import quietly
from nslib.corpora.noss.sources import SOURCES, Source
from nslib.corpora.noss.sources import get as source_of
from nslib.corpora.noss.state import Status, finished, is_prepared, prepared_dir, status
from nslib.corpora.table import Corpus
from nslib.errors import Unavailable
from nslib.params import Params
from nslib.tasks import Task

__all__ = ["NAMES", "Status", "load", "status"]

NAMES = tuple(SOURCES)
"""Every data set: the six of NOSS, then the two that FRILL added."""

_ELSEWHERE = ("was prepared outside the kit: by which decoder its clips were read, and what its archives lacked, "
              "is not known here.")


def load(task: Task, params: Params, progress: bool = True) -> Corpus:
    """Have the clips of a task of the paper profile on disk, preparing its data set if need be.

    Parameters
    ----------
    task : Task
    params : Params
        `Params.clips_per_class` caps the clips of a label in a split; only those become WAV files.
    progress : bool

    Returns
    -------
    Corpus
        Clips that cannot be used are in `problems`; nothing is left out by length.

    Raises
    ------
    Unavailable
        If the data set cannot be had, with the steps that would help.
    """
    source = source_of(task.name)
    read = _load_prepared if source.version else _load_folder
    return read(source, params, progress)


def _load_prepared(source: Source, params: Params, progress: bool) -> Corpus:
    at_hand = is_prepared(source.name)
    key = prepared.key(prepared_dir(source.name)) if at_hand else ""
    if corpus := clips.load_finished(source, params, key):
        return corpus
    if not at_hand:
        _prepare(source, progress)
    with quietly(progress):
        origin = prepared.origin(source, _notes(source), progress=progress)
        return clips.load(source, origin, params, progress=progress)


def _load_folder(source: Source, params: Params, progress: bool) -> Corpus:
    origin = folders.origin(source) if manual.look(source.name).complete else None
    if corpus := clips.load_finished(source, params, origin.key if origin else ""):
        return corpus
    if origin is None:
        found = status(source.name)
        raise Unavailable(f"data set {source.name}", found.detail, found.remedy)
    return clips.load(source, origin, params, progress=progress)


def _prepare(source: Source, progress: bool) -> None:
    from nslib.corpora.noss import builders

    notes = builders.prepare(source, progress=progress)
    made = {"key": prepared.key(prepared_dir(source.name)), "notes": notes}
    files.write(_notes_path(source), json.dumps(made))


def _notes_path(source: Source) -> Path:
    return finished(source.name).with_name("prepared.json")


def _notes(source: Source) -> tuple[str, ...]:
    """What is known of how a data set was prepared, which only the run that did it can tell."""
    path = _notes_path(source)
    made = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if made.get("key") != prepared.key(prepared_dir(source.name)):
        return (f"{source.name} {_ELSEWHERE}",)
    return tuple(made["notes"])
