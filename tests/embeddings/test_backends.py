"""LiteRT: files, conversions and their cache, and what a backend costs."""

import dataclasses
import os
import types
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner

from nslib import cli, embeddings
from nslib.embeddings import backends, registry
from nslib.embeddings.networks import cut_patches
from nslib.embeddings.runtime import PatchNetwork
from nslib.errors import BadParameter, Unavailable, UnknownName

WEIGHTS = np.random.default_rng(3).normal(0, 0.1, (5, 5, 1, 64)).astype(np.float32)
PATCHES = np.concatenate([cut_patches(backends.make_sound(seed)) for seed in (500, 501)])


def convolve(patches):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(patches[..., None] / 4 + 1, WEIGHTS, 4, "VALID")), (1, 2))


def exponentiate(patches):
    import tensorflow as tf

    return tf.linalg.expm(patches[:, :4, :4])[:, 0]


SMALL, ODD = (PatchNetwork(cut_patches, function, (96, 64)) for function in (convolve, exponentiate))


@pytest.fixture
def small(monkeypatch):
    """One convolution in the place of the untrained network."""
    info = dataclasses.replace(registry.EMBEDDINGS["untrained"], build=lambda info: SMALL, dim=64)
    monkeypatch.setitem(registry.EMBEDDINGS, "untrained", info)


@pytest.fixture(scope="module")
def model():
    import keras

    given = keras.Input((96, 64))
    x = keras.layers.Dense(8, kernel_initializer=keras.initializers.HeNormal(1))(keras.layers.Flatten()(given))
    return keras.Model(given, {"embedding": x}, name="little")


def test_the_float_file_gives_what_the_network_gives(model):
    import keras

    vectors = backends.open_network(backends.convert_network(model))(PATCHES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, model(PATCHES, training=False)["embedding"], atol=1e-4)
    plain = keras.Model(model.input, model.output["embedding"])
    assert np.array_equal(backends.open_network(backends.convert_network(plain))(PATCHES), vectors)


def test_conversion_is_silent_and_errors_are_heard_again_afterwards(model, capfd, caplog):
    backends.open_network(backends.convert_network(model, "int8", PATCHES))
    assert capfd.readouterr() == ("", "") and caplog.records == []
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda model: backends.convert_network(model, "int4"), UnknownName, "float32"),
    (lambda model: backends.convert_network(model, "int8"), BadParameter, "give patches="),
    (lambda model: backends.open_network(b"no file"), BadParameter, "no LiteRT file"),
    (lambda model: backends.open_litert(ODD, "litert-int8", "odd"), Unavailable,
     "LiteRT in the form int8.*its converter failed.*Use another backend"),
    (lambda model: embeddings.compare_backends("untrained", rounds=0), BadParameter, "at least 1; got 0"),
    (lambda model: embeddings.compare_backends("untrained@litert"), UnknownName, "untrained")])
def test_what_cannot_be_is_refused(model, call, error, words):
    with pytest.raises(error, match=words):
        call(model)


@pytest.mark.parametrize(("backend", "low", "high"), [
    ("litert", 0, 1e-5), ("litert-dynamic", 1e-4, 0.05), ("litert-int8", 1e-4, 0.05)])
def test_values_are_near_and_the_same_in_any_company(backend, low, high):
    network, right = backends.open_litert(SMALL, backend, f"values {backend}"), np.asarray(convolve(PATCHES))
    vectors = network(PATCHES)
    assert low <= np.abs(vectors - right).max() / np.abs(right).max() <= high
    assert np.array_equal(vectors[:9], np.concatenate([network(PATCHES[i:i + 1]) for i in range(9)]))


def test_a_backend_is_an_embedding_of_its_own(small):
    made = embeddings.get("untrained@litert-int8")
    assert made.name == "untrained@litert-int8" and made is embeddings.get("untrained@litert-int8")
    assert made.fingerprint == embeddings.fingerprint("untrained@litert-int8") != embeddings.fingerprint("untrained")
    assert made.replica is None and embeddings.get("untrained").replica is not None
    assert embeddings.check(made).ok


def test_converted_once_and_again_where_the_file_is_damaged(cache, monkeypatch):
    convert = Mock(side_effect=backends.convert_network)
    monkeypatch.setattr(backends, "convert_network", convert)
    first = backends.open_litert(SMALL, "litert", "cached")(PATCHES)
    assert np.array_equal(backends.open_litert(SMALL, "litert", "cached")(PATCHES), first) and convert.call_count == 1
    (path,) = cache.rglob("*.tflite")
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert np.array_equal(backends.open_litert(SMALL, "litert", "cached")(PATCHES), first) and convert.call_count == 2


def test_table_of_backends(small, monkeypatch):
    opened = backends.open_litert

    def open_some(network, backend, key):
        if backend == "litert-dynamic":
            raise Unavailable("the backend", "of a test", "None.")
        return opened(network, backend, key)

    monkeypatch.setattr(backends, "open_litert", open_some)
    table = embeddings.compare_backends("untrained", rounds=2).set_index("backend")
    assert table["available"].to_dict() == {"tensorflow": True, "litert": True, "litert-dynamic": False,
                                            "litert-int8": True}
    first, measured = table.loc["tensorflow"], table[table["available"]]
    assert (first["time_ratio"], first["largest_error"], first["cosine"]) == (1, 0, pytest.approx(1))
    assert np.isnan(table.at["litert-dynamic", "cosine"])
    assert (measured["ms_per_patch"] > 0).all() and (measured["cosine"] > 0.999).all()
    assert (measured["least_cosine"] <= measured["cosine"]).all()
    lines = backends.format_backends(table.reset_index()).splitlines()
    assert lines[1].startswith("tensorflow") and "1.00" in lines[1] and "of a test" in lines[3]


@pytest.mark.parametrize(("right", "made", "error", "cosine"), [
    ([[3, 0], [5, 0]], [[3, 1], [5, 0]], 1 / 5, 4 / np.hypot(4, 0.5)), ([[0, 0]], [[0, 0]], 0, 1)])
def test_error_and_cosine_by_hand(right, made, error, cosine):
    def give(frames):
        return types.SimpleNamespace(embed=lambda waves, lengths: (np.array([frames] * len(waves), float),
                                                                   np.full(len(waves), len(frames))))

    table = backends.measure_backends({"one": give(right), "other": give(made)}, {"one": "", "other": ""}, 1)
    found = table.set_index("backend").loc["other", ["largest_error", "cosine", "least_cosine"]]
    assert found.tolist() == pytest.approx([error, cosine, cosine])


def test_verbs():
    run = CliRunner()
    listed = run.invoke(cli.embeddings_app, ["list", "--profile", "quick"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == embeddings.names("quick")
    assert "\nnumpy" in run.invoke(cli.embeddings_app, ["backends", "logmel", "--rounds", "1"]).stdout
    assert "CPU:0" in run.invoke(cli.embeddings_app, ["devices"]).stdout


def test_sounds_stay_what_they_are():
    golden, *made, silence, half, noise = backends.make_extreme_sounds(4)
    assert backends.SOUNDS_VERSION == 1  # other sounds would be other ranges, and need another
    assert golden[[1000, 20_000, 40_000]] == pytest.approx([0.3160225, 0.0060286, -0.0038839], abs=1e-6)
    assert [(sound == 1).any() for sound in made] == [False, True, False], "one in four is clipped"
    assert not silence.any() and half[:24_000].any() and not half[24_000:].any() and noise.std() > 0.5
