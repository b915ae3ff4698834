"""TensorFlow graphs with their weights inside, for inference.

A frozen graph is one to two times as fast as a function with variables. It gives a patch the same bits in any
company, but not in calls of any size: see `nslib.embeddings.patches`.

Conventions
-----------
A device is named as TensorFlow does, without the slash: ``"CPU:0"``, ``"GPU:1"``. Where none is asked for, TensorFlow
chooses: the first GPU if there is one, and else the processor.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.embeddings import patches
from nslib.embeddings.base import EmbedFunction, FloatArray
from nslib.embeddings.patches import Network

# TensorFlow greets with a page of notes about the machine; errors are raised anyway
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Weights = dict[str, npt.NDArray[np.float32]]

_device: ContextVar[str] = ContextVar("device", default="")


@contextlib.contextmanager
def on(device: str) -> Iterator[None]:
    """Put the graphs that are made inside on a device, wherever they are called later.

    Parameters
    ----------
    device : str
        See the module's conventions.
    """
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def device() -> str:
    """Name the device that graphs are now put on.

    Returns
    -------
    str
        Empty where TensorFlow chooses.
    """
    return _device.get()


def bound(call: Callable[[Any], Any], name: str | None = None) -> Callable[[Any], Any]:
    """Tie a function to a device.

    Parameters
    ----------
    call : callable
        Of an array, by TensorFlow; operations in it that name no device go where it is tied to.
    name : str, optional
        Default: the device that graphs are now put on.

    Returns
    -------
    callable
        The same function where no device was asked for.
    """
    where = device() if name is None else name
    if not where:
        return call

    def there(given: Any) -> Any:
        import tensorflow as tf

        with tf.device(where):
            return call(given)

    return there


class Patched(NamedTuple):
    """A network on patches, and how clips become patches: what every way to compute it is made of.

    Attributes
    ----------
    cut : callable
        One clip, float32 [samples], to its patches, float32 [patches, *shape].
    function : callable
        Of TensorFlow operations, float32 tensor [patches, *shape] to tensor [patches, dim].
    shape : sequence of int
        Of one patch.
    """

    cut: Callable[[FloatArray], npt.NDArray[Any]]
    function: Callable[[Any], Any]
    shape: Sequence[int]


def embedder(parts: Patched) -> EmbedFunction:
    """Make the embed function of a network on patches.

    Parameters
    ----------
    parts : Patched

    Returns
    -------
    callable
    """
    return patches.embedder(parts.cut, frozen(parts.function, parts.shape), steady=True)


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
        float32 array [patches, *shape] to array [patches, dim], on the device that graphs are now put on.
    """
    return bound(runner(freeze(function, [None, *shape])))


def freeze(function: Callable[[Any], Any], shape: Sequence[int | None]) -> Any:
    """Trace a function of TensorFlow operations once, and make its weights constants.

    Parameters
    ----------
    function : callable
        Of one float32 tensor.
    shape : sequence of int or None
        Of that tensor; None where it may be of any size.

    Returns
    -------
    ConcreteFunction
        It holds none of the variables.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(shape, tf.float32)]
    return convert_variables_to_constants_v2(tf.function(function, input_signature=signature).get_concrete_function())


def runner(graph: Any) -> Network:
    """Make a function of arrays of a traced graph with one output.

    Parameters
    ----------
    graph : ConcreteFunction

    Returns
    -------
    callable
    """
    import tensorflow as tf

    def run(given: npt.NDArray[Any]) -> npt.NDArray[Any]:
        found = graph(tf.constant(given, tf.float32))
        return np.asarray(found[0] if isinstance(found, (list, tuple)) else found)

    return run
