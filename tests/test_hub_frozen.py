"""Published models as frozen graphs: the same numbers, traced once, on any device; else the model as it is."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap

import hub_models
import numpy as np
import pytest
import tensorflow as tf
from helpers import tone

from nslib import embeddings
from nslib.embeddings import hub
from nslib.embeddings.hub import frozen

MATRIX = tf.Variable(np.random.default_rng(0).normal(0, 1, (160, 4)).astype(np.float32))


def frames(samples):
    return tf.tensordot(tf.signal.frame(samples, 160, 160, axis=-1), MATRIX, 1)


@pytest.mark.parametrize("rank", [1, 2])
def test_same_numbers_traced_once_without_the_variables(rank, capsys):
    traced = []

    def counted(samples):
        if not isinstance(samples, np.ndarray):
            traced.append(samples.shape)
        return frames(samples)

    call = frozen.call(counted, rank, "model")
    assert len(traced) == 1 and capsys.readouterr().err == ""
    before = MATRIX.numpy()
    for samples in (320, 16_000, 20_001):
        wave = np.stack([tone(samples / 16_000, 200, seed=s) for s in range(3)])[(0,) if rank == 1 else ()]
        assert np.abs(call(wave) - frames(wave).numpy()).max() < 1e-5
    wave = tone(1.0)[None][(0,) if rank == 1 else ()]
    right = call(wave)
    MATRIX.assign(before + 1)
    assert np.array_equal(call(wave), right)
    MATRIX.assign(before)
    assert len(traced) == 1


def test_model_that_cannot_be_frozen_is_called_as_it_is(capsys):
    def eager(samples):
        return frames(samples * float(np.asarray(samples).max()))  # a tensor of a graph has no value

    call = frozen.call(eager, 1, "oddity")
    assert "oddity is called as it is, which is slower: its graph was not frozen (" in capsys.readouterr().err
    wave = tone(1.0)
    assert np.array_equal(call(wave), eager(wave).numpy())


def test_frozen_graph_that_gives_something_else_is_not_used(capsys):
    calls = itertools.count(1)
    call = frozen.call(lambda samples: frames(samples) * next(calls), 1, "drifter")
    assert "it differs from the model by" in capsys.readouterr().err
    wave = tone(1.0)
    assert not np.array_equal(call(wave), call(wave))  # the model's own doing, as it was


@pytest.mark.parametrize("kind", ["shape", "type"])
def test_frozen_graph_of_another_form_is_not_used(kind, capsys):
    def differs(samples):
        found = frames(samples)
        if isinstance(samples, np.ndarray):
            return found
        return found[1:] if kind == "shape" else tf.cast(found, tf.float64)

    call = frozen.call(differs, 1, "other")
    assert "its graph was not frozen (it gives float" in capsys.readouterr().err
    assert call(tone(1.0)).shape == (100, 4)


@pytest.fixture
def models(monkeypatch):
    folder = hub_models.all_models()
    monkeypatch.setenv("NSLIB_MODELS", str(folder))
    embeddings._load.cache_clear()
    hub._open.cache_clear()
    return folder


@pytest.mark.parametrize("name", ["trill-top", "vggish-top"])
def test_published_models_are_frozen(name, models, capsys, monkeypatch):
    made = []
    monkeypatch.setattr(frozen, "call", lambda *args, call=frozen.call: made.append(call(*args)) or made[-1])
    embeddings.get(name)
    assert len(made) == 1 and "called as it is" not in capsys.readouterr().err


@pytest.mark.heavy
def test_published_model_on_two_devices(models):
    code = """
        import numpy as np, tensorflow as tf
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        from nslib import embeddings
        from nslib.embeddings import graphs
        from nslib.extract import devices

        ran, runner = [], graphs.runner
        def recording(graph):
            def run(given):
                found = graph(tf.constant(given, tf.float32))
                found = found[0] if isinstance(found, (list, tuple)) else found
                ran.append(found.device[-5:])
                return found.numpy()
            return run
        graphs.runner = recording
        waves = np.random.default_rng(0).normal(0, 0.1, (2, 20_000)).astype(np.float32)
        for name in ("frill", "yamnet-layer10"):
            outputs = []
            for replica in devices.replicas(embeddings.get(name), ["CPU:0", "CPU:1"]):
                ran.clear()
                outputs.append(replica.embed(waves, np.array([20_000, 17_000]))[0])
                print(name, *sorted(set(ran)))
            assert np.array_equal(*outputs) and outputs[0].any()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
                          env={**os.environ, "NSLIB_MODELS": str(models)})
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["frill CPU:0", "frill CPU:1", "yamnet-layer10 CPU:0", "yamnet-layer10 CPU:1"]
