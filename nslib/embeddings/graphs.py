"""TensorFlow graphs with their weights inside, for inference.

A frozen graph is one to two times as fast as a function with variables, and gives the same bits for
a patch whatever the size of its batch (measured; the tests hold it to 1e-5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.patches import Network

# TensorFlow greets with a page of notes about the machine; errors are raised anyway
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Weights = dict[str, npt.NDArray[np.float32]]


def frozen(function: Callable[[Any], Any], shape: Sequence[int]) -> Network:
    """Turn a function of TensorFlow operations into one of arrays.

    Parameters
    ----------
    function : callable
        float32 tensor [patches, *shape] to tensor [patches, dim].
    shape : sequence of int
        Of one patch.

    Returns
    -------
    callable
        float32 array [patches, *shape] to array [patches, dim].
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec([None, *shape], tf.float32)]
    traced = tf.function(function, input_signature=signature).get_concrete_function()
    graph = convert_variables_to_constants_v2(traced)

    def run(patches: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = graph(tf.constant(patches, tf.float32))
        return np.asarray(found[0] if isinstance(found, (list, tuple)) else found)

    return run
