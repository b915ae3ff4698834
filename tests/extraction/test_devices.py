"""Devices: GPUs of the machine, replicas on several of them, batches that fit, and how large a batch is."""

import os
import subprocess
import sys
import textwrap
import time
import warnings
from unittest.mock import Mock

import numpy as np
import pytest
from helpers import embedding, frame_energy, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib.embeddings import runtime
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.extraction import devices
from nslib.extraction.devices import Replica, SmallerBatches, choose_devices, load_replicas, tune_batch_seconds

PRESENT = ["CPU:0", "GPU:0", "GPU:1"]


def test_gpus_are_listed_and_a_failure_is_told_in_the_tools_own_words(smi, tmp_path, monkeypatch):
    smi("0, NVIDIA A100-SXM4-40GB, 40960, 40444, 550.54.15\n1, Tesla T4, [N/A], [N/A], 550.54.15\n")
    first, second = devices.list_gpus()
    assert (first.name, first.index, first.driver) == ("NVIDIA A100-SXM4-40GB", 0, "550.54.15")
    assert (first.memory_gb, first.free_gb) == pytest.approx((42.95, 42.41), abs=0.01)
    assert (second.index, second.memory_gb, second.free_gb) == (1, None, None)
    for code in (9, 0):
        smi("no driver\n", code)
        with pytest.raises(Unavailable, match="no driver"):
            devices.list_gpus()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert devices.list_gpus() == []


def test_all_gpus_and_else_the_processor_and_one_replica_is_the_embedding_itself(monkeypatch):
    monkeypatch.delenv(devices.DEVICES_VARIABLE, raising=False)
    assert choose_devices(PRESENT) == ["GPU:0", "GPU:1"]
    assert choose_devices(["CPU:0", "CPU:1"]) == ["CPU:0"]
    monkeypatch.setenv(devices.DEVICES_VARIABLE, " GPU:1, CPU:0 ,")
    assert choose_devices(PRESENT) == ["GPU:1", "CPU:0"]
    for asked, error, words in (("GPU:7", UnknownName, r"unknown device 'GPU:7'.*Known: CPU:0, GPU:0, GPU:1"),
                                (",", BadParameter, "at least one"), ("GPU:0,GPU:0", BadParameter, "each once")):
        monkeypatch.setenv(devices.DEVICES_VARIABLE, asked)
        with pytest.raises(error, match=words):
            choose_devices(PRESENT)
    plain = embedding()
    monkeypatch.setenv(devices.DEVICES_VARIABLE, "GPU:0")  # not TensorFlow's affair
    assert load_replicas(plain) == [Replica("default", plain.embed)]
    monkeypatch.delenv(devices.DEVICES_VARIABLE)
    monkeypatch.setattr(devices, "list_devices", lambda: ["CPU:0"])
    placed = embedding(replica=lambda device: pytest.fail("loaded again"))
    assert load_replicas(placed) == [Replica("CPU:0", placed.embed)]
    monkeypatch.setattr(devices, "list_devices", lambda: PRESENT)
    placed = embedding(replica=lambda device: device)
    assert [(r.device, r.embed) for r in load_replicas(placed)] == [("GPU:0", placed.embed), ("GPU:1", "GPU:1")]


