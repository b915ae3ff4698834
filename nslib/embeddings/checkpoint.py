"""Weights of a network, and states of training runs, as single files that are written whole or not at all.

Conventions
-----------
A file is a NumPy ``.npz`` without pickles: arrays in the order of the model's variables, named ``weights/000`` and so
on, and ``meta``, facts as JSON. The same values give the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.errors import BadParameter, Unavailable

__all__ = ["Arrays", "assign_values", "copy_values", "load_weights", "read_arrays", "save_weights", "write_arrays"]

Arrays = list[npt.NDArray[Any]]
_META = "meta"


def copy_values(variables: Sequence[Any]) -> Arrays:
    """Copy the values of Keras variables, in order, into arrays."""
    return [np.array(variable) for variable in variables]


def assign_values(variables: Sequence[Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
    """Put arrays into Keras variables; BadParameter if number or shapes differ: they are of another network."""
    shapes, given = [tuple(v.shape) for v in variables], [a.shape for a in arrays]
    if shapes != given:
        raise BadParameter(f"these {len(given)} arrays are of another network, which has {len(shapes)}; build the one "
                           "that was saved.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def write_arrays(path: Path, groups: Mapping[str, Sequence[npt.NDArray[Any]]], meta: Mapping[str, Any]) -> None:
    """Write groups of arrays, and facts that JSON can hold; if the disk is full, the file that was there stays."""
    named = {f"{group}/{i:03d}": array for group, arrays in groups.items() for i, array in enumerate(arrays)}
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(buffer, allow_pickle=False, **{_META: text}, **named)
    config.write_file(path, buffer.getvalue())


def read_arrays(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]]:
    """Read what `write_arrays` wrote: groups of arrays, and facts; Unavailable if the file is damaged or another."""
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
    """Write a network's weights alone, with facts, for use rather than for going on.

    ``dtype`` float16 halves the file; what is lost is below 0.1 % of a weight.
    """
    write_arrays(path, {"weights": [array.astype(dtype) for array in copy_values(model.weights)]},
                 {"network": model.name, **(meta or {})})


def load_weights(path: Path, model: Any) -> dict[str, Any]:
    """Put saved weights into a network of the same shape, and return the facts beside them; errors as above."""
    groups, meta = read_arrays(path)
    assign_values(model.weights, [array.astype(np.float32) for array in groups.get("weights", [])])
    return meta
