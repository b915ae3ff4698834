"""Protocols beyond the plain one: the same vectors, probes and columns, other ways to divide the clips.

**Within speakers** (personalised; the paper's Table 3, of CREMA-D and SAVEE): train, choose and test inside each
speaker. The authors published how they split (`nslib.datasets.splits.split_within_group`), not how they scored. Defined
here: the accuracy of each speaker, averaged over speakers with equal weight, over several split numbers, the authors'
canonical 666 among them. One probe and normalisation is chosen for all speakers of a split, on the validation score
averaged over speakers: one speaker's validation part is a handful of clips, among which any choice would be luck.
Chance is the share of each speaker's most frequent label among all of their clips. (In a test part of five clips the
most frequent label has two or more by luck alone.)

**Repeated**: the speakers are divided again and again by the authors' algorithm
(`nslib.datasets.splits.split_by_group`) and graded like the benchmark's own split: how much one division decides. A
split in which a class is missing from a part is scored all the same, and counted: to draw again until all classes are
there would be to choose the easy splits.

**Switch**: how much the protocol decides. It has two positions twice:

===================  ====================================  ===========================================
protocol             who is tested                         what is learnt from
===================  ====================================  ===========================================
by-speaker           new people: the task's own split      all training clips ("full")
by-speaker-8-shot    the same people, the same clips       8 of the training clips of each class, drawn
by-clip              *the people of training*: clips are   as many clips as by-speaker has
                     divided at random, whoever speaks
by-clip-8-shot       the same                              8 of those of each class, drawn
===================  ====================================  ===========================================

Only the first two are results. The last two are what a table shows when clips were divided without a thought of who
speaks; they never enter a table of results. Validation and test are never cut. By-clip uses shares as large as those
of the task's own split, counted in clips. No z-score by speaker is tried: it would itself move from split to split.

Rows (`nslib.evaluation.results.PROTOCOL_ROWS`) are of a split and all its speakers (one a probe and normalisation, the
choice marked ``selected``), of a split and one speaker, and over all splits (empty ``split_number`` and ``speaker``),
once for what was chosen on validation and once for the best on test. Answers have one row a tested clip and split. A
result is kept as ``<key>.answers.parquet`` and, last, ``<key>.protocol.parquet``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.datasets import splits
from nslib.datasets.splits import SPLITS
from nslib.datasets.tasks import Task, choose_task_names, get_task
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.evaluation import benchmark, probe, results
from nslib.evaluation.benchmark import Embeddable, EmbeddingSpec
from nslib.evaluation.probe import FIT_CONTEXT, Fit, FitSettings, LabelledVectors, fit_probes, select_best
from nslib.evaluation.results import PROTOCOL_ANSWERS, PROTOCOL_ROWS, PROTOCOL_TABLES, ResultsBuilder, check_table
from nslib.statistics import scores
from nslib.statistics.comparisons import HOLDS, REFUTED, UNDECIDED, match_answers, pair_matched
from nslib.statistics.intervals import LEVEL, Difference, RepeatedTest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REPEATED", "SWITCH", "WITHIN_SPEAKER", "TaskVectors", "average_by_speaker", "load_protocols",
           "make_task_vectors", "run_protocol", "run_repeated", "run_switch", "run_within_speaker", "summarise"]

# Raise it whenever a score, an interval or an answer of a protocol can move: it is part of the key of every result.
# Golden values in tests/evaluation/test_protocols.py hold it. What the grid decides has a version of its own.
PROTOCOLS_VERSION = 1

WITHIN_SPEAKER, REPEATED, SWITCH, BY_SPEAKER = "within-speaker", "repeated", "switch", "by-speaker"

BY_CLIP = "by-clip"  # random clips: the same speakers learn and are tested; never a result, only a warning

# unless others are asked for: two of the five, because a protocol fits hundreds of times
FAST_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")

_DEFAULTS: dict[str, dict[str, Any]] = {
    WITHIN_SPEAKER: {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0, 1, 2, 3), "probes": FAST_PROBES, "shots": 0,
                     "probabilities": (0.6, 0.2, 0.2)},
    REPEATED: {"seeds": tuple(range(10)), "probabilities": None, "probes": FAST_PROBES},
    SWITCH: {"shots": 8, "draws": 5, "probes": FAST_PROBES}}
_SMOKE: dict[str, dict[str, Any]] = {
    WITHIN_SPEAKER: {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0)}, REPEATED: {"seeds": (0, 1)},
    SWITCH: {"draws": 2}}
_COMBINATION = ["probe", "l2", "speaker_norm"]
_ANSWER = ["clip_id", "speaker", "y_true", "y_pred"]
_MOST_NAMES = 8
_ONE_CLASS, _NO_TEST = "their training part holds one class only", "nothing of them is left for the test"

AnyTask = str | Path | Task
Names = npt.NDArray[Any]
Parts = dict[str, npt.NDArray[np.int64]]
Progress = Callable[[], object] | None


# ------------------------------------------------------------------ vectors

@dataclass(frozen=True)
class TaskVectors:
    """Vectors of one embedding for the clips of one task, made by `make_task_vectors`.

    Splits within speakers are drawn among all clips of the task, so that a clip for which an embedding has no vector
    does not change the split of the others.
    """

    task: Task
    embedding: str  # its name in tables
    fingerprint: str  # what its results are kept under
    clips: pd.DataFrame  # clip table, sorted by clip_id
    vectors: LabelledVectors  # row by row
    listed: tuple[tuple[str, str], ...]  # clip_id and speaker of all clips of the task, sorted


def make_task_vectors(task: Task, clips: pd.DataFrame, vectors: npt.ArrayLike, *, embedding: str, fingerprint: str,
                      listed: pd.DataFrame | None = None) -> TaskVectors:
    """Check vectors that exist already, one a clip of the clip table; `listed` is the table of all clips, if longer."""
    x = np.asarray(vectors)
    if x.ndim != 2 or len(x) != len(clips) or not x.size:
        raise BadParameter(f"give one vector a clip, [clips, dim]; got {x.shape} for {len(clips)} clips.")
    if clips["clip_id"].duplicated().any():
        raise BadParameter(f"{clips['clip_id'].duplicated().sum()} names of clips come twice.")
    broken = clips["clip_id"][[not np.isfinite(row).all() for row in x]]
    if len(broken):
        raise NslibError(f"{len(broken)} of {len(x)} vectors hold NaN or infinity, the first that of "
                         f"{broken.iloc[0]}. Check the embedding with nslib.check.")
    among = _list_clips(clips if listed is None else listed)
    if not clips["clip_id"].is_monotonic_increasing:  # every data set is: gigabytes of vectors are not copied
        order = np.argsort(clips["clip_id"].to_numpy(str), kind="stable")
        clips, x = clips.iloc[order], x[order]
    return TaskVectors(task, embedding, fingerprint, clips.reset_index(drop=True), LabelledVectors.of(clips, x), among)


def _list_clips(clips: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Name and speaker of each clip, sorted: what splits are drawn among."""
    columns = (clips[name].fillna("").astype(str) for name in ("clip_id", "speaker"))
    return tuple(sorted(zip(*columns, strict=True)))


