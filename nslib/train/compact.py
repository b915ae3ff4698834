"""A network on log-mel patches as a LiteRT (TensorFlow Lite) file: how small, how fast, and how true it stays.

Forms
-----
=============  ==================================================================================
``float32``    the weights as they are
``dynamic``    weights in 8 bits; activations are brought to 8 bits as they come, by the range they have then
``int8``       weights and activations in 8 bits, by the ranges that `patches` had when it was converted;
               input and output stay float32, so that it is called like the others
=============  ==================================================================================

Conventions
-----------
All are post-training. A file takes one patch at a time, as a device would; batch normalisation is folded
into the convolutions. Latency is the median over calls with one patch, on one thread, of the
interpreter and its default kernels; times of a busy machine are longer, so `machine` and times go together.
"""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.frontend import TRILL
from nslib.train.networks import TOP_NAME

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("float32", "dynamic", "int8")
COLUMNS = ("form", "bytes", "latency_ms", "cosine", "worst_cosine", "relative_error", "machine")
CALLS, WARM_UP = 50, 5

Patches = npt.NDArray[Any]
Network = Callable[[Patches], Patches]


def convert(model: Any, form: str = "float32", patches: Patches | None = None, *,
            shape: Sequence[int] = (TRILL.patch, TRILL.mels)) -> bytes:
    """Convert a network.

    Parameters
    ----------
    model : keras.Model
        float32 [patches, 96, 64] to a tensor or to a dict with ``embedding``.
    form : {"float32", "dynamic", "int8"}
    patches : float32 [patches, 96, 64], optional
        Log-mel of real audio; "int8" needs them, some hundred are enough.
    shape : sequence of int
        Of a patch, if the network takes others.

    Returns
    -------
    bytes
        Content of a ``.tflite`` file: float32 [1, *shape] to float32 [1, dim].

    Raises
    ------
    UnknownName
        For another form.
    BadParameter
        For "int8" without patches.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if form not in FORMS:
        raise UnknownName("form of a LiteRT file", form, FORMS)
    examples = _examples(patches) if form == "int8" else None
    function = tf.function(lambda patch: _output(model(patch, training=False)),
                           input_signature=[tf.TensorSpec([1, *shape], tf.float32, "log_mel")])
    # frozen by us: ranges cannot be found in a graph that still reads variables
    graph = convert_variables_to_constants_v2(function.get_concrete_function())
    with _quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")  # they are float on purpose
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "int8":
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def _output(found: Any) -> Any:
    return found[TOP_NAME] if isinstance(found, dict) else found


def _examples(patches: Patches | None) -> Callable[[], Any]:
    if patches is None or len(patches) == 0:
        raise BadParameter("int8 is set by the ranges of real patches; give patches=, some hundred of them.")
    return lambda: ([patch[None].astype(np.float32)] for patch in patches)


@contextmanager
def _quiet() -> Iterator[None]:
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


def runner(content: bytes, threads: int = 1) -> Network:
    """Open a converted network.

    Parameters
    ----------
    content : bytes
        As of `convert`.
    threads : int

    Returns
    -------
    callable
        float32 [patches, *shape] to float32 [patches, dim]; patch by patch.

    Raises
    ------
    Unavailable
        If LiteRT is not installed.
    BadParameter
        If it is no such file.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable("ai_edge_litert", str(error), "Run make setup.") from error
    try:
        with _quiet():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BadParameter(f"this is no LiteRT file: {error}") from error
    taken, given = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def one(patch: Patches) -> Patches:
        interpreter.set_tensor(taken, patch[None].astype(np.float32))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(given)[0])

    return lambda patches: np.stack([one(patch) for patch in patches])


def latency(network: Network, calls: int = CALLS) -> float:
    """Measure how long one patch takes.

    Parameters
    ----------
    network : callable
        float32 [patches, 96, 64] to [patches, dim].
    calls : int
        How many are measured, after `WARM_UP` more.

    Returns
    -------
    float
        Milliseconds, the median.
    """
    if calls < 1:
        raise BadParameter(f"calls must be at least 1; got {calls}.")
    patch = np.random.default_rng(0).normal(-4, 2.5, (1, TRILL.patch, TRILL.mels)).astype(np.float32)
    took = []
    for _ in range(WARM_UP + calls):
        began = time.perf_counter()
        network(patch)
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took[WARM_UP:]))


def sizes(model: Any, patches: Patches) -> dict[str, int]:
    """Convert a network to every form.

    Parameters
    ----------
    model : keras.Model
    patches : float32 [patches, 96, 64]
        See `convert`.

    Returns
    -------
    dict of str to int
        Bytes of each of `FORMS`.
    """
    return {form: len(convert(model, form, patches)) for form in FORMS}


def compare(model: Any, patches: Patches, *, forms: Sequence[str] = FORMS, calls: int = CALLS) -> pd.DataFrame:
    """Compare the forms of a network with the network itself.

    Parameters
    ----------
    model : keras.Model
        See `convert`.
    patches : float32 [patches, 96, 64]
        The first half sets the ranges of "int8", the second half is what all are compared on.
    forms : sequence of str
    calls : int
        See `latency`.

    Returns
    -------
    DataFrame
        A row for TensorFlow, on as many threads as it takes, and one a form: form, bytes (NaN for TensorFlow),
        latency_ms, cosine and worst_cosine (median and least, of its vectors and those of TensorFlow),
        relative_error (norm of the difference over norm, all patches together), machine.

    Raises
    ------
    BadParameter
        If there are fewer than two patches.
    """
    import pandas as pd

    if len(patches) < 2:
        raise BadParameter(f"give at least two patches, to set ranges by and to compare on; got {len(patches)}.")
    known, fresh = np.array_split(patches.astype(np.float32), 2)
    whole = graphs.frozen(lambda patch: _output(model(patch, training=False)), (TRILL.patch, TRILL.mels))
    right = whole(fresh)
    rows: list[dict[str, Any]] = [{"form": "tensorflow", "latency_ms": latency(whole, calls), **_error(right, right)}]
    for form in forms:
        content = convert(model, form, known)
        call = runner(content)
        rows.append({"form": form, "bytes": len(content), "latency_ms": latency(call, calls),
                     **_error(call(fresh), right)})
    return pd.DataFrame([{**row, "machine": machine()} for row in rows], columns=list(COLUMNS))


def _error(found: Patches, right: Patches) -> dict[str, float]:
    found, right = found.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(right, axis=1)
    cosines = np.divide((found * right).sum(1), norms, out=np.zeros(len(norms)), where=norms > 0)
    wrong = np.linalg.norm(found - right) / max(np.linalg.norm(right), np.finfo(float).tiny)
    return {"cosine": float(np.median(cosines)), "worst_cosine": float(cosines.min()), "relative_error": float(wrong)}


def machine() -> str:
    """Name the processor that times are of.

    Returns
    -------
    str
        As the system calls it, with the number of CPUs that this process may use.
    """
    from nslib.embeddings import threads

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((row.split(":", 1)[1].strip() for row in file if row.startswith("model name")), name)
    except OSError:
        pass  # not Linux: the platform's own name is what there is
    return f"{name}, {threads.count()} CPUs"
