"""Models in files: one arithmetic in every kind of file gives one vector, and what is open is asked for."""

import re
import shutil
import sys
from urllib.parse import quote

import numpy as np
import pytest
import soxr
from helpers import clip_table
from onnx_writer import DOUBLE, FLOAT, INT16, INT32, model, node, tensor, value

from nslib import embeddings
from nslib.embeddings import files
from nslib.errors import BadParameter, Unavailable
from nslib.evaluation.benchmark import specify_embedding
from nslib.extraction import extract

# frames of 25 ms every 10 ms, eight numbers each, and never below 0
KERNEL = np.random.default_rng(3).normal(0, 0.05, (8, 400)).astype(np.float32)
TIMES, WINDOW = {"window": 0.025, "hop": 0.01}, {"fixed": "window"}


def by_hand(waves):
    return np.maximum(np.lib.stride_tricks.sliding_window_view(waves, 400, axis=1)[:, ::160] @ KERNEL.T, 0)


def noise(clips, samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (clips, samples)).astype(np.float32)


def frames_of(embedding, waves):
    """What an embedding gives of clips of one length."""
    frames, counts = embedding.embed(waves, np.full(len(waves), waves.shape[1]))
    assert frames.dtype == np.float32 and set(counts) == {frames.shape[1]}
    return frames


def save_tensorflow(root):
    import tensorflow as tf

    def frames(samples):
        wave = tf.expand_dims(tf.cast(samples, tf.float32) / (32767 if samples.dtype.is_integer else 1), -1)
        one = samples.shape.rank == 1
        found = tf.nn.relu(tf.nn.conv1d(wave[None] if one else wave, tf.constant(KERNEL.T[:, None]), 160, "VALID"))
        return found[0] if one else found

    def spec(shape, dtype=tf.float32, name="samples"):
        return tf.TensorSpec(shape, dtype, name=name)

    def as_trill(samples, sample_rate):
        with tf.control_dependencies([tf.debugging.assert_equal(sample_rate, 16000)]):
            found = frames(samples)
        return {"embedding": found, "double": 2 * found}

    def as_yamnet(samples):
        found = frames(samples)
        return found[:, :3], found, samples

    def trace(function, *specs):
        return tf.function(function, input_signature=specs or None, autograph=False)

    batches, fixed, plain = spec([None, None]), spec([1, 4000]), tf.Module()
    calls = {
        "hub": trace(as_trill, batches, spec([], tf.int32, "sample_rate")), "types": trace(frames),
        "single": trace(as_yamnet, spec([None])),
        "merged": trace(lambda samples: tf.reshape(frames(samples), [-1, 8]), batches),
        "integers": trace(frames, spec([None, None], tf.int16))}
    for dtype in (tf.int16, tf.float32):
        for shape in ([None], [None, None]):
            calls["types"].get_concrete_function(spec(shape, dtype))
    calls["mel"] = trace(lambda samples: tf.reduce_mean(samples, 1), spec([None, 96, 64]))
    for name, call in calls.items():
        module = tf.Module()
        module.__call__ = call
        tf.saved_model.save(module, str(root / name))
    plain.batch = trace(lambda samples: {"embedding": frames(samples)}, batches)
    plain.fixed = trace(lambda samples: {"mean": tf.reduce_mean(frames(samples), 1)}, fixed)
    plain.scores = trace(lambda samples: {"scores": tf.matmul(plain.fixed(samples)["mean"], KERNEL[:, :3])}, fixed)
    plain.several = trace(lambda samples: {"frames": frames(samples)} | plain.fixed(samples), fixed)
    tf.saved_model.save(plain, str(root / "batch"), signatures=plain.batch)
    tf.saved_model.save(plain, str(root / "signatures"), signatures={"first": plain.batch, "fixed": plain.fixed})
    return plain


def save_keras(root):
    import keras
    import tf_keras

    for library, name in ((keras, "keras3"), (tf_keras, "keras2")):
        wave = library.Input((None, 1), name="wave")
        layer = library.layers.Conv1D(8, 400, 160, activation="relu", use_bias=False)
        network = library.Model(wave, library.layers.Dropout(0.5)(layer(wave)))
        layer.set_weights([KERNEL.T[:, None]])
        if library is keras:
            network.export(str(root / name), verbose=False)
        else:
            network.save(str(root / name), save_format="tf")