def _keep_known_speakers(given: TaskVectors, protocol: str) -> tuple[TaskVectors, list[str]]:
    """Keep the clips whose speaker is known, with a note; refuse a task that the protocol is not defined for."""
    task, known, why = given.task, given.vectors.speaker != "", ""
    if task.speaker_is_label or splits.label_is_speaker(given.vectors.y, given.vectors.speaker):
        why = "the label is the speaker, so that clips can be split neither between speakers nor within one"
    elif not known.any():
        why = "no clip says who speaks"
    elif task.metric != "accuracy":
        why = f"it is scored by {task.metric}, and the protocol is defined for accuracy"
    if why:
        raise Unavailable(f"the protocol {protocol} on {task.name}", why,
                          "Choose a task with several speakers, each with several labels.")
    if known.all():
        return given, []
    note = f"{(~known).sum()} of {len(known)} clips were left out: their speaker is not known."
    return replace(given, clips=given.clips[known].reset_index(drop=True), vectors=given.vectors.take(known),
                   listed=tuple(pair for pair in given.listed if pair[1])), [note]


def _join_names(names: Iterable[str]) -> str:
    """Names in a sentence; of many the first few, and how many more."""
    every = list(names)
    more = f" and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else ""
    return ", ".join(every[:_MOST_NAMES]) + more


# ------------------------------------------------------------------ rows

class _Computed(NamedTuple):
    """Rows and answers but for their origin, and sentences on what was left out, counted, or cannot be right."""

    rows: pd.DataFrame
    answers: pd.DataFrame
    notes: Sequence[str]


def make_row(**facts: object) -> dict[str, object]:
    """Make a row in which only what applies must be said: no interval, one split, all speakers, nothing marked."""
    nan = float("nan")
    return {"shots": 0, "split_number": "", "speaker": "", "spread": nan, "splits": 1, "validation": nan, "value": nan,
            "low": nan, "high": nan, "interval_by": "", "selected": False, "best_on_test": False, "reason": "",
            "metric": "accuracy", "level": LEVEL, **facts}


