"""The training loop: steps, looks at held-out triplets, checkpoints from which it goes on exactly.

A run is a folder:

====================  ========================================================
``settings.json``     every choice; another run in the same folder is refused
``recordings.txt``    fingerprints of what is heard; the same
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
last bit on a processor, given the same number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import files
from nslib.errors import BadParameter
from nslib.train import checkpoint
from nslib.train.data import Pairs, dataset
from nslib.train.learner import Learner, deterministic, learning_rate
from nslib.train.recorded import Recordings
from nslib.train.settings import Settings

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
          strategy: Any = None, progress: bool = True) -> Training:
    """Train a network, or go on where a run in this folder was interrupted.

    Parameters
    ----------
    learn, held_out : Recordings
        To learn from, and to stop by.
    folder : Path
        Of the run.
    settings : Settings, optional
    strategy : tf.distribute.Strategy, optional
        Which devices learn. Default: all GPUs, or the one device there is.
    progress : bool

    Returns
    -------
    Training

    Raises
    ------
    BadParameter
        If the folder holds a run with other settings or recordings, or there are too few clips for a batch.
    NslibError
        If the disk is full; the last checkpoint stays.
    """
    settings = settings or Settings()
    claim(folder, learn, held_out, settings.json())
    with deterministic():
        run = _Run(learn, held_out, folder, settings, strategy)
        run.resume()
        ended = run.go(progress)
        return run.result(ended)


def claim(folder: Path, learn: Recordings, held_out: Recordings, settings: str, what: str = "settings") -> None:
    """Take a folder for a run, or refuse one that holds another run.

    Parameters
    ----------
    folder : Path
    learn, held_out : Recordings
    settings : str
        Every choice, as text.
    what : str
        What that text says, for the message.

    Raises
    ------
    BadParameter
        If there is a run with other settings or recordings.
    """
    heard = f"{learn.fingerprint} {held_out.fingerprint}\n"
    texts = {"settings.json": (what, settings), "recordings.txt": ("recordings", heard)}
    for name, (said, text) in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BadParameter(f"{folder} holds a run with other {said}; choose another folder, or delete it.")
    for name, (_, text) in texts.items():
        files.write(folder / name, text)


def _log(name: str, value: float, step: int) -> None:
    # tf.summary.scalar needs the package tensorboard, which the kit does without; the file is the same
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
    metadata.plugin_data.plugin_name = "scalars"
    tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)


class _Run:
    def __init__(self, learn: Recordings, held_out: Recordings, folder: Path, settings: Settings, strategy: Any):
        self.folder, self.settings, self.loop, self.state = folder, settings, settings.loop, _State()
        seed = self.loop.seed
        self.pairs = Pairs(learn, settings.pairs, seed)
        self.test = Pairs(held_out, settings.pairs, seed + HELD_OUT_SEED)
        self.learner = Learner(settings, strategy)
        self.best = checkpoint.values(self.learner.model.weights)
        self.state.notes += [f"{count} of {len(learn.lengths)} pieces were left out: {why}."
                             for why, count in self.pairs.left_out.items() if count]
        self.state.notes += learn.problems

    def resume(self) -> None:
        path = self.folder / "state.npz"
        if not path.exists():
            self._note(0, "held-out", self._held_out())
            self._judge()
            self._save()
            return
        groups, meta = checkpoint.read(path)
        self.learner.assign(groups)
        self.best, meta["curve"] = groups["best"], [tuple(row) for row in meta["curve"]]
        self.state = _State(**meta)

    def go(self, progress: bool) -> str:
        import tensorflow as tf
        from tqdm.std import tqdm

        state, every, steps = self.state, self.loop.evaluate_every, self.loop.steps
        if why := self._over():
            return why
        logs = tf.summary.create_file_writer(str(self.folder / "tensorboard" / f"from-{state.step:06d}"))
        batches = dataset(self.pairs, state.step, steps)
        seen: list[dict[str, float]] = []
        with tqdm(total=steps, initial=state.step, desc=f"train {self.loop.network}", unit="step",
                  disable=not progress) as bar, logs.as_default():
            for found in self.learner.steps(batches, state.step):
                seen.append(found)
                state.step += 1
                bar.update()
                if state.step % every and state.step < steps:
                    continue
                self._block(seen, bar)
                seen = []
                if why := self._over():
                    return why
        return "steps"

    def _block(self, seen: list[dict[str, float]], bar: Any) -> None:
        """Look at held-out triplets, write the curve and the state."""
        from nslib.train import triplets

        step = self.state.step
        learnt = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
        self._note(step, "train", {**learnt, "learning_rate": learning_rate(step - 1, self.loop)})
        found = self._held_out()
        self._note(step, "held-out", found)
        for complaint in dict.fromkeys([*triplets.complaints(learnt), *triplets.complaints(found)]):
            self.state.notes.append(f"Step {step}: {complaint}")
        collapsed = found["spread"] < triplets.COLLAPSED and step > self.loop.warmup
        self.state.collapsed = self.state.collapsed + 1 if collapsed else 0
        self._judge()
        self._save()
        bar.set_postfix({"loss": f"{learnt['loss']:.4f}", "held-out accuracy": f"{found['accuracy']:.4f}"})

    def _held_out(self) -> dict[str, float]:
        batches = self.learner.shared(dataset(self.test, 0, self.loop.held_out, augment=False))
        rows = [{name: float(value) for name, value in self.learner.look(batch).items()} for batch in batches]
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
            self.best = checkpoint.values(self.learner.model.weights)
        else:
            state.stale += 1

    def _save(self) -> None:
        checkpoint.write(self.folder / "state.npz", {**self.learner.values(), "best": self.best}, vars(self.state))
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
        state, model = self.state, self.learner.model
        checkpoint.assign(model.weights, self.best)
        meta = {"step": state.best_step, "accuracy": state.best}
        checkpoint.save_weights(self.folder / "best.npz", model, meta)
        return Training(model, self._curve(), state.best_step, state.best, ended, tuple(state.notes))
