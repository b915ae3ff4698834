"""Classifiers in graphs: scikit-learn's probabilities, sound in and labels out, and what must be refused."""

import hub_models
import numpy as np
import pandas as pd
import pytest
import soundfile
import tensorflow as tf
from helpers import clip_table, tone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from tiny_training import teacher_network

from nslib import config
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName
from nslib.evaluation.classifiers import CLASSIFIERS, l2_normalise
from nslib.training import classifier as room
from nslib.training import export

CLIPS = [tone(0.7 + 0.1 * k, 200 + 150 * (k % 3), seed=k) for k in range(21)]


def vectors_of(embedding, clips):
    """As extraction averages them."""
    rows = (embedding.embed(wave[None], np.array([len(wave)])) for wave in clips)
    return np.stack([row[0, : counts[0]].mean(0, dtype=np.float64) for row, counts in rows]).astype(np.float32)


@pytest.fixture(scope="module")
def backbone():
    return room.take_network(teacher_network(3), "layer19", licence="CC0-1.0")


@pytest.fixture(scope="module", params=[("LogisticRegression", 3, True), ("LDA_LSQR_AUTO", 2, False)],
                ids=lambda case: case[0])
def exported(request, backbone, tmp_path_factory):
    """The graph of a classifier, scikit-learn's, the vectors, what reaches scikit-learn's, and the folder."""
    probe, classes, l2 = request.param
    vectors = vectors_of(backbone.embedding, CLIPS)
    x = l2_normalise(vectors) if l2 else vectors.astype(np.float64)
    fitted = CLASSIFIERS[probe](len(x), classes, 0).fit(x, np.arange(len(x)) % classes)
    folder = tmp_path_factory.mktemp("probe") / "voice"
    room.export_classifier(backbone, fitted, folder, labels=list("abc")[:classes], l2=l2, trained_on="tones")
    return tf.saved_model.load(str(folder)), fitted, vectors, x, folder


def test_from_sound_to_scikit_learns_probabilities(exported, backbone):
    module, fitted, vectors, x, folder = exported
    loaded, true = room.Classifier(module, export.read_facts(folder)), fitted.predict_proba(x)
    for wave, row, code in zip(CLIPS, true, fitted.predict(x), strict=True):
        answer = loaded(wave)
        assert list(answer.probabilities) == list(loaded.labels) and answer.label == loaded.labels[code]
        np.testing.assert_allclose(list(answer.probabilities.values()), row, rtol=0, atol=1e-5)
    assert np.ptp(true, axis=0).max() > 0.3, "the answers differ, or the test says nothing"
    assert loaded.facts["weights"] == backbone.embedding.revision and loaded.facts["licence"] == "CC0-1.0"

    wave = CLIPS[4]  # the graph alone is enough
    one = module(samples=wave, sample_rate=16_000)
    two = module.signatures["serving_default"](samples=tf.constant(np.stack([wave, wave])),
                                               sample_rate=tf.constant(16_000))
    assert one["label_index"].shape == () and two["label_index"].shape == (2,)
    np.testing.assert_allclose(two["probabilities"][1], one["probabilities"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(one["vector"], vectors[4], rtol=0, atol=1e-5 * np.abs(vectors[4]).max())
    assert [label.decode() for label in module.labels().numpy()] == list(loaded.labels)


def test_samples_of_another_scale_are_refused_by_the_classifier_and_by_the_graph(exported):
    module, *_, folder = exported
    ask, wave = room.load_classifier(folder), CLIPS[4]
    pcm = np.rint(wave * 32767).astype(np.int16)
    assert ask(pcm).label == ask(wave).label and ask(wave, sample_rate=16_000).notes == ()
    assert ask(wave).notes == ("no sample rate was given with it: taken as 16000 Hz",)
    for wrong, why in ((wave * 32767, "full scale is 1"), (pcm.astype(np.int64), "samples of another width")):
        with pytest.raises(BadAudio, match=why):
            ask(wrong)
    both = [module(samples=samples, sample_rate=16_000)["vector"] for samples in (pcm, pcm / np.float32(32767))]
    np.testing.assert_allclose(*both, rtol=1e-4)
    signature = module.signatures["serving_default"]  # which casts NumPy's integers to float32 without a word
    for call, rate in ((module, 16_000), (signature, np.int32(16_000))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="divide them by their full scale"):
            call(samples=(pcm[None] if call is signature else wave * 32767), sample_rate=rate)


def test_an_answer_has_the_notes_of_reading_and_a_bad_recording_costs_itself_only(exported, tmp_path, call):
    folder = exported[-1]
    soundfile.write(tmp_path / "good.wav", CLIPS[0], 16000)
    soundfile.write(tmp_path / "short.wav", np.zeros((4000, 2)), 8000)
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    files = [tmp_path / name for name in ("good.wav", "pointer.wav", "none.wav", "short.wav")]
    assert f"those of a folder: {tmp_path}/*.wav" in call("train", "classify", folder, tmp_path)[1]
    assert room.load_classifier(folder)(files[-1]).notes == (
        "stereo mixed to mono", "resampled 8000 -> 16000 Hz", "digital silence: every sample is 0",
        "padded with zeros to 1 s")
    code, out, err = call("train", "classify", folder, *files)
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, [line[0] for line in lines]) == (1, [str(file) for file in files])
    assert all(line[1] in "abc" for line in (lines[0], lines[3])) and "2 of 4 recordings left out" in err
    assert call("train", "classify", folder, files[1])[0] == 2
    assert "silence" in lines[3][3] and "Git LFS pointer" in lines[1][3] and "no such file" in lines[2][3]


class Blunt(LogisticRegression):
    """As a version of scikit-learn that computes probabilities otherwise."""

    def predict_proba(self, X):
        return super().predict_proba(X / 2)


@pytest.mark.parametrize(("made", "dim", "more", "error", "why"), [
    (Blunt, 48, {}, NslibError, r"differ by .* from those of this Blunt"),
    (ExtraTreesClassifier, 48, {}, BadParameter, "ExtraTreesClassifier cannot be exported.*Forests are not exported"),
    (LogisticRegression, 0, {}, BadParameter, "LogisticRegression is not fitted"),
    (LogisticRegression, 40, {}, BadParameter, "fitted on vectors of 40 numbers"),
    (LogisticRegression, 48, {"speaker_norm": True}, BadParameter, "other clips of the same speaker"),
    (LogisticRegression, 48, {"labels": ["x", "x"]}, BadParameter, "2 different labels")])
def test_what_cannot_be_exported_is_refused(backbone, tmp_path, made, dim, more, error, why):
    rng, y = np.random.default_rng(0), np.arange(90) % 2
    fitted = made().fit(rng.normal(size=(90, dim)) + y[:, None], y) if dim else made()
    with pytest.raises(error, match=why):
        room.export_classifier(backbone, fitted, tmp_path / "a", **more)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "why"), [
    (None, r"nslib\.json cannot be read"), ("[1]", r"nslib\.json cannot be read"),
    ('{"kind": "embedding"}', "an exported embedding, no classifier"),
    ('{"kind": "classifier", "labels": ["a", "b"]}', "cannot be loaded"),
    ('{"kind": "classifier"}', "cannot be loaded")])
