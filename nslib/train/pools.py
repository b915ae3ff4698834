"""Pool the frames of a clip into one vector, over its valid frames only.

References: NetVLAD: Arandjelovic et al. (arXiv:1511.07247). AutoPool: McFee et al. (arXiv:1804.10070).

Conventions
-----------
Frames are ``[clips, frames, dim]``, and each clip's own come first; ``counts`` says how many there are. What lies
behind them changes nothing. The authors' heads average over padding too, and their AutoPool computes the
softmax without subtracting its maximum: large values overflow, and what overflows is added up instead of
averaged. Here the softmax is shifted, so that an exponent of any size is a weight.
"""

from __future__ import annotations

from typing import Any

import keras

from nslib.errors import UnknownName

POOLS = ("mean", "netvlad", "autopool")
_NOWHERE = -3.4e38  # the least float32: no score of a frame is below it


def named(name: str, clusters: int = 4, alpha: float = 0.0, seed: int = 0) -> Any:
    """Make a pool.

    Parameters
    ----------
    name : {"mean", "netvlad", "autopool"}
    clusters : int
        Of NetVLAD.
    alpha : float
        Where AutoPool starts: 0 is the mean, large is the maximum.
    seed : int
        Of NetVLAD's weights.

    Returns
    -------
    keras.layers.Layer
        Called with frames float32 [clips, frames, dim] and counts int [clips]; gives float32
        [clips, dim], of NetVLAD [clips, clusters * dim].

    Raises
    ------
    UnknownName
        For another name.
    """
    if name not in POOLS:
        raise UnknownName("pool", name, POOLS)
    if name == "mean":
        return Mean(name=name)
    return NetVLAD(clusters, seed, name=name) if name == "netvlad" else AutoPool(alpha, name=name)


def _valid(frames: Any, counts: Any) -> Any:
    """1 for a clip's own frames, else 0: float32 [clips, frames, 1]."""
    place = keras.ops.arange(keras.ops.shape(frames)[1])
    mine = place[None, :] < keras.ops.cast(counts, "int32")[:, None]
    return keras.ops.cast(mine, "float32")[..., None]


def _own(frames: Any, valid: Any) -> Any:
    # padding may hold anything, even what is not a number
    return keras.ops.where(valid > 0, frames, 0.0)


class Mean(keras.layers.Layer):
    """Average."""

    def call(self, frames: Any, counts: Any) -> Any:
        """Pool; see `named`."""
        valid = _valid(frames, counts)
        return keras.ops.sum(_own(frames, valid), 1) / keras.ops.maximum(keras.ops.sum(valid, 1), 1.0)


class AutoPool(keras.layers.Layer):
    """Average weighted by a softmax over time of ``alpha * frames``, with an alpha learnt for each dimension.

    Parameters
    ----------
    alpha : float
        At the start.
    """

    def __init__(self, alpha: float = 0.0, **facts: Any):
        super().__init__(**facts)
        self.start = alpha

    def build(self, frames_shape: Any, counts_shape: Any = None) -> None:
        """Make the weights."""
        self.alpha = self.add_weight(shape=(frames_shape[-1],), name="alpha",
                                     initializer=keras.initializers.Constant(self.start))

    def call(self, frames: Any, counts: Any) -> Any:
        """Pool; see `named`."""
        valid = _valid(frames, counts)
        own = _own(frames, valid)
        scores = keras.ops.where(valid > 0, self.alpha * own, _NOWHERE)
        return keras.ops.sum(keras.ops.softmax(scores, axis=1) * own, 1)


class NetVLAD(keras.layers.Layer):
    """Sum of what each frame differs by from centres to which it is softly assigned; see the reference.

    Parameters
    ----------
    clusters : int
    seed : int
    """

    def __init__(self, clusters: int = 4, seed: int = 0, **facts: Any):
        super().__init__(**facts)
        self.clusters, self.seed = clusters, seed

    def build(self, frames_shape: Any, counts_shape: Any = None) -> None:
        """Make the weights."""
        dim = frames_shape[-1]
        draw = keras.initializers.RandomNormal(stddev=dim ** -0.5, seed=self.seed)
        self.assign = keras.layers.Dense(self.clusters, kernel_initializer=draw, name="assign")
        self.assign.build(frames_shape)
        self.centres = self.add_weight(shape=(self.clusters, dim), name="centres",
                                       initializer=keras.initializers.RandomNormal(stddev=dim ** -0.5,
                                                                                   seed=self.seed + 1))

    def call(self, frames: Any, counts: Any) -> Any:
        """Pool; see `named`."""
        valid = _valid(frames, counts)
        own = _own(frames, valid)
        shares = keras.ops.softmax(self.assign(own), axis=-1) * valid
        summed = keras.ops.einsum("ctk,ctd->ckd", shares, own)
        centred = summed - keras.ops.sum(shares, 1)[..., None] * self.centres
        rows = keras.ops.normalize(centred, axis=-1)
        return keras.ops.normalize(keras.ops.reshape(rows, (-1, self.clusters * frames.shape[-1])), axis=-1)
