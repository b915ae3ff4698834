"""The paper's test of an embedding: five simple classifiers on frozen vectors.

Reference: Shor et al., 2020, section 3, and the settings of the authors' scikit-learn evaluation. A classifier is
fitted on train, chosen on validation, and its test score is the result. (The authors' code writes the test score of
every combination and leaves the choice to the reader; the best of those is marked ``best_on_test``, and is optimistic.)

Rows are brought into the order of ``clip_id`` and computed in float64 on one BLAS thread a job, so that neither the
order of clips nor the number of jobs changes an answer. Vectors are kept as given, in float32 as a rule; a normalised
copy in float64 is made once, shared by all classifiers, and let go: as few exist at a time as keep all jobs busy. What
is the same fit under two names is fitted once; the copy says so in ``reason`` and takes no seconds.

Of clips in folds each is tested once. The answers of one combination to all clips, each by the probe of its fold, are
scored together, and so are those of `CHOSEN_BY_FOLD`: of what the validation clips of each fold chose there. A choice
on validation answers to all clips together would have seen the clips that are tested. Many folds can share few choices
(`grid_folds`), each of them made without the clips that are tested by it.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib import config
from nslib.datasets.splits import SPLITS, label_is_speaker
from nslib.embeddings import runtime
from nslib.errors import BadParameter, NslibError, Unavailable, refuse_unknown
from nslib.evaluation.classifiers import FAMILIES, FORESTS, PROBES, RIDGES, find_same_fits, make_probe, normalise
from nslib.evaluation.forest import Ranked, rank
from nslib.statistics import intervals
from nslib.statistics import scores as statistics_scores
from nslib.statistics.scores import CHOSEN_BY_FOLD

__all__ = ["FIT_CONTEXT", "PROBES", "Fit", "FitSettings", "Grid", "LabelledVectors", "check_splits", "grid",
           "grid_folds", "mark_best", "score_fits", "select_best"]

# Raise it whenever a score, an interval or an answer can move: it is part of the key of every result. Golden values in
# tests/evaluation/test_probe.py hold it.
PROBE_VERSION = 1
_PACKAGES = ("numpy", "scipy", "scikit-learn")

KEPT_OUT = "kept out of the choice"  # in reasons of stored rows, where it is read again

Names = npt.NDArray[np.str_]
Variant = tuple[bool, bool]  # whether to apply L2 normalisation, and the z-score by speaker

_PREDICTED = ["probe", "l2", "speaker_norm", "seed", "clip_id", "speaker", "y_true", "y_pred"]
# Order of fits. Trees grow without Python's lock, which regression holds most of the time: side by side neither waits.
_TURNS = ("Forest_balanced_100", "LogisticRegression", "Forest_unbalanced_100", "LogisticRegression_balanced",
          "LDA_LSQR_AUTO")
_ROOM = 1 << 28  # bytes of a second normalised copy that is not worth waiting for: with it, jobs end together
_BLOCK = 1 << 23  # numbers that are looked at together


@dataclass(frozen=True)
class LabelledVectors:
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

    @classmethod
    def of(cls, clips: pd.DataFrame, x: npt.NDArray[Any]) -> LabelledVectors:
        """Label the vectors of the clips of a table."""
        return cls(x, *(clips[name].fillna("").to_numpy(str) for name in ("label", "speaker", "clip_id")))

    def take(self, rows: npt.NDArray[Any]) -> LabelledVectors:
        """Take some of the clips, by position or mask."""
        return LabelledVectors(self.x[rows], self.y[rows], self.speaker[rows], self.clip_id[rows])


@dataclass(frozen=True)
class FitSettings:
    """What is the same for all fits of a grid; metrics are names in `nslib.statistics.scores.METRICS`."""

    classes: Names  # labels of all splits, sorted
    metric: str  # on which the choice is made
    seed: int  # of forests and intervals
    also: tuple[str, ...] = ()  # metrics by which the chosen one is scored too

    def needs(self, what: str) -> bool:
        """Whether a metric needs "scores" or "numbers", not only labels."""
        return any(statistics_scores.get_metric(name).needs == what for name in (self.metric, *self.also))


@dataclass(frozen=True)
class Fit:
    """What one combination answered."""

    probe: str
    l2: bool
    speaker_norm: bool
    answers: dict[str, npt.NDArray[Any]]  # by split, what the metric takes: labels [clips] or scores [clips, classes]
    labels: dict[str, Names]  # by split: the answered label of each clip; empty, as the answers, if the fit failed
    converged: bool  # whether the fit ended by itself
    seconds: float
    reason: str  # why there is no answer, or what the classifier warned of
    scores: dict[str, npt.NDArray[Any]] = field(default_factory=dict)  # by split, [clips, classes], if a metric needs


class ProbeTask(NamedTuple):
    """One fit, for a mapper: it can be pickled, and `fit_probe` does it. `splits` are not normalised yet."""

    probe: str
    variant: Variant
    splits: dict[str, LabelledVectors]
    settings: FitSettings


# mapper(function, tasks) gives function(task) for every task, in any order
Mapper = Callable[[Callable[[ProbeTask], Fit], Iterable[ProbeTask]], Iterable[Fit]]


@dataclass(frozen=True)
class Grid:
    """Every score of one embedding on one task.

    Attributes
    ----------
    rows : DataFrame
        One row for each combination and split (validation, test), in the order of choice; of folds the last one is
        `CHOSEN_BY_FOLD`, whose normalisation says nothing.
    predictions : DataFrame
        Test clips of the chosen combination (of folds: that of the clip's fold): probe, l2, speaker_norm, seed,
        clip_id, speaker, y_true, y_pred; empty if nothing could be fitted.
    notes : tuple of str
        Sentences on what was left out or cannot be right.
    scores : DataFrame
        Scores of the same clips, a column a class; without columns unless a metric needs them.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    scores: pd.DataFrame


def probe_hash() -> str:
    """Return the hash of all but data that a score depends on: `PROBE_VERSION` and the packages that compute it."""
    made_of = [PROBE_VERSION, sorted(config.package_versions(_PACKAGES).items())]
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]


