"""An embedding and a linear probe on it as one SavedModel, ``softmax(Wx + b)``: sound in, probabilities out.

References: Shor et al. 2020, section 3, for the probes; the published TRILL for the signature.

``(samples, sample_rate)`` gives ``probabilities`` [classes], ``label_index`` [] and ``vector`` [dim], the average over
time before any normalisation (for several clips of one length with an axis of clips in front); ``labels()`` gives the
names. All but the network is float64: probabilities equal scikit-learn's to 1e-5, which is checked before anything is
written. Not exported: forests, and a z-score by speaker, which needs other clips of the same speaker.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tensorflow as tf

from nslib import audio, config, embeddings, frontend
from nslib.config import Params
from nslib.datasets import loading, tasks
from nslib.datasets.table import PROBLEM_COLUMNS
from nslib.embeddings import networks
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.embeddings.downloads import fetch_model
from nslib.embeddings.hub import ADAPTERS, Adapter, InnerLayer, choose_rank
from nslib.embeddings.networks import TRAINED_TAPS
from nslib.embeddings.registry import EMBEDDINGS, outline
from nslib.errors import BadParameter, NslibError, UnknownName, refuse_unknown
from nslib.evaluation.benchmark import benchmark, label_vectors
from nslib.evaluation.classifiers import CLASSIFIERS, normalise
from nslib.evaluation.probe import FIT_CONTEXT, check_splits
from nslib.extraction.extract import extract_vectors
from nslib.frontend import TRILL
from nslib.statistics.scores import get_metric
from nslib.training import export

__all__ = ["Answer", "fit_and_export", "load_classifier"]

LINEAR_PROBES = tuple(name for name in CLASSIFIERS if not name.startswith("Forest"))  # probes that can be exported

_KIND = "classifier"
_TOLERANCE = 1e-5
_TRIALS = 64


@dataclass(frozen=True)
class Backbone:
    """An embedding, as a graph too: ``frames`` takes float64 [clips, samples] to float32 [clips, frames, dim]."""

    embedding: Embedding
    frames: Callable[[Any], Any]
    parts: tuple[Any, ...]  # variables and loaded models that `frames` uses


def list_backbones() -> list[str]:
    """List the built-in embeddings that can be exported: networks that TensorFlow alone computes."""
    return [name for name in EMBEDDINGS
            if name in TRAINED_TAPS or (name in ADAPTERS and not isinstance(ADAPTERS[name].output, InnerLayer))]


def take_network(model: Any, tap: str, name: str | None = None, **facts: Any) -> Backbone:
    """Take a tap, a key of the outputs, of a Keras network on patches; facts are those of `Embedding`."""
    refuse_unknown("tap", tap, model.output)
    return _put_in_graph(networks.make_embedding(model, tap, name or f"{model.name}-{tap}", **facts), model, tap)


def take_built_in(name: str) -> Backbone:
    """Take one of `list_backbones`; BadParameter for an embedding that no graph can hold."""
    refuse_unknown("embedding", () if ":" in name.replace("://", "") else name, EMBEDDINGS)  # a function is no name
    if name not in list_backbones():
        raise BadParameter(f"{name} is not computed by TensorFlow alone, so no graph can hold it. Can be exported: "
                           f"{', '.join(list_backbones())}, networks of yours, and SavedModels with TRILL's signature.")
    if name not in TRAINED_TAPS:
        return _load_in_graph(embeddings.get(name), fetch_model(EMBEDDINGS[name].hub), ADAPTERS[name])
    network, tap = TRAINED_TAPS[name]
    return _put_in_graph(outline(name), networks.load_network(network), tap)


def take_saved_model(folder: str | Path, key: str, name: str | None = None) -> Backbone:
    """Take an output, by its key, of a SavedModel with TRILL's signature; BadParameter if it has another."""
    embedding = embeddings.from_saved_model(folder, name, key=key, rate_argument=True)
    try:
        return _load_in_graph(embedding, Path(folder), Adapter("", key, (2, 1), TRILL, rate=True))
    except NslibError as error:
        raise BadParameter(f"{folder} has not TRILL's signature, (samples, sample_rate): {error}.") from error


def _put_in_graph(embedding: Embedding, model: Any, tap: str) -> Backbone:
    hear = export.put_behind_front_end(model, [tap])
    return Backbone(embedding, lambda wave: hear(wave)[tap], tuple(weight.value for weight in model.weights))


