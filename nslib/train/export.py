"""A trained network with its front end as files that need nothing of this kit: SavedModel and LiteRT.

References: the published TRILL's signature; the LiteRT converter of TensorFlow.

Conventions
-----------
A SavedModel takes ``(samples, sample_rate)`` and gives a dict with ``embedding`` and, of TRILL's networks,
``layer19``, [frames, dim] for one clip and [clips, frames, dim] for several; see `nslib.train.export_graph`. It
loads with ``tf.saved_model.load``, with ``hub.load`` and with `nslib.embeddings.from_saved_model`, without nslib.

A LiteRT file takes one clip, float32 [samples] of any length, and gives the same. It uses LiteRT's own operations
only, its front end computes in float32, and it must be resized to each length (the signature runner does so).

Beside the graph lies what must be known of it, `FACTS` in the folder, ``<file>.json`` beside a LiteRT file. What
exists is never overwritten, and what is written is there whole or not at all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import files, provenance
from nslib.errors import BadParameter, UnknownName
from nslib.frontend import SAMPLE_RATE, TRILL, log_mel, pad, patches

FACTS = "nslib.json"
QUANTISE = ("none", "dynamic")

_STATED = ("licence", "source", "trained_on", "citation")
_MADE_WITH = ("numpy", "scikit-learn", "tensorflow", "keras")
_TRIAL = (8_000, 16_000, 53_123)
Wave = npt.NDArray[np.float32]


def saved_model(model: Any, folder: str | Path, *, name: str | None = None, **stated: str) -> Path:
    """Write a network with its front end as a SavedModel.

    Parameters
    ----------
    model : keras.Model
        Of `nslib.train.networks`, or a student: log-mel patches to a dict of vectors.
    folder : path-like
        Must not exist, or be empty.
    name : str, optional
        Default: the network's.
    **stated
        ``licence``, ``source``, ``trained_on`` and ``citation``, for those who find the folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    BadParameter
        If there is something in the folder, or the model is none of these.
    UnknownName
        If something else is stated.

    Examples
    --------
    >>> from nslib.train import export, models
    >>> export.saved_model(models.load("trill-mini"), "trill-mini/")          # doctest: +SKIP
    >>> hub.load("trill-mini/")(samples=wave, sample_rate=16000)["layer19"]  # doctest: +SKIP
    """
    facts = _network_facts(model, name, stated)
    empty(Path(folder))
    from nslib.train import export_graph

    graph = export_graph.Listener(export_graph.hearing(model), export_graph.variables(model))
    return write(Path(folder), graph.save, facts)


@dataclass(frozen=True)
class LiteRT:
    """A LiteRT file and how far it is from the network it was made of.

    Attributes
    ----------
    path : Path
    quantise : str
    bytes : int
    error : dict of str to float
        For each tap the length of the difference relative to the length of the vector, the largest of all frames
        of the trial clips.
    """

    path: Path
    quantise: str
    bytes: int
    error: dict[str, float]


def litert(model: Any, path: str | Path, *, quantise: str = "none", trial: Sequence[Wave] | None = None,
           name: str | None = None, **stated: str) -> LiteRT:
    """Write a network with its front end as a LiteRT file (.tflite), and measure what that costs.

    Parameters
    ----------
    model : keras.Model
        As for `saved_model`.
    path : path-like
        Must not exist.
    quantise : {"none", "dynamic"}
        Weights in float32, or in int8 with activations quantised as they come ("dynamic range"). Constants of the
        front end stay in float32. (The converter's float16 is not offered: it rounds these too, and gave vectors
        of recordings that were up to a quarter away.)
    trial : sequence of float32 [samples], optional
        16 kHz clips on which the error is measured. Default: three made ones, harmonics with pauses over faint noise.
    name : str, optional
    **stated
        As for `saved_model`.

    Returns
    -------
    LiteRT

    Raises
    ------
    BadParameter
        If the file exists, or the model is no such network.
    UnknownName
        For another way to quantise, or if something else is stated.
    """
    if quantise not in QUANTISE:
        raise UnknownName("way to quantise", quantise, QUANTISE)
    path, facts = Path(path), _network_facts(model, name, stated)
    if path.exists():
        raise BadParameter(f"{path} exists and would be overwritten; remove it, or give another name.")
    content = _converted(model, quantise)
    clips = _made() if trial is None else [np.asarray(clip, np.float32) for clip in trial]
    error = _error(content, model, clips)
    facts |= {"input": "samples: float32 [samples]", "quantise": quantise, "error": error}
    files.write(path.with_name(f"{path.name}.json"), json.dumps(facts, indent=1, ensure_ascii=False))
    files.write(path, content)
    return LiteRT(path, quantise, len(content), error)


def empty(folder: Path) -> None:
    """Refuse a place where something lies already, before long work.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    BadParameter
        If it is a file, or a folder that is not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadParameter(f"{folder} is not empty and would be overwritten; remove it, or give another folder.")


