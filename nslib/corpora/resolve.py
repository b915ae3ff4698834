"""From parameters to tasks that can be run here, and from a task to its clips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib import packages, tasks
from nslib.corpora import debian, folder, layouts, manifests, noss, synthetic, table
from nslib.errors import Unavailable
from nslib.params import Params
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Plan:
    """What a run can do on this machine.

    Attributes
    ----------
    tasks : tuple of Task
        In the order of the registry.
    not_run : tuple of (str, Unavailable)
        Name of a task that was asked for and cannot be run, and why.
    notes : tuple of str
        Sentences for the report.
    """

    tasks: tuple[Task, ...]
    not_run: tuple[tuple[str, Unavailable], ...] = ()
    notes: tuple[str, ...] = ()


def resolve(params: Params, *, progress: bool = True) -> Plan:
    """Choose the tasks of a run, and fetch the packages they need.

    In the quick profile, where no recorded speech can be had although it was asked for, the synthetic
    tasks take its place and a note says so. Tasks that were asked for by name are never replaced, and
    neither are those of the paper profile: of these, the ones for which something must be done by hand
    first are not run, and nothing is downloaded or unpacked yet.

    Parameters
    ----------
    params : Params
    progress : bool

    Returns
    -------
    Plan

    Raises
    ------
    UnknownName
        For a task that does not exist.
    """
    wanted = [tasks.get(name) for name in tasks.names(params)]
    failures = _failures([task for task in wanted if task.kind == "real"], params, progress)
    ready = [task for task in wanted if task.name not in failures]
    notes = []
    replaceable = params.profile == "quick" and not params.tasks
    if failures and replaceable and not any(task.kind == "real" for task in ready):
        why = next(iter(failures.values()))
        notes.append(f"No recorded speech could be had ({why.why}), so the synthetic tasks were run instead. "
                     f"{why.remedy}")
        ready = [task for task in tasks.REGISTRY.values() if task.kind == "synthetic"]
    elif failures:
        notes.append(f"Not run, because their audio could not be had: {', '.join(failures)}.")
    return Plan(tuple(ready), tuple(failures.items()), tuple(notes))


def packages_needed(task: Task, params: Params) -> list[str]:
    """List the packages that must be fetched before a task of recorded speech can be run.

    Parameters
    ----------
    task : Task
    params : Params

    Returns
    -------
    list of str
        Empty if everything is there, and for tasks of the paper profile, which need none.
    """
    if task.corpus == "noss":
        return []
    needed = debian.packages_needed(task.corpus, _manifest(task, params))
    return [name for name in needed if packages.cached_deb(name) is None]


def _failures(wanted: list[Task], params: Params, progress: bool) -> dict[str, Unavailable]:
    failures: dict[str, Unavailable] = {}
    for task in wanted:
        if task.corpus == "noss":
            failures |= _by_hand(task)
            continue
        try:
            packages.debian(debian.packages_needed(task.corpus, _manifest(task, params)), progress=progress)
        except Unavailable as error:
            failures[task.name] = error
    return failures


def _by_hand(task: Task) -> dict[str, Unavailable]:
    found = noss.status(task.name)
    if found.state != "manual":
        return {}
    return {task.name: Unavailable(f"data set {task.name}", found.detail, found.remedy)}


def _manifest(task: Task, params: Params) -> pd.DataFrame:
    manifest = manifests.read_manifest(manifests.manifest_path(task.name))
    return table.limit(manifest, params.clips_per_class, params.seed)


def load_clips(task: Task, params: Params, *, progress: bool = True) -> table.Corpus:
    """Have the clips of a task on disk, as 16 kHz mono WAV files.

    Parameters
    ----------
    task : Task
    params : Params
        `Params.clips_per_class` caps the clips of a label in a split; only those are prepared.
    progress : bool

    Returns
    -------
    Corpus

    Raises
    ------
    Unavailable
        If the audio cannot be had, with the reason and what to do.

    Examples
    --------
    >>> from nslib import params, tasks
    >>> corpus = load_clips(tasks.get("word-synthetic"), params.load({"smoke": 1}), progress=False)
    >>> sorted(corpus.clips["split"].unique())
    ['test', 'train', 'validation']
    """
    if task.kind == "synthetic":
        return synthetic.load(task.name, params.clips_per_class, params.seed, progress=progress)
    if task.corpus == "noss":
        return noss.load(task, params, progress)
    return debian.load(task.corpus, _manifest(task, params), _siblings(task, params), progress=progress)


def _siblings(task: Task, params: Params) -> pd.DataFrame:
    import pandas as pd

    family = [other for other in tasks.REGISTRY.values() if other.corpus == task.corpus]
    return pd.concat([_manifest(other, params) for other in family])


def own_task(path: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
             progress: bool = True) -> tuple[Task, table.Corpus]:
    """Make a task of your own recordings.

    Parameters
    ----------
    path : str or path-like
        A folder, a list or ``tfds:NAME``; see `nslib.corpora.folder.read`.
    seed : int
        Of the split, if none is given.
    splits : path-like, optional
        A file of splits.
    progress : bool

    Returns
    -------
    Task, Corpus

    Raises
    ------
    BadParameter, UnknownName
        See `nslib.corpora.folder.read`.
    """
    corpus = folder.read(path, seed=seed, splits=splits, progress=progress)
    return tasks.own(layouts.name(path), corpus.clips), corpus
