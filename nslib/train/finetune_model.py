"""A network with a pool and a dense layer on top, as one thing that learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.patches import deal
from nslib.train import models, pools, sizes
from nslib.train.finetune_settings import FinetuneSettings

Patches = npt.NDArray[np.float32]
_AT_ONCE = 64


class Model:
    """Network, pool and dense layer.

    Parameters
    ----------
    settings : FinetuneSettings
    classes : int
    """

    def __init__(self, settings: FinetuneSettings, classes: int):
        import keras

        self.settings = settings
        self.network = sizes.up_to(models.load(settings.network), settings.tap)
        self.pool = pools.named(settings.pool, settings.clusters, settings.alpha, settings.seed)
        self.dense = keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(settings.seed))
        dim = self.network.output.shape[-1]
        self.dense(self.pool(np.zeros((1, 1, dim), np.float32), np.ones(1, np.int64)))
        self._network_optimiser = keras.optimizers.Adam(settings.network_rate)
        self._head_optimiser = keras.optimizers.Adam(settings.head_rate)
        self._step, self._frames = self._functions()

    @property
    def head(self) -> list[Any]:
        """list: variables of pool and dense layer."""
        return [*self.pool.trainable_variables, *self.dense.trainable_variables]

    @property
    def weights(self) -> list[Any]:
        """list: all variables."""
        return [*self.network.weights, *self.pool.weights, *self.dense.weights]

    def seen(self, clips: list[Patches]) -> list[Patches]:
        """What learning and pooling look at: patches, or the frames of a frozen network, which need computing but once.

        Parameters
        ----------
        clips : list of float32 [patches, 96, 64]

        Returns
        -------
        list of float32 [patches, ...]
            One array a clip.
        """
        return self._of_network(clips) if self.settings.frozen else clips

    def learn(self, seen: Patches, counts: Any, labels: Any, weight: Any) -> float:
        """Make one step.

        Parameters
        ----------
        seen : float32 [clips, patches, ...]
            As `seen` gives it of each clip.
        counts, labels : int64 [clips]
        weight : float32 [clips]
            0 for a clip that only fills the batch.

        Returns
        -------
        float
            The loss before it, penalty included.
        """
        return float(self._step(seen, counts, labels, weight))

    def loss(self, logits: Any, labels: Any, weight: Any) -> Any:
        """Cross-entropy of a batch plus the penalty: a scalar tensor."""
        import tensorflow as tf

        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        mean = tf.reduce_sum(entropy * weight) / tf.reduce_sum(weight)
        return mean + self.settings.l2 * tf.reduce_sum(tf.square(self.dense.kernel))

    def pooled(self, seen: list[Patches]) -> npt.NDArray[np.float32]:
        """Pool all patches of clips, given as by `seen`: float32 [clips, dim]."""
        frames, counts = deal(np.concatenate(seen if self.settings.frozen else self._of_network(seen)),
                              [len(clip) for clip in seen])
        parts = [np.asarray(self.pool(frames[i:i + _AT_ONCE], counts[i:i + _AT_ONCE]))
                 for i in range(0, len(seen), _AT_ONCE)]
        return np.concatenate(parts)

    def _of_network(self, clips: list[Patches]) -> list[Patches]:
        everything = np.concatenate(clips)
        rows = [np.asarray(self._frames(everything[i:i + _AT_ONCE])) for i in range(0, len(everything), _AT_ONCE)]
        return np.split(np.concatenate(rows), np.cumsum([len(clip) for clip in clips])[:-1])

    def probabilities(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Probabilities of pooled clips: float64 [clips, classes]."""
        from scipy.special import softmax

        return np.asarray(softmax(np.asarray(self.dense(pooled), np.float64), axis=1))

    def _functions(self) -> tuple[Any, Any]:
        import tensorflow as tf

        moving = [] if self.settings.frozen else list(self.network.trainable_variables)

        def framed(patches: Any, counts: Any) -> Any:
            # of short clips most of a batch is filling, which no pool looks at
            own = tf.sequence_mask(counts, tf.shape(patches)[1])
            rows = self.network(tf.boolean_mask(patches, own), training=False)
            shape = (*tf.unstack(tf.shape(own, tf.int64)), rows.shape[-1])
            return tf.ensure_shape(tf.scatter_nd(tf.where(own), rows, shape), [None, None, rows.shape[-1]])

        def step(seen: Any, counts: Any, labels: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                frames = seen if self.settings.frozen else framed(seen, counts)
                loss = self.loss(self.dense(self.pool(frames, counts)), labels, weight)
            gradients = tape.gradient(loss, [*self.head, *moving])
            head = len(self.head)
            self._head_optimiser.apply_gradients(zip(gradients[:head], self.head, strict=True))
            if moving:
                self._network_optimiser.apply_gradients(zip(gradients[head:], moving, strict=True))
            return loss

        self._head_optimiser.build(self.head)
        self._network_optimiser.build(moving)
        return tf.function(step), tf.function(lambda patches: self.network(patches, training=False),
                                              input_signature=[tf.TensorSpec([None, 96, 64], tf.float32)])
