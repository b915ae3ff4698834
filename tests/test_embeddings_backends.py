"""embeddings: name@backend, conversions and their cache, what a backend costs, and the sounds it is measured on."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from typer.testing import CliRunner

from nslib import cli as models
from nslib import embeddings
from nslib.embeddings import backend, backend_error, bfloat16, graphs, litert, sounds, untrained
from nslib.embeddings.cards import CARDS
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.train import compact

RNG = np.random.default_rng(3)
GOLDEN = [0.3160225, 0.0060286, -0.0038839]
WEIGHTS = RNG.normal(0, 0.1, (5, 5, 1, 64)).astype(np.float32)


def convolve(patches):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(patches[..., None] / 4 + 1, WEIGHTS, 4, "VALID")), (1, 2))


SMALL = graphs.Patched(untrained._cut, convolve, (96, 64))


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """One convolution in the place of the untrained network."""
    monkeypatch.setattr(untrained, "parts", lambda card: SMALL)
    embeddings._load.cache_clear()
    yield
    embeddings._load.cache_clear()


@pytest.fixture(scope="module")
def waves():
    return np.stack(sounds.several(4, 500)), np.full(4, 48_000)


def right(waves):
    """What the network gives, patch by patch."""
    return [np.asarray(convolve(SMALL.cut(wave))) for wave in waves]


# ---- names ---------------------------------------------------------------------------------------


def test_first_backend_is_the_embedding_itself():
    assert embeddings.get("untrained@tensorflow") is embeddings.get("untrained")
    assert embeddings.fingerprint("speech-embedding@onnx") == embeddings.fingerprint("speech-embedding")
    assert embeddings.fingerprint("logmel@numpy") == embeddings.fingerprint("logmel")


def test_every_backend_has_vectors_of_its_own():
    names = ["untrained", *(f"untrained@{other}" for other in backend.OTHERS), "ina-gender", "ina-gender@litert"]
    assert len({embeddings.fingerprint(name) for name in names}) == len(names)
    made = embeddings.get("untrained@litert")
    assert made.name == "untrained@litert" and made.fingerprint == embeddings.fingerprint("untrained@litert")
    assert made.replica is None and embeddings.get("untrained").replica is not None
    assert (made.dim, made.window, made.hop) == (512, embeddings.get("untrained").window, 0.17)


def test_converter_and_sounds_are_part_of_the_fingerprint(monkeypatch):
    before = {form: embeddings.fingerprint(f"untrained@{form}") for form in ("litert", "litert-int8")}
    monkeypatch.setattr(sounds, "VERSION", sounds.VERSION + 1)
    assert embeddings.fingerprint("untrained@litert") == before["litert"]
    assert embeddings.fingerprint("untrained@litert-int8") != before["litert-int8"]
    monkeypatch.setattr(backend.importlib.metadata, "version", lambda name: "9.9")
    assert embeddings.fingerprint("untrained@litert") != before["litert"]


@pytest.mark.parametrize("name, words", [
    ("untrained@litert-int4", r"unknown backend of untrained 'litert-int4'.*Known: bf16, litert, litert-dynamic, "
                              "litert-int8, tensorflow"),
    ("speech-embedding@litert", "Known: onnx"),
    ("frill@bf16", "Known: tensorflow"),
    ("logmel@tensorflow", "Known: numpy"),
    ("untrained@", "unknown backend of untrained ''"),
    ("untrian@litert", "unknown embedding 'untrian'. Did you mean untrained"),
])
def test_backends_that_do_not_fit(name, words):
    for ask in (embeddings.get, embeddings.fingerprint, embeddings.needs_extra):
        with pytest.raises(UnknownName, match=words):
            ask(name)


def test_every_embedding_says_what_computes_it():
    assert {name: backend.offered(name)[0] for name in CARDS if backend.offered(name)[0] != "tensorflow"} == {
        "logmel": "numpy", "mfcc": "numpy", "resemblyzer": "numpy", "speech-embedding": "onnx",
        "opensmile-egemaps": "opensmile", "opensmile-compare": "opensmile"}
    assert not any("@" in name for name in [*embeddings.names(), *embeddings.describe().index])


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form, low, high", [("litert", 0, 1e-5), ("litert-dynamic", 1e-4, 0.05),
                                             ("litert-int8", 1e-4, 0.05)])
def test_values(form, low, high, waves):
    made = litert.network(SMALL, litert.FORMS[form], f"values {form}")
    for wave, expected in zip(waves[0], right(waves[0]), strict=True):
        assert low <= np.abs(made(SMALL.cut(wave)) - expected).max() / np.abs(expected).max() <= high


def test_a_patch_has_the_same_bits_in_any_company(waves):
    made = litert.network(SMALL, "int8", "values litert-int8")
    patches = SMALL.cut(waves[0][0])
    assert len(patches) > 8
    assert np.array_equal(made(patches), np.concatenate([made(patches[i:i + 1]) for i in range(len(patches))]))


def test_backend_keeps_the_contract(monkeypatch):
    monkeypatch.setitem(CARDS, "untrained", backend.replace(CARDS["untrained"], dim=64))
    report = embeddings.check(embeddings.get("untrained@litert-int8"))
    assert report.ok, str(report)


# ---- cache ---------------------------------------------------------------------------------------


def test_converted_once_and_again_where_the_file_is_damaged(monkeypatch, waves):
    count, patches = [], SMALL.cut(waves[0][0])
    convert = compact.convert
    monkeypatch.setattr(compact, "convert", lambda *args, **named: count.append(1) or convert(*args, **named))
    first = litert.network(SMALL, "float32", "cached")(patches)
    assert np.array_equal(litert.network(SMALL, "float32", "cached")(patches), first) and len(count) == 1
    (path,) = litert._folder().glob(f"{litert._stem('cached')}-*")
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert np.array_equal(litert.network(SMALL, "float32", "cached")(patches), first) and len(count) == 2
    litert.network(SMALL, "float32", "another")
    assert len(count) == 3


def test_network_that_cannot_be_converted():
    def odd(patches):
        import tensorflow as tf

        return tf.linalg.expm(patches[:, :4, :4])[:, 0]

    with pytest.raises(Unavailable, match=r"LiteRT in the form int8.*its converter failed.*Use another backend"):
        litert.network(graphs.Patched(untrained._cut, odd, (96, 64)), "int8", "odd")


# ---- bf16 ----------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.skipif(sys.platform != "linux", reason="TensorFlow has oneDNN on Linux and Windows only")
def test_bf16_changes_its_own_function_only():
    code = """
        import sys
        sys.path.insert(0, "tests")
        import numpy as np
        from nslib.embeddings import bfloat16, graphs
        from test_embeddings_backends import SMALL, convolve
        patches = np.random.default_rng(0).normal(-4, 2.5, (20, 96, 64)).astype(np.float32)
        plain = graphs.frozen(convolve, (96, 64))
        before = plain(patches)
        low = bfloat16.network(SMALL)(patches)
        new = graphs.frozen(convolve, (96, 64))
        assert low.dtype == np.float32
        assert plain(patches).tobytes() == before.tobytes() == new(patches).tobytes()
        print(np.abs(low - before).max() / np.abs(before).max())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
                          env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert 1e-4 < float(done.stdout) < 0.03


