"""Fine-tuned networks in the table of results, beside the frozen embeddings.

Conventions
-----------
A result is keyed by the clips, the weights at the start, every setting and the code, as other results are, so
that a second run takes no time. It has one combination, probe ``finetuned-<pool>`` (``frozen-<pool>`` of the
control); nothing is chosen but the epoch, on validation.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nslib import audio, corpora, metrics, probe, results, splits
from nslib.errors import BadAudio, BadParameter
from nslib.frontend import TRILL
from nslib.probe_data import checked
from nslib.probe_fit import Fit, Wanted
from nslib.splits import SPLITS
from nslib.tasks import Task
from nslib.train import embedding, models
from nslib.train.finetune import Finetuned, Material, finetune
from nslib.train.finetune_settings import FinetuneSettings

if TYPE_CHECKING:
    import pandas as pd

    from nslib.params import Params

Cut = tuple[dict[str, Material], tuple[str, ...]]
"""Clips of each split, cut into patches, and notes on them."""

_SAID = ("tap", "pool")
_SOURCES = ("finetune", "finetune_model", "finetune_results", "pools")


def name(settings: FinetuneSettings) -> str:
    """Name in tables: ``trill-mini-finetuned``; another tap, another pool and the control say what they are.

    Parameters
    ----------
    settings : FinetuneSettings

    Returns
    -------
    str
        Any other change but that of the seed, which has a column of its own, adds four digits, so that an
        experiment never takes the place of the usual run.
    """
    usual = FinetuneSettings()
    parts = [settings.network, "frozen" if settings.frozen else "finetuned"]
    parts += [getattr(settings, f) for f in _SAID if getattr(settings, f) != getattr(usual, f)]
    said = {f: getattr(settings, f) for f in ("network", "frozen", "seed", *_SAID)}
    if settings != dataclasses.replace(usual, **said):
        parts.append(hashlib.sha256(repr(dataclasses.replace(settings, seed=0)).encode()).hexdigest()[:4])
    return "-".join(parts)


def benchmark(task: Task, params: Params, settings: FinetuneSettings | None = None, *, cut: Cut | None = None,
              done: Finetuned | None = None, progress: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fine-tune on a task, or find the result of having done so.

    Parameters
    ----------
    task : Task
    params : Params
    settings : FinetuneSettings, optional
    cut : dict and notes, optional
        What `material` gave for the task's clips, if they have been read before.
    done : Finetuned, optional
        A run of these settings on this task's clips that was made a moment ago: it is scored, and not made again.
    progress : bool

    Returns
    -------
    rows, predictions : DataFrame
        As `nslib.results.ROWS` and `nslib.results.PREDICTIONS`; the curve is kept in neither.

    Raises
    ------
    Unavailable
        If the task's data cannot be had.
    BadParameter
        If a split is empty, `cut` has other clips, or `done` is a run of other settings.
    """
    settings = settings or FinetuneSettings()
    clips = corpora.load_clips(task, params, progress=progress).clips
    origin = {"task": task.name, "embedding": name(settings), "data_hash": splits.data_hash(clips),
              "split_hash": splits.split_hash(clips), "weights_hash": models.FILES[settings.network].sha256}
    key = results.key(**origin, settings={**dataclasses.asdict(settings), "metric": task.metric, "code": _code()})
    if (known := results.find(key)) is not None:
        return known
    if done is not None and done.model.settings != settings:
        raise BadParameter(f"the run that was given has other settings: {done.model.settings}, not {settings}.")
    found, notes = cut or material(clips, progress=progress)
    strange = {clip for part in found.values() for clip in part.clip_id} - set(clips["clip_id"])
    if strange:
        raise BadParameter(f"{len(strange)} clips that were given are not of task {task.name}, as {min(strange)!r}.")
    done = done or finetune(found, settings, metric=task.metric, progress=progress)
    grid = scored(done, found, settings, task.metric, done.seconds, notes)
    made = results.complete(grid, key=key, corpus_kind=task.kind, **origin)
    results.save(*made)
    return made


