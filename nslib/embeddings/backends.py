"""Other ways to compute a network on patches: LiteRT (TensorFlow Lite) files, and what each way costs and saves.

``float32`` has the weights as they are; ``dynamic`` has them in 8 bits, and brings activations to 8 bits as they come;
``int8`` has both in 8 bits, by the ranges that real patches had when it was converted (what lies outside is cut off),
with float32 input and output. All are post-training. A file takes one patch at a time, as a device would, so a patch
has the same bits in whatever company it comes.

In the comparison all backends are given the same sounds, silence and noise at full scale among them; the voices are not
those that set the ranges. Recordings can be stranger: where a network in 8 bits matters, compare it on clips of your
own too. Errors are of frames, cosines of means over frames.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray
from nslib.embeddings.networks import EMBEDDING_TAP
from nslib.embeddings.runtime import Network, PatchNetwork, count_threads, freeze_graph, share_workers
from nslib.errors import BadParameter, Unavailable, refuse_unknown
from nslib.frontend import TRILL

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMS", "convert_network", "format_backends", "freeze_patch", "open_network", "take_embedding"]

FORMS = ("float32", "dynamic", "int8")
BACKEND_FORMS = {"litert": "float32", "litert-dynamic": "dynamic", "litert-int8": "int8"}

CALIBRATION = 32
CLIPS, FIRST_SEED = 16, 1_000
COLUMNS = ("backend", "available", "time_ratio", "ms_per_patch", "largest_error", "cosine", "least_cosine", "note")

Patches = npt.NDArray[Any]


def freeze_patch(model: Any, shape: Sequence[int] = (TRILL.patch, TRILL.mels)) -> Any:
    """Freeze the graph of a keras.Model for one patch, float32 [1, *shape] to [1, dim]; it may give a dict of taps."""
    return freeze_graph(lambda log_mel: take_embedding(model(log_mel, training=False)), [1, *shape])


def convert_network(model: Any, form: str = "float32", patches: Patches | None = None, *,
                    shape: Sequence[int] = (TRILL.patch, TRILL.mels)) -> bytes:
    """Convert a keras.Model, or what `freeze_patch` gave, to the content of a ``.tflite`` file of one patch.

    A model takes float32 [patches, *shape] to a tensor, or to a dict with ``embedding``; the file takes [1, *shape] to
    [1, dim] float32. "int8" needs `patches`, float32 [patches, *shape]: log-mel of real audio, some hundred are enough.
    UnknownName or BadParameter for what cannot be.
    """
    import tensorflow as tf

    refuse_unknown("form of a LiteRT file", form, FORMS)
    known = np.empty((0, *shape)) if patches is None else patches
    if form == "int8" and not len(known):
        raise BadParameter("int8 is set by the ranges of real patches; give patches=, some hundred of them.")
    with _quiet_output(), warnings.catch_warnings():
        # frozen before: ranges cannot be found in a graph that still reads variables
        graph = model if isinstance(model, tf.types.experimental.ConcreteFunction) else freeze_patch(model, shape)
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")  # they are float on purpose
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
        if form != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if form == "int8":
            converter.representative_dataset = lambda: ([patch[None].astype(np.float32)] for patch in known)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return bytes(converter.convert())


def take_embedding(outputs: Any) -> Any:
    """Return the embedding of a network's outputs, a dict or the one tensor."""
    return outputs[EMBEDDING_TAP] if isinstance(outputs, dict) else outputs


@contextmanager
def _quiet_output() -> Iterator[None]:
    """Keep what converter and interpreter print from the user: some of it goes past Python's streams."""
    level, before = logging.root.manager.disable, os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            logging.disable(level)