def _sum_up(chosen: pd.DataFrame, mark: str, **facts: object) -> dict[str, object]:
    """The row over all splits, of the rows that were chosen by `mark`; `facts` are what is not a mean of theirs."""
    common = {name: chosen[name].iloc[0] for name in ("protocol", "shots", "seed", "dim")}
    usual = chosen.groupby(_COMBINATION, sort=False).size().idxmax()
    means = chosen[["value", "validation", "chance"]].mean().to_dict()
    sizes = {name: round(chosen[name].mean()) for name in ("n", "n_train", "n_speakers", "shared_speakers")}
    return make_row(**common, **dict(zip(_COMBINATION, usual, strict=True)), **means | sizes | facts,
                    spread=chosen["value"].std(), splits=len(chosen), classes=chosen["classes"].max(), **{mark: True})


def make_test(answers: pd.DataFrame, over: str) -> RepeatedTest:
    """Right answers over all splits, of which speakers count equally, or splits."""
    right = (answers["y_true"] == answers["y_pred"]).to_numpy(np.float64)
    clips, speakers, numbers = (answers[name].to_numpy(str) for name in ("clip_id", "speaker", "split_number"))
    return RepeatedTest(right, clips, speakers, numbers, over)


# ------------------------------------------------------------------ splits of a whole task: repeated, and the switch

def _compute_repeated(given: TaskVectors, *, seeds: Sequence[int], probabilities: Sequence[float] | None,
                      **options: Any) -> _Computed:
    """Divide the speakers once for each of `seeds`."""
    data, notes = _keep_known_speakers(given, REPEATED)
    clips, speakers = data.vectors.clip_id.tolist(), data.vectors.speaker
    if len(set(speakers)) < len(SPLITS):
        raise Unavailable(f"the protocol {REPEATED} on {data.task.name}", f"it has {len(set(speakers))} speakers",
                          "Splits between speakers need three or more.")
    counts = Counter(split for _, split in set(zip(speakers, data.clips["split"].fillna(""), strict=True)))
    if not probabilities and not all(counts[name] for name in SPLITS):
        raise Unavailable(f"the protocol {REPEATED} on {data.task.name}",
                          "its own split leaves a part without speakers",
                          "Give the shares of train, validation and test as probabilities.")
    shares = probabilities or _share_out([counts[name] for name in SPLITS])
    divisions = ((str(number), splits.split_by_group(clips, speakers, shares, seed=number)) for number in seeds)
    scored = _score_divisions(data, REPEATED, divisions, 0, speaker_norm=True, **options)
    return scored._replace(notes=[*notes, *scored.notes])


def _share_out(counts: Sequence[int]) -> tuple[float, ...]:
    """Shares that give these counts again."""
    # a hair more than k / n, because shares are cut towards zero and k / n * n can fall short of k
    first = [count / sum(counts) + 1e-10 for count in counts[:-1]]
    return (*first, 1 - sum(first))


