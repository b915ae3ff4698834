"""The training loop: it learns, stops, says what is wrong, and goes on exactly where it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nslib.errors import BadParameter, Unavailable
from nslib.train import checkpoint, learner, loop, networks, recorded
from nslib.train.data import Pairs, dataset
from nslib.train.settings import make

ROOT = Path(__file__).parents[1]
by_name = networks.named


def tiny(name: str, seed: int = 0):
    """A network with the same taps that is traced in a second; others by their name."""
    import keras

    if name != "tiny":
        return by_name(name, seed)
    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.AveragePooling1D(4)(keras.layers.Rescaling(0.4, 1.6)(given))
    x = keras.layers.Conv1D(16, 3, 2, kernel_initializer=kernel)(x)
    tap = keras.layers.Flatten()(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.7)(x))
    x = keras.layers.Dense(8, kernel_initializer=kernel)(keras.layers.GlobalAveragePooling1D()(x))
    return keras.Model(given, {"embedding": keras.layers.UnitNormalization()(x), "layer19": tap}, name="tiny")


networks.SHAPES["tiny"], networks.named = networks.MINI, tiny
CHOICES = {"network": "tiny", "batch": 8, "steps": 24, "evaluate_every": 6, "held_out": 2, "warmup": 3,
           "learning_rate": 1e-2}


def tones(pieces: int, seed: int) -> recorded.Recordings:
    """Pieces of one pitch each, in noise: windows of a piece are alike, pieces are not."""
    rng, length = np.random.default_rng(seed), 24_000
    t = np.arange(length) / 16_000
    waves = [0.02 * np.sin(2 * np.pi * f * t) + rng.normal(0, 0.1, length) for f in rng.uniform(150, 4000, pieces)]
    starts = np.arange(pieces, dtype=np.int64) * length
    lengths, names = np.full(pieces, length), tuple(map(str, range(pieces)))
    return recorded.Recordings(recorded.pcm(np.concatenate(waves)), starts, lengths, names)


def run(folder: Path, **changes: object) -> loop.Training:
    return loop.train(tones(24, 1), tones(16, 2), folder, make({**CHOICES, **changes}), progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, loop.Training]:
    folder = tmp_path_factory.mktemp("train") / "whole"
    return folder, run(folder)


def test_it_learns_and_writes_what_it_saw(whole):
    folder, done = whole
    curve = done.curve.pivot_table("value", "step", ["part", "figure"])
    assert list(curve.index) == [0, 6, 12, 18, 24] and done.ended == "steps"
    assert curve["train", "loss"].iloc[-1] < 0.7 * curve["train", "loss"].iloc[1]
    assert done.accuracy > curve["held-out", "accuracy"].iloc[0] + 0.1
    assert done.accuracy == curve["held-out", "accuracy"].max()
    assert done.best_step == curve["held-out", "accuracy"].idxmax()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curve.csv"), done.curve)
    assert {"spread", "active", "silent", "positive", "negative"} <= set(done.curve["figure"])


def test_its_best_weights_are_kept(whole):
    folder, done = whole
    other = networks.named("tiny", 9)
    assert checkpoint.load_weights(folder / "best.npz", other)["step"] == done.best_step
    for a, b in zip(other.weights, done.model.weights, strict=True):
        assert np.array_equal(a, b)


def test_its_logs_can_be_read_as_tensorboard_does(whole):
    import tensorflow as tf

    files = sorted(whole[0].glob("tensorboard/*/events*"))
    found = {}
    for record in tf.data.TFRecordDataset([str(path) for path in files]):
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found[value.tag] = tf.make_ndarray(value.tensor)
    assert found["held-out/accuracy"] == pytest.approx(whole[1].curve.query(
        "part == 'held-out' and figure == 'accuracy'")["value"].iloc[-1])


def test_a_finished_run_is_not_run_again(whole):
    folder, done = whole
    began = time.perf_counter()
    again = run(folder)
    assert time.perf_counter() - began < 30 and again.curve.equals(done.curve)


def test_a_killed_run_goes_on_to_the_same_curve(whole, tmp_path):
    script = "import sys; sys.path[:0] = ['tests']; import test_train_loop as t; t.run(t.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "killed")], cwd=ROOT, env=environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state, patience = tmp_path / "killed" / "state.npz", time.monotonic() + 300
    while time.monotonic() < patience and child.poll() is None:
        if state.exists() and checkpoint.read(state)[1]["step"] >= 6:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert child.returncode == -signal.SIGKILL, "it ended before it could be killed"
    reached = checkpoint.read(state)[1]["step"]
    assert 6 <= reached < 24
    done = run(tmp_path / "killed")
    assert done.curve.equals(whole[1].curve), f"killed after step {reached}"
    assert (tmp_path / "killed" / "best.npz").read_bytes() == (whole[0] / "best.npz").read_bytes()
    assert (tmp_path / "killed" / "state.npz").read_bytes() == (whole[0] / "state.npz").read_bytes()


def on_two_devices(folder: Path) -> None:
    """Called in a process of its own: devices cannot be divided once they are in use."""
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    assert both.num_replicas_in_sync == 2
    choices = make(CHOICES)
    alone, shared = learner.Learner(choices), learner.Learner(choices, both)
    half = next(iter(dataset(Pairs(tones(24, 1), choices.pairs), 0, 1)))
    twice = {name: tf.concat([value, value], 0) for name, value in half.items()}
    alone.learn(half)
    shared.learn(next(iter(shared.shared(tf.data.Dataset.from_tensors(twice)))))
    for one, two in zip(alone.values()["weights"], shared.values()["weights"], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    done = loop.train(tones(24, 1), tones(16, 2), folder, make({**CHOICES, "steps": 12}), strategy=both, progress=False)
    losses = done.curve.query("part == 'train' and figure == 'loss'")["value"].tolist()
    assert done.ended == "steps" and losses[1] < losses[0]


@pytest.mark.heavy
def test_several_devices_share_a_batch_and_average_their_gradients(tmp_path):
    script = "import sys; sys.path[:0] = ['tests']; import test_train_loop as t; t.on_two_devices(t.Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "two")], cwd=ROOT, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_other_settings_in_the_same_folder_are_refused(whole):
    with pytest.raises(BadParameter, match="other settings"):
        run(whole[0], margin=0.3)


def test_other_recordings_in_the_same_folder_are_refused(whole):
    with pytest.raises(BadParameter, match="other recordings"):
        loop.train(tones(25, 1), tones(16, 2), whole[0], make(CHOICES), progress=False)


def test_a_damaged_state_is_said(tmp_path):
    (tmp_path / "state.npz").write_bytes(b"PK not a zip")
    with pytest.raises(Unavailable, match="Delete it"):
        run(tmp_path)


def test_it_stops_when_held_out_triplets_get_no_better(tmp_path):
    done = run(tmp_path, patience=1, learning_rate=1e-9, steps=40, evaluate_every=1, held_out=1)
    assert done.ended == "patience" and done.curve["step"].max() < 40


def test_collapse_is_noticed_and_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("nslib.train.triplets.COLLAPSED", 4.0)  # every spread counts as one point
    done = run(tmp_path, steps=40, evaluate_every=1, held_out=1, warmup=0)
    assert done.ended == "collapse" and any("collapsed" in note for note in done.notes)
    assert done.curve["step"].max() == loop.PATIENCE_WITH_COLLAPSE


def test_the_learning_rate_rises_and_falls():
    cosine = make({"steps": 100, "warmup": 10, "learning_rate": 0.01}).loop
    rates = [learner.learning_rate(step, cosine) for step in range(100)]
    assert rates[0] == pytest.approx(0.001) and max(rates) == pytest.approx(0.01) == rates[10]
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True) and rates[-1] < 1e-5
    assert learner.learning_rate(99, make({"schedule": "constant", "learning_rate": 0.01}).loop) == 0.01 * 1.0
