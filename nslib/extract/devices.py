"""The devices of this machine: one copy of an embedding's function on each, and batches that fit their memory.

Conventions
-----------
Devices are TensorFlow's, named ``"GPU:0"`` or ``"CPU:0"``. Used are all GPUs; without one, the processor. The
environment variable ``NSLIB_DEVICES`` (names with commas between) chooses others. An embedding whose function
TensorFlow does not compute, or that cannot be loaded again, has one copy: itself.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nslib.embeddings.base import SAMPLE_RATE, Embedding, EmbedFunction, FloatArray, IntArray
from nslib.errors import BadParameter, NslibError, UnknownName

VARIABLE = "NSLIB_DEVICES"
ONLY = "default"
"""Device of an embedding that cannot be put on one by name: where it computes is its own affair."""


@dataclass(frozen=True)
class Replica:
    """An embedding's function on one device.

    Attributes
    ----------
    device : str
        Such as ``"GPU:0"``, or `ONLY`.
    embed : callable
        As `nslib.embeddings.Embedding.embed`.
    """

    device: str
    embed: EmbedFunction


def replicas(embedding: Embedding, devices: Sequence[str] | None = None) -> list[Replica]:
    """Load an embedding's function on every device that is to be used.

    Parameters
    ----------
    embedding : Embedding
    devices : sequence of str, optional
        Their names. Default: those of ``NSLIB_DEVICES``, else all GPUs, else the processor.

    Returns
    -------
    list of Replica
        At least one. On the device that TensorFlow would choose by itself it is ``embedding.embed``, not a copy.

    Raises
    ------
    UnknownName
        For a device that is not there.
    BadParameter
        If a device is named twice, or an empty list is given.
    """
    if embedding.replica is None:
        return [Replica(ONLY, embedding.embed)]
    there = present()
    own = _usual(there)[0]
    return [Replica(name, embedding.embed if name == own else embedding.replica(name))
            for name in chosen(devices, there)]


def present() -> list[str]:
    """List the devices that TensorFlow sees; the first call sets them up.

    Returns
    -------
    list of str
        Processors and GPUs.
    """
    import tensorflow as tf

    names = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    return [name for name in names if name.startswith(("CPU:", "GPU:"))]


def chosen(devices: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    """Choose devices.

    Parameters
    ----------
    devices : sequence of str or None
        As in `replicas`.
    there : sequence of str
        As of `present`.

    Returns
    -------
    list of str

    Raises
    ------
    UnknownName, BadParameter
        As `replicas`.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if devices is None and asked:
        devices = [part.strip() for part in asked.split(",") if part.strip()]
    if devices is None:
        return _usual(there)
    for name in devices:
        if name not in there:
            raise UnknownName("device", name, there)
    if not devices or len(set(devices)) < len(devices):
        raise BadParameter(f"devices is {list(devices)}; name at least one, and each once. There are: "
                           f"{', '.join(there)}.")
    return list(devices)


def _usual(there: Sequence[str]) -> list[str]:
    return [name for name in there if name.startswith("GPU:")] or ["CPU:0"]


def within_memory(embed: EmbedFunction) -> EmbedFunction:
    """Make an embed function that goes on with smaller batches where the memory is too small for one.

    Parameters
    ----------
    embed : callable
        As `Embedding.embed`; it raises ``MemoryError``, or TensorFlow's ``ResourceExhaustedError``.

    Returns
    -------
    callable
        It halves a batch until it fits, and sends no larger one from then on; a warning says so once.
        Memory is counted in samples, clips times the longest. It raises `NslibError` for a single clip that
        does not fit.
    """
    return _Within(embed)


class _Within:
    def __init__(self, embed: EmbedFunction):
        self._embed, self._most = embed, sys.maxsize
        functools.update_wrapper(self, embed)  # what is marked on the function stays marked

    def __call__(self, waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        samples, start = max(1, waves.shape[1]), 0
        parts: list[tuple[FloatArray, IntArray]] = []
        while start < len(waves) or not parts:
            stop = min(len(waves), start + max(1, self._most // samples))
            try:
                parts.append(self._embed(waves[start:stop], lengths[start:stop]))
                start = stop
            except Exception as error:
                if not _out_of_memory(error):
                    raise
                self._shrink(stop - start, samples, error)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _shrink(self, clips: int, samples: int, error: Exception) -> None:
        if clips <= 1:
            raise NslibError(f"one clip of {samples / SAMPLE_RATE:.1f} s does not fit the memory of the device "
                             f"({type(error).__name__}). Cut the clip, use a device with more memory, or the "
                             f"processor: {VARIABLE}=CPU:0.") from error
        first, self._most = self._most == sys.maxsize, min(self._most, clips // 2 * samples)
        if first:
            warnings.warn(f"a batch of {clips} clips of {samples / SAMPLE_RATE:.1f} s does not fit the memory of the "
                          "device; going on with smaller ones.", RuntimeWarning, stacklevel=3)


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    # TensorFlow cannot have raised anything where it was not imported
    tf = sys.modules.get("tensorflow")
    return tf is not None and isinstance(error, tf.errors.ResourceExhaustedError)


def _joined(parts: list[tuple[FloatArray, IntArray]]) -> tuple[FloatArray, IntArray]:
    longest = max(frames.shape[1] for frames, _ in parts)
    padded = [np.pad(frames, ((0, 0), (0, longest - frames.shape[1]), (0, 0))) for frames, _ in parts]
    return np.concatenate(padded), np.concatenate([counts for _, counts in parts])
