"""From parameters to pages: run the notebooks, and write what they and the benchmark found.

`run` executes notebooks strictly and only where something changed; `build` writes ``index.html``,
``summary.md``, figures and tables from results. Neither imports TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nslib.report.html import build
    from nslib.report.runs import Run, last, run

__all__ = ["Run", "build", "last", "run"]


def __getattr__(name: str) -> Any:
    import importlib

    if name in __all__:
        module = "nslib.report.html" if name == "build" else "nslib.report.runs"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'nslib.report' has no attribute {name!r}")