def write(folder: Path, save: Callable[[Path], None], facts: Mapping[str, Any]) -> Path:
    """Write a SavedModel and its facts, whole or not at all.

    Parameters
    ----------
    folder : Path
        Must not exist, or be empty.
    save : callable
        Is given a folder to write the SavedModel to.
    facts : mapping
        Anything that JSON can hold.

    Returns
    -------
    Path
        The folder.
    """
    from nslib.embeddings.downloads import stage_folder

    with stage_folder(folder) as new:
        save(new)
        files.write(new / FACTS, json.dumps(dict(facts), indent=1, ensure_ascii=False))
    return folder


def facts_of(folder: str | Path) -> dict[str, Any]:
    """Read what lies beside an exported graph.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    dict

    Raises
    ------
    BadParameter
        If it was not written here, or is damaged.
    """
    path = Path(folder) / FACTS
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadParameter(f"{path} cannot be read ({error}); give a folder that nslib.train.export or "
                           "nslib.train.export_probe wrote.") from error
    return found


def common_facts(kind: str, stated: Mapping[str, str]) -> dict[str, Any]:
    """Facts that every export has.

    Parameters
    ----------
    kind : {"embedding", "classifier"}
    stated : mapping
        What the user says of it.

    Returns
    -------
    dict

    Raises
    ------
    UnknownName
        If something is stated that has no place.
    """
    for given in stated:
        if given not in _STATED:
            raise UnknownName("fact", given, _STATED)
    said = {key: stated.get(key, "not stated") for key in _STATED}
    return {"kind": kind, "sample_rate": SAMPLE_RATE, **said, "made_with": provenance.versions(_MADE_WITH),
            "code_revision": provenance.code_revision()}


def _network_facts(model: Any, name: str | None, stated: Mapping[str, str]) -> dict[str, Any]:
    from nslib.train import embedding
    from nslib.train.costs import cost

    wanted = (None, TRILL.patch, TRILL.mels)
    if not isinstance(getattr(model, "output", None), dict) or model.input_shape != wanted:
        raise BadParameter(f"{getattr(model, 'name', model)} is no network of patches: it must take "
                           f"[patches, {TRILL.patch}, {TRILL.mels}] and give a dict of vectors, as those of "
                           "nslib.train.networks and nslib.train.students do.")
    size = cost(model)
    return {"name": name or model.name, "network": model.name, "weights": embedding.revision(model),
            "parameters": size.parameters, "outputs": size.outputs, "front_end": asdict(TRILL),
            "input": "samples: int16, float32 or float64, [samples] or [clips, samples]; sample_rate: int32 []",
            **common_facts("embedding", stated)}


def _converted(model: Any, quantise: str) -> bytes:
    import tensorflow as tf

    from nslib.train import export_graph

    module = export_graph.light(model)
    with tempfile.TemporaryDirectory() as folder:
        # only on this way does the converter make constants of variables
        tf.saved_model.save(module, folder, signatures={"serving_default": module.hear})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        if quantise != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


def _made() -> list[Wave]:
    """Clips with the range of speech: strong and faint bands, loud and silent moments."""
    rng = np.random.default_rng(0)
    clips = []
    for number, samples in enumerate(_TRIAL):
        t = np.arange(samples) / SAMPLE_RATE
        voice = sum(np.sin(2 * np.pi * (110 + 45 * number) * k * t) / k**2 for k in range(1, 20))
        loudness = 0.3 * np.clip(np.sin(2 * np.pi * 1.5 * t), 0, 1)
        clips.append((loudness * voice + rng.normal(0, 1e-4, samples)).astype(np.float32))
    return clips


def _error(content: bytes, model: Any, clips: Sequence[Wave]) -> dict[str, float]:
    from ai_edge_litert.interpreter import Interpreter

    run, error = Interpreter(model_content=content).get_signature_runner(), dict.fromkeys(sorted(model.output), 0.0)
    for clip in clips:
        found, true = run(samples=clip), model(patches(log_mel(pad(clip, TRILL), TRILL), TRILL), training=False)
        error = {tap: max(so_far, _apart(found[tap], np.asarray(true[tap]))) for tap, so_far in error.items()}
    return error


def _apart(found: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    away = np.linalg.norm(found - true, axis=1) / np.maximum(np.linalg.norm(true, axis=1), 1e-12)
    return float(away.max())
