"""Published models: call forms, frames, times and inner layers, on SavedModels with the real signatures."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import subprocess
import sys
import textwrap

import hub_models
import hub_server
import numpy as np
import pytest
import tensorflow as tf
from helpers import clip_table, tone

from nslib import embeddings
from nslib.embeddings import hub, registry
from nslib.embeddings.hub import ADAPTERS
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.extraction import extract

SECONDS = (1.0, 1.49, 2.0, 3.36, 6.6, 30.0)
# TRILL's are the counts that its users report; YAMNet and VGGish: patches of 0.975 s, padded to whole
# hops of 0.48 s, and complete ones every 0.96 s without padding
TRILL_COUNTS, YAMNET_COUNTS = (1, 4, 7, 15, 34, 171), (2, 3, 4, 6, 13, 62)
VGGISH_COUNTS, VGGISH_PADDED_COUNTS = (1, 1, 2, 3, 6, 31), (2, 2, 3, 4, 7, 32)
COUNTS = {
    **dict.fromkeys(("trill-layer19", "trill-top", "trill-distilled", "frill"), (TRILL_COUNTS, 0.17)),
    **dict.fromkeys(("yamnet-top", "yamnet-scores", "yamnet-layer10"), (YAMNET_COUNTS, 0.48)),
    **dict.fromkeys(("vggish-top", "vggish-fc1"), (VGGISH_COUNTS, 0.96)),
    "trillsson1": ((1,) * 6, 0.0),
}


@pytest.fixture(scope="module")
def models():
    return hub_models.all_models()


@pytest.fixture(autouse=True)
def _here(models, monkeypatch):
    """The models lie in a folder of the user's; nothing is fetched."""
    monkeypatch.setenv("NSLIB_MODELS", str(models))


def load(name, folder, monkeypatch):
    """An embedding of a model elsewhere."""
    monkeypatch.setenv("NSLIB_MODELS", str(folder))
    return embeddings.get(name)


@functools.cache
def module(models, name):
    """A model as TensorFlow itself loads it."""
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


# ---- each embedding: the tests of one come together, so that it is loaded once -----------------------

@pytest.fixture(scope="module", params=tuple(COUNTS))
def name(request):
    return request.param


def test_keeps_the_contract_and_gives_its_frames_at_their_times(name, tmp_path):
    counts, hop = COUNTS[name]
    embedding = embeddings.get(name)
    report = embeddings.check(embedding)
    assert report.ok, str(report)
    clips = clip_table(tmp_path, list(SECONDS))
    extracted = extract.extract_frames(clips, embedding)
    for clip, count in zip(clips["clip_id"], counts, strict=True):
        times, frames = extracted[clip]
        assert frames.shape == (count, EMBEDDINGS[name].dim)
        assert np.allclose(times, hop * np.arange(count), atol=1e-5)
    assert embedding.window == (2.0 if name.startswith("trillsson") else 0.975)


def layer10(published, wave):
    """The tenth layer after its ReLU, from the network itself."""
    return np.asarray(hub_models.Yamnet().layers(published(wave)[2])[10])


def fc1(published, wave):
    """The first connected layer after its ReLU."""
    vggish = hub_models.Vggish()
    weights, biases = (np.asarray(v) for v in vggish.weights[:2])
    return np.maximum(np.asarray(vggish.pooled(wave)) @ weights + biases, 0)


DOCUMENTED = {
    "trill-layer19": lambda model, wave: model(samples=wave, sample_rate=16000)["layer19"],
    "trill-top": lambda model, wave: model(wave, 16000)["embedding"],
    "trill-distilled": lambda model, wave: model(samples=wave, sample_rate=16000)["embedding"],
    **dict.fromkeys(("frill", "trillsson1"), lambda model, wave: model(wave[None])["embedding"]),
    "yamnet-top": lambda model, wave: model(wave)[1],
    "yamnet-scores": lambda model, wave: model(wave)[0],
    "yamnet-layer10": layer10,
    "vggish-top": lambda model, wave: model(wave),
    "vggish-fc1": fc1,
}


def test_values_are_those_of_the_documented_call_for_one_clip(name, models):
    published, embedding = module(models, EMBEDDINGS[name].hub), embeddings.get(name)
    waves, batch, lengths = voices(1.0, 2.1, 1.49)
    if embedding.pads_safely:
        frames, counts = embedding.embed(batch, lengths)
        made = [row[:count] for row, count in zip(frames, counts, strict=True)]
    else:
        made = [alone(embedding, wave) for wave in waves]
    for wave, vectors in zip(waves, made, strict=True):
        expected = np.asarray(DOCUMENTED[name](published, wave))
        assert vectors.shape == (len(expected), np.prod(expected.shape[1:]))
        assert np.abs(vectors - expected.reshape(vectors.shape)).max() <= 1e-5 * np.abs(expected).max()
    if name in ("yamnet-layer10", "vggish-fc1"):
        assert 0.1 < (made[1] == 0).mean() < 0.9


# ---- time --------------------------------------------------------------------------------------------

