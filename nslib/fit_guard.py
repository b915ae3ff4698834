"""What holds while a probe is fitted: one BLAS thread a fit, and every fit's own warnings.

Conventions
-----------
``warnings.catch_warnings`` and ``threadpool_limits`` put back what they found, and both are of the whole process. Of
two that overlap, as fits in threads do, the first to leave would take from the second what it needs. Here the first
to come sets both, and the last to leave puts both back.
"""

from __future__ import annotations

import threading
import warnings
from collections import defaultdict
from typing import Any


class AtWork:
    """A context of which any number may be open: one BLAS thread, and an ear for the warnings of each thread."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._heard: dict[int, list[tuple[type[Warning], str]]] = defaultdict(list)

    def __enter__(self) -> None:
        import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
        from threadpoolctl import threadpool_limits

        with self._lock:
            self._users += 1
            if self._users == 1:
                self._limits, self._caught = threadpool_limits(1), warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("always")
                warnings.showwarning = self._hear

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._caught.__exit__(None, None, None)
                self._limits.restore_original_limits()

    def _hear(self, message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        self._heard[threading.get_ident()].append((category, str(message)))

    def heard(self) -> list[tuple[type[Warning], str]]:
        """What this thread warned of since it was last asked.

        Returns
        -------
        list of (type, str)
            Category and text of each.
        """
        return self._heard.pop(threading.get_ident(), [])


AT_WORK = AtWork()
