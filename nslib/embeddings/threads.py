"""How many threads embeddings use, and how they share them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from nslib.errors import BadParameter

_Given = TypeVar("_Given")
_Found = TypeVar("_Found")


def count() -> int:
    """Threads for one network: the CPUs that this process may use, or ``NSLIB_THREADS``.

    Returns
    -------
    int

    Raises
    ------
    BadParameter
        If ``NSLIB_THREADS`` is not a whole number above 0.
    """
    asked = os.environ.get("NSLIB_THREADS", "").strip()
    if not asked:
        own = getattr(os, "sched_getaffinity", None)
        return len(own(0)) if own else os.cpu_count() or 1
    if not asked.isdigit() or int(asked) < 1:
        raise BadParameter(f"NSLIB_THREADS is {asked!r}; give a whole number of threads, 1 or more.")
    return int(asked)


def over(function: Callable[[_Given], _Found], things: Sequence[_Given]) -> list[_Found]:
    """Apply a function of NumPy operations to things side by side, one thread each.

    Parameters
    ----------
    function : callable
    things : sequence

    Returns
    -------
    list
        In the order of `things`.
    """
    with each(function, things) as found:
        return list(found)


@contextlib.contextmanager
def each(function: Callable[[_Given], _Found], things: Sequence[_Given]) -> Iterator[Iterator[_Found]]:
    """Apply a function as `over` does, and have the first results while the last are still computed.

    Parameters
    ----------
    function : callable
    things : sequence

    Yields
    ------
    iterator
        Results in the order of `things`; valid inside the context.
    """
    # the matrix products here are small: with threads of its own, BLAS would mostly make them wait for
    # each other, and on a busy machine by a factor of ten
    with _single_blas():
        if len(things) == 1:
            yield map(function, things)
            return
        with ThreadPoolExecutor(count()) as pool:
            yield pool.map(function, things)


class _Limit:
    lock = threading.Lock()
    users = 0
    held: Any = None
    modules = 0
    controller: Any = None


def _controller() -> Any:
    """Give the controller of the BLAS libraries; to find them takes longer than a short clip's front end."""
    import threadpoolctl

    # a library can have come only with a new module
    if _Limit.modules != len(sys.modules):
        _Limit.controller, _Limit.modules = threadpoolctl.ThreadpoolController(), len(sys.modules)
    return _Limit.controller


@contextlib.contextmanager
def _single_blas() -> Iterator[None]:
    # the limit is of the process, so the first to come sets it and the last to go takes it away
    with _Limit.lock:
        if _Limit.users == 0:
            _Limit.held = _controller().limit(limits=1, user_api="blas")
        _Limit.users += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.users -= 1
            if _Limit.users == 0:
                _Limit.held.restore_original_limits()
