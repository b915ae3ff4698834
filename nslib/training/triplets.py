"""Triplet loss with mining inside the batch, and what tells that a batch can teach nothing.

Reference: Shor et al. 2020, section 3.1: sum of ``[|g(a) - g(p)|² - |g(a) - g(n)|² + margin]+`` over triplets whose
anchor and positive are near in time and whose negative is not. Semi-hard mining: Schroff et al. (arXiv:1503.03832);
batch-hard and all that pay: Hermans et al. (arXiv:1703.07737).

A batch is ``[pairs, 2, dim]``: row ``i`` holds anchor and positive of clip ``i``. A window of another clip is a
negative, whether it is an anchor or a positive there. Distances are squared. The loss is the mean over the anchors that
have a negative at all; with all negatives, over the triplets that have one. Soft is ``T log(1 + sum exp(h / T))`` of an
anchor's ``h``, what stands in the brackets for each of its negatives: a smooth maximum, batch-hard for a temperature
``T`` near 0, and the tuplet loss of K. Sohn (NIPS 2016) with distances in the place of products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from nslib.training.settings import TripletSettings

__all__ = ["COLLAPSED", "compute_loss", "describe_problems"]

COLLAPSED = 1e-3
"""Mean squared distance of different clips below which vectors count as one point (at most 4)."""

_MANY_SILENT = 0.2
_FAR = 1e9


def compute_loss(vectors: tf.Tensor, clips: tf.Tensor,
                 settings: TripletSettings) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Compute the triplet loss of a batch [pairs, 2, dim], and figures; windows of the same clip are no negatives.

    ``positive, negative`` (mean distance to the positive and to the mined negatives), ``active`` (share of those that
    have a loss), ``spread`` (mean distance of windows of different clips), ``accuracy`` (share of all possible triplets
    of the batch whose negative is farther than the positive), ``nearest`` (share of anchors whose positive is nearer
    than any negative), ``without_negative`` (share of anchors).
    """
    pairs = tf.shape(vectors)[0]
    rows = tf.cast(tf.concat([vectors[:, 0], vectors[:, 1]], axis=0), tf.float32)
    names = tf.concat([clips, clips], axis=0)
    squares, products = tf.reduce_sum(tf.square(rows), axis=1), tf.matmul(rows, rows, transpose_b=True)
    distances = tf.maximum(squares[:, None] + squares[None, :] - 2 * products, 0)
    other = names[:, None] != names[None, :]
    near = tf.linalg.diag_part(tf.roll(distances, pairs, axis=1))
    if not settings.both_ways:
        near, distances, other = near[:pairs], distances[:pairs], other[:pairs]
    far, mined = _mine(distances, near, other, settings.mining)
    hinge = tf.where(mined, tf.nn.relu(near[:, None] - far + settings.margin), 0.0)
    pays = hinge > 0
    # of all negatives most soon are far enough: a mean over them would fade
    loss = _masked_mean(hinge, pays if settings.mining == "all" else mined)
    if settings.mining == "soft":
        pull = tf.where(other, (near[:, None] - far + settings.margin) / settings.temperature, -_FAR)
        smooth = settings.temperature * tf.nn.softplus(tf.reduce_logsumexp(pull, axis=1, keepdims=True))
        loss = _masked_mean(smooth, tf.reduce_any(other, axis=1, keepdims=True))
    nearest = tf.reduce_min(tf.where(other, distances, _FAR), axis=1)
    return loss, {
        "positive": tf.reduce_mean(near), "negative": _masked_mean(far, mined),
        "active": _masked_mean(tf.cast(pays, tf.float32), mined), "spread": _masked_mean(distances, other),
        "accuracy": _masked_mean(tf.cast(near[:, None] < distances, tf.float32), other),
        "nearest": tf.reduce_mean(tf.cast(near < nearest, tf.float32)),
        "without_negative": 1 - tf.reduce_mean(tf.cast(tf.reduce_any(other, axis=1), tf.float32))}


def _mine(distances: tf.Tensor, near: tf.Tensor, other: tf.Tensor, mining: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Return distances of each row's negatives [rows, negatives], and which there are."""
    if mining in ("all", "soft"):
        return distances, other
    mined = tf.reduce_min(tf.where(other, distances, _FAR), axis=1)
    if mining == "semi-hard":
        beyond = other & (distances > near[:, None])
        semi_hard = tf.reduce_min(tf.where(beyond, distances, _FAR), axis=1)
        farthest = tf.reduce_max(tf.where(other, distances, -1.0), axis=1)
        mined = tf.where(tf.reduce_any(beyond, axis=1), semi_hard, farthest)
    return mined[:, None], tf.reduce_any(other, axis=1, keepdims=True)


def _masked_mean(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    weights = tf.cast(where, tf.float32)
    return tf.reduce_sum(tf.where(where, values, 0.0)) / tf.maximum(tf.reduce_sum(weights), 1.0)


def describe_problems(figures: Mapping[str, Any]) -> list[str]:
    """Say what is degenerate about a batch, by the figures of `compute_loss` and the share of ``silent`` windows."""
    problems = []
    without, silent = float(figures.get("without_negative", 0)), float(figures.get("silent", 0))
    spread = float(figures.get("spread", np.inf))
    if without > 0:
        problems.append(f"{without:.0%} of the anchors have no negative: the batch is of one clip, so nothing pushes "
                        "vectors apart.")
    elif spread < COLLAPSED:
        problems.append(f"the vectors have collapsed: windows of different clips are {spread:.2g} apart on average. "
                        "Try semi-hard mining, a longer warm-up or a lower learning rate.")
    if silent > _MANY_SILENT:
        problems.append(f"{silent:.0%} of the windows are silent.")
    return problems
