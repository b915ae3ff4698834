"""Protocols that divide the clips of a task otherwise: the same vectors, probes and columns as of the benchmark.

**Within speakers** (personalised; the paper's Table 3, of CREMA-D and SAVEE): train, choose and test inside each
speaker. The authors published how they split (`nslib.datasets.splits.split_within_group`), not how they scored. Defined
here: the accuracy of each speaker, averaged over speakers with equal weight, over several split numbers, the authors'
canonical 666 among them. One probe and normalisation is chosen for all speakers of a split, on the validation score
averaged over speakers: one speaker's validation part is a handful of clips, among which any choice would be luck.
Chance is the share of each speaker's most frequent label among all of their clips. (In a test part of five clips the
most frequent label has two or more by luck alone.)

**Leave one speaker out**, **k-fold** (``5-fold``, of speakers drawn by the seed): every clip is tested once, by a probe
that learnt from all other speakers, and all answers are scored together, with an interval over all speakers. The choice
of probe and normalisation is made without the people who are tested by it: speakers are dealt into three parts in turn,
and for those of a part it is made on the second part, learning from the third (`nslib.datasets.splits.divide_fold`). So
ten folds cost three small grids and ten fits.

**Cross-corpus**: learn from one corpus, test on all of another. Labels are renamed as told, and only those that both
corpora have are used. The choice is made on the validation part of the first; whoever else it holds is learnt from.

**k-shot**: the task's own division with a few training clips of each class, drawn several times (fewer are a part of
more), and with all of them: how a score grows with the training part. Validation and test are never cut.

**Repeated**: the speakers are divided again and again by the authors' algorithm
(`nslib.datasets.splits.split_by_group`) and graded like the benchmark's own split: how much one division decides. A
split in which a class is missing from a part is scored all the same, and counted: to draw again until all classes are
there would be to choose the easy splits.

**Switch**: how much the protocol decides. *By speaker* tests new people, by the task's own split; *by clip* the people
of training, as many clips divided at random, whoever speaks; each with all training clips and with a few of each class,
drawn (``by-clip-8-shot``). By clip is no result but what a table shows when clips were divided without a thought of who
speaks; it never enters a table of results. Validation and test are never cut. By-clip uses shares as large as those of
the task's own split, counted in clips. No z-score by speaker is tried: it would itself move from split to split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.datasets import splits
from nslib.datasets.layouts import list_names
from nslib.datasets.splits import SPLITS
from nslib.datasets.tasks import Task
from nslib.embeddings import runtime
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.evaluation import benchmark, probe
from nslib.evaluation.probe import FIT_CONTEXT, Fit, FitSettings, LabelledVectors, fit_probes, select_best
from nslib.statistics import scores
from nslib.statistics.intervals import LEVEL, RepeatedTest, interval_over_splits

__all__ = ["CROSS_CORPUS", "K_FOLD", "K_SHOT", "LEAVE_ONE_SPEAKER_OUT", "REPEATED", "SWITCH", "WITHIN_SPEAKER",
           "Computed", "TaskVectors", "compute_cross_corpus", "compute_folds", "compute_k_shot", "compute_repeated",
           "compute_switch", "compute_within_speaker", "make_task_vectors", "make_test"]

WITHIN_SPEAKER, REPEATED, SWITCH, BY_SPEAKER = "within-speaker", "repeated", "switch", "by-speaker"
LEAVE_ONE_SPEAKER_OUT, K_FOLD, CROSS_CORPUS, K_SHOT = "leave-one-speaker-out", "k-fold", "cross-corpus", "k-shot"

BY_CLIP = "by-clip"  # random clips: the same speakers learn and are tested; never a result, only a warning

COMBINATION = ["probe", "l2", "speaker_norm"]
ANSWER = ["clip_id", "speaker", "y_true", "y_pred"]
_SCORED = [*COMBINATION, "metric", "value", "chance", "low", "high", "interval_by", "selected", "best_on_test",
           "reason"]

_ONE_CLASS, _NO_TEST = "their training part holds one class only", "nothing of them is left for the test"

Names = npt.NDArray[Any]
Parts = dict[str, npt.NDArray[np.int64]]
Progress = Callable[[], object] | None


@dataclass(frozen=True)
class TaskVectors:
    """Vectors of one embedding for the clips of one task, made by `make_task_vectors`."""

    task: Task
    embedding: str  # its name in tables
    fingerprint: str  # what its results are kept under
    clips: pd.DataFrame  # clip table, sorted by clip_id
    vectors: LabelledVectors  # row by row
    listed: tuple[tuple[str, str], ...]  # clip_id and speaker of all clips of the task: splits are drawn among these
    notes: tuple[str, ...] = ()  # what a reader of any score of them must know

    @property
    def numbers(self) -> bool:
        """Whether labels are numbers, not classes."""
        return scores.get_metric(self.task.metric).needs == "numbers"

    def describe(self) -> list[str]:
        """What decides the numbers that come of it."""
        return [self.task.name, self.embedding, self.fingerprint, *sorted(self.clips["clip_id"]),
                splits.hash_data(self.clips), splits.hash_split(self.clips)]


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
    among = list_clips(clips if listed is None else listed)
    if not clips["clip_id"].is_monotonic_increasing:  # every data set is: gigabytes of vectors are not copied
        order = np.argsort(clips["clip_id"].to_numpy(str), kind="stable")
        clips, x = clips.iloc[order], x[order]
    return TaskVectors(task, embedding, fingerprint, clips.reset_index(drop=True), LabelledVectors.of(clips, x), among)


def list_clips(clips: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Name and speaker of each clip, sorted: what splits are drawn among."""
    columns = (clips[name].fillna("").astype(str) for name in ("clip_id", "speaker"))
    return tuple(sorted(zip(*columns, strict=True)))


