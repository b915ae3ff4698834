"""What a network costs: parameters and multiply-adds, counted from its layers.

Conventions
-----------
A multiply-add is one product that is added up in a convolution or dense layer, for one patch.
Normalisation, activations, pooling and additions are not counted, as is usual; normalisation can be
folded into the convolution before it. Parameters are all weights, those of normalisation included.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from nslib.errors import BadParameter


@dataclass(frozen=True)
class Cost:
    """Size of a network.

    Attributes
    ----------
    name : str
    parameters, trainable : int
    multiply_adds : int
        For one patch.
    outputs : dict of str to int
        Dimensions of each tap.
    """

    name: str
    parameters: int
    trainable: int
    multiply_adds: int
    outputs: dict[str, int]

    def __str__(self) -> str:
        taps = ", ".join(f"{name} {dim:,}-d" for name, dim in self.outputs.items())
        return (f"{self.name}: {self.parameters / 1e6:.2f} M parameters, "
                f"{self.multiply_adds / 1e6:.1f} M multiply-adds a patch; {taps}")


def cost(model: Any) -> Cost:
    """Count a network.

    Parameters
    ----------
    model : keras.Model
        Of fixed input size.

    Returns
    -------
    Cost

    Raises
    ------
    BadParameter
        If it has weights in a kind of layer whose multiply-adds are not known here.
    """
    outputs = model.output if isinstance(model.output, dict) else {"output": model.output}
    every, trainable = (sum(prod(w.shape) for w in some) for some in (model.weights, model.trainable_weights))
    return Cost(model.name, every, trainable, sum(_multiply_adds(layer) for layer in _layers(model)),
                {name: prod(tensor.shape[1:]) for name, tensor in outputs.items()})


def _layers(model: Any) -> list[Any]:
    found: list[Any] = []
    for layer in model.layers:
        found += _layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def _multiply_adds(layer: Any) -> int:
    kind = type(layer).__name__
    if kind in ("Conv2D", "Conv1D", "DepthwiseConv2D", "Dense"):  # every weight is used once at every place
        return int(prod(layer.output.shape[1:-1]) * prod(layer.kernel.shape))
    if layer.weights and kind not in ("BatchNormalization", "LayerNormalization", "Normalization"):
        raise BadParameter(f"the multiply-adds of a layer {kind} ({layer.name}) are not known; add it to "
                           "nslib.train.costs.")
    return 0
