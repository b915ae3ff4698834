"""Trained networks with their front end as files that need nothing of this kit: SavedModel and LiteRT.

A SavedModel takes ``(samples, sample_rate)``, as the published TRILL does: int16 (divided by 32767), or float32 or
float64 in [-1, 1], [samples] or [clips, samples], at 16 kHz (another rate, and floats far outside, are errors of the
graph itself), to a dict of [frames, dim] or [clips, frames, dim]. Its front end is float64; clips of less than a second
get zeros at the end. A LiteRT file takes one clip, float32 [samples], computes in float32 with LiteRT's own operations,
and must be resized to each length (the signature runner does so). Facts lie in ``nslib.json`` in the folder, or
``<file>.json`` beside a file.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from nslib import config, frontend
from nslib.audio import HIGHEST_PEAK
from nslib.embeddings.networks import count_cost, cut_patches, hash_weights
from nslib.errors import BadParameter, refuse_unknown
from nslib.frontend import HOP, SAMPLE_RATE, TRILL, patch_seconds

__all__ = ["export_litert", "export_saved_model"]

FACTS = "nslib.json"
QUANTISE = ("none", "dynamic")
AT_ONCE = 64  # patches that the network is given at a time: that bounds the memory of long clips, and changes no patch

INPUT = "samples: int16, float32 or float64, [samples] or [clips, samples]; sample_rate: int32 []"

_STATED = ("licence", "source", "trained_on", "citation")
_MADE_WITH = ("numpy", "scikit-learn", "tensorflow", "keras")
_WINDOW = round(patch_seconds(TRILL) * SAMPLE_RATE)
_STEP = TRILL.patch_hop * HOP

Outputs = dict[str, tf.Tensor]


def export_saved_model(model: Any, folder: str | Path, **stated: str) -> Path:
    """Write a network with its front end as a SavedModel, in a folder that must not exist, or be empty.

    ``model`` takes log-mel patches to a dict of vectors, as the kit's networks and students do (BadParameter
    otherwise); ``stated`` are ``licence``, ``source``, ``trained_on`` and ``citation`` (else UnknownName), for those
    who find it.
    """
    facts, folder = _describe_network(model, stated), Path(folder)
    refuse_to_overwrite(folder)
    graph = ClipModel(put_behind_front_end(model), [weight.value for weight in model.weights])
    return write_saved_model(folder, graph, facts)


class ClipModel(tf.Module):
    """A function, float64 [clips, samples] in [-1, 1] to a dict of tensors [clips, ...], with TRILL's signature."""

    def __init__(self, function: Callable[[tf.Tensor], Outputs], parts: Sequence[Any]):
        super().__init__()
        self.parts = list(parts)  # variables and loaded models that are not named here are not saved
        # a function of its own is traced once, and not for every type and rank of samples
        self._function = tf.function(function, [tf.TensorSpec([None, None], tf.float64)], autograph=False)

    @tf.function(autograph=False)
    def __call__(self, samples: tf.Tensor, sample_rate: tf.Tensor) -> Outputs:
        """Hear one clip or several; the outputs for one clip are without the axis of clips."""
        checks = [tf.debugging.assert_equal(sample_rate, SAMPLE_RATE, f"this model hears {SAMPLE_RATE} samples a "
                                            "second; resample the audio to that rate"),
                  tf.debugging.assert_positive(tf.shape(samples)[-1], "a clip needs at least one sample")]
        if samples.dtype.is_floating:
            highest = tf.cast(HIGHEST_PEAK, samples.dtype)
            checks.append(tf.debugging.assert_less_equal(tf.abs(samples), highest, "floating point samples belong in "
                                                         "[-1, 1]; divide them by their full scale, or give int16"))
        with tf.control_dependencies([check for check in checks if check is not None]):
            # as nslib.audio reads files: the quotient is rounded to float32
            wave = tf.cast(samples, tf.float32) / 32767 if samples.dtype == tf.int16 else tf.identity(samples)
        single = samples.shape.rank == 1
        outputs = self._function(tf.cast(wave[None] if single else wave, tf.float64))
        return {name: value[0] if single else value for name, value in outputs.items()}

    def save(self, folder: Path) -> None:
        """Write a SavedModel with a call for every type and rank, and a signature for servers."""
        rate, dtypes = tf.TensorSpec([], tf.int32, "sample_rate"), (tf.int16, tf.float32, tf.float64)
        traced = {(dtype, rank): self.__call__.get_concrete_function(
            tf.TensorSpec([None] * rank, dtype, "samples"), rate) for dtype, rank in itertools.product(dtypes, (1, 2))}
        tf.saved_model.save(self, str(folder), signatures={"serving_default": traced[tf.float32, 2]})


