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
    from nslib import audio, embeddings, errors, frontend, measure, plots, probe, protocols, report, results, robustness
    from nslib.measure import benchmark, embed
    from nslib.teaching.check import check, exercise
    from nslib.training.classifier import load_classifier

_FUNCTIONS = {"benchmark": ("nslib.measure", "benchmark"), "embed": ("nslib.measure", "embed"),
              "check": ("nslib.checks", "check"), "load_classifier": ("nslib.train.export_probe", "load"),
              "exercise": ("nslib.workshop.exercises", "exercise")}
_MODULES = ("audio", "calibration", "cells", "claims", "compare", "corpora", "data_card", "embeddings", "errors",
            "explore", "extract", "frontend", "interchange", "leaderboard", "measure", "metrics", "model_card",
            "params", "plots", "precomputed", "probe", "protocols", "published", "report", "results", "robustness",
            "rows", "splits", "store", "tasks", "ties", "verify")

__all__ = ["audio", "benchmark", "calibration", "cells", "check", "claims", "compare", "corpora", "data_card",
           "embed", "embeddings", "errors", "exercise", "explore", "extract", "frontend", "interchange",
           "leaderboard", "load_classifier", "measure", "metrics", "model_card", "params", "plots", "precomputed",
           "probe", "protocols", "published", "report", "results", "robustness", "rows", "splits", "store", "tasks",
           "ties", "verify"]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        module, function = _FUNCTIONS[name]
        return getattr(importlib.import_module(module), function)
    if name in _MODULES:
        return importlib.import_module(f"nslib.{name}")
    raise AttributeError(f"module 'nslib' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
