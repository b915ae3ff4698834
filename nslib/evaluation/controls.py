"""Controls: what a score must be held against before it says anything of voices.

==================  ==================================================================================================
control             what is answered by what
==================  ==================================================================================================
majority            always the most frequent label of training
permuted-labels     the chosen probe of the best embedding, fitted to permuted training labels, 39 times: the mean, and
                    the range of all, which holds 95 % of what chance gives (Ojala and Garriga, JMLR 11, 2010)
silence             the probes of the run on the log-mel bands (mean, deviation) of each clip's pauses alone
recording           the same on the rate of the file, and length, level and peak of the clip
by-clip             the vectors of the best embedding, clips divided at random, whoever speaks: no result, but what a
                    table shows whose split shares speakers
by-speaker          in place of it where the split itself shares speakers: the same vectors, speakers divided
==================  ==================================================================================================

Labels are permuted among the speakers where each has one label only, else among clips. Between the quiet and the loud
frames of a clip (the 5th and 95th percentile of their levels) lie 15 dB or more, else it has no pause; a pause is 0.1 s
or longer, within the lowest fifth of that range. A clip without one has a vector of zeros, and is counted. The best
embedding is that on validation; its vectors are those that are stored. Tables are kept beside the results, as
``<key>.controls.parquet``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib import config, frontend
from nslib.datasets.splits import label_is_speaker
from nslib.datasets.tasks import REGISTRY, Task, make_own_task
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray
from nslib.embeddings.handmade import compute_statistics
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.evaluation import benchmark, divisions, probe, protocols, results
from nslib.evaluation.benchmark import Embeddable, EmbeddingSpec
from nslib.evaluation.classifiers import normalise
from nslib.evaluation.probe import FIT_CONTEXT, FitSettings, LabelledVectors, ProbeTask
from nslib.evaluation.results import Columns, Results
from nslib.extraction.extract import Extraction
from nslib.statistics import intervals, scores

__all__ = ["measure_controls"]

# Raise it whenever a value of a control can move: it is part of the key of every table.
CONTROLS_VERSION = 1

MAJORITY, PERMUTED, SILENCE, RECORDING = "majority", "permuted-labels", "silence", "recording"
PERMUTATIONS, SMOKE_PERMUTATIONS = 39, 3
LEAST_RANGE, PAUSE_SHARE, PAUSE_FRAMES = 15.0, 0.2, 10  # dB, of the range, frames of 10 ms

_SHARED = ("probe", "l2", "speaker_norm", "metric", "value", "n", "n_speakers", "chance", "low", "high", "interval_by",
           "level")
CONTROLS: Columns = {**results.pick_columns("key", "task"), "control": "str", "embedding": "str",
                     **results.pick_columns(*_SHARED), "says": "str"}
"""Controls: a row a task and control; ``interval_by`` is also "permutation", or empty without an interval."""

# quieter than TRILL's own: its offset would make all pauses alike
_QUIET = replace(frontend.TRILL, offset=1e-6)
_TOLD = {SILENCE: "the pauses alone", RECORDING: "the rate, length and level of the recordings alone"}


def _take_pauses(wave: FloatArray) -> npt.NDArray[np.float64]:
    """Log-mel bands of the pauses of a clip [samples]: float64 [frames, 64]; one frame of zeros if it has none."""
    from scipy.ndimage import binary_opening

    bands = frontend.log_mel(wave, _QUIET, dtype=np.float64)
    level = 10 * np.log10((np.exp(bands) ** 2).sum(axis=1))
    quiet, loud = np.percentile(level, (5, 95))
    pauses = bands[binary_opening(level <= quiet + PAUSE_SHARE * (loud - quiet), np.ones(PAUSE_FRAMES))]
    return pauses if len(pauses) and loud - quiet >= LEAST_RANGE else np.zeros((1, bands.shape[1]))


def _measure_level(wave: FloatArray) -> npt.NDArray[np.float64]:
    """Level, peak and length of a clip [samples], each as a logarithm: float64 [1, 3]."""
    size = np.sqrt(np.mean(wave.astype(np.float64) ** 2)), np.abs(wave).max(), len(wave) / SAMPLE_RATE
    return np.log10(np.maximum(size, 1e-5))[None]


_HEARD = {SILENCE: Embedding(SILENCE, f"pauses of {_QUIET} 1", 128, compute_statistics(_take_pauses),
                             min_samples=frontend.WINDOW, pads_safely=True),
          RECORDING: Embedding(RECORDING, "level peak length 1", 6, compute_statistics(_measure_level),
                               pads_safely=True)}

OF_CLASSES = "controls are of labels that are classes; leave --controls out for ccc and mae."


def measure_controls(measured: Results, embeddings: Embeddable | Iterable[Embeddable] | None = None,
                     params: config.Params | None = None, *, name: str | None = None,
                     progress: bool = True) -> pd.DataFrame:
    """Measure the controls of every task of a benchmark, given ``embeddings``, ``params`` and ``name`` as it was.

    Only pauses, level and length are heard anew. The table is of `CONTROLS`; what cannot be had is NaN, ``says`` why.

    >>> measured = nslib.benchmark("logmel", "my_recordings/")    # doctest: +SKIP
    >>> measure_controls(measured, "logmel")[["task", "control", "value", "low", "high", "says"]]    # doctest: +SKIP
    """
    if "numbers" in {scores.get_metric(name).needs for name in measured.rows["metric"].unique()}:
        raise BadParameter(OF_CLASSES)
    params = params or config.load_params()
    specs = {spec.name: spec for spec in benchmark.specify_embeddings(embeddings, params, name)}
    tables = []
    for task, clips in measured.clips.groupby("task", sort=False):
        best = measured.best(str(task))
        if best in specs:
            chosen = measured.rows[(measured.rows["task"] == task) & (measured.rows["embedding"] == best)]
            answers = measured.predictions[measured.predictions["key"].isin(chosen["key"])]
            clips = clips.drop(columns=["task", "corpus_kind"]).dropna(axis=1, how="all").reset_index(drop=True)
            row = scores.select_scores(chosen).iloc[0].to_dict()
            probes = tuple(chosen["probe"][chosen["probe"] != scores.CHOSEN_BY_FOLD].unique())
            asked = replace(REGISTRY.get(str(task)) or make_own_task(str(task), clips), metric=row["metric"],
                            probes=probes)
            tables.append(_measure_task(asked, clips, specs[best], row, answers, params, progress))
    return results.join_tables(tables, CONTROLS)


def _measure_task(task: Task, clips: pd.DataFrame, spec: EmbeddingSpec, chosen: dict[str, Any], answers: pd.DataFrame,
                  params: config.Params, progress: bool) -> pd.DataFrame:
    """Controls of a task: stored ones, else computed."""
    draws = SMOKE_PERMUTATIONS if params.smoke else PERMUTATIONS
    settings = benchmark.probe_settings(task, params)
    key = results.make_key(**benchmark.identify_pair(task, spec, clips),
                           settings={**settings, "controls": CONTROLS_VERSION, "draws": draws})
    stored = results.find_table(key, "controls", CONTROLS)
    if stored is not None:
        return stored
    out = spec.vectors(clips, progress=progress)
    parts = [benchmark.label_vectors(out, fold) for fold in benchmark.divide_folds(task, out.clips) or (None,)]
    rows = _measure_chance(parts, chosen, answers, draws)
    for control in _HEARD:
        rows.append(_try(control, chosen, _hear, control, task, clips, settings, progress))
    rows.append(_try(divisions.BY_CLIP, chosen, _divide_otherwise, task, out, clips, spec, params))
    for row in rows:
        row["says"] = " ".join(filter(None, (_say(row, rows[:2]), row["says"])))
    table = results.check_table(pd.DataFrame(rows).assign(key=key, task=task.name), CONTROLS)
    results.write_table(results.table_path(key, "controls"), table)
    return table


def _make_row(chosen: dict[str, Any], control: str, **facts: Any) -> dict[str, Any]:
    """Make a row of what is as in the chosen one, and of `facts`; without them it has no value."""
    nan = float("nan")
    return {**{name: chosen[name] for name in _SHARED}, "control": control, "embedding": "", "probe": "", "l2": False,
            "speaker_norm": False, "value": nan, "low": nan, "high": nan, "interval_by": "", "says": "", **facts}


def _try(control: str, chosen: dict[str, Any], measure: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """Make the row of a control, or one that says why it cannot be had."""
    try:
        return _make_row(chosen, **{"control": control, **measure(*given)})
    except NslibError as error:
        return _make_row(chosen, control, says=f"Not measured: {error}")


def _measure_chance(parts: list[list[LabelledVectors]], chosen: dict[str, Any], answers: pd.DataFrame,
                    draws: int) -> list[dict[str, Any]]:
    """Answer all test clips with the most frequent label of their fold's training, and by its probe without labels."""
    folds = [probe.check_splits(*part) for part in parts]
    classes = np.unique(np.concatenate([split.y for splits in folds for split in splits.values()]))
    settings, rng = FitSettings(classes, chosen["metric"], chosen["seed"]), np.random.default_rng(chosen["seed"])
    columns = classes if settings.needs("scores") else None
    truth, speakers = (np.concatenate([getattr(splits["test"], of) for splits in folds]) for of in ("y", "speaker"))
    usual, todo = [], []
    for splits in folds:
        names, counts = np.unique(splits["train"].y, return_counts=True)
        usual.append(np.full(len(splits["test"].y), names[counts.argmax()]))
        used = answers[answers["clip_id"].isin(splits["test"].clip_id)].iloc[0]
        norms = {"l2": bool(used["l2"]), "speaker_norm": bool(used["speaker_norm"])}
        ready = {name: replace(splits[name], x=normalise(splits[name].x, splits[name].speaker, **norms))
                 for name in ("train", "test")}
        todo.append([ProbeTask(str(used["probe"]), (False, False), ready | {"train": replace(
            ready["train"], y=permute(ready["train"], rng))}, settings) for _ in range(draws)])
    answer: npt.NDArray[Any] = np.concatenate(usual)
    if settings.needs("scores"):
        answer = (answer[:, None] == classes).astype(float)
    interval = intervals.interval(truth, answer, speakers, settings.metric, classes=columns, seed=settings.seed)
    majority = _make_row(chosen, MAJORITY, value=scores.score(truth, answer, settings.metric, classes=columns),
                         low=interval.low, high=interval.high, interval_by=interval.by)
    with FIT_CONTEXT, ThreadPoolExecutor(2) as pool:
        fits = [list(pool.map(probe.fit_probe, of_fold)) for of_fold in todo]
    answers_of = [np.concatenate([fit.answers["test"] for fit in of_draw])
                  for of_draw in zip(*fits, strict=True) if all(fit.answers for fit in of_draw)]
    values = [scores.score(truth, drawn, settings.metric, classes=columns) for drawn in answers_of]
    facts = {name: chosen[name] for name in ("embedding", "probe", "l2", "speaker_norm")}
    if not values:
        return [majority, _make_row(chosen, PERMUTED, says=f"Not measured: {fits[0][0].reason}", **facts)]
    return [majority, _make_row(chosen, PERMUTED, value=float(np.mean(values)), low=min(values), high=max(values),
                                interval_by="permutation", level=(len(values) - 1) / (len(values) + 1), **facts)]


