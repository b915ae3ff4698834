"""The one training loop (steps, held-out audio, checkpoints from which it goes on exactly), and triplets on it.

A run is a folder: ``settings.json`` and ``recordings.txt`` (every choice, and fingerprints of what is heard: another
run in the same folder is refused), ``state.npz`` (weights, optimiser, curve), ``best.npz`` (the weights with the best
look at held-out audio), ``curve.csv`` (step, part, figure, value) and ``tensorboard/``.

The state is written at the end of each look: a run that was killed repeats the steps since then, and goes on the same
to the last bit on a processor, given the same number of threads. Several GPUs share a batch of triplets by whole pairs;
each mines negatives in its own part, and their gradients are averaged.
"""

from __future__ import annotations

import math
import timeit
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm.std import tqdm

from nslib import config as nslib_config
from nslib.embeddings import networks
from nslib.embeddings.networks import EMBEDDING_TAP, Arrays, assign_values, copy_values
from nslib.errors import BadParameter
from nslib.training import triplets
from nslib.training.data import AudioBank, Pairs, make_dataset
from nslib.training.settings import DistillSettings, LoopSettings, PairSettings, TrainingSettings, make_adam

__all__ = ["HELD_OUT_SEED", "train_triplets", "use_deterministic_operations"]

HELD_OUT_SEED = 1_000_000
"""Added to the seed for held-out audio, so that it is drawn apart from the other."""

_MEASURED = 4  # steps, before a long run
PATIENCE_WITH_COLLAPSE = 5  # looks at collapsed vectors, after the warm-up, before a run is given up

Figures = dict[str, Any]


class Learner(ABC):
    """What a run learns, on all devices, and how it is judged; the loop knows nothing of triplets and teachers."""

    score: str  # names the held-out figure that must rise
    network: Any  # the part of the model that is kept
    interval: tuple[float, float] = (math.nan, math.nan)  # of the last look

    def __init__(self, learn: AudioBank, held_out: AudioBank, pairs: PairSettings, loop: LoopSettings | DistillSettings,
                 *, precision: str = "float32", epsilon: float = 1e-7, strategy: Any = None):
        self.loop = loop
        self.constants: Arrays = []  # kept with the state
        self.pairs = Pairs(learn, pairs, loop.seed)
        self.held_out = Pairs(held_out, pairs, loop.seed + HELD_OUT_SEED, fewer=True)
        gpus = len(tf.config.list_physical_devices("GPU"))
        self.strategy = strategy or (tf.distribute.MirroredStrategy() if gpus > 1 else tf.distribute.get_strategy())
        policy = precision if precision != "auto" else "mixed_float16" if gpus else "float32"
        with self.strategy.scope(), use_precision(policy):
            self.model = self.build()
            self._adam = make_adam(epsilon=epsilon)
            scaled = policy == "mixed_float16"
            self._optimiser: Any = keras.mixed_precision.LossScaleOptimizer(self._adam) if scaled else self._adam
            self._optimiser.build(self.model.trainable_variables)
        self.learn = self.run_on_every_device(self._step)

    @abstractmethod
    def build(self) -> Any:
        """Build the keras.Model, and set ``network``."""

    @abstractmethod
    def measure(self, batch: Any, training: bool) -> tuple[Any, Figures]:
        """Return the loss of a batch, and figures, ``loss`` among them."""

    @abstractmethod
    def look(self) -> dict[str, float]:
        """Return the figures of held-out audio."""

    def prepare(self) -> list[str]:
        """Find the constants of a new run before its first step; return notes."""
        return []

    def batches(self, first: int, last: int) -> Any:
        """Return the batches of steps ``first`` to ``last - 1``."""
        return make_dataset(self.pairs, first, last)

    def facts(self, step: int, score: float) -> dict[str, Any]:
        """Return what is written beside the best weights."""
        return {"step": step, self.score: score}

    def steps(self, batches: Any, first: int = 0) -> Iterator[dict[str, float]]:
        """Learn from batch after batch, the first of which is step `first`; yield the figures of each step."""
        for step, batch in enumerate(self.strategy.experimental_distribute_dataset(batches), first):
            self._adam.learning_rate.assign(self.loop.rate(step))
            yield {name: float(value) for name, value in self.learn(batch).items()}

    def copy(self) -> dict[str, Arrays]:
        """Copy everything that learning changes."""
        return {"weights": copy_values(self.model.weights), "optimiser": copy_values(self._optimiser.variables)}

    def assign(self, values: Mapping[str, Arrays]) -> None:
        """Put back what `copy` gave; BadParameter if it is of another network."""
        assign_values(self.model.weights, values["weights"])
        assign_values(self._optimiser.variables, values["optimiser"])

    def _step(self, batch: Any) -> Figures:
        with tf.GradientTape() as tape:
            loss, figures = self.measure(batch, True)
            scaled = self._optimiser.scale_loss(loss / self.strategy.num_replicas_in_sync)
        variables = self.model.trainable_variables
        self._optimiser.apply_gradients(zip(tape.gradient(scaled, variables), variables, strict=True))
        return figures

    def run_on_every_device(self, step: Callable[[Any], Figures]) -> Callable[[Any], Figures]:
        """Make a graph that runs a function on each device's part of a batch, and averages its figures."""
        def call(batch: Any) -> Figures:
            figures = self.strategy.run(step, (batch,))
            mean = tf.distribute.ReduceOp.MEAN
            return {name: self.strategy.reduce(mean, value, None) for name, value in figures.items()}

        graph: Callable[[Any], Figures] = tf.function(call, autograph=False)
        return graph


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
        return pd.DataFrame(self.curve, columns=["step", "part", "figure", "value"])


