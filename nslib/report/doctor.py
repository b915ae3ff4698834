"""What this machine can and can't run, and what would change that: nothing heavy imported, nothing downloaded."""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from typing import NamedTuple

from nslib import config
from nslib.config import Params, lock_differences
from nslib.datasets import loading, noss_sources, tasks
from nslib.datasets.table import read_list
from nslib.embeddings import downloads
from nslib.embeddings.registry import EMBEDDINGS, EmbeddingInfo
from nslib.errors import NslibError, Unavailable
from nslib.extraction import devices

__all__ = ["examine_data", "examine_devices", "examine_machine", "format_findings"]

MARK = {"ok": "✓", "note": "·", "no": "✗"}
PYTHONS = ((3, 11), (3, 14))
NEEDED_DISK_GB, NEEDED_MEMORY_GB = 3.0, 4.0


class Finding(NamedTuple):
    """What was looked at; as needed ("ok"), good to know ("note") or missing ("no"); what was found, what to do."""

    area: str
    what: str
    state: str
    detail: str
    remedy: str = ""


def examine_machine() -> list[Finding]:
    """Look at everything: machine, software, tasks and embeddings."""
    params, findings = config.load_params(), list[Finding]()
    for area, look in (("machine", _examine_hardware), ("machine", examine_gpus), ("software", _examine_software),
                       ("tasks", functools.partial(examine_data, params)), ("embeddings", examine_embeddings)):
        try:
            with config.explain_failures():
                findings += look()
        except NslibError as error:  # one that cannot be looked at is a finding, too
            findings.append(Finding(area, "what is there", "no", str(error)))
    return findings


def format_findings(findings: Iterable[Finding]) -> str:
    """Write findings as a table for a terminal."""
    lines, area = list[str](), ""
    for finding in findings:
        if finding.area != area:
            lines += ["", finding.area] if lines else [finding.area]
            area = finding.area
        lines.append(f"  {MARK[finding.state]} {finding.what:<24} {finding.detail}")
        if finding.remedy:
            lines.append(f"    {'':<24} -> " + finding.remedy.replace("\n", "\n" + " " * 32))
    return "\n".join(lines)


def _examine_hardware() -> list[Finding]:
    """Look at processor, memory, disk and cache."""
    import psutil

    cache = config.cache_dir()
    free, memory = shutil.disk_usage(cache).free / 1e9, psutil.virtual_memory().available / 1e9
    used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e9
    room, writable = free + used >= NEEDED_DISK_GB, os.access(cache, os.W_OK)
    return [
        Finding("machine", "processor", "ok", f"{platform.machine()}, {os.cpu_count()} cores"),
        Finding("machine", "memory", "ok" if memory >= NEEDED_MEMORY_GB else "no",
                f"{memory:.1f} GB available; the quick profile needs {NEEDED_MEMORY_GB:.0f} GB"),
        Finding("machine", "disk", "ok" if room else "no",
                f"{free:.0f} GB free; the quick profile needs {NEEDED_DISK_GB:.0f} GB",
                "" if room else "set NSLIB_CACHE to a directory on a larger disk"),
        Finding("machine", "cache", "ok" if writable else "no",
                f"{cache}, {used:.2f} GB used (NSLIB_CACHE moves it; safe to delete)",
                "" if writable else "it can only be read: point NSLIB_CACHE to a place that can be written")]


def examine_gpus() -> list[Finding]:
    """Say of each NVIDIA GPU whether extraction can use it."""
    try:
        present = devices.list_gpus()
    except Unavailable as error:
        return [Finding("machine", "GPU", "no", error.why, error.remedy)]
    if not present:
        return [Finding("machine", "GPU", "note", "none found by NVIDIA's nvidia-smi; the quick profile needs none")]
    state, why, remedy = "ok", "CUDA is installed (python -m nslib embeddings devices: what TensorFlow uses)", ""
    if not devices.is_cuda_supported():
        state, why = "note", "TensorFlow has no CUDA on this system"
    elif missing := lock_differences(devices.GPU_LOCK):
        state, why, remedy = "note", f"not used: CUDA is not installed as locked ({missing[0]})", "make setup GPU=1"
    findings = []
    for gpu in present:
        memory = "" if gpu.memory_gb is None else f", {gpu.memory_gb:.0f} GB"
        memory += "" if gpu.free_gb is None else f" ({gpu.free_gb:.0f} GB free)"
        findings.append(Finding("machine", f"GPU {gpu.index}", state,
                                f"{gpu.name}{memory}, driver {gpu.driver}; {why}", remedy))
    return findings


