"""Personalised: train, choose and test inside each speaker, then average over speakers.

Reference
---------
Shor et al., 2020, Table 3 (CREMA-D and SAVEE). The authors published how they split
(`nslib.splits.within_group`), not how they scored. What is defined here: the accuracy of each speaker,
averaged over speakers with equal weight, over several split numbers, the authors' canonical 666 among them.

Conventions
-----------
One probe and normalisation is chosen for all speakers of a split, on the validation score averaged over
speakers: one speaker's validation part is a handful of clips, among which any choice would be luck.

Chance is the share of each speaker's most frequent label among all of their clips. (In a test part of
five clips the most frequent label has two or more by luck alone.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import metrics, splits
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.protocols import intervals, plans
from nslib.protocols.fits import Combination, Fits, fit
from nslib.protocols.material import FAST, Computed, Material, best, blank, probe_names, usable
from nslib.protocols.plans import Plan

if TYPE_CHECKING:
    import pandas as pd

NAME = "within-speaker"
DEFAULTS: dict[str, Any] = {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0, 1, 2, 3), "probes": FAST, "shots": 0,
                            "probabilities": (0.6, 0.2, 0.2)}
SMOKE: dict[str, Any] = {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0)}

_NORMALISED = "No z-score by speaker: within one speaker it has nothing to take away."


def compute(given: Material, *, split_numbers: Sequence[int], probes: Sequence[str], shots: int,
            probabilities: Sequence[float], seed: int, jobs: int = 2,
            progress: Callable[[], object] | None = None) -> Computed:
    """Run the protocol.

    Parameters
    ----------
    given : Material
    split_numbers : sequence of int
        Seeds of the splits, each once.
    probes : sequence of str
        Names in `nslib.classifiers.PROBES`, each tried with and without L2 normalisation.
    shots : int
        Cap on the training clips of a label of a speaker, the first as drawn, so that a smaller cap
        keeps a subset; 0: all.
    probabilities : sequence of float
        Shares of train, validation and test.
    seed : int
        Seeds forests and resamples.
    jobs : int
        Speakers at a time, in threads.
    progress : callable, optional
        Called after each speaker of each split.

    Returns
    -------
    Computed

    Raises
    ------
    BadParameter
        For no split number, or one twice.
    Unavailable
        If no speaker can be used.
    NslibError
        If no probe could be fitted to every speaker of a split.
    """
    if not split_numbers or len(set(split_numbers)) < len(split_numbers) or shots < 0:
        raise BadParameter(f"give each split number once and shots of 0 or more; got {split_numbers!r}, {shots!r}.")
    mine, said = usable(given, NAME)
    combinations = [(name, l2) for name in probe_names(probes) for l2 in (False, True)]
    planned = [plans.plan(mine, number, shots, probabilities) for number in split_numbers]
    left = plans.notes(mine, planned)
    if not any(plan.parts for plan in planned):
        raise Unavailable(f"the protocol {NAME} on {mine.task.name}", f"no speaker can be used. {' '.join(left)}",
                          "It needs several clips of each speaker, under at least two labels.")
    fits = fit(mine, planned, combinations, seed=seed, jobs=jobs, progress=progress)
    common = {"protocol": NAME, "shots": shots, "seed": seed, "dim": mine.vectors.shape[1], "speaker_norm": False,
              "level": metrics.LEVEL}
    rows, answers = _scored(mine, [plan for plan in planned if plan.parts], combinations, fits, common)
    return Computed(rows, answers, (*said, _NORMALISED, *left, *fits.notes))


def _scored(mine: Material, planned: Sequence[Plan], combinations: Sequence[Combination], fits: Fits,
            common: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    rows: list[dict[str, Any]] = []
    chance = plans.chances(mine)
    picked: dict[str, list[pd.DataFrame]] = {"selected": [], "best_on_test": []}
    for plan in planned:
        own = fits.answers[fits.answers["split_number"] == plan.number]
        scores = _scores(own, [fits.failed.get((plan.number, k), "") for k in range(len(combinations))])
        facts = plans.facts(mine, plan, chance)
        for k, combination in enumerate(combinations):
            rows.append(blank(**common, **facts, **_probe(combination), **scores.loc[k].to_dict()))
        for mark, into in picked.items():
            into.append(own[own["combination"].isin(scores.index[scores[mark]]) & (own["part"] == "test")])
        for who, part in picked["selected"][-1].groupby("speaker", sort=False):
            facts, chosen_one = plans.facts(mine, plan, chance, str(who)), combinations[part["combination"].iloc[0]]
            rows.append(blank(**common, **facts, **_probe(chosen_one), value=part["right"].mean(), selected=True))
    chosen = {mark: pd.concat(into) for mark, into in picked.items()}
    if chosen["selected"].empty:
        raise NslibError(f"no probe could be chosen on {mine.task.name}: there is no split in which one could be "
                         "fitted to every speaker and had validation clips. Use LogisticRegression, and leave a "
                         f"share for validation. {' '.join(fits.notes)}".strip())
    rows += [_over_all(pd.DataFrame(rows), mark, answers, common) for mark, answers in chosen.items()]
    return pd.DataFrame(rows), _answers(chosen["selected"], common)


def _probe(combination: Combination) -> dict[str, Any]:
    return {"probe": combination[0], "l2": combination[1]}


def _scores(own: pd.DataFrame, failed: Sequence[str]) -> pd.DataFrame:
    """Validation and test score of each combination, averaged over speakers; NaN if it failed on one of them."""
    each = own.groupby(["combination", "part", "speaker"])["right"].mean()
    wide = each.groupby(level=[0, 1]).mean().unstack().reindex(range(len(failed)), columns=["validation", "test"])
    wide[np.array(failed) != ""] = np.nan
    marks = {"selected": best(wide["validation"].to_numpy()), "best_on_test": best(wide["test"].to_numpy())}
    return wide.rename(columns={"test": "value"}).assign(**marks, reason=list(failed))


def _over_all(rows: pd.DataFrame, mark: str, answers: pd.DataFrame, common: dict[str, Any]) -> dict[str, Any]:
    """The row over all split numbers: of what was chosen on validation, or of the best on test."""
    chosen = rows[(rows["speaker"] == "") & rows[mark]]
    usual = chosen.groupby(["probe", "l2"], sort=False).size().idxmax()
    speakers = answers["speaker"].nunique()
    row = blank(**common, **_probe((usual[0], bool(usual[1]))), **{mark: True}, splits=len(chosen),
                value=intervals.accuracy(answers, of_speakers=True), validation=chosen["validation"].mean(),
                spread=chosen["value"].std(), chance=chosen["chance"].mean(), n=answers["clip_id"].nunique(),
                n_train=round(chosen["n_train"].mean()), n_speakers=speakers, shared_speakers=speakers,
                classes=chosen["classes"].max())
    if mark == "selected":  # an optimistic number gets no interval: it would be one around a bias
        found = intervals.interval(answers, of_speakers=True, seed=common["seed"])
        row |= {"low": found.low, "high": found.high, "interval_by": found.by}
    return row


def _answers(chosen: pd.DataFrame, common: dict[str, Any]) -> pd.DataFrame:
    kept = chosen[["split_number", "clip_id", "speaker", "y_true", "y_pred"]]
    return kept.assign(split_number=kept["split_number"].astype(str), protocol=common["protocol"],
                       shots=common["shots"])
