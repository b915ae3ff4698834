"""Your own weights as an embedding: a SavedModel, a TFLite or an ONNX file.

>>> from nslib import embeddings
>>> mine = embeddings.from_file("my_model.onnx")                       # doctest: +SKIP
>>> print(embeddings.check(mine))                                      # doctest: +SKIP

Conventions
-----------
Nothing is tried out until it works. What a model offers is read from the file; what is left open is
asked for, in an error that lists the choices. Where the choice is only how the same sound is handed
over, there is a rule: a batch before a single clip, float32 before other types.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nslib.embeddings.base import Embedding
from nslib.embeddings.files.feeding import Options
from nslib.embeddings.files.onnx import from_onnx
from nslib.embeddings.files.saved_model import from_saved_model
from nslib.embeddings.files.tflite import from_tflite
from nslib.errors import BadParameter, UnknownName

__all__ = ["Options", "from_file", "from_onnx", "from_saved_model", "from_tflite", "kind"]

_LOADERS: dict[str, Callable[..., Embedding]] = {
    "SavedModel": from_saved_model, "TFLite": from_tflite, "ONNX": from_onnx}


def kind(path: str | Path) -> str | None:
    """Say which kind of model a path is.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    {"SavedModel", "TFLite", "ONNX"} or None
        A folder with ``saved_model.pb``; a file with TFLite's mark in its fifth to eighth byte; a file
        called ``*.onnx``. None for anything else, and for what is not there.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
        return "SavedModel"
    if not path.is_file():
        return None
    if path.suffix.lower() == ".onnx":
        return "ONNX"
    with path.open("rb") as file:
        return "TFLite" if file.read(8)[4:] == b"TFL3" else None


def from_file(path: str | Path, name: str | None = None, **options: Any) -> Embedding:
    """Make an embedding of a model, whatever its kind.

    Parameters
    ----------
    path : path-like
        Folder of a SavedModel, TFLite file or ONNX file.
    name : str, optional
        As shown in tables (default: the name of the folder or file).
    **options
        As `from_saved_model`, `from_tflite` or `from_onnx`.

    Returns
    -------
    Embedding

    Raises
    ------
    BadParameter
        If it is none of these, and as the function for its kind.
    """
    found = kind(path)
    if found is None:
        raise BadParameter(f"{path} {_why_not(Path(path))}. Give the folder of a SavedModel, a .tflite or a "
                           ".onnx file, or a function to nslib.embeddings.from_callable.")
    allowed = {*inspect.signature(_LOADERS[found]).parameters, *Options.__dataclass_fields__} - {"path", "options"}
    for option in options:
        if option not in allowed:
            raise UnknownName(f"option of {found} models", option, allowed)
    return _LOADERS[found](path, name, **options)


def _why_not(path: Path) -> str:
    if not path.exists():
        return "does not exist"
    if path.suffix.lower() in (".keras", ".h5", ".hdf5"):
        return "is a Keras file; load it and write a SavedModel with model.export(folder)"
    if (path / "tfhub_module.pb").exists():
        return "is a module of TensorFlow 1, which is called differently"
    if path.suffix.lower() in (".gz", ".tgz", ".zip", ".tar"):
        return "is an archive; unpack it first"
    return "holds no saved_model.pb" if path.is_dir() else "is no model that is understood"
