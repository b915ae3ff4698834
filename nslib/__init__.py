"""nslib: measure speech embeddings on non-semantic tasks, as the paper's NOSS benchmark does.

Reference: Shor et al., *Towards Learning a Universal Non-Semantic Representation of Speech*,
Interspeech 2020, arXiv 2002.12764.

>>> import nslib
>>> results = nslib.benchmark("logmel", tasks=["speaker-fillets"])    # doctest: +SKIP
>>> vectors = nslib.embed("my_recordings/", embedding="logmel")      # doctest: +SKIP

Everything is imported on first use, so that ``import nslib`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nslib import (
        audio,
        claims,
        corpora,
        embeddings,
        explore,
        extract,
        frontend,
        interchange,
        measure,
        metrics,
        params,
        plots,
        probe,
        protocols,
        published,
        report,
        results,
        splits,
        store,
        tasks,
    )
    from nslib.checks import check
    from nslib.measure import benchmark, embed
    from nslib.workshop.exercises import exercise

_FUNCTIONS = {"benchmark": "nslib.measure", "embed": "nslib.measure", "check": "nslib.checks",
              "exercise": "nslib.workshop.exercises"}
_MODULES = ("audio", "claims", "corpora", "embeddings", "explore", "extract", "frontend", "interchange", "measure",
            "metrics", "params", "plots", "probe", "protocols", "published", "report", "results", "splits", "store",
            "tasks")

__all__ = ["audio", "benchmark", "check", "claims", "corpora", "embed", "embeddings", "exercise", "explore", "extract",
           "frontend", "interchange", "measure", "metrics", "params", "plots", "probe", "protocols", "published",
           "report", "results", "splits", "store", "tasks"]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"nslib.{name}")
    raise AttributeError(f"module 'nslib' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