def grid(
    train: LabelledVectors,
    validation: LabelledVectors,
    test: LabelledVectors,
    *,
    probes: Sequence[str] | None = None,
    speaker_norm: bool = True,
    choose_speaker_norm: bool = True,
    metric: str = "accuracy",
    also: Sequence[str] = (),
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[], object] | None = None,
    mapper: Mapper | None = None,
) -> Grid:
    """Fit, choose and score every combination of classifier and normalisation.

    Parameters
    ----------
    train, validation, test : LabelledVectors
        Nothing of validation or test reaches a fit.
    probes : sequence of str
        Names of one of `nslib.evaluation.classifiers.FAMILIES`. Default: `PROBES`, for numbers `RIDGES`.
    speaker_norm : bool
        Whether to try the z-score for each speaker too. It is left out, with a note, where a speaker is unknown and
        where the speaker is the label: it would then use the answer.
    choose_speaker_norm : bool
        Whether it may be chosen, and is not just scored.
    metric : str
        A name in `nslib.statistics.scores.METRICS`, by which is chosen.
    also : sequence of str
        Metrics by which the chosen combination is scored too, in rows of their own.
    seed : int
        Seeds forests and the intervals' resamples.
    jobs : int
        Combinations fitted at a time, in threads. Default: ``JOBS`` of the environment, else as many as processors.
    progress : callable, optional
        Called after each of the ``len(probes) * 4`` (or ``* 2``) fits.
    mapper : callable, optional
        ``mapper(function, tasks)`` does the fits elsewhere: it gives ``function(task)`` for every task, in any order.

    Returns
    -------
    Grid
        A combination that cannot be fitted has NaN scores and says why in ``reason``.

    Raises
    ------
    NslibError
        If vectors are not finite, clips or dimensions do not match, a clip comes twice in a split, or a split is empty
        or of one class.
    UnknownName
        For an unknown probe or metric.
    """
    splits = check_splits(train, validation, test)
    ordered, variants, settings, notes = _plan_fits(splits, probes, speaker_norm, metric, also, seed)
    fits = fit_probes(ordered, variants, splits, settings, jobs=jobs, progress=progress, mapper=mapper)
    if not choose_speaker_norm:
        fits = _keep_out(fits, notes)
    return score_fits(fits, splits, settings, notes)


