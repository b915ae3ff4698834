"""embeddings: the TensorFlow networks, untrained and of inaSpeechSegmenter, against other derivations."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from nslib import embeddings
from nslib.embeddings import ina, keras_file, untrained
from nslib.embeddings.cards import CARDS
from nslib.errors import NslibError, Unavailable

RNG = np.random.default_rng(6)


def noise(*shape):
    return RNG.normal(0, 0.1, shape).astype(np.float32)


# ---- untrained -----------------------------------------------------------------------------------


def test_weights_are_the_same_on_every_machine():
    assert untrained.weights_hash() == CARDS["untrained"].revision == "6d1ab7f0369116f8"
    assert sum(w.size for _, _, w in untrained.layers()) == CARDS["untrained"].parameters
    kind, stride, stem = untrained.layers()[0]
    assert (kind, stride, stem.shape) == ("conv", 2, (3, 3, 1, 16))
    assert np.abs(stem).max() <= math.sqrt(6 / 9)
    assert np.std(stem) == pytest.approx(math.sqrt(2 / 9), rel=0.1)


def test_other_weights_are_not_used(monkeypatch):
    monkeypatch.setattr(untrained, "weights_hash", lambda: "0" * 16)
    with pytest.raises(NslibError, match="draws weights 0000"):
        untrained.parts(CARDS["untrained"])


def test_network_agrees_with_keras_layers():
    import keras

    x = inputs = keras.Input((96, 64))
    x = keras.layers.Reshape((96, 64, 1))(keras.layers.Rescaling(1 / 2.5, 4 / 2.5)(x))
    made = []
    for kind, stride, w in untrained.layers():
        if kind == "conv":
            layer = keras.layers.Conv2D(w.shape[3], w.shape[0], stride, "same", use_bias=False)
        else:
            layer = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False)
        made.append(layer)
        x = keras.layers.ReLU(6.0)(layer(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    for layer, (_, _, w) in zip(made, untrained.layers(), strict=True):
        layer.set_weights([w])
    wave = noise(24000)
    frames, counts = embeddings.get("untrained").embed(wave[None], np.array([24000]))
    assert counts.tolist() == [4]
    assert np.allclose(frames[0], model(untrained._cut(wave)).numpy(), atol=1e-5)


def test_untrained_keeps_the_contract():
    embedding = embeddings.get("untrained")
    report = embeddings.check(embedding)
    assert report.ok, str(report)


def test_untrained_does_not_degenerate():
    embedding = embeddings.get("untrained")
    tones = np.stack([0.3 * np.sin(2 * np.pi * f * np.arange(16000) / 16000) for f in (200, 700, 2000, 5000)])
    sounds = np.concatenate([tones, noise(4, 16000)]).astype(np.float32)
    vectors = embedding.embed(sounds, np.full(8, 16000))[0][:, 0]
    varying = vectors.std(0) > 0.01 * vectors.mean()
    assert varying.mean() > 0.7
    assert np.median(vectors.std(0) / (vectors.mean(0) + 1e-9)) > 0.1


# ---- inaSpeechSegmenter: front end ---------------------------------------------------------------


def slow_bands(frame):
    """One frame by the definition, band by band and line by line."""
    emphasised = [frame[0] - 0.97 * frame[0]] + [frame[n] - 0.97 * frame[n - 1] for n in range(1, 400)]
    windowed = [v * (0.5 - 0.5 * math.cos(2 * math.pi * n / 399)) for n, v in enumerate(emphasised)]
    n = np.arange(400)
    power = [abs((np.array(windowed) * np.exp(-2j * np.pi * k * n / 512)).sum()) ** 2 for k in range(257)]
    top = 2595 * math.log10(1 + 8000 / 700)
    low = 2595 * math.log10(1 + 100 / 700)
    corners = [700 * (10 ** ((low + i * (top - low) / 25) / 2595) - 1) for i in range(26)]
    out = []
    for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
        total = 0.0
        last = math.floor(right / 31.25 + 1e-9)
        for k in range(257):
            f = k * 31.25
            if left < f <= centre:
                total += power[k] * (f - left) / (centre - left)
            elif centre < f < right and k != last:
                total += power[k] * (right - f) / (right - centre)
        out.append(math.log(total * 2 / (right - left)))
    return out


def test_front_end_agrees_with_its_definition():
    wave = noise(1200).astype(np.float64)
    assert np.allclose(ina.log_bands(wave)[4], slow_bands(wave[640:1040]), atol=1e-8)


@pytest.mark.parametrize(("samples", "count"), [(400, 1), (11_119, 1), (11_120, 1), (16_559, 1), (16_560, 2),
                                                (32_000, 4)])
def test_patches_are_normalised(samples, count):
    found = ina.cut(noise(samples), 21)
    assert found.shape == (count, 68, 21)
    assert np.allclose(found.mean((1, 2)), 0, atol=1e-6)
    assert np.allclose(found.std((1, 2)), 1, atol=1e-5)


def test_loudness_does_not_count_and_silence_is_finite():
    wave = noise(16000)
    assert np.allclose(ina.cut(wave), ina.cut(wave / 10), atol=1e-3)
    assert np.abs(ina.cut(np.zeros(16000, np.float32))).max() < 1e-9
    half = np.concatenate([wave, np.zeros(16000, np.float32)])
    assert np.isfinite(ina.cut(half)).all()


def test_short_clips_are_filled_with_their_lowest_value():
    patch = ina.cut(noise(4000), 24)[0]
    assert np.allclose(patch[23:], patch.min())


# ---- inaSpeechSegmenter: networks ----------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small network of the same layers, saved by Keras itself; with probabilities of its own."""
    import tf_keras as keras

    keras.utils.set_random_seed(4)
    k = keras.layers
    model = keras.Sequential([
        k.Reshape((68, 21, 1), input_shape=(68, 21)),
        k.Conv2D(6, (7, 4)), k.BatchNormalization(), k.Activation("relu"),
        k.MaxPooling2D((4, 2), padding="same"),
        k.Conv2D(8, (3, 3)), k.BatchNormalization(), k.Activation("relu"), k.MaxPooling2D((2, 2), (2, 2)),
        k.Flatten(), k.Dense(10), k.BatchNormalization(), k.Activation("relu"), k.Dropout(0.5),
        k.Dense(3, activation="softmax")])
    rng = np.random.default_rng(9)
    # positive where they are variances; kernels of both signs and small enough for a soft decision
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else
                       rng.normal(0, 0.7 / np.sqrt(w[..., 0].size), w.shape) for w in model.get_weights()])
    path = tmp_path_factory.mktemp("keras") / "model.hdf5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras would rather have another format
        model.save(path, save_format="h5")
    x = rng.normal(size=(5, 68, 21)).astype(np.float32)
    return path.read_bytes(), x, model.predict(x, verbose=0)