def _load_in_graph(embedding: Embedding, folder: Path, adapter: Adapter) -> Backbone:
    module = tf.saved_model.load(str(folder))
    rank = choose_rank(module, adapter)
    # TRILLsson mirrors short clips, but only up to twice their length; done here, it is nothing for the model to do
    front_end = adapter.frontend if adapter.whole else replace(TRILL, min_samples=embedding.min_samples)

    def call(samples: Any) -> Any:
        rate = {"sample_rate": tf.constant(SAMPLE_RATE)}
        outputs = module(samples=samples, **rate) if adapter.rate else module(samples)
        return outputs if adapter.output is None else outputs[adapter.output]

    def frames(wave: Any) -> Any:
        wave = frontend.pad_tf(tf.cast(wave, tf.float32), front_end)
        if rank == 2:  # some models have clips and frames, or all clips, on one axis
            return tf.reshape(call(wave), [tf.shape(wave)[0], -1, embedding.dim])
        return tf.map_fn(call, wave, fn_output_signature=tf.TensorSpec([None, embedding.dim], tf.float32))

    return Backbone(embedding, frames, (module,))


def export_classifier(backbone: Backbone, classifier: Any, folder: str | Path, *, labels: Sequence[str] | None = None,
                      l2: bool = False, speaker_norm: bool = False, examples: npt.ArrayLike | None = None,
                      facts: dict[str, Any] | None = None, **stated: str) -> Path:
    """Write an embedding with a linear classifier, fitted on its averages over time, as one SavedModel.

    BadParameter for what cannot be exported or a folder that is not empty; NslibError if the graph does not give
    scikit-learn's probabilities of ``examples`` [clips, dim], vectors as they reach the classifier (by default some
    about the borders between classes). ``labels`` names ``classifier.classes_``; ``l2``: fitted on vectors of length
    one; ``facts`` (what JSON can hold) and ``stated`` (as of `export.export_saved_model`) are written beside it.
    """
    folder = Path(folder)
    export.refuse_to_overwrite(folder)
    if speaker_norm:
        raise BadParameter("a classifier on vectors with a z-score by speaker cannot be exported: the z-score needs "
                           "other clips of the same speaker, which an unknown speaker does not have. Fit the "
                           "classifier without it (speaker_norm=False); its score without it is among the rows of the "
                           "benchmark.")
    weights, offset = _read_linear(classifier)
    _compare_with_scikit_learn(classifier, weights, offset, examples)
    known = backbone.embedding
    if weights.shape[1] != known.dim:
        raise BadParameter(f"the classifier was fitted on vectors of {weights.shape[1]} numbers, but {known.name} "
                           f"gives {known.dim}; fit it on its vectors.")
    names = [str(label) for label in (classifier.classes_ if labels is None else labels)]
    if len(names) != len(weights) or len(set(names)) != len(weights):
        raise BadParameter(f"{len(weights)} different labels are needed, one a class; got {names}.")
    stated = {"licence": known.licence, "source": known.source, "trained_on": known.trained_on,
              "citation": known.citation, **stated}
    described = {"name": folder.name, "labels": names, "embedding": known.name, "weights": known.revision,
                 "dim": known.dim, "shortest_seconds": max(known.min_samples / SAMPLE_RATE, known.window),
                 "classifier": type(classifier).__name__, "l2": l2,
                 "outputs": ["probabilities", "label_index", "vector"], "input": export.INPUT,
                 **export.describe_export(_KIND, stated)}
    parts = [tf.Variable(values, trainable=False) for values in (weights, offset)]

    def answer(wave: Any) -> dict[str, Any]:
        # as nslib.extraction.extract averages and keeps vectors
        vector = tf.cast(tf.reduce_mean(tf.cast(backbone.frames(wave), tf.float64), 1), tf.float32)
        x = tf.cast(vector, tf.float64)
        # a vector of zeros stays one, as in nslib.evaluation.classifiers
        x = tf.math.divide_no_nan(x, tf.norm(x, axis=1, keepdims=True)) if l2 else x
        probabilities = tf.nn.softmax(tf.matmul(x, parts[0], transpose_b=True) + parts[1])
        return {"probabilities": probabilities, "label_index": tf.argmax(probabilities, 1), "vector": vector}

    module = export.ClipModel(answer, [*backbone.parts, *parts])
    module.labels = tf.function(lambda: tf.constant(names), input_signature=[], autograph=False)
    return export.write_saved_model(folder, module, described | (facts or {}))


