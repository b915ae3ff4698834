"""Graphs that take sound: samples in, anything out that is made of TRILL's patches.

References: the signature of the published TRILL, ``(samples, sample_rate)``; `nslib.frontend` for the front end.

Conventions
-----------
Samples are int16 (divided by 32767, as the authors do), float32 or float64 in [-1, 1], one clip [samples] or several
of one length [clips, samples], at 16 kHz: another rate is an error of the graph itself. The front end computes in
float64, as that of `nslib.frontend`; clips of less than a second get zeros at the end.

A long clip goes through the network in pieces that start and end where patches do. That bounds the memory and changes
no patch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from nslib import frontend_tf
from nslib.frontend import HOP, SAMPLE_RATE, TRILL, patch_seconds

Outputs = dict[str, tf.Tensor]

DTYPES = (tf.int16, tf.float32, tf.float64)
AT_ONCE = 64
"""Patches that the network is given at a time."""

_WINDOW = round(patch_seconds(TRILL) * SAMPLE_RATE)
_STEP = TRILL.patch_hop * HOP


class Listener(tf.Module):
    """A function of clips with the signature of the published TRILL.

    Parameters
    ----------
    function : callable
        float64 [clips, samples], 16 kHz, in [-1, 1], to a dict of tensors whose first axis are the clips.
    parts : sequence
        Variables and loaded models that it uses: what is not named here is not saved.
    """

    def __init__(self, function: Callable[[tf.Tensor], Outputs], parts: Sequence[Any]):
        super().__init__()
        self.parts = list(parts)
        # a function of its own is traced once, and not for every type and rank of samples
        self._heard = tf.function(function, [tf.TensorSpec([None, None], tf.float64)], autograph=False)

    @tf.function(autograph=False)
    def __call__(self, samples: tf.Tensor, sample_rate: tf.Tensor) -> Outputs:
        """Hear one clip or several.

        Parameters
        ----------
        samples : tensor [samples] or [clips, samples]
        sample_rate : int32 tensor []
            Hz; 16000.

        Returns
        -------
        dict of tensor
            Without the axis of clips for one clip.
        """
        found = self._heard(waves(samples, sample_rate))
        return {name: value[0] if samples.shape.rank == 1 else value for name, value in found.items()}

    def save(self, folder: Path) -> None:
        """Write a SavedModel with a call for every type and rank, and a signature for servers.

        Parameters
        ----------
        folder : Path
        """
        rate = tf.TensorSpec([], tf.int32, "sample_rate")
        traced = {(dtype, rank): self.__call__.get_concrete_function(
            tf.TensorSpec([None] * rank, dtype, "samples"), rate) for dtype, rank in itertools.product(DTYPES, (1, 2))}
        tf.saved_model.save(self, str(folder), signatures={"serving_default": traced[tf.float32, 2]})


def waves(samples: tf.Tensor, sample_rate: tf.Tensor) -> tf.Tensor:
    """Check samples and bring them to one form.

    Parameters
    ----------
    samples : tensor [samples] or [clips, samples]
        int16, float32 or float64.
    sample_rate : int32 tensor []

    Returns
    -------
    float64 tensor [clips, samples]
    """
    heard = f"this model hears {SAMPLE_RATE} samples a second; resample the audio to that rate"
    some = "a clip needs at least one sample"
    checks = [tf.debugging.assert_equal(sample_rate, SAMPLE_RATE, heard),
              tf.debugging.assert_positive(tf.shape(samples)[-1], some)]
    with tf.control_dependencies([check for check in checks if check is not None]):
        # as nslib.audio reads files: the quotient is rounded to float32
        wave = tf.cast(samples, tf.float32) / 32767 if samples.dtype == tf.int16 else tf.identity(samples)
    return tf.cast(wave[None] if samples.shape.rank == 1 else wave, tf.float64)


def hearing(model: Any, taps: Sequence[str] | None = None) -> Callable[[tf.Tensor], Outputs]:
    """Put the front end before a network.

    Parameters
    ----------
    model : keras.Model
        float32 [patches, 96, 64] to a dict of float32 [patches, dim].
    taps : sequence of str, optional
        Which of its outputs. Default: all.

    Returns
    -------
    callable
        float64 [clips, samples] of any length to a dict of float32 [clips, frames, dim].
    """
    sizes = {name: model.output[name].shape[-1] for name in taps or sorted(model.output)}
    return lambda wave: _in_pieces(model, sizes, frontend_tf.pad(wave, TRILL))


def _in_pieces(model: Any, sizes: dict[str, int], wave: tf.Tensor) -> Outputs:
    clips = tf.shape(wave)[0]
    total, step = 1 + (tf.shape(wave)[1] - _WINDOW) // _STEP, tf.maximum(1, AT_ONCE // tf.maximum(clips, 1))
    pieces = (total + step - 1) // step
    kept = [tf.TensorArray(tf.float32, pieces, infer_shape=False, element_shape=[None, None, size])
            for size in sizes.values()]

    def piece(number: tf.Tensor, *arrays: tf.TensorArray) -> Any:
        first, last = number * step, tf.minimum((number + 1) * step, total)
        found = model(_patches(wave[:, first * _STEP:(last - 1) * _STEP + _WINDOW]), training=False)
        parts = [tf.reshape(found[name], [clips, last - first, size]) for name, size in sizes.items()]
        # time first, because pieces of unequal length can only be joined there
        return number + 1, *(array.write(number, tf.transpose(part, [1, 0, 2]))
                             for array, part in zip(arrays, parts, strict=True))

    _, *kept = tf.while_loop(lambda number, *_: number < pieces, piece, (0, *kept), parallel_iterations=1)
    return {name: tf.transpose(array.concat(), [1, 0, 2]) for name, array in zip(sizes, kept, strict=True)}


def _patches(wave: tf.Tensor) -> tf.Tensor:
    spectrogram = tf.cast(frontend_tf.log_mel(wave, TRILL), tf.float32)
    return tf.reshape(frontend_tf.patches(spectrogram, TRILL), [-1, TRILL.patch, TRILL.mels])


def light(model: Any) -> tf.Module:
    """Make a graph of one clip that LiteRT's own operations can run.

    Parameters
    ----------
    model : keras.Model
        As for `hearing`.

    Returns
    -------
    tf.Module
        With ``hear``: float32 [samples] to a dict of float32 [frames, dim]. The front end computes in float32.
    """
    module = tf.Module()

    def hear(samples: tf.Tensor) -> Outputs:
        spectrogram = frontend_tf.log_mel(frontend_tf.pad(samples, TRILL), TRILL, tf.float32, narrow=True)
        return dict(model(frontend_tf.patches(spectrogram, TRILL), training=False))

    module.parts = variables(model)
    module.hear = tf.function(hear, [tf.TensorSpec([None], tf.float32, "samples")], autograph=False)
    return module


def variables(model: Any) -> list[tf.Variable]:
    """List the TensorFlow variables of a network.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    list of tf.Variable
    """
    return [weight.value for weight in model.weights]
