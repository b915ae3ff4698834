"""The devices of this machine: which there are, one copy of an embedding on each, batches that suit them.

Devices are TensorFlow's, named ``"GPU:0"`` or ``"CPU:0"``. Used are all GPUs; without one, the processor;
``NSLIB_DEVICES`` (names with commas between) chooses others. An embedding whose function TensorFlow does not compute,
or that cannot be loaded again, has one copy: itself. TensorFlow's wheel for Linux on x86-64 can use CUDA, but brings
none of it; ``make setup GPU=1`` installs what is in `GPU_LOCK`.

Small batches leave a device idle, large ones leave the processor's cache or fill the memory. Which size is best depends
on the embedding, the machine and the threads, so a short trial on noise finds it before a long extraction, and
``tuning.json`` in the cache keeps it. ``NSLIB_BATCH_SECONDS`` sets the size instead. Work units do not depend on it,
and vectors do not beyond rounding (1e-5); the networks of the kit give the same bits (`nslib.embeddings.runtime`).
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nslib import config
from nslib.embeddings import runtime
from nslib.embeddings.base import SAMPLE_RATE, Embedding, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.runtime import list_devices
from nslib.errors import BadParameter, NslibError, Unavailable, refuse_unknown

__all__ = ["GPU_LOCK", "choose_devices", "is_cuda_supported", "list_devices", "list_gpus", "time_batches"]

GPU_LOCK = "requirements-gpu.lock"
DEVICES_VARIABLE = "NSLIB_DEVICES"
BATCH_VARIABLE = "NSLIB_BATCH_SECONDS"
DEFAULT_BATCH_SECONDS = 60.0
_TUNING = "tuning.json"
# where padding costs nothing there is no reason to cut a work unit
_RAGGED_BATCH_SECONDS = 240.0
_TRIAL_SIZES = (15.0, 30.0, 60.0, 120.0, 240.0)
# Below this much audio no trial can pay; above, it may take this share of the time that the first size foretells.
_TRIAL_PAYS_SECONDS = 3600.0
_TRIAL_SHARE = 0.03
# the smallest size that is this close to the best is taken: it needs less memory
_CLOSE = 0.97
_TRIAL_CLIP_SECONDS = 3.0
_GPU_FIELDS = ("index", "name", "memory.total", "memory.free", "driver_version")


@dataclass(frozen=True)
class Gpu:
    """One GPU, as ``nvidia-smi`` sees it."""

    index: int
    name: str
    memory_gb: float | None  # None where the driver does not say
    free_gb: float | None
    driver: str  # version


def list_gpus() -> list[Gpu]:
    """List NVIDIA's GPUs; none if there is no ``nvidia-smi``; Unavailable, with its own words, if it fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _smi_failed(str(error)) from error
    if done.returncode:
        raise _smi_failed((done.stdout + done.stderr).strip().replace("\n", "; ") or f"exit code {done.returncode}")
    return [_parse_gpu(line) for line in done.stdout.splitlines() if line.strip()]


def is_cuda_supported() -> bool:
    """Tell whether TensorFlow's wheel for this system can use CUDA at all."""
    return platform.system() == "Linux" and platform.machine() == "x86_64"


def _parse_gpu(line: str) -> Gpu:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != len(_GPU_FIELDS) or not parts[0].isdigit():
        raise _smi_failed(f"it says {line!r}")
    # drivers write [N/A] or [Not Supported] for what they do not know
    memory, free = (float(mib) * 2**20 / 1e9 if mib.isdigit() else None for mib in parts[2:4])
    return Gpu(int(parts[0]), parts[1], memory, free, parts[4])


def _smi_failed(why: str) -> Unavailable:
    return Unavailable("the list of GPUs", f"nvidia-smi failed: {why}",
                       "Install a driver that fits the GPU; until then the processor computes.")


@dataclass(frozen=True)
class Replica:
    """An embedding's function on one device."""

    device: str  # such as "GPU:0", or "default" for an embedding that cannot be put on one by name
    embed: EmbedFunction


def load_replicas(embedding: Embedding) -> list[Replica]:
    """Load an embedding's function on every device to be used, as `choose_devices` says; at least one."""
    if embedding.replica is None:
        return [Replica("default", embedding.embed)]
    present = list_devices()
    default = _default_devices(present)[0]  # on which TensorFlow would put it by itself
    return [Replica(name, embedding.embed if name == default else embedding.replica(name))
            for name in choose_devices(present)]


def choose_devices(present: Sequence[str]) -> list[str]:
    """Choose the devices to use: those of ``NSLIB_DEVICES``, else all GPUs present, else the processor.

    UnknownName for a device that is not there, BadParameter if one is named twice, or none is.
    """
    asked = os.environ.get(DEVICES_VARIABLE, "").strip()
    if not asked:
        return _default_devices(present)
    devices = [part.strip() for part in asked.split(",") if part.strip()]
    refuse_unknown("device", devices, present)
    if not devices or len(set(devices)) < len(devices):
        raise BadParameter(f"devices is {devices}; name at least one, and each once. There are: {', '.join(present)}.")
    return devices


def _default_devices(present: Sequence[str]) -> list[str]:
    return [name for name in present if name.startswith("GPU:")] or ["CPU:0"]