def test_long_clips_go_in_pieces_that_change_nothing(monkeypatch):
    embedding = embeddings.get("frill")
    _, batch, lengths = voices(7.3, 12.0)
    whole, counts = embedding.embed(batch, lengths)
    for at_once in (1, 16):
        monkeypatch.setattr(hub, "AT_ONCE", at_once)
        pieces, same = embedding.embed(batch, lengths)
        assert np.array_equal(counts, same)
        for one, other, count in zip(whole, pieces, counts, strict=True):
            assert np.abs(one[:count] - other[:count]).max() <= 1e-5 * np.abs(one).max()


def test_trillsson_mirrors_short_clips_and_takes_one_length(models):
    embedding = embeddings.get("trillsson1")
    for seconds in (0.1, 0.3, 0.9, 1.4):
        wave = tone(seconds)
        mirrored = np.pad(wave, (0, 32000 - len(wave)), "symmetric")
        expected = np.asarray(module(models, "trillsson1")(mirrored[None])["embedding"])
        assert np.abs(alone(embedding, wave) - expected).max() <= 1e-5 * np.abs(expected).max()
    _, batch, lengths = voices(1.0, 2.0)
    with pytest.raises(BadParameter, match="one length"):
        embedding.embed(batch, lengths)


def test_vggish_that_pads_inside(tmp_path, monkeypatch):
    """Of the exporter, versions with and without padding are public: which it is, is found out."""
    hub_models.save("vggish", tmp_path / "vggish", pads=True)
    for layer in ("vggish-top", "vggish-fc1"):
        embedding = load(layer, tmp_path, monkeypatch)
        assert tuple(len(alone(embedding, tone(seconds))) for seconds in SECONDS) == VGGISH_PADDED_COUNTS


