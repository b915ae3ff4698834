"""Published models: call forms, frames, times and inner layers, on SavedModels with the real signatures."""

import functools
import itertools

import hub_models
import hub_server
import numpy as np
import pytest
import tensorflow as tf
from helpers import hear, tone

from nslib import embeddings
from nslib.embeddings import hub, registry
from nslib.embeddings.base import stack_clips
from nslib.embeddings.hub import ADAPTERS
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import BadParameter, NslibError, Unavailable

SECONDS = (1.0, 1.49, 2.0, 3.36, 6.6, 30.0)
# TRILL's are the counts that its users report; YAMNet and VGGish: patches of 0.975 s, padded to whole
# hops of 0.48 s, and complete ones every 0.96 s without padding
TRILL_COUNTS, YAMNET_COUNTS = (1, 4, 7, 15, 34, 171), (2, 3, 4, 6, 13, 62)
VGGISH_COUNTS, VGGISH_PADDED_COUNTS = (1, 1, 2, 3, 6, 31), (2, 2, 3, 4, 7, 32)


@pytest.fixture(scope="module")
def models():
    return hub_models.all_models()


@pytest.fixture(autouse=True)
def _here(models, monkeypatch):
    """The models lie in a folder of the user's; nothing is fetched."""
    monkeypatch.setenv("NSLIB_MODELS", str(models))


@pytest.fixture
def replaced(tmp_path, monkeypatch, request):
    """Load an embedding of another model: of a SavedModel, or of a function in the place of what its files hold."""
    def load_instead(name, model):
        folder = tmp_path / EMBEDDINGS[name].hub
        if isinstance(model, tf.Module):
            tf.saved_model.save(model, str(folder))
        elif isinstance(model, bytes):
            hub_server.write_model(folder, {"saved_model.pb": model})
        else:
            hub_server.write_model(folder, {"saved_model.pb": request.node.name.encode()})
            monkeypatch.setattr(tf.saved_model, "load", lambda folder: model)
        monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
        return embeddings.get(name)

    return load_instead


@functools.cache
def module(models, name):
    """A model as TensorFlow itself loads it."""
    return tf.saved_model.load(str(models / name))


def voices(*seconds):
    """Clips of unlike content, and a batch of them with zeros after the shorter ones."""
    waves = [tone(s, 150 + 90 * k, seed=k) for k, s in enumerate(seconds)]
    return waves, *stack_clips(waves)


def layer10(published, wave):
    """The tenth layer after its ReLU, from the network itself."""
    return np.asarray(hub_models.Yamnet().layers(published(wave)[2])[10])


def fc1(published, wave):
    """The first connected layer after its ReLU."""
    vggish = hub_models.Vggish()
    weights, biases = (np.asarray(v) for v in vggish.weights[:2])
    return np.maximum(np.asarray(vggish.pooled(wave)) @ weights + biases, 0)


# frames of clips of SECONDS, their hop, and the documented call
FORMS = {
    "trill-layer19": (TRILL_COUNTS, 0.17, lambda model, wave: model(samples=wave, sample_rate=16000)["layer19"]),
    "trill-top": (TRILL_COUNTS, 0.17, lambda model, wave: model(wave, 16000)["embedding"]),
    "trill-distilled": (TRILL_COUNTS, 0.17, lambda model, wave: model(samples=wave, sample_rate=16000)["embedding"]),
    "frill": (TRILL_COUNTS, 0.17, lambda model, wave: model(wave[None])["embedding"]),
    "trillsson1": ((1,) * 6, 0.0, lambda model, wave: model(wave[None])["embedding"]),
    "yamnet-top": (YAMNET_COUNTS, 0.48, lambda model, wave: model(wave)[1]),
    "yamnet-scores": (YAMNET_COUNTS, 0.48, lambda model, wave: model(wave)[0]),
    "yamnet-layer10": (YAMNET_COUNTS, 0.48, layer10),
    "vggish-top": (VGGISH_COUNTS, 0.96, lambda model, wave: model(wave)), "vggish-fc1": (VGGISH_COUNTS, 0.96, fc1)}


