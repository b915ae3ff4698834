"""One step of learning: the network, its optimiser and the functions that a batch goes through.

Conventions
-----------
Several GPUs share a batch by whole pairs; each mines negatives in its own part, and their gradients are
averaged. Mixed precision is used where there is a GPU, if the settings do not say otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nslib.train import checkpoint, networks
from nslib.train.settings import LoopSettings, Settings


class Learner:
    """A network that learns from batches of pairs.

    Parameters
    ----------
    settings : Settings
    strategy : tf.distribute.Strategy, optional
        Default: all GPUs, or the one device there is.

    Attributes
    ----------
    model : keras.Model
    strategy : tf.distribute.Strategy
    learn : callable
        Takes a batch of `nslib.train.data.dataset`, makes one step, returns the figures of
        `nslib.train.triplets.loss` with ``loss`` and ``silent``, the share of silent windows.
    look : callable
        The same without the step, as the network is used after training.
    """

    def __init__(self, settings: Settings, strategy: Any = None):
        import keras

        loop, self.settings, self.strategy = settings.loop, settings, strategy or everything()
        with self.strategy.scope(), _precision(loop.precision) as policy:
            self.model = networks.named(loop.network, loop.seed)
            self._optimiser: Any = keras.optimizers.Adam(loop.learning_rate)
            if policy == "mixed_float16":
                self._optimiser = keras.mixed_precision.LossScaleOptimizer(self._optimiser)
            self._optimiser.build(self.model.trainable_variables)
        self.learn = self._everywhere(self._step)
        self.look = self._everywhere(lambda batch: self._figures(batch, training=False)[1])

    def steps(self, batches: Any, first: int = 0) -> Iterator[dict[str, float]]:
        """Learn from batch after batch, at the learning rate of each step.

        Parameters
        ----------
        batches : tf.data.Dataset
            Of `nslib.train.data.dataset`.
        first : int
            Step of the first batch.

        Yields
        ------
        dict of str to float
            What `learn` found; the step is made by then.
        """
        for step, batch in enumerate(self.shared(batches), first):
            self.set_rate(step)
            yield {name: float(value) for name, value in self.learn(batch).items()}

    def shared(self, batches: Any) -> Any:
        """Divide batches among the devices.

        Parameters
        ----------
        batches : tf.data.Dataset

        Returns
        -------
        iterable
            What `learn` and `look` take.
        """
        return self.strategy.experimental_distribute_dataset(batches)

    def set_rate(self, step: int) -> None:
        """Set the learning rate to that of a step.

        Parameters
        ----------
        step : int
        """
        inner = getattr(self._optimiser, "inner_optimizer", self._optimiser)
        inner.learning_rate.assign(learning_rate(step, self.settings.loop))

    def values(self) -> dict[str, checkpoint.Arrays]:
        """Copy everything that learning changes.

        Returns
        -------
        dict of str to list of array
            ``weights`` and ``optimiser``.
        """
        return {"weights": checkpoint.values(self.model.weights),
                "optimiser": checkpoint.values(self._optimiser.variables)}

    def assign(self, values: dict[str, checkpoint.Arrays]) -> None:
        """Put back what `values` gave.

        Parameters
        ----------
        values : dict of str to list of array

        Raises
        ------
        BadParameter
            If they are of another network.
        """
        checkpoint.assign(self.model.weights, values["weights"])
        checkpoint.assign(self._optimiser.variables, values["optimiser"])

    def _figures(self, batch: Any, training: bool) -> tuple[Any, dict[str, Any]]:
        import tensorflow as tf

        from nslib.train import triplets

        patches = batch["log_mel"]
        both = tf.concat([patches[:, 0], patches[:, 1]], axis=0)
        top = self.model(both, training=training)[networks.TOP_NAME]
        vectors = tf.stack(tf.split(top, 2), axis=1)
        loss, found = triplets.loss(vectors, batch["clips"], self.settings.triplets)
        silent = tf.reduce_mean(tf.cast(batch["silent"], tf.float32))
        return loss, {"loss": loss, "silent": silent, **found}

    def _step(self, batch: Any) -> dict[str, Any]:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, found = self._figures(batch, training=True)
            scaled = self._optimiser.scale_loss(loss / self.strategy.num_replicas_in_sync)
        variables = self.model.trainable_variables
        self._optimiser.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return found

    def _everywhere(self, step: Any) -> Any:
        """Run a function on each device's part of a batch, and average what it finds."""
        import tensorflow as tf

        def call(batch: Any) -> dict[str, Any]:
            found = self.strategy.run(step, (batch,))
            mean = tf.distribute.ReduceOp.MEAN
            return {name: self.strategy.reduce(mean, value, None) for name, value in found.items()}

        return tf.function(call)


def learning_rate(step: int, settings: LoopSettings) -> float:
    """Learning rate of a step.

    Parameters
    ----------
    step : int
    settings : LoopSettings

    Returns
    -------
    float
        Rises in a straight line in the warm-up; then constant, or half a cosine down to 0.
    """
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def everything() -> Any:
    """Choose the devices to learn on: all GPUs if there are several, else the one device there is.

    Returns
    -------
    tf.distribute.Strategy
    """
    import tensorflow as tf

    several = len(tf.config.list_physical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask TensorFlow for operations that give the same bits every time, and stop asking afterwards."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # demanded by that mode; nothing here draws from it
    try:
        yield
    finally:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


@contextmanager
def _precision(wanted: str) -> Iterator[str]:
    import keras
    import tensorflow as tf

    gpu = bool(tf.config.list_physical_devices("GPU"))
    policy = wanted if wanted != "auto" else "mixed_float16" if gpu else "float32"
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield policy
    finally:
        keras.mixed_precision.set_dtype_policy(before)
