"""Two or more sets of answers to the same clips: how far apart they are, and which are not told apart.

Differences are first minus second, as a share of clips, on the clips that both have answered. The p-value is the
smallest level of error at which the interval leaves out zero: below 5 % exactly where the 95 % interval does.

Three tests were simulated (``benchmarks/intervals.py``): this one, flipping the sign of whole speakers (of five
speakers no p-value falls below 6 %) and Student's t over speakers (which can contradict the interval that is shown).
All keep their rate. This one is cautious with few speakers or few errors: equal embeddings fall below 5 % in 0.2 to 1.4
% of draws with five to eight speakers, in 5 % with forty.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.errors import BadParameter
from nslib.statistics import intervals
from nslib.statistics.intervals import LEVEL, RESAMPLES, Difference, RepeatedTest, Units, UnitSums
from nslib.statistics.scores import Floats, Names, select_scores

__all__ = ["AVERAGE", "HOLDS", "REFUTED", "UNDECIDED", "Answers", "Paired", "assign_letters", "average_differences",
           "collect_answers", "compare_embeddings", "find_complete_block", "group_embeddings", "holm", "keep_recorded",
           "match_answers", "p_value", "pair_matched"]

SMALLEST = 1e-9  # no p-value is given below this

HOLDS, REFUTED, UNDECIDED = "holds", "does not hold", "undecided"
"""What an interval says of a statement: all of it lies on the right side of the bound, on the wrong one, or neither."""

AVERAGE = ""
"""Name in the column ``task`` of the average over the tasks and embeddings of `find_complete_block`."""

COMPARISONS = ["task", "first", "second", "difference", "low", "high", "p", "p_adjusted", "apart"]
GROUPS = ["task", "embedding", "value", "letters", "tied_with_best"]

Answers = dict[str, dict[str, "pd.DataFrame"]]
"""Task to embedding to its test answers."""

_STEPS = 15  # halvings of the logarithm of p: its relative error is then below a thousandth


def match_answers(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Put the answers of two embeddings to the same clips side by side, in the order of the first; maybe nothing.

    Answers have one row a tested clip, or a clip and split_number: clip_id, speaker, and right or y_true and y_pred.
    Given are clip_id (and split_number), speaker, right_a and right_b.
    """
    keys = ["split_number", "clip_id"] if "split_number" in first else ["clip_id"]
    same = all(np.array_equal(first[key].to_numpy(), second[key].to_numpy()) for key in keys)
    matched = first[[*keys, "speaker"]].assign(right_a=_right(first))
    if same:
        return matched.assign(right_b=_right(second))
    return matched.merge(second[keys].assign(right_b=_right(second)), on=keys)