def examine_devices() -> list[Finding]:
    """Say which devices TensorFlow itself sees, and which of them extraction would use (``NSLIB_DEVICES``)."""
    present = devices.list_devices()
    used = devices.choose_devices(present)
    words = {True: ("ok", "extraction uses it"), False: ("note", "not used by extraction")}
    return [Finding("devices", name, *words[name in used]) for name in present]


def _examine_software() -> list[Finding]:
    """Look at Python, the locked packages, apt-get and the network."""
    low, high = PYTHONS
    ok, differ, apt = low <= sys.version_info[:2] < high, lock_differences(), shutil.which("apt-get")
    return [
        Finding("software", "Python", "ok" if ok else "no", platform.python_version(),
                "" if ok else "make setup PYTHON=python3.12 (3.11, 3.12 or 3.13)"),
        Finding("software", "locked packages", "no" if differ else "ok",
                "; ".join(differ[:5]) or "installed as locked", "make setup" if differ else ""),
        Finding("software", "apt-get", "ok", "present: recorded speech can be fetched, without root") if apt else
        Finding("software", "apt-get", "no", "not on this system: recorded speech can't be fetched, the synthetic "
                "corpus is used", "run on Debian, Ubuntu or Colab for recorded speech"),
        Finding("software", "network", "note", "forbidden by NSLIB_OFFLINE=1; only the cache is used"
                if config.offline() else "used only to fetch packages that the cache does not hold")]


def examine_data(settings: Params) -> list[Finding]:
    """Say of each task whether its recordings are there, can be fetched, or cannot be had, and why."""
    names = list(tasks.choose_task_names(settings))
    if settings.profile == "paper" and not settings.tasks:
        names += [task.name for task in tasks.REGISTRY.values() if task.optional and task.profile == "paper"]
    return [Finding("tasks", name, *_examine_task(tasks.get_task(name), settings)) for name in names]


def _examine_task(task: tasks.Task, settings: Params) -> tuple[str, str, str]:
    """Say whether the recordings of a task are there: state, detail, remedy."""
    if task.kind == "synthetic":
        there = importlib.util.find_spec("espeakng_loader") is not None
        return "ok" if there else "no", "synthetic speech, made here in seconds", "" if there else "make setup"
    if task.corpus == "noss":
        status = noss_sources.get_status(task.name)
        mark = {"manual": "no", "download": "note"}.get(status.state, "ok")
        terms = "" if status.remedy else f"; licence: {status.licence}"  # the remedy names it too
        return mark, f"{'optional; ' if task.optional else ''}{status.detail}{terms}", status.remedy
    needed = loading.list_missing_packages(task, settings)
    if not needed:
        return "ok", "recorded speech, ready", ""
    sources = read_list(config.data_dir() / "sources.csv")
    size = sources.loc[sources["package"].isin(needed), "megabytes"].astype(float).sum()
    detail = f"recorded speech, {len(needed)} packages to fetch (about {size:.0f} MB)"
    if not shutil.which("apt-get"):
        return "no", f"{detail}, but there is no apt-get", "make reproduce runs the synthetic tasks instead"
    return "note", detail, "python -m nslib data prepare, or just make reproduce"


def examine_embeddings() -> list[Finding]:
    """Say of each built-in embedding whether it can be used, and under which licence."""
    return [Finding("embeddings", name, *_examine_embedding(card)) for name, card in EMBEDDINGS.items()]


def _examine_embedding(card: EmbeddingInfo) -> tuple[str, str, str]:
    """Say whether an embedding, its extra and its weights are here: state, detail, remedy."""
    if card.needs and importlib.util.find_spec(card.needs) is None:
        return "note", f"an extra, not installed; {card.licence}", f"make setup {card.needs.upper()}=1"
    detail, weights = f"{card.kind}, {card.dim} values", card.weights
    if card.hub:
        if folder := downloads.find_model(card.hub):
            return "ok", f"{detail}; licence {card.licence}; its model is in {folder}", ""
        size = f"{card.megabytes:.0f} MB" if card.megabytes else "size not stated"
        return ("note", f"{detail}; licence {card.licence}; paper profile, to fetch ({size})",
                downloads.find_source(card.hub).by_hand if config.offline() else "")
    if weights is None:
        return "ok", detail, ""
    there = downloads.find_wheel(weights.package, weights.version)
    return "ok", f"{detail}; weights: {card.licence}{'' if there else f' ({weights.megabytes:.0f} MB to fetch)'}", ""
