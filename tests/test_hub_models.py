"""Published models: their call forms, frames, times and inner layers, on SavedModels with the real signatures."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys

import hub_models
import hub_server
import numpy as np
import pytest
from helpers import clip_table, tone

from nslib import audio, embeddings, extract
from nslib.embeddings import hub
from nslib.embeddings.cards import CARDS
from nslib.embeddings.hub import adapters, resolver
from nslib.embeddings.hub.adapters import ADAPTERS
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.store import Store

SECONDS = (1.0, 1.49, 2.0, 3.36, 6.6, 30.0)
# TRILL's are the counts that its users report; YAMNet and VGGish: patches of 0.975 s, padded to whole
# hops of 0.48 s, and complete ones every 0.96 s without padding
TRILL_COUNTS = (1, 4, 7, 15, 34, 171)
YAMNET_COUNTS = (2, 3, 4, 6, 13, 62)
VGGISH_COUNTS, VGGISH_PADDED_COUNTS = (1, 1, 2, 3, 6, 31), (2, 2, 3, 4, 7, 32)
COUNTS = {
    **dict.fromkeys(("trill-layer19", "trill-top", "trill-distilled", "frill"), (TRILL_COUNTS, 0.17)),
    **dict.fromkeys(("yamnet-top", "yamnet-scores", "yamnet-layer10"), (YAMNET_COUNTS, 0.48)),
    **dict.fromkeys(("vggish-top", "vggish-fc1"), (VGGISH_COUNTS, 0.96)),
    **{f"trillsson{k}": ((1,) * 6, 0.0) for k in range(1, 6)},
}


@pytest.fixture(scope="module")
def models():
    return hub_models.all_models()


@pytest.fixture(autouse=True)
def _here(models, monkeypatch):
    """The models lie in a folder of the user's; nothing is fetched."""
    monkeypatch.setenv("NSLIB_MODELS", str(models))


def load(name, folder, models_dir, monkeypatch):
    """An embedding of a model elsewhere."""
    monkeypatch.setenv("NSLIB_MODELS", str(models_dir))
    assert folder.parent == models_dir
    return embeddings.get(name)


@functools.cache
def module(models, name):
    """A model as TensorFlow itself loads it."""
    import tensorflow as tf

    return tf.saved_model.load(str(models / name))


def voices(*seconds):
    """Clips of unlike content, and a batch of them with zeros after the shorter ones."""
    waves = [tone(s, 150 + 90 * k, seed=k) for k, s in enumerate(seconds)]
    batch = np.zeros((len(waves), max(map(len, waves))), np.float32)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    return waves, batch, np.array([len(w) for w in waves])


def alone(embedding, wave):
    frames, counts = embedding.embed(wave[None], np.array([len(wave)]))
    return frames[0, : counts[0]]


# ---- each embedding: the tests of one come together, so that it is loaded once ---------------------------


@pytest.fixture(scope="module", params=tuple(ADAPTERS))
def name(request):
    return request.param


def test_keeps_the_contract(name):
    report = embeddings.check(embeddings.get(name))
    assert report.ok, str(report)


def test_frames_and_their_times(name, tmp_path):
    counts, hop = COUNTS[name]
    embedding = embeddings.get(name)
    clips = clip_table(tmp_path, list(SECONDS))
    found = extract.frames(clips, embedding)
    for clip, count in zip(clips["clip_id"], counts, strict=True):
        times, frames = found[clip]
        assert frames.shape == (count, CARDS[name].dim)
        assert np.allclose(times, hop * np.arange(count), atol=1e-5)
    assert embedding.window == (2.0 if name.startswith("trillsson") else 0.975)