def open_interpreter(content: bytes, threads: int, what: str, *, keep: bool = False) -> Any:
    """Open a file in LiteRT, which may `keep` inner tensors; Unavailable, or BadParameter that begins `what`."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable("ai_edge_litert", str(error), "Run make setup.") from error
    try:
        with _quiet_output(), warnings.catch_warnings(action="ignore"):
            return Interpreter(model_content=content, num_threads=threads, experimental_preserve_all_tensors=keep)
    except (ValueError, RuntimeError) as error:
        raise BadParameter(f"{what}: {error}") from error


def open_network(content: bytes) -> Callable[[Patches], Patches]:
    """Open what `convert_network` gave, or raise: float32 [patches, *shape] to [patches, dim], a call at a time."""
    interpreter = open_interpreter(content, 1, "this is no LiteRT file")
    with _quiet_output():
        interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(patch: Patches) -> Patches:
        interpreter.set_tensor(given, patch[None].astype(np.float32))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(made)[0])

    return lambda patches: np.stack([run(patch) for patch in patches])


def open_litert(network: PatchNetwork, backend: str, key: str) -> Network:
    """Convert a network, "int8" by the ranges of made sounds, or find it in the cache by a key; open it for threads."""
    stem, folder, content = _hash(key.encode()), config.cache_dir("litert"), b""
    for path in folder.glob(f"{stem}-*.tflite"):
        content = path.read_bytes()
        if path.stem != f"{stem}-{_hash(content)}":  # damaged
            path.unlink(missing_ok=True)
            content = b""
    if not content:
        form, made = BACKEND_FORMS[backend], None
        if form == "int8":
            made = np.concatenate([network.cut(wave[None])[0] for wave in make_extreme_sounds(CALIBRATION)])
        try:
            content = convert_network(lambda patch, training: network.function(patch), form, made, shape=network.shape)
        except Exception as error:  # the converter raises whatever its parts raise
            why = f"its converter failed: {type(error).__name__}: {str(error).strip()[:200]}"
            raise Unavailable(f"LiteRT in the form {form}", why, "Use another backend.") from error
        config.write_file(folder / f"{stem}-{_hash(content)}.tflite", content)
    # an interpreter's own threads, which wait spinning, would take the processors from the front end
    interpreters = [open_network(content) for _ in range(count_threads())]
    run = share_workers(interpreters)

    def call(patches: Patches) -> Patches:
        parts = np.array_split(patches, min(len(interpreters), len(patches)))
        with ThreadPoolExecutor(len(parts)) as pool:
            return np.concatenate(list(pool.map(run, parts)))

    return call


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def measure_backends(loaded: Mapping[str, Embedding], notes: Mapping[str, str], rounds: int) -> pd.DataFrame:
    """Measure the backends that have `notes`, the first of which is right; those not `loaded` are not available."""
    import pandas as pd

    first = next(iter(notes))
    waves = np.stack(make_extreme_sounds(CLIPS, FIRST_SEED))
    lengths = np.full(len(waves), waves.shape[1], np.int64)
    frames = {name: [row[:count] for row, count in zip(*one.embed(waves, lengths), strict=True)]
              for name, one in loaded.items()}
    seconds = {name: np.zeros(rounds) for name in loaded}
    # in turns, and ratios are taken within a round, so that a busy machine hits all alike
    for turn in range(rounds):
        for name, one in loaded.items():
            began = time.perf_counter()
            one.embed(waves, lengths)
            seconds[name][turn] = time.perf_counter() - began
    right = frames[first]
    patches, largest = sum(map(len, right)), max(float(np.abs(row).max()) for row in right)
    rows: list[dict[str, Any]] = [{"backend": name, "available": name in loaded, "note": note}
                                  for name, note in notes.items()]
    for row in rows:
        if row["available"]:
            took, made = seconds[row["backend"]], frames[row["backend"]]
            cosines = [_compute_cosine(a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64))
                       for a, b in zip(made, right, strict=True)]
            row |= {"time_ratio": float(np.median(took / seconds[first])),
                    "ms_per_patch": 1000 * float(np.median(took)) / patches,
                    "largest_error": max(float(np.abs(a - b).max()) for a, b in zip(made, right, strict=True))
                    / max(largest, 1e-30),
                    "cosine": float(np.median(cosines)), "least_cosine": min(cosines)}
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compute_cosine(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Compute the cosine of two vectors; where one is zero, 1 if both are."""
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return min(1.0, float(one @ other / norms)) if norms > 0 else float(np.array_equal(one, other))


def format_backends(table: pd.DataFrame) -> str:
    """Write the table of `nslib.embeddings.compare_backends` for a terminal."""
    lines = [f"{'backend':<16}{'time':>7}{'ms/patch':>10}{'error':>10}{'cosine':>10}{'least':>10}  note"]
    for row in table.itertuples():
        figures = (f"{row.time_ratio:>7.2f}{row.ms_per_patch:>10.2f}{row.largest_error:>10.1e}"
                   f"{row.cosine:>10.5f}{row.least_cosine:>10.5f}")
        lines.append(f"{row.backend:<16}{figures if row.available else ''}  {row.note}".rstrip())
    return "\n".join(lines)


