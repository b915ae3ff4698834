"""LiteRT files of a network, and weights as files: how true, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nslib.embeddings import checkpoint, tflite
from nslib.errors import BadParameter, UnknownName

PATCHES = np.random.default_rng(0).normal(-4, 2, (24, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    import keras

    given = keras.Input((96, 64))
    x = keras.layers.Dense(8, kernel_initializer=keras.initializers.HeNormal(1))(keras.layers.Flatten()(given))
    return keras.Model(given, {"embedding": x}, name="little")


def test_the_float_file_says_what_the_network_says(model):
    import keras

    vectors = tflite.open_network(tflite.convert_network(model))(PATCHES)
    assert vectors.shape == (24, 8) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, model(PATCHES, training=False)["embedding"], atol=1e-4)
    plain = keras.Model(model.input, model.output["embedding"])
    assert np.array_equal(tflite.open_network(tflite.convert_network(plain))(PATCHES), vectors)


def test_conversion_is_silent_and_errors_are_heard_again_afterwards(model, capfd, caplog):
    tflite.open_network(tflite.convert_network(model, "int8", PATCHES))
    assert capfd.readouterr() == ("", "") and caplog.records == []
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.parametrize(("call", "error", "said"), [
    (lambda model: tflite.convert_network(model, "int4"), UnknownName, "float32"),
    (lambda model: tflite.convert_network(model, "int8"), BadParameter, "give patches="),
    (lambda model: tflite.open_network(b"no file"), BadParameter, "no LiteRT file"),
])
def test_what_cannot_be_is_refused(model, call, error, said):
    with pytest.raises(error, match=said):
        call(model)


def test_weights_come_back_and_those_of_another_network_are_refused(model, tmp_path):
    import keras

    checkpoint.save_weights(tmp_path / "w.npz", model, {"step": 3}, dtype="float16")
    other = keras.models.clone_model(model)
    assert checkpoint.load_weights(tmp_path / "w.npz", other) == {"network": "little", "step": 3}
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
    wide = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(BadParameter, match="of another network"):
        checkpoint.load_weights(tmp_path / "w.npz", wide)
