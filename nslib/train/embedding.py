"""A trained network as embeddings of the kit: one for each tap.

Conventions
-----------
Clips are padded, made log-mel and cut into patches every 0.17 s as for the published TRILL; averaging
over time is left to `nslib.extract`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import graphs, patches
from nslib.embeddings.base import Embedding, EmbedFunction, FloatArray
from nslib.frontend import HOP, SAMPLE_RATE, TRILL, log_mel, pad, patch_seconds
from nslib.frontend import patches as cut_patches
from nslib.train import checkpoint, networks
from nslib.train.costs import cost

TAPS = (networks.TOP_NAME, networks.TAP_NAME)


def revision(model: Any) -> str:
    """Hash a network's weights.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    str
        16 hex digits.
    """
    digest = hashlib.sha256(model.name.encode())
    for array in checkpoint.values(model.weights):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()[:16]


def as_embedding(model: Any, tap: str, name: str, **facts: Any) -> Embedding:
    """Make an embedding of one tap of a network.

    Parameters
    ----------
    model : keras.Model
        As of `nslib.train.networks.build`. Its weights are copied: training on does not change the embedding.
    tap : {"embedding", "layer19"}
    name : str
    **facts
        Licence, source, trained_on and so on (see `Embedding`).

    Returns
    -------
    Embedding
    """
    size = cost(model)
    patched = parts(model, tap)
    network = graphs.frozen(patched.function, patched.shape)

    def replica(device: str) -> EmbedFunction:
        # of the weights as they are now
        return patches.embedder(patched.cut, graphs.bound(network, device), steady=True)

    return Embedding(name=name, revision=f"{revision(model)} {tap}", dim=size.outputs[tap],
                     embed=patches.embedder(patched.cut, network, steady=True), replica=replica,
                     window=patch_seconds(TRILL),
                     hop=TRILL.patch_hop * HOP / SAMPLE_RATE, min_samples=TRILL.min_samples, pads_safely=True,
                     parameters=size.parameters, **facts)


def embed_function(model: Any, tap: str) -> EmbedFunction:
    """Freeze one tap of a network behind TRILL's front end.

    Parameters
    ----------
    model : keras.Model
    tap : str
        A key of its outputs.

    Returns
    -------
    callable
        As `Embedding.embed`.
    """
    return graphs.embedder(parts(model, tap))


def parts(model: Any, tap: str) -> graphs.Patched:
    """Put one tap of a network behind TRILL's front end.

    Parameters
    ----------
    model : keras.Model
    tap : str
        A key of its outputs.

    Returns
    -------
    Patched
        Of the model's own weights, not of a copy.
    """
    def tapped(patch: Any) -> Any:
        return model(patch, training=False)[tap]

    return graphs.Patched(cut, tapped, (TRILL.patch, TRILL.mels))


def cut(wave: FloatArray) -> npt.NDArray[Any]:
    """Cut a clip into the patches that a network sees.

    Parameters
    ----------
    wave : float32 [samples]
        Padded with zeros to a second if it is shorter.

    Returns
    -------
    float32 [patches, 96, 64]
    """
    return cut_patches(log_mel(pad(wave, TRILL), TRILL), TRILL)
