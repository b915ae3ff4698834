"""The network of TRILL, as far as it is known, and a small one of the same shape.

References: Shor et al. 2020 (arXiv:2002.12764): "a variant of ResNet-50" on log-mel patches of 96
frames x 64 bands with a 512-d embedding; the published model's node names and sizes; He et al.
(arXiv:1512.03385) for ResNet-50.

What is known and what we chose
-------------------------------
- known: the input; the 512-d L2-normalised top; ``layer19``, a convolution's output before
  normalisation and activation, flattened to 12,288 = 6 x 4 x 512; 98.1 MB, about 24.5 M parameters.
- believed: ``layer19`` is the first convolution of 512 channels. At 6 x 4 (1/16 of the input) that is the
  1 x 1 convolution that opens the fourth stage, if the stage halves the resolution in its 3 x 3
  convolution. keras.applications has ResNet-50 too, but halves it elsewhere, so that the same node
  would be 3 x 2; that is why the network is built here.
- chosen: the input is centred and scaled by the constants of speech; average pooling, then one dense
  layer for the top; batch normalisation after every convolution.

`MINI` is the same network narrower and shallower, for processors without a GPU.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nslib.errors import BadParameter, UnknownName
from nslib.frontend import TRILL

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CENTRE, SCALE = -4.0, 2.5
TOP = 512
TOP_NAME, TAP_NAME = "embedding", "layer19"
_BASE = (64, 128, 256, 512)
_EXPANSION = 4


@dataclass(frozen=True)
class Shape:
    """Size of a network of this family.

    Attributes
    ----------
    width : float
        Channels relative to ResNet-50.
    blocks : (int, int, int, int)
        Residual blocks of the four stages.
    stem : int
        Side of the first convolution's kernel.
    pooled : bool
        Whether the first convolution halves the resolution and pooling halves it again; else the
        convolution quarters it by itself, which is a third cheaper on a processor.
    """

    width: float
    blocks: tuple[int, int, int, int]
    stem: int = 7
    pooled: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width <= 4 or len(self.blocks) != 4 or min(self.blocks) < 1 or self.stem < 1:
            raise BadParameter(f"width must be above 0 and at most 4, each of four stages needs a block; got {self}.")

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels inside the blocks of each stage, multiples of 8."""
        return tuple(max(8, 8 * round(self.width * base / 8)) for base in _BASE)


RESNET50 = Shape(1.0, (3, 4, 6, 3))
MINI = Shape(0.25, (1, 2, 2, 1), stem=8, pooled=False)
SHAPES = {"resnet50-trill": RESNET50, "trill-mini": MINI}


def resnet50_trill(seed: int = 0) -> Any:
    """Build the network of TRILL, untrained.

    Parameters
    ----------
    seed : int
        Of the weights.

    Returns
    -------
    keras.Model
        As `build`; ``layer19`` has 12,288 dimensions.
    """
    return build(RESNET50, seed, "resnet50-trill")


def trill_mini(seed: int = 0) -> Any:
    """Build the small network of the same shape, untrained.

    Parameters
    ----------
    seed : int
        Of the weights.

    Returns
    -------
    keras.Model
        As `build`; ``layer19`` has 6 x 4 x 128 = 3,072 dimensions.
    """
    return build(MINI, seed, "trill-mini")


def named(name: str, seed: int = 0) -> Any:
    """Build a network by its name.

    Parameters
    ----------
    name : str
        A key of `SHAPES`.
    seed : int

    Returns
    -------
    keras.Model

    Raises
    ------
    UnknownName
        For another name.
    """
    if name not in SHAPES:
        raise UnknownName("network", name, SHAPES)
    return build(SHAPES[name], seed, name)


def build(shape: Shape, seed: int = 0, name: str = "trill") -> Any:
    """Build a network of the family.

    Parameters
    ----------
    shape : Shape
    seed : int
        Of the weights: every layer draws from its own stream, so that the same seed gives the same network.
    name : str

    Returns
    -------
    keras.Model
        float32 [patches, 96, 64] log-mel to a dict of float32: ``embedding`` [patches, 512], rows of
        length one, and ``layer19`` [patches, 24 * channels of the last stage].
    """
    import keras

    layers, draw = keras.layers, _initialisers(seed)
    given = keras.Input((TRILL.patch, TRILL.mels), dtype="float32", name="log_mel")
    x = layers.Reshape((TRILL.patch, TRILL.mels, 1))(given)
    x = layers.Rescaling(1 / SCALE, -CENTRE / SCALE, dtype="float32", name="standardise")(x)
    x = layers.Conv2D(shape.channels[0], shape.stem, 2 if shape.pooled else 4, "same", use_bias=False,
                      kernel_initializer=next(draw), name="stem")(x)
    x = layers.ReLU()(_normal(x, "stem"))
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x) if shape.pooled else x
    tap = None
    for stage, (channels, count) in enumerate(zip(shape.channels, shape.blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage and not block else 1
            x, opening = _bottleneck(x, channels, stride, f"stage{stage + 1}_block{block + 1}", draw)
            tap = opening if stage == 3 and not block else tap
    return keras.Model(given, {TOP_NAME: _top(x, next(draw)), TAP_NAME: _flat(tap)}, name=name)


def _initialisers(seed: int) -> Any:
    import keras

    number = 0
    while True:
        yield keras.initializers.HeNormal(seed=seed * 1000 + number)
        number += 1


def _normal(x: Any, name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)


def _convolved(x: Any, channels: int, side: int, stride: int, name: str, draw: Any) -> tuple[Any, Any]:
    """Convolution with its batch normalisation; the former is returned too."""
    import keras

    # the published node is a BiasAdd, so convolutions have a bias although normalisation makes it idle
    before = keras.layers.Conv2D(channels, side, stride, "same", kernel_initializer=next(draw), name=name)(x)
    return before, _normal(before, name)


def _bottleneck(x: Any, channels: int, stride: int, name: str, draw: Any) -> tuple[Any, Any]:
    import keras

    wide, relu = channels * _EXPANSION, keras.layers.ReLU
    opening, y = _convolved(x, channels, 1, 1, f"{name}_open", draw)
    y = relu()(y)
    y = relu()(_convolved(y, channels, 3, stride, f"{name}_middle", draw)[1])
    y = _convolved(y, wide, 1, 1, f"{name}_close", draw)[1]
    if stride > 1 or x.shape[-1] != wide:
        x = _convolved(x, wide, 1, stride, f"{name}_shortcut", draw)[1]
    return relu()(keras.layers.Add()([x, y])), opening


def _top(x: Any, initialiser: Any) -> Any:
    import keras

    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    dense = keras.layers.Dense(TOP, kernel_initializer=initialiser, dtype="float32", name="top")(pooled)
    return keras.layers.UnitNormalization(axis=-1, dtype="float32", name=TOP_NAME)(dense)


def _flat(tap: Any) -> Any:
    import keras

    return keras.layers.Flatten(dtype="float32", name=TAP_NAME)(tap)
