"""Vectors from inside a published graph, for layers that a model computes but does not give out.

The paper compares inner layers of YAMNet and VGGish too. Their models on the hub return other layers only, but a
SavedModel is a graph with named operations. The model's function is frozen (calls inlined, weights made
constants) and cut at the operation with the layer's name.

Conventions
-----------
Names are those of the Model Garden's code: Keras calls the tenth layer of YAMNet ``layer10`` (the first,
plain convolution counts as the first) and its last activation ``layer10/pointwise_conv/relu``; TF-Slim
calls VGGish's first fully connected layer ``vggish/fc1/fc1_1``. Both are read after their ReLU, which is
part of the layer in both codes. That the published graphs carry these names was not verified, for lack
of the published weights: if exactly one operation does not match, the embedding is not available.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs
from nslib.embeddings.base import FloatArray
from nslib.embeddings.hub.adapters import Inside
from nslib.errors import Unavailable

TOLERANCE = 1e-4

Function = Callable[[FloatArray], npt.NDArray[Any]]


def function(module: Any, model: str, wanted: Inside) -> Function:
    """Cut a model's graph at an operation.

    Parameters
    ----------
    module : object
        From ``tensorflow_hub.load``; its call takes float32 [samples].
    model : str
        Its name.
    wanted : Inside

    Returns
    -------
    callable
        float32 [samples] to float32 [frames, values of a patch], flattened in the order of the tensor.

    Raises
    ------
    Unavailable
        If there is no such operation, or more than one, or its output is of another shape.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    concrete = module.__call__.get_concrete_function(tf.TensorSpec([None], tf.float32))
    graph = convert_variables_to_constants_v2(concrete)
    tensor = _tensor(graph.graph, model, wanted)
    _same(graph, concrete, model)
    cut = graphs.bound(graphs.runner(graph.prune(graph.inputs, tensor)))
    size = int(np.prod(wanted.shape))
    return lambda wave: cut(wave).reshape(-1, size)


def _tensor(graph: Any, model: str, wanted: Inside) -> Any:
    ends = re.compile(rf"(^|/){re.escape(wanted.op)}(_\d+)?$")
    found = [op.outputs[0] for op in graph.get_operations() if ends.search(op.name) and op.type in ("Relu", "Relu6")]
    if len(found) != 1:
        there = ", ".join(tensor.op.name for tensor in found) or "none"
        raise _absent(model, f"one operation that ends in {wanted.op} was looked for, and {there} found")
    shape = found[0].shape
    if not shape.is_compatible_with([None, *wanted.shape]):
        raise _absent(model, f"{wanted.op} gives {shape}, not [patches, {', '.join(map(str, wanted.shape))}]")
    return found[0]


def _same(graph: Any, concrete: Any, model: str) -> None:
    """Make sure that freezing changed nothing: both must give the same for noise."""
    import tensorflow as tf

    noise = tf.constant(np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32))
    for before, after in zip(tf.nest.flatten(concrete(noise)), tf.nest.flatten(graph(noise)), strict=True):
        apart = np.abs(np.asarray(before) - np.asarray(after)).max()
        if not apart <= TOLERANCE * np.abs(np.asarray(before)).max():
            raise _absent(model, f"the frozen graph differs from the model by {apart:.2g}")


def _absent(model: str, why: str) -> Unavailable:
    return Unavailable(f"the inner layer of {model}", f"in the graph that was found here, {why}",
                       "Use the published files, or the model's own outputs "
                       f"({'yamnet-top' if model == 'yamnet' else 'vggish-top'}).")