@pytest.mark.parametrize("name", FORMS)
def test_frames_are_those_of_the_documented_call_at_their_times(name, models):
    counts, hop, documented = FORMS[name]
    embedding, published = embeddings.get(name), module(models, EMBEDDINGS[name].hub)
    assert (embedding.window, embedding.hop) == (2.0 if name.startswith("trillsson") else 0.975, pytest.approx(hop))
    if name in ("trill-layer19", "frill", "trillsson1", "yamnet-layer10", "vggish-fc1"):  # one of every form
        report = embeddings.check(embedding)
        assert report.ok, str(report)
        assert tuple(len(hear(embedding, tone(seconds))) for seconds in SECONDS) == counts
    for wave in voices(1.0, 2.1)[0]:
        vectors, expected = hear(embedding, wave), np.asarray(documented(published, wave))
        assert vectors.shape == (len(expected), np.prod(expected.shape[1:]))
        assert np.abs(vectors - expected.reshape(vectors.shape)).max() <= 1e-5 * np.abs(expected).max()
    if name in ("yamnet-layer10", "vggish-fc1"):
        assert 0.1 < (vectors == 0).mean() < 0.9


def test_fingerprints_follow_the_files_and_the_output_and_long_clips_go_in_pieces(monkeypatch):
    assert len({embeddings.fingerprint(name) for name in ADAPTERS}) == len(ADAPTERS)
    embedding = embeddings.get("frill")
    _, batch, lengths = voices(7.3, 12.0)
    whole, counts = embedding.embed(batch, lengths)
    monkeypatch.setattr(hub, "AT_ONCE", 16)
    pieces, same = embedding.embed(batch, lengths)
    assert np.array_equal(counts, same) and np.abs(whole - pieces).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("name", ["trill-layer19+trill-top", "yamnet-scores+yamnet-top"])
def test_outputs_of_one_model_come_side_by_side_of_one_pass(name):
    (joined, counts), *apart = (embeddings.get(one).embed(*voices(1.0, 2.1)[1:]) for one in (name, *name.split("+")))
    assert all(np.array_equal(counts, same) for _, same in apart)
    expected = np.concatenate([frames for frames, _ in apart], axis=-1)
    assert embeddings.get(name).dim == expected.shape[2]
    assert np.abs(joined - expected).max() <= 1e-5 * np.abs(expected).max()
    for other in ("trill-top+yamnet-top", "yamnet-top+yamnet-layer10", "trill-top+trill-top", "trill-top+logmel"):
        with pytest.raises(BadParameter, match="not different outputs of one model"):
            embeddings.get(other)


def test_trillsson_mirrors_short_clips_and_takes_one_length(models):
    embedding = embeddings.get("trillsson1")
    for seconds in (0.1, 1.4):
        wave = tone(seconds)
        mirrored = np.pad(wave, (0, 32000 - len(wave)), "symmetric")
        expected = np.asarray(module(models, "trillsson1")(mirrored[None])["embedding"])
        assert np.abs(hear(embedding, wave) - expected).max() <= 1e-5 * np.abs(expected).max()
    with pytest.raises(BadParameter, match="one length"):
        embedding.embed(*voices(1.0, 2.0)[1:])


def test_vggish_that_pads_inside_and_trill_that_takes_one_clip_are_found_out(replaced):
    """Of the exporter, versions with and without padding, and with and without batches, are public."""
    embedding = replaced("vggish-fc1", hub_models.Vggish(pads=True))
    assert tuple(len(hear(embedding, tone(seconds))) for seconds in SECONDS) == VGGISH_PADDED_COUNTS
    frames, counts = replaced("trill-top", hub_models.Trill(ranks=(1,))).embed(*voices(1.0, 2.1)[1:])
    assert counts.tolist() == [1, 7] and frames.shape == (2, 7, 512)


def test_model_that_gives_other_frames_for_some_clips_is_caught():
    embed = hub.embed_calls(lambda waves: np.zeros((len(waves), 7, 4), np.float32), ADAPTERS["trill-top"], 2)
    assert embed(tone(2.0)[None], np.array([32000]))[0].shape == (1, 7, 4)
    with pytest.raises(NslibError, match="48000 samples gave 7 frames, not 12"):
        embed(tone(3.0)[None], np.array([48000]))


