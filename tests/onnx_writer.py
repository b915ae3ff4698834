"""Write ONNX files without the onnx package: the few messages of its protobuf that a small model needs."""

from collections.abc import Sequence

import numpy as np

FLOAT, INT16, INT32, INT64, DOUBLE = 1, 5, 6, 7, 11
_OF = {"float32": FLOAT, "int16": INT16, "int32": INT32, "int64": INT64, "float64": DOUBLE}


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field: a number as a varint, anything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: np.ndarray, file: str = "") -> bytes:
    """A constant; `file` says that its numbers are in a file of their own."""
    head = b"".join(field(1, n) for n in values.shape) + field(2, _OF[str(values.dtype)]) + field(8, name)
    if not file:
        return head + field(9, values.tobytes())
    return head + field(13, field(1, "location") + field(2, file)) + field(14, 1)


def value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    """An input or output; a size that is a name is not fixed."""
    sizes = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sizes)))


def node(kind: str, taken: Sequence[str], given: str, **attributes: int | Sequence[int]) -> bytes:
    out = b"".join(field(1, name) for name in taken) + field(2, given) + field(4, kind)
    for name, what in attributes.items():
        number = isinstance(what, int)
        held = field(3, what) + field(20, 2) if number else b"".join(field(8, n) for n in what) + field(20, 7)
        out += field(5, field(1, name) + held)
    return out


def model(nodes: Sequence[bytes], constants: Sequence[bytes], inputs: Sequence[bytes],
          outputs: Sequence[bytes]) -> bytes:
    parts = ((1, nodes), (5, constants), (11, inputs), (12, outputs))
    graph = field(2, "graph") + b"".join(field(number, part) for number, some in parts for part in some)
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))