class SmallerBatches:
    """An embed function that halves a batch until it fits the memory, and sends no larger one from then on.

    A warning says so once. Memory is counted in samples: clips times the longest. A single clip that does not fit is an
    `NslibError`.
    """

    def __init__(self, embed: EmbedFunction):
        self._embed, self._most = embed, sys.maxsize
        self._copy = (lambda a: a) if runtime.is_ragged(embed) else np.copy  # what is ours leaves its input alone
        functools.update_wrapper(self, embed)  # what is marked on the function stays marked

    def __call__(self, waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        samples, start = max(1, waves.shape[1]), 0
        parts: list[tuple[FloatArray, IntArray]] = []
        while start < len(waves) or not parts:
            stop = min(len(waves), start + max(1, self._most // samples))
            try:
                # what fails half-way may have changed its input, and a smaller batch gets the sound as it was
                parts.append(self._embed(self._copy(waves[start:stop]), self._copy(lengths[start:stop])))
                start = stop
            except Exception as error:
                # TensorFlow cannot have raised anything where it was not imported
                tf = sys.modules.get("tensorflow")
                if not isinstance(error, (MemoryError, *([tf.errors.ResourceExhaustedError] if tf else []))):
                    raise
                self._shrink(stop - start, samples, error)
        if len(parts) == 1:
            return parts[0]
        longest = max(frames.shape[1] for frames, _ in parts)
        padded = [np.pad(frames, ((0, 0), (0, longest - frames.shape[1]), (0, 0))) for frames, _ in parts]
        return np.concatenate(padded), np.concatenate([counts for _, counts in parts])

    def _shrink(self, clips: int, samples: int, error: Exception) -> None:
        seconds = samples / SAMPLE_RATE
        if clips <= 1:
            raise NslibError(f"one clip of {seconds:.1f} s does not fit the memory of the device "
                             f"({type(error).__name__}). Cut the clip, use a device with more memory, or the "
                             f"processor: {DEVICES_VARIABLE}=CPU:0.") from error
        first, self._most = self._most == sys.maxsize, min(self._most, clips // 2 * samples)
        if first:
            warnings.warn(f"a batch of {clips} clips of {seconds:.1f} s does not fit the memory of the device; going "
                          "on with smaller ones.", RuntimeWarning, stacklevel=3)


def get_batch_seconds(embedding: Embedding) -> float:
    """Give the seconds of audio in a batch: of ``NSLIB_BATCH_SECONDS``, else of a trial, else the default."""
    default = _RAGGED_BATCH_SECONDS if runtime.is_ragged(embedding.embed) else DEFAULT_BATCH_SECONDS
    return _asked_batch_seconds() or _read_tuning().get(_tuning_key(embedding), {}).get("seconds", default)


def tune_batch_seconds(embedding: Embedding, audio_seconds: float) -> float:
    """Find the best batch size for `audio_seconds` of work, unless it is known, asked for, or not worth a trial."""
    key = _tuning_key(embedding)
    if _asked_batch_seconds() is None and audio_seconds >= _TRIAL_PAYS_SECONDS and key not in _read_tuning():
        rates = _try_batches(embedding, audio_seconds)
        if len(rates) > 1:
            best = max(rates.values())
            facts = {"seconds": min(size for size, rate in rates.items() if rate >= _CLOSE * best),
                     "times_real_time": {f"{size:g}": rate for size, rate in rates.items()}}
            config.write_file(config.cache_dir() / _TUNING,
                              json.dumps({**_read_tuning(), key: facts}, indent=1, sort_keys=True))
    return get_batch_seconds(embedding)


def _asked_batch_seconds() -> float | None:
    text = os.environ.get(BATCH_VARIABLE, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadParameter(f"{BATCH_VARIABLE} is {text!r}; give a number of seconds above 0, such as "
                           f"{DEFAULT_BATCH_SECONDS:g}.")
    return value


def _tuning_key(embedding: Embedding) -> str:
    machine = [platform.node(), platform.machine(), f"{runtime.count_threads()} threads"]
    return " | ".join([embedding.fingerprint, *machine, os.environ.get(DEVICES_VARIABLE, "")])


def _read_tuning() -> dict[str, Any]:
    try:
        facts = json.loads((config.cache_dir() / _TUNING).read_text())
    except (OSError, ValueError):
        return {}  # a file that is missing or damaged costs a trial
    return facts if isinstance(facts, dict) else {}


def _try_batches(embedding: Embedding, audio_seconds: float) -> dict[float, float]:
    """Measure the times real time of the batch sizes that there is time for."""
    rates: dict[float, float] = {}
    left = float("inf")
    try:
        next(time_batches(embedding, _TRIAL_SIZES[0]))  # the first call also builds graphs
        for size in _TRIAL_SIZES:
            expected = 2 * size / rates[max(rates)] if rates else 0.0
            if expected > left:
                break
            taken = min(time_batches(embedding, size))
            if not rates:
                left = _TRIAL_SHARE * audio_seconds * taken / size
            left -= 2 * taken
            rates[size] = size / taken
    except Exception:
        return rates  # whatever is wrong is told, with the clip's name, when real clips are embedded
    return rates


def time_batches(embedding: Embedding, size: float) -> Iterator[float]:
    """Give the seconds that each of two batches of `size` seconds of noise takes; the first may build a graph."""
    samples = max(round(_TRIAL_CLIP_SECONDS * SAMPLE_RATE), embedding.min_samples)
    count = max(1, round(size * SAMPLE_RATE / samples))
    noise = np.random.default_rng(0).normal(0, 0.05, (count, samples)).astype(np.float32)
    for _ in range(2):
        began = time.perf_counter()
        embedding.embed(noise, np.full(count, samples, np.int64))
        yield time.perf_counter() - began
