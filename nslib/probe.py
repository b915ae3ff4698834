"""The paper's test of an embedding: five simple classifiers on frozen vectors.

Reference
---------
Shor et al., 2020, section 3, and the settings of the authors' scikit-learn evaluation: every
classifier on vectors with and without L2 normalisation, with and without a z-score for each speaker.

Conventions
-----------
A classifier is fitted on train, chosen on validation, and its test score is the result. (The authors'
code writes the test score of every combination and leaves the choice to the reader; the best of
those is marked ``best_on_test``, and is optimistic.)

Rows are brought into the order of ``clip_id`` and computed in float64 on one BLAS thread a job, so
that neither the order of clips nor the number of jobs changes an answer.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import metrics
from nslib.classifiers import CLASSIFIERS, PROBES, l2_normalise, speaker_normalise
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.splits import SPLITS, label_is_speaker

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]
Warned = dict[int, list[tuple[type[Warning], str]]]

PREDICTED = ["probe", "l2", "speaker_norm", "seed", "clip_id", "speaker", "y_true", "y_pred"]
"""Columns of `Grid.predictions`."""

__all__ = ["PREDICTED", "PROBES", "Grid", "Split", "grid", "l2_normalise", "notes", "speaker_normalise"]


@dataclass(frozen=True)
class Split:
    """Vectors of one split.

    Attributes
    ----------
    x : ndarray [clips, dim] float
        One vector a clip.
    y, speaker, clip_id : ndarray [clips] str
        Class, speaker (``""`` if unknown) and unique name of each clip.
    """

    x: npt.NDArray[np.floating[Any]]
    y: npt.NDArray[Any]
    speaker: npt.NDArray[Any]
    clip_id: npt.NDArray[Any]


@dataclass(frozen=True)
class Grid:
    """Every score of one embedding on one task.

    Attributes
    ----------
    rows : DataFrame
        One row for each combination and split (validation, test), in the order of choice.
    predictions : DataFrame
        Test clips of the chosen combination, columns `PREDICTED`; empty if nothing could be fitted.
    notes : tuple of str
        Sentences on what was left out or cannot be right.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Fit:
    probe: str
    l2: bool
    speaker_norm: bool
    answers: dict[str, npt.NDArray[Any]]
    labels: dict[str, Names]
    converged: bool
    seconds: float
    reason: str


def grid(
    train: Split,
    validation: Split,
    test: Split,
    *,
    probes: Sequence[str] = PROBES,
    speaker_norm: bool = True,
    metric: str = "accuracy",
    seed: int = 0,
    jobs: int = 2,
    progress: Callable[[], object] | None = None,
) -> Grid:
    """Fit, choose and score every combination of classifier and normalisation.

    Parameters
    ----------
    train, validation, test : Split
        Vectors. Nothing of validation or test reaches a fit.
    probes : sequence of str
        Names in `PROBES`.
    speaker_norm : bool
        Whether to try the z-score for each speaker too. It is left out, with a note, where a
        speaker is unknown and where the speaker is the label: it would then use the answer.
    metric : str
        A name in `nslib.metrics.METRICS`.
    seed : int
        Seeds forests and the intervals' resamples.
    jobs : int
        Combinations fitted at a time, in threads.
    progress : callable, optional
        Called after each of the ``len(probes) * 4`` (or ``* 2``) fits.

    Returns
    -------
    Grid
        A combination that cannot be fitted has NaN scores and says why in ``reason``.

    Raises
    ------
    NslibError
        If vectors are not finite, clips or dimensions do not match, a clip comes twice in a split, or a
        split is empty or of one class.
    UnknownName
        For an unknown probe or metric.
    """
    splits = _checked(train, validation, test)
    names = _known_probes(probes)
    norms, said = _speaker_norms(splits, speaker_norm)
    classes = np.unique(np.concatenate([split.y for split in splits.values()]))
    if metrics.get(metric).needs == "scores":  # a metric that does not fit the task fails before any fit
        truth = splits["test"].y
        metrics.score(metric, truth, np.zeros((len(truth), len(classes))), classes)
    combinations = [(name, l2, norm) for name in names for l2 in (False, True) for norm in norms]
    fits = _fit_all(combinations, splits, classes, metric, seed, jobs, progress)
    rows = _rows(fits, splits, classes, metric, seed)
    return Grid(rows, _predictions(fits, rows, splits["test"], seed), tuple(said + _label_notes(splits)))


