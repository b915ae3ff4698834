"""The protocol within speakers: train, choose and test inside each speaker (personalised; the paper's Table 3).

The paper's is of CREMA-D and SAVEE. The authors published how they split
(`nslib.datasets.splits.split_within_group`), not how they scored. Defined here: the accuracy of each speaker, averaged
over speakers with equal weight, over several split numbers, the authors' canonical 666 among them. One probe and
normalisation is chosen for all speakers of a split, on the validation score averaged over speakers: one speaker's
validation part is a handful of clips, among which any choice would be luck. Chance is the share of each speaker's most
frequent label among all of their clips. (In a test part of five clips the most frequent label has two or more by luck
alone.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.datasets import splits
from nslib.datasets.splits import SPLITS
from nslib.embeddings import runtime
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.evaluation.divisions import (
    ANSWER,
    WITHIN_SPEAKER,
    Computed,
    Names,
    Progress,
    TaskVectors,
    join_names,
    keep_known_speakers,
    make_row,
    make_test,
    sum_up,
)
from nslib.evaluation.probe import FIT_CONTEXT, Fit, FitSettings, LabelledVectors, fit_probes, select_best
from nslib.statistics import scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compute_within_speaker"]

_ONE_CLASS, _NO_TEST = "their training part holds one class only", "nothing of them is left for the test"

Parts = dict[str, npt.NDArray[np.int64]]


class _SpeakerSplits(NamedTuple):
    """One split number: positions of each usable speaker's clips by part, and why other speakers cannot be used."""

    number: int
    parts: dict[str, Parts]
    unusable: dict[str, str]


def compute_within_speaker(given: TaskVectors, *, split_numbers: Sequence[int], probes: Sequence[str], shots: int,
                            probabilities: Sequence[float], seed: int, progress: Progress = None) -> Computed:
    """Train, choose and test inside each speaker; several speakers at a time, which changes no answer."""
    if not split_numbers or len(set(split_numbers)) < len(split_numbers) or shots < 0:
        raise BadParameter(f"give each split number once and shots of 0 or more; got {split_numbers!r}, {shots!r}.")
    data, notes = keep_known_speakers(given, WITHIN_SPEAKER)
    divided = [_split_inside_speakers(data, number, shots, probabilities) for number in split_numbers]
    notes += ["No z-score by speaker: within one speaker it has nothing to take away.",
              *(left_out := _describe_speakers(data, divided))]
    divided = [split for split in divided if split.parts]
    if not divided:
        raise Unavailable(f"the protocol {WITHIN_SPEAKER} on {data.task.name}",
                          f"no speaker can be used. {' '.join(left_out)}",
                          "It needs several clips of each speaker, under at least two labels.")
    combinations = [{"probe": name, "l2": l2, "speaker_norm": False} for name in probes for l2 in (False, True)]
    answers, reasons, of_fits = _fit_inside_speakers(data, divided, combinations, seed, progress)
    common = {"protocol": WITHIN_SPEAKER, "shots": shots, "seed": seed, "dim": data.vectors.x.shape[1]}
    rows, chosen = _score_inside_speakers(data, divided, combinations, answers, reasons, common)
    if chosen.empty:
        raise NslibError(f"no probe could be chosen on {data.task.name}: there is no split in which one could be "
                         "fitted to every speaker and had validation clips. Use LogisticRegression, and leave a "
                         f"share for validation. {' '.join(of_fits)}".strip())
    kept = chosen[["split_number", *ANSWER]].assign(protocol=WITHIN_SPEAKER, shots=shots)
    return Computed(rows, kept.astype({"split_number": str}), notes + of_fits)


def _split_inside_speakers(data: TaskVectors, number: int, shots: int,
                           probabilities: Sequence[float]) -> _SpeakerSplits:
    """Split every speaker's clips; of the training clips of a label the first `shots` as drawn are kept, 0: all."""
    label, place = data.vectors.y, {str(name): i for i, name in enumerate(data.vectors.clip_id)}
    speaker = dict(data.listed)
    drawn: dict[str, dict[str, list[int]]] = {}
    for clip, part in splits.split_within_group(speaker, speaker.values(), probabilities, split_number=number).items():
        mine = drawn.setdefault(speaker[clip], {name: [] for name in SPLITS})
        if clip in place and not (part == "train" and shots and shots <= sum(
                label[row] == label[place[clip]] for row in mine["train"])):
            mine[part].append(place[clip])
    parts, unusable = {}, {}
    for who, mine in drawn.items():
        if len(set(label[mine["train"]])) < 2:
            unusable[who] = _ONE_CLASS
        elif not mine["test"]:
            unusable[who] = _NO_TEST
        else:
            parts[who] = {name: np.sort(np.array(rows, dtype=np.int64)) for name, rows in mine.items()}
    return _SpeakerSplits(number, parts, unusable)