def keep_known_speakers(given: TaskVectors, protocol: str) -> tuple[TaskVectors, list[str]]:
    """Keep the clips whose speaker is known, with a note; refuse a task that the protocol is not defined for."""
    task, known, why = given.task, given.vectors.speaker != "", ""
    if not given.numbers and (task.speaker_is_label or splits.label_is_speaker(given.vectors.y, given.vectors.speaker)):
        why = "the label is the speaker, so that clips can be split neither between speakers nor within one"
    elif not known.any():
        why = "no clip says who speaks"
    elif protocol == WITHIN_SPEAKER and (task.metric, *task.also) != ("accuracy",):
        why = f"it is scored by {', '.join((task.metric, *task.also))}, and the protocol is defined for accuracy"
    if why:
        raise Unavailable(f"the protocol {protocol} on {task.name}", why,
                          "Choose a task with several speakers, each with several labels.")
    labelled = given.vectors.y != ""
    if (kept := known & labelled).all():
        return given, []
    notes = [f"{(~those).sum()} of {len(known)} clips were left out: {why}." for those, why in (
        (known, "their speaker is not known"), (labelled, "they have no label")) if not those.all()]
    unlabelled = set(given.vectors.clip_id[~labelled])
    return replace(given, clips=given.clips[kept].reset_index(drop=True), vectors=given.vectors.take(kept),
                   listed=tuple(pair for pair in given.listed if pair[1] and pair[0] not in unlabelled)), notes


class Computed(NamedTuple):
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


def sum_up(chosen: pd.DataFrame, mark: str, **facts: object) -> dict[str, object]:
    """The row over all splits, of the rows that were chosen by `mark`; `facts` are what is not a mean of theirs."""
    common = {name: chosen[name].iloc[0] for name in ("protocol", "shots", "seed", "dim", "metric")}
    usual = chosen.groupby(COMBINATION, sort=False).size().idxmax()
    means = chosen[["value", "validation", "chance"]].mean().to_dict()
    sizes = {name: round(chosen[name].mean()) for name in ("n", "n_train", "n_speakers", "shared_speakers")}
    return make_row(**common, **dict(zip(COMBINATION, usual, strict=True)), **means | sizes | facts,
                    spread=chosen["value"].std(), splits=len(chosen), classes=chosen["classes"].max(), **{mark: True})


def make_test(answers: pd.DataFrame, protocol: str) -> RepeatedTest:
    """Right answers of a protocol: speakers count equally, or splits, or of folds all clips together."""
    right = (answers["y_true"] == answers["y_pred"]).to_numpy(np.float64)
    clips, speakers, numbers = (answers[name].to_numpy(str) for name in ("clip_id", "speaker", "split_number"))
    together = protocol == LEAVE_ONE_SPEAKER_OUT or protocol.endswith("-fold")
    return RepeatedTest(right, clips, speakers, np.full(len(right), "") if together else numbers,
                        "speakers" if protocol == WITHIN_SPEAKER else "splits")


