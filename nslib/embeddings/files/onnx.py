"""An ONNX file as an embedding, run by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nslib.embeddings import speech_embedding
from nslib.embeddings.base import Embedding
from nslib.embeddings.files import common, feeding
from nslib.embeddings.files.common import Array, Tensor
from nslib.errors import BadParameter, NslibError

_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}


def from_onnx(path: str | Path, name: str | None = None, *, key: str | int | None = None,
              rate_argument: bool | None = None, **options: Any) -> Embedding:
    """Make an embedding of an ONNX file.

    Parameters
    ----------
    path : path-like
        Weights in files of their own must lie beside it.
    name : str, optional
        As shown in tables (default: the file's name).
    key : str or int, optional
        Which output: its name or place. Needed if there are several.
    rate_argument : bool, optional
        Whether the model is told the sample rate. Default: if it has an input for it by name.
    **options
        As `Options`. A model that takes one length only needs ``fixed="window"``.

    Returns
    -------
    Embedding
        Its revision is the hash of the file, of the files beside it that it names, and of the choices made.

    Raises
    ------
    BadParameter
        If it is no ONNX file, if something is left open (the error lists what there is), or if a trial
        call fails.
    Unavailable
        If onnxruntime is not there.

    Examples
    --------
    >>> from_onnx("model.onnx", key="embedding", sample_rate=8000)        # doctest: +SKIP
    """
    settled = feeding.Options(**options)
    file = Path(path)
    files, session = _opened(file)
    taken, given = ({t.name: _tensor(t) for t in ts} for ts in (session.get_inputs(), session.get_outputs()))
    samples, rate = common.inputs(taken, rate_argument, file)
    wanted = list(given)[key] if isinstance(key, int) and 0 <= key < len(given) else key
    output = common.choose("output", "key", wanted, given, file)

    def run(waves: Array) -> Array:
        feeds = {samples: waves}
        if rate:
            feeds[rate] = common.rate_value(taken[rate], settled.sample_rate)
        return np.asarray(session.run([output], feeds)[0])

    model = common.Model(file, files, taken[samples], run, ("ONNX", output, rate))
    return feeding.embedding(model, name, settled)


def _opened(file: Path) -> tuple[tuple[Path, ...], Any]:
    try:
        content = file.read_bytes()
        # weights of more than 2 GB are kept in other files, which the model calls by name
        beside = (p for p in file.parent.iterdir() if p.is_file() and p != file)
        files = (file, *(p for p in beside if p.name.encode() in content))
        source: Any = str(file)  # by its path, so that onnxruntime finds those
        return files, speech_embedding.session(source)
    except NslibError:
        raise
    except Exception as error:  # onnxruntime's errors have no common class but this
        raise BadParameter(f"{file} cannot be opened as an ONNX file: {error}") from error


def _tensor(value: Any) -> Tensor:
    # "tensor(float)": float, double, float16, int16, ...; a size that is not fixed is a name or None
    dtype = _TYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")"))
    return Tensor(dtype, tuple(size if isinstance(size, int) else None for size in value.shape))
