"""From a task to a classifier that can be used: choose a probe as the benchmark does, fit it, and export it.

Conventions
-----------
The probe and whether vectors are brought to length one are those with the best score on validation among the
combinations without a z-score by speaker, which cannot be exported. It is then fitted on train alone, so that the
test score of that combination is its own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import corpora, extract, fit_guard, measure, metrics
from nslib import params as parameters
from nslib import tasks as task_registry
from nslib.classifiers import CLASSIFIERS, normalised
from nslib.errors import NslibError, UnknownName
from nslib.params import Params
from nslib.probe_data import Split, checked
from nslib.splits import SPLITS
from nslib.train import export, export_backbones, export_probe
from nslib.train.export_backbones import Backbone

if TYPE_CHECKING:
    import pandas as pd


def fit_and_export(task: str | Path, embedding: str | Backbone, folder: str | Path, *, probe: str | None = None,
                   l2: bool | None = None, params: Params | None = None, splits: str | Path | None = None,
                   progress: bool = True, **stated: str) -> Path:
    """Fit the best probe of a task and write it with its embedding as one SavedModel.

    Parameters
    ----------
    task : str or path
        A task's name, or recordings of your own as `nslib.benchmark` takes them.
    embedding : str or Backbone
        One of `nslib.train.export_backbones.names`, or what that module makes of a network or a SavedModel.
    folder : path-like
        Must not exist, or be empty.
    probe : str, optional
        One of `nslib.probe.PROBES`. Default: the best on validation.
    l2 : bool, optional
        Whether vectors are brought to length one. Default: what is better on validation.
    params : Params, optional
        Default: from the environment.
    splits : path-like, optional
        A file of splits for recordings of your own.
    progress : bool
        Bars on stderr.
    **stated
        As for `nslib.train.export.saved_model`.

    Returns
    -------
    Path
        The folder. Its facts hold task, seed, clips, and the scores with their intervals.

    Raises
    ------
    UnknownName
        For an unknown task, embedding or probe.
    BadParameter
        If the embedding cannot be part of a graph, or there is something in the folder.
    Unavailable
        If the task or the embedding cannot be had.
    NslibError
        If no probe can be fitted.

    Examples
    --------
    >>> fit_and_export("speaker-fillets", "trill-mini-layer19", "who/")     # doctest: +SKIP
    """
    folder, params = Path(folder), params or parameters.load()
    export.empty(folder)
    if probe is not None and probe not in CLASSIFIERS:
        raise UnknownName("probe", probe, CLASSIFIERS)
    backbone = export_backbones.built_in(embedding) if isinstance(embedding, str) else embedding
    rows = _rows(task, backbone, params, splits, progress)
    row = choose(rows, probe, l2)
    train, labels, licence = _train(task, backbone, params, splits, progress)
    classifier, x, warned = _fitted(train, labels, row["probe"], bool(row["l2"]), params.seed)
    facts = {"task": str(row["task"]), "task_licence": licence, "probe": row["probe"], "seed": params.seed,
             "clips": len(train.y), "metric": row["metric"], "scores": _scores(rows, row),
             "warnings": warned}
    return export_probe.saved_model(backbone, classifier, folder, labels=list(labels), l2=bool(row["l2"]),
                                    speaker_norm=False, examples=x, facts=facts, **stated)


def choose(rows: pd.DataFrame, probe: str | None = None, l2: bool | None = None) -> pd.Series:
    """Choose a combination by validation, among those that can be exported.

    Parameters
    ----------
    rows : DataFrame
        Of one task and embedding, as `nslib.benchmark` gives them.
    probe : str, optional
        Only this one.
    l2 : bool, optional
        Only with, or without, L2 normalisation.

    Returns
    -------
    Series
        Its row of the validation split; of equal scores the first.

    Raises
    ------
    NslibError
        If there is none.
    """
    own = rows[(rows["split"] == "validation") & ~rows["speaker_norm"].astype(bool) & rows["value"].notna()]
    own = own if probe is None else own[own["probe"] == probe]
    own = own if l2 is None else own[own["l2"].astype(bool) == l2]
    if not len(own):
        raise NslibError(f"there is no score of probe={probe}, l2={l2} without a z-score by speaker; the rows of the "
                         "benchmark say why.")
    better = metrics.get(own["metric"].iloc[0]).higher_is_better
    return own.iloc[int(np.argmax(own["value"].to_numpy() * (1 if better else -1)))]


def _rows(task: str | Path, backbone: Backbone, params: Params, splits: str | Path | None,
          progress: bool) -> pd.DataFrame:
    found = measure.benchmark(backbone.embedding, task, params=params, splits=splits, progress=progress)
    if not len(found.rows):
        first = found.not_run.iloc[0]
        raise NslibError(f"{first.task} was not run with {first.embedding}: {first.why}. {first.remedy}")
    return found.rows


def _train(task: str | Path, backbone: Backbone, params: Params, splits: str | Path | None,
           progress: bool) -> tuple[Split, Any, str]:
    """Vectors of train as the benchmark's probes saw them, the labels, and the licence of the audio."""
    if isinstance(task, str) and task in task_registry.REGISTRY:
        record = corpora.resolve(replace(params, tasks=(task,)), progress=progress).tasks[0]
        corpus = corpora.load_clips(record, params, progress=progress)
    else:
        record, corpus = corpora.own_task(task, seed=params.seed, splits=splits, progress=progress)
    out = extract.vectors(corpus.clips, backbone.embedding, progress=progress)
    parts = []
    for name in SPLITS:
        own = (out.clips["split"] == name).to_numpy(bool)
        columns = (out.clips[own][c].to_numpy(str) for c in ("label", "speaker", "clip_id"))
        parts.append(Split(out.vectors[own], *columns))
    train = checked(*parts)["train"]
    return train, np.unique(train.y), record.licence


def _fitted(train: Split, labels: Any, probe: str, l2: bool, seed: int) -> tuple[Any, Any, list[str]]:
    x = normalised(train.x, train.speaker, l2=l2, speaker_norm=False)
    codes = np.searchsorted(labels, train.y)
    with fit_guard.AT_WORK:
        made = CLASSIFIERS[probe](len(codes), len(labels), seed).fit(x, codes)
        warned = [text.splitlines()[0] for _, text in fit_guard.AT_WORK.heard()]
    return made, x, warned


def _scores(rows: pd.DataFrame, row: pd.Series) -> dict[str, dict[str, float]]:
    same = rows[(rows["probe"] == row["probe"]) & (rows["l2"] == row["l2"]) & ~rows["speaker_norm"].astype(bool)]
    return {one["split"]: {key: float(one[key]) for key in ("value", "low", "high")} for _, one in same.iterrows()}
