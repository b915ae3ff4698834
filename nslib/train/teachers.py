"""Teachers: whatever gives a vector for a window, as something that a student can learn from.

Reference: Shor et al. 2020, section 3.4, where the teacher is layer 19 of TRILL.

Conventions
-----------
A window is `data.WINDOW_SAMPLES` long, one patch of TRILL. A network of the kit sees the very patch that the
student sees. Any other embedding hears the window, padded with zeros if that is too short for it; of
several frames the mean is taken, as `nslib.extract` does for a clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import Embedding, FloatArray
from nslib.errors import BadParameter
from nslib.frontend import TRILL
from nslib.train.augment import WINDOW_SAMPLES
from nslib.train.networks import TAP_NAME


@dataclass(frozen=True)
class Teacher:
    """What gives the targets.

    Attributes
    ----------
    name, revision : str
        As of an `Embedding`.
    dim : int
        Of the targets.
    sees : {"patches", "windows"}
        Whether it is given log-mel [patches, 96, 64] or samples [windows, WINDOW_SAMPLES] in [-1, 1].
    targets : callable
        float32 array of what it sees to float32 array [patches, dim].
    network : keras.Model, optional
        The part of a network that is needed for the targets, log-mel to targets, where there is one.
    """

    name: str
    revision: str
    dim: int
    sees: str
    targets: Callable[[npt.NDArray[Any]], FloatArray] = field(repr=False)
    network: Any = field(default=None, repr=False)


def named(name: str) -> Teacher:
    """Make a teacher of a built-in embedding.

    Parameters
    ----------
    name : str
        One of `nslib.embeddings.names`.

    Returns
    -------
    Teacher
        Of a network of the kit, one that sees patches.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If its weights or its library cannot be had.
    """
    from nslib import embeddings
    from nslib.embeddings.cards import KIT
    from nslib.train import models

    if name not in KIT:
        return of_embedding(embeddings.get(name))
    network, tap = KIT[name]
    return of_network(models.load(network), tap, name)


def of_network(model: Any, tap: str = TAP_NAME, name: str = "") -> Teacher:
    """Make a teacher of one tap of a network on log-mel patches.

    Parameters
    ----------
    model : keras.Model
        As of `nslib.train.networks.build`. Its weights are copied.
    tap : str
        A key of its outputs.
    name : str
        Default: those of network and tap.

    Returns
    -------
    Teacher

    Raises
    ------
    UnknownName
        If the network has no such tap.
    """
    from nslib.embeddings import graphs
    from nslib.train.embedding import revision
    from nslib.train.sizes import up_to

    part = up_to(model, tap)
    network = graphs.frozen(lambda patch: part(patch, training=False), (TRILL.patch, TRILL.mels))
    dim = int(model.output[tap].shape[-1])
    return Teacher(name or part.name, f"{revision(model)} {tap}", dim, "patches", network, part)


def of_embedding(embedding: Embedding) -> Teacher:
    """Make a teacher of any embedding.

    Parameters
    ----------
    embedding : Embedding

    Returns
    -------
    Teacher

    Raises
    ------
    BadParameter
        If it gives no frame, or numbers that are not finite, for a window.
    """
    def targets(windows: npt.NDArray[Any]) -> FloatArray:
        short = max(0, embedding.min_samples - windows.shape[1])
        before = short // 2 if embedding.pad == "centre" else 0
        waves = np.pad(windows, ((0, 0), (before, short - before))).astype(np.float32)
        frames, counts = embedding.embed(waves, np.full(len(waves), waves.shape[1], np.int64))
        if counts.min() < 1:
            raise BadParameter(f"{embedding.name} gives no frame for a window of {windows.shape[1]} samples, so it "
                               "cannot be a teacher here.")
        return np.stack([row[:n].mean(0, dtype=np.float64) for row, n in zip(frames, counts, strict=True)]).astype("f4")

    noise = np.random.default_rng(0).normal(0, 0.1, (2, WINDOW_SAMPLES)).astype(np.float32)
    tried = targets(noise)  # what is wrong is said now, and not from inside a pipeline
    if tried.shape != (2, embedding.dim) or not np.isfinite(tried).all():
        raise BadParameter(f"{embedding.name} gives {tried.shape} numbers for two windows of noise, not finite ones of "
                           f"shape (2, {embedding.dim}).")
    return Teacher(embedding.name, embedding.fingerprint, embedding.dim, "windows", targets)
