"""Your own weights as an embedding: a SavedModel, a TFLite or an ONNX file.

>>> from nslib import embeddings
>>> mine = embeddings.from_file("my_model.onnx")                       # doctest: +SKIP
>>> print(embeddings.check(mine))                                      # doctest: +SKIP

Nothing is tried out until it works. What a model offers is read from the file; what is left open is asked for, in an
error that lists the choices. Where the choice is only how the same sound is handed over, there is a rule: a batch
before a single clip, float32 before other types. Clips are brought to the model's rate, range and type, and handed over
in batches or one by one, whole or in windows; what comes out is brought to ``[clips, frames, dim]``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from nslib import audio, config
from nslib.audio import RATES, resample
from nslib.embeddings.backends import open_interpreter
from nslib.embeddings.base import SAMPLE_RATE, Embedding, EmbedFunction, FloatArray
from nslib.embeddings.custom import embed_one_by_one, wrap_function
from nslib.embeddings.pretrained import open_onnx
from nslib.embeddings.runtime import count_threads, each_clip, make_embedder
from nslib.errors import BadParameter, NslibError, UnknownName, refuse_unknown

__all__ = ["choose", "from_file", "from_saved_model", "parse_options"]

Array = npt.NDArray[Any]

DTYPES = ("float32", "float64", "float16", "int16", "int32", "int64")
"""Types that samples can have, the best first."""

# a rate that goes with the samples is told by its name; other names need rate_argument=True
_RATE_NAMES = ("sr", "fs")


@dataclass(frozen=True)
class Options:
    """How a model in a file is used; see `from_file`."""

    key: str | int | None = None
    tensor: str | None = None
    rate_argument: bool | None = None
    signature: str | None = None
    sample_rate: int = SAMPLE_RATE
    full_scale: float | None = None
    fixed: str | None = None
    one_by_one: bool = False
    window: float = 0.0
    hop: float = 0.0
    min_samples: int | None = None
    pad: str = "end"
    parameters: int = 0
    licence: str = "not stated"
    source: str = ""
    trained_on: str = "not stated"
    citation: str = ""
    overlap: str = ""


# ---- any file ----------------------------------------------------------------------------------------

def from_file(path: str | Path, name: str | None = None, **options: Any) -> Embedding:
    """Make an embedding of a model, whatever its kind.

    Parameters
    ----------
    path : path-like
        Folder of a SavedModel (hub-style callable, Keras export or any signature), TFLite file or ONNX file; weights
        of an ONNX file that are in files of their own must lie beside it.
    name : str, optional
        As shown in tables (default: the name of the folder or file).
    **options
        How the model is used:
        - sample_rate : int; Hz that it expects (default 16000). Clips are brought to it by soxr HQ. A model does not
          tell its rate, so a wrong one is not noticed.
        - full_scale : float; what it calls full scale. Default: 1.0 for floating point; 32767 for integers, which are
          rounded, and saturate (with a warning) where a sample is beyond full scale.
        - fixed : "window"; run it over windows of a fixed length, one vector a window: of the length that it takes,
          else of `window` seconds. Only whole windows are used. A model that takes one length only needs this.
        - one_by_one : bool; call it for one clip at a time, although it takes batches: for a model that mixes clips, or
          that puts the frames of all clips on one axis.
        - window, hop : float; seconds that a frame sees, and between frames; 0 if there is one vector a clip. With
          ``fixed="window"``, `hop` is the step between windows (default: side by side), in whole samples.
        - min_samples, pad; as in `nslib.embeddings.from_callable`; default: one window, and at least 1600.
        - parameters, licence, source (default: the file's name), trained_on, overlap, citation; for the report.
        What the file leaves open:
        - key : str or int; which output: its key or place, in a TFLite file its name too. Needed if there are several.
        - tensor : str (TFLite); name of a tensor inside the file that is taken in place of an output, as the 1,024
          numbers of YAMNet in its published files, which give scores only.
        - rate_argument : bool; whether the model is told the sample rate. Default: if it has an input for it by name.
        - signature : str (SavedModel, TFLite); needed if there are several, but for a SavedModel that can be called
          itself, as hub modules and Keras models can. (Keras writes its one signature under two names, ``serve`` and
          ``serving_default``; these count as one.)

    Returns
    -------
    Embedding
        The input is made as long as each clip, and as large as the batch, where the model allows it. Quantised inputs
        and outputs of TFLite files are converted by the scale and zero point in the file. The revision is the hash of
        the files that the vectors depend on, and of the choices made.

    Raises
    ------
    BadParameter
        If it is no model, if something is left open (the error lists what there is), or if a trial call fails.
    UnknownName
        For an option, output or signature that is not there.
    Unavailable
        If LiteRT or onnxruntime is not there.

    Examples
    --------
    >>> from_file("trill/", key="layer19")                               # doctest: +SKIP
    >>> from_file("model.tflite", fixed="window", hop=0.48)              # doctest: +SKIP
    """
    path = Path(path)
    return _make_embedding(_find_kind(path), path, name, options)


def from_saved_model(path: str | Path, name: str | None = None, **options: Any) -> Embedding:
    """Make an embedding of a SavedModel, whose folder has ``saved_model.pb``; all else is as of `from_file`."""
    return _make_embedding("SavedModel", Path(path), name, options)


def _find_kind(path: Path) -> str:
    """Return "SavedModel" (with ``saved_model.pb``), "TFLite" (by its mark) or "ONNX" (``*.onnx``)."""
    suffix = path.suffix.lower()
    for part in filter(Path.is_file, (path, *path.glob("saved_model.pb*"), *path.glob("variables/*"))):
        audio.refuse_stand_in(part)
    if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
        return "SavedModel"
    if path.is_file() and suffix == ".onnx":
        return "ONNX"
    if path.is_file():
        with path.open("rb") as file:
            if file.read(8)[4:] == b"TFL3":
                return "TFLite"
    why = next(words for applies, words in (
        (not path.exists(), "does not exist"),
        (suffix in (".keras", ".h5", ".hdf5"), f"is a Keras file; name it keras:{path}, or write a SavedModel with "
                                           "model.export(folder)"),
        (suffix == ".py", f"is Python code; name its function: {path.name}:function"),
        ((path / "tfhub_module.pb").exists(), "is a module of TensorFlow 1, which is called differently"),
        (suffix in (".gz", ".tgz", ".zip", ".tar"), "is an archive; unpack it first"),
        (path.is_dir(), "holds no saved_model.pb"), (True, "is no model that is understood")) if applies)
    raise BadParameter(f"{path} {why}. Give the folder of a SavedModel, a .tflite or a .onnx file, or a function to "
                       "nslib.embeddings.from_callable. Vectors are read of .parquet, .csv, .tsv, .npz and .npy.")


def parse_options(given: str | Path) -> tuple[str, dict[str, Any]]:
    """Split what a shell gives, ``name?option=value&option=value``; values are numbers, true, false, or else text."""
    path, _, text = str(given).partition("?")
    options: dict[str, Any] = {key: {"true": True, "false": False}.get(value.lower(), value)
                               for key, value in parse_qsl(text)}
    for key, value in options.items():
        for kind in (int, float) if isinstance(value, str) else ():
            with contextlib.suppress(ValueError):
                options[key] = kind(value)
                break
    return path, options


# ---- what a file offers, and choosing from it --------------------------------------------------------

@dataclass(frozen=True)
class Tensor:
    """What a file says of an input or output: NumPy's name of its type, and its shape."""

    dtype: str
    shape: tuple[int | None, ...] | None  # a size that is not fixed is None; so is, as a whole, a shape not known

    def __str__(self) -> str:
        sizes = "of any shape" if self.shape is None else [n or "any" for n in self.shape]
        return f"{self.dtype} {sizes}".replace("'", "")


Tensors = Mapping[str, Tensor]


class _Opened(NamedTuple):
    """A model that is open: the files that its vectors depend on, and what its function takes and gives, by name."""

    files: tuple[Path, ...]
    function: str
    inputs: Tensors
    outputs: Mapping[str, Any]
    call: Callable[[dict[str, Array], str], Any]
    key: str | int | None  # of the output that was asked for, if one was


def choose(what: str, parameter: str, given: Any, offered: Mapping[str, Any], path: Path) -> str:
    """Take what was asked for, or the only one there is."""
    if given is not None and str(given) not in offered:
        raise UnknownName(f"{what} of {path.name}", given, offered)
    if given is not None:
        return str(given)
    if len(offered) == 1:
        return next(iter(offered))
    raise BadParameter(f"{path.name} has {len(offered)} {what}s; give {parameter}= one of: {_list(offered)}.")


def _find_inputs(offered: Tensors, rate_argument: bool | None, path: Path) -> tuple[str, str | None]:
    """Tell the samples from the sample rate: names of both, None for a model that is not told the rate."""
    scalars = [n for n, t in offered.items() if t.shape in ((), (1,)) and len(offered) > 1 and t.dtype != "bool"]
    named = [n for n in scalars if "rate" in n.lower() or n.lower() in _RATE_NAMES]
    rates = scalars if rate_argument else named if rate_argument is None else []
    rest = [n for n in offered if n not in rates]
    if len(rest) != 1 or len(rates) > 1 or (rate_argument and not rates):
        raise BadParameter(f"{path.name} takes {_list(offered)}. Needed are the samples and nothing else, or the "
                           "samples and a sample rate (rate_argument=True if it has another name).")
    shape, dtype = offered[rest[0]].shape, offered[rest[0]].dtype
    waves = shape is not None and (len(shape) in (1, 2) or (len(shape) == 3 and 1 in shape[1:]))
    if not waves or dtype not in DTYPES:
        raise BadParameter(f"{path.name} takes {_list(offered)}. Samples must be [samples], [clips, samples], "
                           f"[clips, samples, 1] or [clips, 1, samples] of {', '.join(DTYPES)}; for other models "
                           "write a function and use nslib.embeddings.from_callable.")
    return rest[0], rates[0] if rates else None


def _list(offered: Mapping[str, Any]) -> str:
    """Describe named things in words."""
    return ", ".join(f"{name!r} ({thing})" for name, thing in offered.items()) or "nothing"


# ---- handing clips over ------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Model:
    """A model whose input and output are chosen: what samples it takes, and a function that runs it."""

    path: Path
    samples: Tensor
    run: Callable[[Array], Array]
    options: Options
    shape: tuple[int | None, ...]  # [samples], [clips, samples], or the latter with an axis for the channel
    clips: int | None  # how many it takes at a time, if that is fixed
    length: int | None  # how many samples it takes, if that is fixed
    one_by_one: bool  # whether it is called for one clip at a time


def _make_embedding(kind: str, path: Path, name: str | None, given: dict[str, Any]) -> Embedding:
    """Open a model, choose its input and output, and make its embedding."""
    foreign = {"ONNX": {"signature", "tensor"}, "SavedModel": {"tensor"}, "TFLite": set()}
    allowed = Options.__dataclass_fields__.keys() - foreign[kind]
    refuse_unknown(f"option of {kind} models", given, allowed)
    options = Options(**given)
    opened = {"SavedModel": _open_saved_model, "TFLite": _open_tflite, "ONNX": _open_onnx}[kind](path, options)
    samples, rate = _find_inputs(opened.inputs, options.rate_argument, path)
    output = choose("output", "key", opened.key, opened.outputs, path)

    def run(waves: Array) -> Array:
        feeds = {samples: waves}
        if rate:
            tensor = opened.inputs[rate]
            feeds[rate] = np.full([1] * len(tensor.shape or ()), options.sample_rate, tensor.dtype)
        return np.asarray(opened.call(feeds, output))

    shape = opened.inputs[samples].shape or ()
    *clips, length = shape if len(shape) < 3 else (shape[0], shape[2] if shape[1] == 1 else shape[1])
    one_by_one = options.one_by_one or clips != [None]
    # a length of 1 says that nobody fixed it
    model = _Model(path, opened.inputs[samples], run, options, shape, clips[0] if clips else 1,
                   None if length == 1 else length, one_by_one)
    name = name or (path.resolve().name if path.is_dir() else path.resolve().stem)
    _check_options(model)
    shortest = max(1_600, -(-round(options.window * options.sample_rate) * SAMPLE_RATE // options.sample_rate))
    shortest = shortest if options.min_samples is None else options.min_samples
    window, together, settled = None, None, replace(options, min_samples=shortest)
    if model.length or options.fixed:
        window, settled = _plan_windows(model)
        together = embed_windows = _embed_windows(replace(model, options=settled), window)

        def function(waves: FloatArray) -> Array:
            return embed_windows(waves, np.full(len(waves), waves.shape[1]))[0]
    else:

        def function(waves: FloatArray) -> Array:
            return _call_model(model, np.stack([resample(wave, SAMPLE_RATE, options.sample_rate) for wave in waves]))

        if model.one_by_one:
            together = embed_one_by_one(function, name)
    # a file may be renamed, the files of a folder may not
    root, content = path if path.is_dir() else path.parent, hashlib.sha256()
    for file in sorted(opened.files):
        called = "." if len(opened.files) == 1 else file.relative_to(root).as_posix()
        content.update(f"{called} {config.hash_file(file)}\n".encode())
    made_of = [content.hexdigest(), kind, opened.function, output, rate, model.samples.dtype,
               len(model.shape), options.sample_rate, options.full_scale, window]
    revision = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
    facts = {k: v for k, v in vars(settled).items() if k in Embedding.__dataclass_fields__}
    facts["source"] = options.source or path.resolve().name
    return wrap_function(function, name, revision, together=together, **facts)


def _check_options(model: _Model) -> None:
    """Raise BadParameter for options that cannot be, or that the model does not bear."""
    options = model.options
    if not RATES[0] <= options.sample_rate <= RATES[1]:
        raise BadParameter(f"sample_rate is {options.sample_rate}; allowed: {RATES[0]} to {RATES[1]} Hz.")
    if options.fixed not in (None, "window"):
        raise BadParameter(f"fixed is {options.fixed!r}; allowed: None or 'window'.")
    if options.full_scale is not None and not options.full_scale > 0:
        raise BadParameter(f"full_scale is {options.full_scale}; give a number above 0, as 1.0 or 32767.")
    if model.clips not in (None, 1):
        raise BadParameter(f"{model.path.name} takes {model.clips} clips at a time, no more and no fewer "
                           f"({model.samples}); export it for one clip or for any number.")
    if model.length and not options.fixed:
        seconds = model.length / options.sample_rate
        raise BadParameter(f"{model.path.name} takes {model.length} samples ({seconds:.4g} s) and no other length. "
                           "Give fixed='window' to run it over windows of that length, with hop= (seconds from one "
                           "window to the next; default: side by side), or export it for any length.")


def _plan_windows(model: _Model) -> tuple[int, Options]:
    """Return the samples of a window, at the model's rate, and the options with what follows from them."""
    options, rate = model.options, model.options.sample_rate
    length = model.length or round(options.window * rate)
    if length < 1:
        raise BadParameter(f"{model.path.name} takes clips of any length; for fixed='window' give window= in seconds.")
    if options.window and round(options.window * rate) != length:
        raise BadParameter(f"window is {options.window} s, but {model.path.name} takes {length} samples, which are "
                           f"{length / rate:.6g} s at {rate} Hz. Leave window out, or correct sample_rate.")
    step = round(options.hop * rate) if options.hop else length
    if step < 1:
        raise BadParameter(f"hop is {options.hop} s; give at least one sample, or 0 for windows side by side.")
    shortest = max(options.min_samples or 1_600, -(-length * SAMPLE_RATE // rate))
    return length, replace(options, window=length / rate, hop=step / rate, min_samples=shortest)


def _embed_windows(model: _Model, length: int) -> EmbedFunction:
    """Make an embed function of windows of so many samples at the model's rate, one vector each."""
    options = model.options
    step = round(options.hop * options.sample_rate)

    def cut(wave: FloatArray) -> Array:
        samples = resample(wave, SAMPLE_RATE, options.sample_rate)
        if len(samples) < length:
            raise BadParameter(f"a clip of {len(wave)} samples is shorter than a window of {options.window:.4g} s; "
                               "nslib.extraction pads such clips.")
        return np.lib.stride_tricks.sliding_window_view(samples, length)[::step]

    def network(windows: Array) -> Array:
        vectors = _call_model(model, windows)
        if vectors.ndim > 3 or (vectors.ndim == 3 and vectors.shape[1] != 1):
            count = " x ".join(map(str, vectors.shape[1:-1]))
            raise BadParameter(f"{model.path.name} gives {count} vectors for a window of {length} samples; "
                               "fixed='window' needs one. Give a shorter window, or average inside the model.")
        return vectors.reshape(len(vectors), -1)

    return make_embedder(each_clip(cut), network)


def _convert_samples(model: _Model, samples: Array) -> Array:
    """Bring samples to the model's range and type."""
    dtype = np.dtype(model.samples.dtype)
    scale = model.options.full_scale or (32_767.0 if dtype.kind in "iu" else 1.0)
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


def _call_model(model: _Model, samples: Array) -> Array:
    """Call a model with [clips, samples] at its rate: [clips, dim] or [clips, frames, dim]."""
    samples = _convert_samples(model, samples)
    if model.one_by_one:
        rows = (model.run(_shape_samples(model, row[None])) for row in samples)
        return np.stack([_drop_axes(row, 0, 2) for row in rows])
    output = model.run(_shape_samples(model, samples))
    if output.ndim < 2 or len(output) != len(samples):
        raise BadParameter(f"{model.path.name} was called with {len(samples)} clip(s) and gave shape "
                           f"{list(output.shape)}, which is not one row a clip. If it puts the frames of all clips on "
                           "one axis, or takes one clip only, give one_by_one=True.")
    return _drop_axes(output, 1, 3)


def _shape_samples(model: _Model, samples: Array) -> Array:
    """Bring [clips, samples] to the axes that the model takes."""
    if len(model.shape) < 3:
        return samples if len(model.shape) == 2 else samples[0]
    return np.expand_dims(samples, 1 if model.shape[1] == 1 else 2)


def _drop_axes(output: Array, first: int, rank: int) -> Array:
    """Drop axes of size 1 from axis `first` on, but for the last axis, until there are `rank` axes."""
    while output.ndim > rank and 1 in output.shape[first:-1]:
        output = output.squeeze(first + output.shape[first:-1].index(1))
    return output


# ---- SavedModels -------------------------------------------------------------------------------------

def _open_saved_model(folder: Path, options: Options) -> _Opened:
    """Open a SavedModel, and choose which of its functions is called."""
    import tensorflow as tf

    try:
        loaded: Any = tf.saved_model.load(str(folder))
    except Exception as error:  # anybody's file; TensorFlow raises whatever its parts raise
        why = f"{folder} cannot be loaded as a SavedModel: {type(error).__name__}: {error}"
        raise BadParameter(f"{why} Give the folder that holds saved_model.pb, and write it again if a part of it is "
                           "missing.") from error
    label, target = options.signature, loaded
    if label is None and callable(loaded) and hasattr(loaded.__call__, "concrete_functions"):
        label, traced = "the object", _choose_call(loaded, folder, options.rate_argument)
    else:
        offered = _describe_signatures(loaded)
        if label is None and offered.keys() == {"serve", "serving_default"}:
            label = "serving_default"
        label = choose("signature", "signature", label, offered, folder)
        target = loaded.signatures[label]
        traced = _TracedCall.read(target)
    # what TensorFlow reads; a text or a picture beside it changes no vector
    parts = [*folder.glob("saved_model.pb*"), *(folder / "variables").rglob("*"), *(folder / "assets").rglob("*")]
    files = tuple(part for part in parts if part.is_file())
    return _Opened(files, label, traced.tensors, traced.outputs, traced.bind(target), options.key)


def _choose_call(loaded: Any, folder: Path, rate_argument: bool | None) -> _TracedCall:
    """Choose the best of the ways in which the object itself can be called."""
    calls = [_TracedCall.read(function) for function in loaded.__call__.concrete_functions]
    keys = [(key, k) for k, call in enumerate(calls) if (key := call.sort_key(rate_argument))]
    if not keys:
        offered = {_list(call.tensors): call.tensors for call in calls if call.tensors}
        if len(offered) == 1:  # said as of any other file
            _find_inputs(next(iter(offered.values())), rate_argument, folder)
        offers = "; ".join(offered) or "nothing that is a tensor"
        raise BadParameter(f"{folder.name} can be called with: {offers}. Asked for was rate_argument={rate_argument}, "
                           f"and samples of {', '.join(DTYPES)}. Correct it, or give signature= one of: "
                           f"{_list(_describe_signatures(loaded))}.")
    return calls[min(keys)[1]]


@dataclass(frozen=True)
class _TracedCall:
    """One traced call: values of all arguments, the places and types of those that are tensors, and its outputs."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, function: Any) -> _TracedCall:
        """Read a ConcreteFunction; an empty record if it takes nested tensors, which no waveform is."""
        import tensorflow as tf

        args, kwargs = function.structured_input_signature
        values = [*enumerate(args), *sorted(kwargs.items())]
        specs = {place: value for place, value in values if isinstance(value, tf.TensorSpec)}
        if len(tf.nest.flatten((args, kwargs))) != len(values):
            return cls()
        names = {spec.name or f"argument {place}": place for place, spec in specs.items()}
        return cls(args, kwargs, {n: (p, specs[p].dtype) for n, p in names.items()},
                   {name: _read_spec(specs[place]) for name, place in names.items()},
                   {name: _read_spec(spec) for name, spec in _name_outputs(function.structured_outputs).items()
                    if hasattr(spec, "shape")})

    def sort_key(self, rate_argument: bool | None) -> tuple[Any, ...]:
        """Prefer a batch, float32, the rate given, and not in training; empty if it does not take samples."""
        try:
            samples, rate = _find_inputs(self.tensors, rate_argument, Path())
        except BadParameter:
            return ()
        tensor = self.tensors[samples]
        training = sum(value is True for value in (*self.args, *self.kwargs.values()))
        return abs(2 - len(tensor.shape or ())), DTYPES.index(tensor.dtype), rate is None, training

    def bind(self, target: Any) -> Callable[[dict[str, Array], str], Any]:
        """Make the call of a target, the object or a signature."""
        import tensorflow as tf

        def call(feeds: dict[str, Array], output: str) -> Any:
            args, kwargs = list(self.args), dict(self.kwargs)
            for name, value in feeds.items():
                place, dtype = self.places[name]
                arguments: Any = args if isinstance(place, int) else kwargs
                arguments[place] = tf.constant(value, dtype)
            return _name_outputs(target(*args, **kwargs))[output]

        return call


def _describe_signatures(loaded: Any) -> dict[str, str]:
    """Describe each signature: what it takes and gives."""
    calls = {name: _TracedCall.read(function) for name, function in getattr(loaded, "signatures", {}).items()}
    return {name: f"{_list(call.tensors)} -> {_list(call.outputs)}" if call.tensors else "nothing that is a tensor"
            for name, call in calls.items()}


def _read_spec(spec: Any) -> Tensor:
    """Read TensorFlow's description of a tensor."""
    return Tensor(spec.dtype.name, None if spec.shape.rank is None else tuple(spec.shape.as_list()))


def _name_outputs(outputs: Any) -> dict[str, Any]:
    """Name what a call gives: keys of a dictionary, places in a tuple, "0" for a lone tensor."""
    if isinstance(outputs, dict):
        return {str(key): outputs[key] for key in sorted(outputs)}  # TensorFlow's order changes from run to run
    many = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return {str(place): value for place, value in enumerate(many)}


# ---- TFLite ------------------------------------------------------------------------------------------

Details = dict[str, dict[str, Any]]


def _open_tflite(file: Path, options: Options) -> _Opened:
    """Open a TFLite file, run by LiteRT."""
    interpreter = open_interpreter(file.read_bytes(), count_threads(), f"{file} cannot be opened as a TFLite file",
                                   keep=options.tensor is not None)
    offered, lock, label, key = interpreter.get_signature_list(), threading.Lock(), "", options.key
    inputs: Details = {d["name"]: d for d in interpreter.get_input_details()}
    outputs: Details = {str(k): d for k, d in enumerate(interpreter.get_output_details())}
    if options.tensor is not None:
        if options.key is not None or options.signature is not None:
            raise BadParameter("tensor= takes the place of key= and signature=; give it alone.")
        outputs = {d["name"]: d for d in interpreter.get_tensor_details() if d["name"]}
        key = choose("tensor", "tensor", options.tensor, outputs, file)
    elif offered:
        label = choose("signature", "signature", options.signature, offered, file)
        runner = interpreter.get_signature_runner(label)
        # with one signature, places in the file are places in the signature
        places = {d["name"]: int(k) for k, d in outputs.items()} if len(offered) == 1 else {}
        inputs = runner.get_input_details()
        outputs = {k: d | {"place": places.get(d["name"])} for k, d in runner.get_output_details().items()}
    if key is not None and str(key) not in outputs:  # called by its name or its place in the file
        key = next((k for k, d in outputs.items() if key == d["name"] or str(key) == str(d.get("place"))), key)

    def call(feeds: dict[str, Array], output: str) -> Array:
        given, details = dict(feeds), outputs[output]
        for name, value in feeds.items():
            if _is_quantised(inputs[name]):
                (scale, zero), dtype = inputs[name]["quantization"], inputs[name]["dtype"]
                limits = np.iinfo(dtype)
                given[name] = np.rint(value / scale + zero).clip(limits.min, limits.max).astype(dtype)
        with lock:
            made = np.asarray(runner(**given)[output] if label else _invoke(interpreter, given, inputs, details))
        if not _is_quantised(details):
            return made
        scale, zero = details["quantization"]
        return ((made.astype(np.float32) - zero) * scale).astype(np.float32)

    taken, given = ({n: _read_details(d) for n, d in details.items()} for details in (inputs, outputs))
    return _Opened((file,), label, taken, given, call, key)


def _invoke(interpreter: Any, feeds: Mapping[str, Array], inputs: Details, output: dict[str, Any]) -> Array:
    """Run a file without signatures, of an older converter."""
    for name, value in feeds.items():
        interpreter.resize_tensor_input(inputs[name]["index"], value.shape)
    interpreter.allocate_tensors()
    for name, value in feeds.items():
        interpreter.set_tensor(inputs[name]["index"], value)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(output["index"]))


def _read_details(details: dict[str, Any]) -> Tensor:
    """Read LiteRT's description of a tensor."""
    # files of older converters have no signature of the shape
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    sizes = tuple(None if size < 0 else int(size) for size in shape)
    return Tensor("float32" if _is_quantised(details) else np.dtype(details["dtype"]).name, sizes)


def _is_quantised(details: dict[str, Any]) -> bool:
    """Whether a tensor holds integers that stand for floating point numbers."""
    return bool(details["quantization"][0]) and np.dtype(details["dtype"]).kind in "iu"


# ---- ONNX --------------------------------------------------------------------------------------------

def _open_onnx(file: Path, options: Options) -> _Opened:
    """Open an ONNX file, run by onnxruntime."""
    try:
        content = file.read_bytes()
        # weights of more than 2 GB are kept in other files, which the model calls by name
        beside = [p for p in file.parent.iterdir() if p.is_file() and p != file and p.name.encode() in content]
        session = open_onnx(str(file))  # by its path, so that onnxruntime finds those
    except NslibError:
        raise
    except Exception as error:  # onnxruntime's errors have no common class but this
        raise BadParameter(f"{file} cannot be opened as an ONNX file: {error}") from error
    inputs, outputs = ({t.name: _read_onnx(t) for t in ts} for ts in (session.get_inputs(), session.get_outputs()))
    key = options.key
    if isinstance(key, int) and 0 <= key < len(outputs):
        key = list(outputs)[key]
    return _Opened((file, *beside), "", inputs, outputs, lambda feeds, output: session.run([output], feeds)[0], key)


def _read_onnx(value: Any) -> Tensor:
    """Read onnxruntime's description of a tensor."""
    # "tensor(float)": float, double, float16, int16, ...; a size that is not fixed is a name or None
    dtype = value.type.removeprefix("tensor(").removesuffix(")")
    return Tensor({"float": "float32", "double": "float64"}.get(dtype, dtype),
                  tuple(size if isinstance(size, int) else None for size in value.shape))
