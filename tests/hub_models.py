"""SavedModels with the call forms, shapes and operation names of the published models, and small weights.

Each is written as the authors' exporters write it: the same arguments, ranks and types, the same padding and patches,
outputs of the true size that depend on the audio; only the networks are a few thousand random weights. The front ends
are TensorFlow's own (`tf.signal`), so that nothing here is what it is to test.
"""

import functools
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

tf.get_logger().setLevel("ERROR")

WAVES, CLIP = tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.float32)


def all_models() -> Path:
    """A folder with every model, each in a folder of its name; built by the first process that asks."""
    ready = Path(os.environ["NSLIB_CACHE"]) / "published-models"
    if not ready.exists():
        new = Path(tempfile.mkdtemp(dir=ready.parent))
        for name in ("trill", "trill-distilled", "frill", "trillsson1", "yamnet", "vggish"):
            save(name, new / name)
        for k in range(2, 6):  # the same network, but another checksum
            shutil.copytree(new / "trillsson1", new / f"trillsson{k}")
            (new / f"trillsson{k}" / "assets" / "number").write_text(str(k))
        try:
            new.rename(ready)
        except OSError:  # another process was faster
            shutil.rmtree(new)
    return ready


def save(name: str, folder: Path) -> Path:
    """Write one model."""
    kinds = {"trill": Trill, "trill-distilled": Trill, "frill": Frill, "yamnet": Yamnet, "vggish": Vggish}
    tf.saved_model.save(kinds.get(name, Trillsson)(name), str(folder))
    return folder


def _draw(seed: int, *shape: int) -> tf.Variable:
    rng = np.random.default_rng(seed)
    return tf.Variable(rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32))


@functools.cache
def _mel_matrix(mels: int, dtype: tf.DType) -> np.ndarray:
    with tf.init_scope():  # as a constant: its hundred operations need not be traced in every call of every model
        return tf.signal.linear_to_mel_weight_matrix(mels, 257, 16000, 125.0, 7500.0, dtype).numpy()


def _log_mel(wave: tf.Tensor, mels: int = 64, offset: float = 0.001, dtype: tf.DType = tf.float64) -> tf.Tensor:
    spectrum = tf.abs(tf.signal.stft(tf.cast(wave, dtype), 400, 160, 512))
    bands = tf.tensordot(spectrum, _mel_matrix(mels, dtype), 1)
    return tf.cast(tf.math.log(tf.maximum(bands, tf.constant(1e-12, dtype)) + tf.constant(offset, dtype)), tf.float32)


def _zeros_to(wave: tf.Tensor, least: int, step: int = 0) -> tf.Tensor:
    """Zeros at the end, up to `least` samples and from there in whole steps."""
    n = tf.shape(wave)[-1]
    length = tf.maximum(n, least)
    if step:
        length += (least - length) % step
    return tf.pad(wave, [[0, 0]] * (wave.shape.rank - 1) + [[0, length - n]])


def _blocks(patches: tf.Tensor, weights: tf.Variable) -> tuple[tf.Tensor, tf.Tensor]:
    """[clips, patches, 96 or more, mels] to [n, 6, 4, 8], and their means and variances, [n, 16]."""
    rows = tf.reshape(patches, [-1, *patches.shape[2:]])
    image = tf.image.resize((rows[..., None] + 4) / 2.5, [24, 16], method="area")
    blocks = tf.nn.tanh(tf.nn.conv2d(image, weights, 4, "VALID"))
    return blocks, tf.concat(tf.nn.moments(blocks, [1, 2]), 1)


class Trill(tf.Module):
    """TRILL and TRILL-distilled: ``(samples, sample_rate)``; int16 and float32; 1-D and 2-D."""

    def __init__(self, name: str = "trill", ranks: tuple[int, ...] = (1, 2), checks_rate: bool = True):
        super().__init__()
        self.distilled, self.checks_rate = name == "trill-distilled", checks_rate
        seed = 20 if self.distilled else 10
        self.eye, self.wide = _draw(seed, 4, 4, 1, 8), _draw(seed + 1, 8, 512)
        self.top = _draw(seed + 2, 16, 2048 if self.distilled else 512)
        for dtype, rank in itertools.product((tf.int16, tf.float32), ranks):
            self.__call__.get_concrete_function(tf.TensorSpec([None] * rank, dtype, "samples"),
                                                tf.TensorSpec([], tf.int32, "sample_rate"))

    @tf.function(autograph=False)
    def __call__(self, samples: tf.Tensor, sample_rate: tf.Tensor) -> dict[str, tf.Tensor]:
        checks = [tf.debugging.assert_equal(sample_rate, 16000)] if self.checks_rate else []
        with tf.control_dependencies(checks):
            wave = tf.cast(samples, tf.float64)
        wave = wave / 32767 if samples.dtype == tf.int16 else wave
        one = samples.shape.rank == 1
        patches = tf.signal.frame(_log_mel(_zeros_to(wave[None] if one else wave, 16000)), 96, 17, axis=1)
        blocks, moments = _blocks(patches, self.eye)
        outputs = {"embedding": tf.nn.relu(moments @ self.top)}
        if not self.distilled:
            outputs = {"embedding": tf.math.l2_normalize(moments @ self.top, 1),
                       "layer19": tf.reshape(blocks @ self.wide, [-1, 6 * 4 * 512])}
        shape = tf.shape(patches)[1 if one else 0:2]
        return {k: tf.reshape(v, tf.concat([shape, [v.shape[1]]], 0)) for k, v in outputs.items()}