def permute(train: LabelledVectors, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Permute labels [clips]: among the speakers, if each has one label (and is not the label), else among clips."""
    _, first, speaker = np.unique(train.speaker, return_index=True, return_inverse=True)
    own = train.y[first]
    if (train.y == own[speaker]).all() and "" not in train.speaker and not label_is_speaker(train.y, train.speaker):
        return np.asarray(rng.permutation(own)[speaker])
    return rng.permutation(train.y)


def _hear(control: str, task: Task, clips: pd.DataFrame, settings: dict[str, Any], progress: bool) -> dict[str, Any]:
    """Score what is heard of the clips by the probes of the run."""
    out = benchmark.specify_embedding(_HEARD[control]).vectors(clips, progress=progress)
    if control == RECORDING:  # the file's own rate is not in the sound, which is at 16 kHz
        rates = out.clips["sample_rate"].to_numpy()
        each = rates[:, None] == np.unique(rates)
        out = replace(out, vectors=np.hstack([out.vectors[:, :3], each], dtype=np.float32))
    settings = {**settings, "speaker_norm": False}
    rows = benchmark.fit_grid(task, out, settings, f"{task.name} x {control}", progress).rows
    row = rows[rows["selected"] & (rows["split"] == "test")]
    if row.empty:
        raise NslibError(f"no probe could be fitted: {rows['reason'].iloc[0]}.")
    mute = int((out.vectors == 0).all(axis=1).sum()) if control == SILENCE else 0
    return {**{name: row[name].item() for name in _SHARED},
            "says": f"{mute} of {len(out.clips)} clips have no pause." if mute else ""}


def _divide_otherwise(task: Task, out: Extraction, clips: pd.DataFrame, spec: EmbeddingSpec,
                      params: config.Params) -> dict[str, Any]:
    """Score the same vectors with clips divided at random, or with speakers divided if the split shares them."""
    data = protocols.make_task_vectors(task, out.clips, out.vectors, embedding=spec.name, fingerprint=spec.fingerprint,
                                       listed=clips)
    try:
        rows = protocols.run_one("switch", data, params=params, draws=2, progress=False).rows
        row, own = (protocols.summarise(rows, of, 0).iloc[0] for of in (divisions.BY_CLIP, divisions.BY_SPEAKER))
        facts = {"says": f"No result. Clips divided at random change {spec.name} by {row['value'] - own['value']:+.2f} "
                         f"(speakers divided, the same probes: {own['value']:.2f})."}
    except Unavailable as refused:
        if "shares speakers" not in str(refused):
            raise
        rows = protocols.run_one("repeated", data, params=params, seeds=(0, 1, 2), progress=False).rows
        row = protocols.summarise(rows, divisions.REPEATED).iloc[0]
        facts = {"control": divisions.BY_SPEAKER, "says": "The split shares speakers: this is what is left where "
                                                          "nobody is on two sides."}
    return {**{name: row[name] for name in _SHARED}, "embedding": spec.name, **facts}


def _say(row: dict[str, Any], chance: list[dict[str, Any]]) -> str:
    """Say that classes can be told without a voice, if the whole interval lies beyond what chance gave."""
    sign = 1 if scores.get_metric(row["metric"]).higher_is_better else -1
    beyond = min(sign * row["low"], sign * row["high"]) > np.nanmax([sign * other["value"] for other in chance])
    return (f"The classes can be told from {_TOLD[row['control']]}: what an embedding scores here need not be the "
            "voice.") if row["control"] in _TOLD and beyond else ""
