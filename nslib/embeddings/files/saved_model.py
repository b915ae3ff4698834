"""A TensorFlow SavedModel as an embedding: a hub-style callable, a Keras export or any signature."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nslib.embeddings.base import Embedding
from nslib.embeddings.files import common, feeding
from nslib.embeddings.files.common import Array, Tensor
from nslib.errors import BadParameter

# TensorFlow greets with a page of notes about the machine; errors are raised anyway
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CALLS = ("callable", "signature")


def from_saved_model(path: str | Path, name: str | None = None, *, call: str | None = None,
                     signature: str | None = None, key: str | int | None = None, rate_argument: bool | None = None,
                     rank: int | None = None, dtype: str | None = None, **options: Any) -> Embedding:
    """Make an embedding of a SavedModel.

    Parameters
    ----------
    path : path-like
        The folder with ``saved_model.pb``.
    name : str, optional
        As shown in tables (default: the folder's name).
    call : {"callable", "signature"}, optional
        Call the object itself, as hub modules and Keras models allow, or one of its signatures. Default:
        the signature if one is named; else the object if it can be called; else the signature.
    signature : str, optional
        Needed if there are several. (Keras writes its one signature under two names, ``serve`` and
        ``serving_default``; these count as one.)
    key : str or int, optional
        Which output: key of a dictionary or place in a tuple. Needed if there are several.
    rate_argument : bool, optional
        Whether the model is told the sample rate. Default: if it has an input for it by name.
    rank : {1, 2, 3}, optional
        One clip a call, [samples], a batch, [clips, samples], or one with an axis of size 1 for the
        channel. Default: a batch, if the object can be called with one.
    dtype : str, optional
        Of the samples: floating point, or integers (``int16``). Default: the first of float32,
        float64, float16, int16, int32, int64 that the model takes.
    **options
        As `Options`.

    Returns
    -------
    Embedding
        Its revision is the hash of the graph, variables and assets, and of the choices made.

    Raises
    ------
    BadParameter
        If it is no SavedModel, if something is left open (the error lists what there is), or if a trial
        call fails.

    Examples
    --------
    >>> from_saved_model("trill/", key="layer19")            # doctest: +SKIP
    """
    settled = feeding.Options(**options)
    folder = Path(path)
    if call not in (None, *CALLS):
        raise BadParameter(f"call is {call!r}; allowed: {', '.join(map(repr, CALLS))}.")
    loaded = _load(folder)
    own = call == "callable" or (call is None and signature is None and _callable(loaded))
    entry = _own(loaded, folder, rate_argument, rank, dtype) if own else \
        _signature(loaded, folder, signature, rate_argument, rank, dtype)
    output = common.choose("output", "key", key, entry.outputs, folder)

    def run(samples: Array) -> Array:
        return np.asarray(_outputs(entry.call(samples, settled.sample_rate))[output])

    chosen = ("SavedModel", entry.label, entry.rate, output)
    return feeding.embedding(common.Model(folder, _files(folder), entry.samples, run, chosen), name, settled)


@dataclass(frozen=True)
class _Entry:
    """One way to call a SavedModel: ``call(samples, rate)``."""

    label: str
    samples: Tensor
    rate: str | None
    outputs: dict[str, Any]
    call: Callable[[Array, int], Any]


def _load(folder: Path) -> Any:
    import tensorflow as tf

    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # anybody's file; TensorFlow raises whatever its parts raise
        what = f"{folder} cannot be loaded as a SavedModel: {type(error).__name__}: {error}"
        raise BadParameter(f"{what} Give the folder that holds saved_model.pb, and write it again if a part of it "
                           "is missing.") from error


def _files(folder: Path) -> tuple[Path, ...]:
    # what TensorFlow reads; a text or a picture beside it changes no vector
    graph = [p for p in folder.glob("saved_model.pb*") if p.is_file()]
    below = [p for part in ("variables", "assets") for p in (folder / part).rglob("*") if p.is_file()]
    return tuple(sorted(graph + below))


def _callable(loaded: Any) -> bool:
    return callable(loaded) and hasattr(loaded.__call__, "concrete_functions")


def _own(loaded: Any, folder: Path, rate_argument: bool | None, rank: int | None, dtype: str | None) -> _Entry:
    """The best of the ways in which the object itself can be called."""
    if not _callable(loaded):
        raise BadParameter(f"{folder.name} cannot be called itself; it has signatures: "
                           f"{common.listed(_described(loaded))}. Leave call out, or give call='signature'.")
    ways = [way for f in loaded.__call__.concrete_functions if (way := _Way.of(f, rank))]
    fitting = [way for way in ways if _fits(way.tensors, rank, dtype, rate_argument)]
    if not fitting:
        offers = "; ".join(dict.fromkeys(common.listed(way.tensors) for way in ways)) or "nothing that is a tensor"
        raise BadParameter(f"{folder.name} can be called with: {offers}. Asked for was rank={rank}, dtype={dtype}, "
                           f"rate_argument={rate_argument}. Correct these, or give call='signature'.")
    best = min(fitting, key=lambda way: way.preference(rate_argument, folder))
    samples, rate = common.inputs(best.tensors, rate_argument, folder)

    def call(waves: Array, hertz: int) -> Any:
        told = {rate: common.rate_value(best.tensors[rate], hertz)} if rate else {}
        args, kwargs = best.filled({samples: waves, **told})
        return loaded(*args, **kwargs)

    return _Entry("the object", best.tensors[samples], rate, best.outputs, call)


@dataclass(frozen=True)
class _Way:
    """One traced call: values of all arguments, some of them places for tensors."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    places: dict[str, Any]
    tensors: dict[str, Tensor]
    outputs: dict[str, Any]

    @classmethod
    def of(cls, function: Any, rank: int | None) -> _Way | None:
        """Read a traced call; None if it takes nested tensors, which no waveform is."""
        import tensorflow as tf

        args, kwargs = function.structured_input_signature
        values = [*enumerate(args), *kwargs.items()]
        specs = {place: value for place, value in values if isinstance(value, tf.TensorSpec)}
        if len(tf.nest.flatten((args, kwargs))) != len(values) or not specs:
            return None
        names = {spec.name or f"argument {place}": place for place, spec in specs.items()}
        tensors = {name: _tensor(specs[place], rank) for name, place in names.items()}
        return cls(args, kwargs, {n: (p, specs[p].dtype) for n, p in names.items()}, tensors,
                   _tensors_of(function.structured_outputs))

    def preference(self, rate_argument: bool | None, folder: Path) -> tuple[Any, ...]:
        """Sort key: a batch, float32, the rate given, and not in training."""
        samples, rate = common.inputs(self.tensors, rate_argument, folder)
        tensor = self.tensors[samples]
        training = sum(value is True for value in (*self.args, *self.kwargs.values()))
        return abs(2 - len(tensor.shape or ())), common.DTYPES.index(tensor.dtype), rate is None, training

    def filled(self, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Arguments of the call, with tensors in their places."""
        import tensorflow as tf

        args, kwargs = list(self.args), dict(self.kwargs)
        for name, value in given.items():
            place, dtype = self.places[name]
            (args if isinstance(place, int) else kwargs)[place] = tf.constant(value, dtype)  # type: ignore[index,call-overload]
        return args, kwargs


def _fits(tensors: dict[str, Tensor], rank: int | None, dtype: str | None, rate_argument: bool | None) -> bool:
    try:
        samples, rate = common.inputs(tensors, rate_argument, Path())
    except BadParameter:
        return False
    tensor = tensors[samples]
    return (dtype in (None, tensor.dtype) and rank in (None, len(tensor.shape or ()))
            and (rate_argument is None or rate_argument == bool(rate)))


def _signature(loaded: Any, folder: Path, name: str | None, rate_argument: bool | None, rank: int | None,
               dtype: str | None) -> _Entry:
    offered = _described(loaded)
    if name is None and offered.keys() == {"serve", "serving_default"}:
        name = "serving_default"
    label = common.choose("signature", "signature", name, offered, folder)
    function = loaded.signatures[label]
    specs = function.structured_input_signature[1]
    tensors = {key: _tensor(spec, rank) for key, spec in sorted(specs.items())}
    samples, rate = common.inputs(tensors, rate_argument, folder)
    if not _fits(tensors, rank, dtype, rate_argument):
        raise BadParameter(f"signature {label!r} of {folder.name} takes {common.listed(tensors)}. Asked for was "
                           f"rank={rank}, dtype={dtype}; leave them out, or choose another signature.")

    def call(waves: Array, hertz: int) -> Any:
        import tensorflow as tf

        told = {rate: common.rate_value(tensors[rate], hertz)} if rate else {}
        given = {samples: waves, **told}
        return function(**{key: tf.constant(value, specs[key].dtype) for key, value in given.items()})

    return _Entry(label, tensors[samples], rate, _tensors_of(function.structured_outputs), call)


def _described(loaded: Any) -> dict[str, str]:
    said = {}
    for name, function in getattr(loaded, "signatures", {}).items():
        taken = {key: _tensor(spec, None) for key, spec in sorted(function.structured_input_signature[1].items())}
        given = common.listed(_tensors_of(function.structured_outputs))
        said[name] = f"{common.listed(taken)} -> {given}"
    return said


def _tensor(spec: Any, rank: int | None) -> Tensor:
    if spec.shape.rank is None:
        return Tensor(spec.dtype.name, (None,) * rank if rank else None)
    return Tensor(spec.dtype.name, tuple(spec.shape.as_list()))


def _tensors_of(structure: Any) -> dict[str, Any]:
    return {name: _tensor(spec, None) for name, spec in _outputs(structure).items() if hasattr(spec, "shape")}


def _outputs(found: Any) -> dict[str, Any]:
    """Name what a call gives: keys of a dictionary, places in a tuple, "0" for a lone tensor."""
    if isinstance(found, dict):
        return {str(key): found[key] for key in sorted(found)}  # TensorFlow's order changes from run to run
    many = found if isinstance(found, (list, tuple)) else [found]
    return {str(place): value for place, value in enumerate(many)}
