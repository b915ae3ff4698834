"""Weights and the state of a training run as single files, written whole or not at all.

Conventions
-----------
A file is a NumPy ``.npz`` without pickles: arrays in the order of the model's weights, named
``weights/000 stem/kernel`` and so on. The same values give the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import files
from nslib.errors import BadParameter, Unavailable

Arrays = list[npt.NDArray[Any]]
_META = "meta"


def values(variables: Sequence[Any]) -> Arrays:
    """Copy variables out of a model or an optimiser.

    Parameters
    ----------
    variables : sequence of keras.Variable

    Returns
    -------
    list of array
    """
    return [np.array(variable) for variable in variables]


def assign(variables: Sequence[Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
    """Put values into variables.

    Parameters
    ----------
    variables : sequence of keras.Variable
    arrays : sequence of array

    Raises
    ------
    BadParameter
        If number or shapes differ: the file is of another network.
    """
    shapes, given = [tuple(v.shape) for v in variables], [a.shape for a in arrays]
    if shapes != given:
        raise BadParameter(f"these {len(given)} arrays are of another network, which has {len(shapes)}; build the one "
                           "that was saved.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def write(path: Path, groups: Mapping[str, Sequence[npt.NDArray[Any]]], meta: Mapping[str, Any]) -> None:
    """Write arrays and facts.

    Parameters
    ----------
    path : Path
    groups : mapping of str to sequence of array
    meta : mapping
        Anything that JSON can hold.

    Raises
    ------
    NslibError
        If the disk is full; the file that was there stays.
    """
    named = {f"{group}/{i:03d}": array for group, arrays in groups.items() for i, array in enumerate(arrays)}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{_META: text}, **named)
    files.write(path, buffer.getvalue())


def read(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    groups : dict of str to list of array
    meta : dict

    Raises
    ------
    Unavailable
        If the file is damaged or not one of these.
    """
    groups: dict[str, Arrays] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(file[_META].tobytes())
            for name in sorted(set(file.files) - {_META}):
                groups.setdefault(name.split("/")[0], []).append(file[name])
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(f"checkpoint {path}", f"it cannot be read ({error})", "Delete it to start anew.") from error
    return groups, meta


def save_weights(path: Path, model: Any, meta: Mapping[str, Any] | None = None, dtype: str = "float32") -> None:
    """Write a network's weights alone, for use rather than for going on.

    Parameters
    ----------
    path : Path
    model : keras.Model
    meta : mapping, optional
    dtype : {"float32", "float16"}
        float16 halves the file; what is lost is below 0.1 % of a weight.
    """
    write(path, {"weights": [array.astype(dtype) for array in values(model.weights)]},
          {"network": model.name, **(meta or {})})


def load_weights(path: Path, model: Any) -> dict[str, Any]:
    """Put saved weights into a network of the same shape.

    Parameters
    ----------
    path : Path
    model : keras.Model

    Returns
    -------
    dict
        What was written beside them.

    Raises
    ------
    Unavailable, BadParameter
        If the file is damaged, or of another network.
    """
    groups, meta = read(path)
    assign(model.weights, [array.astype(np.float32) for array in groups.get("weights", [])])
    return meta