def _describe_speakers(data: TaskVectors, divided: Sequence[_SpeakerSplits]) -> list[str]:
    """Sentences on who was left out and on answers that cannot be right."""
    speaker, label = dict(data.listed), data.vectors.y
    few, everybody = splits.count_small_groups(speaker, speaker.values()), len(set(speaker.values()))
    notes = [f"{len(few)} of {everybody} speakers have fewer than {len(SPLITS)} clips and were left out: "
             f"{join_names(few)}."] if few else []
    for why in (_ONE_CLASS, _NO_TEST):
        times = Counter(who for split in divided for who, reason in split.unusable.items() if reason == why)
        if times:
            whom = join_names(f"{who} (in {n})" for who, n in times.items())
            notes.append(f"{len(times)} of {everybody} speakers were left out of some of {len(divided)} splits, "
                         f"because {why}: {whom}.")
    unlearnt = np.concatenate([np.zeros(0, bool), *(~np.isin(label[part["test"]], label[part["train"]])
                                                    for split in divided for part in split.parts.values())])
    if unlearnt.any():
        notes.append(f"{unlearnt.sum()} of {len(unlearnt)} test answers cannot be right: the speaker's training part "
                     "lacks the label.")
    return notes


def _fit_inside_speakers(data: TaskVectors, divided: Sequence[_SpeakerSplits], combinations: Sequence[dict[str, Any]],
                         seed: int, progress: Progress,
                         ) -> tuple[pd.DataFrame, dict[tuple[int, int], str], list[str]]:
    """Fit every combination to every speaker of every split: answers, why one could not be fitted, notes."""
    # Answers have one row a split number, combination by its place, and clip of validation or test; reasons are the
    # first of a combination and a split number.
    import pandas as pd

    vectors, probes = data.vectors, list(dict.fromkeys(combination["probe"] for combination in combinations))
    settings = FitSettings(np.unique(vectors.y), "accuracy", seed)
    todo = [(split.number, part) for split in divided for part in split.parts.values()]
    columns: list[tuple[Names, ...]] = []
    reasons: dict[tuple[int, int], str] = {}
    fitted: list[Fit] = []
    with FIT_CONTEXT, ThreadPoolExecutor(runtime.count_jobs()) as pool:
        work = pool.map(lambda one: _fit_speaker(vectors, one[1], probes, settings), todo)
        for (number, part), fits in zip(todo, work, strict=True):
            asked = np.concatenate([part[name] for name in SPLITS[1:]])
            names = np.repeat(SPLITS[1:], [len(part[name]) for name in SPLITS[1:]])
            for k, fit in enumerate(fits):
                if fit.labels:
                    same = (np.full(len(asked), value) for value in (number, k))
                    columns.append((*same, names, asked, fit.labels["asked"]))
                else:
                    reasons.setdefault((number, k), fit.reason)
            # of fits under two names, which share their answers, only the one that was made
            fitted += {id(fit.answers): fit for fit in reversed(fits)}.values()
            if progress:
                progress()
    if not columns:
        raise NslibError(f"no probe could be fitted inside any speaker of {data.task.name}: "
                         f"{next(iter(reasons.values()))}")
    numbers, places, names, asked, predicted = (np.concatenate(column) for column in zip(*columns, strict=True))
    answers = pd.DataFrame({"split_number": numbers, "combination": places, "part": names,
                            "clip_id": vectors.clip_id[asked], "speaker": vectors.speaker[asked],
                            "y_true": vectors.y[asked], "y_pred": predicted, "right": vectors.y[asked] == predicted})
    failures = Counter((combinations[k]["probe"], why) for (_, k), why in reasons.items())
    capped = sum(bool(fit.labels) and not fit.converged for fit in fitted)
    warned = Counter(fit.reason.rstrip(". ") for fit in fitted if fit.labels and fit.reason)
    notes = [f"{name} could not be fitted to every speaker ({n} splits and normalisations) and was not chosen there: "
             f"{why}" for (name, why), n in failures.items()]
    notes += [f"{capped} of {len(fitted)} fits ended at their cap of iterations, as the authors' do."] * bool(capped)
    notes += [f"{n} of {len(fitted)} fits warned: {text}." for text, n in sorted(warned.items())]
    return answers, reasons, [f"{data.embedding}: {note}" for note in notes]


