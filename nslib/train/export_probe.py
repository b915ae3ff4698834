"""An embedding and a classifier on it as one SavedModel: sound in, probabilities out.

References: Shor et al. 2020, section 3, for the classifiers; the published TRILL for the signature.

Conventions
-----------
``(samples, sample_rate)`` gives ``probabilities`` [classes], ``label_index`` [] and ``vector`` [dim], the average
over time that the classifier saw before any normalisation; with an axis of clips in front for several clips. The
names of the classes are what ``labels()`` gives. Clips of one call are of one length: zeros after a shorter one
would be averaged in.

Everything but the network is computed in float64, so that probabilities equal scikit-learn's to 1e-5. A z-score by
speaker is not exported: it needs other clips of the same speaker, which a graph that hears one clip has not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import audio
from nslib.errors import BadParameter
from nslib.train import export
from nslib.train.export_backbones import Backbone

KIND = "classifier"


def saved_model(backbone: Backbone, classifier: Any, folder: str | Path, *, labels: Sequence[str] | None = None,
                l2: bool = False, speaker_norm: bool = False, examples: npt.ArrayLike | None = None,
                name: str | None = None, facts: dict[str, Any] | None = None, **stated: str) -> Path:
    """Write an embedding with a fitted classifier as one SavedModel.

    Parameters
    ----------
    backbone : Backbone
        From `nslib.train.export_backbones`.
    classifier : object
        Fitted on averages over time of the embedding: logistic regression, discriminant analysis or a forest.
    folder : path-like
        Must not exist, or be empty.
    labels : sequence of str, optional
        Names of the classes in the order of ``classifier.classes_``. Default: these.
    l2 : bool
        Whether it was fitted on vectors of length one.
    speaker_norm : bool
        Whether it was fitted on a z-score by speaker: this is refused.
    examples : array-like [clips, dim], optional
        Vectors as they reach the classifier, on which it is compared with scikit-learn before anything is written.
    name : str, optional
        Default: the folder's.
    facts : dict, optional
        More to write beside it; anything that JSON can hold.
    **stated
        As for `nslib.train.export.saved_model`. Default: what the embedding says of itself.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    BadParameter
        If it was fitted on a z-score by speaker, on vectors of another size, if labels do not match, or if there
        is something in the folder.
    NslibError
        If the graph does not give scikit-learn's probabilities.
    """
    folder = Path(folder)
    export.empty(folder)
    if speaker_norm:
        raise _needs_speakers()
    from nslib.train import export_classifiers, export_graph

    graph = export_classifiers.graph(classifier, examples)
    if graph.dim != backbone.embedding.dim:
        raise BadParameter(f"the classifier was fitted on vectors of {graph.dim} numbers, but "
                           f"{backbone.embedding.name} gives {backbone.embedding.dim}; fit it on its vectors.")
    known = [str(label) for label in (classifier.classes_ if labels is None else labels)]
    if len(known) != graph.classes or len(set(known)) != graph.classes:
        raise BadParameter(f"{graph.classes} different labels are needed, one a class; got {known}.")
    said = _facts(backbone, classifier, known, l2, name or folder.name, stated) | (facts or {})
    module = export_graph.Listener(_answering(backbone, graph, l2), [*backbone.parts, *graph.parts])
    module.labels = _constant(known)
    return export.write(folder, module.save, said)


@dataclass(frozen=True)
class Answer:
    """What a classifier says of one clip.

    Attributes
    ----------
    label : str
        The likeliest class.
    probabilities : dict of str to float
        Of every class.
    """

    label: str
    probabilities: dict[str, float]


class Classifier:
    """An exported classifier.

    Attributes
    ----------
    labels : tuple of str
        Names of the classes.
    facts : dict
        What lies beside the graph (``nslib.json``).
    """

    def __init__(self, module: Any, facts: dict[str, Any]):
        self.labels = tuple(facts["labels"])
        self.facts = facts
        self._module = module

    def __call__(self, source: str | os.PathLike[str] | npt.ArrayLike,
                 sample_rate: int = audio.SAMPLE_RATE) -> Answer:
        """Classify a recording.

        Parameters
        ----------
        source : path-like or array [samples] or [samples, channels]
            As `nslib.audio.read` and `nslib.audio.from_array` take it: channels are averaged, other rates resampled.
        sample_rate : int
            Hz, of an array.

        Returns
        -------
        Answer

        Raises
        ------
        BadAudio
            If it cannot be used.
        """
        clip = audio.read(source) if isinstance(source, str | os.PathLike) else audio.from_array(source, sample_rate)
        found = self._answer(clip.wave)
        shares = dict(zip(self.labels, np.asarray(found["probabilities"])[0].tolist(), strict=True))
        return Answer(self.labels[int(found["label_index"][0])], shares)

    def _answer(self, wave: audio.FloatArray) -> dict[str, Any]:
        import tensorflow as tf

        # the object's own call would be traced anew for every length
        serve, rate = self._module.signatures["serving_default"], tf.constant(audio.SAMPLE_RATE)
        return dict(serve(samples=tf.constant(wave[None]), sample_rate=rate))


def load(folder: str | Path) -> Classifier:
    """Load an exported classifier.

    Parameters
    ----------
    folder : path-like
        That `saved_model` wrote.

    Returns
    -------
    Classifier

    Raises
    ------
    BadParameter
        If it is something else.

    Examples
    --------
    >>> load("my_classifier/")("clip.wav").label            # doctest: +SKIP
    'angry'
    """
    facts = export.facts_of(folder)
    if facts.get("kind") != KIND:
        raise BadParameter(f"{folder} is an exported {facts.get('kind')}, no classifier; load it with "
                           "nslib.embeddings.from_saved_model.")
    import tensorflow as tf

    try:
        return Classifier(tf.saved_model.load(str(folder)), facts)
    except (OSError, ValueError) as error:
        raise BadParameter(f"{folder} cannot be loaded ({error}); write it again.") from error


def _needs_speakers() -> BadParameter:
    return BadParameter("a classifier on vectors with a z-score by speaker cannot be exported: the z-score needs other "
                        "clips of the same speaker, which an unknown speaker does not have. Fit the classifier without "
                        "it (speaker_norm=False); its score without it is among the rows of the benchmark.")


def _answering(backbone: Backbone, graph: Any, l2: bool) -> Any:
    import tensorflow as tf

    def answer(wave: Any) -> dict[str, Any]:
        # as nslib.extract averages and keeps vectors
        vector = tf.cast(tf.reduce_mean(tf.cast(backbone.frames(wave), tf.float64), 1), tf.float32)
        x = tf.cast(vector, tf.float64)
        # a vector of zeros stays one, as in nslib.classifiers
        x = tf.math.divide_no_nan(x, tf.norm(x, axis=1, keepdims=True)) if l2 else x
        found = graph.probabilities(x)
        return {"probabilities": found, "label_index": tf.argmax(found, 1), "vector": vector}

    return answer


def _constant(labels: Sequence[str]) -> Any:
    import tensorflow as tf

    return tf.function(lambda: tf.constant(list(labels)), input_signature=[], autograph=False)


def _facts(backbone: Backbone, classifier: Any, labels: Sequence[str], l2: bool, name: str,
           stated: dict[str, str]) -> dict[str, Any]:
    own = backbone.embedding
    said = {"licence": own.licence, "source": own.source, "trained_on": own.trained_on, "citation": own.citation}
    return {"name": name, "labels": list(labels), "embedding": own.name, "weights": own.revision, "dim": own.dim,
            "classifier": type(classifier).__name__, "l2": l2,
            "outputs": ["probabilities", "label_index", "vector"],
            "input": "samples: int16, float32 or float64, [samples] or [clips, samples]; sample_rate: int32 []",
            **export.common_facts(KIND, said | stated)}
