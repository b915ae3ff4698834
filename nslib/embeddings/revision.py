"""A hash of a Python function and of what it uses, so that a changed function never gets old vectors.

What goes into it: the code; default values; what the function closes over; the globals that it
names, functions among them followed in turn; attributes of callable objects; arrays by their bytes;
Keras and PyTorch models by their weights; imported modules by name and version; other objects by
their pickle. What has none of these cannot be seen. Code that is called by another name (through
`getattr`, a file, a library that you edit in place) is not followed.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import os
import pickle
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

_PLAIN = (str, bytes, int, float, complex, bool, type(None), os.PathLike)


def of(function: Callable[..., Any]) -> tuple[str, tuple[str, ...]]:
    """Hash a callable.

    Parameters
    ----------
    function : callable

    Returns
    -------
    digest : str
        16 hex digits.
    unseen : tuple of str
        Names of what it uses and could not be hashed; a change there does not change the digest.
    """
    visitor = _Visitor()
    visitor.add("function", function)
    return visitor.digest.hexdigest()[:16], tuple(dict.fromkeys(visitor.unseen))


class _Visitor:
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
        self._add_kind(name, thing)

    def _put(self, *words: str | bytes) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else word.encode()
            self.digest.update(f"{len(data)}:".encode() + data)

    def _add_kind(self, name: str, thing: Any) -> None:
        if isinstance(thing, types.ModuleType):
            self._put("module", thing.__name__, str(getattr(thing, "__version__", "")))
        elif isinstance(thing, (types.BuiltinFunctionType, np.ufunc)):
            self._put("builtin", str(getattr(thing, "__module__", "")), thing.__name__)
        elif isinstance(thing, types.FunctionType):
            self._function(thing)
        elif isinstance(thing, types.MethodType):
            self._items([("method", thing.__func__), ("self", thing.__self__)])
        elif isinstance(thing, functools.partial):
            self._items([("func", thing.func), ("args", thing.args), ("keywords", thing.keywords)])
        elif isinstance(thing, type):
            self._class(thing)
        elif isinstance(thing, dict):
            self._items((repr(k), v) for k, v in thing.items())
        elif isinstance(thing, (list, tuple)):
            self._items((str(k), v) for k, v in enumerate(thing))
        elif isinstance(thing, (np.ndarray, np.generic)) and thing.dtype != object:
            self._put(str(thing.dtype), str(thing.shape), np.ascontiguousarray(thing).tobytes())
        else:
            self._object(name, thing)

    def _items(self, items: Iterable[tuple[str, Any]]) -> None:
        for name, thing in items:
            self.add(name, thing)
        self._put("end")

    def _function(self, function: types.FunctionType) -> None:
        cells = [c.cell_contents for c in function.__closure__ or () if _filled(c)]
        self._code(function.__code__)
        self._items([("defaults", function.__defaults__), ("keywords", function.__kwdefaults__),
                     ("closure", tuple(cells))])
        used = sorted(_global_names(function.__code__) & function.__globals__.keys())
        self._items((name, function.__globals__[name]) for name in used)

    def _code(self, code: types.CodeType) -> None:
        # instructions and names only: line numbers and file names change without the function changing
        self._put("code", *(f"{i.opname} {i.argrepr if not _is_code(i.argval) else ''}"
                            for i in dis.get_instructions(code)))
        for constant in code.co_consts:
            if _is_code(constant):
                self._code(constant)

    def _class(self, kind: type) -> None:
        self._put("class", kind.__module__, kind.__qualname__)
        if kind.__module__.split(".")[0] in ("__main__", "builtins") or _is_local(kind):
            methods = [(n, m) for n, m in sorted(vars(kind).items()) if isinstance(m, types.FunctionType)]
            self._items(methods)

    def _object(self, name: str, thing: Any) -> None:
        self.add("type", type(thing))
        if callable(getattr(thing, "get_weights", None)):  # Keras
            self._items(enumerate_names(thing.get_weights()))
        elif callable(getattr(thing, "state_dict", None)):  # PyTorch
            self._items((k, np.asarray(v)) for k, v in thing.state_dict().items())
        elif callable(thing) and hasattr(thing, "__dict__"):
            self._items(sorted(vars(thing).items()))
        else:
            self._pickle(name, thing)

    def _pickle(self, name: str, thing: Any) -> None:
        try:
            self._put("pickle", pickle.dumps(thing, protocol=4))
        except Exception:  # an object may fail to be pickled with any error
            self.unseen.append(f"{name} ({type(thing).__qualname__})")


def enumerate_names(things: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    """Number things.

    Parameters
    ----------
    things : iterable

    Returns
    -------
    iterable of (str, object)
    """
    return ((str(k), thing) for k, thing in enumerate(things))


def _global_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if _is_code(constant):
            names |= _global_names(constant)
    return names


def _is_code(value: object) -> bool:
    return isinstance(value, types.CodeType)


def _is_local(kind: type) -> bool:
    """Whether a class is of the user's own files rather than of an installed package."""
    try:
        return "site-packages" not in inspect.getfile(kind)
    except (TypeError, OSError):
        return True


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
