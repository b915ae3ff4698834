"""The one training loop (steps, held-out audio, checkpoints from which it goes on exactly), and triplets on it.

A run is a folder:

====================  ========================================================
``settings.json``     every choice; another run in the same folder is refused
``recordings.txt``    fingerprints of what is heard; the same
``state.npz``         where the run is: weights, optimiser, curve
``best.npz``          the weights with the best look at held-out audio
``curve.csv``         tidy: step, part (train, held-out), figure, value
``tensorboard/``      the same for TensorBoard
====================  ========================================================

Conventions
-----------
What a step sees depends on seed and step only, and the state is written at the end of each look, so that a run which
was killed repeats the steps since the last look and then goes on as if nothing had happened. With TensorFlow's
deterministic operations, which the loop asks for, that is the same to the last bit on a processor, given the same
number of threads. A loss that is no number ends a run with an error.

Several GPUs share a batch of triplet training by whole pairs; each mines negatives in its own part, and their
gradients are averaged. Mixed precision is used where there is a GPU, if the settings do not say otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from nslib import config as nslib_config
from nslib.embeddings.checkpoint import Arrays, assign_values, copy_values, read_arrays, save_weights, write_arrays
from nslib.embeddings.networks import EMBEDDING_TAP, build_network
from nslib.errors import BadParameter
from nslib.training import triplets
from nslib.training.data import AudioBank, Pairs, make_dataset
from nslib.training.settings import DistillSettings, LoopSettings, TrainingSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HELD_OUT_SEED", "make_triplet_learner", "train_triplets", "use_deterministic_operations"]

COLUMNS = ("step", "part", "figure", "value")
HELD_OUT_SEED = 1_000_000
"""Added to the seed for held-out audio, so that it is drawn apart from the other."""

PATIENCE_WITH_COLLAPSE = 5
"""Looks at collapsed vectors, after the warm-up, before a run is given up."""

Figures = dict[str, Any]


class Objective:
    """What a run learns and how it is judged; the loop knows nothing else of triplets and teachers.

    ``learner`` makes the steps; ``network`` is what is kept, a part of the learner's model; ``score`` names the
    held-out figure that must rise; ``interval`` is that of the last look; ``constants`` are kept with the state.
    """

    title: str
    score: str
    loop: LoopSettings | DistillSettings
    pairs: Pairs
    learner: Learner
    network: Any
    interval: tuple[float, float] = (math.nan, math.nan)
    constants: Arrays

    def prepare(self, constants: Arrays | None) -> list[str]:
        """Find the constants, or take those of a state, before the first step; return notes."""
        self.constants = constants or []
        return []

    def batches(self, first: int, last: int) -> Any:
        """Return the batches of steps ``first`` to ``last - 1``."""
        return make_dataset(self.pairs, first, last)

    def look(self) -> dict[str, float]:
        """Return the figures of held-out audio."""
        raise NotImplementedError

    def find_problems(self, figures: Figures) -> list[str]:
        """Say what is degenerate about figures, of steps or of a look."""
        return []

    def has_collapsed(self, held_out: Figures) -> bool:
        """Tell whether all vectors are one point."""
        return False

    def facts(self, step: int, score: float) -> dict[str, Any]:
        """Return what is written beside the best weights."""
        return {"step": step, self.score: score}


@dataclass
class State:
    """Where a run is; its fields are those of ``state.npz``."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    interval: tuple[float, float] = (math.nan, math.nan)
    stale: int = 0
    collapsed: int = 0
    curve: list[tuple[int, str, str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self) -> pd.DataFrame:
        """Return the curve as a table."""
        import pandas as pd

        return pd.DataFrame(self.curve, columns=list(COLUMNS))


def claim_folder(folder: Path, learn: AudioBank, held_out: AudioBank, settings: str, what: str = "settings") -> None:
    """Take a folder for a run; BadParameter if it holds one with other settings (called `what`) or recordings."""
    heard = f"{learn.fingerprint} {held_out.fingerprint}\n"
    texts = {"settings.json": (what, settings), "recordings.txt": ("recordings", heard)}
    for name, (kind, text) in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BadParameter(f"{folder} holds a run with other {kind}; choose another folder, or delete it.")
    for name, (_, text) in texts.items():
        nslib_config.write_file(folder / name, text)


def run(objective: Objective, folder: Path, progress: bool) -> tuple[State, str]:
    """Train, or go on where the run of this folder was interrupted; return its last state, and why it ended.

    Afterwards `Objective.network` has the best weights, which are in ``best.npz`` too.
    """
    loop = _Loop(objective, folder)
    ended = loop.go(progress)
    assign_values(objective.network.weights, loop.best)
    state = loop.state
    save_weights(folder / "best.npz", objective.network, objective.facts(state.best_step, state.best))
    return state, ended


class _Loop:
    def __init__(self, objective: Objective, folder: Path):
        self.objective, self.folder, self.state = objective, folder, State()
        path = folder / "state.npz"
        if path.exists():
            groups, meta = read_arrays(path)
            objective.prepare(groups.get("targets"))
            objective.learner.assign(groups)
            meta["curve"], meta["interval"] = [tuple(row) for row in meta["curve"]], tuple(meta["interval"])
            self.best, self.state = groups["best"], State(**meta)
        else:
            self.best = copy_values(objective.network.weights)
            self.state.notes = [*objective.pairs.notes, *objective.prepare(None)]
            self._look()

    def go(self, progress: bool) -> str:
        from tqdm.std import tqdm

        objective, state, loop = self.objective, self.state, self.objective.loop
        if why := self._over():
            return why
        logs = tf.summary.create_file_writer(str(self.folder / "tensorboard" / f"from-{state.step:06d}"))
        seen: list[dict[str, float]] = []
        with tqdm(total=loop.steps, initial=state.step, desc=objective.title, unit="step",
                  disable=not progress) as bar, logs.as_default():
            for figures in objective.learner.steps(objective.batches(state.step, loop.steps), state.step):
                if not math.isfinite(figures["loss"]):
                    raise BadParameter(f"the loss is {figures['loss']} at step {state.step}; take a lower "
                                       "learning_rate.")
                seen.append(figures)
                state.step += 1
                bar.update()
                if state.step % loop.evaluate_every and state.step < loop.steps:
                    continue
                learnt = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
                held_out = self._look({**learnt, "learning_rate": loop.rate(state.step - 1)})
                bar.set_postfix({"loss": f"{learnt['loss']:.4f}",
                                 f"held-out {objective.score}": f"{held_out[objective.score]:.4f}"})
                seen = []
                if why := self._over():
                    return why
        return "steps"

    def _look(self, learnt: Mapping[str, float] | None = None) -> dict[str, float]:
        """Look at held-out audio, judge, write the curve and the state."""
        objective, state = self.objective, self.state
        held_out = objective.look()
        self._record("train", learnt or {})
        self._record("held-out", held_out)
        if learnt:
            problems = [*objective.find_problems(dict(learnt)), *objective.find_problems(held_out)]
            state.notes += [f"Step {state.step}: {problem}" for problem in dict.fromkeys(problems)]
            collapsed = objective.has_collapsed(held_out) and state.step > objective.loop.warmup
            state.collapsed = state.collapsed + 1 if collapsed else 0
        if held_out[objective.score] > state.best:
            state.best, state.best_step, state.stale = held_out[objective.score], state.step, 0
            state.interval, self.best = objective.interval, copy_values(objective.network.weights)
        else:
            state.stale += 1
        groups = {**objective.learner.copy(), "best": self.best, "targets": objective.constants}
        write_arrays(self.folder / "state.npz", groups, vars(state))
        nslib_config.write_file(self.folder / "curve.csv", state.table().to_csv(index=False, lineterminator="\n"))
        return held_out

    def _record(self, part: str, figures: Mapping[str, float]) -> None:
        # tf.summary.scalar needs the package tensorboard, which the kit does without; the file is the same
        metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        metadata.plugin_data.plugin_name = "scalars"
        for name, value in figures.items():
            self.state.curve.append((self.state.step, part, name, float(value)))
            tf.summary.write(f"{part}/{name}", tf.constant(value, tf.float32), self.state.step, metadata)

    def _over(self) -> str:
        loop, state = self.objective.loop, self.state
        if state.collapsed >= PATIENCE_WITH_COLLAPSE:
            return "collapse"
        if loop.patience and state.stale >= loop.patience:
            return "patience"
        return "steps" if state.step >= loop.steps else ""


class Learner:
    """A network, its optimiser and one step of learning, on all devices (default: all GPUs, or the one there is).

    ``build`` makes the keras.Model; ``measure`` takes it, a batch and whether it is training to the loss and a dict of
    figures (``loss`` among them); ``rate`` gives the learning rate of a step; ``epsilon`` is Adam's.
    """

    def __init__(self, build: Callable[[], Any], measure: Callable[[Any, Any, bool], tuple[Any, Figures]],
                 rate: Callable[[int], float], precision: str = "auto", epsilon: float = 1e-7, strategy: Any = None):
        import keras

        several = len(tf.config.list_physical_devices("GPU")) > 1
        self.strategy = strategy or (tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy())
        self.measure, self.rate = measure, rate
        with self.strategy.scope(), _use_precision(precision) as policy:
            self.model = build()
            self._adam = keras.optimizers.Adam(epsilon=epsilon)
            scaled = policy == "mixed_float16"
            self._optimiser: Any = keras.mixed_precision.LossScaleOptimizer(self._adam) if scaled else self._adam
            self._optimiser.build(self.model.trainable_variables)
        self.learn = self._on_every_device(self._step)
        self._look = self._on_every_device(lambda batch: measure(self.model, batch, False)[1])

    def steps(self, batches: Any, first: int = 0) -> Iterator[dict[str, float]]:
        """Learn from batch after batch, the first of which is step `first`; yield what each step found."""
        for step, batch in enumerate(self.share(batches), first):
            self._adam.learning_rate.assign(self.rate(step))
            yield {name: float(value) for name, value in self.learn(batch).items()}

    def look(self, batches: Iterable[Any]) -> dict[str, float]:
        """Return the mean figures of batches that `share` gave, the network being used as after training."""
        rows = [{name: float(value) for name, value in self._look(batch).items()} for batch in batches]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    def share(self, batches: Any) -> Any:
        """Divide the batches of a tf.data.Dataset among the devices."""
        return self.strategy.experimental_distribute_dataset(batches)

    def copy(self) -> dict[str, Arrays]:
        """Copy everything that learning changes."""
        return {"weights": copy_values(self.model.weights), "optimiser": copy_values(self._optimiser.variables)}

    def assign(self, values: Mapping[str, Arrays]) -> None:
        """Put back what `copy` gave; BadParameter if it is of another network."""
        assign_values(self.model.weights, values["weights"])
        assign_values(self._optimiser.variables, values["optimiser"])

    def _step(self, batch: Any) -> Figures:
        with tf.GradientTape() as tape:
            loss, figures = self.measure(self.model, batch, True)
            scaled = self._optimiser.scale_loss(loss / self.strategy.num_replicas_in_sync)
        variables = self.model.trainable_variables
        self._optimiser.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return figures

    def _on_every_device(self, step: Any) -> Any:
        """Run a function on each device's part of a batch, and average what it finds."""
        def call(batch: Any) -> Figures:
            figures = self.strategy.run(step, (batch,))
            mean = tf.distribute.ReduceOp.MEAN
            return {name: self.strategy.reduce(mean, value, None) for name, value in figures.items()}

        return tf.function(call)


@contextmanager
def use_deterministic_operations() -> Iterator[None]:
    """Ask TensorFlow for operations that give the same bits every time, and stop asking afterwards."""
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # demanded by that mode; nothing here draws from it
    try:
        yield
    finally:
        from tensorflow.python.framework import config  # there is no public way back

        config.disable_op_determinism()


@contextmanager
def _use_precision(wanted: str) -> Iterator[str]:
    import keras

    gpu = bool(tf.config.list_physical_devices("GPU"))
    policy = wanted if wanted != "auto" else "mixed_float16" if gpu else "float32"
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield policy
    finally:
        keras.mixed_precision.set_dtype_policy(before)


# ---- triplets -----------------------------------------------------------------------------------------------------


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


def train_triplets(learn: AudioBank, held_out: AudioBank, folder: Path, settings: TrainingSettings | None = None, *,
                   strategy: Any = None, progress: bool = True) -> Training:
    """Train a network by triplets, or go on where a run in this folder was interrupted.

    Parameters
    ----------
    learn, held_out : AudioBank
        To learn from, and to stop by.
    strategy : tf.distribute.Strategy, optional
        Which devices learn. Default: all GPUs, or the one device there is.

    Raises
    ------
    BadParameter
        If the folder holds a run with other settings or recordings, if there are too few clips for a batch, or if the
        loss is no number any more.
    NslibError
        If the disk is full; the last checkpoint stays.
    """
    settings = settings or TrainingSettings()
    claim_folder(folder, learn, held_out, settings.json())
    with use_deterministic_operations():
        objective = TripletObjective(learn, held_out, settings, strategy)
        state, ended = run(objective, folder, progress)
    return Training(objective.network, state.table(), state.best_step, state.best, ended, tuple(state.notes))


class TripletObjective(Objective):
    """Windows of a clip near each other, windows of other clips away from them."""

    score = "accuracy"
    loop: LoopSettings

    def __init__(self, learn: AudioBank, held_out: AudioBank, settings: TrainingSettings, strategy: Any = None):
        self.loop, self.settings, self.title = settings.loop, settings, f"train {settings.loop.network}"
        self.pairs = Pairs(learn, settings.pairs, self.loop.seed)
        self.learner = make_triplet_learner(settings, strategy)
        self.network = self.learner.model
        test = Pairs(held_out, settings.pairs, self.loop.seed + HELD_OUT_SEED)
        self._held_out = self.learner.share(make_dataset(test, 0, self.loop.held_out, augment=False).cache())

    def look(self) -> dict[str, float]:
        return self.learner.look(self._held_out)

    def find_problems(self, figures: Figures) -> list[str]:
        return triplets.describe_problems(figures)

    def has_collapsed(self, held_out: Figures) -> bool:
        return bool(held_out["spread"] < triplets.COLLAPSED)


def make_triplet_learner(settings: TrainingSettings, strategy: Any = None) -> Learner:
    """Make the learner of a triplet run, for batches of `nslib.training.data.make_dataset`."""
    def measure(model: Any, batch: Any, training: bool) -> tuple[Any, Figures]:
        patches = batch["log_mel"]
        both = tf.concat([patches[:, 0], patches[:, 1]], axis=0)
        top = model(both, training=training)[EMBEDDING_TAP]
        vectors = tf.stack(tf.split(top, 2), axis=1)
        loss, figures = triplets.compute_loss(vectors, batch["clips"], settings.triplets)
        return loss, {"loss": loss, "silent": tf.reduce_mean(tf.cast(batch["silent"], tf.float32)), **figures}

    loop = settings.loop
    return Learner(lambda: build_network(loop.network, loop.seed), measure, loop.rate, loop.precision,
                   strategy=strategy)
