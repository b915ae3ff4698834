"""A network on patches as a LiteRT (TensorFlow Lite) file.

=============  ==========================================================================================
``float32``    the weights as they are
``dynamic``    weights in 8 bits; activations are brought to 8 bits as they come, by the range they have then
``int8``       weights and activations in 8 bits, by the ranges that real patches had when it was converted;
               input and output stay float32, so that it is called like the others
=============  ==========================================================================================

All are post-training. A file takes one patch at a time, as a device would; batch normalisation is folded into the
convolutions.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.networks import EMBEDDING_TAP
from nslib.embeddings.runtime import freeze_graph
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.frontend import TRILL

__all__ = ["FORMS", "convert_network", "open_network", "take_embedding"]

FORMS = ("float32", "dynamic", "int8")

Patches = npt.NDArray[Any]


def convert_network(model: Any, form: str = "float32", patches: Patches | None = None, *,
                    shape: Sequence[int] = (TRILL.patch, TRILL.mels)) -> bytes:
    """Convert a network.

    Parameters
    ----------
    model : keras.Model
        float32 [patches, *shape] to a tensor or to a dict with ``embedding``.
    form : {"float32", "dynamic", "int8"}
    patches : float32 [patches, *shape], optional
        Log-mel of real audio; "int8" needs them, some hundred are enough.
    shape : sequence of int
        Of a patch.

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


def open_network(content: bytes, threads: int = 1) -> Callable[[Patches], Patches]:
    """Open a converted network.

    Parameters
    ----------
    content : bytes
        As of `convert_network`.

    Returns
    -------
    callable
        float32 [patches, *shape] to float32 [patches, dim]; patch by patch, from one thread at a time.

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
        with _quiet_output():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BadParameter(f"this is no LiteRT file: {error}") from error
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(patch: Patches) -> Patches:
        interpreter.set_tensor(given, patch[None].astype(np.float32))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(made)[0])

    return lambda patches: np.stack([run(patch) for patch in patches])
