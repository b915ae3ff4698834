"""extract.devices: replicas on several devices, and batches that do not fit the memory."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
from helpers import embedding, frame_energy, tone
from hypothesis import given
from hypothesis import strategies as st

from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.extract import devices
from nslib.extract.devices import Replica, chosen, replicas, within_memory

THERE = ["CPU:0", "GPU:0", "GPU:1"]


def two_processors(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process whose processor counts as two devices."""
    start = """
        import numpy as np, tensorflow as tf
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        from nslib.extract import devices
    """
    return subprocess.run([sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)], capture_output=True,
                          text=True, check=False, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", **environment})


# ---- which devices -------------------------------------------------------------------------------


def test_all_gpus_and_else_the_processor(monkeypatch):
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    assert chosen(None, THERE) == ["GPU:0", "GPU:1"]
    assert chosen(None, ["CPU:0", "CPU:1"]) == ["CPU:0"]
    monkeypatch.setenv(devices.VARIABLE, " GPU:1, CPU:0 ,")
    assert chosen(None, THERE) == ["GPU:1", "CPU:0"]
    assert chosen(["GPU:0"], THERE) == ["GPU:0"]


def test_devices_that_are_not_there(monkeypatch):
    with pytest.raises(UnknownName, match=r"unknown device 'GPU:7'.*Known: CPU:0, GPU:0, GPU:1"):
        chosen(["GPU:7"], THERE)
    with pytest.raises(BadParameter, match="each once"):
        chosen(["GPU:0", "GPU:0"], THERE)
    monkeypatch.setenv(devices.VARIABLE, ",")
    with pytest.raises(BadParameter, match="at least one"):
        chosen(None, THERE)


def test_one_replica_is_the_embedding_itself(monkeypatch):
    plain = embedding()
    monkeypatch.setenv(devices.VARIABLE, "GPU:0")  # not TensorFlow's affair
    assert replicas(plain) == [Replica("default", plain.embed)]
    monkeypatch.delenv(devices.VARIABLE)
    monkeypatch.setattr(devices, "present", lambda: ["CPU:0"])
    placed = embedding(replica=lambda device: pytest.fail("loaded again"))
    assert replicas(placed) == [Replica("CPU:0", placed.embed)]
    monkeypatch.setattr(devices, "present", lambda: THERE)
    placed = embedding(replica=lambda device: device)
    assert [(r.device, r.embed) for r in replicas(placed)] == [("GPU:0", placed.embed), ("GPU:1", "GPU:1")]
    assert [(r.device, r.embed) for r in replicas(placed, ["CPU:0"])] == [("CPU:0", "CPU:0")]


def test_a_replica_is_part_of_no_fingerprint():
    assert embedding(replica=print).fingerprint == embedding().fingerprint


