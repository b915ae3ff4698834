"""The training loop: steps, looks at held-out triplets, checkpoints from which it goes on exactly.

A run is a folder:

====================  ========================================================
``settings.json``     every choice; another run in the same folder is refused
``state.npz``         where the run is: weights, optimiser, curve (see `checkpoint`)
``best.npz``          the weights with the best held-out accuracy
``curve.csv``         tidy: step, part (train, held-out), figure, value
``tensorboard/``      the same for TensorBoard
====================  ========================================================

Conventions
-----------
What a step sees depends on seed and step only, and the state is written at the end of each look, so
that a run which was killed repeats the steps since the last look and then goes on as if nothing had
happened. With TensorFlow's deterministic operations, which the loop asks for, that is the same to the
last bit on a processor, given the same number of threads. Several GPUs share a batch by whole pairs;
each mines negatives in its own part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import files
from nslib.errors import BadParameter
from nslib.train import checkpoint, networks
from nslib.train.data import Pairs, Recordings, dataset
from nslib.train.settings import LoopSettings, Settings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "part", "figure", "value")
HELD_OUT_SEED = 1_000_000
"""Added to the seed for held-out triplets, so that they are drawn apart from the others."""

PATIENCE_WITH_COLLAPSE = 5
"""Looks at collapsed vectors, after the warm-up, before a run is given up."""

Row = tuple[int, str, str, float]


@dataclass(frozen=True)
class Training:
    """A run that has ended.

    Attributes
    ----------
    model : keras.Model
        With the weights of `best_step`.
    curve : DataFrame
        Columns step, part, figure, value.
    best_step : int
    accuracy : float
        Of held-out triplets, then.
    ended : {"steps", "patience", "collapse"}
        Why.
    notes : tuple of str
        What was degenerate, and what was left out.
    """

    model: Any
    curve: pd.DataFrame
    best_step: int
    accuracy: float
    ended: str
    notes: tuple[str, ...]


@dataclass
class _State:
    step: int = 0
    best: float = -1.0
    best_step: int = 0
    stale: int = 0
    collapsed: int = 0
    curve: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def train(learn: Recordings, held_out: Recordings, folder: Path, settings: Settings | None = None, *,
          progress: bool = True) -> Training:
    """Train a network, or go on where a run in this folder was interrupted.

    Parameters
    ----------
    learn, held_out : Recordings
        To learn from, and to stop by.
    folder : Path
        Of the run.
    settings : Settings, optional
    progress : bool

    Returns
    -------
    Training

    Raises
    ------
    BadParameter
        If the folder holds a run with other settings, or there are too few clips for a batch.
    NslibError
        If the disk is full; the last checkpoint stays.
    """
    settings = settings or Settings()
    _claim(folder, settings)
    with _deterministic():
        run = _Run(learn, held_out, folder, settings)
        run.resume()
        ended = run.go(progress)
        return run.result(ended)


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


def _claim(folder: Path, settings: Settings) -> None:
    path, text = folder / "settings.json", settings.json()
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise BadParameter(f"{folder} holds a run with other settings; choose another folder, or delete it.")
    files.write(path, text)


@contextmanager
def _deterministic() -> Any:
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # demanded by that mode; nothing here draws from it
    try:
        yield
    finally:
        from tensorflow.python.framework import config

        config.disable_op_determinism()


def _strategy() -> Any:
    import tensorflow as tf

    several = len(tf.config.list_physical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


@contextmanager
def _precision(wanted: str) -> Any:
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


def _log(name: str, value: float, step: int) -> None:
    # tf.summary.scalar needs the package tensorboard, which the kit does without; the file is the same
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)


class _Run:
    def __init__(self, learn: Recordings, held_out: Recordings, folder: Path, settings: Settings):
        import keras

        self.folder, self.settings, self.loop, self.state = folder, settings, settings.loop, _State()
        seed = self.loop.seed
        self.pairs, self.strategy = Pairs(learn, settings.pairs, seed), _strategy()
        self.test = Pairs(held_out, settings.pairs, seed + HELD_OUT_SEED)
        with self.strategy.scope(), _precision(self.loop.precision) as policy:
            self.model = networks.named(self.loop.network, seed)
            self.optimiser: Any = keras.optimizers.Adam(self.loop.learning_rate)
            if policy == "mixed_float16":
                self.optimiser = keras.mixed_precision.LossScaleOptimizer(self.optimiser)
            self.optimiser.build(self.model.trainable_variables)
        self.best = checkpoint.values(self.model.weights)
        self.state.notes += [f"{count} of {len(learn.lengths)} pieces were left out: {why}."
                             for why, count in self.pairs.left_out.items() if count]
        self.state.notes += learn.problems
        self._learn, self._look = self._functions()

    def _functions(self) -> tuple[Any, Any]:
        import tensorflow as tf

        from nslib.train import triplets

        copies = self.strategy.num_replicas_in_sync

        def figures(batch: Any, training: bool) -> tuple[Any, dict[str, Any]]:
            patches = batch["log_mel"]
            both = tf.concat([patches[:, 0], patches[:, 1]], axis=0)
            top = self.model(both, training=training)[networks.TOP_NAME]
            vectors = tf.stack(tf.split(top, 2), axis=1)
            loss, found = triplets.loss(vectors, batch["clips"], self.settings.triplets)
            silent = tf.reduce_mean(tf.cast(batch["silent"], tf.float32))
            return loss, {"loss": loss, "silent": silent, **found}

        def learn(batch: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                loss, found = figures(batch, True)
                scaled = self.optimiser.scale_loss(loss / copies)
            variables = self.model.trainable_variables
            self.optimiser.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
            return found

        def everywhere(step: Any) -> Any:
            def call(batch: Any) -> dict[str, Any]:
                found = self.strategy.run(step, (batch,))
                mean = tf.distribute.ReduceOp.MEAN
                return {name: self.strategy.reduce(mean, value, None) for name, value in found.items()}
            return tf.function(call)

        return everywhere(learn), everywhere(lambda batch: figures(batch, False)[1])

    def resume(self) -> None:
        path = self.folder / "state.npz"
        if not path.exists():
            self._note(0, "held-out", self._held_out())
            self._judge()
            self._save()
            return
        groups, meta = checkpoint.read(path)
        checkpoint.assign(self.model.weights, groups["weights"])
        checkpoint.assign(self.optimiser.variables, groups["optimiser"])
        self.best, meta["curve"] = groups["best"], [tuple(row) for row in meta["curve"]]
        self.state = _State(**meta)

    def go(self, progress: bool) -> str:
        import tensorflow as tf
        from tqdm.std import tqdm

        state, every, steps = self.state, self.loop.evaluate_every, self.loop.steps
        if why := self._over():
            return why
        logs = tf.summary.create_file_writer(str(self.folder / "tensorboard" / f"from-{state.step:06d}"))
        batches = self.strategy.experimental_distribute_dataset(dataset(self.pairs, state.step, steps))
        seen: list[dict[str, float]] = []
        with tqdm(total=steps, initial=state.step, desc=f"train {self.loop.network}", unit="step",
                  disable=not progress) as bar, logs.as_default():
            for batch in batches:
                self._set_rate(state.step)
                seen.append({name: float(value) for name, value in self._learn(batch).items()})
                state.step += 1
                bar.update()
                if state.step % every and state.step < steps:
                    continue
                self._block(seen, bar)
                seen = []
                if why := self._over():
                    return why
        return "steps"

    def _set_rate(self, step: int) -> None:
        inner = getattr(self.optimiser, "inner_optimizer", self.optimiser)
        inner.learning_rate.assign(learning_rate(step, self.loop))

    def _block(self, seen: list[dict[str, float]], bar: Any) -> None:
        """Look at held-out triplets, write the curve and the state."""
        from nslib.train import triplets

        step = self.state.step
        learnt = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
        self._note(step, "train", {**learnt, "learning_rate": learning_rate(step - 1, self.loop)})
        found = self._held_out()
        self._note(step, "held-out", found)
        for complaint in {*triplets.complaints(learnt), *triplets.complaints(found)}:
            self.state.notes.append(f"Step {step}: {complaint}")
        collapsed = found["spread"] < triplets.COLLAPSED and step > self.loop.warmup
        self.state.collapsed = self.state.collapsed + 1 if collapsed else 0
        self._judge()
        self._save()
        bar.set_postfix({"loss": f"{learnt['loss']:.4f}", "held-out accuracy": f"{found['accuracy']:.4f}"})

    def _held_out(self) -> dict[str, float]:
        batches = self.strategy.experimental_distribute_dataset(
            dataset(self.test, 0, self.loop.held_out, augment=False))
        rows = [{name: float(value) for name, value in self._look(batch).items()} for batch in batches]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def _note(self, step: int, part: str, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.state.curve.append((step, part, name, float(value)))
            _log(f"{part}/{name}", value, step)

    def _judge(self) -> None:
        state = self.state
        accuracy = next(v for _, part, name, v in reversed(state.curve) if (part, name) == ("held-out", "accuracy"))
        if accuracy > state.best:
            state.best, state.best_step, state.stale = accuracy, state.step, 0
            self.best = checkpoint.values(self.model.weights)
        else:
            state.stale += 1

    def _save(self) -> None:
        groups = {"weights": checkpoint.values(self.model.weights), "best": self.best,
                  "optimiser": checkpoint.values(self.optimiser.variables)}
        checkpoint.write(self.folder / "state.npz", groups, vars(self.state))
        files.write(self.folder / "curve.csv", self._curve().to_csv(index=False, lineterminator="\n"))

    def _curve(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.state.curve, columns=list(COLUMNS))

    def _over(self) -> str:
        if self.state.collapsed >= PATIENCE_WITH_COLLAPSE:
            return "collapse"
        if self.loop.patience and self.state.stale >= self.loop.patience:
            return "patience"
        return "steps" if self.state.step >= self.loop.steps else ""

    def result(self, ended: str) -> Training:
        state = self.state
        checkpoint.assign(self.model.weights, self.best)
        meta = {"step": state.best_step, "accuracy": state.best}
        checkpoint.save_weights(self.folder / "best.npz", self.model, meta)
        return Training(self.model, self._curve(), state.best_step, state.best, ended, tuple(state.notes))
