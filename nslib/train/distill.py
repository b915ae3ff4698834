"""Distillation: a student learns what a teacher says of a window, through a head that is dropped afterwards.

Reference: Shor et al. 2020, section 3.4. Its code is not public; that of FRILL, by the same group, is: a dense head
of the size of layer 19 on the embedding, mean squared error, Adam.

A run is a folder, as in `loop`:

====================  =========================================================
``settings.json``     every choice, and the teacher; another run is refused
``recordings.txt``    fingerprints of what is heard; the same
``state.npz``         where the run is (see `checkpoint`)
``best.npz``          the student that explained most of held-out targets, without head
``curve.csv``         tidy: step, part (train, held-out), figure, value
====================  =========================================================

Conventions
-----------
Windows come from `data.Pairs`; both of a pair are simply windows. What a step sees depends on seed and step
only, and a run that was killed goes on exactly, as that of `loop` does.

``explained`` is the share of variance of held-out targets that the student predicts: one minus its squared
error over that of the mean target, both summed over all dimensions. It does not depend on
`DistillSettings.scale`: 0 is a student that always says the same, 1 one that says what the teacher says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import files
from nslib.errors import BadParameter
from nslib.train import checkpoint, loop, students
from nslib.train.data import Pairs
from nslib.train.distill_settings import Settings
from nslib.train.learner import deterministic
from nslib.train.recorded import Recordings
from nslib.train.targets import batches, explained, standard
from nslib.train.teachers import Teacher

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Distillation:
    """A run that has ended.

    Attributes
    ----------
    model : keras.Model
        The student, without head, with the weights of `best_step`.
    curve : DataFrame
        Columns step, part, figure, value.
    best_step : int
    explained, low, high : float
        Share of variance of held-out targets, then, and its 95 % interval over held-out clips.
    ended : {"steps", "patience"}
        Why.
    notes : tuple of str
        What was degenerate, and what was left out.
    """

    model: Any
    curve: pd.DataFrame
    best_step: int
    explained: float
    low: float
    high: float
    ended: str
    notes: tuple[str, ...]


@dataclass
class _State:
    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    interval: tuple[float, float] = (math.nan, math.nan)
    stale: int = 0
    curve: list[loop.Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def train(learn: Recordings, held_out: Recordings, folder: Path, teacher: Teacher, settings: Settings | None = None, *,
          progress: bool = True) -> Distillation:
    """Train a student, or go on where a run in this folder was interrupted.

    Parameters
    ----------
    learn, held_out : Recordings
        To learn from, and to stop by.
    folder : Path
        Of the run.
    teacher : Teacher
        See `nslib.train.teachers`.
    settings : Settings, optional
    progress : bool

    Returns
    -------
    Distillation

    Raises
    ------
    BadParameter
        If the folder holds a run with other settings, recordings or another teacher; if there are too few clips for a
        batch; if windows are to be changed and the teacher would not hear it; if the teacher says the
        same of every window; if the loss is no number any more.
    NslibError
        If the disk is full; the last checkpoint stays.
    """
    settings = settings or Settings()
    if teacher.sees != "patches" and (changed := settings.changes):
        raise BadParameter(f"{teacher.name} hears windows before they are changed, and the student after; set "
                           f"{', '.join(changed)} to 0, or take a network of the kit as teacher.")
    chosen = settings.json(name=teacher.name, revision=teacher.revision)
    loop.claim(folder, learn, held_out, chosen, "settings or another teacher")
    with deterministic():
        run = _Run(learn, held_out, folder, teacher, settings)
        run.resume()
        ended = run.go(progress)
        return run.result(ended)


class _Run:
    def __init__(self, learn: Recordings, held_out: Recordings, folder: Path, teacher: Teacher, settings: Settings):
        import keras

        self.folder, self.teacher, self.choices, self.state = folder, teacher, settings.distill, _State()
        seed = self.choices.seed
        self.pairs = Pairs(learn, settings.pairs, seed)
        test = Pairs(held_out, settings.pairs, seed + loop.HELD_OUT_SEED)
        self.held_out = list(batches(test, teacher, 0, self.choices.held_out, augment=False))
        self.student = students.named(self.choices.student, seed)
        head = keras.layers.Dense(teacher.dim, kernel_initializer=keras.initializers.GlorotUniform(seed), name="head")
        self.model = keras.Model(self.student.input, head(self.student.output["embedding"]))
        # epsilon as in the authors' later code; Keras would take 1e-7
        self.optimiser = keras.optimizers.Adam(self.choices.learning_rate, epsilon=1e-8)
        self.optimiser.build(self.model.trainable_variables)
        self.best = checkpoint.values(self.student.weights)
        self.state.notes += [f"{count} of {len(learn.lengths)} pieces were left out: {why}."
                             for why, count in self.pairs.left_out.items() if count]
        self.state.notes += learn.problems

    def resume(self) -> None:
        path = self.folder / "state.npz"
        if path.exists():
            groups, meta = checkpoint.read(path)
            checkpoint.assign(self.model.weights, groups["weights"])
            checkpoint.assign(self.optimiser.variables, groups["optimiser"])
            self.best, meta["curve"] = groups["best"], [tuple(row) for row in meta["curve"]]
            self.state, (self.centre, self.scale) = _State(**meta), groups["targets"]
        else:
            sample = batches(self.pairs, self.teacher, 0, self.choices.sample)
            said = np.concatenate([targets.numpy() for _, targets, _ in sample])
            self.centre, self.scale, note = standard(said, self.choices.scale)
            self.state.notes += [note] if note else []
        self._learn, self._say = self._functions()
        if not path.exists():
            self._look({})

    def _functions(self) -> tuple[Any, Any]:
        import tensorflow as tf

        @tf.function
        def learn(patches: Any, targets: Any) -> Any:
            with tf.GradientTape() as tape:
                wrong = self.model(patches, training=True) - (targets - self.centre) / self.scale
                loss = tf.reduce_mean(tf.square(wrong))
            variables = self.model.trainable_variables
            self.optimiser.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return loss

        @tf.function
        def say(patches: Any) -> Any:
            return self.model(patches, training=False) * self.scale + self.centre

        return learn, say

    def go(self, progress: bool) -> str:
        from tqdm.std import tqdm

        state, choices, losses = self.state, self.choices, []
        if why := self._over():
            return why
        with tqdm(total=choices.steps, initial=state.step, desc=f"distill {choices.student}", unit="step",
                  disable=not progress) as bar:
            for patches, targets, _ in batches(self.pairs, self.teacher, state.step, choices.steps):
                self.optimiser.learning_rate.assign(choices.rate(state.step))
                losses.append(float(self._learn(patches, targets)))
                if not math.isfinite(losses[-1]):
                    raise BadParameter(f"the loss is {losses[-1]} at step {state.step}; take a lower learning_rate.")
                state.step += 1
                bar.update()
                if state.step % choices.evaluate_every and state.step < choices.steps:
                    continue
                self._look({"loss": float(np.mean(losses)), "learning_rate": choices.rate(state.step - 1)})
                bar.set_postfix({"loss": f"{np.mean(losses):.4f}", "explained": f"{state.curve[-1][3]:.4f}"})
                losses = []
                if why := self._over():
                    return why
        return "steps"

    def _look(self, learnt: Mapping[str, float]) -> None:
        """Look at held-out targets, judge, write the curve and the state."""
        state = self.state
        targets = np.concatenate([said.numpy() for _, said, _ in self.held_out]).astype(np.float64)
        found = np.concatenate([self._say(patches).numpy() for patches, _, _ in self.held_out])
        errors, deviations = (np.square(away).sum(1) for away in (found - targets, targets - targets.mean(0)))
        share, *interval = explained(errors, deviations, np.concatenate([p for *_, p in self.held_out]))
        state.curve += [(state.step, "train", name, value) for name, value in learnt.items()]
        looks = {"mse": float(errors.mean() / self.teacher.dim), "explained": share}
        state.curve += [(state.step, "held-out", name, value) for name, value in looks.items()]
        if share > state.best:
            state.best, state.best_step, state.stale, state.interval = share, state.step, 0, (interval[0], interval[1])
            self.best = checkpoint.values(self.student.weights)
        else:
            state.stale += 1
        self._save()

    def _save(self) -> None:
        groups = {"weights": checkpoint.values(self.model.weights), "best": self.best,
                  "optimiser": checkpoint.values(self.optimiser.variables), "targets": [self.centre, self.scale]}
        checkpoint.write(self.folder / "state.npz", groups, vars(self.state))
        files.write(self.folder / "curve.csv", self._curve().to_csv(index=False, lineterminator="\n"))

    def _curve(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.state.curve, columns=list(loop.COLUMNS))

    def _over(self) -> str:
        if self.choices.patience and self.state.stale >= self.choices.patience:
            return "patience"
        return "steps" if self.state.step >= self.choices.steps else ""

    def result(self, ended: str) -> Distillation:
        state = self.state
        checkpoint.assign(self.student.weights, self.best)
        low, high = state.interval
        meta = {"teacher": self.teacher.name, "step": state.best_step, "explained": state.best}
        checkpoint.save_weights(self.folder / "best.npz", self.student, meta)
        return Distillation(self.student, self._curve(), state.best_step, state.best, low, high, ended,
                            tuple(state.notes))
