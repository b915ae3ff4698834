"""Read the tensors of a PyTorch checkpoint without PyTorch and without running anything in it.

The format is the one that ``torch.save`` wrote before version 1.6: five pickles (magic number,
protocol, machine, objects, keys of storages) and then, for each key, its number of elements as
int64 and the elements, little-endian.

A pickle can name any function and have it called. This reader resolves three names, none of them to
code of the file or of PyTorch: ``collections.OrderedDict``, and stand-ins for ``torch.FloatStorage``
and ``torch._utils._rebuild_tensor_v2`` that only note what is asked for. Any other name is refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from nslib.embeddings.base import FloatArray
from nslib.errors import Unavailable

MAGIC = 0x1950A86A20F9469CFC6C
_REMEDY = "Delete the package from the cache and run again; if that does not help, do not use it."


class _Storage(NamedTuple):
    key: str
    elements: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(data: bytes, entry: str = "model_state") -> dict[str, FloatArray]:
    """Read one dictionary of tensors out of a checkpoint.

    Parameters
    ----------
    data : bytes
        The file.
    entry : str
        Key of the dictionary in the checkpoint.

    Returns
    -------
    dict of str to float32 array

    Raises
    ------
    Unavailable
        If the file is of another format, is damaged, or names anything but float tensors.
    """
    file = io.BytesIO(data)
    try:
        if _Reader(file).load() != MAGIC:
            raise pickle.UnpicklingError("the magic number is another")
        _, machine, checkpoint, keys = (_Reader(file).load() for _ in range(4))
        if not machine["little_endian"]:
            raise pickle.UnpicklingError("it was written on a big-endian machine")
        storages = {key: _elements(file) for key in keys}
        tensors = {name: t for name, t in checkpoint[entry].items() if isinstance(t, _Tensor)}
        return {name: _materialise(tensor, storages) for name, tensor in tensors.items()}
    except Exception as error:  # a damaged pickle can raise anything
        why = f"it is not a PyTorch checkpoint that can be read safely ({error})"
        raise Unavailable("the file of weights", why, _REMEDY) from error


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        allowed = {("collections", "OrderedDict"): OrderedDict, ("torch", "FloatStorage"): np.float32,
                   ("torch._utils", "_rebuild_tensor_v2"): _tensor}
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not an allowed name")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, elements, *_ = pid
        if kind != "storage" or dtype is not np.float32:
            raise pickle.UnpicklingError(f"a storage of kind {kind} and type {dtype} is not allowed")
        return _Storage(str(key), int(elements))


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...],
            *_: object) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _elements(file: io.BytesIO) -> FloatArray:
    count = int.from_bytes(file.read(8), "little")
    data = file.read(4 * count)
    if len(data) < 4 * count:
        raise pickle.UnpicklingError("it is cut short")
    return np.frombuffer(data, "<f4")


def _materialise(tensor: _Tensor, storages: dict[str, FloatArray]) -> FloatArray:
    flat = storages[tensor.storage.key]
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 <= tensor.offset <= last < len(flat) or min((*tensor.shape, *tensor.strides, 1)) < 0:
        raise pickle.UnpicklingError("a tensor reaches beyond its storage")
    bytes_apart = [4 * s for s in tensor.strides]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset:], tensor.shape, bytes_apart, writeable=False)
    return np.array(view)