def _fit_speaker(vectors: LabelledVectors, part: Parts, probes: Sequence[str], settings: FitSettings) -> list[Fit]:
    """Fit all probes, with and without L2 normalisation, to one speaker; a few clips need no threads of their own."""
    asked = np.concatenate([part[name] for name in SPLITS[1:]])
    parts = {"train": vectors.take(part["train"]), "asked": vectors.take(asked)}
    return fit_probes(probes, [(False, False), (True, False)], parts, settings, jobs=1)


def _score_inside_speakers(data: TaskVectors, divided: Sequence[_SpeakerSplits],
                           combinations: Sequence[dict[str, Any]], answers: pd.DataFrame,
                           reasons: Mapping[tuple[int, int], str],
                           common: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of each split, of each speaker and over all; and the chosen answers, empty if nothing could be chosen."""
    import pandas as pd

    y, speaker = data.vectors.y, data.vectors.speaker
    chance = {str(who): scores.chance(y[speaker == who]) for who in np.unique(speaker)}
    rows: list[dict[str, Any]] = []
    chosen: dict[str, list[pd.DataFrame]] = {"selected": [], "best_on_test": []}
    for split in divided:
        mine = answers[answers["split_number"] == split.number]
        means = _average_over_speakers(mine, [reasons.get((split.number, k), "") for k in range(len(combinations))])
        facts = common | _describe_split(y, split, list(split.parts), chance)
        rows += [make_row(**facts, **combinations[k], **row) for k, row in enumerate(means.to_dict("records"))]
        for mark, parts in chosen.items():
            parts.append(mine[mine["combination"].isin(means.index[means[mark]]) & (mine["part"] == "test")])
        for who, part in chosen["selected"][-1].groupby("speaker", sort=False):
            facts = common | _describe_split(y, split, [str(who)], chance) | {"speaker": who}
            rows.append(make_row(**facts, **combinations[part["combination"].iloc[0]], value=part["right"].mean(),
                                 selected=True))
    every = pd.DataFrame(rows)
    for mark, parts in chosen.items():
        tested, of_splits = pd.concat(parts), every[(every["speaker"] == "") & every[mark]]
        if tested.empty:
            return every, tested
        speakers, test = tested["speaker"].nunique(), make_test(tested, WITHIN_SPEAKER)
        facts = {"value": test.mean(), "n": tested["clip_id"].nunique(), "n_speakers": speakers,
                 "shared_speakers": speakers}
        if mark == "selected":  # an optimistic number gets no interval: it would be one around a bias
            interval = test.interval(seed=common["seed"])
            facts |= {"low": interval.low, "high": interval.high, "interval_by": interval.by}
        rows.append(sum_up(of_splits, mark, **facts))
    return pd.DataFrame(rows), pd.concat(chosen["selected"])


def _average_over_speakers(answers: pd.DataFrame, reasons: Sequence[str]) -> pd.DataFrame:
    """Validation and test score of each combination, averaged over speakers; NaN if it failed on one of them."""
    each = answers.groupby(["combination", "part", "speaker"])["right"].mean()
    wide = each.groupby(level=[0, 1]).mean().unstack().reindex(range(len(reasons)), columns=list(SPLITS[1:]))
    wide[np.array(reasons) != ""] = np.nan
    marks = {"selected": select_best(wide["validation"], "accuracy"),
             "best_on_test": select_best(wide["test"], "accuracy")}
    return wide.rename(columns={"test": "value"}).assign(**marks, reason=list(reasons))


def _describe_split(label: Names, split: _SpeakerSplits, who: Sequence[str],
                    chance: Mapping[str, float]) -> dict[str, Any]:
    """What a row says beside its score, of a split and some of its speakers."""
    train, test = ([split.parts[name][part] for name in who] for part in ("train", "test"))
    return {"split_number": str(split.number), "n": sum(map(len, test)), "n_speakers": len(who),
            "n_train": round(np.mean([len(rows) for rows in train])), "shared_speakers": len(who),
            "classes": len(set(label[np.concatenate(train)])), "chance": float(np.mean([chance[name] for name in who]))}
