"""Fine-tuning: the whole network learns a task, instead of a probe on its frozen vectors.

References: Shor et al. 2020, table 2, row "TRILL finetuned"; the authors' head (`eval_embedding`): pooled frames, one
dense layer, cross-entropy, Adam. NetVLAD: arXiv:1511.07247. AutoPool: arXiv:1804.10070. The authors' code drops clips
that are not longer than a second (so all of Speech Commands), crops test clips at random too, and declares an L2
penalty that never enters the loss; its heads average over padding, and its AutoPool overflows on large values. Here no
clip is dropped, validation and test see all patches, and pools a clip's own frames only. Batch normalisation is frozen:
a few hundred clips are too few for new statistics.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.std import tqdm

from nslib import audio, config
from nslib.config import Params
from nslib.datasets import loading, splits
from nslib.datasets.splits import SPLITS
from nslib.datasets.tasks import Task
from nslib.embeddings.networks import WEIGHT_FILES, assign_values, copy_values, cut_at_tap, cut_patches, load_network
from nslib.embeddings.runtime import group_by_clip
from nslib.errors import BadAudio, BadParameter, refuse_unknown
from nslib.evaluation import results
from nslib.evaluation.probe import Fit, FitSettings, Grid, LabelledVectors, check_splits, score_fits
from nslib.frontend import TRILL
from nslib.statistics.scores import get_metric, score
from nslib.training.settings import FinetuneSettings, make_adam

__all__ = ["Pool", "benchmark_finetuned", "compute_frames", "cut_clips", "finetune", "name_finetuned"]

VERSION = 2  # of how a result comes about; another number lets every kept result be made anew

POOLS = ("mean", "netvlad", "autopool")

_NAMED = ("tap", "pool")  # settings that a name says in words
_AT_ONCE = 64
_LEAST = -3.4e38  # the least float32: no score of a frame is below it

Patches = npt.NDArray[np.float32]


class Pool:
    """A pool, one of `POOLS` (else UnknownName), of the frames of a clip, over its own frames only.

    Called with frames float32 [clips, frames, dim], each clip's own first, and counts int [clips], how many those are,
    it gives float32 [clips, dim], of NetVLAD [clips, clusters * dim]; its ``weights`` are made by the first call.
    ``alpha`` is where AutoPool starts: 0 is the mean, large the maximum.
    """

    def __init__(self, name: str, clusters: int = 4, alpha: float = 0.0, seed: int = 0):
        refuse_unknown("pool", name, POOLS)
        self.name, self.clusters, self.alpha, self.seed = name, clusters, alpha, seed
        self.weights: Any = None

    def __call__(self, frames: Any, counts: Any) -> Any:
        """Pool the frames of clips."""
        from keras import ops

        frames = ops.convert_to_tensor(frames, "float32")
        if self.weights is None:
            self.weights = self._make_weights(int(frames.shape[-1]))
        valid = (ops.arange(ops.shape(frames)[1])[None, :] < ops.cast(counts, "int32")[:, None])[..., None]
        frames = ops.where(valid, frames, 0.0)  # padding may hold anything, even what is not a number
        if self.name == "mean":
            return ops.sum(frames, 1) / ops.maximum(ops.sum(ops.cast(valid, "float32"), 1), 1.0)
        if self.name == "autopool":  # average weighted by a softmax over time, with an alpha learnt for each dimension
            scores = ops.where(valid, self.weights[0] * frames, _LEAST)
            return ops.sum(ops.softmax(scores, axis=1) * frames, 1)
        # NetVLAD: the sum of what each frame differs by from centres to which it is softly assigned
        centres, kernel, bias = self.weights
        shares = ops.softmax(ops.matmul(frames, kernel) + bias, axis=-1) * ops.cast(valid, "float32")
        centred = ops.einsum("ctk,ctd->ckd", shares, frames) - ops.sum(shares, 1)[..., None] * centres
        rows = ops.normalize(centred, axis=-1)
        return ops.normalize(ops.reshape(rows, (-1, self.clusters * frames.shape[-1])), axis=-1)

    def _make_weights(self, dim: int) -> list[Any]:
        import keras

        if self.name == "mean":
            return []
        if self.name == "autopool":
            return [keras.Variable(np.full(dim, self.alpha, np.float32), name="alpha")]
        draw, draw_centres = (keras.initializers.RandomNormal(stddev=dim ** -0.5, seed=self.seed + k) for k in (0, 1))
        return [keras.Variable(draw_centres((self.clusters, dim)), name="centres"),
                keras.Variable(draw((dim, self.clusters)), name="kernel"),
                keras.Variable(np.zeros(self.clusters, np.float32), name="bias")]


class FinetuneModel:
    """Network, pool and dense layer, as one thing that learns; of a clip it is given what `prepare` makes of it."""

    def __init__(self, settings: FinetuneSettings, classes: int):
        import keras
        import tensorflow as tf

        self.settings = settings
        self.network = cut_at_tap(load_network(settings.network), settings.tap)
        self.pool = Pool(settings.pool, settings.clusters, settings.alpha, settings.seed)
        self.dense = keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(settings.seed))
        dim = self.network.output.shape[-1]
        self.dense(self.pool(np.zeros((1, 2, dim), np.float32), np.ones(1, np.int64)))
        head = [*self.pool.weights, *self.dense.trainable_variables]
        moving = [] if settings.frozen else list(self.network.trainable_variables)
        self._learning = [(head, make_adam(settings.head_rate)), (moving, make_adam(settings.network_rate))]
        for variables, optimiser in self._learning:
            optimiser.build(variables)
        self.learn = tf.function(self._learn, autograph=False)
        self._frames = tf.function(lambda patches: self.network(patches, training=False), autograph=False,
                                   input_signature=[tf.TensorSpec([None, TRILL.patch, TRILL.mels], tf.float32)])

    @property
    def weights(self) -> list[Any]:
        """All variables."""
        return [*self.network.weights, *self.pool.weights, *self.dense.weights]

    def prepare(self, clips: list[Patches]) -> list[Patches]:
        """Return what learning looks at: patches, or the frames of a frozen network, which need computing but once."""
        return self._compute_frames(clips) if self.settings.frozen else clips

    def loss(self, logits: Any, labels: Any, weight: Any) -> Any:
        """Return cross-entropy of a batch plus the penalty: a scalar tensor."""
        import tensorflow as tf

        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        mean = tf.reduce_sum(entropy * weight) / tf.reduce_sum(weight)
        return mean + self.settings.l2 * tf.reduce_sum(tf.square(self.dense.kernel))

    def pool_clips(self, clips: list[Patches]) -> npt.NDArray[np.float32]:
        """Pool all patches of each clip: float32 [clips, dim]."""
        rows = np.concatenate(clips if self.settings.frozen else self._compute_frames(clips))
        frames, counts = group_by_clip(rows, [len(clip) for clip in clips])
        return np.concatenate([np.asarray(self.pool(frames[i:i + _AT_ONCE], counts[i:i + _AT_ONCE]))
                               for i in range(0, len(clips), _AT_ONCE)])

    def probabilities(self, pooled: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return probabilities of pooled clips: float64 [clips, classes]."""
        from scipy.special import softmax

        return np.asarray(softmax(np.asarray(self.dense(pooled), np.float64), axis=1))

    def _compute_frames(self, clips: list[Patches]) -> list[Patches]:
        patches = np.concatenate(clips)
        rows = [np.asarray(self._frames(patches[i:i + _AT_ONCE])) for i in range(0, len(patches), _AT_ONCE)]
        return np.split(np.concatenate(rows), np.cumsum([len(clip) for clip in clips])[:-1])

    def _learn(self, clips: Any, counts: Any, labels: Any, weight: Any) -> Any:
        """Make one step with clips [clips, patches, ...] of some weight; return the loss before it, with penalty."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            frames = clips
            if not self.settings.frozen:  # of short clips most is filling, which no pool looks at: it costs nothing
                own = tf.sequence_mask(counts, tf.shape(clips)[1])
                rows = self.network(tf.boolean_mask(clips, own), training=False)
                shape = (*tf.unstack(tf.shape(own, tf.int64)), rows.shape[-1])
                frames = tf.ensure_shape(tf.scatter_nd(tf.where(own), rows, shape), [None, None, rows.shape[-1]])
            loss = self.loss(self.dense(self.pool(frames, counts)), labels, weight)
        gradients = tape.gradient(loss, [variables for variables, _ in self._learning])
        for (variables, optimiser), some in zip(self._learning, gradients, strict=True):
            if variables:
                optimiser.apply_gradients(zip(some, variables, strict=True))
        return loss


@dataclass(frozen=True)
class Material:
    """Clips of one split, cut: patches, float32 [patches, 96, 64] a clip (or what `FinetuneModel.prepare` makes)."""

    patches: list[Patches]
    y: npt.NDArray[Any]
    speaker: npt.NDArray[Any]
    clip_id: npt.NDArray[Any]
    frames_of: tuple[str, ...] = ()  # network and tap, where `compute_frames` has run them


Cut = tuple[dict[str, Material], tuple[str, ...]]  # clips of each split, in the order of ``clip_id``, and notes on them


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network of its best epoch, with curve, probabilities [clips, classes] and pooled vectors."""

    model: FinetuneModel
    classes: npt.NDArray[Any]
    curve: pd.DataFrame
    best_epoch: int
    best_step: int
    probabilities: dict[str, npt.NDArray[np.float64]]
    vectors: dict[str, npt.NDArray[np.float32]]
    seconds: float