def _right(answers: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each answer was right."""
    right = answers["right"] if "right" in answers else answers["y_true"] == answers["y_pred"]
    return right.to_numpy(bool)


@dataclass(frozen=True)
class Paired:
    """The difference between two sets of answers, resampled once and asked at any level."""

    diff: float  # mean difference, as a share of clips
    resampled: Floats  # the same on each resample, sorted
    units: Units  # what was resampled
    clips: float  # different clips that it rests on, as if they counted equally
    mean: float  # of the differences of clips, -1 to 1 each
    mean_square: float
    repeated: bool = False  # whether it is a mean over speakers or splits

    @classmethod
    def of(cls, right_a: npt.ArrayLike, right_b: npt.ArrayLike, speakers: npt.ArrayLike | None = None, *,
           clips: npt.ArrayLike | None = None, splits: npt.ArrayLike | None = None, over: str = "clips",
           resamples: int = RESAMPLES, seed: int = 0) -> Paired:
        """Pair two sets of answers [rows], clips in the same order, with the speaker, clip and split of each.

        ``over`` says what counts equally: "clips" of one test, else "splits" of several or "speakers"
        (`intervals.RepeatedTest`), for which clips and splits are needed. BadParameter for what cannot be paired so.
        """
        a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
        if a.shape != b.shape or a.ndim != 1 or not len(a):
            raise BadParameter(f"answers must be paired clip by clip; got {a.shape} and {b.shape}.")
        if over not in ("clips", "splits", "speakers"):
            raise BadParameter(f"over is {over!r}; allowed: clips, splits, speakers.")
        delta = a.astype(np.float64) - b
        if over == "clips":
            sums = UnitSums.of(delta[:, None], speakers)
            resampled = np.sort(sums.resample(resamples, seed)[:, 0])
            mean = float(np.mean(delta > 0)) - float(np.mean(delta < 0))
            return cls(mean, resampled, sums.units, len(delta), mean, float(np.mean(delta != 0)))
        names = [np.asarray(column, dtype=str) for column in (clips, speakers, splits)]
        test = RepeatedTest(delta, names[0], names[1], names[2], over)
        resampled, units = test.resample(resamples, seed)
        means, weights = test.clip_means()
        mean, square = float(weights @ means), float(weights @ means**2)
        return cls(test.mean(), np.sort(resampled), units, 1 / float(np.sum(weights**2)), mean, square, True)

    def at(self, level: float = LEVEL) -> Difference:
        """The difference with its interval, at a confidence level in (0, 1)."""
        # Made like intervals.bounds(), with the interval of Bonett and Price (J. Educ. Behav. Stat. 37(4), 2012) in
        # Wilson's place: two sets of answers that agree everywhere are not known to be equal. Over several splits
        # Wilson's is kept too, and an answer that is right in some splits counts in part.
        z, t, inflation = intervals.quantiles(self.units.draws, level)
        clips = self.clips
        if self.repeated:
            # bounds() is for scores in [0, 1]; infinitely many clips leave the speakers as its only source of doubt
            inside = intervals.bounds((self.diff + 1) / 2, (self.resampled + 1) / 2, self.units, np.inf, level)
            low, high = 2 * inside.low - 1, 2 * inside.high - 1
        else:
            low, high = intervals.percentiles(self.resampled, t, inflation)
            variance = self._variance * inflation
            independent = (self.mean_square - self.mean**2) / clips
            if variance > 0 and independent > 0:
                clips *= min(1.0, independent / variance)
        worth = clips * (z / t) ** 2  # one win and one loss are added
        centre = worth * self.mean / (worth + 2)
        spread = (worth * self.mean_square + 2) / (worth + 2) - centre**2
        half = z * math.sqrt(max(spread, 0.0) / (worth + 2))
        return Difference(self.diff, min(low, max(centre - half, -1.0)), max(high, min(centre + half, 1.0)),
                          self.units.by)

    @cached_property
    def _variance(self) -> float:
        return float(np.var(self.resampled))


def pair_matched(matched: pd.DataFrame, over: str = "clips", *, seed: int = 0) -> Paired:
    """Pair what `match_answers` gives; arguments and errors as of `Paired.of`."""
    return Paired.of(matched["right_a"], matched["right_b"], matched["speaker"], clips=matched["clip_id"],
                     splits=matched.get("split_number"), over=over, seed=seed)


def average_differences(differences: Sequence[Difference]) -> Difference:
    """Mean of one or more differences on independent test sets, with its interval; ``by`` names all that was resampled.

    Its bounds lie as far from the mean as the root of the mean square of the single ones, divided by the root of their
    number (G. Zou et al., Comput. Stat. Data Anal. 53, 2009).
    """
    n = len(differences)
    if not n:
        raise BadParameter("there is no difference to average: give at least one task.")
    mean = math.fsum(d.diff for d in differences) / n
    down = math.sqrt(math.fsum((d.diff - d.low) ** 2 for d in differences)) / n
    up = math.sqrt(math.fsum((d.high - d.diff) ** 2 for d in differences)) / n
    by = sorted({d.by for d in differences})
    return Difference(mean, mean - down, mean + up, " and ".join(by))


def p_value(at: Callable[[float], Difference]) -> float:
    """Two-sided p-value of no difference, from an interval that can be had at any level, as by `Paired.at`.

    In [`SMALLEST`, 1]: the highest level of error at which zero still lies in the interval (E. Lehmann and J. Romano,
    *Testing Statistical Hypotheses*, 2005, section 3.5).
    """
    def holds_zero(p: float) -> bool:
        interval = at(1 - p)
        return interval.low <= 0 <= interval.high

    if not holds_zero(SMALLEST):
        return SMALLEST
    low, high = math.log(SMALLEST), 0.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_zero(math.exp(middle)) else (low, middle)
    return math.exp(high)


def holm(p: npt.ArrayLike, level: float = LEVEL) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Hold the chance of any wrong finding among p-values [tests] to what the level leaves (S. Holm, 1979).

    Returns bool [tests], whether each is found, and float64 [tests], the smallest error at which it would be.
    """
    # The answers of statsmodels' multipletests(method="holm"), which collects the garbage of the whole process at every
    # call: a quarter of a second with this kit's packages loaded, and a report makes dozens.
    given = np.asarray(p, float)
    order, left = np.argsort(given, kind="stable"), np.arange(len(given), 0, -1)
    rejected, adjusted = np.empty(len(given), bool), np.empty(len(given))
    rejected[order] = np.logical_and.accumulate(given[order] <= (1 - level) / left)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * left), 1)
    return rejected, adjusted