def notes(train: Split, validation: Split, test: Split, *, speaker_norm: bool = True) -> tuple[str, ...]:
    """Sentences that `grid` would return, without fitting: for results that exist already.

    Parameters
    ----------
    train, validation, test, speaker_norm
        As for `grid`.

    Returns
    -------
    tuple of str
    """
    splits = _checked(train, validation, test)
    return tuple(_speaker_norms(splits, speaker_norm)[1] + _label_notes(splits))


def _checked(train: Split, validation: Split, test: Split) -> dict[str, Split]:
    given = zip(SPLITS, (train, validation, test), strict=True)
    splits = {name: _ordered(name, split) for name, split in given}
    dims = {name: split.x.shape[1] for name, split in splits.items()}
    if len(set(dims.values())) > 1 or not dims["train"]:
        raise BadParameter(f"vectors of all splits must be equally long, and not empty; got {dims}.")
    return splits


def _known_probes(probes: Sequence[str]) -> list[str]:
    for name in probes:
        if name not in CLASSIFIERS:
            raise UnknownName("probe", name, CLASSIFIERS)
    if not probes:
        raise BadParameter(f"give at least one probe of {', '.join(PROBES)}.")
    return [name for name in PROBES if name in probes]


def _ordered(name: str, split: Split) -> Split:
    x = np.asarray(split.x, dtype=np.float64)
    y, speaker, clip_id = (np.asarray(a, dtype=str) for a in (split.y, split.speaker, split.clip_id))
    if x.ndim != 2 or not len(x) == len(y) == len(speaker) == len(clip_id):
        raise BadParameter(f"{name} needs one vector, label, speaker and clip_id a clip; got vectors "
                           f"{x.shape}, {len(y)} labels, {len(speaker)} speakers, {len(clip_id)} names.")
    broken = clip_id[~np.isfinite(x).all(axis=1)]
    if len(broken):
        raise NslibError(f"{len(broken)} of {len(x)} {name} vectors hold NaN or infinity, the first that of "
                         f"{broken[0]}. Check the embedding with nslib.check_embedding.")
    if len(set(clip_id)) < len(clip_id):
        raise BadParameter(f"{len(clip_id) - len(set(clip_id))} names of clips come twice in {name}.")
    if len(set(y)) < 2:
        raise NslibError(f"{name} holds {len(x)} clips of {len(set(y))} classes; a task needs two or more.")
    order = np.argsort(clip_id)
    return Split(np.ascontiguousarray(x[order]), y[order], speaker[order], clip_id[order])


def _speaker_norms(splits: dict[str, Split], wanted: bool) -> tuple[tuple[bool, ...], list[str]]:
    if not wanted:
        return (False,), []
    labels, speakers = (np.concatenate([getattr(s, a) for s in splits.values()]) for a in ("y", "speaker"))
    if (speakers == "").any():
        return (False,), ["No z-score by speaker: not every speaker is known."]
    if label_is_speaker(labels, speakers):
        return (False,), ["No z-score by speaker: the speaker is the label, which the z-score would use."]
    return (False, True), []


def _label_notes(splits: dict[str, Split]) -> list[str]:
    said = []
    for name, split in splits.items():
        unlearnt = ~np.isin(split.y, splits["train"].y)
        if unlearnt.any():
            absent = ", ".join(sorted(set(split.y[unlearnt])))
            said.append(f"{unlearnt.sum()} {name} clips have a label that train lacks, so no answer to them "
                        f"can be right: {absent}.")
        silent = int((~split.x.any(axis=1)).sum())
        if silent:
            said.append(f"{silent} {name} vectors are all zero; L2 normalisation leaves them so.")
    return said


def _fit_all(combinations: list[tuple[str, bool, bool]], splits: dict[str, Split], classes: Names,
             metric: str, seed: int, jobs: int, progress: Callable[[], object] | None) -> list[_Fit]:
    import joblib
    from threadpoolctl import threadpool_limits

    fits = []
    with _heard() as warned, threadpool_limits(1):
        task = joblib.delayed(_fit)
        work = (task(*each, splits, classes, metric, seed, warned) for each in combinations)
        for fit in joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(work):
            fits.append(fit)
            if progress:
                progress()
    return fits


@contextmanager
def _heard() -> Iterator[Warned]:
    # warnings.catch_warnings(record=True) is not for threads: this one listens for all of them.
    warned: Warned = defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_, **__: warned[threading.get_ident()].append(
            (category, str(message)))
        yield warned