def claim_folder(folder: Path, settings: str, *banks: AudioBank) -> None:
    """Take a folder for a run on some audio, or, before any is loaded, only look; BadParameter if it holds another."""
    heard = " ".join(bank.fingerprint for bank in banks) + "\n"
    texts = {"settings.json": settings} | ({"recordings.txt": heard} if banks else {})
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            kind = "recordings" if name != "settings.json" else "settings, or another teacher"
            raise BadParameter(f"{folder} holds a run with other {kind}; choose another folder, or delete it.")
    for name, text in texts.items() if banks else ():
        nslib_config.write_file(folder / name, text)


@dataclass(frozen=True)
class Trained:
    """A run that has ended, for "steps", "patience" or "collapse": weights, score and interval of its best step."""

    model: Any
    curve: pd.DataFrame
    best_step: int
    score: float
    low: float  # NaN, as the next, where held-out audio gives no interval
    high: float
    ended: str
    notes: tuple[str, ...]


class Run:
    """The run of a folder, new or where it was interrupted."""

    def __init__(self, learner: Learner, folder: Path):
        self.learner, self.folder, self.state = learner, folder, State()
        path = folder / "state.npz"
        if path.exists():
            groups, meta = networks.read_arrays(path)
            learner.constants = groups.get("targets", [])
            learner.assign(groups)
            meta["curve"], meta["interval"] = [tuple(row) for row in meta["curve"]], tuple(meta["interval"])
            self.best, self.state = groups["best"], State(**meta)
        else:
            self.best = copy_values(learner.network.weights)
            self.state.notes = [*learner.pairs.notes, *learner.held_out.bank.problems, *learner.prepare()]
            self._look()

    def finish(self, title: str, progress: bool) -> Trained:
        """Train, put the best weights into `Learner.network` and ``best.npz``."""
        ended, state, network = self._go(title, progress), self.state, self.learner.network
        assign_values(network.weights, self.best)
        networks.save_weights(self.folder / "best.npz", network, self.learner.facts(state.best_step, state.best))
        return Trained(network, state.table(), state.best_step, state.best, *state.interval, ended, tuple(state.notes))

    def _go(self, title: str, progress: bool) -> str:
        learner, state, loop = self.learner, self.state, self.learner.loop
        if why := self._over():
            return why
        logs = tf.summary.create_file_writer(str(self.folder / "tensorboard" / f"from-{state.step:06d}"))
        seen: list[dict[str, float]] = []
        with tqdm(total=loop.steps, initial=state.step, desc=title, unit="step",
                  disable=not progress) as bar, logs.as_default():
            for figures in learner.steps(learner.batches(state.step, loop.steps), state.step):
                if not math.isfinite(figures["loss"]):
                    raise BadParameter(f"the loss is {figures['loss']} at step {state.step}; take a lower "
                                       "learning_rate.")
                seen.append(figures)
                state.step += 1
                bar.update()
                if state.step % loop.evaluate_every and state.step < loop.steps:
                    continue
                learnt = average_figures(seen)
                held_out = self._look({**learnt, "learning_rate": loop.rate(state.step - 1)})
                bar.set_postfix({"loss": f"{learnt['loss']:.4f}",
                                 f"held-out {learner.score}": f"{held_out[learner.score]:.4f}"})
                seen = []
                if why := self._over():
                    return why
        return "steps"

    def _look(self, learnt: Mapping[str, float] | None = None) -> dict[str, float]:
        """Look at held-out audio, judge, write the curve and the state."""
        learner, state = self.learner, self.state
        held_out = learner.look()
        self._record("train", learnt or {})
        self._record("held-out", held_out)
        if learnt:
            problems = [*triplets.describe_problems(learnt), *triplets.describe_problems(held_out)]
            state.notes += [f"Step {state.step}: {problem}" for problem in dict.fromkeys(problems)]
            collapsed = held_out.get("spread", math.inf) < triplets.COLLAPSED and state.step > learner.loop.warmup
            state.collapsed = state.collapsed + 1 if collapsed else 0
        if held_out[learner.score] > state.best:
            state.best, state.best_step, state.stale = held_out[learner.score], state.step, 0
            state.interval, self.best = learner.interval, copy_values(learner.network.weights)
        else:
            state.stale += 1
        groups = {**learner.copy(), "best": self.best, "targets": learner.constants}
        networks.write_arrays(self.folder / "state.npz", groups, vars(state))
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
        loop, state = self.learner.loop, self.state
        if state.collapsed >= PATIENCE_WITH_COLLAPSE:
            return "collapse"
        if loop.patience and state.stale >= loop.patience:
            return "patience"
        return "steps" if state.step >= loop.steps else ""


