"""nslib: measure speech embeddings on non-semantic tasks, as the paper's NOSS benchmark does.

Reference: Shor et al., *Towards Learning a Universal Non-Semantic Representation of Speech*,
Interspeech 2020, arXiv 2002.12764.

>>> import nslib
>>> results = nslib.benchmark("logmel", tasks=["speaker-fillets"])    # doctest: +SKIP
>>> vectors = nslib.embed("my_recordings/", embedding="logmel")      # doctest: +SKIP

Rooms and functions are imported when they are first used, so that ``import nslib`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

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
    from nslib.config import Params
    from nslib.datasets.tasks import Task
    from nslib.evaluation.benchmark import Embeddable
    from nslib.evaluation.results import Results
    from nslib.teaching.check import check, exercise
    from nslib.training.classifier import load_classifier

__all__ = ["audio", "benchmark", "check", "config", "datasets", "embed", "embeddings", "errors", "evaluation",
           "exercise", "extraction", "figures", "frontend", "load_classifier", "paper", "report", "statistics",
           "teaching", "training"]

_FUNCTIONS = {"check": "teaching.check", "exercise": "teaching.check", "load_classifier": "training.classifier"}


def benchmark(
    embeddings: Embeddable | Iterable[Embeddable] | None = None,
    tasks: str | Path | Task | Iterable[str | Path | Task] | None = None,
    *,
    params: Params | None = None,
    name: str | None = None,
    splits: str | Path | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> Results:
    """Measure embeddings on tasks: the same probes, splits and intervals for all of them.

    Parameters
    ----------
    embeddings : str, path, Embedding, callable, or iterable of these, optional
        Built-in names, files of a model (a SavedModel's folder, ``.tflite``, ``.onnx``), records, or functions
        ``float32 [clips, samples] -> [clips, dim]`` or ``[clips, frames, dim]``; see `specify_embedding`. Default:
        those of `params`, else all of the profile that need no extra licence.
    tasks : str, path, Task, or iterable of these, optional
        Task names, or recordings of your own: a folder (label = subfolder), a CSV, TSV or Parquet list, a Kaldi data
        directory, a folder with ``metadata.csv``, or ``tfds:NAME``. Default: those of `params`, else all of the
        profile.
    params : Params, optional
        Default: from the environment.
    name : str, optional
        How to call a callable in tables.
    splits : path, optional
        A file of splits for recordings of your own; see `nslib.datasets.splits`.
    cluster : str, distributed.Client or cluster object of dask, optional
        Where the work is done: address of a dask scheduler, or ``local:N`` for N worker processes on this machine; see
        `nslib.extraction.cluster.connect`. Default: in this process.

    Raises
    ------
    UnknownName
        For an unknown task or embedding; nothing has been computed then.
    Unavailable
        If no scheduler answers at `cluster`, or it has no workers.

    Examples
    --------
    >>> nslib.benchmark("logmel", tasks="speaker-fillets").table()    # doctest: +SKIP
    """
    from nslib.evaluation.benchmark import benchmark

    return benchmark(embeddings, tasks, params=params, name=name, splits=splits, progress=progress, cluster=cluster)


def embed(source: str | Path, embedding: Embeddable = "logmel", *, progress: bool = True,
          cluster: Any = None) -> pd.DataFrame:
    """Embed recordings, in any layout that `benchmark` takes: one vector a clip.

    Returns
    -------
    DataFrame
        Columns of the clip table and ``vector`` (float32 [dim]). ``attrs["problems"]`` is a list of dicts, one for each
        clip that was left out: clip_id, audio, reason, remedy; ``attrs["notes"]`` are sentences on what was read.

    Examples
    --------
    >>> nslib.embed("my_recordings/", embedding="logmel")    # doctest: +SKIP
    """
    from nslib.evaluation.benchmark import embed

    return embed(source, embedding, progress=progress, cluster=cluster)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"nslib.{_FUNCTIONS[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"nslib.{name}")
    raise AttributeError(f"module 'nslib' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
