"""Networks of the kit: shapes, costs, files of weights, and the embeddings they give."""

import shutil

import numpy as np
import pytest

from nslib import config, embeddings
from nslib.embeddings import networks
from nslib.embeddings.networks import build_network, count_cost
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName

RNG = np.random.default_rng(6)
PATCHES = RNG.normal(-4, 2, (3, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def mini():
    return build_network("trill-mini", seed=5)


def test_the_large_network_has_the_published_sizes(monkeypatch):
    monkeypatch.setattr("keras.initializers.HeNormal", lambda seed: "zeros")  # 24 million draws take most of a minute
    model = build_network("resnet50-trill")
    cost = count_cost(model)
    # 98.1 MB of 32-bit weights are 24.5 million
    assert cost.parameters * 4 / 1e6 == pytest.approx(98.1, rel=0.01)
    assert "24.63 M parameters" in str(cost) and "12,288-d" in str(cost)
    assert model.get_layer("stage4_block1_open").output.shape[1:] == (6, 4, 512)


def test_taps_of_the_small_network_are_what_their_names_say(mini):
    import keras

    cost = count_cost(mini)
    assert cost.parameters < 2_000_000 and cost.outputs == {"embedding": 512, "layer19": 2 * 4 * 128}
    taps = mini(PATCHES, training=False)
    np.testing.assert_allclose(np.linalg.norm(taps["embedding"], axis=1), 1, atol=1e-5)
    short = np.array(PATCHES)
    short[0, 40:], short[1] = np.log(0.001), np.log(0.001)  # ends in padding; is silent from end to end
    layer = keras.Model(mini.input, mini.get_layer("stage4_block1_open").output)
    for patches, weights in ((PATCHES, np.ones((3, 6))), (short, [[1, 1, 0.5, 0, 0, 0], [1] * 6, [1] * 6])):
        places = np.asarray(layer(patches, training=False), float)  # [3, 6 in time, 4 bands, 128]
        for row, of, weight in zip(mini(patches, training=False)["layer19"], places, weights, strict=True):
            pooled = np.average(of, axis=0, weights=weight), of[np.array(weight) > 0].max(axis=0)
            np.testing.assert_allclose(row, np.concatenate(pooled, axis=-1).ravel(), atol=1e-4)
    assert count_cost(networks.cut_at_tap(mini, "layer19")).multiply_adds < cost.multiply_adds
    with pytest.raises(UnknownName, match="tap"):
        networks.cut_at_tap(mini, "layer20")


@pytest.mark.parametrize(("name", "kind", "alpha", "dim"), [
    ("mobilenet-1", "mobilenet", 1.0, 2048), ("mobilenet-0.25-512", "mobilenet", 0.25, 512),
    ("mobilenetv3-small-0.5", "mobilenetv3-small", 0.5, 1024), ("mobilenetv3-large-2", "mobilenetv3-large", 2, 2560)])
def test_a_name_says_kind_width_and_dimensions(name, kind, alpha, dim):
    assert networks.parse_student(name) == networks.MobileNetShape(kind, alpha, dim)


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda: build_network("mobilnet-0.5"), UnknownName, "Did you mean mobilenet"),
    (lambda: build_network("mobilenet-0.01"), BadParameter, "0.05 to 4"),
    (lambda: networks.parse_student("mobilenet-wide"), BadParameter, "kind-alpha"),
    (lambda: networks.load_network("trill-minni"), UnknownName, "Did you mean trill-mini")])
def test_what_cannot_be_built_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_the_seed_decides_the_weights_and_students_give_one_vector_a_patch(mini):
    same, other = (networks.hash_weights(build_network("trill-mini", seed)) for seed in (5, 4))
    assert networks.hash_weights(mini) == same != other
    vectors = build_network("mobilenet-0.05-256")(PATCHES, training=False)
    assert list(vectors) == ["embedding"] and vectors["embedding"].shape == (3, 256)