def average_figures(rows: Sequence[Figures]) -> dict[str, float]:
    """Average figures of the same names."""
    return {name: float(np.mean([float(row[name]) for row in rows])) for name in rows[0]}


def use_deterministic_operations() -> None:
    """Let TensorFlow give the same bits every time, from now on in this process: there is no public way back."""
    tf.config.experimental.enable_op_determinism()
    tf.random.set_seed(0)  # demanded by that mode; nothing here draws from it


@contextmanager
def use_precision(policy: str) -> Iterator[None]:
    """Let networks that are built in the block compute by a policy of keras."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def train_triplets(learn: AudioBank, held_out: AudioBank, folder: Path, settings: TrainingSettings | None = None, *,
                   progress: bool = True) -> Trained:
    """Train a network by triplets, or go on where a run in this folder was interrupted; the score is accuracy.

    BadParameter if the folder holds a run with other settings or recordings, if there are too few clips for a batch, or
    if the loss is no number any more; NslibError if the disk is full (the last checkpoint stays). TensorFlow's
    operations stay deterministic afterwards. All GPUs learn, or the one device there is.
    """
    settings = settings or TrainingSettings()
    claim_folder(folder, settings.json(), learn, held_out)
    use_deterministic_operations()
    run = Run(TripletLearner(learn, held_out, settings), folder)
    return run.finish(f"train {settings.loop.network}", progress)


def foresee(learn: AudioBank, held_out: AudioBank, folder: Path, settings: TrainingSettings, price: float = 0.0) -> str:
    """Say how long a run will take, or what is left of it, from steps that are measured now, and at a price an hour."""
    use_deterministic_operations()
    learner, loop = TripletLearner(learn, held_out, settings), settings.loop
    steps = learner.steps(learner.batches(0, _MEASURED + 1))
    # the first of each builds the graph
    step = float(np.median(timeit.repeat(lambda: next(steps), number=1, repeat=_MEASURED + 1)[1:]))
    look = timeit.repeat(learner.look, number=1, repeat=2)[1]
    path = folder / "state.npz"
    left = loop.steps - (networks.read_arrays(path)[1]["step"] if path.exists() else 0)
    hours = left * (step + look / loop.evaluate_every) / 3600
    cost = f"; at {price:g} an hour: {hours * price:,.0f}" if price else ""
    return (f"{left:,} of {loop.steps:,} steps are left, {step:.2f} s each as measured now (devices: "
            f"{learner.strategy.num_replicas_in_sync}): {hours:,.1f} h{cost}. The same command goes on where it was "
            f"stopped; at most {loop.evaluate_every:,} steps are lost.")


class TripletLearner(Learner):
    """Brings windows of a clip near each other, and windows of other clips away from them."""

    score = "accuracy"

    def __init__(self, learn: AudioBank, held_out: AudioBank, settings: TrainingSettings, strategy: Any = None):
        self.settings = settings
        super().__init__(learn, held_out, settings.pairs, settings.loop, precision=settings.loop.precision,
                         strategy=strategy)
        test = make_dataset(self.held_out, 0, self.loop.held_out).cache()  # changed, as what is learnt from
        self._test = self.strategy.experimental_distribute_dataset(test)
        self._judge = self.run_on_every_device(lambda batch: self.measure(batch, False)[1])

    def build(self) -> Any:
        """Build a network by its name."""
        self.network = networks.build_network(self.settings.loop.network, self.settings.loop.seed)
        return self.network

    def measure(self, batch: Any, training: bool) -> tuple[Any, Figures]:
        """Measure a batch of `nslib.training.data.make_dataset`."""
        patches = batch["log_mel"]
        both = tf.concat([patches[:, 0], patches[:, 1]], axis=0)
        top = self.model(both, training=training)[EMBEDDING_TAP]
        vectors = tf.stack(tf.split(top, 2), axis=1)
        loss, figures = triplets.compute_loss(vectors, batch["clips"], self.settings.triplets)
        return loss, {"loss": loss, "silent": tf.reduce_mean(tf.cast(batch["silent"], tf.float32)), **figures}

    def look(self) -> dict[str, float]:
        """Measure held-out audio, the network being used as after training."""
        return average_figures([self._judge(batch) for batch in self._test])