def frill(size=2048, hop=2720, mixes=0):
    """FRILL's form in NumPy, which no graph can hold: the call."""
    def call(samples):
        waves = np.asarray(samples)
        frames = np.lib.stride_tricks.sliding_window_view(waves, 15_600, axis=1)[:, ::hop].std(2)
        mixed = frames + mixes * waves.std(1, keepdims=True)
        return {"embedding": np.repeat(mixed.reshape(-1, 1), size, 1)}

    return call


OTHERS = {
    "size": ("frill", lambda: frill(size=100), r"\[2, 1, 100\], not \[2, 1, 2048\]"),
    "hop": ("frill", lambda: frill(hop=2560), r"64000 samples give \[2, 19, 2048\], not \[2, 18, 2048\]"),
    "mixing": ("frill", lambda: frill(mixes=1), "zeros after a clip change its frames"),
    "padding": ("trillsson1", lambda: lambda samples: {"embedding": np.asarray(samples).sum(1, keepdims=True)
                                                      * np.ones(1024, np.float32)}, "does not mirror"),
    "layer names": ("yamnet-layer10", lambda: hub_models.Yamnet(layer="block"),
                    r"layer10/pointwise_conv/relu/Relu was looked for, and none"),
    "rate": ("trill-top", lambda: hub_models.Trill(ranks=(1,), checks_rate=False), "takes 8000 Hz"),
    "no model": ("frill", lambda: b"\xff" * 100, "TensorFlow cannot load"),
    "rank": ("trill-top", lambda: hub_models.Trill(ranks=()), r"float32 samples of rank \[\], not of 2 or 1"),
}


@pytest.mark.parametrize(("name", "make", "words"), OTHERS.values(), ids=OTHERS)
def test_other_model_is_refused(name, make, words, replaced):
    with pytest.raises(Unavailable, match=words) as caught:
        replaced(name, make())
    assert EMBEDDINGS[name].hub in str(caught.value)


@pytest.mark.parametrize(("kind", "words"), [
    ("eager", "frozen ("), ("drifts", "differs from the"), ("shape", "it gives float")])
def test_what_cannot_be_frozen_is_called_as_it_is(kind, words, capsys):
    calls = itertools.count(1)

    def odd(samples):
        frames = tf.signal.frame(samples, 160, 160, axis=-1)
        if kind == "eager":
            return frames * float(np.asarray(samples).max())  # a tensor of a graph has no value
        return frames * next(calls) if kind == "drifts" else frames[0 if tf.executing_eagerly() else 1:]

    call = hub.freeze_call(odd, 1, "oddity")
    said = capsys.readouterr().err
    assert "oddity is called as it is, which is slower: its graph was not frozen (" in said and words in said
    assert call(tone(1.0)).shape == (100, 160)


def test_a_replica_is_loaded_and_called_on_its_device(monkeypatch):
    asked, device = [], tf.device
    monkeypatch.setattr(tf, "device", lambda name: asked.append(name) or device(name))
    embedding, (_, waves, lengths) = embeddings.get("yamnet-layer10"), voices(1.0, 1.2)
    expected = embedding.embed(waves, lengths)[0]
    assert not asked
    replica = embedding.replica("CPU:0")
    assert set(asked) == {"CPU:0"}
    asked.clear()
    assert np.array_equal(replica(waves, lengths)[0], expected) and set(asked) == {"CPU:0"}


def test_fetched_announced_run_and_refused_once_its_files_change(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NSLIB_MODELS", str(tmp_path))
    monkeypatch.setenv("NSLIB_OFFLINE", "0")
    hub._open_shared.cache_clear()
    registry._load_function.cache_clear()
    with hub_server.serving(models) as url:
        monkeypatch.setenv("NSLIB_HUB_URL", url)
        embedding = embeddings.get("trillsson5")
    said = capsys.readouterr().err
    assert "google/nonsemantic-speech-benchmark/trillsson5/1" in said and "called as it is" not in said
    assert hear(embedding, tone(2.0)).shape == (1, 1024)
    with (tmp_path / "trillsson5" / "variables" / "variables.index").open("ab") as file:
        file.write(b"x")
    with pytest.raises(Unavailable, match="not the ones used before"):
        embeddings.get("trillsson5")
    (tmp_path / "trillsson5.json").unlink()
    hub._open_shared.cache_clear()
    with pytest.raises(Unavailable, match="Start the program again"):
        hear(embedding, tone(1.0))