class Frill(tf.Module):
    """FRILL: batches only, no rate; clips and patches on one axis."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.eye, self.top = _draw(30, 4, 4, 1, 8), _draw(31, 16, 2048)

    @tf.function(input_signature=[WAVES], autograph=False)
    def __call__(self, samples: tf.Tensor) -> dict[str, tf.Tensor]:
        patches = tf.signal.frame(_log_mel(_zeros_to(samples, 16000)), 96, 17, axis=1)
        return {"embedding": tf.nn.relu(_blocks(patches, self.eye)[1] @ self.top)}


class Trillsson(tf.Module):
    """TRILLsson: batches only; mirrors up to 2 s, averages over patches inside."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.eye, self.top = _draw(41, 4, 4, 1, 8), _draw(51, 16, 1024)

    @tf.function(input_signature=[WAVES], autograph=False)
    def __call__(self, audio_samples: tf.Tensor) -> dict[str, tf.Tensor]:
        missing = tf.maximum(32000 - tf.shape(audio_samples)[1], 0)
        wave = tf.pad(audio_samples, [[0, 0], [0, missing]], "SYMMETRIC")
        patches = tf.signal.frame(_log_mel(wave, 80), 195, 195, axis=1)
        each = tf.reshape(_blocks(patches, self.eye)[1] @ self.top, [-1, tf.shape(patches)[1], 1024])
        return {"embedding": tf.reduce_mean(each, 1)}


class Yamnet(tf.Module):
    """YAMNet: one clip, no rate; a tuple of scores, embeddings and spectrogram."""

    # number of the layer, its channels and its stride; those in between are left out
    LAYERS = ((1, 4, 4), (9, 4, 4), (10, 512, 1), (11, 8, 1), (14, 1024, 2))

    def __init__(self, name: str = "yamnet", layer: str = "layer") -> None:
        super().__init__()
        self.layer, before = layer, 1
        self.kernels = []
        for number, channels, _ in self.LAYERS:
            self.kernels.append(tf.Variable(2 * _draw(60 + number, 3, 3, before, channels)))
            before = channels
        self.head = [_draw(99, 1024, 4), _draw(100, 4, 521)]

    @tf.function(input_signature=[CLIP], autograph=False)
    def __call__(self, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        spectrogram = _log_mel(_zeros_to(waveform, 15600, 7680), dtype=tf.float32)
        with tf.name_scope("yamnet_frames"):
            embeddings = tf.reduce_mean(self.layers(spectrogram)[14], [1, 2])
        return tf.sigmoid(embeddings @ self.head[0] @ self.head[1]), embeddings, spectrogram

    def layers(self, spectrogram: tf.Tensor) -> dict[int, tf.Tensor]:
        """What comes out of each layer."""
        x, outputs = (tf.signal.frame(spectrogram, 96, 48, axis=0)[..., None] + 4) / 2.5, {}
        for (number, _, stride), kernel in zip(self.LAYERS, self.kernels, strict=True):
            with tf.name_scope(f"{self.layer}{number}/pointwise_conv/relu"):
                x = outputs[number] = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME"))
        return outputs


class Vggish(tf.Module):
    """VGGish: one clip, no rate; a bare tensor. A wrapped TF1 graph, as TF-Slim needs it."""

    def __init__(self, name: str = "vggish", pads: bool = False) -> None:
        super().__init__()
        self.pads, self.weights = pads, []
        self.wrapped = tf.compat.v1.wrap_function(self.define, [CLIP])

    def variable(self, name: str, seed: int, *shape: int) -> tf.Variable:
        start = np.random.default_rng(seed).normal(0, 1 / np.sqrt(shape[0]), shape).astype(np.float32)
        self.weights.append(tf.compat.v1.get_variable(name, initializer=start))
        return self.weights[-1]

    def define(self, waveform: tf.Tensor) -> tf.Tensor:
        scope = tf.compat.v1.variable_scope
        with scope("vggish", use_resource=True):
            with scope("fc1/fc1_1"):
                net = self.pooled(waveform) @ self.variable("weights", 110, 24, 4096)
                net = tf.nn.relu(tf.nn.bias_add(net, self.variable("biases", 111, 4096)), name="Relu")
            with scope("fc2"):
                net = tf.reshape(net, [-1, 64, 64])[:, :, 0] @ self.variable("weights", 130, 64, 128)
            return tf.identity(net, name="embedding")

    def pooled(self, waveform: tf.Tensor) -> tf.Tensor:
        """What enters the first connected layer."""
        wave = _zeros_to(waveform, 15600, 15360) if self.pads else waveform
        patches = tf.signal.frame(_log_mel(wave, offset=0.01, dtype=tf.float32), 96, 96, axis=0)
        return tf.reshape((tf.image.resize(patches[..., None], [6, 4], method="area") + 3) / 2, [-1, 24])

    @tf.function(input_signature=[CLIP], autograph=False)
    def __call__(self, waveform: tf.Tensor) -> tf.Tensor:
        return self.wrapped(waveform)
