"""How many seconds of audio a batch has: tried once for an embedding on a machine, and remembered.

Conventions
-----------
Small batches leave a device idle, large ones leave the processor's cache or fill the memory. Which size is
best depends on the embedding, the machine and the threads, so a short trial on noise finds it before a long
extraction, and ``tuning.json`` in the cache keeps it. ``NSLIB_BATCH_SECONDS`` sets the size instead. Work
units do not depend on it, and vectors do not beyond rounding (1e-5); the networks of the kit give the same
bits (`nslib.embeddings.patches`).
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nslib import files, params
from nslib.embeddings import patches, threads
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.errors import BadParameter
from nslib.extract import devices

VARIABLE = "NSLIB_BATCH_SECONDS"
DEFAULT = 60.0
# where padding costs nothing there is no reason to cut a work unit
_RAGGED = 240.0
SIZES = (15.0, 30.0, 60.0, 120.0, 240.0)
# Below this much audio no trial can pay; above, it may take this share of the time that the first size foretells.
_WORTH = 3600.0
_SHARE = 0.03
# the smallest size that is this close to the best is taken: it needs less memory
_CLOSE = 0.97
_CLIP_SECONDS = 3.0


def batch_seconds(embedding: Embedding) -> float:
    """Seconds of audio in a batch of this embedding here.

    Parameters
    ----------
    embedding : Embedding

    Returns
    -------
    float
        Of ``NSLIB_BATCH_SECONDS``, else what a trial found, else `DEFAULT`, or a whole work unit where the
        embedding does not look at padding.

    Raises
    ------
    BadParameter
        If ``NSLIB_BATCH_SECONDS`` is not a number above 0.
    """
    return _asked() or _known().get(_key(embedding), {}).get("seconds", _usual(embedding))


def tune(embedding: Embedding, audio_seconds: float) -> float:
    """Find the best size for a long extraction, unless it is known, asked for, or not worth a trial.

    Parameters
    ----------
    embedding : Embedding
    audio_seconds : float
        What there is to do.

    Returns
    -------
    float
        As `batch_seconds`.

    Raises
    ------
    BadParameter
        As `batch_seconds`.
    """
    if _asked() is None and audio_seconds >= _WORTH and _key(embedding) not in _known():
        rates = _trial(embedding, audio_seconds)
        if len(rates) > 1:
            best = max(rates.values())
            seconds = min(size for size, rate in rates.items() if rate >= _CLOSE * best)
            _remember(_key(embedding), {"seconds": seconds, "times_real_time": {f"{k:g}": v for k, v in rates.items()}})
    return batch_seconds(embedding)


def _usual(embedding: Embedding) -> float:
    return _RAGGED if patches.is_ragged(embedding.embed) else DEFAULT


def _asked() -> float | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadParameter(f"{VARIABLE} is {text!r}; give a number of seconds above 0, such as {DEFAULT:g}.")
    return value


def _key(embedding: Embedding) -> str:
    machine = [platform.node(), platform.machine(), f"{threads.count()} threads", os.environ.get(devices.VARIABLE, "")]
    return " | ".join([embedding.fingerprint, *machine])


def _file() -> Path:
    return params.cache_dir() / "tuning.json"


def _known() -> dict[str, Any]:
    try:
        found = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}  # a file that is missing or damaged costs a trial
    return found if isinstance(found, dict) else {}


def _remember(key: str, facts: dict[str, Any]) -> None:
    files.write(_file(), json.dumps({**_known(), key: facts}, indent=1, sort_keys=True))


def _trial(embedding: Embedding, audio_seconds: float) -> dict[float, float]:
    """Times real time of the sizes that there was time for."""
    rates: dict[float, float] = {}
    left = float("inf")
    try:
        next(_batches(embedding, SIZES[0]))  # the first call also builds graphs
        for size in SIZES:
            expected = 2 * size / rates[max(rates)] if rates else 0.0
            if expected > left:
                break
            taken = min(_batches(embedding, size))
            if not rates:
                left = _SHARE * audio_seconds * taken / size
            left -= 2 * taken
            rates[size] = size / taken
    except Exception:
        return rates  # whatever is wrong is said, with the clip's name, when real clips are embedded
    return rates


def _batches(embedding: Embedding, size: float) -> Iterator[float]:
    """Seconds that each of two batches of a size takes."""
    samples = max(round(_CLIP_SECONDS * SAMPLE_RATE), embedding.min_samples)
    count = max(1, round(size * SAMPLE_RATE / samples))
    noise = np.random.default_rng(0).normal(0, 0.05, (count, samples)).astype(np.float32)
    for _ in range(2):
        began = time.perf_counter()
        embedding.embed(noise, np.full(count, samples, np.int64))
        yield time.perf_counter() - began
