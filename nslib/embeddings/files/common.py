"""What a model in a file offers, and choosing from it.

Conventions
-----------
A loader reads the inputs and outputs from the file as `Tensor`, chooses with `choose` and `inputs`,
and gives a `Model`: one tensor for the samples and a function that runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.errors import BadParameter, UnknownName

Array = npt.NDArray[Any]

DTYPES = ("float32", "float64", "float16", "int16", "int32", "int64")
"""Types that samples can have, the best first."""

# A rate that goes with the samples is told by its name; other names need rate_argument=True.
_RATE_NAMES = ("sr", "fs")


@dataclass(frozen=True)
class Tensor:
    """What a file says of an input or output.

    Attributes
    ----------
    dtype : str
        NumPy's name.
    shape : tuple of int or None, or None
        None for a size that is not fixed, or, as a whole, for a shape that is not known.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        sizes = "of any shape" if self.shape is None else [n or "any" for n in self.shape]
        return f"{self.dtype} {sizes}".replace("'", "")


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Model:
    """A model that is open.

    Attributes
    ----------
    path : Path
    files : tuple of Path
        What its answers depend on.
    samples : Tensor
        The input for samples: ``[samples]``, ``[clips, samples]``, or the latter with an axis of size 1
        for the channel.
    run : callable
        Samples, of that type and shape, to the output that was chosen.
    chosen : tuple
        What else its answers depend on: signature, output, ...
    """

    path: Path
    files: tuple[Path, ...]
    samples: Tensor
    run: Callable[[Array], Array]
    chosen: tuple[Any, ...]

    @property
    def axes(self) -> tuple[int | None, ...]:
        """tuple: the sizes of the samples' tensor without the channel: [samples] or [clips, samples]."""
        shape = self.samples.shape or ()
        return shape if len(shape) < 3 else (shape[0], shape[2] if shape[1] == 1 else shape[1])

    @property
    def length(self) -> int | None:
        """Int or None: how many samples it takes, if that is fixed (1 says that nobody fixed it)."""
        return None if self.axes[-1] == 1 else self.axes[-1]

    @property
    def batches(self) -> bool:
        """bool: it takes any number of clips."""
        return len(self.axes) == 2 and self.axes[0] is None


def choose(what: str, parameter: str, given: Any, offered: Mapping[str, Any], path: Path) -> str:
    """Take what was asked for, or the only one there is.

    Parameters
    ----------
    what : str
        What is chosen, e.g. ``"output"``.
    parameter : str
        Which parameter says so.
    given : str, int or None
    offered : mapping
        Name to description.
    path : Path
        For messages.

    Returns
    -------
    str

    Raises
    ------
    BadParameter
        If there are several and none was asked for.
    UnknownName
        If what was asked for is not there.
    """
    if given is not None and str(given) not in offered:
        raise UnknownName(f"{what} of {path.name}", given, offered)
    if given is not None:
        return str(given)
    if len(offered) == 1:
        return next(iter(offered))
    raise BadParameter(f"{path.name} has {len(offered)} {what}s; give {parameter}= one of: {listed(offered)}.")


def inputs(offered: Tensors, rate_argument: bool | None, path: Path) -> tuple[str, str | None]:
    """Tell the samples from the sample rate.

    Parameters
    ----------
    offered : mapping
        The inputs.
    rate_argument : bool or None
        Whether one of them is the rate; None to go by the name (with "rate" in it, ``sr`` or ``fs``).
    path : Path
        For messages.

    Returns
    -------
    samples : str
    rate : str or None

    Raises
    ------
    BadParameter
        If that does not account for every input, or the samples have an impossible shape.
    """
    scalars = [n for n, t in offered.items() if t.shape in ((), (1,)) and len(offered) > 1 and t.dtype != "bool"]
    named = [n for n in scalars if "rate" in n.lower() or n.lower() in _RATE_NAMES]
    rates = scalars if rate_argument else named if rate_argument is None else []
    rest = [n for n in offered if n not in rates]
    if len(rest) != 1 or len(rates) > 1 or (rate_argument and not rates):
        raise BadParameter(f"{path.name} takes {listed(offered)}. Needed are the samples and nothing else, or the "
                           "samples and a sample rate (rate_argument=True if it has another name).")
    shape, dtype = offered[rest[0]].shape, offered[rest[0]].dtype
    waves = shape is not None and (len(shape) in (1, 2) or (len(shape) == 3 and 1 in shape[1:]))
    if not waves or dtype not in DTYPES:
        raise BadParameter(f"{path.name} takes {listed(offered)}. Samples must be [samples], [clips, samples], "
                           f"[clips, samples, 1] or [clips, 1, samples] of {', '.join(DTYPES)}; for other models "
                           "write a function and use nslib.embeddings.from_callable.")
    return rest[0], rates[0] if rates else None


def rate_value(tensor: Tensor, hertz: int) -> Array:
    """Make the value of an input for the sample rate.

    Parameters
    ----------
    tensor : Tensor
        Of one number.
    hertz : int

    Returns
    -------
    array [] or [1]
    """
    return np.full([1] * len(tensor.shape or ()), hertz, tensor.dtype)


def listed(offered: Mapping[str, Any]) -> str:
    """Describe named things in words.

    Parameters
    ----------
    offered : mapping

    Returns
    -------
    str
    """
    return ", ".join(f"{name!r} ({thing})" for name, thing in offered.items()) or "nothing"


def digest(paths: Iterable[Path], root: Path) -> str:
    """Hash files, with their names below a folder.

    Parameters
    ----------
    paths : iterable of Path
    root : Path

    Returns
    -------
    str
        64 hex digits.
    """
    whole = hashlib.sha256()
    for path in sorted(paths):
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(root).as_posix()} {part}\n".encode())
    return whole.hexdigest()