def collect_answers(selected: pd.DataFrame, predictions: pd.DataFrame) -> Answers:
    """Sort the predictions behind selected scores (`select_scores`) by task and embedding: clip_id, speaker, right."""
    marked = predictions.assign(right=predictions["y_true"] == predictions["y_pred"])
    by_key = {str(key): part[["clip_id", "speaker", "right"]] for key, part in marked.groupby("key")}
    answers: Answers = {}
    for row in selected.to_dict("records"):
        if row["key"] in by_key:
            answers.setdefault(row["task"], {})[row["embedding"]] = by_key[row["key"]]
    return answers


def keep_recorded(answers: Answers, kinds: Mapping[str, str]) -> tuple[Answers, str]:
    """Keep tasks of ``"real"`` speech (by task in `kinds`) if there are any, and say which speech is kept."""
    recorded = {task: embeddings for task, embeddings in answers.items() if kinds.get(task, "real") == "real"}
    return (recorded, "recorded") if recorded or not answers else (answers, "synthetic")


@dataclass(frozen=True)
class _Family:
    """The embeddings of a task, the highest score first, and all pairs of them, on one or more test sets."""

    task: str
    values: dict[str, float]
    pairs: dict[tuple[str, str], list[Paired]]

    def compare(self) -> list[dict[str, Any]]:
        """Rows of `compare_embeddings`."""
        def at(parts: list[Paired], level: float = LEVEL) -> Difference:
            differences = [part.at(level) for part in parts]
            return differences[0] if len(differences) == 1 else average_differences(differences)

        p = [p_value(partial(at, parts)) for parts in self.pairs.values()]
        rows = []
        for (pair, parts), one, apart, adjusted in zip(self.pairs.items(), p, *holm(p), strict=True):
            row = (self.task, *pair, *at(parts)[:3], one, float(adjusted), bool(apart))
            rows.append(dict(zip(COMPARISONS, row, strict=True)))
        return rows

    def group(self) -> list[dict[str, Any]]:
        """Rows of `group_embeddings`."""
        apart = {(row["first"], row["second"]) for row in self.compare() if row["apart"]}
        letters, best = assign_letters(self.values, apart), next(iter(self.values))
        return [{"task": self.task, "embedding": name, "value": value, "letters": letters[name],
                 "tied_with_best": (best, name) not in apart} for name, value in self.values.items()]