def finetune(material: dict[str, Material], settings: FinetuneSettings | None = None, *, metric: str = "accuracy",
             progress: bool = True) -> Finetuned:
    """Fine-tune a network on train, stop by a metric on validation, answer for test.

    ``material`` is of each split, as `cut_clips` gives it; BadParameter if one is missing or empty, or train has a
    single class. The curve has the columns step, part (train, held-out: validation), figure (loss, ``task <metric>``)
    and value.
    """
    settings, began = settings or FinetuneSettings(), perf_counter()
    if empty := [name for name in SPLITS if name not in material or not material[name].patches]:
        raise BadParameter(f"no clips in {', '.join(empty)}; fine-tuning needs {', '.join(SPLITS)}.")
    if len(set(material["train"].y)) < 2:
        raise BadParameter(f"train has the single class '{material['train'].y[0]}'; at least 2 are needed.")
    ready = {(settings.network, settings.tap)} if settings.frozen else set()
    if wrong := {part.frames_of for part in material.values()} - ready - {()}:
        raise BadParameter(f"frames of {' '.join(wrong.pop())} were given for {settings}; give what `cut_clips` gave.")
    classes = np.unique(np.concatenate([part.y for part in material.values()]))
    model, curve = FinetuneModel(settings, len(classes)), []
    material = {name: part if part.frames_of else replace(part, patches=model.prepare(part.patches))
                for name, part in material.items()}
    train, validation = material["train"], material["validation"]
    steps = -(-len(train.patches) // settings.batch)
    best, best_epoch, best_weights = -np.inf, 0, copy_values(model.weights)
    for epoch in tqdm(range(1, settings.epochs + 1), f"fine-tune {settings.network}", unit="epoch",
                      disable=not progress):
        curve.append((steps * epoch, "train", "loss", _train_epoch(model, train, classes, epoch)))
        answers = _answer(model.probabilities(model.pool_clips(validation.patches)), classes, metric)
        value = score(validation.y, answers, metric, classes=classes)
        curve.append((steps * epoch, "held-out", f"task {metric}", value))
        worth = value if get_metric(metric).higher_is_better else -value
        if worth > best:
            best, best_epoch, best_weights = worth, epoch, copy_values(model.weights)
        elif epoch - best_epoch >= settings.patience:
            break
    assign_values(model.weights, best_weights)
    seconds = perf_counter() - began
    vectors = {name: model.pool_clips(part.patches) for name, part in material.items()}
    probabilities = {name: model.probabilities(vectors[name]) for name in SPLITS[1:]}
    table = pd.DataFrame(curve, columns=["step", "part", "figure", "value"])
    return Finetuned(model, classes, table, best_epoch, steps * best_epoch, probabilities, vectors, seconds)


def _answer(probabilities: npt.NDArray[np.float64], classes: Any, metric: str) -> npt.NDArray[Any]:
    """Return what a metric is computed from: probabilities, or the likeliest labels."""
    return probabilities if get_metric(metric).needs == "scores" else classes[probabilities.argmax(1)]


def _train_epoch(model: FinetuneModel, train: Material, classes: Any, epoch: int) -> float:
    """Learn from every training clip once; return the mean loss."""
    settings = model.settings
    rng = np.random.default_rng([settings.seed, epoch])
    order, labels = rng.permutation(len(train.patches)), np.searchsorted(classes, train.y)
    losses = []
    for start in range(0, len(order), settings.batch):
        chosen = order[start:start + settings.batch]
        weight = np.zeros(settings.batch, np.float32)
        weight[:len(chosen)] = 1
        chosen = np.resize(chosen, settings.batch)  # the last batch is filled up with clips of weight 0
        clips = [train.patches[i] for i in chosen]
        crops = np.zeros((len(clips), settings.patches, *clips[0].shape[1:]), np.float32)
        counts = np.minimum([len(clip) for clip in clips], settings.patches).astype(np.int64)
        for row, clip, count in zip(crops, clips, counts, strict=True):  # successive patches, zeros behind the last
            begin = rng.integers(0, len(clip) - count + 1)
            row[:count] = clip[begin:begin + count]
        losses.append(float(model.learn(crops, counts, labels[chosen], weight)))
    return float(np.mean(losses))


def name_finetuned(settings: FinetuneSettings) -> str:
    """Name a fine-tuned network in tables: ``trill-mini-finetuned``, and what is not as usual.

    Another tap, another pool and the control are words. Any other change but that of the seed, which has a column of
    its own, adds four digits, so that an experiment never takes the place of the usual run.
    """
    usual = FinetuneSettings()
    parts = [settings.network, "frozen" if settings.frozen else "finetuned"]
    parts += [getattr(settings, name) for name in _NAMED if getattr(settings, name) != getattr(usual, name)]
    same = {name: getattr(settings, name) for name in ("network", "frozen", "seed", *_NAMED)}
    if settings != replace(usual, **same):
        parts.append(hashlib.sha256(repr(replace(settings, seed=0)).encode()).hexdigest()[:4])
    return "-".join(parts)


def benchmark_finetuned(task: Task, params: Params, settings: FinetuneSettings | None = None, *, cut: Cut | None = None,
                        done: Finetuned | None = None, progress: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fine-tune on a task, or find the result: it is keyed by clips, weights at the start, settings and `VERSION`.

    Returns rows and predictions as `nslib.evaluation.results.ROWS` and `PREDICTIONS`, of one combination, probe
    ``finetuned-<pool>`` (``frozen-<pool>`` of the control). ``cut`` is what `cut_clips` or `compute_frames` gave for
    it; ``done`` a run of these settings on that, which is scored and not made again. Unavailable if the task's data
    cannot be had; BadParameter if a split is empty, or for other clips or settings.
    """
    config.refuse_stray_rehearsal(params)
    settings = settings or FinetuneSettings()
    clips = loading.load_clips(task, params, progress=progress).clips
    origin = {"task": task.name, "embedding": name_finetuned(settings), "data_hash": splits.hash_data(clips),
              "split_hash": splits.hash_split(clips), "weights_hash": WEIGHT_FILES[settings.network].sha256}
    key = results.make_key(**origin, settings={**dataclasses.asdict(settings), "metric": task.metric,
                                               "version": VERSION})
    if (known := results.find_result(key)) is not None:
        return known
    if done is not None and done.model.settings != settings:
        raise BadParameter(f"the run that was given has other settings: {done.model.settings}, not {settings}.")
    material, notes = cut or cut_clips(clips, progress=progress)
    if strange := {clip for part in material.values() for clip in part.clip_id} - set(clips["clip_id"]):
        raise BadParameter(f"{len(strange)} clips that were given are not of task {task.name}, as {min(strange)!r}.")
    done = done or finetune(material, settings, metric=task.metric, progress=progress)
    grid = score_finetuned(done, material, task.metric, notes)
    made = results.add_origin(grid, key=key, corpus_kind=task.kind, **origin)
    results.save_result(*made)
    return made


def cut_clips(clips: pd.DataFrame, *, progress: bool = True) -> Cut:
    """Read the clips of a task and cut them into patches; note how many were padded, and which cannot be read."""
    patches, padded, unread = {}, 0, []
    for row in tqdm(clips.itertuples(), "cut", len(clips), unit="clip", disable=not progress):
        try:
            wave = audio.read(row.audio).wave
        except BadAudio as error:
            unread.append(f"Left out: {error}")
            continue
        padded += len(wave) < TRILL.min_samples
        patches[row.clip_id] = cut_patches(wave)
    material = {}
    for split in SPLITS:
        rows = clips[clips["clip_id"].isin(patches) & (clips["split"] == split)].sort_values("clip_id")
        columns = (rows[column].to_numpy(str) for column in ("label", "speaker", "clip_id"))
        material[split] = Material([patches[clip] for clip in rows["clip_id"]], *columns)
    notes = [f"{padded} of {len(clips)} clips are shorter than a second and were padded with zeros."] if padded else []
    return material, (*notes, *unread)


def compute_frames(cut: Cut, settings: FinetuneSettings) -> Cut:
    """Compute the frames of all clips of a task by the frozen network, once for all heads that are to learn from it."""
    model = FinetuneModel(replace(settings, frozen=True), 2)
    parts = {name: replace(part, patches=model.prepare(part.patches), frames_of=(settings.network, settings.tap))
             for name, part in cut[0].items() if part.patches}
    return {**cut[0], **parts}, cut[1]


def score_finetuned(done: Finetuned, material: dict[str, Material], metric: str, notes: tuple[str, ...] = ()) -> Grid:
    """Score a fine-tuned network as probes are scored: a grid of one combination."""
    settings = done.model.settings
    name = f"{'frozen' if settings.frozen else 'finetuned'}-{settings.pool}"
    answers = {split: _answer(p, done.classes, metric) for split, p in done.probabilities.items()}
    labels = {split: done.classes[p.argmax(1)] for split, p in done.probabilities.items()}
    fit = Fit(name, False, False, answers, labels, done.best_epoch < settings.epochs, done.seconds, "")
    parts = (LabelledVectors(done.vectors[split], material[split].y, material[split].speaker, material[split].clip_id)
             for split in SPLITS)
    return score_fits([fit], check_splits(*parts), FitSettings(done.classes, metric, settings.seed), notes)