def test_bf16_without_onednn_is_not_the_old_graph_under_a_new_name(monkeypatch):
    from tensorflow.python.grappler import tf_optimizer

    # what the pass does where the kernels are off: nothing
    monkeypatch.setattr(tf_optimizer, "OptimizeGraph", lambda config, meta: meta.graph_def)
    with pytest.raises(Unavailable, match="the backend bf16 is not available: TensorFlow's oneDNN kernels are off"):
        bfloat16.network(SMALL)


# ---- what it costs -------------------------------------------------------------------------------


def test_table_of_backends(monkeypatch):
    def refuse(parts):
        raise Unavailable("the backend bf16", "of a test", "None.")

    monkeypatch.setattr(bfloat16, "network", refuse)
    table = embeddings.backends("untrained", rounds=2).set_index("backend")
    assert list(table.index) == ["tensorflow", "litert", "litert-dynamic", "litert-int8", "bf16"]
    assert table["available"].tolist() == [True, True, True, True, False]
    first = table.loc["tensorflow"]
    assert (first["time_ratio"], first["largest_error"], first["cosine"]) == (1, 0, pytest.approx(1))
    assert "of a test" in table.at["bf16", "note"] and np.isnan(table.at["bf16", "cosine"])
    measured = table[table["available"]]
    assert (measured["ms_per_patch"] > 0).all() and (measured["time_ratio"] > 0).all()
    assert table.at["litert", "largest_error"] < 1e-5 < 1e-4 < table.at["litert-int8", "largest_error"] < 0.05
    assert (measured["cosine"] > 0.999).all() and (measured["least_cosine"] <= measured["cosine"]).all()
    said = backend_error.text(table.reset_index()).splitlines()
    assert len(said) == 6 and said[1].startswith("tensorflow") and "1.00" in said[1] and "not available" in said[5]