def put_behind_front_end(model: Any, taps: Sequence[str] | None = None) -> Callable[[tf.Tensor], Outputs]:
    """Return a function of float64 [clips, samples] of any length to the network's taps [clips, frames, dim]."""
    sizes = {name: model.output[name].shape[-1] for name in taps or sorted(model.output)}

    def hear(wave: tf.Tensor) -> Outputs:
        wave = frontend.pad_tf(wave, TRILL)
        clips = tf.shape(wave)[0]
        total, step = 1 + (tf.shape(wave)[1] - _WINDOW) // _STEP, tf.maximum(1, AT_ONCE // tf.maximum(clips, 1))
        pieces = (total + step - 1) // step
        arrays = [tf.TensorArray(tf.float32, pieces, infer_shape=False, element_shape=[None, None, size])
                  for size in sizes.values()]

        def run_piece(number: tf.Tensor, *arrays: tf.TensorArray) -> Any:
            first, last = number * step, tf.minimum((number + 1) * step, total)
            spectrogram = frontend.log_mel_tf(wave[:, first * _STEP:(last - 1) * _STEP + _WINDOW], TRILL)
            cut = frontend.patches_tf(tf.cast(spectrogram, tf.float32), TRILL)
            outputs = model(tf.reshape(cut, [-1, TRILL.patch, TRILL.mels]), training=False)
            parts = [tf.reshape(outputs[name], [clips, last - first, size]) for name, size in sizes.items()]
            # time first, because pieces of unequal length can only be joined there
            return number + 1, *(array.write(number, tf.transpose(part, [1, 0, 2]))
                                 for array, part in zip(arrays, parts, strict=True))

        _, *arrays = tf.while_loop(lambda number, *_: number < pieces, run_piece, (0, *arrays), parallel_iterations=1)
        return {name: tf.transpose(array.concat(), [1, 0, 2]) for name, array in zip(sizes, arrays, strict=True)}

    return hear


def refuse_to_overwrite(folder: Path) -> None:
    """Raise BadParameter, before long work, for a file or a folder that is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadParameter(f"{folder} is not empty and would be overwritten; remove it, or give another folder.")


def write_saved_model(folder: Path, graph: ClipModel, facts: Mapping[str, Any]) -> Path:
    """Write a graph and its facts to a folder that is empty or does not exist, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with config.scratch_folder("export", folder.parent) as scratch:
        graph.save(scratch / folder.name)
        config.write_file(scratch / folder.name / FACTS, json.dumps(dict(facts), indent=1, ensure_ascii=False))
        os.replace(scratch / folder.name, folder)
    return folder


def read_facts(folder: str | Path) -> dict[str, Any]:
    """Read what lies beside an exported graph; BadParameter if it was not written here, or is damaged."""
    path = Path(folder) / FACTS
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadParameter(f"{path} cannot be read ({error}); give a folder that nslib.training.export or "
                           "nslib.training.classifier wrote.") from error