def compute_folds(given: TaskVectors, *, folds: int, **options: Any) -> Computed:
    """Test every clip once, by what learnt from other speakers: a fold a speaker (0), or so many of drawn speakers."""
    protocol = f"{folds}-fold" if folds else LEAVE_ONE_SPEAKER_OUT
    data, notes = keep_known_speakers(given, protocol)
    clips, vectors, people = data.clips, data.vectors, np.unique(data.vectors.speaker)
    if folds < 0 or 0 < folds < len(SPLITS):
        raise BadParameter(f"folds is {folds}; give {len(SPLITS)} or more.")
    if len(people) < (least := max(folds, len(SPLITS))):
        raise Unavailable(f"the protocol {protocol} on {data.task.name}", f"it has {len(people)} speakers",
                          f"{least} or more are needed.")
    drawn = np.random.default_rng(options["seed"]).permutation(people) if folds else people
    fold_of = {str(who): place % (folds or len(people)) for place, who in enumerate(drawn)}
    fold = np.array([fold_of[str(who)] for who in vectors.speaker])
    parts = pd.DataFrame({"fold": np.char.mod("%d", fold % len(SPLITS)), "speaker": vectors.speaker})
    choices = [splits.divide_fold(parts, number) for number in range(len(SPLITS))]
    divided = [{"train": np.flatnonzero(fold != number), "test": np.flatnonzero(fold == number), "left_out": fold[:0]}
               for number in range(fold.max() + 1)]
    most = max(len(rows["train"]) for rows in divided)
    jobs = benchmark.check_memory(data.task.name, len(fold), most, vectors.x.shape[1], options["probes"])
    grid = probe.grid_folds(vectors, divided, choices=choices, jobs=jobs, **options)
    if grid.predictions.empty:
        raise NslibError(f"no probe could be fitted in every fold of {protocol}: {grid.rows['reason'].iloc[0]}")
    answers = grid.predictions.assign(
        split_number=[str(fold_of[str(who)]) for who in grid.predictions["speaker"]], protocol=protocol, shots=0)
    if "text" in clips:
        text = clips["text"].fillna("").to_numpy(str)
        heard = sum(np.isin(text[one["test"]], list(set(text[one["train"]]) - {""})).sum() for one in divided)
        notes += [f"{heard} of {len(clips)} clips were tested by a probe that had learnt from others of the same "
                  "text."] * bool(heard)
    common = {"protocol": protocol, "shots": 0, "seed": options["seed"], "dim": vectors.x.shape[1],
              "shared_speakers": 0, "classes": grid.rows["classes"].iloc[0]}
    rows = _describe_folds(answers, divided, data.task.metric, common)
    validation, tested = (grid.rows[grid.rows["split"] == name] for name in SPLITS[1:])
    facts = common | {"n_train": round(np.mean([len(one["train"]) for one in divided])), "splits": len(divided),
                      "spread": pd.Series([row["value"] for row in rows], dtype=float).std()}
    rows += [make_row(**facts, **row, validation=score, n=len(fold), n_speakers=len(people)) for row, score in
             zip(tested[_SCORED].to_dict("records"), validation["value"].tolist(), strict=True)]
    return Computed(pd.DataFrame(rows), answers[[*ANSWER, "split_number", "protocol", "shots"]], [*notes, *grid.notes])


