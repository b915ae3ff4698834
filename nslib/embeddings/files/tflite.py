"""A TFLite file as an embedding, run by LiteRT.

Conventions
-----------
Outputs are called by the keys of the model's signature, by their place in the file (0, 1, ...) or by
their name there. Quantised inputs and outputs are converted from and to floating point by the scale and zero
point in the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nslib.embeddings import threads
from nslib.embeddings.base import Embedding
from nslib.embeddings.files import common, feeding
from nslib.embeddings.files.common import Array, Tensor
from nslib.errors import BadParameter, Unavailable

Details = dict[str, dict[str, Any]]
Runner = Callable[[Mapping[str, Array], str], Array]


def from_tflite(path: str | Path, name: str | None = None, *, signature: str | None = None,
                key: str | int | None = None, rate_argument: bool | None = None, **options: Any) -> Embedding:
    """Make an embedding of a TFLite file.

    Parameters
    ----------
    path : path-like
    name : str, optional
        As shown in tables (default: the file's name).
    signature : str, optional
        Needed if there are several.
    key : str or int, optional
        Which output: its key in the signature, or its place or name in the file. Needed if there are
        several.
    rate_argument : bool, optional
        Whether the model is told the sample rate. Default: if it has an input for it by name.
    **options
        As `Options`. A model that takes one length only needs ``fixed="window"``.

    Returns
    -------
    Embedding
        The input is made as long as each clip, and as large as the batch, where the model allows it. A
        quantised input is fed what its own scale makes of [-1, 1]. Its revision is the hash of the file and
        of the choices made.

    Raises
    ------
    BadParameter
        If it is no TFLite file, if something is left open (the error lists what there is), or if a trial
        call fails.
    Unavailable
        If LiteRT is not there.

    Examples
    --------
    >>> from_tflite("model.tflite", fixed="window", hop=0.48)            # doctest: +SKIP
    """
    settled = feeding.Options(**options)
    file = Path(path)
    label, taken, given, runner = _opened(file, signature)
    tensors = {n: _tensor(d) for n, d in taken.items()}
    samples, rate = common.inputs(tensors, rate_argument, file)
    output = common.choose("output", "key", _key(key, given), {n: _tensor(d) for n, d in given.items()}, file)

    def run(waves: Array) -> Array:
        feeds = {samples: _quantised(waves, taken[samples])}
        if rate:
            feeds[rate] = common.rate_value(tensors[rate], settled.sample_rate)
        return _dequantised(runner(feeds, output), given[output])

    chosen = ("TFLite", label, output, rate)
    return feeding.embedding(common.Model(file, (file,), tensors[samples], run, chosen), name, settled)


def _opened(file: Path, signature: str | None) -> tuple[str, Details, Details, Runner]:
    """Signature, inputs, outputs, and a function that gives an output."""
    interpreter = _interpreter(file)
    offered = interpreter.get_signature_list()
    if not offered:
        return "", *_plain(interpreter)
    label = common.choose("signature", "signature", signature, offered, file)
    call, lock = interpreter.get_signature_runner(label), threading.Lock()
    given = call.get_output_details()
    if len(offered) == 1:  # then places in the file are places in the signature
        places = {d["name"]: k for k, d in enumerate(interpreter.get_output_details())}
        given = {k: d | {"place": places[d["name"]]} for k, d in given.items()}

    def run(feeds: Mapping[str, Array], output: str) -> Array:
        with lock:
            return np.asarray(call(**feeds)[output])

    return label, call.get_input_details(), given, run


def _interpreter(file: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise Unavailable("ai_edge_litert", str(error), "Run make setup.") from error
    try:
        return Interpreter(model_content=file.read_bytes(), num_threads=threads.count())
    except (OSError, ValueError, RuntimeError) as error:
        raise BadParameter(f"{file} cannot be opened as a TFLite file: {error}") from error


def _plain(interpreter: Any) -> tuple[Details, Details, Runner]:
    taken = {d["name"]: d for d in interpreter.get_input_details()}
    given = {str(k): d for k, d in enumerate(interpreter.get_output_details())}
    lock = threading.Lock()

    def run(feeds: Mapping[str, Array], output: str) -> Array:
        with lock:
            for name, value in feeds.items():
                interpreter.resize_tensor_input(taken[name]["index"], value.shape)
            interpreter.allocate_tensors()
            for name, value in feeds.items():
                interpreter.set_tensor(taken[name]["index"], value)
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(given[output]["index"]))

    return taken, given, run


def _key(key: str | int | None, given: Details) -> str | int | None:
    """The key of an output that was called by its place or its name in the file."""
    if key is None or str(key) in given:
        return key
    return next((k for k, d in given.items() if key == d["name"] or str(key) == str(d.get("place"))), key)


def _tensor(details: dict[str, Any]) -> Tensor:
    # files of older converters have no signature of the shape
    shape = details["shape_signature"] if len(details["shape_signature"]) else details["shape"]
    sizes = tuple(None if size < 0 else int(size) for size in shape)
    quantised = _is_quantised(details)
    return Tensor("float32" if quantised else np.dtype(details["dtype"]).name, sizes)


def _is_quantised(details: dict[str, Any]) -> bool:
    return bool(details["quantization"][0]) and np.dtype(details["dtype"]).kind in "iu"


def _quantised(values: Array, details: dict[str, Any]) -> Array:
    if not _is_quantised(details):
        return values
    (scale, zero), limits = details["quantization"], np.iinfo(details["dtype"])
    return np.rint(values / scale + zero).clip(limits.min, limits.max).astype(details["dtype"])


def _dequantised(values: Array, details: dict[str, Any]) -> Array:
    if not _is_quantised(details):
        return values
    scale, zero = details["quantization"]
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)