# ---- sounds ------------------------------------------------------------------------------------------
#
# They set the ranges of networks in 8 bits, and measure what a backend costs in accuracy. They have the make-up of
# speech (pitch, formants, fricatives, pauses, loudness and background, not words), are made by rule, the same on every
# machine and free of anybody's rights. A source of pulses at a gliding pitch goes through resonators at the formants of
# ten English vowels (men's means of Peterson and Barney, JASA 1952; women's voices have formants 1.17 times as high);
# fricatives are high-passed noise. Peak level -30 to 0 dBFS, background noise 20 to 60 dB below the voice. As
# recordings are: one sound in four has no noise, so that its pauses are digital silence, and one in four is overdriven
# and clipped.

SOUNDS_VERSION = 1
"""Raised when a sound changes: networks in 8 bits are then others."""

# Hz, of the first three formants
_VOWELS = ((270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410), (730, 1090, 2440),
           (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390), (490, 1350, 1690))
_BANDWIDTHS = (60, 90, 150)


def make_sound(seed: int) -> FloatArray:
    """Make 3 s like speech, float32 [samples]; the seed decides voice, pitch, vowels, pauses, level, background."""
    rng, samples = np.random.default_rng(seed), 3 * SAMPLE_RATE
    high = bool(rng.integers(2))
    pieces: list[npt.NDArray[np.float64]] = []
    while sum(map(len, pieces)) < samples:
        pieces.append(_make_piece(rng, high))
    voice = np.concatenate(pieces)[:samples]
    noise = rng.normal(0, 1, samples) * np.abs(voice).max() * 10 ** (-rng.uniform(20, 60) / 20) / 3
    mixed = voice + noise * (seed % 4 != 1)
    level = 10 ** (rng.uniform(3, 15) / 20) if seed % 4 == 2 else 10 ** (-rng.uniform(0, 30) / 20)
    return np.clip(mixed / np.abs(mixed).max() * level, -1, 1).astype(np.float32)


def make_extreme_sounds(count: int, first: int = 0) -> list[FloatArray]:
    """Make sounds of 3 s, of seeds from `first` on, then digital silence, a sound that ends in it, and loud noise."""
    sounds, last = [make_sound(seed) for seed in range(first, first + count)], make_sound(first + count)
    last[len(last) // 2:] = 0
    noise = np.random.default_rng(first).uniform(-1, 1, len(last)).astype(np.float32)
    return [*sounds, np.zeros_like(last), last, noise]


def _make_piece(rng: np.random.Generator, high: bool) -> npt.NDArray[np.float64]:
    """Make a vowel, a fricative or a pause of 60 to 300 ms; sounds fade in and out."""
    import scipy.signal

    length = round(rng.uniform(0.06, 0.3) * SAMPLE_RATE)
    kind = rng.choice(3, p=(0.65, 0.2, 0.15))
    if kind == 2:
        return np.zeros(length)
    if kind == 0:
        sound = _make_vowel(rng, length, high)
    else:  # a fricative is noise above 1.5 to 5 kHz
        filters = scipy.signal.butter(4, rng.uniform(1500, 5000) / (SAMPLE_RATE / 2), "high", output="sos")
        sound = 0.15 * _scale_to_one(scipy.signal.sosfilt(filters, rng.normal(0, 1, length)))
    ramp = np.minimum(1.0, np.arange(length) / (0.01 * SAMPLE_RATE))
    return sound * ramp * ramp[::-1]


def _make_vowel(rng: np.random.Generator, length: int, high: bool) -> npt.NDArray[np.float64]:
    """Make a vowel of a low or a high voice."""
    import scipy.signal

    start = rng.uniform(160, 260) if high else rng.uniform(80, 150)
    pitch = np.linspace(start, start * rng.uniform(0.8, 1.2), length)
    turns = np.cumsum(pitch) / SAMPLE_RATE
    # a pulse where a turn is completed, softened as the glottis softens it, with a little breath
    sound = np.diff(np.floor(turns), prepend=0.0) + rng.normal(0, 0.01, length)
    sound = scipy.signal.lfilter([1.0], [1.0, -0.9], sound)
    for formant, width in zip(_VOWELS[rng.integers(len(_VOWELS))], _BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        angle = 2 * np.pi * formant * (1.17 if high else 1.0) / SAMPLE_RATE
        poles = [1.0, -2 * radius * np.cos(angle), radius**2]
        sound = scipy.signal.lfilter([sum(poles)], poles, sound)
    return _scale_to_one(sound)


def _scale_to_one(sound: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring the peak to 1."""
    return np.asarray(sound / max(np.abs(sound).max(), 1e-9))