def save_tflite(root, plain):
    import tensorflow as tf

    def convert(name, function, **settings):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], plain)
        for key, setting in settings.items():
            setattr(converter, key, setting)
        (root / f"{name}.tflite").write_bytes(converter.convert())

    for name in ("batch", "fixed", "several", "scores"):
        convert(name, getattr(plain, name))
    convert("int8", plain.fixed, optimizations=[tf.lite.Optimize.DEFAULT], inference_input_type=tf.int8,
            inference_output_type=tf.int8, representative_dataset=lambda: ([noise(1, 4000, k)] for k in range(20)))
    data = tf.lite.TFLiteConverter.from_saved_model(str(root / "signatures"), signature_keys=["first", "fixed"])
    (root / "two.tflite").write_bytes(data.convert())


def onnx_frames(shape, kind=FLOAT, *, outside="", rate=None, mean=False, out=("frames",)):
    """`by_hand` in ONNX."""
    kernel = tensor("kernel", KERNEL[:, None], outside)
    channel = np.array([0, 1] if len(shape) == 1 else [1])
    nodes = [node("Cast", ["samples"], "float", to=FLOAT), node("Unsqueeze", ["float", "axes"], "wave"),
             node("Conv", ["wave", "kernel"], "bands", kernel_shape=[400], strides=[160]),
             node("Relu", ["bands"], "positive"), node("Transpose", ["positive"], "frames", perm=[0, 2, 1])]
    if mean:
        nodes.append(node("ReduceMean", ["frames"], "mean", axes=[1], keepdims=0))
    if "double" in out:
        nodes.append(node("Add", ["frames", "frames"], "double"))
    inputs = [value("samples", kind, shape)] + ([value(rate, INT32, [1])] if rate else [])
    if rate:
        nodes.append(node("Identity", [rate], "told"))
    outputs = [value(name, FLOAT, ["clips", 8] if name == "mean" else ["clips", "frames", 8]) for name in out]
    return model(nodes, [kernel, tensor("axes", channel)], inputs, outputs)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_tflite(folder, save_tensorflow(folder))
    save_keras(folder)
    batches = ["clips", "samples"]
    onnx = {"batch": onnx_frames(batches), "single": onnx_frames(["samples"]), "one": onnx_frames([1, "samples"]),
            "fixed": onnx_frames([1, 4000], mean=True, out=("mean",)), "eight": onnx_frames([8, "samples"]),
            "double": onnx_frames(batches, DOUBLE), "int16": onnx_frames(batches, INT16),
            "outputs": onnx_frames(batches, out=("frames", "double")),
            "rate": onnx_frames(batches, rate="sr"), "gain": onnx_frames(batches, rate="gain"),
            "outside": onnx_frames(batches, outside="weights.bin"),
            "mel": model([node("ReduceMean", ["samples"], "mean", axes=[1], keepdims=0)], [],
                         [value("samples", FLOAT, ["clips", 96, 64])], [value("mean", FLOAT, ["clips", 64])])}
    for name, data in onnx.items():
        (folder / f"{name}.onnx").write_bytes(data)
    (folder / "weights.bin").write_bytes(KERNEL.tobytes())
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clip_table(tmp_path_factory.mktemp("clips"), [1.0, 0.4, 0.737, 1.5, 0.05])


@pytest.fixture(scope="module")
def right(clips):
    """The vectors of the function itself."""
    mine = embeddings.from_callable(by_hand, "by hand", **TIMES)
    return extract.extract_vectors(clips, mine, progress=False).vectors


@pytest.mark.parametrize(("file", "options"), [
    *((file, {}) for file in ("types", "batch", "keras3", "keras2", "batch.tflite", "batch.onnx", "single.onnx",
                              "one.onnx", "double.onnx", "rate.onnx", "outside.onnx")),
    ("hub", {"key": "embedding"}), ("single", {"key": 1}), ("merged", {"one_by_one": True}),
    *((file, {"signature": "first"}) for file in ("signatures", "two.tflite"))])
