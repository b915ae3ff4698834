"""Distillation: a student learns what a teacher says of a window; and students side by side, with what they cost.

Reference: Shor et al. 2020, section 3.4, where the teacher is layer 19 of TRILL. Its code is not public; that of FRILL,
by the same group, is: a dense head of the size of layer 19 on the embedding, mean squared error, Adam. The head is
dropped afterwards. A run is a folder, as in `nslib.training.trainer`.

``explained`` is the share of variance of held-out targets that the student predicts: one minus its squared error over
that of the mean target, both summed over all dimensions, whatever `DistillSettings.scale`: 0 is a student that always
says the same, 1 one that says what the teacher says. It says how well a student imitates, not how good it is at a task.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from nslib import embeddings
from nslib.embeddings import networks, runtime
from nslib.embeddings.backends import FORMS, convert_network, freeze_patch, open_network, take_embedding
from nslib.embeddings.base import Embedding, FloatArray
from nslib.embeddings.networks import LAYER19_TAP, TRAINED_TAPS, count_cost, cut_at_tap
from nslib.embeddings.networks import build_network as build_student
from nslib.embeddings.networks import hash_weights as revision
from nslib.errors import BadParameter
from nslib.evaluation.cost import time_call
from nslib.extraction.extract import pad_clip
from nslib.frontend import TRILL
from nslib.statistics import intervals
from nslib.training import trainer
from nslib.training.data import WINDOW_SAMPLES, AudioBank, Pairs, make_dataset
from nslib.training.settings import DistillationSettings

__all__ = ["compare_forms", "compare_students", "distill", "draw_targets", "make_teacher", "name_machine"]

_PATCHES = 256  # held-out patches by which 8-bit ranges are set and errors are measured, half of them for each
_CALLS, _WARM_UP = 50, 5

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Teacher:
    """What gives ``targets`` [n, dim] of what it ``sees``: log-mel "patches", or "windows" of samples in [-1, 1]."""

    name: str
    revision: str
    dim: int
    sees: str
    targets: Callable[[Array], FloatArray] = field(repr=False)
    network: Any = field(default=None, repr=False)


def make_teacher(name: str) -> Teacher:
    """Make a teacher of a built-in embedding; a network of the kit sees the very patch that the student sees."""
    if name not in TRAINED_TAPS:
        return make_teacher_of_embedding(embeddings.get(name))
    network, tap = TRAINED_TAPS[name]
    return make_teacher_of_network(networks.load_network(network), tap, name)


def make_teacher_of_network(model: Any, tap: str = LAYER19_TAP, name: str = "") -> Teacher:
    """Make a teacher of a tap, a key of the outputs, of a network on patches; its weights are copied."""
    part = cut_at_tap(model, tap)
    network = runtime.freeze_network(lambda patch: part(patch, training=False), (TRILL.patch, TRILL.mels))
    dim = int(model.output[tap].shape[-1])
    return Teacher(name or part.name, f"{revision(model)} {tap}", dim, "patches", network, part)


def make_teacher_of_embedding(embedding: Embedding) -> Teacher:
    """Make a teacher of any embedding, which hears the window, padded with zeros if need be, by its mean frame."""
    def targets(windows: Array) -> FloatArray:
        waves = np.stack([pad_clip(window, embedding) for window in windows]).astype(np.float32)
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


def draw_targets(pairs: Pairs, teacher: Teacher, first: int, last: int, *, augment: bool = True) -> Iterator[Any]:
    """Draw the windows of steps ``first`` to ``last - 1`` and what the teacher says of them.

    Yields log-mel float32 [windows, 96, 64], targets float32 [windows, dim], and the piece of each window int64
    [windows].
    """
    return iter(_make_target_dataset(pairs, teacher, first, last, augment))


def _make_target_dataset(pairs: Pairs, teacher: Teacher, first: int, last: int, augment: bool = True) -> Any:
    windows_a_batch, waves = 2 * pairs.batch, teacher.sees != "patches"

    def add_targets(batch: Any) -> tuple[Any, Any, Any]:
        patches = tf.reshape(batch["log_mel"], (windows_a_batch, TRILL.patch, TRILL.mels))
        seen = tf.reshape(batch["windows"], (windows_a_batch, WINDOW_SAMPLES)) / 32767 if waves else patches
        targets = tf.numpy_function(teacher.targets, [tf.cast(seen, tf.float32)], tf.float32)
        return patches, tf.ensure_shape(targets, (windows_a_batch, teacher.dim)), tf.repeat(batch["clips"], 2)

    drawn = make_dataset(pairs, first, last, augment=augment, windows=waves)
    return drawn.map(add_targets, 2, deterministic=True).prefetch(2)


def distill(learn: AudioBank, held_out: AudioBank, folder: Path, teacher: Teacher,
            settings: DistillationSettings | None = None, *, progress: bool = True) -> trainer.Trained:
    """Train a student, or go on where a run in this folder was interrupted; the score is the share explained.

    The interval is over held-out clips; the model has no head. Errors are those of
    `nslib.training.trainer.train_triplets`; and BadParameter for a run of another teacher, if windows are to be changed
    and the teacher would not hear it, or if it says the same of every window.
    """
    settings = settings or DistillationSettings()
    if teacher.sees != "patches" and (changes := settings.pairs.changes):
        raise BadParameter(f"{teacher.name} hears windows before they are changed, and the student after; set "
                           f"{', '.join(changes)} to 0, or take a network of the kit as teacher.")
    trainer.claim_folder(folder, settings.json(name=teacher.name, revision=teacher.revision), learn, held_out)
    trainer.use_deterministic_operations()
    run = trainer.Run(_DistillLearner(learn, held_out, teacher, settings), folder)
    return run.finish(f"distill {settings.distill.student}", progress)


class _DistillLearner(trainer.Learner):
    """Learns the teacher's targets, centred and scaled, through a head on the student."""

    score = "explained"

    def __init__(self, learn: AudioBank, held_out: AudioBank, teacher: Teacher, settings: DistillationSettings):
        self.settings, self.teacher = settings.distill, teacher
        # epsilon as in the authors' later code; Keras would take 1e-7
        super().__init__(learn, held_out, settings.pairs, settings.distill, epsilon=1e-8,
                         strategy=tf.distribute.get_strategy())
        self._predict = tf.function(lambda patches: self.model(patches, training=False) * self.constants[1]
                                    + self.constants[0], autograph=False)

    @functools.cached_property
    def _test(self) -> list[Any]:
        return list(draw_targets(self.held_out, self.teacher, 0, self.loop.held_out, augment=False))

    def build(self) -> Any:
        self.network = build_student(self.settings.student, self.settings.seed)
        kernel = keras.initializers.GlorotUniform(self.settings.seed)
        head = keras.layers.Dense(self.teacher.dim, kernel_initializer=kernel, name="head")
        return keras.Model(self.network.input, head(take_embedding(self.network.output)))

    def measure(self, batch: Any, training: bool) -> tuple[Any, trainer.Figures]:
        patches, targets, _ = batch
        centre, scale = self.constants
        loss = tf.reduce_mean(tf.square(self.model(patches, training=training) - (targets - centre) / scale))
        return loss, {"loss": loss}

    def prepare(self) -> list[str]:
        sample = draw_targets(self.pairs, self.teacher, 0, self.settings.sample)
        targets = np.concatenate([targets for _, targets, _ in sample])
        centre, scale, note = standardise_targets(targets, self.settings.scale)
        self.constants = [centre, scale]
        return [note] if note else []

    def batches(self, first: int, last: int) -> Any:
        return _make_target_dataset(self.pairs, self.teacher, first, last)

    def look(self) -> dict[str, float]:
        patches, targets, pieces = zip(*self._test, strict=True)
        wanted = np.concatenate(targets).astype(np.float64)
        predicted = np.concatenate([self._predict(some) for some in patches])
        errors, deviations = (np.square(away).sum(1) for away in (predicted - wanted, wanted - wanted.mean(0)))
        share, low, high = share_explained(errors, deviations, np.concatenate(pieces))
        self.interval = low, high
        return {"mse": float(errors.mean() / self.teacher.dim), "explained": share}

    def facts(self, step: int, score: float) -> dict[str, Any]:
        return {"teacher": self.teacher.name, **super().facts(step, score)}


