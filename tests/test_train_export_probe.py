"""Classifiers in graphs: scikit-learn's probabilities, sound in and labels out, and what must be refused."""

from __future__ import annotations

import hub_models
import numpy as np
import pytest
from helpers import tone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from nslib import audio, embeddings, params
from nslib.classifiers import CLASSIFIERS, l2_normalise
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName
from nslib.train import export, export_backbones, export_classifiers, export_fit, export_probe, networks

RNG = np.random.default_rng(0)


def drawn(classes, dim=40, clips=90):
    y = np.arange(clips) % classes
    x = RNG.normal(size=(clips, dim))
    x[:, 0] += y
    return x, y


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("probe", [*CLASSIFIERS, "extra trees"])
def test_probabilities_are_those_of_scikit_learn(probe, classes):
    import tensorflow as tf

    x, y = drawn(classes)
    made = ExtraTreesClassifier(20, random_state=0) if probe == "extra trees" else CLASSIFIERS[probe](90, classes, 0)
    classifier = made.fit(x, y)
    graph = export_classifiers.graph(classifier)
    for vectors in (x, RNG.normal(size=(50, 40)), 0 * x[:3], 100 * x[:9]):
        found = graph.probabilities(tf.constant(vectors)).numpy()
        np.testing.assert_allclose(found, classifier.predict_proba(vectors), rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (graph.dim, graph.classes) == (40, classes)


def test_a_vector_on_a_threshold_falls_to_the_same_side():
    import tensorflow as tf

    x, y = drawn(3, dim=4)
    forest = CLASSIFIERS["Forest_unbalanced_100"](90, 3, 0).fit(x, y)
    tree = forest.estimators_[0].tree_
    on = np.tile(x[0], (len(tree.threshold), 1))
    on[np.arange(len(on)), np.maximum(tree.feature, 0)] = tree.threshold
    vectors = np.concatenate([on, on.astype(np.float32), np.nextafter(on, np.inf), np.nextafter(on, -np.inf)])
    found = export_classifiers.graph(forest).probabilities(tf.constant(vectors)).numpy()
    np.testing.assert_allclose(found, forest.predict_proba(vectors), rtol=0, atol=1e-7)


def test_another_way_to_probabilities_is_found_out():
    class Blunt(LogisticRegression):
        """As a version of scikit-learn that computes them otherwise."""

        def predict_proba(self, X):
            return super().predict_proba(X / 2)

    with pytest.raises(NslibError, match=r"differ by .* from those of this Blunt"):
        export_classifiers.graph(Blunt().fit(*drawn(3)))


def test_what_is_no_such_classifier_is_refused():
    with pytest.raises(BadParameter, match="KNeighborsClassifier cannot be exported"):
        export_classifiers.graph(KNeighborsClassifier().fit(*drawn(2)))
    with pytest.raises(BadParameter, match="LogisticRegression is not fitted"):
        export_classifiers.graph(LogisticRegression())
    with pytest.raises(BadParameter, match="forest is not fitted"):
        export_classifiers.graph(ExtraTreesClassifier())


# ---- sound in, probabilities out ---------------------------------------------------------------------------

LABELS = ("calm", "cross", "glad")


@pytest.fixture(scope="module")
def backbone():
    model = networks.build(networks.Shape(0.1, (1, 1, 1, 1), stem=8, pooled=False), 3, "tiny")
    return export_backbones.network(model, "layer19", licence="CC0-1.0")


@pytest.fixture(scope="module")
def clips():
    return [tone(0.7 + 0.1 * k, 200 + 150 * (k % 3), seed=k) for k in range(21)]


def vectors_of(embedding, clips):
    """As `nslib.extract` averages them."""
    found = (embedding.embed(wave[None], np.array([len(wave)])) for wave in clips)
    return np.stack([row[0, : counts[0]].mean(0, dtype=np.float64).astype(np.float32) for row, counts in found])


@pytest.fixture(scope="module")
def vectors(backbone, clips):
    return vectors_of(backbone.embedding, clips)


@pytest.fixture(scope="module", params=[("LogisticRegression", 3, True), ("LDA_LSQR_AUTO", 2, False),
                                        ("Forest_balanced_100", 3, True)], ids=lambda case: case[0])
def exported(request, backbone, vectors, tmp_path_factory):
    """The exported classifier, scikit-learn's, and what reaches the latter."""
    probe, classes, l2 = request.param
    x = l2_normalise(vectors) if l2 else vectors.astype(np.float64)
    classifier = CLASSIFIERS[probe](len(x), classes, 0).fit(x, np.arange(len(x)) % classes)
    folder = tmp_path_factory.mktemp("probe") / "voice"
    export_probe.saved_model(backbone, classifier, folder, labels=LABELS[:classes], l2=l2, trained_on="tones")
    return export_probe.load(folder), classifier, x, folder


def test_from_sound_to_scikit_learns_probabilities(exported, clips):
    loaded, classifier, x, _ = exported
    true = classifier.predict_proba(x)
    for wave, row, code in zip(clips, true, classifier.predict(x), strict=True):
        answer = loaded(wave)
        assert list(answer.probabilities) == list(loaded.labels)
        np.testing.assert_allclose(list(answer.probabilities.values()), row, rtol=0, atol=1e-5)
        assert answer.label == loaded.labels[code]
    assert np.ptp(true, axis=0).max() > 0.3, "the answers differ, or the test says nothing"


def test_the_graph_alone_is_enough(exported, clips, vectors):
    import tensorflow as tf

    loaded, _, _, folder = exported
    module, wave = tf.saved_model.load(str(folder)), clips[4]
    one = module(samples=wave, sample_rate=16_000)
    two = module.signatures["serving_default"](samples=tf.constant(np.stack([wave, wave])),
                                               sample_rate=tf.constant(16_000))
    assert one["label_index"].shape == () and two["label_index"].shape == (2,)
    np.testing.assert_allclose(two["probabilities"][1], one["probabilities"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(one["vector"], vectors[4], rtol=0, atol=1e-5 * np.abs(vectors[4]).max())
    assert [label.decode() for label in module.labels().numpy()] == list(loaded.labels)
    with pytest.raises(tf.errors.InvalidArgumentError, match="16000 samples a second"):
        module(wave, 8_000)


def test_files_and_other_rates_are_read_as_everywhere(exported, clips, tmp_path):
    loaded = exported[0]
    path = audio.write_wav(tmp_path / "clip.wav", clips[5])
    assert loaded(path) == loaded(str(path)) == loaded(audio.read(path).wave)
    stereo = np.stack([clips[5], clips[5]], axis=1)
    assert loaded(stereo) == loaded(clips[5])
    assert loaded(clips[5][::2], sample_rate=8_000).label in loaded.labels
    with pytest.raises(BadAudio):
        loaded(tmp_path / "none.wav")


def test_what_lies_beside_it(exported, backbone):
    facts = exported[0].facts
    assert facts["weights"] == backbone.embedding.revision and facts["classifier"] == type(exported[1]).__name__
    assert facts["trained_on"] == "tones" and facts["licence"] == "CC0-1.0"
    with pytest.raises(BadParameter, match="not empty"):
        export_probe.saved_model(backbone, exported[1], exported[3])


def test_a_z_score_by_speaker_is_refused(backbone, vectors, tmp_path):
    classifier = LogisticRegression().fit(vectors, np.arange(len(vectors)) % 2)
    with pytest.raises(BadParameter, match="other clips of the same speaker"):
        export_probe.saved_model(backbone, classifier, tmp_path / "a", speaker_norm=True)
    with pytest.raises(BadParameter, match="2 different labels"):
        export_probe.saved_model(backbone, classifier, tmp_path / "a", labels=["x", "x"])
    small = LogisticRegression().fit(*drawn(2))
    with pytest.raises(BadParameter, match="fitted on vectors of 40 numbers"):
        export_probe.saved_model(backbone, small, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_only_classifiers_are_loaded_as_such(tmp_path):
    with pytest.raises(BadParameter, match=r"nslib\.json cannot be read"):
        export_probe.load(tmp_path)
    (tmp_path / export.FACTS).write_text('{"kind": "embedding"}')
    with pytest.raises(BadParameter, match="an exported embedding, no classifier"):
        export_probe.load(tmp_path)
    (tmp_path / export.FACTS).write_text('{"kind": "classifier", "labels": ["a", "b"]}')
    with pytest.raises(BadParameter, match="cannot be loaded"):
        export_probe.load(tmp_path)


# ---- embeddings that a graph can hold ----------------------------------------------------------------------


def test_embeddings_of_other_programs_are_refused():
    with pytest.raises(BadParameter, match="mfcc is not computed by TensorFlow alone"):
        export_backbones.built_in("mfcc")
    with pytest.raises(UnknownName, match="trill-mini-top"):
        export_backbones.built_in("trill-mini-tip")
    assert {"trill-mini-layer19", "trill-layer19", "frill"} < set(export_backbones.names())
    assert "yamnet-layer10" not in export_backbones.names(), "it is read inside the graph"


@pytest.mark.parametrize("name, model", [("trill-distilled", "trill-distilled"), ("frill", "frill"),
                                         ("trillsson1", "trillsson1"), ("yamnet-top", "yamnet")])
def test_published_models_of_every_form(name, model, tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    hub_models.save(model, tmp_path / model)
    found = export_backbones.built_in(name)
    waves = [tone(0.4), tone(2.3, 300)]
    padded = [np.pad(wave, (0, max(0, found.embedding.min_samples - len(wave)))) for wave in waves]
    true = vectors_of(embeddings.get(name), padded)
    for wave, row in zip(waves, true, strict=True):
        frames = found.frames(tf.constant(np.stack([wave, 0 * wave]), tf.float64))
        assert frames.shape[0] == 2
        np.testing.assert_allclose(np.asarray(frames[0]).mean(0), row, rtol=0, atol=1e-5 * np.abs(true).max())


@pytest.mark.heavy
def test_a_saved_model_of_anybodys_gets_a_classifier(clips, tmp_path):
    found = export_backbones.saved_model(hub_models.save("trill", tmp_path / "trill"), "embedding")
    x, y = vectors_of(found.embedding, clips), np.arange(len(clips)) % 2
    classifier = LogisticRegression(C=100).fit(x, y)
    loaded = export_probe.load(export_probe.saved_model(found, classifier, tmp_path / "again"))
    for wave, row in zip(clips[:5], classifier.predict_proba(x), strict=False):
        np.testing.assert_allclose(list(loaded(wave).probabilities.values()), row, rtol=0, atol=1e-5)
    assert loaded.labels == ("0", "1")


# ---- from a task to a classifier ---------------------------------------------------------------------------


def test_from_recordings_to_a_classifier_that_answers_as_the_benchmark(backbone, tmp_path, cache):
    rows = ["audio,label,speaker,split"]
    for k in range(24):
        audio.write_wav(tmp_path / f"{k}.wav", tone(1.0, 250 if k % 2 else 400, seed=k) / 2)
        rows.append(f"{k}.wav,{'low' if k % 2 else 'high'},s{k // 4},{('train', 'validation', 'test')[k // 8]}")
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    folder = export_fit.fit_and_export(tmp_path / "mine.csv", backbone, tmp_path / "out", progress=False,
                                       params=params.load({"smoke": True}))
    loaded = export_probe.load(folder)
    assert loaded.labels == ("high", "low") and loaded.facts["clips"] == 8
    assert loaded.facts["task_licence"] == "your own" and loaded.facts["task"] == "mine"
    right = [loaded(tmp_path / f"{k}.wav").label == ("low" if k % 2 else "high") for k in range(16, 24)]
    assert np.mean(right) == pytest.approx(loaded.facts["scores"]["test"]["value"])


def test_the_choice_leaves_out_what_cannot_be_exported():
    import pandas as pd

    scores = {("a", False, False): 0.5, ("a", True, False): 0.7, ("b", True, False): 0.7, ("b", True, True): 0.8}
    rows = pd.DataFrame([(*combination, value) for combination, value in scores.items()],
                        columns=["probe", "l2", "speaker_norm", "value"]).assign(split="validation", metric="accuracy")
    rows = pd.concat([rows, rows.assign(split="test", value=0.9)], ignore_index=True)
    assert export_fit.choose(rows)[["probe", "l2"]].tolist() == ["a", True], "of equal ones the first"
    assert export_fit.choose(rows, probe="b")["value"] == 0.7
    assert export_fit.choose(rows, l2=False)["value"] == 0.5
    assert export_fit.choose(rows.assign(metric="equal_error_rate"))["value"] == 0.5, "an error rate is better when low"
    with pytest.raises(NslibError, match="no score of probe=b, l2=False"):
        export_fit.choose(rows, "b", False)


def test_unknown_names_are_told_before_any_work(backbone, tmp_path):
    with pytest.raises(UnknownName, match="LDA_LSQR_AUTO"):
        export_fit.fit_and_export("speaker-fillets", backbone, tmp_path / "out", probe="LDA")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadParameter, match="not empty"):
        export_fit.fit_and_export("speaker-fillets", backbone, tmp_path)
