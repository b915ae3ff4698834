"""Where each data set stands on this machine, told at once: nothing is imported, fetched or unpacked.

==========  ================================================================================
state       meaning
==========  ================================================================================
ready       the kit's clips are there; neither archives nor TensorFlow Datasets are needed
prepared    TensorFlow Datasets' files are there; the clips are made when they are needed
archives    everything that must be fetched is there; preparing starts when it is needed
download    everything can be fetched by the kit, or what is left of it
manual      something must be done by hand first: the remedy says what
==========  ================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nslib import params, tasks
from nslib.corpora.noss import manual, registry, sources
from nslib.corpora.noss.manual import Look
from nslib.corpora.noss.registry import Registered
from nslib.corpora.noss.sources import Source


@dataclass(frozen=True)
class Status:
    """Where a data set stands.

    Attributes
    ----------
    name : str
    state : {"ready", "prepared", "archives", "download", "manual"}
    detail : str
        In words, without a full stop.
    remedy : str
        What has to be done by hand, in lines; empty if nothing.
    download_gb : float
        What must be fetched, by hand or by the kit, if nothing of it is there.
    disk_gb : float
        What TensorFlow Datasets' files and the kit's clips take, beside the archives.
    licence, homepage : str
    """

    name: str
    state: str
    detail: str
    remedy: str
    download_gb: float
    disk_gb: float
    licence: str
    homepage: str


def status(name: str) -> Status:
    """Say where a data set stands on this machine.

    Parameters
    ----------
    name : str
        Of a task of the paper profile, e.g. ``"savee"``.

    Returns
    -------
    Status

    Raises
    ------
    UnknownName
        If there is no such data set.

    Examples
    --------
    >>> status("savee").disk_gb
    0.36
    """
    source = sources.get(name)
    state, detail, remedy = _state(source)
    return Status(name, state, detail, remedy, source.download_gb, round(source.disk_gb, 2),
                  tasks.get(name).licence, source.homepage)


def finished(name: str) -> Path:
    """Say where the finished clip table of a data set is or would be.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path
    """
    return params.cache_dir("corpora") / shelf_name(name) / "clips.parquet"


def shelf_name(name: str) -> str:
    """Str: the folder of a data set's clips below ``corpora`` in the cache."""
    return f"noss-{name}"


def prepared_dir(name: str) -> Path:
    """Path: where TensorFlow Datasets keeps the version of a data set that the kit uses, if it is prepared."""
    return params.tfds_dir() / name / sources.get(name).version


def is_prepared(name: str) -> bool:
    """Bool: whether TensorFlow Datasets has finished a data set; its last step writes this file."""
    return bool(sources.get(name).version) and (prepared_dir(name) / "dataset_info.json").is_file()


def _state(source: Source) -> tuple[str, str, str]:
    if finished(source.name).is_file():
        return "ready", "clips ready", ""
    if is_prepared(source.name):
        where = prepared_dir(source.name)
        return "prepared", f"prepared in {where}; {source.shelf_gb:g} GB of clips will be made of it", ""
    if source.version and not registry.installed():
        return "manual", "TensorFlow Datasets is not installed", "make setup"
    seen, left = manual.look(source.name), registry.missing(source.name)
    if seen.advice:
        return "manual", f"found {seen.found}, which cannot be used as it is", f"{seen.advice}\n{steps(source)}"
    if params.offline() and (left or not source.by_hand) and not (seen.complete and not left):
        return "manual", _offline(seen, left), steps(source)
    if seen.complete:
        rest = f"; {', '.join(f.name for f in left)} will be downloaded" if left else ""
        return "archives", f"found {seen.found or 'its downloads'}{rest}; preparing takes {_disk(source)}", ""
    if source.by_hand:
        return "manual", f"to be fetched by hand ({source.download_gb:g} GB), then {_disk(source)}", steps(source)
    return "download", f"can be downloaded ({source.download_gb:g} GB), then {_disk(source)}", steps(source)


def _disk(source: Source) -> str:
    return f"{source.disk_gb:.2g} GB of disk" if source.disk_gb < 10 else f"{source.disk_gb:.0f} GB of disk"


def _offline(seen: Look, left: tuple[Registered, ...]) -> str:
    there = f"found {seen.found}; " if seen.found else ""
    what = ", ".join(file.name for file in left) or "the clips"
    return f"{there}{what} would have to be downloaded, and downloads are forbidden (NSLIB_OFFLINE=1)"


def steps(source: Source) -> str:
    """Say what has to be done by hand, and how to go on then.

    Parameters
    ----------
    source : Source

    Returns
    -------
    str
        In lines.
    """
    return f"{source.instructions()}\nThen run the same command again. Licence: " \
           f"{tasks.get(source.name).licence}. {source.homepage}"