def standardise_targets(targets: Array, scale: str) -> tuple[Array, Array, str]:
    """Find centre and scale [dim] of targets [windows, dim], and a note on dimensions that never vary."""
    if not np.isfinite(targets).all():
        raise BadParameter("the teacher gives numbers that are not finite (NaN or infinity).")
    spread = targets.std(0, dtype=np.float64)
    usual = float(np.sqrt(np.mean(spread**2)))
    flat = spread <= 1e-6 * max(usual, float(np.abs(targets).max()))
    if flat.all():
        raise BadParameter("the teacher says the same of every window, so there is nothing to learn from it.")
    note = f"{int(flat.sum())} of {len(flat)} dimensions of the targets never vary." if flat.any() else ""
    if scale == "none":
        return np.zeros_like(targets[0]), np.ones_like(targets[0]), note
    by = np.where(flat, usual, spread) if scale == "dimension" else np.full(len(spread), usual)
    return targets.mean(0, dtype=np.float64).astype(np.float32), by.astype(np.float32), note


def share_explained(errors: Array, deviations: Array, pieces: Array, seed: int = 0) -> tuple[float, float, float]:
    """Compute the share explained, from squared distances [windows], with its interval over clips (NaN of one)."""
    names, index = np.unique(pieces, return_inverse=True)
    wrong, total = (np.bincount(index, values) for values in (errors, deviations))
    share = 1 - wrong.sum() / total.sum()
    if len(names) < 2:
        return float(share), math.nan, math.nan
    clips = intervals.Units("clip", index, np.full(len(names), 1 / len(names)), len(names))
    weights, tail = clips.weights(intervals.RESAMPLES, seed), (1 - intervals.LEVEL) / 2
    low, high = np.quantile(1 - (weights @ wrong) / (weights @ total), (tail, 1 - tail))
    return float(share), float(low), float(high)