def test_only_classifiers_are_loaded_as_such(tmp_path, text, why):
    if text:
        (tmp_path / export.FACTS).write_text(text)
    with pytest.raises(BadParameter, match=why):
        room.load_classifier(tmp_path)


@pytest.mark.parametrize("name", ["frill", "trillsson1", "yamnet-top", ""])
def test_published_models_of_every_form(name, tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    model = name.partition("-")[0] or "trill"
    folder = hub_models.save(model, tmp_path / model)
    taken = room.take_built_in(name) if name else room.take_saved_model(folder, "embedding")
    for wave in (tone(0.4), tone(2.3, 300)):
        (true,) = vectors_of(taken.embedding, [np.pad(wave, (0, max(0, taken.embedding.min_samples - len(wave))))])
        frames = taken.frames(tf.constant(np.stack([wave, 0 * wave]), tf.float64))
        np.testing.assert_allclose(np.asarray(frames[0]).mean(0), true, rtol=0, atol=1e-5 * np.abs(true).max())


def test_from_recordings_to_a_classifier_that_answers_as_the_benchmark(backbone, tmp_path, cache):
    clips = clip_table(tmp_path, [1.0] * 24, label=["high", "low"] * 12, speaker=[f"s{k // 4}" for k in range(24)],
                       split=["train"] * 8 + ["validation"] * 8 + ["test"] * 8)
    clips[["audio", "label", "speaker", "split"]].to_csv(tmp_path / "mine.csv", index=False)
    loaded = room.load_classifier(room.fit_and_export(tmp_path / "mine.csv", backbone, tmp_path / "out", progress=False,
                                                      params=config.load_params({"smoke": True})))
    facts = loaded.facts
    assert loaded.labels == ("high", "low") and (facts["clips"], facts["task"]) == (8, "mine")
    right = [loaded(row.audio).label == row.label for row in clips[clips["split"] == "test"].itertuples()]
    assert np.mean(right) == pytest.approx(facts["scores"]["test"]["value"]) and facts["scores"]["test"]["n"] == 8


def test_the_choice_leaves_out_what_cannot_be_exported_and_says_so():
    plain, lda, forest = "LogisticRegression", "LDA_LSQR_AUTO", "Forest_balanced_100"
    rows = pd.DataFrame({"probe": [plain, plain, lda, lda, forest], "l2": [False, True, True, True, False],
                         "speaker_norm": [False, False, False, True, False], "value": [0.5, 0.7, 0.7, 0.8, 0.6],
                         "split": "validation", "metric": "accuracy"})
    rows = pd.concat([rows, rows.assign(split="test", value=0.9)], ignore_index=True)
    row, note = room.choose_combination(rows)
    assert row[["probe", "l2"]].tolist() == [plain, True] and note == "", "of equal ones the first"
    assert room.choose_combination(rows, probe=lda)[0]["value"] == 0.7
    row, note = room.choose_combination(rows[~rows["l2"]])
    assert row["value"] == 0.5 and note.startswith(f"{forest} has the best score on validation (0.6000), but forests ")
    assert room.choose_combination(rows.assign(metric="equal_error_rate"))[0]["value"] == 0.5, "low errors are better"
    with pytest.raises(NslibError, match="no score of LDA_LSQR_AUTO without"):
        room.choose_combination(rows[~rows["l2"]], lda)


@pytest.mark.parametrize(("probe", "error", "why"), [
    ("LDA", UnknownName, "LDA_LSQR_AUTO"), (None, BadParameter, "not empty"),
    ("Forest_balanced_100", BadParameter, "is a forest, and only linear probes are exported: LogisticRegression")])
def test_mistakes_are_told_before_any_work(backbone, tmp_path, probe, error, why):
    for name in ("mfcc", "models.py:good"):
        with pytest.raises(BadParameter, match=f"{name} is not computed by TensorFlow alone"):
            room.take_built_in(name)
    with pytest.raises(UnknownName, match="trill-mini-top"):
        room.take_built_in("trill-mini-tip")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(error, match=why):
        room.fit_and_export("speaker-fillets", backbone, tmp_path / "out" if probe else tmp_path, probe=probe)
