"""From parameters to tasks that can be run here, and from a task to its clips."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nslib.config import Params
from nslib.datasets import debian, noss, synthetic, tasks
from nslib.datasets.debian import ManifestRow
from nslib.datasets.folder import read_recordings
from nslib.datasets.layouts import name_recordings
from nslib.datasets.noss_sources import find_wait, get_status
from nslib.datasets.table import Dataset, limit_clips
from nslib.datasets.tasks import Task
from nslib.errors import Unavailable

__all__ = ["list_missing_packages", "load_clips", "load_own_task", "resolve_tasks"]


@dataclass(frozen=True)
class Plan:
    """What a run can do on this machine."""

    tasks: tuple[Task, ...]  # in the order of the registry
    not_run: tuple[tuple[str, Unavailable], ...] = ()  # name of a task that was asked for, and why it cannot be run
    notes: tuple[str, ...] = ()  # sentences for the report


def resolve_tasks(params: Params, *, progress: bool = True) -> Plan:
    """Choose the tasks of a run, and fetch the packages they need.

    In the quick profile, where no recorded speech can be had, the synthetic tasks take its place and a note says so.
    Tasks that were asked for by name are never replaced, nor are those of the paper profile: of these, the ones for
    which something must be done by hand first are not run, and nothing is downloaded yet. `UnknownName` for others.
    """
    wanted = [tasks.get_task(name) for name in tasks.choose_task_names(params)]
    failures = {task.name: error for task in wanted if (error := _prepare_task(task, params, progress))}
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


def _prepare_task(task: Task, params: Params, progress: bool) -> Unavailable | None:
    """Fetch what a task of recorded speech needs, as far as that is automatic; why it cannot be had, if so."""
    if task.kind == "synthetic":
        return None
    if task.corpus == "noss":
        if (status := get_status(task.name)).state == "manual":
            return Unavailable(f"data set {task.name}", status.detail, status.remedy)
        if params.rehearse and (wait := find_wait(task.name)):
            return Unavailable(f"data set {task.name}", wait, f"python -m nslib data prepare {task.name}")
        return None
    try:
        debian.fetch_packages(debian.list_unread_packages(task.corpus, _read_rows(task, params)), progress=progress)
    except Unavailable as error:
        return error
    return None


def list_missing_packages(task: Task, params: Params) -> list[str]:
    """List the packages that must be fetched before a task of recorded speech can be run (of NOSS: none)."""
    if task.corpus == "noss":
        return []
    unread = debian.list_unread_packages(task.corpus, _read_rows(task, params))
    return [name for name in unread if debian.find_archive(name) is None]


def load_clips(task: Task, params: Params, *, progress: bool = True) -> Dataset:
    """Have the clips of a task on disk, as 16 kHz mono WAV files.

    `Params.clips_per_class` caps the clips of a label in a split; only those are prepared. `Unavailable` tells why the
    audio cannot be had, and what to do.
    """
    if task.kind == "synthetic":
        return synthetic.speak_task(task.name, params.clips_per_class, params.seed, progress=progress)
    if task.corpus == "noss":
        return noss.load_noss(task, params, progress)
    family = [other for other in tasks.REGISTRY.values() if other.corpus == task.corpus and not other.optional]
    manifest, also = _read_rows(task, params), [row for other in family for row in _read_rows(other, params)]
    return debian.load_packaged_clips(task.corpus, manifest, also, progress=progress)


def load_own_task(path: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
                  numbers: bool = False, progress: bool = True) -> tuple[Task, Dataset]:
    """Make a task of your own recordings; arguments and errors are those of `folder.read_recordings`."""
    dataset = read_recordings(path, seed=seed, splits=splits, numbers=numbers, progress=progress)
    return tasks.make_own_task(name_recordings(path), dataset.clips, numbers=numbers), dataset


def _read_rows(task: Task, params: Params) -> list[ManifestRow]:
    """Rows of a task's manifest that are used."""
    manifest = debian.read_manifest(debian.manifest_path(task.name))
    return debian.list_rows(limit_clips(manifest, params.clips_per_class, params.seed))