def compare_students(names: Sequence[str], learn: AudioBank, held_out: AudioBank, folder: Path, teacher: Teacher,
                     settings: DistillationSettings | None = None, *, progress: bool = True) -> pd.DataFrame:
    """Train students, all different, one after the other and measure them; one that was interrupted goes on.

    The table has a row a student, and one for the teacher if it is a network of the kit: name, quality (share
    explained; the teacher's is 1) with low and high, steps (at which it was best), parameters, multiply_adds (of one
    patch), dim, latency_ms (LiteRT float32, one patch, one thread), latency_tensorflow_ms, float_bytes, int8_bytes (of
    the LiteRT files), int8_cosine (median, to the float network), machine.
    """
    if not names or len(set(names)) < len(names):
        raise BadParameter(f"give one or several students, each once; got {', '.join(names) or 'none'}.")
    settings = settings or DistillationSettings()
    test = Pairs(held_out, settings.pairs, settings.distill.seed + trainer.HELD_OUT_SEED, fewer=True)
    batches = -(-_PATCHES // (2 * test.batch))
    drawn = draw_targets(test, teacher, 0, batches, augment=False)
    patches = np.concatenate([some for some, _, _ in drawn])[:_PATCHES]
    rows: list[dict[str, Any]] = []
    for name in names:
        chosen = replace(settings, distill=replace(settings.distill, student=name))
        done = distill(learn, held_out, folder / name, teacher, chosen, progress=progress)
        rows.append({"name": name, "quality": done.score, "low": done.low, "high": done.high,
                     "steps": done.best_step, **_measure_costs(done.model, patches)})
    if teacher.network is not None:
        rows.append({"name": f"{teacher.name} (teacher)", "quality": 1.0, "low": 1.0, "high": 1.0,
                     **_measure_costs(teacher.network, patches)})
    return pd.DataFrame(rows)


def _measure_costs(model: Any, patches: Array) -> dict[str, Any]:
    size = count_cost(model)
    forms = compare_forms(model, patches, forms=("float32", "int8")).set_index("form")
    return {"parameters": size.parameters, "multiply_adds": size.multiply_adds,
            "dim": next(iter(size.outputs.values())), "latency_ms": forms.at["float32", "latency_ms"],
            "latency_tensorflow_ms": forms.at["tensorflow", "latency_ms"],
            "float_bytes": int(forms.at["float32", "bytes"]), "int8_bytes": int(forms.at["int8", "bytes"]),
            "int8_cosine": forms.at["int8", "cosine"], "machine": forms.at["float32", "machine"]}


def compare_forms(model: Any, patches: Array, *, forms: Sequence[str] = FORMS, calls: int = _CALLS) -> pd.DataFrame:
    """Compare the LiteRT forms of a network with the network itself, which gives a tensor or a dict with ``embedding``.

    The first half of ``patches`` [patches, 96, 64] sets the ranges of "int8", all are compared on the second. The table
    has a row for TensorFlow, on as many threads as it takes, and one a form: form, bytes (NaN for TensorFlow),
    latency_ms (median over calls with one patch; of LiteRT on one thread), cosine and worst_cosine (median and least,
    of its vectors and those of TensorFlow), relative_error (norm of the difference over norm, of all patches), machine.
    """
    if len(patches) < 2:
        raise BadParameter(f"give at least two patches, to set ranges by and to compare on; got {len(patches)}.")
    if calls < 1:
        raise BadParameter(f"calls must be at least 1; got {calls}.")
    known, fresh = np.array_split(patches.astype(np.float32), 2)
    graph = freeze_patch(model)  # takes longer than most of what follows, so it is made once
    one = runtime.make_runner(graph)

    def whole(rows: Array) -> Array:
        return np.concatenate([one(row[None]) for row in rows])

    true = whole(fresh)
    networks_of_forms: list[tuple[str, float, Any]] = [("tensorflow", math.nan, whole)]
    for form in forms:
        content = convert_network(graph, form, known)
        networks_of_forms.append((form, len(content), open_network(content)))
    patch = np.random.default_rng(0).normal(-4, 2.5, (1, TRILL.patch, TRILL.mels)).astype(np.float32)
    return pd.DataFrame([{"form": form, "bytes": size, "latency_ms": time_call(partial(run, patch), calls, _WARM_UP),
                          **_differences(run(fresh), true), "machine": name_machine()}
                         for form, size, run in networks_of_forms])


def _differences(vectors: Array, true: Array) -> dict[str, float]:
    vectors, true = vectors.astype(np.float64), true.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(true, axis=1)
    cosines = np.divide((vectors * true).sum(1), norms, out=np.zeros(len(norms)), where=norms > 0)
    error = np.linalg.norm(vectors - true) / max(np.linalg.norm(true), np.finfo(float).tiny)
    return {"cosine": float(np.median(cosines)), "worst_cosine": float(cosines.min()), "relative_error": float(error)}


def name_machine() -> str:
    """Name the processor that times are of, as the system calls it, with the number of CPUs of this process."""
    linux = Path("/proc/cpuinfo")  # elsewhere the platform's own name is what there is
    rows = linux.read_text(encoding="utf-8").splitlines() if linux.exists() else []
    named = (row.split(":", 1)[1].strip() for row in rows if row.startswith("model name"))
    return f"{next(named, platform.processor() or platform.machine())}, {runtime.count_threads()} CPUs"
