"""Embeddings that can be part of a TensorFlow graph, so that a classifier can be exported with them.

What can be: taps of Keras networks (the kit's own, and yours), the published models of the hub, and SavedModels with
TRILL's signature. What cannot: embeddings whose computation is NumPy, PyTorch, ONNX or another program.

Conventions
-----------
The vectors are those of `nslib.extract`: what is shorter than the embedding's minimum gets zeros at the end, and
what is read is the same output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nslib import embeddings
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.embeddings.cards import CARDS, KIT
from nslib.embeddings.downloads import fetch_model
from nslib.embeddings.hub import ADAPTERS, Adapter, InnerLayer, choose_rank
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.frontend import TRILL

Frames = Callable[[Any], Any]


@dataclass(frozen=True)
class Backbone:
    """An embedding as a part of a graph.

    Attributes
    ----------
    embedding : Embedding
        The same in the kit.
    frames : callable
        float64 tensor [clips, samples] to float32 tensor [clips, frames, dim].
    parts : tuple
        Variables and loaded models that `frames` uses.
    """

    embedding: Embedding
    frames: Frames
    parts: tuple[Any, ...]


def names() -> list[str]:
    """List the built-in embeddings that can be exported.

    Returns
    -------
    list of str
    """
    return [name for name in CARDS if name in KIT or _of_hub(name)]


def network(model: Any, tap: str, name: str | None = None, **facts: Any) -> Backbone:
    """Take a tap of a network.

    Parameters
    ----------
    model : keras.Model
        As of `nslib.train.networks` and `nslib.train.students`.
    tap : str
        A key of its outputs.
    name : str, optional
        Default: the network's and the tap's.
    **facts
        As for `nslib.train.embedding.as_embedding`.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownName
        For a tap that it does not have.
    """
    from nslib.train.embedding import as_embedding

    if tap not in model.output:
        raise UnknownName("tap", tap, model.output)
    return _tapped(as_embedding(model, tap, name or f"{model.name}-{tap}", **facts), model, tap)


def built_in(name: str) -> Backbone:
    """Take a built-in embedding.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Backbone

    Raises
    ------
    UnknownName
        For a name that does not exist.
    BadParameter
        For an embedding that no graph can hold.
    Unavailable
        If its weights cannot be had.
    """
    if name not in CARDS:
        raise UnknownName("embedding", name, CARDS)
    if name in KIT:
        from nslib.train import models

        of, tap = KIT[name]
        return _tapped(embeddings.get(name), models.load(of), tap)
    if not _of_hub(name):
        raise BadParameter(f"{name} is not computed by TensorFlow alone, so no graph can hold it. Can be exported: "
                           f"{', '.join(names())}, networks of yours, and SavedModels with TRILL's signature.")
    return _loaded(embeddings.get(name), fetch_model(CARDS[name].hub), ADAPTERS[name])


def saved_model(folder: str | Path, key: str, name: str | None = None) -> Backbone:
    """Take an output of a SavedModel with TRILL's signature, as `nslib.train.export.saved_model` writes.

    Parameters
    ----------
    folder : path-like
    key : str
        Of the output.
    name : str, optional
        Default: the folder's.

    Returns
    -------
    Backbone

    Raises
    ------
    BadParameter
        If it has another signature.
    """
    embedding = embeddings.from_saved_model(folder, name, key=key, rate_argument=True)
    try:
        return _loaded(embedding, Path(folder), Adapter("", key, (2, 1), TRILL, rate=True))
    except NslibError as error:
        raise BadParameter(f"{folder} has not TRILL's signature, (samples, sample_rate): {error}.") from error


def _of_hub(name: str) -> bool:
    return name in ADAPTERS and not isinstance(ADAPTERS[name].output, InnerLayer)


def _tapped(embedding: Embedding, model: Any, tap: str) -> Backbone:
    from nslib.train import export_graph

    hear = export_graph.hearing(model, [tap])
    return Backbone(embedding, lambda wave: hear(wave)[tap], tuple(export_graph.variables(model)))


def _loaded(embedding: Embedding, folder: Path, adapter: Adapter) -> Backbone:
    import tensorflow as tf

    from nslib import frontend_tf

    module = tf.saved_model.load(str(folder))
    rank = choose_rank(module, adapter)
    # TRILLsson mirrors short clips, but only up to twice their length; done here, it is nothing for the model to do
    before = adapter.frontend if adapter.whole else replace(TRILL, min_samples=embedding.min_samples)

    def frames(wave: Any) -> Any:
        wave = frontend_tf.pad(tf.cast(wave, tf.float32), before)
        if rank == 2:
            return _by_clip(_called(module, adapter, wave), tf.shape(wave)[0], embedding.dim)
        row = tf.TensorSpec([None, embedding.dim], tf.float32)
        return tf.map_fn(lambda clip: _called(module, adapter, clip), wave, fn_output_signature=row)

    return Backbone(embedding, frames, (module,))


def _called(module: Any, adapter: Adapter, samples: Any) -> Any:
    import tensorflow as tf

    found = module(samples=samples, sample_rate=tf.constant(SAMPLE_RATE)) if adapter.rate else module(samples)
    return found if adapter.output is None else found[adapter.output]


def _by_clip(found: Any, clips: Any, dim: int) -> Any:
    """Give vectors the axes [clips, frames, dim], also those of a model that has all clips or all frames on one."""
    import tensorflow as tf

    return tf.reshape(found, [clips, -1, dim])