def test_every_kind_gives_the_vectors_of_the_function(file, options, root, clips, right, cache):
    mine = files.from_file(root / file, **options, **TIMES)
    found = extract.extract_vectors(clips, mine, progress=False)
    assert found.vectors.shape == (5, 8)
    np.testing.assert_allclose(found.vectors, right, atol=1e-5)
    assert (mine.pads_safely, mine.name, mine.source) == (True, file.split(".")[0], file)
    if file in ("hub", "single", "batch.tflite", "one.onnx"):
        report = embeddings.check(mine)
        assert report.ok, str(report)


@pytest.mark.parametrize("file", ["fixed.tflite", "fixed.onnx"])
def test_windows_of_a_fixed_length(file, root):
    with pytest.raises(BadParameter, match=r"4000 samples \(0.25 s\) and no other length. Give fixed='window'"):
        files.from_file(root / file)
    mine = files.from_file(root / file, fixed="window", hop=0.1)
    assert (mine.window, mine.hop, mine.min_samples, mine.pads_safely) == (0.25, 0.1, 4000, True)
    wave = noise(2, 8000)
    view = np.lib.stride_tricks.sliding_window_view(wave, 4000, axis=1)[:, ::1600]
    np.testing.assert_allclose(frames_of(mine, wave), [by_hand(clip).mean(1) for clip in view], atol=1e-5)
    assert [frames_of(mine, noise(1, samples)).shape[1] for samples in (7199, 7200)] == [2, 3]
    other = files.from_file(root / file, fixed="window", sample_rate=22050)
    assert (other.window, other.hop, other.min_samples) == (4000 / 22050, 4000 / 22050, 2903)
    assert frames_of(other, noise(1, 2903)).shape[1] == 1


def test_a_tensor_inside_a_tflite_file_of_the_shape_of_yamnet_is_taken_by_its_name(tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    many = np.random.default_rng(1).normal(0, 0.3, (8, 1024 + 521)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec([15_600], name="waveform")], autograph=False)
    def score(wave):
        mean = tf.reduce_mean(tf.nn.relu(tf.signal.frame(wave, 400, 160) @ KERNEL.T), 0, keepdims=True)
        return {"scores": tf.nn.sigmoid(tf.nn.relu(mean @ many[:, :1024]) @ np.resize(many[:, 1024:], (1024, 521)))}

    path = tmp_path / "yamnet.tflite"
    converter = tf.lite.TFLiteConverter.from_concrete_functions([score.get_concrete_function()], tf.Module())
    path.write_bytes(converter.convert())
    (inner,) = {d["name"] for d in Interpreter(str(path)).get_tensor_details() if tuple(d["shape"]) == (1, 1024)}
    mine, scores = (specify_embedding(f"{path}?fixed=window{more}").load() for more in (f"&tensor={quote(inner)}", ""))
    assert (mine.dim, scores.dim, mine.window) == (1024, 521, 0.975) and mine.fingerprint != scores.fingerprint
    right = np.maximum(by_hand(noise(1, 15_600)).mean(1) @ many[:, :1024], 0)
    np.testing.assert_allclose(frames_of(mine, noise(1, 15_600))[:, 0], right, atol=1e-4)


def test_a_stated_window_sets_the_shortest_clip(root):
    mine = [files.from_file(root / "batch.onnx", **TIMES | more).min_samples for more in (
        {}, {"window": 0.975}, {"window": 0.975, "sample_rate": 8000}, {"window": 0.975, "min_samples": 400})]
    assert mine == [1600, 15600, 15600, 400]


def through_8_khz(waves):
    return by_hand(np.stack([soxr.resample(wave, 16000, 8000, quality="HQ") for wave in waves]))


