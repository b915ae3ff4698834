"""Read a sequential Keras network from its HDF5 file, without Keras and without running anything in it.

A Keras file can hold Python code (``Lambda`` layers) and name any class. This reader takes the
arrays with h5py and understands eight kinds of layer, each a line or two of TensorFlow; any other
kind is refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs
from nslib.embeddings.patches import Network
from nslib.errors import Unavailable

_REMEDY = "Delete the package from the cache and run again."

Arrays = dict[str, npt.NDArray[Any]]


class Layer(NamedTuple):
    """One layer of a network.

    Attributes
    ----------
    kind : str
        Keras class name.
    options : dict
        Keras configuration.
    weights : dict of str to array
        kernel, bias, gamma, beta, moving_mean, moving_variance; those that the layer has.
    """

    kind: str
    options: dict[str, Any]
    weights: Arrays


def read(data: bytes) -> list[Layer]:
    """Read a sequential Keras model from HDF5.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    list of Layer

    Raises
    ------
    Unavailable
        If it is not such a file, or has a layer that is not understood.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            config = json.loads(file.attrs["model_config"])["config"]
            described = config["layers"] if isinstance(config, dict) else config
            layers = [_layer(d, file["model_weights"]) for d in described if d["class_name"] != "InputLayer"]
    except (OSError, KeyError, ValueError) as error:
        why = f"it is not a sequential Keras model in HDF5 ({error})"
        raise Unavailable("the file of weights", why, _REMEDY) from error
    strange = {layer.kind for layer in layers} - set(_OPERATIONS)
    if strange or not layers or layers[0].kind != "Reshape":
        why = f"it has layers that are not understood: {sorted(strange) or 'no Reshape first'}"
        raise Unavailable("the file of weights", why, _REMEDY)
    return layers


def network(layers: list[Layer], shape: Sequence[int]) -> Network:
    """Build a network.

    Parameters
    ----------
    layers : list of Layer
        All of a file's layers give class probabilities; a part gives what comes out there.
    shape : sequence of int
        Of one input.

    Returns
    -------
    callable
        float32 [inputs, *shape] to [inputs, dim].
    """
    return graphs.frozen(operations(layers), shape)


def operations(layers: list[Layer]) -> Callable[[Any], Any]:
    """Give a network as a function of TensorFlow operations.

    Parameters
    ----------
    layers : list of Layer
        See `network`.

    Returns
    -------
    callable
        float32 tensor [inputs, ...] to tensor [inputs, dim].
    """
    folded = fold(layers)
    return lambda x: _run(folded, x)


def fold(layers: list[Layer]) -> list[Layer]:
    """Put batch normalisation into the kernel and bias of the linear layer before it.

    Parameters
    ----------
    layers : list of Layer

    Returns
    -------
    list of Layer
        Gives the same up to rounding, with less to compute.
    """
    out: list[Layer] = []
    for layer in layers:
        before = out[-1] if out else layer
        linear = "kernel" in before.weights and before.options["activation"] == "linear"
        if layer.kind == "BatchNormalization" and linear:
            scale, shift = _normalisation(layer)
            kernel, bias = before.weights["kernel"], before.weights["bias"]
            out[-1] = before._replace(weights={"kernel": kernel * scale, "bias": bias * scale + shift})
        else:
            out.append(layer)
    return out


def _layer(described: dict[str, Any], stored: Any) -> Layer:
    options, found = described["config"], {}

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "shape"):
            found[name.rsplit("/", 1)[-1].removesuffix(":0")] = np.asarray(item, np.float32)

    if options["name"] in stored:
        stored[options["name"]].visititems(visit)
    return Layer(described["class_name"], options, found)


def _run(layers: list[Layer], x: Any) -> Any:
    for layer in layers:
        x = _OPERATIONS[layer.kind](x, layer.options, layer.weights)
    return x


def _activate(x: Any, name: str) -> Any:
    import tensorflow as tf

    return {"linear": lambda v: v, "relu": tf.nn.relu, "softmax": tf.nn.softmax}[name](x)


def _conv(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    import tensorflow as tf

    y = tf.nn.conv2d(x, w["kernel"], options["strides"], options["padding"].upper())
    return _activate(tf.nn.bias_add(y, w["bias"]), options["activation"])


def _pool(x: Any, options: dict[str, Any], _: Arrays) -> Any:
    import tensorflow as tf

    return tf.nn.max_pool2d(x, options["pool_size"], options["strides"], options["padding"].upper())


def _normalisation(layer: Layer) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    w = layer.weights
    scale = w["gamma"] / np.sqrt(w["moving_variance"] + np.float32(layer.options["epsilon"]))
    return scale, w["beta"] - w["moving_mean"] * scale


def _normalise(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    scale, shift = _normalisation(Layer("BatchNormalization", options, w))
    return x * scale + shift


def _reshape(x: Any, options: dict[str, Any], _: Arrays) -> Any:
    import tensorflow as tf

    return tf.reshape(x, [-1, *options["target_shape"]])


def _flatten(x: Any, *_: Any) -> Any:
    import tensorflow as tf

    return tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])


def _dense(x: Any, options: dict[str, Any], w: Arrays) -> Any:
    return _activate(x @ w["kernel"] + w["bias"], options["activation"])


_OPERATIONS: dict[str, Any] = {
    "Reshape": _reshape,
    "Conv2D": _conv,
    "BatchNormalization": _normalise,
    "Activation": lambda x, options, _: _activate(x, options["activation"]),
    "MaxPooling2D": _pool,
    "Dropout": lambda x, *_: x,
    "Flatten": _flatten,
    "Dense": _dense,
}