def test_error_and_cosine_by_hand():
    right = [np.array([[3.0, 0], [5, 0]]), np.array([[0.0, -8]])]
    found = [np.array([[3.0, 1], [5, 0]]), np.array([[2.0, -8]])]
    assert backend_error._largest_error(found, right) == 2 / 8
    assert backend_error._cosines(found, right) == pytest.approx([4 / np.hypot(4, 0.5), 8 / np.hypot(2, 8)])
    assert backend_error._cosines([np.zeros((1, 2))], [np.zeros((1, 2))]) == [1]
    assert backend_error._cosines([np.ones((1, 2))], [np.zeros((1, 2))]) == [0]


def test_rounds_and_names_are_checked():
    with pytest.raises(BadParameter, match="at least 1; got 0"):
        embeddings.backends("untrained", rounds=0)
    with pytest.raises(UnknownName):
        embeddings.backends("untrained@litert")


def test_an_embedding_with_one_backend():
    table = embeddings.backends("logmel", rounds=1)
    assert table["backend"].tolist() == ["numpy"] and table["available"].all()


# ---- sounds --------------------------------------------------------------------------------------


def test_sounds_are_like_speech_and_unlike_each_other():
    made = sounds.several(12)
    assert all(s.dtype == np.float32 and len(s) == 48_000 for s in made)
    peaks = 20 * np.log10([np.abs(s).max() for s in made])
    assert (peaks > -30.01).all() and (peaks < 0.01).all() and np.ptp(peaks) > 10
    clipped, silent = [[(s == v).mean() for s in made] for v in (1, 0)]
    assert (np.flatnonzero(clipped) % 4 == 2).all() and np.count_nonzero(np.array(clipped) > 1e-4) == 3
    assert (np.flatnonzero(np.array(silent) > 0.01) % 4 == 1).all() and max(silent) > 0.01
    levels = [20 * np.log10(s.reshape(-1, 400).std(1) + 1e-9) for s in made]
    assert all(np.ptp(level) > 15 for level in levels)  # pauses and syllables
    power = np.abs(np.fft.rfft(made)) ** 2
    hertz = np.fft.rfftfreq(48_000, 1 / 16_000)
    assert (power[:, hertz < 4000].sum(1) / power.sum(1)).min() > 0.5
    assert np.abs(np.corrcoef(made) - np.eye(12)).max() < 0.2
    assert np.array_equal(made[3], sounds.speech_like(3)) and len(sounds.speech_like(0, 0.5)) == 8_000


def test_sounds_at_the_edge():
    *voices, silence, half, noise = sounds.wide(2, 70)
    assert np.array_equal(voices, sounds.several(2, 70))
    assert not silence.any() and half[:24_000].any() and not half[24_000:].any() and noise.std() > 0.5


def test_sounds_stay_what_they_are():
    # of the first writing: other sounds would be other ranges, and need another VERSION
    assert sounds.VERSION == 1
    assert sounds.speech_like(0)[[1000, 20_000, 40_000]] == pytest.approx(GOLDEN, abs=1e-6)


# ---- command line --------------------------------------------------------------------------------


def test_verbs():
    run = CliRunner()
    listed = run.invoke(models.embeddings_app, ["list", "--profile", "quick"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == embeddings.names("quick")
    assert any(line.split() == ["speech-embedding", "onnx"] for line in listed)
    measured = run.invoke(models.embeddings_app, ["backends", "logmel", "--rounds", "1"]).stdout.splitlines()
    assert len(measured) == 2 and measured[1].startswith("numpy")
    assert "CPU:0" in run.invoke(models.embeddings_app, ["devices"]).stdout