def test_multiply_adds_are_those_of_a_count_by_hand_and_of_mobilenets_paper():
    import keras

    given = keras.Input((96, 64, 1))
    x = keras.layers.DepthwiseConv2D(3, 1, "same")(keras.layers.Conv2D(8, 3, 2, "same")(given))
    cost = count_cost(keras.Model(given, keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))))
    assert cost.multiply_adds == 48 * 32 * (9 * 8 + 9 * 8) + 8 * 10
    assert cost.parameters == 9 * 8 + 8 + 9 * 8 + 8 + 8 * 10 + 10
    body = keras.applications.MobileNet((224, 224, 3), include_top=True, weights=None)
    # Howard et al., table 8: 569 million
    assert count_cost(body).multiply_adds == pytest.approx(569e6, rel=0.005)
    given = keras.Input((5, 3))
    with pytest.raises(BadParameter, match="LSTM"):
        count_cost(keras.Model(given, keras.layers.LSTM(4)(given)))


def test_weights_survive_their_file(mini, tmp_path):
    for dtype, tolerance in (("float32", 0), ("float16", 1e-3)):
        networks.save_weights(tmp_path / "w.npz", mini, {"step": 3}, dtype)
        again = networks.load_network_file(tmp_path / "w.npz")
        for a, b in zip(mini.weights, again.weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10)
    assert networks.load_weights(tmp_path / "w.npz", again) == {"network": "trill-mini", "step": 3}
    with pytest.raises(BadParameter, match="another network"):
        networks.load_weights(tmp_path / "w.npz", networks.build_resnet(networks.ResNetShape(0.25, (1, 1, 1, 1))))
    (tmp_path / "w.npz").write_bytes(b"PK")
    with pytest.raises(Unavailable, match="cannot be read"):
        networks.load_network_file(tmp_path / "w.npz")


@pytest.mark.parametrize("name", networks.list_trained())
def test_committed_weights_are_those_of_the_cards(name):
    cost = count_cost(networks.load_network(name))
    for card, (network, tap) in networks.TRAINED_TAPS.items():
        assert network != name or EMBEDDINGS[card].parameters == cost.parameters
        assert network != name or EMBEDDINGS[card].dim == cost.outputs[tap]


@pytest.mark.parametrize(("name", "figure", "group"), [
    ("trill-mini", "accuracy", "loop"), ("trill-mini-distilled", "explained", "distill")])
def test_committed_runs_made_the_committed_weights(name, figure, group):
    curve = networks.read_curve(name)
    curve = curve[(curve["part"] == "held-out") & (curve["figure"] == figure)].set_index("step")["value"]
    _, meta = networks.read_arrays(networks.network_folder(name) / "weights.npz")
    assert (meta["step"], meta[figure]) == (curve.idxmax(), pytest.approx(curve.max()))
    assert curve.index[-1] <= networks.read_settings(name)[group]["steps"]


def test_other_weights_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "trill-mini"
    folder.mkdir(parents=True)
    shutil.copy(networks.network_folder("trill-mini") / "untrained.npz", folder / "weights.npz")
    monkeypatch.setattr(config, "data_dir", lambda: tmp_path)
    with pytest.raises(Unavailable, match="it was cut or changed"):
        networks.load_network("trill-mini")
    (folder / "weights.npz").unlink()
    with pytest.raises(Unavailable, match="missing"):
        networks.load_network("trill-mini")


def test_a_network_is_an_embedding_that_keeps_the_contract_and_gives_the_vectors_of_the_built_in():
    network = networks.load_network("trill-mini-distilled")  # the smallest
    mine = networks.make_embedding(network, "embedding", "mini", trained_on="nothing")
    report = embeddings.check(mine)
    assert report.ok, str(report)
    waves, lengths = RNG.normal(0, 0.1, (2, 24_000)).astype(np.float32), np.array([24_000, 9_000])
    frames, counts = mine.embed(waves, lengths)
    taps = network(networks.cut_patches(waves[0]), training=False)
    np.testing.assert_allclose(frames[0, :counts[0]], taps["embedding"], atol=1e-4)
    np.testing.assert_array_equal(embeddings.get("trill-mini-distilled").embed(waves, lengths)[0], frames)


def test_untrained_weights_are_the_same_on_every_machine(monkeypatch):
    layers = networks.draw_untrained()
    assert networks.hash_untrained(layers) == EMBEDDINGS["untrained"].revision == "6d1ab7f0369116f8"
    assert sum(w.size for _, _, w in layers) == EMBEDDINGS["untrained"].parameters
    monkeypatch.setattr(networks, "_SEED", 1)
    with pytest.raises(NslibError, match=r"this machine draws weights [0-9a-f]{16}, not 6d1ab7f0369116f8"):
        networks.load_builtin(EMBEDDINGS["untrained"])