def _fit(probe: str, l2: bool, norm: bool, splits: dict[str, Split], classes: Names, metric: str, seed: int,
         warned: Warned) -> _Fit:
    from sklearn.exceptions import ConvergenceWarning

    ready = {name: _prepared(split, l2, norm) for name, split in splits.items()}
    learnt, codes = np.unique(ready["train"].y, return_inverse=True)
    model, why, start = CLASSIFIERS[probe](len(codes), len(learnt), seed), "", time.perf_counter()
    answers, labels = {}, {}
    warned.pop(threading.get_ident(), None)
    try:
        model.fit(ready["train"].x, codes)
        seconds = time.perf_counter() - start
        for name in SPLITS[1:]:
            labels[name] = learnt[model.predict(ready[name].x)]
            answers[name] = _answer(model, ready[name].x, labels[name], learnt, classes, metric)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        seconds, why = time.perf_counter() - start, f"{type(error).__name__}: {error}"
        answers, labels = {}, {}
    heard = warned.pop(threading.get_ident(), [])
    converged = not why and not any(issubclass(kind, ConvergenceWarning) for kind, _ in heard)
    said = {text.strip().split("\n")[0] for kind, text in heard if not issubclass(kind, ConvergenceWarning)}
    reason = "; ".join([why] * bool(why) + sorted(said))
    return _Fit(probe, l2, norm, answers, labels, converged, seconds, reason)


def _prepared(split: Split, l2: bool, norm: bool) -> Split:
    x = l2_normalise(split.x) if l2 else split.x
    return replace(split, x=speaker_normalise(x, split.speaker) if norm else x)


def _answer(model: Any, x: npt.NDArray[Any], labels: Names, learnt: Names, classes: Names,
            metric: str) -> npt.NDArray[Any]:
    if metrics.get(metric).needs == "labels":
        return labels
    table = np.zeros((len(x), len(classes)))  # a class that train lacks gets one score everywhere
    table[:, np.searchsorted(classes, learnt)] = model.predict_proba(x)
    return table


def _rows(fits: list[_Fit], splits: dict[str, Split], classes: Names, metric: str, seed: int) -> pd.DataFrame:
    import pandas as pd

    facts = {name: _facts(splits[name], metric) for name in SPLITS[1:]}
    common = {"dim": splits["train"].x.shape[1], "seed": seed, "metric": metric,
              "classes": len(set(splits["train"].y)), "level": metrics.LEVEL}
    rows = pd.DataFrame([
        {"probe": fit.probe, "l2": fit.l2, "speaker_norm": fit.speaker_norm, "split": name,
         "converged": fit.converged, "fit_seconds": fit.seconds, "reason": fit.reason,
         **common, **facts[name], **_scored(fit, name, splits[name], classes, metric, seed)}
        for fit in fits for name in SPLITS[1:]])
    for flag, name in (("selected", "validation"), ("best_on_test", "test")):
        rows[flag] = np.repeat(_best(rows.loc[rows["split"] == name, "value"].to_numpy(), metric), 2)
    return rows


def _facts(split: Split, metric: str) -> dict[str, object]:
    return {"n": len(split.y), "n_speakers": len(set(split.speaker) - {""}),
            "chance": metrics.chance(metric, split.y)}


def _scored(fit: _Fit, name: str, split: Split, classes: Names, metric: str, seed: int) -> dict[str, object]:
    if name not in fit.answers:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "interval_by": ""}
    columns = classes if metrics.get(metric).needs == "scores" else None
    value = metrics.score(metric, split.y, fit.answers[name], columns)
    found = metrics.interval(split.y, fit.answers[name], split.speaker, metric, classes=columns, seed=seed)
    return {"value": value, "low": found.low, "high": found.high, "interval_by": found.by}


def _best(values: Floats, metric: str) -> npt.NDArray[np.bool_]:
    worth = np.where(np.isnan(values), -np.inf, values if metrics.get(metric).higher_is_better else -values)
    best = np.zeros(len(worth), dtype=bool)
    best[np.argmax(worth)] = not np.isnan(values).all()
    return best


def _predictions(fits: list[_Fit], rows: pd.DataFrame, test: Split, seed: int) -> pd.DataFrame:
    import pandas as pd

    chosen = rows["selected"].to_numpy()[::2]
    if not chosen.any():
        return pd.DataFrame(columns=PREDICTED)
    fit = fits[int(np.argmax(chosen))]
    return pd.DataFrame({"probe": fit.probe, "l2": fit.l2, "speaker_norm": fit.speaker_norm, "seed": seed,
                         "clip_id": test.clip_id, "speaker": test.speaker, "y_true": test.y,
                         "y_pred": fit.labels["test"]}, columns=PREDICTED)
