"""nslib: measure speech embeddings on non-semantic tasks, as the paper's NOSS benchmark does.

Reference: Shor et al., *Towards Learning a Universal Non-Semantic Representation of Speech*,
Interspeech 2020, arXiv 2002.12764.

>>> import nslib
>>> results = nslib.benchmark("logmel", tasks=["speaker-fillets"])    # doctest: +SKIP
>>> vectors = nslib.embed("my_recordings/", embedding="logmel")      # doctest: +SKIP

Rooms and functions are imported on first use, so that ``import nslib`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from nslib import (
        audio,
        config,
        datasets,
        embeddings,
        errors,
        evaluation,
        extraction,
        figures,
        frontend,
        paper,
        report,
        statistics,
        teaching,
        training,
    )
    from nslib.evaluation.benchmark import benchmark, embed
    from nslib.teaching.check import check, exercise
    from nslib.training.classifier import load_classifier

__all__ = ["audio", "benchmark", "check", "config", "datasets", "embed", "embeddings", "errors", "evaluation",
           "exercise", "extraction", "figures", "frontend", "load_classifier", "paper", "report", "statistics",
           "teaching", "training"]

_FUNCTIONS = {"benchmark": "evaluation.benchmark", "embed": "evaluation.benchmark", "check": "teaching.check",
              "exercise": "teaching.check", "load_classifier": "training.classifier"}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"nslib.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"nslib.{name}")
    raise AttributeError(f"module 'nslib' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