def test_vectors_of_a_batch_are_those_of_each_clip(name, tmp_path):
    embedding, seconds = embeddings.get(name), (0.5, 1.0, 1.3, 1.3, 2.5, 4.0)
    clips = clip_table(tmp_path, list(seconds))
    out = extract.vectors(clips, embedding, store=Store(embedding, tmp_path / "store"), progress=False)
    assert len(out.problems) == 0 and out.vectors.shape == (6, embedding.dim)
    for path, vector in zip(clips["audio"], out.vectors, strict=True):
        wave = audio.read(path).wave
        own = alone(embedding, np.pad(wave, (0, max(embedding.min_samples - len(wave), 0)))).mean(0, dtype=np.float64)
        assert np.abs(own - vector).max() <= 1e-5 * np.abs(own).max()
    # below 0.975 s, or 2 s where the model mirrors, a clip is padded, and that is counted
    assert out.ledger["padded"] == (4 if name.startswith("trillsson") else 1)


def test_vectors_follow_the_sound(name):
    embedding = embeddings.get(name)
    waves = [tone(1.0, base + k, seed=k) for base in (200, 900) for k in range(6)]
    frames, _ = embedding.embed(np.stack(waves), np.full(12, 16000))
    vectors, label = frames.mean(1), np.repeat([0, 1], 6)
    for k in range(12):
        others = np.arange(12) != k
        centres = [vectors[others & (label == c)].mean(0) for c in (0, 1)]
        assert np.argmin([np.linalg.norm(vectors[k] - c) for c in centres]) == label[k]


def layer10(published, wave):
    """The tenth layer after its ReLU, from the network itself."""
    yamnet = hub_models.Yamnet()
    return np.asarray(yamnet.layers(published(wave)[2])[9])


def fc1(published, wave):
    """The first connected layer after its ReLU."""
    vggish = hub_models.Vggish()
    weights, biases = (np.asarray(v) for v in vggish.weights[:2])
    return np.maximum(np.asarray(vggish.pooled(wave)) @ weights + biases, 0)


DOCUMENTED = {
    "trill-layer19": lambda model, wave: model(samples=wave, sample_rate=16000)["layer19"],
    "trill-top": lambda model, wave: model(wave, 16000)["embedding"],
    "trill-distilled": lambda model, wave: model(samples=wave, sample_rate=16000)["embedding"],
    "frill": lambda model, wave: model(wave[None])["embedding"],
    **dict.fromkeys([f"trillsson{k}" for k in range(1, 6)], lambda model, wave: model(wave[None])["embedding"]),
    "yamnet-top": lambda model, wave: model(wave)[1],
    "yamnet-scores": lambda model, wave: model(wave)[0],
    "yamnet-layer10": layer10,
    "vggish-top": lambda model, wave: model(wave),
    "vggish-fc1": fc1,
}


def test_values_are_those_of_the_documented_call_for_one_clip(name, models):
    published, embedding = module(models, CARDS[name].hub), embeddings.get(name)
    waves, batch, lengths = voices(1.0, 2.1, 1.49)
    if embedding.pads_safely:
        frames, counts = embedding.embed(batch, lengths)
        found = [row[:count] for row, count in zip(frames, counts, strict=True)]
    else:
        found = [alone(embedding, wave) for wave in waves]
    for wave, own in zip(waves, found, strict=True):
        expected = np.asarray(DOCUMENTED[name](published, wave))
        assert own.shape == (len(expected), np.prod(expected.shape[1:]))
        assert np.abs(own - expected.reshape(own.shape)).max() <= 1e-5 * np.abs(expected).max()
    if name in ("yamnet-layer10", "vggish-fc1"):
        assert 0.1 < (found[1] == 0).mean() < 0.9
    if name == "trill-top":  # 16 bits are divided by 32767
        whole = np.rint(waves[1] * 32767).astype(np.int16)
        own = alone(embedding, whole.astype(np.float32) / np.float32(32767))
        assert np.abs(own - np.asarray(published(samples=whole, sample_rate=16000)["embedding"])).max() < 1e-6


# ---- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["yamnet-top", "vggish-top", "frill"])
def test_long_clips_go_in_pieces_that_change_nothing(model, monkeypatch):
    embedding = embeddings.get(model)
    _, batch, lengths = voices(7.3, 12.0)
    whole, counts = embedding.embed(batch, lengths)
    for at_once in (1, 5, 16):
        monkeypatch.setattr(adapters, "AT_ONCE", at_once)
        pieces, same = embedding.embed(batch, lengths)
        assert np.array_equal(counts, same)
        for one, other, count in zip(whole, pieces, counts, strict=True):
            assert np.abs(one[:count] - other[:count]).max() <= 1e-5 * np.abs(one).max()


