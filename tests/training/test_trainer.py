"""The training loop: it learns, stops, says what is wrong, and goes on exactly where it was killed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tiny_training import interrupt_run, tones, triplet_network

from nslib.embeddings import networks
from nslib.embeddings.networks import load_weights
from nslib.errors import BadParameter, Unavailable
from nslib.training import trainer
from nslib.training.data import make_dataset
from nslib.training.settings import make_adam, make_training_settings

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore:Even though the")  # what runs eagerly
CHOICES = {"batch": 8, "steps": 24, "evaluate_every": 6, "held_out": 2, "warmup": 3, "learning_rate": 1e-2}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "build_network", triplet_network)
        yield


def run(folder, learn=None, **changes):
    settings = make_training_settings(CHOICES | changes)
    return trainer.train_triplets(learn or tones(24, 1), tones(16, 2), folder, settings, progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "whole"
    return folder, run(folder)


def test_it_learns_writes_what_it_saw_and_keeps_its_best_weights(whole):
    folder, done = whole
    curve = done.curve.pivot_table("value", "step", ["part", "figure"])
    assert list(curve.index) == [0, 6, 12, 18, 24] and done.ended == "steps"
    losses, accuracy = curve["train", "loss"].to_list()[1:], curve["held-out", "accuracy"]
    np.testing.assert_allclose(losses[:2], [0.041048, 0.018073], rtol=5e-3, err_msg="not those of this seed")
    assert done.score == accuracy.max() > accuracy.iloc[0] + 0.1 and done.best_step == accuracy.idxmax()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curve.csv"), done.curve)
    other = triplet_network("trill-mini", 9)
    assert load_weights(folder / "best.npz", other)["step"] == done.best_step
    assert all(map(np.array_equal, other.weights, done.model.weights))
    (log,) = folder.glob("tensorboard/*/events*")
    assert b"held-out/accuracy" in log.read_bytes() and b"scalars" in log.read_bytes()


def test_a_run_that_died_goes_on_to_the_same_bytes(whole, tmp_path):
    assert interrupt_run(run, tmp_path) == 12
    run(tmp_path)
    finished = (tmp_path / "state.npz").stat().st_mtime_ns
    assert run(tmp_path).curve.equals(whole[1].curve) and (tmp_path / "state.npz").stat().st_mtime_ns == finished
    for name in ("state.npz", "best.npz", "curve.csv", "settings.json", "recordings.txt"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_hours_and_cost_of_what_is_left_are_foreseen_and_change_nothing(tmp_path):
    settings = make_training_settings(CHOICES | {"steps": 360_012})
    assert interrupt_run(lambda folder: run(folder, steps=360_012), tmp_path) == 12
    before = (tmp_path / "state.npz").read_bytes()
    said = trainer.foresee(tones(24, 1), tones(16, 2), tmp_path, settings, 3600.0)
    left = r"360,000 of 360,012 steps are left, (.+) s each .* ([\d,.]+) h; at 3600 an hour: ([\d,]+)\."
    found = re.match(left, said)
    step, hours, cost = (float(text.replace(",", "")) for text in found.groups())
    # to its digits, and with a look at held-out audio every six steps
    assert hours > 100 * (step - 0.005) and cost == pytest.approx(3600 * hours, rel=0.1)
    assert (tmp_path / "state.npz").read_bytes() == before


def test_another_run_in_the_same_folder_and_a_damaged_state_are_refused(whole, tmp_path):
    for learn, changes, why in ((None, {"margin": 0.3}, "other settings, or another teacher"),
                                (tones(25, 1), {}, "other recordings")):
        with pytest.raises(BadParameter, match=f"{why}; choose another folder"):
            run(whole[0], learn, **changes)
    (tmp_path / "state.npz").write_bytes(b"PK not a zip")
    with pytest.raises(Unavailable, match="Delete it"):
        run(tmp_path)


def test_it_stops_when_triplets_get_no_better_vectors_collapse_or_the_loss_is_no_number(tmp_path, monkeypatch, eager):
    short = {"steps": 40, "evaluate_every": 1, "held_out": 1}
    done = run(tmp_path / "a", patience=1, learning_rate=1e-9, **short)
    assert done.ended == "patience" and done.curve["step"].max() < 40
    monkeypatch.setattr("nslib.training.triplets.COLLAPSED", 4.0)  # every spread counts as one point
    done = run(tmp_path / "b", warmup=0, **short)
    assert done.ended == "collapse" and "collapsed" in done.notes[0]
    real = trainer.triplets.compute_loss
    monkeypatch.setattr(trainer.triplets, "compute_loss", lambda *given: (real(*given)[0] * np.nan, real(*given)[1]))
    with pytest.raises(BadParameter, match="the loss is nan at step 0; take a lower learning_rate"):
        run(tmp_path / "c", **short)


def test_adam_makes_the_steps_of_its_paper():
    start, gradients = np.float32([1, -2, 3]), np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    variable, unused = keras.Variable(start), keras.Variable(start)
    adam = make_adam(epsilon=1e-4)
    adam.build([variable, unused])
    change = tf.function(lambda gradient: adam.apply_gradients([(gradient, variable)]), autograph=False)
    value, mean, square = start.astype(float), np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(gradients, 1):
        rate = 0.1 / step
        adam.learning_rate.assign(rate)
        change(tf.constant(gradient))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        value -= rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step) * mean / (np.sqrt(square) + 1e-4)
    np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4)
    assert np.array_equal(unused.numpy(), start) and int(adam.iterations) == 40
    names = [one.path.split("/")[-1] for one in keras.optimizers.Adam().variables]
    assert [one.path.split("/")[-1] for one in adam.variables][:len(names)] == names


def train_on_two_devices(folder):
    """Called in a process of its own: devices cannot be divided once they are in use."""
    networks.build_network = triplet_network
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    both, sides = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), (tones(24, 1), tones(16, 2))
    alone, shared = (trainer.TripletLearner(*sides, make_training_settings(CHOICES), given) for given in (None, both))
    half = next(iter(make_dataset(alone.pairs, 0, 1)))
    twice = {name: tf.concat([value, value], 0) for name, value in half.items()}
    list(alone.steps(tf.data.Dataset.from_tensors(half)))
    list(shared.steps(tf.data.Dataset.from_tensors(twice)))
    for one, two in zip(alone.copy()["weights"], shared.copy()["weights"], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    trainer.Run(shared, folder)  # looks at held-out audio and writes the state
    assert 0 < shared.look()["accuracy"] < 1 and (folder / "state.npz").exists()


@pytest.mark.heavy
def test_several_devices_share_a_batch_and_average_their_gradients(tmp_path):
    script = (f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / 'training')!r}]; import test_trainer as t; "
              "t.train_on_two_devices(t.Path(sys.argv[1]))")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "two")], cwd=TESTS.parent, check=False,
                          env={**os.environ, "PYTHONPATH": str(TESTS.parent)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