def _describe_folds(answers: pd.DataFrame, divided: Sequence[Mapping[str, Any]], metric: str,
                    common: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a fold, with the speaker if there is one; none for a metric that answers do not tell."""
    rows: list[dict[str, Any]] = []
    if scores.get_metric(metric).needs == "scores":
        return rows
    for number, part in answers.groupby("split_number", sort=False):
        who, true = part["speaker"].unique().tolist(), part["y_true"]
        rows.append(make_row(
            **common, split_number=number, speaker=who[0] if common["protocol"] == LEAVE_ONE_SPEAKER_OUT else "",
            n=len(part), n_speakers=len(who), n_train=len(divided[int(str(number))]["train"]), metric=metric,
            selected=True, value=scores.score(true, part["y_pred"], metric), chance=scores.chance(true, metric),
            **part[COMBINATION].iloc[0]))
    return rows


def compute_cross_corpus(given: TaskVectors, *, train: TaskVectors, labels: Sequence[tuple[str, str]],
                         **options: Any) -> Computed:
    """Learn from the vectors `train`, and test on all that are given; `labels` are pairs of a label and its name."""
    protocol, renamed = f"{CROSS_CORPUS} from {train.task.name}", dict(labels)
    if train.task.name == given.task.name:
        raise BadParameter(f"{protocol}: give another corpus to learn from than the one that is tested.")
    tables = []
    for data in (train, given):
        plain = data.clips["label"].astype(str)
        tables.append(data.clips.assign(label=[
            renamed.get(f"{data.task.name}/{name}", renamed.get(name, name)) for name in plain]))
    both, notes = (set(tables[0]["label"]) & set(tables[1]["label"])) - {""}, []
    if len(both) < 2 and not given.numbers:
        have = " and ".join(f"{list_names(sorted(set(table['label'])))} ({data.task.name})"
                            for table, data in zip(tables, (train, given), strict=True))
        raise Unavailable(f"the protocol {protocol} on {given.task.name}",
                          f"the corpora have {len(both)} labels in common: {have}",
                          'Rename labels, such as labels={"angry": "anger"} or {"CORPUS/angry": "anger"}.')
    kept = [table["label"].ne("").to_numpy() if given.numbers else table["label"].isin(both).to_numpy()
            for table in tables]
    for table, data, mine in zip(tables, (train, given), kept, strict=True):
        if not mine.all():
            others = Counter(table["label"][~mine])
            notes.append(f"{(~mine).sum()} clips of {data.task.name} were left out for their labels: "
                         f"{list_names(f'{name} ({n})' for name, n in sorted(others.items()))}.")
    heard, asked = tables
    twice = kept[0] & heard["sha256"].isin(asked["sha256"]).to_numpy()
    if twice.any():
        notes.append(f"{twice.sum()} clips of {train.task.name} are the same audio as one of {given.task.name}, and "
                     "were left out.")
    validation = (heard["split"] == "validation").to_numpy() & kept[0] & ~twice
    choosing = set(heard["speaker"][validation]) - {""} if not train.task.speaker_is_label else set()
    learning = kept[0] & ~twice & ~validation & ~heard["speaker"].isin(choosing).to_numpy()
    use = validation | learning
    shared = sorted((set(heard["speaker"][use]) & set(asked["speaker"][kept[1]])) - {""})
    if shared:
        notes.append(f"{len(shared)} names of speakers are in both corpora: {list_names(shared)}. If they are the same "
                     "people, it is no test on others.")
    joined = pd.concat([heard[use].assign(clip_id="learnt/" + heard["clip_id"][use],
                                          split=np.where(validation, "validation", "train")[use]),
                        asked[kept[1]].assign(split="test")], ignore_index=True)
    data = replace(given, clips=joined, vectors=LabelledVectors.of(
        joined, np.concatenate([train.vectors.x[use], given.vectors.x[kept[1]]])))
    division = dict(zip(joined["clip_id"], joined["split"], strict=True))
    scored = _score_divisions(data, protocol, [("own", division)], 0, **options)
    notes.append(f"{learning.sum()} clips of {train.task.name} were learnt from and {validation.sum()} chosen by.")
    return scored._replace(notes=[*notes, *scored.notes])


def compute_repeated(given: TaskVectors, *, seeds: Sequence[int], probabilities: Sequence[float] | None,
                      **options: Any) -> Computed:
    """Divide the speakers once for each of `seeds`."""
    data, notes = keep_known_speakers(given, REPEATED)
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
    scored = _score_divisions(data, REPEATED, divisions, 0, **options)
    return scored._replace(notes=[*notes, *scored.notes])


def _share_out(counts: Sequence[int]) -> tuple[float, ...]:
    """Shares that give these counts again."""
    # a hair more than k / n, because shares are cut towards zero and k / n * n can fall short of k
    first = [count / sum(counts) + 1e-10 for count in counts[:-1]]
    return (*first, 1 - sum(first))


class NothingScored(NslibError):
    """No probe could be fitted in any split of a protocol."""


def compute_k_shot(given: TaskVectors, *, shots: Sequence[int], draws: int, **options: Any) -> Computed:
    """Score the task's own split with so many training clips of each class, and with all."""
    _refuse_bad_shots(given, K_SHOT, shots, draws)
    own, label = _read_own_split(given)
    if not all(name in own.values() for name in SPLITS):
        raise Unavailable(f"the protocol {K_SHOT} on {given.task.name}", "its own split leaves a part empty",
                          "Give it a split: see nslib.datasets.splits.")
    most = max(Counter(label[name] for name, split in own.items() if split == "train").values())
    drawn = {few: [(str(draw), _cut_training(own, label, few, draw)) for draw in range(draws)]
             for few in sorted(set(shots)) if few < most}
    scored, lost = [], []
    for few, divisions in (*drawn.items(), (0, [("own", own)])):
        try:
            scored.append(_score_divisions(given, K_SHOT, divisions, few, **options))
        except NothingScored as error:
            lost.append(f"{K_SHOT} {few or 'all'} was left out: {error}")
    if not scored:
        raise NothingScored("; ".join(lost))
    larger = [few for few in shots if few >= most]
    notes = [f"{K_SHOT}: {list_names(map(str, larger))} shots are all there are: no class has more than {most} "
             "training clips."] if larger else []
    return _join(scored, [*lost, *notes, *_describe_short(own, label, [*drawn])])


def compute_switch(given: TaskVectors, *, shots: int, draws: int, **options: Any) -> Computed:
    """Score by four protocols."""
    _refuse_bad_shots(given, SWITCH, [shots], draws)
    data, notes = keep_known_speakers(given, SWITCH)
    train, validation, test = parts = [set(data.vectors.speaker[data.clips["split"] == name]) for name in SPLITS]
    shared = sorted((train & test) | (validation & test) | (train & validation))
    if shared or not all(parts):
        why = f"its own split shares speakers between parts: {list_names(shared)}"
        raise Unavailable(f"the protocol {SWITCH} on {data.task.name}", why if shared else "a part of it is empty",
                          "Give the task a split between speakers, e.g. by nslib.datasets.splits.split_by_group.")
    own, label = _read_own_split(data)
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
    return _join(scored, [*notes, *_describe_short(own, label, [shots])])


def _join(scored: Sequence[Computed], notes: Sequence[str]) -> Computed:
    """Put what was scored below each other."""
    rows, answers = (pd.concat(parts, ignore_index=True) for parts in list(zip(*scored, strict=True))[:2])
    return Computed(rows, answers, [*notes, *(note for one in scored for note in one.notes)])


def _read_own_split(data: TaskVectors) -> tuple[dict[str, str], dict[str, str]]:
    """Split and label of each clip that the task's own split uses."""
    folds = splits.count_folds(data.clips)  # with folds, what no part of the first one has is not used
    own = {name: split for name, split in zip(data.clips["clip_id"], data.clips["split"].fillna(""), strict=True)
           if split or not folds}
    return own, dict(zip(data.vectors.clip_id.tolist(), data.vectors.y.tolist(), strict=True))


def _refuse_bad_shots(data: TaskVectors, protocol: str, shots: Sequence[int], draws: int) -> None:
    """Refuse shots that there cannot be."""
    if min([*shots, draws], default=0) < 1:
        raise BadParameter(f"shots is {', '.join(map(str, shots))} and draws is {draws}; give 1 or more of each.")
    if data.numbers:
        raise Unavailable(f"the protocol {protocol} on {data.task.name}", "its labels are taken as numbers, and shots "
                          "are of a class", "Ask for a metric of classes.")


def _describe_short(own: Mapping[str, str], label: Mapping[str, str], shots: Sequence[int]) -> list[str]:
    """Sentences on classes that have fewer training clips than are asked for."""
    counts = Counter(label[name] for name, split in own.items() if split == "train")
    return [f"Fewer than {few} training clips, all of which were used: {list_names(short)}." for few in shots
            if (short := [f"{name} ({n})" for name, n in sorted(counts.items()) if n < few])]


def _cut_training(split_of: Mapping[str, str], label: Mapping[str, str], shots: int, draw: int) -> dict[str, str]:
    """The same split with so many training clips of each class; the other training clips are in no split."""
    rng, cut = np.random.default_rng(draw), dict(split_of)
    train = sorted(name for name, split in split_of.items() if split == "train")
    for kind in sorted({label[name] for name in train}):
        order = rng.permutation([name for name in train if label[name] == kind])
        cut.update(dict.fromkeys(order[shots:].tolist(), ""))
    return cut


def _score_divisions(data: TaskVectors, protocol: str, divisions: Iterable[tuple[str, Mapping[str, str]]], shots: int,
                     **options: Any) -> Computed:
    """Score each division (its number, and clip to split) by the grid, of `options`, and all together."""
    # a clip that a division puts nowhere is not used; one that cannot be scored becomes a row with its reason

    vectors, numbers, metrics = data.vectors, [], (data.task.metric, *data.task.also)
    rows: list[dict[str, Any]] = []
    answers: list[pd.DataFrame] = []
    certain: list[pd.DataFrame] = []
    noted: dict[str, list[str]] = {}  # a note, and the numbers of the divisions in which it was made
    for number, split_of in divisions:
        numbers.append(number)
        split = np.array([split_of.get(str(name), "") for name in vectors.clip_id])
        train, _, test = masks = [split == name for name in SPLITS]
        for name, mask in zip(SPLITS, masks, strict=True):
            missing = sorted(set(vectors.y) - set(vectors.y[mask]))
            if missing and not data.numbers:
                noted.setdefault(f"{name} lacks {list_names(missing)}; scored all the same.", []).append(number)
        tested = set(vectors.speaker[test]) - {""}
        classes = 0 if data.numbers else len(set(vectors.y[train]))
        facts = {"protocol": protocol, "shots": shots, "split_number": number, "seed": options["seed"],
                 "dim": vectors.x.shape[1], "n_train": int(train.sum()), "n_speakers": len(tested),
                 "shared_speakers": len(tested & set(vectors.speaker[train])), "n": int(test.sum()), "classes": classes}
        try:
            jobs = benchmark.check_memory(data.task.name, len(split), int(train.sum()), vectors.x.shape[1],
                                          options["probes"])
            grid = probe.grid(*(vectors.take(mask) for mask in masks), jobs=jobs, **options)
        except NslibError as error:
            rows.append(make_row(**facts, probe="", l2=False, speaker_norm=False, chance=np.nan, reason=str(error)))
            continue
        for note in grid.notes:
            noted.setdefault(note, []).append(number)
        validation, scored = (grid.rows[grid.rows["split"] == name] for name in SPLITS[1:])
        rows += [make_row(**facts, **row, validation=score) for row, score in
                 zip(scored[_SCORED].to_dict("records"), validation["value"].tolist(), strict=True)]
        answers.append(grid.predictions[ANSWER].assign(split_number=number, protocol=protocol, shots=shots))
        certain.append(grid.scores)
    scored = pd.DataFrame([row for row in rows if np.isfinite(row["value"])])
    if scored.empty:
        raise NothingScored(f"none of {len(numbers)} splits of {protocol} could be scored: {rows[0]['reason']}")
    every = pd.concat(answers, ignore_index=True)
    given = pd.concat(certain, ignore_index=True).fillna(0.0)  # a class that a division lacks
    given = given[sorted(given)]
    for metric in metrics:
        of_scores = scores.get_metric(metric).needs == "scores"
        _, bounds = interval_over_splits(
            every["y_true"], given.to_numpy() if of_scores else every["y_pred"], every["clip_id"], every["speaker"],
            every["split_number"], metric, classes=given.columns.tolist() if of_scores else None, seed=options["seed"])
        facts = {"low": bounds.low, "high": bounds.high, "interval_by": bounds.by, "n": every["clip_id"].nunique(),
                 "n_speakers": len(set(every["speaker"]) - {""})}
        rows.append(sum_up(scored[scored["selected"] & (scored["metric"] == metric)], "selected", **facts))
    rows.append(sum_up(scored[scored["best_on_test"]], "best_on_test"))
    failed = [row["split_number"] for row in rows if row["reason"] and not row["probe"]]
    notes = [f"{protocol}: {len(failed)} of {len(numbers)} splits could not be scored: {list_names(failed)}."]
    for note, where in noted.items():
        some = f" (splits {list_names(where)} of {len(numbers)})" if len(where) < len(numbers) else ""
        notes.append(f"{protocol}{some}: {note}")
    return Computed(pd.DataFrame(rows), every, notes[not failed:])


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
             f"{list_names(few)}."] if few else []
    for why in (_ONE_CLASS, _NO_TEST):
        times = Counter(who for split in divided for who, reason in split.unusable.items() if reason == why)
        if times:
            whom = list_names(f"{who} (in {n})" for who, n in times.items())
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