@pytest.mark.parametrize(("file", "options", "expected"), [
    ("integers", {}, lambda waves: by_hand(np.rint(waves.astype(float) * 32767) / 32767)),
    ("hub", {"signature": "serving_default", "key": "double"}, lambda waves: 2 * by_hand(waves)),
    ("batch.onnx", {"full_scale": 32768.0}, lambda waves: by_hand(waves * 32768)),
    ("batch.onnx", {"fixed": "window"}, by_hand), ("outputs.onnx", {"key": 1}, lambda waves: 2 * by_hand(waves)),
    ("gain.onnx", {"rate_argument": True}, by_hand),
    ("batch.tflite", {"sample_rate": 8000, "window": 0.05, "hop": 0.02}, through_8_khz)])
def test_range_type_rank_rate_and_output(file, options, expected, root):
    mine, waves = files.from_file(root / file, **{**TIMES, **options}), noise(2, 8000)
    right = expected(waves)
    np.testing.assert_allclose(frames_of(mine, waves), right, atol=2e-6 * right.max(), rtol=0)


def test_what_is_beyond_16_bits_saturates_with_a_warning(root):
    mine = files.from_file(root / "int16.onnx", **TIMES)
    with pytest.warns(UserWarning, match="800 of 800 samples are beyond full scale"):
        found = frames_of(mine, np.full((1, 800), 2.0, np.float32))
    np.testing.assert_allclose(found, by_hand(np.full((1, 800), 32767, np.float32)), rtol=1e-4)


def test_8_bit_models(root):
    wave = noise(1, 4000)
    found, expected = frames_of(files.from_file(root / "int8.tflite", **WINDOW), wave)[0], by_hand(wave).mean(1)
    assert 0 < np.abs(found - expected).max() < 0.06 * expected.max()


@pytest.mark.parametrize(("file", "options", "words"), [
    ("batch.onnx", {"fixed": "window", "window": 0.0}, "give window="),
    ("batch.onnx", {"fixed": "crop"}, "allowed: None or 'window'"),
    ("batch.onnx", {"fixed": "window", "window": 1.0}, "gives 98 vectors for a window"),
    ("fixed.onnx", {"fixed": "window", "window": 0.3}, "takes 4000 samples, which are 0.25 s at 16000 Hz"),
    ("fixed.onnx", {"fixed": "window", "window": 0.25, "hop": 1e-6}, "at least one sample"),
    ("eight.onnx", {}, "takes 8 clips at a time"),
    ("batch.onnx", {"sample_rate": 16}, "allowed: 4000 to 384000"),
    ("batch.onnx", {"full_scale": 0.0}, "number above 0"),
    ("batch.onnx", {"min_samples": 100}, "raise min_samples"),
    ("merged", {}, "one_by_one=True"),
    ("hub", {"key": "embedding", "sample_rate": 8000}, "assertion failed"),  # the rate reaches the module
    ("hub", {}, "has 2 outputs; give key= one of: 'double' (float32 [any, any, 8]), 'embedding' ("),
    ("hub", {"key": "embeding"}, "Did you mean embedding?"),
    ("types", {"rate_argument": True}, "can be called with: 'samples' (int16 [any])"),
    ("signatures", {}, "has 2 signatures; give signature= one of: 'first' ('samples' (float32 [any, any]) -> "),
    ("several.tflite", WINDOW, "has 2 outputs; give key= one of: 'frames' (float32 [1, 23, 8]), 'mean'"),
    ("gain.onnx", {}, "rate_argument=True if it has another name"),
    ("rate.onnx", {"rate_argument": False}, "takes 'samples' (float32 [any, any]), 'sr' (int32 [1])"),
    ("batch.onnx", {"signature": "first"}, "unknown option of ONNX models 'signature'"),
    *((file, {}, f"{file} takes 'samples' (float32 [any, 96, 64]). Samples must be [samples], [clips, samples]")
      for file in ("mel", "mel.onnx")),
    ("hub", {"tensor": "Relu"}, "unknown option of SavedModel models 'tensor'"),
    ("scores.tflite", {"tensor": "Relu", "key": 0, **WINDOW}, "give it alone"),
    ("scores.tflite", {"tensor": "Relu", **WINDOW}, "unknown tensor of scores.tflite 'Relu'"),
])
def test_what_is_open_or_does_not_fit_is_told(file, options, words, root):
    with pytest.raises(BadParameter, match=re.escape(words)):
        files.from_file(root / file, **{**TIMES, **options})


