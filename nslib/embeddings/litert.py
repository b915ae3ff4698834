"""A network on patches as a LiteRT file, run by LiteRT's interpreter and its CPU kernels (XNNPACK).

`nslib.train.compact` has the forms and the conversion. A converted network is kept in the cache.

Conventions
-----------
The interpreter is given one patch at a time, so a patch has the same bits in whatever company it comes. The ranges
of "int8" are those of `CALIBRATION` and some sounds of `nslib.embeddings.sounds`; what lies outside them is cut off.
"""

from __future__ import annotations

import hashlib
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import files, params
from nslib.embeddings import sounds, threads
from nslib.embeddings.graphs import Patched
from nslib.embeddings.patches import Network
from nslib.errors import Unavailable

FORMS = {"litert": "float32", "litert-dynamic": "dynamic", "litert-int8": "int8"}
"""Backends, and what `nslib.train.compact` calls them."""

CALIBRATION = 32


def network(parts: Patched, form: str, key: str) -> Network:
    """Convert a network, or take it from the cache, and open it.

    Parameters
    ----------
    parts : Patched
    form : str
        See `nslib.train.compact.convert`.
    key : str
        Says which network, form and converter it is; the cache goes by it.

    Returns
    -------
    callable
        float32 array [patches, *shape] to array [patches, dim]; may be called from several threads.

    Raises
    ------
    Unavailable
        If LiteRT is not installed, or does not know an operation of the network.
    """
    from nslib.train import compact

    content = _cached(key)
    if content is None:
        content = _converted(parts, form)
        files.write(_folder() / f"{_stem(key)}-{_digest(content)}.tflite", content)
    return _shared([compact.runner(content) for _ in range(threads.count())])


def _shared(runners: list[Network]) -> Network:
    """Share patches out to interpreters, a thread each."""
    # an interpreter is not for two threads at a time; and its own threads, which wait spinning, would take the
    # processors from the front end
    free: queue.SimpleQueue[Network] = queue.SimpleQueue()
    for one in runners:
        free.put(one)

    def run(patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        one = free.get()
        try:
            return one(patches)
        finally:
            free.put(one)

    def network(patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        parts = np.array_split(patches, min(len(runners), len(patches)))
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(run, parts)))

    return network


def _converted(parts: Patched, form: str) -> bytes:
    from nslib.train import compact

    examples = np.concatenate([parts.cut(wave) for wave in sounds.wide(CALIBRATION)]) if form == "int8" else None
    try:
        return compact.convert(lambda patch, training: parts.function(patch), form, examples, shape=parts.shape)
    except Exception as error:  # the converter raises whatever its parts raise
        why = f"its converter failed: {type(error).__name__}: {str(error).strip()[:200]}"
        raise Unavailable(f"LiteRT in the form {form}", why, "Use another backend.") from error


def _cached(key: str) -> bytes | None:
    """What was converted before; a file that does not have the hash in its name is removed."""
    for path in _folder().glob(f"{_stem(key)}-*.tflite"):
        content = path.read_bytes()
        if path.stem.endswith(_digest(content)):
            return content
        path.unlink(missing_ok=True)
    return None


def _folder() -> Path:
    return params.cache_dir("litert")


def _stem(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
