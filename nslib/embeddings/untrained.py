"""A network that was never trained: the control of the paper's "Random Network" row.

The paper's control is TRILL's own network before training. Its code is not public, so the network
here is a MobileNet (Howard et al., arXiv:1704.04861) of half width on the same input: TRILL's
patches of 96 frames x 64 bands, every 0.17 s. What a probe reads out of it is due to the front end,
the architecture and the probe, and to no training.

Conventions
-----------
Weights are uniform in ``±sqrt(6 / fan-in)`` (He et al. 2015), drawn from the raw bits of PCG64, whose
stream NumPy promises to keep; its ready-made distributions may change. So the weights, and their
hash, are the same on every machine. Batch normalisation in a new network divides by 1 and adds 0;
it is left out. The input is centred and scaled by the constants of `CENTRE` and `SCALE`, about those
of speech, because a constant offset would swamp what differs between clips.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs
from nslib.embeddings.base import FloatArray
from nslib.embeddings.cards import Card
from nslib.errors import NslibError
from nslib.frontend import TRILL, log_mel, pad
from nslib.frontend import patches as cut_patches

SEED = 2002_12764
WIDTH = 0.5
CENTRE, SCALE = -4.0, 2.5

# channels at full width, and stride, of the depthwise-separable blocks
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5,
           (1024, 2), (1024, 1))
_STEM = 32

Layer = tuple[str, int, npt.NDArray[np.float32]]


def parts(card: Card) -> graphs.Patched:
    """Give the network behind its front end.

    Parameters
    ----------
    card : Card

    Returns
    -------
    Patched

    Raises
    ------
    NslibError
        If the weights drawn here are not those of the card.
    """
    if weights_hash() != card.revision:
        raise NslibError(f"{card.name}: this machine draws weights {weights_hash()}, not {card.revision}. "
                         "Please report it with your version of NumPy.")
    return graphs.Patched(_cut, _network, (TRILL.patch, TRILL.mels))


def layers() -> tuple[Layer, ...]:
    """Draw the network.

    Returns
    -------
    tuple of (kind, stride, weights)
        Kind ``"conv"`` or ``"depthwise"``; weights float32 [height, width, in, out].
    """
    bits = np.random.PCG64(SEED)
    channels = int(_STEM * WIDTH)
    out: list[Layer] = [("conv", 2, _draw(bits, (3, 3, 1, channels)))]
    for full, stride in _BLOCKS:
        wide = int(full * WIDTH)
        out.append(("depthwise", stride, _draw(bits, (3, 3, channels, 1))))
        out.append(("conv", 1, _draw(bits, (1, 1, channels, wide))))
        channels = wide
    return tuple(out)


def weights_hash() -> str:
    """Hash of all weights.

    Returns
    -------
    str
        16 hex digits.
    """
    digest = hashlib.sha256()
    for kind, stride, weights in layers():
        digest.update(f"{kind} {stride} {weights.shape}".encode())
        digest.update(weights.astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _draw(bits: np.random.PCG64, shape: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    # 53 bits of each word make a uniform number in [0, 1), exactly
    unit = (bits.random_raw(int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    # a depthwise filter sees one channel
    fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
    return ((2 * unit - 1) * np.sqrt(6 / fan_in)).astype(np.float32).reshape(shape)


def _cut(wave: FloatArray) -> npt.NDArray[Any]:
    return cut_patches(log_mel(pad(wave, TRILL), TRILL), TRILL)


def _network(spectrograms: Any) -> Any:
    import tensorflow as tf

    x = (spectrograms[..., None] - CENTRE) / SCALE
    for kind, stride, weights in layers():
        steps = [1, stride, stride, 1]
        convolve = tf.nn.conv2d if kind == "conv" else tf.nn.depthwise_conv2d
        x = tf.nn.relu6(convolve(x, tf.constant(weights), steps, "SAME"))
    return tf.reduce_mean(x, axis=(1, 2))