def _compute_switch(given: TaskVectors, *, shots: int, draws: int, **options: Any) -> _Computed:
    """Score by four protocols."""
    import pandas as pd

    if min(shots, draws) < 1:
        raise BadParameter(f"shots is {shots} and draws is {draws}; give 1 or more of each.")
    data, notes = _keep_known_speakers(given, SWITCH)
    folds = splits.count_folds(data.clips)  # with folds, what no part of the first one has is not used
    own = {name: split for name, split in zip(data.clips["clip_id"], data.clips["split"].fillna(""), strict=True)
           if split or not folds}
    _refuse_shared_speakers(data)
    label = dict(zip(data.vectors.clip_id.tolist(), data.vectors.y.tolist(), strict=True))
    shares = _share_out([sum(split == name for split in own.values()) for name in SPLITS])
    by_clip = [splits.split_by_group(own, own, shares, seed=draw) for draw in range(draws)]
    divisions = {BY_SPEAKER: [("own", own)], BY_CLIP: [(str(draw), split) for draw, split in enumerate(by_clip)]}
    scored = []
    for protocol, full in divisions.items():
        drawn = [split for _, split in full] * (draws // len(full))  # the own split is cut in each draw
        few = ((str(draw), _cut_training(split, label, shots, draw)) for draw, split in enumerate(drawn))
        scored += [_score_divisions(data, protocol, full, 0, speaker_norm=False, **options),
                   _score_divisions(data, f"{protocol}-{shots}-shot", few, shots, speaker_norm=False, **options)]
    notes.append(f"{BY_CLIP} is no result: the people who are tested are also in training.")
    counts = Counter(label[name] for name, split in own.items() if split == "train")
    short = [f"{name} ({n})" for name, n in sorted(counts.items()) if n < shots]
    if short:
        notes.append(f"Fewer than {shots} training clips, all of which were used: {_join_names(short)}.")
    rows, answers = (pd.concat(parts, ignore_index=True) for parts in list(zip(*scored, strict=True))[:2])
    return _Computed(rows, answers, notes + [note for one in scored for note in one.notes])


def _refuse_shared_speakers(data: TaskVectors) -> None:
    """Refuse a task whose own split is not one between speakers."""
    train, validation, test = parts = [set(data.vectors.speaker[data.clips["split"] == name]) for name in SPLITS]
    shared = sorted((train & test) | (validation & test) | (train & validation))
    if shared or not all(parts):
        why = f"its own split shares speakers between parts: {_join_names(shared)}"
        raise Unavailable(f"the protocol {SWITCH} on {data.task.name}", why if shared else "a part of it is empty",
                          "Give the task a split between speakers, e.g. by nslib.datasets.splits.split_by_group.")


def _cut_training(split_of: Mapping[str, str], label: Mapping[str, str], shots: int, draw: int) -> dict[str, str]:
    """The same split with so many training clips of each class; the other training clips are in no split."""
    rng, cut = np.random.default_rng(draw), dict(split_of)
    train = sorted(name for name, split in split_of.items() if split == "train")
    for kind in sorted({label[name] for name in train}):
        order = rng.permutation([name for name in train if label[name] == kind])
        cut.update(dict.fromkeys(order[shots:].tolist(), ""))
    return cut


def _score_divisions(data: TaskVectors, protocol: str, divisions: Iterable[tuple[str, Mapping[str, str]]], shots: int,
                     **options: Any) -> _Computed:
    """Score each division (its number, and clip to split) by the grid, of `options`, and all together."""
    import pandas as pd

    # a clip that a division puts nowhere is not used; one that cannot be scored becomes a row with its reason

    vectors, numbers = data.vectors, []
    rows: list[dict[str, Any]] = []
    answers: list[pd.DataFrame] = []
    noted: dict[str, list[str]] = {}  # a note, and the numbers of the divisions in which it was made
    columns = [*_COMBINATION, "value", "chance", "low", "high", "interval_by", "selected", "best_on_test", "reason"]
    for number, split_of in divisions:
        numbers.append(number)
        split = np.array([split_of.get(str(name), "") for name in vectors.clip_id])
        train, _, test = masks = [split == name for name in SPLITS]
        for name, mask in zip(SPLITS, masks, strict=True):
            if missing := sorted(set(vectors.y) - set(vectors.y[mask])):
                noted.setdefault(f"{name} lacks {_join_names(missing)}; scored all the same.", []).append(number)
        tested, classes = set(vectors.speaker[test]) - {""}, len(set(vectors.y[train]))
        facts = {"protocol": protocol, "shots": shots, "split_number": number, "seed": options["seed"],
                 "dim": vectors.x.shape[1], "n_train": int(train.sum()), "n_speakers": len(tested),
                 "shared_speakers": len(tested & set(vectors.speaker[train])), "n": int(test.sum()), "classes": classes}
        try:
            benchmark.check_memory(data.task.name, len(split), int(train.sum()), vectors.x.shape[1], classes)
            grid = probe.grid(*(vectors.take(mask) for mask in masks), **options)
        except NslibError as error:
            rows.append(make_row(**facts, probe="", l2=False, speaker_norm=False, chance=np.nan, reason=str(error)))
            continue
        for note in grid.notes:
            noted.setdefault(note, []).append(number)
        validation, scored = (grid.rows[grid.rows["split"] == name] for name in SPLITS[1:])
        rows += [make_row(**facts, **row, validation=score) for row, score in
                 zip(scored[columns].to_dict("records"), validation["value"].tolist(), strict=True)]
        answers.append(grid.predictions[_ANSWER].assign(split_number=number, protocol=protocol, shots=shots))
    scored = pd.DataFrame([row for row in rows if np.isfinite(row["value"])])
    if scored.empty:
        raise NslibError(f"none of {len(numbers)} splits of {protocol} could be scored: {rows[0]['reason']}")
    every = pd.concat(answers, ignore_index=True)
    interval = make_test(every, "splits").interval(seed=options["seed"])
    facts = {"low": interval.low, "high": interval.high, "interval_by": interval.by, "n": every["clip_id"].nunique(),
             "n_speakers": len(set(every["speaker"]) - {""})}
    rows += [_sum_up(scored[scored["selected"]], "selected", **facts),
             _sum_up(scored[scored["best_on_test"]], "best_on_test")]
    failed = [row["split_number"] for row in rows if row["reason"] and not row["probe"]]
    notes = [f"{protocol}: {len(failed)} of {len(numbers)} splits could not be scored: {_join_names(failed)}."]
    for note, where in noted.items():
        some = f" (splits {_join_names(where)} of {len(numbers)})" if len(where) < len(numbers) else ""
        notes.append(f"{protocol}{some}: {note}")
    return _Computed(pd.DataFrame(rows), every, notes[not failed:])


# ------------------------------------------------------------------ splits inside speakers

class _SpeakerSplits(NamedTuple):
    """One split number: positions of each usable speaker's clips by part, and why other speakers cannot be used."""

    number: int
    parts: dict[str, Parts]
    unusable: dict[str, str]


def _compute_within_speaker(given: TaskVectors, *, split_numbers: Sequence[int], probes: Sequence[str], shots: int,
                            probabilities: Sequence[float], seed: int, jobs: int = 2,
                            progress: Progress = None) -> _Computed:
    """Train, choose and test inside each speaker; `jobs` speakers at a time, which changes no answer."""
    if not split_numbers or len(set(split_numbers)) < len(split_numbers) or shots < 0:
        raise BadParameter(f"give each split number once and shots of 0 or more; got {split_numbers!r}, {shots!r}.")
    data, notes = _keep_known_speakers(given, WITHIN_SPEAKER)
    divided = [_split_inside_speakers(data, number, shots, probabilities) for number in split_numbers]
    notes += ["No z-score by speaker: within one speaker it has nothing to take away.",
              *(left_out := _describe_speakers(data, divided))]
    divided = [split for split in divided if split.parts]
    if not divided:
        raise Unavailable(f"the protocol {WITHIN_SPEAKER} on {data.task.name}",
                          f"no speaker can be used. {' '.join(left_out)}",
                          "It needs several clips of each speaker, under at least two labels.")
    combinations = [{"probe": name, "l2": l2, "speaker_norm": False} for name in probes for l2 in (False, True)]
    answers, reasons, of_fits = _fit_inside_speakers(data, divided, combinations, seed, jobs, progress)
    common = {"protocol": WITHIN_SPEAKER, "shots": shots, "seed": seed, "dim": data.vectors.x.shape[1]}
    rows, chosen = _score_inside_speakers(data, divided, combinations, answers, reasons, common)
    if chosen.empty:
        raise NslibError(f"no probe could be chosen on {data.task.name}: there is no split in which one could be "
                         "fitted to every speaker and had validation clips. Use LogisticRegression, and leave a "
                         f"share for validation. {' '.join(of_fits)}".strip())
    kept = chosen[["split_number", *_ANSWER]].assign(protocol=WITHIN_SPEAKER, shots=shots)
    return _Computed(rows, kept.astype({"split_number": str}), notes + of_fits)


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
             f"{_join_names(few)}."] if few else []
    for why in (_ONE_CLASS, _NO_TEST):
        times = Counter(who for split in divided for who, reason in split.unusable.items() if reason == why)
        if times:
            whom = _join_names(f"{who} (in {n})" for who, n in times.items())
            notes.append(f"{len(times)} of {everybody} speakers were left out of some of {len(divided)} splits, "
                         f"because {why}: {whom}.")
    unlearnt = np.concatenate([np.zeros(0, bool), *(~np.isin(label[part["test"]], label[part["train"]])
                                                    for split in divided for part in split.parts.values())])
    if unlearnt.any():
        notes.append(f"{unlearnt.sum()} of {len(unlearnt)} test answers cannot be right: the speaker's training part "
                     "lacks the label.")
    return notes


