"""Your own function as an embedding, and a hash of it, so that a changed function never gets old vectors.

What goes into the hash: the code; default values; what the function closes over; the globals that it names, functions
among them followed in turn; attributes of callable objects; arrays by their bytes; Keras and PyTorch models by their
weights, and classes and plain attributes of all layers; imported modules by name and version; other objects by their
pickle. What has none of these cannot be seen. Code that is called by another name (through `getattr`, a file, a library
that you edit in place) is not followed.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import os
import pickle
import secrets
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE, TOLERANCE, Embedding, EmbedFunction, FloatArray, IntArray, stack_clips
from nslib.embeddings.runtime import make_noise
from nslib.errors import BadParameter, NslibError, refuse_unknown

__all__ = ["agrees", "call", "embed_one_by_one", "from_callable", "make_revision", "to_array", "wrap_function"]

Function = Callable[[FloatArray], Any]
OPTIONS = ("revision", "min_samples", "parameters", "licence", "source", "trained_on", "overlap", "citation")


def from_callable(function: Function, name: str, *, revision: str | None = None, min_samples: int = 1_600,
                  pad: str = "end", window: float = 0.0, hop: float = 0.0, **facts: Any) -> Embedding:
    """Make an embedding of a function.

    Parameters
    ----------
    function : callable
        float32 [clips, samples], 16 kHz, in [-1, 1], all clips of the same true length, to ``[clips, dim]`` (one
        vector a clip) or ``[clips, frames, dim]``; NumPy or anything that `numpy.asarray` takes.
    name : str
        As shown in tables.
    revision : str, optional
        Says which version this is; stored vectors are used again as long as it stays. Default: a hash of the function
        and what it uses (the module's text has the limits). If something in it cannot be hashed, a warning says so and
        the revision is a new one each time, so that you never get old vectors.
    min_samples : int
        Shorter clips are padded with zeros to this length, and counted.
    pad : {"end", "centre"}
        Where those zeros go.
    window, hop : float
        Seconds that a frame sees, and between frames; 0 if there is one vector a clip. Given both, it is tried whether
        zeros after a clip leave its frames alone; if so, clips of different lengths share a batch (``pads_safely``),
        which is faster.
    **facts
        For the report: parameters, licence, source, trained_on, overlap, citation.

    Raises
    ------
    BadParameter
        If a trial call with two clips of noise fails, or gives no floats of a right shape, or for an unknown option.

    Examples
    --------
    >>> import numpy as np
    >>> loud = from_callable(lambda waves: waves.std(axis=1, keepdims=True), name="loudness")
    >>> loud.dim
    1
    """
    refuse_unknown(f"option of {name}", facts, [*OPTIONS, "pad", "window", "hop"])
    function = make_object(function)
    return wrap_function(function, name, revision or make_revision(function, name), min_samples=min_samples, pad=pad,
                         window=window, hop=hop, **facts)


def make_object(given: Any) -> Any:
    """Make an object of a class, without arguments; what is no class stays as it is."""
    try:
        return given() if isinstance(given, type) else given
    except Exception as error:  # the class is anybody's
        raise BadParameter(f"{given.__name__} cannot be made without arguments ({error}). Give an object of it, or a "
                           "function.") from error


def make_revision(thing: Any, name: str) -> str:
    """Hash what an embedding is made of; if that cannot be, say so and make a new revision."""
    revision, unseen = hash_function(thing)
    if not unseen:
        return revision
    warnings.warn(f"{name} uses what cannot be hashed: {', '.join(unseen)}. Its vectors will be computed anew in every "
                  "session; give revision= and change it when the function changes.", stacklevel=3)
    return secrets.token_hex(8)


def wrap_function(function: Function, name: str, revision: str, *, together: EmbedFunction | None = None,
                  tries: int = 7, min_samples: int, pad: str, window: float, hop: float, **facts: Any) -> Embedding:
    """Try a function on noise and make an embedding of it; errors as of `from_callable`."""
    if pad not in ("end", "centre"):
        raise BadParameter(f"pad is {pad!r}; allowed: 'end' or 'centre'.")
    if min_samples < 1 or window < 0 or hop < 0:
        raise BadParameter("min_samples must be at least 1, and window and hop at least 0.")
    trial = call(function, make_noise(2, max(min_samples, SAMPLE_RATE)), name)
    dim = trial.shape[2]
    if trial.shape[1] > 1 and not hop:
        warnings.warn(f"{name} gives {trial.shape[1]} frames a second; give window= and hop= (in seconds) "
                      "to have times for them.", stacklevel=3)

    def of_one_length(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        if len(set(np.asarray(lengths).tolist())) > 1:
            raise BadParameter(f"{name} was given clips of different lengths in one batch; its pads_safely "
                               "is False, so give clips of one length.")
        frames = call(function, waves[:, : int(lengths[0])], name, dim)
        return frames, np.full(len(frames), frames.shape[1], np.int64)

    def with_zeros(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        frames = call(function, waves, name, dim)
        # a sample of tolerance, for a window or hop that is no whole number of samples
        counts = 1 + (np.asarray(lengths) + 1 - window * SAMPLE_RATE) // (hop * SAMPLE_RATE)
        return frames, np.clip(counts, 1, frames.shape[1]).astype(np.int64)

    embedding = Embedding(name, revision, dim, of_one_length, window, hop, min_samples, pad, **facts)
    together = with_zeros if together is None and window and hop else together
    lengths = np.linspace(min_samples, max(min_samples, 2 * SAMPLE_RATE), tries)
    if together is not None and agrees(embedding, together, lengths):
        return replace(embedding, embed=together, pads_safely=True)
    return embedding


def embed_one_by_one(function: Function, name: str) -> EmbedFunction:
    """Make an embed function that calls a function, float32 [1, samples] as of `from_callable`, for each clip alone."""

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        rows = [call(function, wave[None, :length], name)[0] for wave, length in zip(waves, lengths, strict=True)]
        return stack_clips(rows)

    return embed


def call(function: Function, waves: FloatArray, name: str, dim: int | None = None) -> FloatArray:
    """Call a function and check what comes out: float32 [clips, frames, dim]."""
    asked = f"{name} was called with float32 of shape {list(waves.shape)}"
    try:
        output = np.asarray(made := function(waves))
    except NslibError:
        raise
    except Exception as error:  # the function is anybody's
        short = " If that is too short for it, raise min_samples." if waves.shape[1] < SAMPLE_RATE else ""
        raise BadParameter(f"{asked} and failed: {type(error).__name__}: {error}{short}") from error
    if output.dtype.kind != "f":
        what = type(made).__name__ if output.dtype == object else output.dtype
        raise BadParameter(f"{asked} and returned {what}; return floating point numbers.")
    if output.ndim not in (2, 3) or output.shape[0] != len(waves) or 0 in output.shape:
        wanted = f"[{len(waves)}, dim] or [{len(waves)}, frames, dim]"
        hint = " It looks as if it takes one clip; loop over the clips." if output.ndim < 2 else ""
        raise BadParameter(f"{asked} and returned shape {list(output.shape)}; return {wanted}.{hint}")
    if dim is not None and output.shape[-1] != dim:
        raise BadParameter(f"{asked} and returned vectors of {output.shape[-1]} numbers, before of {dim}; "
                           "the size must not depend on the length of the clip.")
    if not np.isfinite(output).all():
        raise BadParameter(f"{asked} and returned NaN or infinite numbers; mind log(0) and division by 0.")
    return output.reshape(len(waves), -1, output.shape[-1]).astype(np.float32, copy=False)


def agrees(alone: Embedding, together: EmbedFunction, samples: npt.NDArray[Any]) -> bool:
    """Whether `together`, given clips of so many samples, zeros after them, gives what an embedding gives of each."""
    levels = np.resize(np.array([1, 0.1, 0.5], np.float32), len(samples))  # some libraries go by the loudest clip
    noise = make_noise(len(samples), int(samples.max()))
    waves, lengths = stack_clips([level * row[:int(n)] for level, row, n in zip(levels, noise, samples, strict=True)])
    frames, counts = together(waves, lengths)
    for wave, length, row, count in zip(waves, lengths, frames, counts, strict=True):
        single = alone.embed(wave[None, :length], np.array([length]))[0][0]
        if len(single) != count or np.abs(single - row[:count]).max() > TOLERANCE * np.abs(single).max():
            return False
    return True


_PLAIN = (str, bytes, int, float, complex, bool, type(None), os.PathLike)


def hash_function(function: Any) -> tuple[str, tuple[str, ...]]:
    """Hash a callable: 16 hex digits, and the names of what it uses whose changes the hash does not see."""
    hasher = _Hasher()
    hasher.add("function", function)
    return hasher.digest.hexdigest()[:16], tuple(dict.fromkeys(hasher.unseen))


class _Hasher:
    """A hash that follows what a function uses."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.unseen: list[str] = []
        self._seen: dict[int, tuple[int, Any]] = {}

    def add(self, name: str, thing: Any) -> None:
        """Hash a thing of any kind; a second meeting is hashed by its number, so that cycles end."""
        self._put(name)
        if isinstance(thing, _PLAIN):
            return self._put(type(thing).__name__, repr(thing))
        if id(thing) in self._seen:
            return self._put("again", str(self._seen[id(thing)][0]))
        self._seen[id(thing)] = (len(self._seen), thing)
        self._add_new(name, thing)

    def _put(self, *words: str | bytes) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else word.encode()
            self.digest.update(f"{len(data)}:".encode() + data)

    def _add_new(self, name: str, thing: Any) -> None:
        if isinstance(thing, types.ModuleType):
            self._put("module", thing.__name__, str(getattr(thing, "__version__", "")))
        elif isinstance(thing, (types.BuiltinFunctionType, np.ufunc)):
            self._put("builtin", str(getattr(thing, "__module__", "")), thing.__name__)
        elif isinstance(thing, types.FunctionType):
            self._add_function(thing)
        elif isinstance(thing, types.MethodType):
            self._add_items([("method", thing.__func__), ("self", thing.__self__)])
        elif isinstance(thing, functools.partial):
            self._add_items([("func", thing.func), ("args", thing.args), ("keywords", thing.keywords)])
        elif isinstance(thing, type):
            self._put("class", thing.__module__, thing.__qualname__)
            if thing.__module__.split(".")[0] in ("__main__", "builtins") or _is_local(thing):
                self._add_items((n, m) for n, m in sorted(vars(thing).items()) if isinstance(m, types.FunctionType)
                                or (_is_plain(m) and n[0] != "_"))
        elif isinstance(thing, dict):
            self._add_items((repr(k), v) for k, v in thing.items())
        elif isinstance(thing, (list, tuple)):
            self._add_items((str(k), part) for k, part in enumerate(thing))
        elif isinstance(thing, (np.ndarray, np.generic)) and thing.dtype != object:
            self._put(str(thing.dtype), str(thing.shape), np.ascontiguousarray(thing).tobytes())
        else:
            self._add_object(name, thing)

    def _add_items(self, items: Iterable[tuple[str, Any]]) -> None:
        for name, thing in items:
            self.add(name, thing)
        self._put("end")

    def _add_function(self, function: types.FunctionType) -> None:
        self._add_code(function.__code__)
        closure = []
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # a cell has no value yet
                closure.append(cell.cell_contents)
        self._add_items([("defaults", function.__defaults__), ("keywords", function.__kwdefaults__),
                         ("closure", tuple(closure))])
        used = sorted(_global_names(function.__code__) & function.__globals__.keys())
        self._add_items((name, function.__globals__[name]) for name in used)

    def _add_code(self, code: types.CodeType) -> None:
        # instructions and names only: line numbers and file names change without the function changing
        self._put("code", *(f"{i.opname} {'' if isinstance(i.argval, types.CodeType) else i.argrepr}"
                            for i in dis.get_instructions(code)))
        for inner in _inner_codes(code):
            self._add_code(inner)

    def _add_object(self, name: str, thing: Any) -> None:
        self.add("type", type(thing))
        if callable(getattr(thing, "get_weights", None)):  # Keras
            self._add_items((str(k), array) for k, array in enumerate(thing.get_weights()))
            # names are counted in a session, and these methods wrapped for each layer
            self._add_layers(getattr(thing, "_flatten_layers", list)(), "name", "output_names", "build", "quantize")
        elif callable(getattr(thing, "state_dict", None)):  # PyTorch
            self._add_items((k, to_array(v)) for k, v in thing.state_dict().items())
            self._add_layers(getattr(thing, "modules", list)(), "training")
        elif callable(thing) and hasattr(thing, "__dict__"):
            self._add_items(sorted(vars(thing).items()))
        else:
            try:
                self._put("pickle", pickle.dumps(thing, protocol=4))
            except Exception:  # an object may fail to be pickled with any error
                self.unseen.append(f"{name} ({type(thing).__qualname__})")

    def _add_layers(self, layers: Iterable[Any], *without: str) -> None:
        for layer in layers:
            self._add_items(("class", kind) for kind in type(layer).__mro__)
            held = {**vars(layer), **vars(layer).get("_buffers", {})}  # some of which are in no state_dict
            held = {k: to_array(v) if hasattr(v, "detach") else v for k, v in sorted(held.items()) if k not in without}
            self._add_items((k, v) for k, v in held.items() if k[0] != "_" and _is_plain(v))


def _is_plain(thing: Any) -> bool:
    """Whether a thing is a number, a text, an array, a function, or some of these."""
    if isinstance(thing, (dict, list, tuple)):
        return all(map(_is_plain, thing.values() if isinstance(thing, dict) else thing))
    return isinstance(thing, (*_PLAIN, np.ndarray, types.FunctionType, types.BuiltinFunctionType))


def to_array(tensor: Any) -> npt.NDArray[Any]:
    """Make an array of what may be a tensor of PyTorch, on any device; its short floats become float32."""
    if hasattr(tensor, "detach"):
        tensor = (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().numpy()
    return np.asarray(tensor)


def _inner_codes(code: types.CodeType) -> list[types.CodeType]:
    """List the functions that are written inside a function."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _global_names(code: types.CodeType) -> set[str]:
    """Collect the names that a function looks up."""
    return set(code.co_names).union(*map(_global_names, _inner_codes(code)))


def _is_local(kind: type) -> bool:
    """Whether a class is of the user's own files rather than of an installed package."""
    try:
        return "site-packages" not in inspect.getfile(kind)
    except (TypeError, OSError):
        return True