def test_choices_are_part_of_the_revision(root):
    choices = ({"key": "frames"}, {"key": 0}, {"key": 1}, {"key": 0, "sample_rate": 8000})
    by_name, by_place, other, slower = (
        files.from_file(root / "outputs.onnx", **choice, **TIMES).fingerprint for choice in choices)
    assert by_name == by_place and len({by_place, other, slower}) == 3
    loaders = (files.from_file, embeddings.from_saved_model)
    assert len({load(root / "hub", key="double", **TIMES).fingerprint for load in loaders}) == 1


def test_outputs_by_key_place_and_name_with_and_without_signatures(root, monkeypatch):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(root / "several.tflite"))
    places = [d["name"] for d in interpreter.get_output_details()]
    name = interpreter.get_signature_runner().get_output_details()["mean"]["name"]
    found = [files.from_file(root / "several.tflite", key=key, **WINDOW) for key in ("mean", places.index(name), name)]
    assert len({mine.fingerprint for mine in found}) == 1
    wave = noise(2, 4000)
    np.testing.assert_allclose(frames_of(found[0], wave)[:, 0], by_hand(wave).mean(1), atol=1e-5)
    monkeypatch.setattr(Interpreter, "get_signature_list", lambda self: {})
    for key in (None, 0, Interpreter(str(root / "batch.tflite")).get_output_details()[0]["name"]):
        mine = files.from_file(root / "batch.tflite", key=key, **TIMES)
        np.testing.assert_allclose(frames_of(mine, wave), by_hand(wave), atol=1e-5)


@pytest.mark.parametrize(("name", "words"), [
    ("none", "does not exist"), ("a.keras", "model.export(folder)"), ("a.tar.gz", "unpack it first"),
    ("folder", "holds no saved_model.pb"), ("a.bin", "is no model that is understood"),
    ("tf1", "is a module of TensorFlow 1"), ("a.py", "name its function: a.py:function"),
    ("bad.onnx", "cannot be opened as an ONNX file"), ("bad.tflite", "cannot be opened as a TFLite file"),
    ("broken", "cannot be loaded as a SavedModel")])
def test_what_is_no_model(name, words, tmp_path):
    for folder in ("folder", "tf1", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tf1" / "tfhub_module.pb").touch()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"no model")
    for file in ("a.keras", "a.tar.gz", "a.bin", "bad.onnx", "a.py"):
        (tmp_path / file).write_bytes(b"no model")
    (tmp_path / "bad.tflite").write_bytes(b"----TFL3----")
    with pytest.raises(BadParameter, match=re.escape(words)):
        files.from_file(tmp_path / name)


@pytest.mark.parametrize("file", ["batch", "batch.tflite", "outside.onnx"])
def test_revision_is_that_of_the_content(file, root, tmp_path):
    def copy(name):
        (tmp_path / name).mkdir()
        for part in (file, "weights.bin"):
            (shutil.copytree if (root / part).is_dir() else shutil.copy)(root / part, tmp_path / name / part)
        return tmp_path / name / file

    original, same, other = files.from_file(root / file, **TIMES), copy("same"), copy("other")
    (same / "note.txt" if same.is_dir() else same.with_name("note.txt")).write_text("read by nobody")
    assert files.from_file(same, "renamed", **TIMES).fingerprint == original.fingerprint
    part = {"batch": other / "assets" / "words.txt", "batch.tflite": other}.get(file, other.with_name("weights.bin"))
    part.parent.mkdir(exist_ok=True)
    part.write_bytes((part.read_bytes() if part.exists() else b"")[:-4] + b"\0\0\0\1")
    assert files.from_file(other, **TIMES).fingerprint != original.fingerprint


@pytest.mark.parametrize(("module", "file"), [
    ("onnxruntime", "batch.onnx"), ("ai_edge_litert.interpreter", "batch.tflite")])
def test_a_library_that_is_missing(module, file, root, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match="make setup"):
        files.from_file(root / file)