@pytest.mark.heavy
def test_two_replicas_compute_on_two_devices_and_give_the_same_bytes():
    code = """
        import numpy as np, tensorflow as tf
        processor = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
        from nslib import embeddings
        from nslib.embeddings import runtime
        from nslib.extraction.devices import load_replicas

        ran = []
        def record(graph):
            def run(given):
                result = graph(tf.constant(given, tf.float32))[0]
                ran.append(result.device[-5:])
                return result.numpy()
            return run
        runtime.make_runner = record

        waves = np.random.default_rng(0).normal(0, 0.1, (3, 20_000)).astype(np.float32)
        made = []
        for replica in load_replicas(embeddings.get("untrained")):
            ran.clear()
            made.append(replica.embed(waves, np.array([20_000, 16_000, 18_000]))[0])
            print(replica.device, sorted(set(ran)))
        assert made[0].tobytes() == made[1].tobytes() and made[0].any()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False,
                          env={**os.environ, "NSLIB_DEVICES": "CPU:0,CPU:1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["CPU:0 ['CPU:0']", "CPU:1 ['CPU:1']"]


class Small:
    """`frame_energy` on a device that holds so many samples."""

    def __init__(self, samples, error=MemoryError):
        self.samples, self.error, self.sizes = samples, error, []

    def __call__(self, waves, lengths):
        self.sizes.append(waves.size)
        if waves.size > self.samples:
            raise self.error
        return frame_energy(waves, lengths)


def make_waves(count, seconds=0.5):
    waves = np.stack([tone(seconds, 200 + 10 * i, seed=i) for i in range(count)])
    return waves, np.full(count, waves.shape[1])


@settings(max_examples=30)
@given(count=st.integers(1, 33), fits=st.integers(1, 40))
def test_halves_until_it_fits_and_changes_nothing(count, fits):
    waves, lengths = make_waves(count)
    small = Small(fits * waves.shape[1])
    bounded = SmallerBatches(small)
    expected, right = frame_energy(waves, lengths)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for most in (np.inf, small.samples):  # what did not fit is not tried again
            small.sizes.clear()
            frames, counts = bounded(waves, lengths)
            assert np.array_equal(frames, expected) and np.array_equal(counts, right) and max(small.sizes) <= most
    assert len(told) == (count > fits)


def test_out_of_memory_of_tensorflow_parts_are_joined_and_one_clip_that_does_not_fit_is_an_error(monkeypatch):
    error = type("ResourceExhaustedError", (RuntimeError,), {})
    # as TensorFlow names it; to import it takes longer than all other tests here
    monkeypatch.setitem(sys.modules, "tensorflow", Mock(**{"errors.ResourceExhaustedError": error}))
    waves, lengths = make_waves(8)
    small = Small(3 * waves.shape[1], error("OOM when allocating"))
    bounded = SmallerBatches(small)
    with pytest.warns(RuntimeWarning, match=r"8 clips of 0\.5 s does not fit"):
        frames, _ = bounded(waves, lengths)
    assert np.array_equal(frames, frame_energy(waves, lengths)[0])
    assert len(bounded(*make_waves(4, 1.0))[0]) == 4  # longer clips, one at a time
    assert [size // waves.shape[1] for size in small.sizes] == [8, 4, 2, 2, 2, 2, *[2] * 4]

    def embed(waves, lengths):
        if len(waves) > 1:
            raise MemoryError
        return frame_energy(waves[:, : lengths.max()], lengths)

    waves, lengths = make_waves(2)[0], np.array([3200, 8000])
    with pytest.warns(RuntimeWarning):
        frames, counts = SmallerBatches(embed)(waves, lengths)
    assert frames.shape == (2, 5, 2) and counts.tolist() == [2, 5] and not frames[0, 2:].any()
    with pytest.raises(NslibError, match=r"one clip of 0\.5 s does not fit the memory.*NSLIB_DEVICES=CPU:0"), \
            pytest.warns(RuntimeWarning):
        SmallerBatches(Small(100))(*make_waves(4))


def make_sleepy(best, seen):
    """An embedding that is quickest at batches of `best` seconds."""
    def embed(waves, lengths):
        seconds = len(waves) * waves.shape[1] / 16000
        seen.append(seconds)
        time.sleep(seconds * (2e-4 if seconds >= best else 1e-3))
        return frame_energy(waves, lengths)

    return embedding(embed=embed)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_long_job_finds_the_best_size_once_whatever_the_file_held(cache, content):
    cache.mkdir()
    (cache / "tuning.json").write_text(content)
    seen = []
    sleepy = make_sleepy(100.0, seen)
    assert tune_batch_seconds(sleepy, 600.0) == devices.DEFAULT_BATCH_SECONDS and seen == []
    found, tried = tune_batch_seconds(sleepy, 1e6), len(seen)
    assert found == tune_batch_seconds(sleepy, 1e6) == devices.get_batch_seconds(sleepy) >= 120.0
    assert len(seen) == tried > 4
    assert devices.get_batch_seconds(embedding(revision="other")) == devices.DEFAULT_BATCH_SECONDS


def test_a_trial_takes_a_small_share_one_that_fails_changes_nothing_and_the_environment_decides(cache, monkeypatch):
    seen = []
    tune_batch_seconds(make_sleepy(1e9, seen), 4000.0)
    # the first size costs three batches; 3 % of the job leaves room for some of the others, not for all
    assert max(seen) < 240.0
    broken = embedding(revision="broken", embed=lambda waves, lengths: waves.no_noise_please)
    assert tune_batch_seconds(broken, 1e6) == devices.DEFAULT_BATCH_SECONDS
    # where padding costs nothing a unit is a batch
    ragged = SmallerBatches(runtime.mark_ragged(lambda waves, lengths: frame_energy(waves, lengths)))
    assert devices.get_batch_seconds(embedding(embed=ragged, revision="ragged")) == 240.0
    monkeypatch.setenv(devices.BATCH_VARIABLE, "7.5")
    assert tune_batch_seconds(broken, 1e6) == 7.5
    for wrong in ("0", "nan", "many"):
        monkeypatch.setenv(devices.BATCH_VARIABLE, wrong)
        with pytest.raises(BadParameter, match="number of seconds"):
            devices.get_batch_seconds(embedding())
