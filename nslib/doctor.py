"""What this machine can and can't run, and what would change that.

Nothing heavy is imported and nothing is downloaded: the answer comes in about a second.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib import gpus, params
from nslib.errors import Unavailable
from nslib.locks import lock_differences
from nslib.params import Params

if TYPE_CHECKING:
    from nslib.embeddings.cards import Card
    from nslib.tasks import Task

MARK = {"ok": "✓", "note": "·", "no": "✗"}
PYTHONS = ((3, 11), (3, 14))
NEEDED_DISK_GB = 3.0
NEEDED_MEMORY_GB = 4.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    area, what : str
        Heading and subject.
    state : {"ok", "note", "no"}
        As needed; good to know; missing.
    detail : str
        What was found.
    remedy : str
        What to do, if anything.
    """

    area: str
    what: str
    state: str
    detail: str
    remedy: str = ""


def findings() -> list[Finding]:
    """Look at everything.

    Returns
    -------
    list of Finding
    """
    return [*_machine(), *_software(), *data_findings(params.load()), *embedding_findings()]


def text(found: Iterable[Finding]) -> str:
    """Findings as a table for a terminal.

    Parameters
    ----------
    found : iterable of Finding

    Returns
    -------
    str
    """
    lines: list[str] = []
    area = ""
    for f in found:
        if f.area != area:
            area = f.area
            lines += ["", area] if lines else [area]
        lines.append(f"  {MARK[f.state]} {f.what:<24} {f.detail}")
        if f.remedy:
            lines.append(f"    {'':<24} -> " + f.remedy.replace("\n", "\n" + " " * 32))
    return "\n".join(lines)


def _machine() -> list[Finding]:
    import psutil

    cache = params.cache_dir()
    free, memory = shutil.disk_usage(cache).free / 1e9, psutil.virtual_memory().available / 1e9
    used = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) / 1e9
    return [
        Finding("machine", "processor", "ok", f"{platform.machine()}, {os.cpu_count()} cores"),
        Finding("machine", "memory", "ok" if memory >= NEEDED_MEMORY_GB else "no",
                f"{memory:.1f} GB available; the quick profile needs {NEEDED_MEMORY_GB:.0f} GB"),
        Finding("machine", "disk", "ok" if free + used >= NEEDED_DISK_GB else "no",
                f"{free:.0f} GB free; the quick profile needs {NEEDED_DISK_GB:.0f} GB",
                "" if free + used >= NEEDED_DISK_GB else "set NSLIB_CACHE to a directory on a larger disk"),
        Finding("machine", "cache", "ok", f"{cache}, {used:.2f} GB used (NSLIB_CACHE moves it; safe to delete)"),
        *_gpus(),
    ]


def _gpus() -> list[Finding]:
    try:
        found = gpus.listed()
    except Unavailable as error:
        return [Finding("machine", "GPU", "no", error.why, error.remedy)]
    if not found:
        return [Finding("machine", "GPU", "note", "none found; everything in the quick profile runs without one")]
    return [_gpu(gpu, lock_differences(gpus.LOCK)) for gpu in found]


def _gpu(gpu: gpus.Gpu, missing: list[str]) -> Finding:
    memory = "" if gpu.memory_gb is None else f", {gpu.memory_gb:.0f} GB"
    memory += "" if gpu.free_gb is None else f" ({gpu.free_gb:.0f} GB free)"
    detail = f"{gpu.name}{memory}, driver {gpu.driver}"
    if not gpus.supported():
        return Finding("machine", f"GPU {gpu.index}", "note", f"{detail}; TensorFlow has no CUDA on this system")
    if missing:
        return Finding("machine", f"GPU {gpu.index}", "note", f"{detail}; not used: CUDA is not installed as locked "
                       f"({missing[0]})", "make setup GPU=1")
    return Finding("machine", f"GPU {gpu.index}", "ok", f"{detail}; CUDA is installed, extraction uses it")


def device_findings() -> list[Finding]:
    """Say which devices TensorFlow itself sees, and which of them extraction would use. Imports TensorFlow.

    Returns
    -------
    list of Finding

    Raises
    ------
    UnknownName, BadParameter
        If ``NSLIB_DEVICES`` asks for devices that are not there.
    """
    from nslib.extract import devices

    there = devices.present()
    used = devices.chosen(None, there)
    return [Finding("devices", name, "ok" if name in used else "note",
                    "extraction uses it" if name in used else "not used by extraction", "") for name in there]


