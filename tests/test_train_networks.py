"""Sizes, taps and costs of the networks, and a network as an embedding."""

from __future__ import annotations

import numpy as np
import pytest

from nslib import embeddings, frontend
from nslib.errors import BadParameter, UnknownName
from nslib.train import checkpoint, costs, embedding, networks

PATCHES = np.random.default_rng(0).normal(-4, 2, (3, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def mini():
    return networks.trill_mini(seed=5)


def test_the_large_network_has_the_published_sizes():
    model = networks.resnet50_trill()
    found = costs.cost(model)
    assert found.outputs == {"embedding": 512, "layer19": 12_288}
    # 98.1 MB of 32-bit weights are 24.5 million
    assert found.parameters * 4 / 1e6 == pytest.approx(98.1, rel=0.01)
    assert "24.63 M parameters" in str(found) and "12,288-d" in str(found)
    tap = model.get_layer("stage4_block1_open")
    assert tap.output.shape[1:] == (6, 4, 512)


def test_the_small_network_is_small_and_has_the_same_taps(mini):
    found = costs.cost(mini)
    assert found.parameters < 2_000_000 and found.outputs == {"embedding": 512, "layer19": 6 * 4 * 128}
    assert mini.get_layer("stage4_block1_open").output.shape[1:] == (6, 4, 128)


def test_taps_are_what_their_names_say(mini):
    import keras

    taps = mini(PATCHES, training=False)
    np.testing.assert_allclose(np.linalg.norm(taps["embedding"], axis=1), 1, atol=1e-5)
    convolution = keras.Model(mini.input, mini.get_layer("stage4_block1_open").output)(PATCHES, training=False)
    assert np.array_equal(taps["layer19"], np.reshape(convolution, (3, -1)))
    assert (taps["layer19"].numpy() < 0).any(), "before the activation"


def test_the_seed_decides_the_weights(mini):
    same, other = networks.trill_mini(seed=5), networks.trill_mini(seed=6)
    assert embedding.revision(same) == embedding.revision(mini) != embedding.revision(other)


def test_multiply_adds_of_a_convolution_counted_by_hand():
    import keras

    given = keras.Input((96, 64, 1))
    x = keras.layers.DepthwiseConv2D(3, 1, "same")(keras.layers.Conv2D(8, 3, 2, "same")(given))
    model = keras.Model(given, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x)))
    found = costs.cost(model)
    assert found.multiply_adds == 48 * 32 * (9 * 8 + 9 * 8) + 8 * 10
    assert found.parameters == found.trainable == 9 * 8 + 8 + 9 * 8 + 8 + 8 * 10 + 10


def test_a_layer_of_unknown_cost_is_refused():
    import keras

    given = keras.Input((5, 3))
    model = keras.Model(given, keras.layers.LSTM(4)(given))
    with pytest.raises(BadParameter, match="LSTM"):
        costs.cost(model)


def test_bad_shapes_and_names_are_refused():
    with pytest.raises(UnknownName, match="trill-mini"):
        networks.named("trill-mni")
    with pytest.raises(BadParameter, match="four stages"):
        networks.Shape(0.5, (1, 1, 0, 1))


def test_weights_survive_their_file(mini, tmp_path):
    other = networks.trill_mini(seed=6)
    for dtype, tolerance in (("float32", 0), ("float16", 1e-3)):
        checkpoint.save_weights(tmp_path / "w.npz", mini, {"step": 3}, dtype)
        assert checkpoint.load_weights(tmp_path / "w.npz", other)["step"] == 3
        for a, b in zip(mini.weights, other.weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10)
    first = (tmp_path / "w.npz").read_bytes()
    checkpoint.save_weights(tmp_path / "w.npz", mini, {"step": 3}, "float16")
    assert (tmp_path / "w.npz").read_bytes() == first
    with pytest.raises(BadParameter, match="another network"):
        checkpoint.load_weights(tmp_path / "w.npz", networks.build(networks.Shape(0.25, (1, 1, 1, 1))))


def test_a_network_is_an_embedding_that_keeps_the_contract(mini):
    mine = embedding.as_embedding(mini, "layer19", "mini-layer19", trained_on="nothing")
    report = embeddings.check(mine)
    assert report.ok, str(report)
    wave = np.random.default_rng(1).normal(0, 0.1, 24_000).astype(np.float32)
    frames, counts = mine.embed(wave[None], np.array([24_000]))
    patches = frontend.patches(frontend.log_mel(wave), frontend.TRILL)
    np.testing.assert_allclose(frames[0, :counts[0]], mini(patches, training=False)["layer19"], atol=1e-4)
    assert mine.dim == 3072 and mine.hop == pytest.approx(0.17) and mine.parameters < 2e6