def material(clips: pd.DataFrame, *, progress: bool = True) -> Cut:
    """Read the clips of a task and cut them into patches.

    Parameters
    ----------
    clips : DataFrame
        Clip table with ``clip_id, audio, label, speaker, split``.
    progress : bool

    Returns
    -------
    material : dict of str to Material
        Of each split, in the order of ``clip_id``.
    notes : tuple of str
        How many clips were padded, and which could not be read.
    """
    from tqdm.std import tqdm

    cut, padded, lost = {}, 0, []
    for row in tqdm(clips.itertuples(), "cut", len(clips), unit="clip", disable=not progress):
        try:
            wave = audio.read(row.audio).wave
        except BadAudio as error:
            lost.append(str(error))
            continue
        padded += len(wave) < TRILL.min_samples
        cut[row.clip_id] = embedding.cut(wave)
    there = clips[clips["clip_id"].isin(cut)].sort_values("clip_id")
    notes = [f"{padded} of {len(clips)} clips are shorter than a second and were padded with zeros."] if padded else []
    parts = {split: _part(there[there["split"] == split], cut) for split in SPLITS}
    return parts, (*notes, *(f"Left out: {reason}" for reason in lost))


def _part(rows: pd.DataFrame, cut: dict[str, np.ndarray]) -> Material:
    named = (rows[column].to_numpy(str) for column in ("label", "speaker", "clip_id"))
    return Material([cut[clip] for clip in rows["clip_id"]], *named)


def scored(done: Finetuned, found: dict[str, Material], settings: FinetuneSettings, metric: str, seconds: float = 0.0,
           notes: tuple[str, ...] = ()) -> probe.Grid:
    """Score a fine-tuned network as probes are scored.

    Parameters
    ----------
    done : Finetuned
    found : dict of str to Material
    settings : FinetuneSettings
    metric : str
        A name in `nslib.metrics.METRICS`.
    seconds : float
        That it took.
    notes : tuple of str

    Returns
    -------
    Grid
        One combination.
    """
    labels = {split: done.classes[p.argmax(1)] for split, p in done.probabilities.items()}
    answers = done.probabilities if metrics.get(metric).needs == "scores" else labels
    called = f"{'frozen' if settings.frozen else 'finetuned'}-{settings.pool}"
    fit = Fit(called, False, False, dict(answers), labels, done.best_epoch < settings.epochs, seconds, "")
    parts = checked(*(done.split(split, found[split]) for split in SPLITS))
    return probe.scored([fit], parts, Wanted(done.classes, metric, settings.seed), notes)


def gaps(answers: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Compare one embedding with all others, clip by clip.

    Parameters
    ----------
    answers : DataFrame
        As `nslib.results.PREDICTIONS`.
    subject : str
        Name of an embedding.

    Returns
    -------
    DataFrame
        Index task and against; points of accuracy by which the subject is better, low and high of the
        95 % interval, by (what was resampled) and clips.
    """
    import pandas as pd

    right = answers.assign(right=answers["y_true"] == answers["y_pred"])
    found = []
    for task, rows in right.groupby("task", sort=False):
        wide = rows.pivot(index=["clip_id", "speaker"], columns="embedding", values="right")
        for other in wide.columns.drop(subject):
            both = wide[[subject, other]].dropna()  # a clip that one of them has no answer to is not compared
            if both.empty:
                continue
            a, b = (both[name].to_numpy(bool) for name in (subject, other))
            d = metrics.difference(a, b, both.index.get_level_values("speaker").to_numpy(str))
            found.append({"task": task, "against": other, "points": 100 * d.diff, "low": 100 * d.low,
                          "high": 100 * d.high, "by": d.by, "clips": len(both)})
    return pd.DataFrame(found).set_index(["task", "against"])


def _code() -> str:
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{source}.py").read_bytes() for source in _SOURCES)).hexdigest()[:16]