def grid_folds(clips: LabelledVectors, folds: Sequence[Mapping[str, npt.NDArray[Any]]], *,
               choices: Sequence[Mapping[str, npt.NDArray[Any]]] = (), probes: Sequence[str] | None = None,
               speaker_norm: bool = True, choose_speaker_norm: bool = True, metric: str = "accuracy",
               also: Sequence[str] = (), seed: int = 0, jobs: int | None = None,
               progress: Callable[[], object] | None = None, mapper: Mapper | None = None) -> Grid:
    """Fit every combination in every fold, choose in each fold on its validation clips, and score all clips together.

    `folds` has, for each fold, positions among the clips: train, validation, test, and left_out, which is counted in a
    note; every clip is validated once and tested once, else BadParameter. The rest is as of `grid`.

    `choices` are fewer divisions of the same kind, each of which tests whole folds. Every combination is then fitted in
    these only, and in a fold only what was chosen where its clips are tested; a fold needs no validation part.
    """
    for name, divisions in ("validation", choices or folds), ("test", folds):
        if not np.array_equal(np.sort(np.concatenate([rows[name] for rows in divisions])), np.arange(len(clips.y))):
            raise BadParameter(f"{name} of the folds must hold each of {len(clips.y)} clips once. Give every clip a "
                               "fold, or none.")
    whole = dict.fromkeys(SPLITS, _order_split("task", clips))
    ordered, variants, settings, notes = _plan_fits(whole, probes, speaker_norm, metric, also, seed)
    train, left_out = (sorted(len(rows[name]) for rows in folds) for name in ("train", "left_out"))
    learnt, without = (" to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1])))) for sizes in (train, left_out))
    said = f", {without} were left out of it for their text" if left_out[-1] else ""
    notes.append(f"Every clip was tested once, in {len(folds)} folds: {learnt} clips were in training{said}.")
    options: dict[str, Any] = {"jobs": jobs, "progress": progress, "mapper": mapper}
    describe = partial(_describe_oddities, numbers=settings.needs("numbers"), normed=any(norm for _, norm in variants))
    fits: list[list[Fit]] = []
    chosen: list[Fit] = []
    for number, rows in enumerate(choices or folds):
        parts = SPLITS[:2] if choices else SPLITS
        splits = _check_parts({name: clips.take(rows[name]) for name in parts}, parts[:1] if choices else parts,
                              f" of {'choice' if choices else 'fold'} {number}")
        fits.append(fit_probes(ordered, variants, splits, settings, **options))
        if not choose_speaker_norm:
            fits[-1] = _keep_out(fits[-1], notes)
        values = [np.nan if KEPT_OUT in fit.reason else
                  _score_answers(fit, "validation", splits["validation"], settings) for fit in fits[-1]]
        chosen.append(fits[-1][int(np.argmax(select_best(values, metric)))])
        if not choices:
            notes += [f"Fold {number}: {note}" for note in describe(splits)]
    asked = {name: np.concatenate([np.sort(clips.clip_id[rows[name]]) for rows in divisions])
             for name, divisions in (("validation", choices or folds), ("test", folds))}
    tested = list(chosen)
    if choices:
        def fit_fold(number: int) -> tuple[list[Fit], list[str]]:
            rows = folds[number]
            of = next(fit for fit, choice in zip(chosen, choices, strict=True)
                      if np.isin(rows["test"], choice["test"]).all())
            splits = _check_parts({name: clips.take(rows[name]) for name in ("train", "test")}, ("train",),
                                  f" of fold {number}")
            fits = fit_probes([of.probe], [(of.l2, of.speaker_norm)], splits, settings, jobs=1, mapper=mapper)
            return fits, [f"Fold {number}: {note}" for note in describe(splits)]

        tested, jobs = [], 1 if mapper else jobs or runtime.count_jobs()
        at_once = min(jobs, max(1, -(-jobs // len(ordered)), _ROOM // (8 * clips.x.size)))  # as in a grid
        with FIT_CONTEXT, ThreadPoolExecutor(at_once) as pool:  # one fit a fold: side by side, no core waits
            for done, odd in pool.map(fit_fold, range(len(folds))):
                tested, notes = tested + done, notes + odd
                if progress:
                    progress()
    order = {name: np.argsort(names) for name, names in asked.items()}
    combinations = [] if choices else [tuple(same) for same in zip(*fits, strict=True)]
    last = _join_folds([*combinations, (*chosen, *tested) if choices else tuple(tested)], order)
    times = Counter(name_combination(fit) for fit in tested)
    why = "; ".join(f"{name} in {n} of {len(folds)} folds" for name, n in times.items())
    last[-1] = replace(last[-1], probe=CHOSEN_BY_FOLD, l2=False, speaker_norm=False, seconds=0.0,
                       reason=why if last[-1].labels else last[-1].reason)
    scored = score_fits(last, whole, settings)
    sizes = [len(rows["test"]) for rows in folds]
    used = {name: np.repeat([getattr(fit, name) for fit in tested], sizes)[order["test"]]
            for name in _PREDICTED[:3]} if len(scored.predictions) else {}
    return replace(scored, predictions=scored.predictions.assign(**used), notes=tuple(notes))


def _join_folds(combinations: Sequence[tuple[Fit, ...]], order: Mapping[str, npt.NDArray[Any]]) -> list[Fit]:
    """Join the fits of all folds, of each combination and, as the last, of the chosen ones; `order` sorts answers."""
    def join(parts: Sequence[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
        return {name: np.concatenate([part[name] for part in parts if name in part])[rows]
                for name, rows in order.items() if all(parts)}  # what failed in one fold has no answers

    joined: list[Fit] = []
    known: dict[tuple[int, ...], Any] = {}  # the same answers stay one object, and are scored once
    for fits in combinations:
        same = tuple(id(fit.answers) for fit in fits)
        if same not in known:
            known[same] = [join([getattr(fit, name) for fit in fits]) for name in ("answers", "labels", "scores")]
        answers, labels, scores = known[same]
        reasons = Counter(fit.reason for fit in fits if fit.reason)
        why = "; ".join(text if n == len(fits) else f"{text} (in {n} of {len(fits)} folds)"
                        for text, n in reasons.items())
        joined.append(replace(fits[0], answers=answers, labels=labels, scores=scores, reason=why,
                              converged=all(fit.converged for fit in fits), seconds=sum(fit.seconds for fit in fits)))
    return joined


def name_combination(of: Any) -> str:
    """Write probe and normalisation of a fit or of a row."""
    return f"{of.probe}, l2 {of.l2}, speaker_norm {of.speaker_norm}"


def _plan_fits(splits: dict[str, LabelledVectors], probes: Sequence[str] | None, speaker_norm: bool, metric: str,
               also: Sequence[str], seed: int) -> tuple[list[str], list[Variant], FitSettings, list[str]]:
    """Probes and normalisations in the order of choice, what all fits share, and notes; a metric is checked first."""
    names = [statistics_scores.get_metric(name).name for name in dict.fromkeys((metric, *also))]
    ordered = check_probes(probes, names)
    norms, notes = _choose_speaker_norms(splits, speaker_norm)
    settings = FitSettings(_list_classes(splits), names[0], seed, tuple(names[1:]))
    truth = splits["test"].y
    for name in names:  # a metric that does not fit the task fails before any fit
        statistics_scores.chance(truth, name)
        if statistics_scores.get_metric(name).needs == "scores":
            flat = np.zeros((len(truth), len(settings.classes)))
            statistics_scores.score(truth, flat, name, classes=settings.classes)
    return ordered, [(l2, norm) for l2 in (False, True) for norm in norms], settings, notes


def check_probes(probes: Sequence[str] | None, metrics: Sequence[str] = ("accuracy",)) -> list[str]:
    """Return names of probes in the order of choice, of None the usual ones; refuse what no choice is made among."""
    needs = {name: statistics_scores.get_metric(name).needs == "numbers" for name in metrics}
    if len(set(needs.values())) > 1:
        raise BadParameter(f"{', '.join(metrics)}: metrics of numbers and of classes cannot be asked together.")
    families = {about: family for about, family in FAMILIES.items() if (family is RIDGES) in needs.values()}
    known = [name for family in families.values() for name in family]
    refuse_unknown(f"probe for {next(iter(metrics))}", probes or (), known)
    if probes is not None and not probes:
        raise BadParameter(f"give at least one probe of {', '.join(known)}.")
    asked = {about: [name for name in family if probes is None or name in probes] for about, family in families.items()}
    asked = {about: names for about, names in asked.items() if names}
    if probes and len(asked) > 1:
        raise BadParameter(f"a choice is made among {' or among '.join(asked)}: ask for "
                           f"{' and for '.join(','.join(names) for names in asked.values())} in two runs.")
    return next(iter(asked.values()))


def check_splits(train: LabelledVectors, validation: LabelledVectors, test: LabelledVectors, *,
                 where: str = "") -> dict[str, LabelledVectors]:
    """Check three splits (of what is told by `where`) and bring them into the order of ``clip_id``, by name."""
    return _check_parts(dict(zip(SPLITS, (train, validation, test), strict=True)), SPLITS, where)


def _check_parts(given: Mapping[str, LabelledVectors], of_classes: Sequence[str],
                 where: str) -> dict[str, LabelledVectors]:
    """Check splits, some of which must have several classes, and sort them."""
    splits = {name: _order_split(name + where, split, 2 if name in of_classes else 1) for name, split in given.items()}
    dims = {name: split.x.shape[1] for name, split in splits.items()}
    if len(set(dims.values())) > 1 or not dims["train"]:
        raise BadParameter(f"vectors of all splits must be equally long, and not empty; got {dims}.")
    return splits


def _order_split(name: str, split: LabelledVectors, least: int = 2) -> LabelledVectors:
    """Check a split and sort it by the names of clips."""
    x = np.asarray(split.x)
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    y, speaker, clip_id = (np.asarray(a, dtype=str) for a in (split.y, split.speaker, split.clip_id))
    if x.ndim != 2 or not len(x) == len(y) == len(speaker) == len(clip_id):
        raise BadParameter(f"{name} needs one vector, label, speaker and clip_id a clip; got vectors "
                           f"{x.shape}, {len(y)} labels, {len(speaker)} speakers, {len(clip_id)} names.")
    broken = clip_id[~_test_rows(x, lambda rows: np.isfinite(rows).all(axis=1))]
    if len(broken):
        raise NslibError(f"{len(broken)} of {len(x)} {name} vectors hold NaN or infinity, the first that of "
                         f"{broken[0]}. Check the embedding with nslib.check.")
    if len(set(clip_id)) < len(clip_id):
        raise BadParameter(f"{len(clip_id) - len(set(clip_id))} names of clips come twice in {name}.")
    if len(set(y)) < least:
        raise NslibError(f"{name} holds {len(x)} clips of {len(set(y))} classes; a task needs two or more.")
    checked, order = LabelledVectors(x, y, speaker, clip_id), np.argsort(clip_id)
    return checked if (order[1:] > order[:-1]).all() else checked.take(order)


def _test_rows(x: npt.NDArray[Any], test: Callable[[npt.NDArray[Any]], Any]) -> npt.NDArray[np.bool_]:
    """Ask something of every row, some rows at a time."""
    answers, step = np.empty(len(x), dtype=bool), max(1, _BLOCK // max(x.shape[1], 1))
    for start in range(0, len(x), step):
        answers[start : start + step] = test(x[start : start + step])
    return answers


def _list_classes(splits: Mapping[str, LabelledVectors]) -> Names:
    """Return the labels of all splits, sorted."""
    return np.unique(np.concatenate([split.y for split in splits.values()]))


def _keep_out(fits: Sequence[Fit], notes: list[str]) -> list[Fit]:
    """Mark fits after a z-score by speaker as no choice, and note it once."""
    why = f"{KEPT_OUT}: nearly every speaker has one label, which the z-score by speaker removes"
    note = f"The z-score by speaker is {why} (--transductive lets it in)."
    notes += [] if note in notes else [note]
    return [replace(fit, reason="; ".join(filter(None, (why, fit.reason)))) if fit.speaker_norm else fit
            for fit in fits]


def count_fits(clips: LabelledVectors, probes: Sequence[str], speaker_norm: bool) -> int:
    """Count the fits of a grid on some clips, of one fold if there are folds."""
    return 2 * len(probes) * len(_choose_speaker_norms({"all": clips}, speaker_norm)[0])


def _choose_speaker_norms(splits: dict[str, LabelledVectors], wanted: bool) -> tuple[tuple[bool, ...], list[str]]:
    """Values of ``speaker_norm`` to try, and why the z-score by speaker is left out although wanted."""
    if not wanted:
        return (False,), []
    labels, speakers = (np.concatenate([getattr(s, a) for s in splits.values()]) for a in ("y", "speaker"))
    if (speakers == "").any():
        return (False,), ["No z-score by speaker: not every speaker is known."]
    if label_is_speaker(labels, speakers):
        return (False,), ["No z-score by speaker: the speaker is the label, which the z-score would use."]
    return (False, True), []


def _describe_oddities(splits: dict[str, LabelledVectors], numbers: bool, normed: bool) -> list[str]:
    """Sentences on labels that train lacks, unless they are numbers, and on vectors of zeros (`normed`: by speaker)."""
    notes = []
    for name, split in splits.items():
        unlearnt = ~np.isin(split.y, splits["train"].y) & (not numbers)
        if unlearnt.any():
            absent = ", ".join(sorted(set(split.y[unlearnt])))
            notes.append(f"{unlearnt.sum()} {name} clips have a label that train lacks, so no answer to them "
                         f"can be right: {absent}.")
        zeros = int(_test_rows(split.x, lambda rows: (rows == 0).all(axis=1)).sum())
        if zeros:
            notes.append(f"{zeros} {name} vectors are all zero; L2 normalisation leaves them so.")
        single = int((np.unique(split.speaker, return_counts=True)[1] == 1).sum()) if normed else 0
        if single:
            notes.append(f"{single} of {len(split.y)} {name} vectors become zero by the z-score by speaker, because "
                         "they are the only one of their speaker.")
    return notes


class _FitContext(runtime.SharedContext):
    """One BLAS thread, and a list of the warnings of each thread, while any fit is under way in this process."""

    def __init__(self) -> None:
        super().__init__(self._prepare)
        self._warnings: dict[int, list[tuple[type[Warning], str]]] = defaultdict(list)

    @contextlib.contextmanager
    def _prepare(self) -> Iterator[None]:
        import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
        from threadpoolctl import threadpool_limits

        def note(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
            self._warnings[threading.get_ident()].append((category, str(message)))

        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = note
            yield

    def take_warnings(self) -> list[tuple[type[Warning], str]]:
        """Return category and text of what this thread warned of since it was last asked."""
        return self._warnings.pop(threading.get_ident(), [])


_LONE = "a class has one training clip, whose spread counts as none"  # of which scikit-learn says "reshape your data"
FIT_CONTEXT = _FitContext()
"""A context of which any number may be open: ``with FIT_CONTEXT: model.fit(...)``."""


def fit_probes(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, LabelledVectors],
               settings: FitSettings, *, jobs: int | None = None, progress: Callable[[], object] | None = None,
               mapper: Mapper | None = None) -> list[Fit]:
    """Fit every probe on every variant of the splits (``train`` and what is to be answered), probe after probe."""
    copies = find_same_fits(probes, splits["train"].y)
    needed = [probe for probe in dict.fromkeys((*_TURNS, *probes)) if probe in probes and probe not in copies]
    if mapper is None:
        jobs = jobs or runtime.count_jobs()
        at_once = max(1, -(-jobs // len(probes)))  # normalised copies: no more than whoever gave the jobs counted on
        done = _fit_in_threads(needed, variants, splits, settings, min(jobs, at_once * len(needed)))
    else:
        done = iter(mapper(fit_probe, [ProbeTask(probe, v, splits, settings) for probe in needed for v in variants]))
    fits: list[Fit] = []
    for fit in done:
        why = [*filter(None, [fit.reason]), f"the same fit as {fit.probe}: train has as many clips of every class"]
        for one in (fit, *(replace(fit, probe=name, seconds=0.0, reason="; ".join(why))
                           for name, source in copies.items() if source == fit.probe)):
            fits.append(one)
            if progress:
                progress()
    return sorted(fits, key=lambda fit: (probes.index(fit.probe), variants.index((fit.l2, fit.speaker_norm))))


def fit_probe(task: ProbeTask) -> Fit:
    """Normalise the vectors, fit a probe and ask it for its answers; the same wherever it is computed."""
    ready = _prepare(task.splits, task.variant, [task.probe])
    with FIT_CONTEXT:
        return _fit(task.probe, task.variant, *ready, task.settings)


def refit_probe(row: Any, splits: dict[str, LabelledVectors], metric: str) -> tuple[Fit, FitSettings]:
    """Fit the probe of a row of results once more, on splits from `check_splits` and more that are to be answered."""
    what = f"the probe of {row['embedding']} on {row['task']}"
    if not any(row["probe"] in family for family in FAMILIES.values()):
        raise Unavailable(what, f"{row['probe']} is no probe on stored vectors", "Choose an embedding that was probed.")
    settings = FitSettings(_list_classes(splits), metric, int(row["seed"]))
    variant = bool(row["l2"]), bool(row["speaker_norm"])
    fit = fit_probe(ProbeTask(str(row["probe"]), variant, splits, settings))
    if not fit.labels:
        raise Unavailable(what, fit.reason, "Run the benchmark again.")
    return fit, settings


def refuse_other_answers(answers: pd.DataFrame, stored: pd.DataFrame) -> None:
    """Refuse answers (columns clip_id, y_pred) that are not those of a stored result."""
    both = answers.merge(stored, on="clip_id", how="outer")
    other = int((both["y_pred_x"] != both["y_pred_y"]).sum())
    if other:
        raise NslibError(f"{other} of {len(stored)} answers are not those that were kept: code, clips or vectors have "
                         "changed since. Run the benchmark again.")


def _fit_in_threads(probes: Sequence[str], variants: Sequence[Variant], splits: dict[str, LabelledVectors],
                    settings: FitSettings, jobs: int) -> Iterator[Fit]:
    """Fit in threads, with no more normalised copies at a time than keep all of them busy."""
    at_once = max(1, -(-jobs // len(probes)), min(2, _ROOM // sum(8 * split.x.size for split in splits.values())))
    with FIT_CONTEXT, ThreadPoolExecutor(jobs) as pool:
        for start in range(0, len(variants), at_once):
            yield from _fit_variants(pool, probes, variants[start : start + at_once], splits, settings)


def _fit_variants(pool: ThreadPoolExecutor, probes: Sequence[str], variants: Sequence[Variant],
                  splits: dict[str, LabelledVectors], settings: FitSettings) -> Iterator[Fit]:
    """Fit all probes on some variants; a function of its own, so that the copies are let go before the next ones."""
    ready = dict(zip(variants, pool.map(lambda variant: _prepare(splits, variant, probes), variants), strict=True))
    begun = [pool.submit(_fit, probe, variant, *ready[variant], settings) for variant in variants for probe in probes]
    try:
        yield from (done.result() for done in as_completed(begun))
    finally:  # after an error or Ctrl-C, what has not begun is not fitted
        for one in begun:
            one.cancel()


def _prepare(splits: dict[str, LabelledVectors], variant: Variant,
             probes: Sequence[str]) -> tuple[dict[str, LabelledVectors], Ranked | None]:
    """Normalise all splits, in float64; and train as forests read it, if there are any."""
    l2, norm = variant
    ready = {name: replace(split, x=normalise(split.x, split.speaker, l2=l2, speaker_norm=norm))
             for name, split in splits.items()}
    ranked = None
    if any(probe in FORESTS for probe in probes):
        with contextlib.suppress(ValueError):  # what float32 cannot hold: the forest's fit says so
            ranked = rank(np.asarray(ready["train"].x, dtype=np.float32, order="F"))
    return ready, ranked


def _fit(probe: str, variant: Variant, splits: dict[str, LabelledVectors],
         ranked: Ranked | None, settings: FitSettings) -> Fit:
    """Fit a probe and ask it for its answers; what classifiers raise or warn of becomes the reason."""
    from sklearn.exceptions import ConvergenceWarning

    numbers = settings.needs("numbers")
    learnt, codes = np.unique(splits["train"].y, return_inverse=True)
    goal = statistics_scores.read_numbers(splits["train"].y) if numbers else codes
    answers: dict[str, npt.NDArray[Any]] = {}
    labels: dict[str, Names] = {}
    scores: dict[str, npt.NDArray[Any]] = {}
    FIT_CONTEXT.take_warnings()  # forget what other work in this thread left
    start, seconds, why = time.perf_counter(), 0.0, ""
    try:
        model = make_probe(probe, len(codes), len(learnt), settings.seed)
        model.fit(ranked if ranked and probe in FORESTS else splits["train"].x, goal)
        seconds = time.perf_counter() - start
        for name in (name for name in splits if name != "train"):
            answers[name] = model.predict(splits[name].x)
            labels[name] = answers[name].astype(str) if numbers else learnt[answers[name]]
            if settings.needs("scores"):  # a class that train lacks gets one score everywhere
                scores[name] = np.zeros((len(labels[name]), len(settings.classes)))
                scores[name][:, np.searchsorted(settings.classes, learnt)] = _score_classes(model, splits[name].x)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        answers, labels, scores, why = {}, {}, {}, f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
    if not numbers:
        answers = scores if statistics_scores.get_metric(settings.metric).needs == "scores" else labels
    raised = FIT_CONTEXT.take_warnings()
    converged = not why and not any(issubclass(kind, ConvergenceWarning) for kind, _ in raised)
    others = {text.strip().split("\n")[0] for kind, text in raised if not issubclass(kind, ConvergenceWarning)}
    others = {_LONE if "Only one sample" in text else text for text in others}
    return Fit(probe, *variant, answers, labels, converged, seconds, "; ".join([why] * bool(why) + sorted(others)),
               scores)


def _score_classes(model: Any, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Probabilities [clips, classes] or, of a probe without them, distances from its borders."""
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(x))
    distances = model.decision_function(x)
    return distances if distances.ndim == 2 else np.column_stack([-distances, distances])


def score_fits(fits: Sequence[Fit], splits: dict[str, LabelledVectors], settings: FitSettings,
               notes: Sequence[str] = ()) -> Grid:
    """Score answers to the clips of `splits` (from `check_splits`), whatever gave them: a probe, a fine-tuned network.

    `notes` go before those on labels that train lacks and on vectors of zeros.
    """
    numbers = settings.needs("numbers")
    common = {"dim": splits["train"].x.shape[1], "seed": settings.seed, "level": intervals.LEVEL,
              "classes": 0 if numbers else len(set(splits["train"].y))}
    units = {name: intervals.speaker_units(splits[name].speaker, len(splits[name].y)) for name in SPLITS[1:]}

    def score(fit: Fit, name: str, metric: str) -> dict[str, object]:
        return {"metric": metric, **describe_split(splits[name], metric),
                **score_split(fit, name, splits[name], replace(settings, metric=metric), units[name])}

    scores = {(id(fit.answers), name): score(fit, name, settings.metric)
              for fit in {id(fit.answers): fit for fit in fits}.values() for name in SPLITS[1:]}
    columns = ("probe", "l2", "speaker_norm", "converged", "reason")
    table = [{**{name: getattr(fit, name) for name in columns}, "split": name, "fit_seconds": fit.seconds,
              **common, **scores[id(fit.answers), name]} for fit in fits for name in SPLITS[1:]]
    rows = pd.DataFrame(table)
    for flag, name in (("selected", "validation"), ("best_on_test", "test")):
        rows[flag] = np.repeat(mark_best(rows[rows["split"] == name], flag), 2)
    chosen = rows["selected"].to_numpy()[::2]
    predictions, certain, test = pd.DataFrame(columns=_PREDICTED), pd.DataFrame(), splits["test"]
    for fit in (fit for fit, best in zip(fits, chosen, strict=True) if best):
        predictions = pd.DataFrame({"probe": fit.probe, "l2": fit.l2, "speaker_norm": fit.speaker_norm,
                                    "seed": settings.seed, "clip_id": test.clip_id, "speaker": test.speaker,
                                    "y_true": test.y, "y_pred": fit.labels["test"]}, columns=_PREDICTED)
        certain = pd.DataFrame(index=predictions.index)
        also = [{**row, **score(fit, str(row["split"]), metric), "best_on_test": False}
                for metric in settings.also for row in rows[rows["selected"]].to_dict("records")]
        rows = pd.concat([rows, pd.DataFrame(also)], ignore_index=True) if also else rows
        certain = pd.DataFrame(fit.scores["test"], columns=settings.classes) if fit.scores else certain
    normed = any(fit.speaker_norm for fit in fits)
    return Grid(rows, predictions, (*notes, *_describe_oddities(splits, numbers, normed)), certain)


def select_best(values: npt.ArrayLike, metric: str) -> npt.NDArray[np.bool_]:
    """Mark the first of the best of some scores of a metric; none if all are NaN."""
    given = np.asarray(values, dtype=np.float64)
    sign = 1 if statistics_scores.get_metric(metric).higher_is_better else -1
    worth = np.where(np.isnan(given), -np.inf, sign * given)
    best = np.zeros(len(worth), dtype=bool)
    best[np.argmax(worth)] = not np.isnan(given).all()
    return best


def mark_best(rows: pd.DataFrame, flag: str) -> npt.NDArray[np.bool_]:
    """Mark, among all rows of a split, the ``selected`` (of folds the choice by fold) or the ``best_on_test`` one."""
    by_fold = rows["probe"].to_numpy() == CHOSEN_BY_FOLD
    excluded = by_fold.any() & (by_fold != (flag == "selected"))
    excluded |= (flag == "selected") & rows["reason"].str.contains(KEPT_OUT, regex=False).to_numpy(bool)
    return select_best(np.where(excluded, np.nan, rows["value"]), str(rows["metric"].iloc[0]))


def describe_split(split: LabelledVectors, metric: str) -> dict[str, object]:
    """Return what a row says of a split that does not depend on an answer."""
    return {"n": len(split.y), "n_speakers": len(set(split.speaker) - {""}),
            "chance": statistics_scores.chance(split.y, metric) if len(split.y) else np.nan}


def score_split(fit: Fit, name: str, split: LabelledVectors, settings: FitSettings,
                units: intervals.Units | None = None) -> dict[str, object]:
    """Return score and interval of a fit on a split; NaN if it has not answered it."""
    if name not in fit.answers:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "interval_by": ""}
    answer, columns = _pick_answer(fit, name, settings)
    interval = intervals.interval(split.y, answer, units or split.speaker, settings.metric, classes=columns,
                                  seed=settings.seed)
    return {"value": _score_answers(fit, name, split, settings), "low": interval.low, "high": interval.high,
            "interval_by": interval.by}


def _score_answers(fit: Fit, name: str, split: LabelledVectors, settings: FitSettings) -> float:
    """Score of a fit on a split; NaN if it has not answered it."""
    if not fit.answers:
        return np.nan
    answer, columns = _pick_answer(fit, name, settings)
    return statistics_scores.score(split.y, answer, settings.metric, classes=columns)


def _pick_answer(fit: Fit, name: str, settings: FitSettings) -> tuple[npt.NDArray[Any], Names | None]:
    """What a metric takes of a fit's answers to a split, and the columns of scores."""
    needs = statistics_scores.get_metric(settings.metric).needs
    if needs == "scores":
        return (fit.scores or fit.answers)[name], settings.classes  # a fine-tuned network has answers only
    return (fit.labels if needs == "labels" else fit.answers)[name], None
