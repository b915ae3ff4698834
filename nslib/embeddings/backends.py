"""Other ways to compute a network on patches: LiteRT (TensorFlow Lite) files, and what each way costs and saves.

Files are made and opened by `nslib.embeddings.tflite` and kept in the cache; a patch has the same bits in whatever
company it comes. The ranges of ``litert-int8`` are those of `CALIBRATION` and some sounds of
`nslib.embeddings.checker`; what lies outside them is cut off.

Comparison
----------
All backends are given the same `CLIPS` and some of those sounds, silence and noise at full scale among them; the voices
are not those that set the ranges. Recordings can be stranger: where a network in 8 bits matters, compare it on clips of
your own too. Backends are timed in turns, several rounds, and ratios are taken within a round, so that a busy machine
hits all alike; the front end is in the times. Errors are of frames, and cosines of vectors (means over frames), as a
probe sees them.
"""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.embeddings.base import Embedding, FloatArray, IntArray
from nslib.embeddings.checker import make_extreme_sounds
from nslib.embeddings.runtime import Network, PatchNetwork, count_threads
from nslib.embeddings.tflite import convert_network, open_network
from nslib.errors import BadParameter, Unavailable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["format_backends"]

BACKEND_FORMS = {"litert": "float32", "litert-dynamic": "dynamic", "litert-int8": "int8"}
"""Backends, and their forms in `nslib.embeddings.tflite`."""

CALIBRATION = 32
CLIPS, FIRST_SEED = 16, 1_000
COLUMNS = ("backend", "available", "time_ratio", "ms_per_patch", "largest_error", "cosine", "least_cosine", "note")

Patches = npt.NDArray[Any]


# ---- LiteRT as a backend -----------------------------------------------------------------------------


def open_litert(network: PatchNetwork, backend: str, key: str) -> Network:
    """Convert a network for a backend, or take it from the cache, and open it; it may be called from several threads.

    The cache goes by `key`, which says which network, form and converter it is. Raises Unavailable if LiteRT is not
    installed, or does not know an operation of the network.
    """
    stem, folder = _hash(key.encode()), config.cache_dir("litert")
    content = None
    for path in folder.glob(f"{stem}-*.tflite"):
        stored = path.read_bytes()
        if path.stem.endswith(_hash(stored)):
            content = stored
        else:  # damaged
            path.unlink(missing_ok=True)
    if content is None:
        content = _convert_patched(network, BACKEND_FORMS[backend])
        config.write_file(folder / f"{stem}-{_hash(content)}.tflite", content)
    return _share([open_network(content) for _ in range(count_threads())])


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _convert_patched(network: PatchNetwork, form: str) -> bytes:
    """Convert a network on patches, by the ranges of made sounds."""
    patches = None
    if form == "int8":
        patches = np.concatenate([network.cut(wave) for wave in make_extreme_sounds(CALIBRATION)])
    try:
        return convert_network(lambda patch, training: network.function(patch), form, patches, shape=network.shape)
    except Exception as error:  # the converter raises whatever its parts raise
        why = f"its converter failed: {type(error).__name__}: {str(error).strip()[:200]}"
        raise Unavailable(f"LiteRT in the form {form}", why, "Use another backend.") from error


def _share(interpreters: list[Network]) -> Network:
    """Share patches out to interpreters, a thread each."""
    # an interpreter is not for two threads at a time; and its own threads, which wait spinning, would take the
    # processors from the front end
    idle: queue.SimpleQueue[Network] = queue.SimpleQueue()
    for interpreter in interpreters:
        idle.put(interpreter)

    def run(patches: Patches) -> Patches:
        interpreter = idle.get()
        try:
            return interpreter(patches)
        finally:
            idle.put(interpreter)

    def network(patches: Patches) -> Patches:
        parts = np.array_split(patches, min(len(interpreters), len(patches)))
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(run, parts)))

    return network


# ---- comparison --------------------------------------------------------------------------------------


def measure_backends(loaded: Mapping[str, Embedding], notes: Mapping[str, str], rounds: int) -> pd.DataFrame:
    """Measure the backends of an embedding, the first of which is right; see `nslib.embeddings.compare_backends`.

    `notes` has a line for every backend; those that are not `loaded` are not available.
    """
    import pandas as pd

    first = next(iter(notes))
    batch = _make_batch(loaded[first])
    frames = {name: _compute_frames(one, batch) for name, one in loaded.items()}
    seconds = {name: np.zeros(rounds) for name in loaded}
    for turn in range(rounds):
        for name, one in loaded.items():
            began = time.perf_counter()
            one.embed(*batch)
            seconds[name][turn] = time.perf_counter() - began
    patches = sum(map(len, frames[first]))
    rows: list[dict[str, Any]] = [{"backend": name, "available": name in loaded, "note": note}
                                  for name, note in notes.items()]
    for row in rows:
        if row["available"]:
            took, cosines = seconds[row["backend"]], compute_cosines(frames[row["backend"]], frames[first])
            row |= {"time_ratio": float(np.median(took / seconds[first])),
                    "ms_per_patch": 1000 * float(np.median(took)) / patches,
                    "largest_error": compute_error(frames[row["backend"]], frames[first]),
                    "cosine": float(np.median(cosines)), "least_cosine": min(cosines)}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def format_backends(table: pd.DataFrame) -> str:
    """Write the table of `nslib.embeddings.compare_backends` for a terminal."""
    lines = [f"{'backend':<16}{'time':>7}{'ms/patch':>10}{'error':>10}{'cosine':>10}{'least':>10}  note"]
    for row in table.itertuples():
        figures = (f"{row.time_ratio:>7.2f}{row.ms_per_patch:>10.2f}{row.largest_error:>10.1e}"
                   f"{row.cosine:>10.5f}{row.least_cosine:>10.5f}")
        lines.append(f"{row.backend:<16}{figures if row.available else ''}  {row.note}".rstrip())
    return "\n".join(lines)


def _make_batch(embedding: Embedding) -> tuple[FloatArray, IntArray]:
    """Make the sounds that backends are measured on."""
    waves = np.stack(make_extreme_sounds(CLIPS, FIRST_SEED))
    if waves.shape[1] < embedding.min_samples:
        raise BadParameter(f"{embedding.name} needs clips of {embedding.min_samples} samples; the sounds that backends "
                           f"are measured on have {waves.shape[1]}.")
    return waves, np.full(len(waves), waves.shape[1], np.int64)


def _compute_frames(embedding: Embedding, batch: tuple[FloatArray, IntArray]) -> list[FloatArray]:
    """Compute the valid frames of each clip."""
    frames, counts = embedding.embed(*batch)
    return [row[:count] for row, count in zip(frames, counts, strict=True)]


def compute_error(frames: list[FloatArray], right: list[FloatArray]) -> float:
    """Compute the largest difference of a number, over the largest right number."""
    largest = max(float(np.abs(row).max()) for row in right)
    return max(float(np.abs(a - b).max()) for a, b in zip(frames, right, strict=True)) / max(largest, 1e-30)


def compute_cosines(frames: list[FloatArray], right: list[FloatArray]) -> list[float]:
    """Compute the cosine of each clip's vectors; where one is zero, 1 if both are."""
    cosines = []
    for a, b in zip(frames, right, strict=True):
        one, other = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        cosines.append(min(1.0, float(one @ other / norms)) if norms > 0 else float(np.array_equal(one, other)))
    return cosines
