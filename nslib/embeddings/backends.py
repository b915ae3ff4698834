"""Other ways to compute a network on patches: LiteRT (TensorFlow Lite) files, and what each way costs and saves.

``float32`` has the weights as they are; ``dynamic`` has them in 8 bits, and brings activations to 8 bits as they come;
``int8`` has both in 8 bits, by the ranges that real patches had when it was converted (what lies outside is cut off),
with float32 input and output. All are post-training. A file takes one patch at a time, as a device would, so a patch
has the same bits in whatever company it comes.

In the comparison all backends are given the same `CLIPS` and some sounds of `nslib.embeddings.checker`, silence and
noise at full scale among them; the voices are not those that set the ranges. Recordings can be stranger: where a
network in 8 bits matters, compare it on clips of your own too. Errors are of frames, cosines of means over frames.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.embeddings.base import Embedding, FloatArray
from nslib.embeddings.checker import make_extreme_sounds
from nslib.embeddings.networks import EMBEDDING_TAP
from nslib.embeddings.runtime import Network, PatchNetwork, count_threads, freeze_graph, share_workers
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.frontend import TRILL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMS", "convert_network", "format_backends", "open_network", "take_embedding"]

FORMS = ("float32", "dynamic", "int8")
BACKEND_FORMS = {"litert": "float32", "litert-dynamic": "dynamic", "litert-int8": "int8"}

CALIBRATION = 32
CLIPS, FIRST_SEED = 16, 1_000
COLUMNS = ("backend", "available", "time_ratio", "ms_per_patch", "largest_error", "cosine", "least_cosine", "note")

Patches = npt.NDArray[Any]


# ---- LiteRT files ------------------------------------------------------------------------------------

def convert_network(model: Any, form: str = "float32", patches: Patches | None = None, *,
                    shape: Sequence[int] = (TRILL.patch, TRILL.mels)) -> bytes:
    """Convert a network of patches of a shape to the content of a ``.tflite`` file of one patch, [1, dim] float32.

    Parameters
    ----------
    model : keras.Model
        float32 [patches, *shape] to a tensor or to a dict with ``embedding``.
    patches : float32 [patches, *shape], optional
        Log-mel of real audio; "int8" needs them, some hundred are enough.

    Raises
    ------
    UnknownName, BadParameter
        For another form; for "int8" without patches.
    """
    import tensorflow as tf

    if form not in FORMS:
        raise UnknownName("form of a LiteRT file", form, FORMS)
    known = np.empty((0, *shape)) if patches is None else patches
    if form == "int8" and not len(known):
        raise BadParameter("int8 is set by the ranges of real patches; give patches=, some hundred of them.")
    # frozen before: ranges cannot be found in a graph that still reads variables
    graph = freeze_graph(lambda log_mel: take_embedding(model(log_mel, training=False)), [1, *shape])
    with _quiet_output(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")  # they are float on purpose
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "int8":
            converter.representative_dataset = lambda: ([patch[None].astype(np.float32)] for patch in known)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def take_embedding(outputs: Any) -> Any:
    """Return the embedding of a network's outputs, a dict or the one tensor."""
    return outputs[EMBEDDING_TAP] if isinstance(outputs, dict) else outputs


@contextmanager
def _quiet_output() -> Iterator[None]:
    """Keep what converter and interpreter print from the user: some of it goes past Python's streams."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    before = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def open_interpreter(content: bytes, threads: int, what: str) -> Any:
    """Open a file's content as an ``Interpreter`` of LiteRT; raises Unavailable, or BadParameter that begins `what`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable("ai_edge_litert", str(error), "Run make setup.") from error
    try:
        with _quiet_output():
            return Interpreter(model_content=content, num_threads=threads)
    except (ValueError, RuntimeError) as error:
        raise BadParameter(f"{what}: {error}") from error


def open_network(content: bytes) -> Callable[[Patches], Patches]:
    """Open what `convert_network` gave: float32 [patches, *shape] to float32 [patches, dim], a call at a time.

    Raises
    ------
    Unavailable, BadParameter
        If LiteRT is not installed; if it is no such file.
    """
    interpreter = open_interpreter(content, 1, "this is no LiteRT file")
    with _quiet_output():
        interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(patch: Patches) -> Patches:
        interpreter.set_tensor(given, patch[None].astype(np.float32))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(made)[0])

    return lambda patches: np.stack([run(patch) for patch in patches])


# ---- LiteRT as a backend -----------------------------------------------------------------------------

def open_litert(network: PatchNetwork, backend: str, key: str) -> Network:
    """Convert a network for a backend, or take it from the cache by a key, and open it for several threads."""
    stem, folder, content = _hash(key.encode()), config.cache_dir("litert"), b""
    for path in folder.glob(f"{stem}-*.tflite"):
        content = path.read_bytes()
        if path.stem != f"{stem}-{_hash(content)}":  # damaged
            path.unlink(missing_ok=True)
            content = b""
    if not content:
        content = _convert_patched(network, BACKEND_FORMS[backend])
        config.write_file(folder / f"{stem}-{_hash(content)}.tflite", content)
    # an interpreter's own threads, which wait spinning, would take the processors from the front end
    interpreters = [open_network(content) for _ in range(count_threads())]
    run = share_workers(interpreters)

    def call(patches: Patches) -> Patches:
        parts = np.array_split(patches, min(len(interpreters), len(patches)))
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(run, parts)))

    return call


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


# ---- comparison --------------------------------------------------------------------------------------

def measure_backends(loaded: Mapping[str, Embedding], notes: Mapping[str, str], rounds: int) -> pd.DataFrame:
    """Measure the backends that have `notes`, the first of which is right; those not `loaded` are not available."""
    import pandas as pd

    first = next(iter(notes))
    waves = np.stack(make_extreme_sounds(CLIPS, FIRST_SEED))
    lengths = np.full(len(waves), waves.shape[1], np.int64)
    frames = {name: [row[:count] for row, count in zip(*one.embed(waves, lengths), strict=True)]
              for name, one in loaded.items()}
    seconds = {name: np.zeros(rounds) for name in loaded}
    # in turns, and ratios are taken within a round, so that a busy machine hits all alike
    for turn in range(rounds):
        for name, one in loaded.items():
            began = time.perf_counter()
            one.embed(waves, lengths)
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
