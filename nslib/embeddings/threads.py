"""How many threads the networks' libraries may use."""

from __future__ import annotations

import os

from nslib.errors import BadParameter


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