def _fit_inside_speakers(data: TaskVectors, divided: Sequence[_SpeakerSplits], combinations: Sequence[dict[str, Any]],
                         seed: int, jobs: int, progress: Progress,
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
    with FIT_CONTEXT, ThreadPoolExecutor(jobs) as pool:
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
        speakers, test = tested["speaker"].nunique(), make_test(tested, "speakers")
        facts = {"value": test.mean(), "n": tested["clip_id"].nunique(), "n_speakers": speakers,
                 "shared_speakers": speakers}
        if mark == "selected":  # an optimistic number gets no interval: it would be one around a bias
            interval = test.interval(seed=common["seed"])
            facts |= {"low": interval.low, "high": interval.high, "interval_by": interval.by}
        rows.append(_sum_up(of_splits, mark, **facts))
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


# ------------------------------------------------------------------ running

_COMPUTE: dict[str, Callable[..., _Computed]] = {
    WITHIN_SPEAKER: _compute_within_speaker, REPEATED: _compute_repeated, SWITCH: _compute_switch}


def run_protocol(protocol: str, embeddings: Embeddable | Iterable[Embeddable] | None = None,
                 tasks: AnyTask | Iterable[AnyTask] | None = None, params: config.Params | None = None, *,
                 progress: bool = True, **settings: Any) -> ProtocolResults:
    """Run a protocol for embeddings on tasks; what exists already is not computed again.

    Parameters
    ----------
    protocol : {"within-speaker", "repeated", "switch"}
        Defined at the top of this module.
    embeddings, tasks, params, progress
        As in `nslib.benchmark`. Default: those tasks of `params` that are also asked within speakers.
    **settings
        Of any protocol: ``probes``, names in `nslib.evaluation.probe.PROBES` (regression and discriminant analysis).
        Of within-speaker: ``split_numbers``, seeds of the splits (666, which the authors call canonical, and 0 to 3);
        ``shots``, cap on the training clips of a label of a speaker, the first as drawn, so that a smaller cap keeps a
        subset (0: all); ``probabilities``, shares of train, validation and test of a speaker's clips (0.6, 0.2, 0.2).
        Of repeated: ``seeds``, one a split (0 to 9); ``probabilities``, shares of the *speakers* (as in the task's own
        split). Of switch: ``shots``, training clips of a class in the two few-shot protocols (8); ``draws``, how often
        clips are drawn (5). A smoke run draws two splits unless told otherwise.

    Returns
    -------
    ProtocolResults
        With the tables ``rows`` (scores), ``answers`` (of the chosen probes to test clips), ``not_run`` (pairs that
        cannot be run: the others go on), ``problems`` (clips that were left out), and ``notes``.

    Raises
    ------
    UnknownName, BadParameter
        For an unknown protocol, setting, probe, task or embedding, or no probe; nothing has been computed then.
    """
    params = params or config.load_params()
    settings = _complete_settings(protocol, settings, params)
    specs = [benchmark.specify_embedding(given) for given in benchmark.list_given(
        embeddings, params.embeddings or benchmark.default_embeddings(params))]
    builder, pairs = ResultsBuilder(), []
    wanted = benchmark.list_given(tasks, [name for name in choose_task_names(params) if get_task(name).within_speaker])
    if not wanted:
        builder.notes.append("None of the tasks of this run is asked within speakers.")
    ready = benchmark.load_tasks(wanted, params, specs, builder, progress) if wanted else []
    for spec in benchmark.find_usable(specs, ready, builder):
        for task, corpus in ready:
            try:
                pairs.append(_run_pair(protocol, task, corpus.clips, spec, settings, builder, progress))
            except NslibError as error:
                builder.refuse(task.name, spec.name, error)
    return _make_results(pairs, builder)


def run_within_speaker(embedding: Embeddable | TaskVectors, task: AnyTask | None = None, *,
                       params: config.Params | None = None, progress: bool = True, **settings: Any) -> ProtocolResults:
    """Train, choose and test inside each speaker: one embedding, one task, settings as of `run_protocol`.

    `TaskVectors` bring their task. If it cannot be run, Unavailable says why and what to do.

    >>> run_within_speaker("mfcc", "style-synthetic").table()    # doctest: +SKIP
    """
    return _run_one(WITHIN_SPEAKER, embedding, task, params, progress, settings)


def run_repeated(embedding: Embeddable | TaskVectors, task: AnyTask | None = None, *,
                 params: config.Params | None = None, progress: bool = True, **settings: Any) -> ProtocolResults:
    """Divide the speakers again and again; mean, standard deviation and interval. Called as `run_within_speaker`."""
    return _run_one(REPEATED, embedding, task, params, progress, settings)


def run_switch(embedding: Embeddable | TaskVectors, task: AnyTask | None = None, *,
               params: config.Params | None = None, progress: bool = True, **settings: Any) -> ProtocolResults:
    """Score the same vectors by four protocols, two of which are no results. Called as `run_within_speaker`."""
    return _run_one(SWITCH, embedding, task, params, progress, settings)


def _complete_settings(protocol: str, given: dict[str, Any], params: config.Params) -> dict[str, Any]:
    """All settings of a protocol, sequences as tuples, probes in the order of choice."""
    if protocol not in _DEFAULTS:
        raise UnknownName("protocol", protocol, _DEFAULTS)
    for name in given:
        if name not in _DEFAULTS[protocol]:
            raise UnknownName(f"setting of {protocol}", name, _DEFAULTS[protocol])
    settings = _DEFAULTS[protocol] | (_SMOKE[protocol] if params.smoke else {}) | given | {"seed": params.seed}
    settings["probes"] = probe.check_probes(settings["probes"])
    return {name: value if isinstance(value, int) or value is None else tuple(value)
            for name, value in settings.items()}


def _run_one(protocol: str, embedding: Embeddable | TaskVectors, task: AnyTask | None, params: config.Params | None,
             progress: bool, settings: dict[str, Any]) -> ProtocolResults:
    """Run one embedding on one task; what `run_protocol` would put into ``not_run`` is raised."""
    if isinstance(embedding, TaskVectors):
        if task is not None:
            raise BadParameter("TaskVectors bring their own task; leave the task out.")
        settings = _complete_settings(protocol, settings, params or config.load_params())
        return _make_results([_run_vectors(protocol, embedding, settings, progress)], ResultsBuilder())
    if task is None:
        raise BadParameter("give a task: a name, a folder or list of recordings, or a Task.")
    outcome = run_protocol(protocol, embedding, task, params, progress=progress, **settings)
    for row in outcome.not_run.itertuples():
        raise Unavailable(f"{protocol} of {row.embedding} on {row.task}", str(row.why), str(row.remedy))
    return outcome


def _run_pair(protocol: str, task: Task, clips: pd.DataFrame, spec: EmbeddingSpec, settings: dict[str, Any],
              builder: ResultsBuilder, progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of one embedding on one task: stored ones, else computed from its vectors."""
    key = _make_key(protocol, task, spec.name, clips, spec.fingerprint, settings)
    stored = results.find_result(key, tables=PROTOCOL_TABLES)
    if stored is not None:
        return stored
    out = spec.vectors(clips, progress=progress)
    builder.add_problems(task.name, spec.name, out.problems)
    data = make_task_vectors(task, out.clips, out.vectors, embedding=spec.name, fingerprint=spec.fingerprint,
                             listed=clips)
    return _run_vectors(protocol, data, settings, progress)


def _run_vectors(protocol: str, data: TaskVectors, settings: dict[str, Any],
                 progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of vectors: stored ones, else computed and stored."""
    from tqdm.std import tqdm

    task, clips = data.task, data.clips
    key = _make_key(protocol, task, data.embedding, clips, data.fingerprint, settings, data.listed)
    stored = results.find_result(key, tables=PROTOCOL_TABLES)
    if stored is not None:
        return stored
    title = f"{protocol} {task.name} x {data.embedding}"
    with tqdm(desc=title, unit="step", disable=not progress, leave=False) as bar:
        computed = _COMPUTE[protocol](data, **settings, progress=bar.update)
    names = {"key": key, "task": task.name, "embedding": data.embedding}
    origin = {"corpus_kind": task.kind, "data_hash": splits.hash_data(clips), "split_hash": splits.hash_split(clips),
              "weights_hash": data.fingerprint, "notes": "\n".join(computed.notes), **config.describe_origin()}
    answers = check_table(computed.answers.assign(**names), PROTOCOL_ANSWERS)
    rows = check_table(computed.rows.assign(**names, **origin), PROTOCOL_ROWS)
    results.save_result(rows, answers, tables=PROTOCOL_TABLES)
    return rows, answers


def _make_key(protocol: str, task: Task, embedding: str, clips: pd.DataFrame, fingerprint: str,
              settings: Mapping[str, Any], listed: Sequence[tuple[str, str]] | None = None) -> str:
    """Key of a result. The names of clips count, because splits are drawn among them; the order of rows does not."""
    recordings = sorted(zip(clips["clip_id"].astype(str), clips["sha256"].astype(str), strict=True))
    decides = {**settings, "protocol": protocol, "version": PROTOCOLS_VERSION, "recordings": recordings,
               "listed": listed or _list_clips(clips)}
    return results.make_key(task=task.name, embedding=embedding, data_hash=splits.hash_data(clips),
                            split_hash=splits.hash_split(clips), weights_hash=fingerprint, settings=decides)


def _make_results(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], builder: ResultsBuilder) -> ProtocolResults:
    """Put everything together, with the notes of the rows."""
    for rows, _ in pairs:
        builder.notes += [f"{rows['task'].iloc[0]}: {note}" for note in rows["notes"].iloc[0].splitlines()]
    rows, answers = ([pair[i] for pair in pairs] for i in range(2))
    rest = builder.results()
    return ProtocolResults(results.join_tables(rows, PROTOCOL_ROWS), results.join_tables(answers, PROTOCOL_ANSWERS),
                           rest.not_run, rest.problems, rest.notes)


# ------------------------------------------------------------------ results

@dataclass(frozen=True)
class ProtocolResults:
    """What a protocol gives."""

    rows: pd.DataFrame  # scores, as in nslib.evaluation.results.PROTOCOL_ROWS
    answers: pd.DataFrame  # of the chosen probes to test clips, as in PROTOCOL_ANSWERS
    not_run: pd.DataFrame  # task, embedding, why, remedy
    problems: pd.DataFrame  # clips that were left out: task, embedding, clip_id, audio, reason, remedy
    notes: list[str]  # sentences that a reader of the numbers must know

    def summary(self, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
        """Return one row a task, embedding and protocol: see `summarise`."""
        return summarise(self.rows, protocol, shots)

    def table(self, protocol: str = WITHIN_SPEAKER) -> pd.DataFrame:
        """Make the table to read, as `nslib.evaluation.results.table`; without rows if there are no results.

        Of within-speaker are the results without a cap on training clips. BadParameter for by-clip, which is no result.
        """
        if protocol.startswith(BY_CLIP):
            raise BadParameter("a split by clip is no result: it is shown by nslib.figures.protocol_switch, beside "
                               "one.")
        chosen = summarise(self.rows, protocol, 0 if protocol == WITHIN_SPEAKER else None)
        return results.table(chosen.assign(split="test")) if len(chosen) else chosen[["metric", "chance"]]

    def against(self, baselines: Sequence[str], *, shots: int = 0, seed: int = 0) -> pd.DataFrame:
        """Tell whether each other embedding beats the best of some baselines within speakers.

        On each task the baseline with the highest *validation* score counts: the best on test would be a baseline that
        had seen the answers. Columns: ``task, embedding, baseline, diff, low, high, by, verdict``. The verdict ("it
        beats the baseline") is ``holds`` if the whole interval of the paired difference lies above 0, ``does not hold``
        if it lies below, else ``undecided``.
        """
        import pandas as pd

        chosen = summarise(self.rows, WITHIN_SPEAKER, shots)
        newest = self.answers[self.answers["key"].isin(chosen["key"])]
        compared = []
        for task, part in chosen.groupby("task", sort=False):
            known = part[part["embedding"].isin(list(baselines))]
            baseline = str(known.loc[known["validation"].idxmax(), "embedding"]) if len(known) else ""
            for name in part["embedding"][~part["embedding"].isin(list(baselines))] if baseline else ():
                gap = difference(newest, str(task), str(name), baseline, shots=shots, seed=seed)
                verdict = HOLDS if gap.low > 0 else REFUTED if gap.high < 0 else UNDECIDED
                compared.append({"task": task, "embedding": name, "baseline": baseline, **gap._asdict(),
                                 "verdict": verdict})
        return pd.DataFrame(compared, columns=["task", "embedding", "baseline", *Difference._fields, "verdict"])


def load_protocols(folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all stored results of protocols, rows and answers, as `nslib.evaluation.results.load_results` does."""
    return results.load_results(folder, PROTOCOL_TABLES)


def summarise(rows: pd.DataFrame, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
    """Select the scores over all splits and speakers of what was chosen on validation, the newest of several runs.

    One row a task, embedding, protocol and shots (cap on training clips, 0: none), in order of first appearance; only
    of one `protocol` and `shots` if they are given.
    """
    chosen = rows[(rows["split_number"] == "") & (rows["speaker"] == "") & rows["selected"] & rows["value"].notna()]
    if protocol is not None:
        chosen = chosen[chosen["protocol"] == protocol]
    if shots is not None:
        chosen = chosen[chosen["shots"] == shots]
    return scores.keep_newest(chosen, ["task", "embedding", "protocol", "shots"])


def average_by_speaker(rows: pd.DataFrame, shots: int = 0) -> pd.DataFrame:
    """Average the within-speaker score of each speaker over split numbers, of the newest of several runs.

    The columns are task, embedding, speaker, value, chance, splits; `shots` is the cap on training clips, 0: none.
    """
    keys = summarise(rows, WITHIN_SPEAKER, shots)["key"]
    each = rows[rows["key"].isin(keys) & (rows["speaker"] != "")].groupby(["task", "embedding", "speaker"], sort=False)
    return each.agg(value=("value", "mean"), chance=("chance", "mean"), splits=("value", "size")).reset_index()


def difference(answers: pd.DataFrame, task: str, first: str, second: str, *, protocol: str = WITHIN_SPEAKER,
               shots: int = 0, seed: int = 0) -> Difference:
    """Compute the paired difference of two embeddings, first minus second, on what both have answered last."""
    mine = answers[(answers["task"] == task) & (answers["protocol"] == protocol) & (answers["shots"] == shots)]
    parts = []
    for name in (first, second):
        part = mine[mine["embedding"] == name]
        if part.empty:
            raise BadParameter(f"{name} has no {protocol} answers on {task}.")
        parts.append(part[part["key"] == part["key"].iloc[-1]])
    matched = match_answers(*parts)
    if matched.empty:
        raise BadParameter(f"{first} and {second} have answered no clip of {task} in common.")
    return pair_matched(matched, "speakers" if protocol == WITHIN_SPEAKER else "splits", seed=seed).at()