def test_a_frame_sees_its_own_seconds_only():
    embedding = embeddings.get("frill")
    wave = tone(4.0)
    changed = wave.copy()
    changed[32000:32100] += 0.3  # from 2.0 s on
    before, after = alone(embedding, wave), alone(embedding, changed)
    moved = np.flatnonzero(np.abs(before - after).max(1) > 1e-5)
    starts = np.arange(len(before)) * embedding.hop
    expected = np.flatnonzero((starts < 2.00625) & (starts + embedding.window > 2.0))
    assert np.array_equal(moved, expected)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.9, 1.4])
def test_trillsson_mirrors_short_clips(models, seconds):
    wave = tone(seconds)
    mirrored = np.pad(wave, (0, 32000 - len(wave)), "symmetric")
    expected = np.asarray(module(models, "trillsson1")(mirrored[None])["embedding"])
    found = alone(embeddings.get("trillsson1"), wave)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_trillsson_refuses_clips_of_different_lengths():
    _, batch, lengths = voices(1.0, 2.0)
    with pytest.raises(BadParameter, match="one length"):
        embeddings.get("trillsson1").embed(batch, lengths)


@pytest.mark.parametrize("layer", ["vggish-top", "vggish-fc1"])
def test_vggish_that_pads_inside(layer, tmp_path, monkeypatch):
    """Of the exporter, versions with and without padding are public: which it is, is found out."""
    hub_models.save("vggish", tmp_path / "vggish", pads=True)
    embedding = load(layer, tmp_path / "vggish", tmp_path, monkeypatch)
    found = [len(alone(embedding, tone(seconds))) for seconds in SECONDS]
    assert tuple(found) == VGGISH_PADDED_COUNTS
    report = embeddings.check(embedding)
    assert report.ok, str(report)


