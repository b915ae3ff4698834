"""Hand clips over to a model in a file.

Conventions
-----------
Clips are brought to the model's rate, range and type, and handed over in batches or one by one, whole
or in windows; what comes out is brought to ``[clips, frames, dim]``.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from nslib.audio import RATES
from nslib.embeddings import custom, patches
from nslib.embeddings.base import SAMPLE_RATE, Embedding, EmbedFunction, FloatArray
from nslib.embeddings.files.common import Array, Model, digest
from nslib.errors import BadParameter


@dataclass(frozen=True)
class Options:
    """How a model in a file is used; options of all loaders.

    Attributes
    ----------
    sample_rate : int
        Hz that the model expects. Clips are brought from 16000 Hz to it by soxr HQ. A model does not
        tell its rate, so a wrong one is not noticed.
    full_scale : float, optional
        What the model calls full scale. Default: 1.0 for floating point; 32767 for integers, which are
        rounded, and saturate (with a warning) where a sample is beyond full scale.
    fixed : {"window"}, optional
        Run the model over windows of a fixed length, one vector a window: of the length that the model
        takes, else of `window` seconds. Only whole windows are used.
    one_by_one : bool
        Call the model for one clip at a time, although it takes batches: for a model that mixes clips,
        or that puts the frames of all clips on one axis.
    window, hop : float
        Seconds that a frame sees, and between frames; 0 if there is one vector a clip. With
        ``fixed="window"``, `hop` is the step between windows (default: side by side), in whole samples.
    min_samples, pad
        As in `nslib.embeddings.from_callable`; at least one window.
    parameters, licence, source, trained_on, citation
        For the report. The default of `source` is the file's name.
    """

    sample_rate: int = SAMPLE_RATE
    full_scale: float | None = None
    fixed: str | None = None
    one_by_one: bool = False
    window: float = 0.0
    hop: float = 0.0
    min_samples: int = 1_600
    pad: str = "end"
    parameters: int = 0
    licence: str = "not stated"
    source: str = ""
    trained_on: str = "not stated"
    citation: str = ""


def embedding(model: Model, name: str | None, options: Options) -> Embedding:
    """Make an embedding of an open model.

    Parameters
    ----------
    model : Model
    name : str or None
        None for the file's name.
    options : Options

    Returns
    -------
    Embedding

    Raises
    ------
    BadParameter
        If the options do not fit the model, or a trial call fails.
    """
    path = model.path.resolve()
    name = name or (path.name if path.is_dir() else path.stem)
    _check(model, options)
    length = None
    if model.length or options.fixed:
        length, options = _windows(model, options)
    function, together = _windowed(model, options, length) if length else _whole(model, options, name)
    facts = {k: v for k, v in asdict(options).items() if k not in _HANDLING}
    facts["source"] = options.source or path.name
    return custom.build(function, name, _revision(model, options, length), together=together, **facts)


_HANDLING = ("sample_rate", "full_scale", "fixed", "one_by_one")


def _revision(model: Model, options: Options, length: int | None) -> str:
    single = len(model.files) == 1  # a file may be renamed, the files of a folder may not
    root = model.path if model.path.is_dir() else model.path.parent
    content = digest(model.files, model.files[0]) if single else digest(model.files, root)
    fed = [model.samples.dtype, len(model.samples.shape or ())]
    made_of = [content, *model.chosen, *fed, options.sample_rate, options.full_scale, length]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def _check(model: Model, options: Options) -> None:
    if not RATES[0] <= options.sample_rate <= RATES[1]:
        raise BadParameter(f"sample_rate is {options.sample_rate}; allowed: {RATES[0]} to {RATES[1]} Hz.")
    if options.fixed not in (None, "window"):
        raise BadParameter(f"fixed is {options.fixed!r}; allowed: None or 'window'.")
    if options.full_scale is not None and not options.full_scale > 0:
        raise BadParameter(f"full_scale is {options.full_scale}; give a number above 0, as 1.0 or 32767.")
    clips = model.axes[0] if len(model.axes) == 2 else 1
    if clips not in (None, 1):
        raise BadParameter(f"{model.path.name} takes {clips} clips at a time, no more and no fewer "
                           f"({model.samples}); export it for one clip or for any number.")
    if model.length and not options.fixed:
        seconds = model.length / options.sample_rate
        raise BadParameter(f"{model.path.name} takes {model.length} samples ({seconds:.4g} s) and no other length. "
                           "Give fixed='window' to run it over windows of that length, with hop= (seconds from one "
                           "window to the next; default: side by side), or export it for any length.")


def _windows(model: Model, options: Options) -> tuple[int, Options]:
    """Samples of a window, at the model's rate, and the options with what follows from them."""
    rate = options.sample_rate
    length = model.length or round(options.window * rate)
    if length < 1:
        raise BadParameter(f"{model.path.name} takes clips of any length; for fixed='window' give window= in seconds.")
    if options.window and round(options.window * rate) != length:
        raise BadParameter(f"window is {options.window} s, but {model.path.name} takes {length} samples, which are "
                           f"{length / rate:.6g} s at {rate} Hz. Leave window out, or correct sample_rate.")
    step = round(options.hop * rate) if options.hop else length
    if step < 1:
        raise BadParameter(f"hop is {options.hop} s; give at least one sample, or 0 for windows side by side.")
    shortest = max(options.min_samples, -(-length * SAMPLE_RATE // rate))
    return length, replace(options, window=length / rate, hop=step / rate, min_samples=shortest)


def _whole(model: Model, options: Options, name: str) -> tuple[custom.Function, EmbedFunction | None]:
    def function(waves: FloatArray) -> Array:
        resampled = np.stack([_resampled(wave, options.sample_rate) for wave in waves])
        return _frames(model, options, _typed(resampled, options, model))

    alone = options.one_by_one or not model.batches
    return function, custom.one_by_one(function, name) if alone else None


def _windowed(model: Model, options: Options, length: int) -> tuple[custom.Function, EmbedFunction]:
    together = patches.embedder(_cutter(options, length), _network(model, options, length))

    def function(waves: FloatArray) -> Array:
        return together(waves, np.full(len(waves), waves.shape[1]))[0]

    return function, together


def _cutter(options: Options, length: int) -> Callable[[FloatArray], Array]:
    step = round(options.hop * options.sample_rate)

    def cut(wave: FloatArray) -> Array:
        samples = _resampled(wave, options.sample_rate)
        if len(samples) < length:
            raise BadParameter(f"a clip of {len(wave)} samples is shorter than a window of {options.window:.4g} s; "
                               "nslib.extract pads such clips.")
        return np.lib.stride_tricks.sliding_window_view(samples, length)[::step]

    return cut


def _network(model: Model, options: Options, length: int) -> patches.Network:
    def network(windows: Array) -> Array:
        found = _frames(model, options, _typed(windows, options, model))
        if found.ndim > 3 or (found.ndim == 3 and found.shape[1] != 1):
            count = " x ".join(map(str, found.shape[1:-1]))
            raise BadParameter(f"{model.path.name} gives {count} vectors for a window of {length} samples; "
                               "fixed='window' needs one. Give a shorter window, or average inside the model.")
        return found.reshape(len(found), -1)

    return network


def _resampled(wave: FloatArray, rate: int) -> FloatArray:
    if rate == SAMPLE_RATE:
        return wave
    import soxr

    return np.asarray(soxr.resample(wave, SAMPLE_RATE, rate, quality="HQ"), np.float32)


def _typed(samples: Array, options: Options, model: Model) -> Array:
    dtype = np.dtype(model.samples.dtype)
    scale = options.full_scale or (32_767.0 if dtype.kind in "iu" else 1.0)
    # a float64 factor would make float32 samples float64, and the model's own type may be float64
    scaled = samples if scale == 1.0 else samples.astype(np.float64) * scale
    if dtype.kind not in "iu":
        return np.ascontiguousarray(scaled, dtype)
    top = min(max(scale, 32_767), np.iinfo(dtype).max)
    beyond = int((np.abs(scaled) > top + 1).sum())
    if beyond:
        warnings.warn(f"{model.path.name} takes integers: {beyond} of {samples.size} samples are beyond full scale "
                      "and saturate.", stacklevel=2)
    return np.rint(scaled).clip(-top - 1, top).astype(dtype)


def _frames(model: Model, options: Options, samples: Array) -> Array:
    """Samples [clips, samples] to [clips, dim] or [clips, frames, dim]."""
    if options.one_by_one or not model.batches:
        alone = (model.run(_shaped(model, row[None])) for row in samples)
        return np.stack([_without_ones(found, 0, 2) for found in alone])
    found = model.run(_shaped(model, samples))
    if found.ndim < 2 or len(found) != len(samples):
        raise BadParameter(f"{model.path.name} was called with {len(samples)} clip(s) and gave shape "
                           f"{list(found.shape)}, which is not one row a clip. If it puts the frames of all clips on "
                           "one axis, or takes one clip only, give one_by_one=True.")
    return _without_ones(found, 1, 3)


def _shaped(model: Model, samples: Array) -> Array:
    shape = model.samples.shape or ()
    if len(shape) == 1:
        return samples[0]
    if len(shape) == 2:
        return samples
    return samples[:, None] if shape[1] == 1 else samples[..., None]


def _without_ones(found: Array, first: int, rank: int) -> Array:
    """Drop axes of size 1 from axis `first` on, but for the last axis, until there are `rank` axes."""
    while found.ndim > rank and 1 in found.shape[first:-1]:
        found = found.squeeze(first + found.shape[first:-1].index(1))
    return found