def test_gpu_memory_grows_as_needed():
    code = "import os, nslib.embeddings; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"
    unset = {k: v for k, v in os.environ.items() if k != "TF_FORCE_GPU_ALLOW_GROWTH"}
    for environment, said in ((unset, "true"), ({**unset, "TF_FORCE_GPU_ALLOW_GROWTH": "false"}, "false")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == said


@pytest.mark.heavy
def test_two_replicas_compute_on_two_devices_and_give_the_same_bytes():
    done = two_processors("""
        from concurrent.futures import ThreadPoolExecutor
        from nslib import embeddings
        from nslib.embeddings import graphs

        ran = []
        def recording(graph):
            def run(given):
                found = graph(tf.constant(given, tf.float32))[0]
                ran.append(found.device[-5:])
                return found.numpy()
            return run
        graphs.runner = recording

        one, two = devices.replicas(embeddings.get("untrained"))
        assert (one.device, two.device) == ("CPU:0", "CPU:1")
        waves = np.random.default_rng(0).normal(0, 0.1, (3, 20_000)).astype(np.float32)
        lengths = np.array([20_000, 16_000, 18_000])
        with ThreadPoolExecutor(2) as pool:
            (a, counts), (b, same) = pool.map(lambda replica: replica.embed(waves, lengths), (one, two))
        assert a.tobytes() == b.tobytes() and np.array_equal(counts, same) and a.any()
        for replica in (one, two):
            ran.clear()
            replica.embed(waves, lengths)
            print(sorted(set(ran)))
    """, NSLIB_DEVICES="CPU:0,CPU:1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["['CPU:0']", "['CPU:1']"]


def test_replica_of_a_trained_network_keeps_the_weights_of_its_embedding():
    done = two_processors("""
        import keras
        from nslib.train import embedding as trained

        patch = keras.Input((96, 64))
        model = keras.Model(patch, {"embedding": keras.layers.Dense(4)(keras.layers.GlobalAveragePooling1D()(patch))})
        model.name = "small"
        trained.cost = lambda model: type("Cost", (), {"outputs": {"embedding": 4}, "parameters": 260})
        made = trained.as_embedding(model, "embedding", "small")
        for weights in model.weights:
            weights.assign(weights + 1)
        wave, length = np.random.default_rng(0).normal(0, 0.1, (1, 16_000)).astype(np.float32), np.array([16_000])
        one, two = (replica.embed(wave, length)[0] for replica in devices.replicas(made, ["CPU:0", "CPU:1"]))
        print(one.tobytes() == two.tobytes(), bool(one.any()))
    """)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "True"]


# ---- memory --------------------------------------------------------------------------------------


class Small:
    """`frame_energy` on a device that holds so many samples."""

    def __init__(self, samples, error=MemoryError):
        self.samples, self.error, self.sizes = samples, error, []

    def __call__(self, waves, lengths):
        self.sizes.append(waves.size)
        if waves.size > self.samples:
            raise self.error
        return frame_energy(waves, lengths)


def clips(count, seconds=0.5):
    waves = np.stack([tone(seconds, 200 + 10 * i, seed=i) for i in range(count)])
    return waves, np.full(count, waves.shape[1])


@given(count=st.integers(1, 33), fits=st.integers(1, 40))
def test_halves_until_it_fits_and_changes_nothing(count, fits):
    waves, lengths = clips(count)
    small = Small(fits * waves.shape[1])
    bounded = within_memory(small)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, counts = bounded(waves, lengths)
        failed = sum(size > small.samples for size in small.sizes)
        again, _ = bounded(waves, lengths)
    expected, right = frame_energy(waves, lengths)
    assert np.array_equal(found, expected) and np.array_equal(counts, right) and np.array_equal(again, expected)
    assert sum(size > small.samples for size in small.sizes) == failed  # what did not fit is not tried again
    assert len(said) == (count > fits)


def test_out_of_memory_of_tensorflow():
    tf = pytest.importorskip("tensorflow")
    waves, lengths = clips(8)
    small = Small(3 * waves.shape[1], tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"))
    with pytest.warns(RuntimeWarning, match=r"8 clips of 0\.5 s does not fit"):
        found, _ = within_memory(small)(waves, lengths)
    assert np.array_equal(found, frame_energy(waves, lengths)[0])
    assert [size // waves.shape[1] for size in small.sizes] == [8, 4, 2, 2, 2, 2]


def test_longer_clips_go_in_smaller_batches_from_then_on():
    small = Small(32_000)
    bounded = within_memory(small)
    with pytest.warns(RuntimeWarning):
        bounded(*clips(8, 0.5))
    small.sizes.clear()
    bounded(*clips(4, 1.0))
    assert small.sizes == [32_000, 32_000]


def test_frames_of_parts_with_different_counts_are_joined():
    def embed(waves, lengths):
        if len(waves) > 1:
            raise MemoryError
        frames, counts = frame_energy(waves[:, : lengths.max()], lengths)
        return frames, counts

    waves, _ = clips(2)
    lengths = np.array([3200, 8000])
    with pytest.warns(RuntimeWarning):
        frames, counts = within_memory(embed)(waves, lengths)
    assert frames.shape == (2, 5, 2) and counts.tolist() == [2, 5]
    assert not frames[0, 2:].any()
    assert np.array_equal(frames[1], frame_energy(waves, lengths)[0][1])


def test_one_clip_that_does_not_fit():
    with pytest.raises(NslibError, match=r"one clip of 0\.5 s does not fit the memory.*NSLIB_DEVICES=CPU:0"), \
            pytest.warns(RuntimeWarning):
        within_memory(Small(100))(*clips(4))


def test_other_errors_pass():
    small = Small(0, KeyError("layer"))
    with pytest.raises(KeyError):
        within_memory(small)(*clips(4))
    assert len(small.sizes) == 1


def test_marks_of_the_function_stay():
    from nslib.embeddings import patches

    assert patches.is_ragged(within_memory(patches.mark_ragged(lambda waves, lengths: frame_energy(waves, lengths))))
    assert not patches.is_ragged(within_memory(frame_energy))