def _read_linear(classifier: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return W [classes, dim] and b [classes] of a fitted classifier; the first class of two has zeros."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression

    known = isinstance(classifier, LogisticRegression | LinearDiscriminantAnalysis)
    if not known or not hasattr(classifier, "coef_"):
        state = "is not fitted" if known else "cannot be exported"
        raise BadParameter(f"{type(classifier).__name__} {state}; give a fitted LogisticRegression or "
                           "LinearDiscriminantAnalysis (nslib.evaluation.lda.ShrinkageLDA). Forests are not exported.")
    weights, offset = np.asarray(classifier.coef_, np.float64), np.asarray(classifier.intercept_, np.float64)
    if len(weights) > 1:
        return weights, offset
    return np.concatenate([0 * weights, weights]), np.concatenate([0 * offset, offset])


def _compare_with_scikit_learn(classifier: Any, weights: Any, offset: Any, examples: npt.ArrayLike | None) -> None:
    """Raise NslibError if ``softmax(Wx + b)`` is not what this version of scikit-learn computes."""
    from scipy.special import softmax

    if examples is None:  # about the borders between classes, where probabilities are neither 0 nor 1
        drawn = np.random.default_rng(0).normal(size=(_TRIALS, weights.shape[1]))
        border = np.linalg.lstsq(weights, -offset, rcond=None)[0] if len(weights) <= _TRIALS else 0.0
        examples = border + drawn * 2 / max(float(np.std(drawn @ weights.T)), np.finfo(float).tiny)
    x = np.asarray(examples, np.float64)
    apart = float(np.abs(softmax(x @ weights.T + offset, axis=1) - classifier.predict_proba(x)).max())
    if not apart <= _TOLERANCE:
        raise NslibError(f"the graph's probabilities differ by {apart:.2g} from those of this "
                         f"{type(classifier).__name__}, so it is not exported; this version of scikit-learn computes "
                         "them in a way that is not known here.")


@dataclass(frozen=True)
class Answer:
    """What a classifier says of one clip: the likeliest class, and the probability of every class."""

    label: str
    probabilities: dict[str, float]
    notes: tuple[str, ...] = ()  # what was done to its sound, and what is unusual about it


class Classifier:
    """An exported classifier, called with a recording; ``facts`` is what lies beside the graph (``nslib.json``)."""

    def __init__(self, module: Any, facts: dict[str, Any]):
        self.labels, self.facts, self._module = tuple(facts["labels"]), facts, module

    def __call__(self, source: str | os.PathLike[str] | npt.ArrayLike, sample_rate: int | None = None) -> Answer:
        """Classify a file, or an array [samples] or [samples, channels] at a rate in Hz; errors as of `audio`."""
        assumed = list[str]()
        if isinstance(source, str | os.PathLike):
            clip = audio.read(source)
        else:
            assumed = [f"no sample rate was given with it: taken as {SAMPLE_RATE} Hz"] if sample_rate is None else []
            clip = audio.from_array(source, SAMPLE_RATE if sample_rate is None else sample_rate)
        # the object's own call would be traced anew for every length
        outputs = self._module.signatures["serving_default"](samples=tf.constant(clip.wave[None]),
                                                             sample_rate=tf.constant(SAMPLE_RATE))
        shares = dict(zip(self.labels, np.asarray(outputs["probabilities"])[0].tolist(), strict=True))
        shortest = self.facts.get("shortest_seconds", 0.0)
        short = [f"padded with zeros to {shortest:.3g} s"] if clip.seconds < shortest else []
        return Answer(self.labels[int(outputs["label_index"][0])], shares, (*assumed, *clip.notes, *short))


def load_classifier(folder: str | Path) -> Classifier:
    """Load a folder that `fit_and_export` or `export_classifier` wrote; BadParameter if it is something else.

    Examples
    --------
    >>> load_classifier("my_classifier/")("clip.wav").label            # doctest: +SKIP
    'angry'
    """
    facts = export.read_facts(folder)
    if facts.get("kind") != _KIND:
        raise BadParameter(f"{folder} is an exported {facts.get('kind')}, no classifier; load it with "
                           "nslib.embeddings.from_saved_model.")
    try:
        return Classifier(tf.saved_model.load(str(folder)), facts)
    except Exception as error:  # a damaged file makes TensorFlow raise anything
        raise BadParameter(f"{folder} cannot be loaded ({type(error).__name__}: {error}); write it again.") from error


def fit_and_export(task: str | Path, embedding: str | Backbone, folder: str | Path, *, probe: str | None = None,
                   params: Params | None = None, splits: str | Path | None = None, progress: bool = True,
                   **stated: str) -> Path:
    """Fit the best linear probe of a task on train; write it with its embedding as one SavedModel, in a folder.

    ``task`` is a task's name, or recordings as `nslib.benchmark` takes them, with a file of ``splits``; ``embedding``
    one of `list_backbones`, or what `take_network` or `take_saved_model` made; ``probe`` one of `LINEAR_PROBES`, by
    default the best on validation; ``stated`` as of `nslib.training.export.export_saved_model`. The facts hold task,
    seed, clips, scores with intervals, ``notes`` and clips ``left_out`` of the benchmark, and in ``note``, which is
    printed too, whether a forest was better. UnknownName or BadParameter, before any work, for what is unknown, cannot
    be exported or would be overwritten; Unavailable or NslibError if the task or embedding cannot be had, or no probe
    can be fitted.
    """
    folder, params = Path(folder), params or config.load_params()
    export.refuse_to_overwrite(folder)
    if probe is not None and probe not in CLASSIFIERS:
        raise UnknownName("probe", probe, LINEAR_PROBES)
    if probe is not None and probe not in LINEAR_PROBES:
        raise BadParameter(f"{probe} is a forest, and only linear probes are exported: {', '.join(LINEAR_PROBES)}. "
                           "Give one of these, or none to take the best of them.")
    backbone = take_built_in(embedding) if isinstance(embedding, str) else embedding
    results = benchmark(backbone.embedding, task, params=params, splits=splits, progress=progress)
    if not len(results.rows):
        first = results.not_run.iloc[0]
        raise NslibError(f"{first.task} was not run with {first.embedding}: {first.why}. {first.remedy}")
    row, note = choose_combination(results.rows, probe)
    if note and progress:
        print(f"note: {note}", file=sys.stderr)
    if isinstance(task, str) and task in tasks.REGISTRY:
        record = tasks.get_task(task)
        corpus = loading.load_clips(record, params, progress=progress)
    else:
        record, corpus = loading.load_own_task(task, seed=params.seed, splits=splits, progress=progress)
    vectors = extract_vectors(corpus.clips, backbone.embedding, progress=progress)  # as the benchmark's probes saw them
    train = check_splits(*label_vectors(vectors))["train"]
    labels, codes = np.unique(train.y, return_inverse=True)
    x = normalise(train.x, train.speaker, l2=bool(row["l2"]), speaker_norm=False)
    with FIT_CONTEXT:
        classifier = CLASSIFIERS[row["probe"]](len(codes), len(labels), params.seed).fit(x, codes)
        warnings = [text.splitlines()[0] for _, text in FIT_CONTEXT.take_warnings()]
    same = results.rows.query("probe == @row.probe and l2 == @row.l2 and not speaker_norm")
    kept = ("value", "low", "high", "chance", "n", "n_speakers")
    scores = {one["split"]: {key: one[key] for key in kept} for one in same.to_dict("records")}
    facts = {"task": str(row["task"]), "task_licence": record.licence, "probe": row["probe"], "seed": params.seed,
             "clips": len(train.y), "metric": row["metric"], "scores": scores, "warnings": warnings, "note": note,
             "notes": results.notes, "left_out": results.problems[list(PROBLEM_COLUMNS)].to_dict("records")}
    return export_classifier(backbone, classifier, folder, labels=list(labels), l2=bool(row["l2"]),
                             speaker_norm=False, examples=x, facts=facts, **stated)


def choose_combination(rows: pd.DataFrame, probe: str | None = None) -> tuple[pd.Series, str]:
    """Choose the (first) best linear probe on validation, without a z-score by speaker; note if a forest is better."""
    rows = rows[rows["probe"].isin(CLASSIFIERS) & (rows["split"] == "validation")
                & ~rows["speaker_norm"].astype(bool) & rows["value"].notna()]
    linear = rows[rows["probe"].isin(LINEAR_PROBES if probe is None else [probe])]
    if not len(linear):
        raise NslibError(f"there is no score of {probe or 'a linear probe'} without a z-score by speaker; the rows of "
                         "the benchmark say why.")
    sign = 1 if get_metric(linear["metric"].iloc[0]).higher_is_better else -1
    row, best = (table.iloc[int(np.argmax(sign * table["value"].to_numpy()))] for table in (linear, rows))
    if probe is not None or sign * best["value"] <= sign * row["value"]:
        return row, ""
    return row, (f"{best['probe']} has the best score on validation ({best['value']:.4f}), but forests are not "
                 f"exported; taken is the best linear probe, {row['probe']} ({row['value']:.4f}).")