def test_model_that_gives_other_frames_for_some_clips_is_caught():
    def drops_long(waves):
        return np.zeros((len(waves), min(7, 1 + (waves.shape[1] - 15600) // 2720), 4), np.float32)

    embed = adapters.embedder(drops_long, ADAPTERS["trill-top"], 2)
    assert embed(tone(2.0)[None], np.array([32000]))[0].shape == (1, 7, 4)
    with pytest.raises(NslibError, match="48000 samples gave 7 frames, not 12"):
        embed(tone(3.0)[None], np.array([48000]))


# ---- models that are not what their card says -------------------------------------------------------

OTHERS = {
    "size": ("trill-top", {"top": 100}, r"\[2, 1, 100\], not \[2, 1, 512\]"),
    "rate": ("trill-top", {"checks_rate": False}, "takes 8000 Hz"),
    "precision": ("trill-top", {"precision": "float64"}, "float64, not float32"),
    "hop": ("trill-layer19", {"hop": 16}, r"64000 samples give \[2, 19, 12288\], not \[2, 18, 12288\]"),
    "mixing": ("trill-top", {"leaks": True}, "zeros after a clip change its frames"),
    "padding": ("trillsson1", {"mode": "CONSTANT"}, "does not mirror"),
    "layer names": ("yamnet-layer10", {"layer": "block"}, r"layer10/pointwise_conv/relu/Relu was looked for, and none"),
    "two layers": ("vggish-fc1", {"twice": True}, r"fc1_1/Relu was looked for, and .*Relu, .*Relu_1 found"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_model_is_refused(kind, tmp_path, monkeypatch):
    name, changes, words = OTHERS[kind]
    quick = {"ranks": (2,), "dtypes": ("float32",)} if CARDS[name].hub == "trill" else {}
    folder = hub_models.save(CARDS[name].hub, tmp_path / CARDS[name].hub, **quick, **changes)
    with pytest.raises(Unavailable, match=words) as caught:
        load(name, folder, tmp_path, monkeypatch)
    assert CARDS[name].hub in str(caught.value)


def test_top_is_there_where_the_inner_layer_is_not(tmp_path, monkeypatch):
    folder = hub_models.save("vggish", tmp_path / "vggish", twice=True)
    assert len(alone(load("vggish-top", folder, tmp_path, monkeypatch), tone(2.0))) == 2


def test_wrong_call_form_is_told(models, tmp_path, monkeypatch):
    (tmp_path / "yamnet").symlink_to(models / "frill")  # takes batches
    with pytest.raises(Unavailable, match=r"model found as yamnet is not what its card says"):
        load("yamnet-top", tmp_path / "yamnet", tmp_path, monkeypatch)


@pytest.mark.parametrize("ranks", [(1,), (2,)])
def test_trill_by_the_ranks_that_it_declares(ranks, tmp_path, monkeypatch):
    folder = hub_models.save("trill", tmp_path / "trill", ranks=ranks, dtypes=("float32",))
    embedding = load("trill-top", folder, tmp_path, monkeypatch)
    _, batch, lengths = voices(1.0, 2.1)
    frames, counts = embedding.embed(batch, lengths)
    assert counts.tolist() == [1, 7]
    assert frames.shape == (2, 7, 512)


def test_trill_of_no_known_rank(models, tmp_path, monkeypatch):
    (tmp_path / "trill").symlink_to(models / "vggish")
    monkeypatch.setitem(ADAPTERS, "trill-top", dataclasses.replace(ADAPTERS["trill-top"], ranks=(2, 3)))
    with pytest.raises(Unavailable, match=r"declares calls with float32 samples of rank \[1\], not of 2 or 3"):
        load("trill-top", tmp_path / "trill", tmp_path, monkeypatch)


def test_no_model_at_all(tmp_path, monkeypatch):
    (tmp_path / "frill").mkdir()
    (tmp_path / "frill" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(Unavailable, match="TensorFlow cannot load"):
        load("frill", tmp_path / "frill", tmp_path, monkeypatch)


# ---- loading -------------------------------------------------------------------------------------


def test_fetched_announced_and_run(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    resolver.forget_failures()
    hub._open.cache_clear()
    embeddings._load.cache_clear()
    with hub_server.serving(models) as url:
        monkeypatch.setenv("NSLIB_HUB_URL", url)
        embedding = embeddings.get("trillsson5")
    said = capsys.readouterr().err
    assert "google/nonsemantic-speech-benchmark/trillsson5/1" in said and str(tmp_path / "trillsson5") in said
    assert embedding.fingerprint == embeddings.fingerprint("trillsson5")
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    assert alone(embedding, tone(2.0)).shape == (1, 1024)
    assert embeddings.get("trillsson5") is embedding


def test_fingerprints():
    found = {name: embeddings.fingerprint(name) for name in ADAPTERS}
    assert len(set(found.values())) == len(ADAPTERS)
    assert all(embeddings.get(name).fingerprint == found[name] for name in ("frill", "vggish-top"))


def test_models_in_memory_are_few_and_come_back():
    first = embeddings.get("trillsson1")
    before = alone(first, tone(2.0))
    for name in ("trillsson2", "trillsson3", "frill"):
        alone(embeddings.get(name), tone(1.0))
    assert hub._open.cache_info().currsize <= hub.OPEN
    assert np.array_equal(alone(first, tone(2.0)), before)
    assert embeddings.get("trillsson1") is first


def test_changed_files_are_not_run(tmp_path, models, monkeypatch):
    folder = tmp_path / "frill"
    shutil.copytree(models / "frill", folder)
    embeddings._load.cache_clear()
    embedding = load("frill", folder, tmp_path, monkeypatch)
    with (folder / "variables" / "variables.index").open("ab") as file:
        file.write(b"x")
    with pytest.raises(Unavailable, match="not the ones used before"):
        embeddings.get("frill")
    (tmp_path / "frill.json").unlink()
    hub._open.cache_clear()
    with pytest.raises(Unavailable, match="Start the program again"):
        alone(embedding, tone(1.0))


def test_import_of_the_package_is_light():
    code = ("import sys; from nslib.embeddings import hub; from nslib.embeddings.hub import adapters, download;"
            "print(sorted({'tensorflow', 'requests', 'pandas', 'kagglehub'} & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