def compare_embeddings(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs of embeddings of each task, and of the average over tasks.

    Over the pairs of a task, and over those of the average, Holm's procedure holds the chance of *any* wrong "apart" to
    5 %, however the pairs depend on each other. Rows and predictions are those of a benchmark, maybe of several runs:
    the newest scores that validation chose count.

    One row a task and pair, columns `COMPARISONS`: task (`AVERAGE`: over tasks), first and second (embeddings, the
    first with the higher score), difference with low and high (share of clips; the interval of this pair alone), p (of
    this pair alone), p_adjusted (Holm), apart (whether p_adjusted is at most 0.05). A pair without a clip that
    both have answered has no row.
    """
    return pd.DataFrame([row for family in _families(rows, predictions) for row in family.compare()],
                        columns=COMPARISONS)


def group_embeddings(rows: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Group the embeddings that a task, or the average over tasks, does not tell apart; as `compare_embeddings`.

    That is no proof that they are alike, and it is not transitive: ``a``, ``ab``, ``b`` says that the first and the
    last differ and that the one between them differs from neither. One row a task and embedding, columns `GROUPS`, the
    highest accuracy of a task first: ``a`` is a group of the best, tied_with_best is also true for the best itself.
    """
    return pd.DataFrame([row for family in _families(rows, predictions) for row in family.group()], columns=GROUPS)


def find_complete_block(rows: pd.DataFrame, predictions: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Find the tasks and embeddings that the average is over, as not every embedding was run on every task.

    All of these tasks, of recorded speech if there is any, have all of these embeddings: of such blocks the one of most
    scores. Empty if it has fewer than two tasks or two embeddings.
    """
    return _find_block(rows, collect_answers(select_scores(rows), predictions))


def assign_letters(ordered: Collection[str], apart: Collection[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display of names, the best first: two share a letter unless they are told apart."""
    # H.-P. Piepho, J. Comput. Graph. Stat. 13(2), 2004
    place = {name: i for i, name in enumerate(ordered)}
    groups = [frozenset(place.values())]
    for first, second in apart:
        i, j = place[first], place[second]
        split = [part for group in groups for part in ((group - {i}, group - {j}) if {i, j} <= group else (group,))]
        groups = [group for group in dict.fromkeys(split) if not any(group < other for other in split)]
    needed = sorted(groups, key=lambda group: (len(group), sorted(group)))
    for group in list(needed):  # those whose ties are all shown by others are left out, small ones first
        others = [other for other in needed if other != group]
        ties = itertools.combinations_with_replacement(sorted(group), 2)
        if all(any({i, j} <= other for other in others) for i, j in ties):
            needed = others
    needed.sort(key=sorted)
    letters = [string.ascii_letters[g % 52] + "′" * (g // 52) for g in range(len(needed))]
    return {name: "".join(letters[g] for g, group in enumerate(needed) if i in group) for name, i in place.items()}


def _find_block(rows: pd.DataFrame, answers: Answers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tasks and embeddings of the largest block without a hole, of recorded speech if there is any."""
    answers, _ = keep_recorded(answers, dict(zip(rows["task"], rows["corpus_kind"], strict=True)))
    names = list(dict.fromkeys(name for embeddings in answers.values() for name in embeddings))
    ran = {name: [task for task, embeddings in answers.items() if name in embeddings] for name in names}
    blocks = [(tuple(tasks), tuple(n for n in names if set(tasks) <= set(ran[n]))) for tasks in ran.values()]
    # Of blocks of as many scores the one of more tasks: it averages over more.
    largest = max(blocks, key=lambda block: (len(block[0]) * len(block[1]), len(block[0])), default=((), ()))
    return largest if min(map(len, largest)) > 1 else ((), ())


def _families(rows: pd.DataFrame, predictions: pd.DataFrame) -> list[_Family]:
    """Pairs of each task, and of the average over tasks."""
    answers = collect_answers(select_scores(rows), predictions)
    tasks, names = _find_block(rows, answers)
    average = [_family(AVERAGE, [{name: answers[task][name] for name in names} for task in tasks])] if tasks else []
    return [_family(task, [embeddings]) for task, embeddings in answers.items()] + average


def _family(task: str, sets: Sequence[dict[str, pd.DataFrame]]) -> _Family:
    """Pairs of embeddings on one or more test sets that all of them have."""
    means = {name: sum(float(answers[name]["right"].mean()) for answers in sets) / len(sets) for name in sets[0]}
    values = dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
    tables, pairs = [_align(answers) for answers in sets], {}
    for first, second in itertools.combinations(values, 2):
        parts = []
        for right, speakers in tables:
            both = ~np.isnan(right[first]) & ~np.isnan(right[second])
            if both.any():
                parts.append(Paired.of(right[first][both], right[second][both], speakers[both]))
        if len(parts) == len(sets):
            pairs[first, second] = parts
    return _Family(task, values, pairs)


def _align(answers: dict[str, pd.DataFrame]) -> tuple[dict[str, Floats], Names]:
    """Whether each embedding was right on each clip that any has answered, NaN if it has not; and the speakers."""
    by_clip = {name: part.set_index("clip_id") for name, part in answers.items()}
    right = pd.DataFrame({name: part["right"].astype(float) for name, part in by_clip.items()})
    speakers = pd.concat([part["speaker"] for part in by_clip.values()])
    speakers = speakers[~speakers.index.duplicated()].reindex(right.index)
    return {name: right[name].to_numpy() for name in right}, speakers.to_numpy(str)