def _software() -> list[Finding]:
    low, high = PYTHONS
    ok = low <= sys.version_info[:2] < high
    found = [Finding("software", "Python", "ok" if ok else "no", platform.python_version(),
                     "" if ok else "make setup PYTHON=python3.12 (3.11, 3.12 or 3.13)")]
    differ = lock_differences()
    found.append(Finding("software", "locked packages", "no" if differ else "ok",
                         "; ".join(differ[:5]) or "installed as locked", "make setup" if differ else ""))
    apt = shutil.which("apt-get")
    found.append(Finding("software", "apt-get", "ok" if apt else "no",
                         "present: recorded speech can be fetched, without root" if apt else
                         "not on this system: recorded speech can't be fetched, the synthetic corpus is used",
                         "" if apt else "run on Debian, Ubuntu or Colab for recorded speech"))
    offline = params.offline()
    found.append(Finding("software", "network", "note", "forbidden by NSLIB_OFFLINE=1; only the cache is used"
                         if offline else "used only to fetch packages that the cache does not hold"))
    return found


def data_findings(settings: Params) -> list[Finding]:
    """Say of each task whether its recordings are there, can be fetched, or cannot be had, and why.

    Parameters
    ----------
    settings : Params

    Returns
    -------
    list of Finding
    """
    from nslib import tasks

    names = list(tasks.names(settings))
    if settings.profile == "paper" and not settings.tasks:
        names += [task.name for task in tasks.REGISTRY.values() if task.optional]
    return [_task(tasks.get(name), settings) for name in names]


def _task(task: Task, settings: Params) -> Finding:
    from nslib import corpora

    if task.kind == "synthetic":
        there = importlib.util.find_spec("espeakng_loader") is not None
        return Finding("tasks", task.name, "ok" if there else "no",
                       "synthetic speech, made here in seconds", "" if there else "make setup")
    if task.corpus == "noss":
        return _data_set(task)
    needed = corpora.packages_needed(task, settings)
    if not needed:
        return Finding("tasks", task.name, "ok", "recorded speech, ready")
    size = sum(_megabytes().get(name, 0.0) for name in needed)
    detail = f"recorded speech, {len(needed)} packages to fetch (about {size:.0f} MB)"
    if not shutil.which("apt-get"):
        return Finding("tasks", task.name, "no", f"{detail}, but there is no apt-get",
                       "make reproduce runs the synthetic tasks instead")
    return Finding("tasks", task.name, "note", detail, "python -m nslib data prepare, or just make reproduce")


def _data_set(task: Task) -> Finding:
    from nslib.corpora import noss

    found = noss.status(task.name)
    mark = {"manual": "no", "download": "note"}.get(found.state, "ok")
    terms = "" if found.remedy else f"; licence: {found.licence}"  # the remedy names it too
    detail = f"{'optional; ' if task.optional else ''}{found.detail}{terms}"
    return Finding("tasks", task.name, mark, detail, found.remedy)


def _megabytes() -> dict[str, float]:
    with open(params.data_dir() / "sources.csv", encoding="utf-8", newline="") as file:
        return {row["package"]: float(row["megabytes"]) for row in csv.DictReader(file)}


def embedding_findings() -> list[Finding]:
    """Say of each built-in embedding whether it can be used, and under which licence.

    Returns
    -------
    list of Finding
    """
    from nslib.embeddings.cards import CARDS

    return [_embedding(card) for card in CARDS.values()]


def _embedding(card: Card) -> Finding:
    if card.needs and importlib.util.find_spec(card.needs) is None:
        return Finding("embeddings", card.name, "note", f"an extra, not installed; {card.licence}",
                       f"make setup {card.needs.upper()}=1")
    detail = f"{card.kind}, {card.dim} values"
    if card.hub:
        return _published(card, f"{detail}; licence {card.licence}")
    return Finding("embeddings", card.name, "ok", (f"{detail}; weights: {card.licence}" if card.weights else detail)
                   + _to_fetch(card))


def _published(card: Card, detail: str) -> Finding:
    """Say whether a model of the hub, which only the paper profile needs, is here."""
    from nslib.embeddings import downloads

    if folder := downloads.find_model(card.hub):
        return Finding("embeddings", card.name, "ok", f"{detail}; its model is in {folder}")
    size = f"{card.megabytes:.0f} MB" if card.megabytes else "size not stated"
    remedy = downloads.find_source(card.hub).by_hand if params.offline() else ""
    return Finding("embeddings", card.name, "note", f"{detail}; paper profile, to fetch ({size})", remedy)


def _to_fetch(card: Card) -> str:
    from nslib import packages

    weights = card.weights
    if weights is None or packages.cached_wheel(weights.package, weights.version):
        return ""
    return f" ({weights.megabytes:.0f} MB to fetch)"
