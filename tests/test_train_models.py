"""The kit's own networks: the committed files are the ones that code, cards and results speak of."""

import hashlib
import shutil

import numpy as np
import pytest

from nslib import embeddings, params
from nslib.embeddings.cards import CARDS, KIT
from nslib.errors import Unavailable, UnknownName
from nslib.train import checkpoint, costs, embedding, models, settings


@pytest.mark.parametrize("name", models.names())
def test_committed_weights_are_those_of_the_code(name):
    content = (models.folder(name) / models.FILES[name].file).read_bytes()
    assert hashlib.sha256(content).hexdigest().startswith(models.FILES[name].sha256)
    assert len(content) < 10e6


@pytest.mark.parametrize("name", KIT)
def test_cards_say_what_the_networks_are(name):
    network, tap = KIT[name]
    size = costs.cost(models.load(network))
    assert (CARDS[name].parameters, CARDS[name].dim) == (size.parameters, size.outputs[tap])
    assert embeddings.get(name).dim == size.outputs[tap]


def test_the_untrained_twin_began_the_committed_run():
    before, after = (checkpoint.values(models.load(name).weights) for name in ("trill-mini-untrained", "trill-mini"))
    assert [a.shape for a in before] == [b.shape for b in after]
    assert not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    _, meta = checkpoint.read(models.folder("trill-mini-untrained") / "untrained.npz")
    assert meta["step"] == 0


def test_the_run_can_be_read():
    curve, chosen = models.curve("trill-mini"), settings.make(models.settings("trill-mini"))
    held_out = curve[(curve["part"] == "held-out") & (curve["figure"] == "accuracy")].set_index("step")["value"]
    assert held_out.index[0] == 0 and held_out.index[-1] <= chosen.loop.steps
    _, meta = checkpoint.read(models.folder("trill-mini") / "weights.npz")
    assert meta["step"] == held_out.idxmax(), "the weights are those of the best look"
    assert meta["accuracy"] == pytest.approx(held_out.max())


def test_built_in_gives_the_vectors_of_the_network():
    rng = np.random.default_rng(0)
    waves, lengths = rng.normal(0, 0.1, (2, 24_000)).astype(np.float32), np.array([24_000, 9_000])
    built_in = embeddings.get("trill-mini-top").embed(waves, lengths)
    by_hand = embedding.as_embedding(models.load("trill-mini"), "embedding", "mine").embed(waves, lengths)
    np.testing.assert_array_equal(built_in[0], by_hand[0])


def test_the_student_came_from_the_committed_teacher():
    _, meta = checkpoint.read(models.folder("trill-mini-distilled") / "weights.npz")
    curve = models.curve("trill-mini-distilled")
    explained = curve[(curve["part"] == "held-out") & (curve["figure"] == "explained")].set_index("step")["value"]
    assert meta["teacher"] == "trill-mini-layer19"
    assert meta["explained"] == pytest.approx(explained.max()) and meta["step"] == explained.idxmax()


def test_other_weights_are_refused(tmp_path, monkeypatch):
    shutil.copytree(params.data_dir() / "models", tmp_path / "models")
    shutil.copy(tmp_path / "models/trill-mini/untrained.npz", tmp_path / "models/trill-mini/weights.npz")
    monkeypatch.setattr(params, "data_dir", lambda: tmp_path)
    with pytest.raises(Unavailable, match="does not have the hash"):
        models.load("trill-mini")
    (tmp_path / "models/trill-mini/weights.npz").unlink()
    with pytest.raises(Unavailable, match="missing"):
        models.load("trill-mini")


def test_unknown_network():
    with pytest.raises(UnknownName, match="trill-mini"):
        models.load("trill-minni")
