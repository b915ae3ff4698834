"""What each backend of an embedding costs and saves: time and error against the first one, measured here and now.

Conventions
-----------
All backends are given the same `CLIPS` and some sounds of `nslib.embeddings.sounds`, silence and noise at full scale
among them; the voices are not those that set the ranges of the networks in 8 bits. Recordings can be stranger: where a
network in 8 bits matters, compare it on clips of your own too. Backends are timed in turns, several rounds, and
ratios are taken within a round, so that a busy machine hits all alike; the front end is in the times. Errors are of
frames, and cosines of vectors (means over frames), as a probe sees them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib.embeddings import backend, bfloat16, sounds
from nslib.embeddings.base import Embedding, FloatArray, IntArray
from nslib.errors import BadParameter, Unavailable

if TYPE_CHECKING:
    import pandas as pd

CLIPS, FIRST_SEED = 16, 1_000
COLUMNS = ("backend", "available", "time_ratio", "ms_per_patch", "largest_error", "cosine", "least_cosine", "note")

_Batch = tuple[FloatArray, IntArray]


def backends(name: str, rounds: int = 5) -> pd.DataFrame:
    """Measure the backends of an embedding on this machine.

    Parameters
    ----------
    name : str
        One of `nslib.embeddings.names`.
    rounds : int
        How often each is timed.

    Returns
    -------
    DataFrame
        A row a backend, the one that the embedding has without ``@`` first: backend; available; time_ratio (median
        over rounds of its time over that of the first); ms_per_patch (median, front end and all); largest_error
        (largest difference of a frame's number, over the largest number of the first); cosine and least_cosine (of
        the vectors of both: median and least over clips, which is mostly digital silence); note (why it is not
        available, or what to know). NaN where it cannot be had.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If the embedding itself cannot be had.
    BadParameter
        If `rounds` is below 1.

    Examples
    --------
    >>> backends("trill-mini-top")[["backend", "time_ratio", "cosine"]]    # doctest: +SKIP
    """
    import pandas as pd

    from nslib import embeddings

    if rounds < 1:
        raise BadParameter(f"rounds must be at least 1; got {rounds}.")
    first, *others = backend.offered(name)
    loaded: dict[str, Embedding] = {first: embeddings.get(name)}
    notes = {first: "the embedding without @"}
    for other in others:
        try:
            loaded[other], notes[other] = embeddings.get(f"{name}{backend.SIGN}{other}"), _note(other)
        except Unavailable as error:
            notes[other] = str(error)
    measured = _measured(loaded, first, rounds)
    rows = [{"backend": key, "available": key in loaded, **measured.get(key, {}), "note": notes[key]} for key in notes]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def text(table: pd.DataFrame) -> str:
    """Write the table of `backends` for a terminal.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    str
    """
    lines = [f"{'backend':<16}{'time':>7}{'ms/patch':>10}{'error':>10}{'cosine':>10}{'least':>10}  note"]
    for row in table.itertuples():
        figures = (f"{row.time_ratio:>7.2f}{row.ms_per_patch:>10.2f}{row.largest_error:>10.1e}"
                   f"{row.cosine:>10.5f}{row.least_cosine:>10.5f}")
        lines.append(f"{row.backend:<16}{figures if row.available else ''}  {row.note}".rstrip())
    return "\n".join(lines)


def _note(name: str) -> str:
    if name == "bf16" and not bfloat16.native():
        return "this processor has neither AVX512-BF16 nor AMX: emulated, slow"
    return ""


def _measured(loaded: dict[str, Embedding], first: str, rounds: int) -> dict[str, dict[str, Any]]:
    batch = _batch(loaded[first])
    frames = {key: _frames(one, batch) for key, one in loaded.items()}
    seconds = {key: np.zeros(rounds) for key in loaded}
    for turn in range(rounds):
        for key, one in loaded.items():
            began = time.perf_counter()
            one.embed(*batch)
            seconds[key][turn] = time.perf_counter() - began
    right, patches = frames[first], sum(map(len, frames[first]))
    cosines = {key: _cosines(frames[key], right) for key in loaded}
    return {key: {"time_ratio": float(np.median(seconds[key] / seconds[first])),
                  "ms_per_patch": 1000 * float(np.median(seconds[key])) / patches,
                  "largest_error": _largest_error(frames[key], right),
                  "cosine": float(np.median(cosines[key])), "least_cosine": min(cosines[key])} for key in loaded}


def _batch(embedding: Embedding) -> _Batch:
    waves = np.stack(sounds.wide(CLIPS, FIRST_SEED))
    if waves.shape[1] < embedding.min_samples:
        raise BadParameter(f"{embedding.name} needs clips of {embedding.min_samples} samples; the sounds that backends "
                           f"are measured on have {waves.shape[1]}.")
    return waves, np.full(len(waves), waves.shape[1], np.int64)


def _frames(embedding: Embedding, batch: _Batch) -> list[FloatArray]:
    found, counts = embedding.embed(*batch)
    return [row[:count] for row, count in zip(found, counts, strict=True)]


def _largest_error(found: list[FloatArray], right: list[FloatArray]) -> float:
    largest = max(float(np.abs(row).max()) for row in right)
    return max(float(np.abs(a - b).max()) for a, b in zip(found, right, strict=True)) / max(largest, 1e-30)


def _cosines(found: list[FloatArray], right: list[FloatArray]) -> list[float]:
    cosines = []
    for a, b in zip(found, right, strict=True):
        one, other = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        cosines.append(min(1.0, float(one @ other / norms)) if norms > 0 else float(np.array_equal(one, other)))
    return cosines
