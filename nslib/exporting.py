"""Vectors of whole tasks as TFRecord files, for the authors' scikit-learn step or any other reader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from nslib import corpora, interchange
from nslib.entrants import Embeddable, Entrant, enter
from nslib.extract import Extraction
from nslib.params import Params
from nslib.tasks import Task


def export(embeddings: Iterable[Embeddable], folder: Path, params: Params, *, numbers: bool = False, shards: int = 1,
           progress: bool = True, say: Callable[[str], object] = print) -> list[Path]:
    """Write the vectors of tasks as TFRecord files, one set of files a task (see `nslib.interchange`).

    Parameters
    ----------
    embeddings : iterable of str, path, Embedding or callable
        All go into the same files.
    folder : Path
        Gets ``<task>.train-00000-of-00001`` and so on.
    params : Params
        Says which tasks.
    numbers : bool
        Labels as numbers, as the authors' probes want them; a list of their names is written beside.
    shards : int
        Files of a split.
    progress : bool
        Bars on stderr.
    say : callable
        Is told how many clips were left out, if any.

    Returns
    -------
    list of Path

    Raises
    ------
    Unavailable
        If a task or an embedding cannot be had.
    """
    entrants = [enter(e) for e in embeddings]
    plan = corpora.resolve(params, progress=progress)
    for _, error in plan.not_run:
        raise error
    sets = (_one(task, entrants, folder, params, numbers, shards, progress, say) for task in plan.tasks)
    return [path for paths in sets for path in paths]


def _one(task: Task, entrants: list[Entrant], folder: Path, params: Params, numbers: bool, shards: int,
         progress: bool, say: Callable[[str], object]) -> list[Path]:
    corpus = corpora.load_clips(task, params, progress=progress)
    found = {e.name: e.vectors(corpus.clips, progress=progress) for e in entrants}
    # every row of a file holds all embeddings
    common = set.intersection(*(set(out.clips["clip_id"]) for out in found.values()))
    kept = corpus.clips[corpus.clips["clip_id"].isin(common)].reset_index(drop=True)
    if lost := len(corpus.problems) + len(corpus.clips) - len(kept):
        say(f"{task.name}: {lost} clips are left out, because they cannot be read or embedded")
    labels = sorted(corpus.clips["label"].unique()) if numbers else None
    vectors = {name: out.vectors[_rows(out, common)] for name, out in found.items()}
    return interchange.write(folder / task.name, kept, vectors, label_numbers=labels, shards=shards)


def _rows(out: Extraction, common: set[str]) -> list[bool]:
    return [name in common for name in out.clips["clip_id"]]