def describe_export(kind: str, stated: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that every export has; UnknownName if something is stated that has no place."""
    refuse_unknown("fact", stated, _STATED)
    return {"kind": kind, "sample_rate": SAMPLE_RATE, **{name: stated.get(name, "not stated") for name in _STATED},
            "made_with": config.package_versions(_MADE_WITH), "code_revision": config.code_revision()}


def _describe_network(model: Any, stated: Mapping[str, str]) -> dict[str, Any]:
    wanted = (None, TRILL.patch, TRILL.mels)
    if not isinstance(getattr(model, "output", None), dict) or model.input_shape != wanted:
        raise BadParameter(f"{getattr(model, 'name', model)} is no network of patches: it must take "
                           f"[patches, {TRILL.patch}, {TRILL.mels}] and give a dict of vectors, as those of "
                           "nslib.embeddings.networks do.")
    size = count_cost(model)
    return {"name": model.name, "network": model.name, "weights": hash_weights(model),
            "parameters": size.parameters, "outputs": size.outputs, "front_end": asdict(TRILL), "input": INPUT,
            **describe_export("embedding", stated)}


@dataclass(frozen=True)
class LiteRT:
    """A LiteRT file; ``error`` is for each tap the largest difference from the network's frames, relative to them."""

    path: Path
    quantise: str
    bytes: int
    error: dict[str, float]


def export_litert(model: Any, path: str | Path, *, quantise: str = "none", **stated: str) -> LiteRT:
    """Write a network with its front end as a LiteRT file (.tflite) that does not exist yet, and measure its error.

    ``quantise`` "none" is weights in float32, "dynamic" in int8 with activations quantised as they come; constants of
    the front end stay in float32. (The converter's float16 is not offered: it rounds these too, and gave vectors of
    recordings that were up to a quarter away.) All else, and errors, as of `export_saved_model`.
    """
    from ai_edge_litert.interpreter import Interpreter

    refuse_unknown("way to quantise", quantise, QUANTISE)
    path, facts = Path(path), _describe_network(model, stated)
    if path.exists():
        raise BadParameter(f"{path} exists and would be overwritten; remove it, or give another name.")
    content = _convert(model, quantise)
    run, error = Interpreter(model_content=content).get_signature_runner(), dict.fromkeys(sorted(model.output), 0.0)
    for clip in _make_trial():
        outputs, wanted = run(samples=clip), model(cut_patches(clip), training=False)
        for tap, before in error.items():
            true = np.asarray(wanted[tap])
            away = np.linalg.norm(outputs[tap] - true, axis=1) / np.maximum(np.linalg.norm(true, axis=1), 1e-12)
            error[tap] = max(before, float(away.max()))
    facts |= {"input": "samples: float32 [samples]", "quantise": quantise, "error": error}
    config.write_file(path.with_name(f"{path.name}.json"), json.dumps(facts, indent=1, ensure_ascii=False))
    config.write_file(path, content)
    return LiteRT(path, quantise, len(content), error)


def _convert(model: Any, quantise: str) -> bytes:
    def hear(samples: tf.Tensor) -> Outputs:
        spectrogram = frontend.log_mel_tf(frontend.pad_tf(samples, TRILL), TRILL, tf.float32, narrow=True)
        return dict(model(frontend.patches_tf(spectrogram, TRILL), training=False))

    module = tf.Module()
    module.parts = [weight.value for weight in model.weights]
    module.hear = tf.function(hear, [tf.TensorSpec([None], tf.float32, "samples")], autograph=False)
    with tempfile.TemporaryDirectory() as folder:
        # only on this way does the converter make constants of variables
        tf.saved_model.save(module, folder, signatures={"serving_default": module.hear})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantise != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


def _make_trial() -> Iterator[npt.NDArray[np.float32]]:
    """Make clips with the range of speech: strong and faint bands, loud and silent moments."""
    rng = np.random.default_rng(0)
    for number, samples in enumerate((8_000, 16_000, 53_123)):
        t = np.arange(samples) / SAMPLE_RATE
        voice = sum(np.sin(2 * np.pi * (110 + 45 * number) * k * t) / k**2 for k in range(1, 20))
        loudness = 0.3 * np.clip(np.sin(2 * np.pi * 1.5 * t), 0, 1)
        yield (loudness * voice + rng.normal(0, 1e-4, samples)).astype(np.float32)