def test_model_that_gives_other_frames_for_some_clips_is_caught():
    def drops_long(waves):
        return np.zeros((len(waves), min(7, 1 + (waves.shape[1] - 15600) // 2720), 4), np.float32)

    embed = hub.embed_calls(drops_long, ADAPTERS["trill-top"], 2)
    assert embed(tone(2.0)[None], np.array([32000]))[0].shape == (1, 7, 4)
    with pytest.raises(NslibError, match="48000 samples gave 7 frames, not 12"):
        embed(tone(3.0)[None], np.array([48000]))


# ---- models that are not what their card says --------------------------------------------------------

QUICK = {"ranks": (2,), "dtypes": ("float32",)}
OTHERS = {
    "size": ("trill-top", {**QUICK, "top": 100}, r"\[2, 1, 100\], not \[2, 1, 512\]"),
    "rate": ("trill-top", {**QUICK, "checks_rate": False}, "takes 8000 Hz"),
    "precision": ("trill-top", {**QUICK, "precision": "float64"}, "float64, not float32"),
    "hop": ("trill-top", {**QUICK, "hop": 16}, r"64000 samples give \[2, 19, 512\], not \[2, 18, 512\]"),
    "mixing": ("trill-top", {**QUICK, "leaks": True}, "zeros after a clip change its frames"),
    "padding": ("trillsson1", {"mode": "CONSTANT"}, "does not mirror"),
    "layer names": ("yamnet-layer10", {"layer": "block"}, r"layer10/pointwise_conv/relu/Relu was looked for, and none"),
    "two layers": ("vggish-fc1", {"twice": True}, r"fc1_1/Relu was looked for, and .*Relu, .*Relu_1 found"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_model_is_refused(kind, tmp_path, monkeypatch):
    name, changes, words = OTHERS[kind]
    hub_models.save(EMBEDDINGS[name].hub, tmp_path / EMBEDDINGS[name].hub, **changes)
    with pytest.raises(Unavailable, match=words) as caught:
        load(name, tmp_path, monkeypatch)
    assert EMBEDDINGS[name].hub in str(caught.value)
    if kind == "two layers":  # the top is there where the inner layer is not
        assert len(alone(embeddings.get("vggish-top"), tone(2.0))) == 2


def test_files_of_another_model_or_of_none(models, tmp_path, monkeypatch):
    (tmp_path / "yamnet").symlink_to(models / "frill")  # takes batches
    with pytest.raises(Unavailable, match=r"model found as yamnet is not what its card says"):
        load("yamnet-top", tmp_path, monkeypatch)
    hub_server.write_model(tmp_path / "frill", {"saved_model.pb": b"\xff" * 100})
    with pytest.raises(Unavailable, match="TensorFlow cannot load"):
        load("frill", tmp_path, monkeypatch)


def test_trill_by_the_ranks_that_it_declares(models, tmp_path, monkeypatch):
    hub_models.save("trill", tmp_path / "trill", ranks=(1,), dtypes=("float32",))
    _, batch, lengths = voices(1.0, 2.1)
    frames, counts = load("trill-top", tmp_path, monkeypatch).embed(batch, lengths)
    assert counts.tolist() == [1, 7] and frames.shape == (2, 7, 512)
    odd = dataclasses.replace(ADAPTERS["trill-top"], ranks=(2, 3))
    with pytest.raises(NslibError, match=r"declares calls with float32 samples of rank \[1\], not of 2 or 3"):
        hub.choose_rank(module(models, "vggish"), odd)


# ---- frozen calls ------------------------------------------------------------------------------------

MATRIX = tf.Variable(np.random.default_rng(0).normal(0, 1, (160, 4)).astype(np.float32))


def frames_of(samples):
    return tf.tensordot(tf.signal.frame(samples, 160, 160, axis=-1), MATRIX, 1)


def test_same_numbers_traced_once_without_the_variables(capsys):
    traced = []
    call = hub.freeze_call(lambda samples: (traced.append(1), frames_of(samples))[1], 2, "model")
    once, before = len(traced), MATRIX.numpy()
    assert capsys.readouterr().err == ""
    for samples in (320, 16_000, 20_001):
        wave = np.stack([tone(samples / 16_000, 200, seed=s) for s in range(3)])
        assert np.abs(call(wave) - frames_of(wave).numpy()).max() < 1e-5
    right = call(wave)
    MATRIX.assign(before + 1)
    assert np.array_equal(call(wave), right) and len(traced) == once
    MATRIX.assign(before)


@pytest.mark.parametrize(("kind", "words"), [("eager", "frozen ("), ("drifts", "differs from the"),
                                             ("shape", "it gives float"), ("type", "it gives float")])
def test_what_cannot_be_frozen_is_called_as_it_is(kind, words, capsys):
    calls = itertools.count(1)

    def odd(samples):
        if kind == "eager":
            return frames_of(samples * float(np.asarray(samples).max()))  # a tensor of a graph has no value
        if kind == "drifts":
            return frames_of(samples) * next(calls)
        if isinstance(samples, np.ndarray):
            return frames_of(samples)
        return frames_of(samples)[1:] if kind == "shape" else tf.cast(frames_of(samples), tf.float64)

    call = hub.freeze_call(odd, 1, "oddity")
    said = capsys.readouterr().err
    assert "oddity is called as it is, which is slower: its graph was not frozen (" in said and words in said
    assert call(tone(1.0)).shape == (100, 4)


@pytest.mark.heavy
def test_published_model_on_two_devices(models):
    code = """
        import numpy as np, tensorflow as tf
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        from nslib import embeddings
        from nslib.embeddings import hub, runtime
        from nslib.extraction.devices import load_replicas

        ran = []
        def recording(graph):
            def run(given):
                made = graph(tf.constant(given, tf.float32))
                made = made[0] if isinstance(made, (list, tuple)) else made
                ran.append(made.device[-5:])
                return made.numpy()
            return run
        runtime.make_runner = hub.make_runner = recording
        waves = np.random.default_rng(0).normal(0, 0.1, (2, 20_000)).astype(np.float32)
        for name in ("frill", "yamnet-layer10"):
            outputs = []
            for replica in load_replicas(embeddings.get(name), ["CPU:0", "CPU:1"]):
                ran.clear()
                outputs.append(replica.embed(waves, np.array([20_000, 17_000]))[0])
                print(name, *sorted(set(ran)))
            assert np.array_equal(*outputs) and outputs[0].any()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
                          env={**os.environ, "NSLIB_MODELS": str(models)})
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["frill CPU:0", "frill CPU:1", "yamnet-layer10 CPU:0", "yamnet-layer10 CPU:1"]


# ---- loading -----------------------------------------------------------------------------------------

def test_fetched_announced_run_and_refused_once_its_files_change(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    hub._open_shared.cache_clear()
    registry._load.cache_clear()
    with hub_server.serving(models) as url:
        monkeypatch.setenv("NSLIB_HUB_URL", url)
        embedding = embeddings.get("trillsson5")
    said = capsys.readouterr().err
    assert "google/nonsemantic-speech-benchmark/trillsson5/1" in said and str(tmp_path / "trillsson5") in said
    assert "called as it is" not in said
    assert embedding.fingerprint == embeddings.fingerprint("trillsson5")
    monkeypatch.setenv("NSLIB_OFFLINE", "1")
    assert alone(embedding, tone(2.0)).shape == (1, 1024)
    assert embeddings.get("trillsson5") is embedding
    with (tmp_path / "trillsson5" / "variables" / "variables.index").open("ab") as file:
        file.write(b"x")
    with pytest.raises(Unavailable, match="not the ones used before"):
        embeddings.get("trillsson5")
    (tmp_path / "trillsson5.json").unlink()
    hub._open_shared.cache_clear()
    with pytest.raises(Unavailable, match="Start the program again"):
        alone(embedding, tone(1.0))


def test_fingerprints_follow_the_files_and_the_output():
    prints = {name: embeddings.fingerprint(name) for name in ADAPTERS}
    assert len(set(prints.values())) == len(ADAPTERS)
    assert embeddings.get("frill").fingerprint == prints["frill"]


def test_models_in_memory_are_few_and_come_back():
    first = embeddings.get("trillsson1")
    before = alone(first, tone(2.0))
    for name in ("trillsson2", "frill"):
        alone(embeddings.get(name), tone(1.0))
    assert hub._open_shared.cache_info().currsize <= hub.OPEN
    assert np.array_equal(alone(first, tone(2.0)), before)
    assert embeddings.get("trillsson1") is first