def test_network_agrees_with_keras(saved):
    data, x, expected = saved
    layers = keras_file.read(data)
    network = keras_file.network(layers, (68, 21))
    assert [layer.kind for layer in layers].count("BatchNormalization") == 3
    assert "BatchNormalization" not in [layer.kind for layer in keras_file.fold(layers)]
    assert expected.std(0).max() > 0.01
    assert np.allclose(network(x), expected, atol=1e-5)


def test_embedding_ends_at_the_flatten_layer_and_ignores_company(saved):
    embed = ina.embed_with(keras_file.read(saved[0]))
    lengths = np.array([400, 16_560, 40_000, 22_001])
    waves = noise(4, 40_000)
    together, counts = embed(waves, lengths)
    assert together.shape == (4, 6, 8 * 7 * 3)
    assert counts.tolist() == [1, 2, 6, 3]
    assert embed(waves, lengths)[0].tobytes() == together.tobytes()
    for wave, length, row, count in zip(waves, lengths, together, counts, strict=True):
        alone, _ = embed(wave[None, :length], np.array([length]))
        assert np.abs(alone[0] - row[:count]).max() <= 1e-5


def test_other_files_and_layers_are_refused(tmp_path):
    import h5py

    with pytest.raises(Unavailable, match="not a sequential Keras model"):
        keras_file.read(b"no HDF5")
    for config, words in (('{"config": [{"class_name": "Lambda", "config": {"name": "x"}}]}', "Lambda"),
                          ('{"config": []}', "not understood"), ("{", "not a sequential"),
                          ("{}", "not a sequential")):
        path = tmp_path / "bad.hdf5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = config
            file.create_group("model_weights")
        with pytest.raises(Unavailable, match=words):
            keras_file.read(path.read_bytes())
