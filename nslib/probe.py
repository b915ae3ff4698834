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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import metrics
from nslib.classifiers import CLASSIFIERS, PROBES, l2_normalise, speaker_normalise
from nslib.errors import BadParameter, UnknownName
from nslib.large import grid as large
from nslib.large import needs
from nslib.probe_data import Split, checked, label_notes, speaker_norms
from nslib.probe_fit import Fit, Mapper, Wanted, fit_all
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]

PREDICTED = ["probe", "l2", "speaker_norm", "seed", "clip_id", "speaker", "y_true", "y_pred"]
"""Columns of `Grid.predictions`."""

__all__ = ["PREDICTED", "PROBES", "Grid", "Split", "grid", "l2_normalise", "notes", "scored", "speaker_normalise"]


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
    mapper: Mapper | None = None,
    streamed: bool | None = None,
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
    mapper : callable, optional
        Does the fits elsewhere: see `nslib.probe_fit.fit_all`. Vectors are then sent, not streamed.
    streamed : bool, optional
        Whether vectors go through memory in blocks, from files in the cache: slower, for more vectors than memory
        holds (see `nslib.large`). Default: where they do not fit otherwise, which a note then says.

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
    names = _known_probes(probes)
    clips = len(train.y) + len(validation.y) + len(test.y)
    if streamed is None:
        size = (clips, len(train.y), np.shape(train.x)[-1], len(set(train.y)))
        streamed = mapper is None and not needs.fits_in_memory(*size)
    splits = checked(train, validation, test, streamed=streamed)
    norms, said = speaker_norms(splits, speaker_norm)
    classes = np.unique(np.concatenate([split.y for split in splits.values()]))
    if metrics.get(metric).needs == "scores":  # a metric that does not fit the task fails before any fit
        truth = splits["test"].y
        metrics.score(metric, truth, np.zeros((len(truth), len(classes))), classes)
    variants = [(l2, norm) for l2 in (False, True) for norm in norms]
    wanted = Wanted(classes, metric, seed)
    if streamed:
        fits = large.fit_all(names, variants, splits, wanted, jobs=jobs, progress=progress)
        said = [*said, f"{clips} vectors went through memory in blocks."]
    else:
        fits = fit_all(names, variants, splits, wanted, jobs=jobs, progress=progress, mapper=mapper)
    return scored(fits, splits, wanted, said)


def scored(fits: list[Fit], splits: dict[str, Split], wanted: Wanted, said: Sequence[str] = ()) -> Grid:
    """Score answers, from whatever they come: of classifiers, or of a fine-tuned network.

    Parameters
    ----------
    fits : list of Fit
        Answers for the clips of validation and test, in the order of `splits`.
    splits : dict of str to Split
        As `nslib.probe_data.checked` gives them.
    wanted : Wanted
    said : sequence of str
        Notes.

    Returns
    -------
    Grid
    """
    rows = _rows(fits, splits, wanted.classes, wanted.metric, wanted.seed)
    return Grid(rows, _predictions(fits, rows, splits["test"], wanted.seed), (*said, *label_notes(splits)))


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
    splits = checked(train, validation, test)
    return tuple(speaker_norms(splits, speaker_norm)[1] + label_notes(splits))


def _known_probes(probes: Sequence[str]) -> list[str]:
    for name in probes:
        if name not in CLASSIFIERS:
            raise UnknownName("probe", name, CLASSIFIERS)
    if not probes:
        raise BadParameter(f"give at least one probe of {', '.join(PROBES)}.")
    return [name for name in PROBES if name in probes]


def _rows(fits: list[Fit], splits: dict[str, Split], classes: Names, metric: str, seed: int) -> pd.DataFrame:
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


def _scored(fit: Fit, name: str, split: Split, classes: Names, metric: str, seed: int) -> dict[str, object]:
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


def _predictions(fits: list[Fit], rows: pd.DataFrame, test: Split, seed: int) -> pd.DataFrame:
    import pandas as pd

    chosen = rows["selected"].to_numpy()[::2]
    if not chosen.any():
        return pd.DataFrame(columns=PREDICTED)
    fit = fits[int(np.argmax(chosen))]
    return pd.DataFrame({"probe": fit.probe, "l2": fit.l2, "speaker_norm": fit.speaker_norm, "seed": seed,
                         "clip_id": test.clip_id, "speaker": test.speaker, "y_true": test.y,
                         "y_pred": fit.labels["test"]}, columns=PREDICTED)
