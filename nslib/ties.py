"""Which embeddings a test set tells apart: every pair of a task compared, and groups of ties instead of ranks.

References
----------
H.-P. Piepho, *An algorithm for a letter-based representation of all-pairwise comparisons*, J. Comput. Graph. Stat.
13(2), 2004.

Conventions
-----------
Embeddings are compared on the same test clips, by the accuracy of the probe that validation chose, with the interval
and the p-value of `nslib.paired`. Over the pairs of a task Holm's procedure holds the chance of *any* wrong
"apart" to what the level leaves, however the pairs depend on each other. Tasks are families of their own.

Embeddings that share a letter are not told apart. That is no proof that they are alike, and it is not transitive:
``a``, ``ab``, ``b`` says that the first and the last differ and that the one between them differs from neither.

The average (`AVERAGE` in the column ``task``) is over the tasks and embeddings that `averaged` names, tasks counting
equally, recorded speech where there is any; its pairs are a family too. Its intervals combine those of the tasks as of
independent test sets (`nslib.pairs.average`).
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib import bootstrap, paired, pairs, tables
from nslib.bootstrap import LEVEL, Difference
from nslib.paired import Paired
from nslib.pairs import Answers

if TYPE_CHECKING:
    import pandas as pd

AVERAGE = ""
"""Name of the average in the column ``task``, as in `nslib.claims`."""

COMPARISONS = ["task", "first", "second", "difference", "low", "high", "p", "p_adjusted", "apart"]
GROUPS = ["task", "embedding", "value", "letters", "tied_with_best"]


@dataclass(frozen=True)
class _Pair:
    """Two embeddings on one test set, or on several whose differences are averaged."""

    first: str
    second: str
    parts: list[Paired]

    def at(self, level: float) -> Difference:
        found = [part.at(level) for part in self.parts]
        return found[0] if len(found) == 1 else pairs.average(found)


@dataclass(frozen=True)
class _Family:
    """The embeddings of a task, the highest score first, and all pairs of them."""

    task: str
    values: dict[str, float]
    pairs: list[_Pair]


def comparisons(rows: pd.DataFrame, predictions: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Compare all pairs of embeddings of each task, and of the average over tasks.

    Parameters
    ----------
    rows, predictions : DataFrame
        Of a benchmark, as in `nslib.schema.ROWS` and `nslib.schema.PREDICTIONS`, maybe of several runs.
    level : float
        Confidence level of each interval; 1 minus it is the error that a family of pairs shares. In (0, 1).

    Returns
    -------
    DataFrame
        One row a task and pair: task (`AVERAGE`: over tasks), first and second (embeddings, the first with the
        higher score), difference with low and high (share of clips; the interval of this pair alone), p (of this
        pair alone), p_adjusted (Holm), apart (whether p_adjusted is at most ``1 - level``). A pair without a clip
        that both have answered has no row.

    Raises
    ------
    BadParameter
        If `level` does not lie between 0 and 1.
    """
    import pandas as pd

    bootstrap.refuse_bad_level(level, bootstrap.RESAMPLES)
    found = [row for family in _families(rows, predictions) for row in _compared(family, level)]
    return pd.DataFrame(found, columns=COMPARISONS)


def groups(rows: pd.DataFrame, predictions: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Groups of embeddings that a task, or the average over tasks, does not tell apart.

    Parameters
    ----------
    rows, predictions, level
        As for `comparisons`.

    Returns
    -------
    DataFrame
        One row a task and embedding, the highest score of a task first: task (`AVERAGE`: over tasks), embedding,
        value (accuracy on test, 0 to 1), letters (``a`` is a group of the best; embeddings that share one are not
        told apart), tied_with_best (also true for the best itself).

    Raises
    ------
    BadParameter
        If `level` does not lie between 0 and 1.

    Examples
    --------
    >>> groups(results.rows, results.predictions)    # doctest: +SKIP
    """
    import pandas as pd

    bootstrap.refuse_bad_level(level, bootstrap.RESAMPLES)
    found = [row for family in _families(rows, predictions) for row in _grouped(family, level)]
    return pd.DataFrame(found, columns=GROUPS)


def averaged(rows: pd.DataFrame, predictions: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the average is over: not every embedding was run on every task.

    Parameters
    ----------
    rows, predictions : DataFrame
        As for `comparisons`.

    Returns
    -------
    tasks, embeddings : tuple of str
        All of these tasks have all of these embeddings: of such blocks the one of most scores. Empty if it has
        fewer than two tasks or two embeddings.
    """
    return _block(_recorded(rows, _answers(rows, predictions)))


def letters(ordered: Collection[str], apart: Collection[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display: a letter a group, two names in a common group unless they are told apart.

    Parameters
    ----------
    ordered : collection of str
        Names, the best first.
    apart : collection of (str, str)
        Pairs that are told apart, in either order.

    Returns
    -------
    dict
        Name to its letters, in alphabetical order; after 52 groups letters come with a prime.

    Examples
    --------
    >>> letters(["best", "middle", "last"], [("best", "last")])
    {'best': 'a', 'middle': 'ab', 'last': 'b'}
    """
    place = {name: i for i, name in enumerate(ordered)}
    found = [frozenset(place.values())]
    for first, second in apart:
        i, j = place[first], place[second]
        split = [part for one in found for part in ((one - {i}, one - {j}) if {i, j} <= one else (one,))]
        found = [one for one in dict.fromkeys(split) if not any(one < other for other in split)]
    needed = sorted(_needed(found), key=sorted)
    return {name: "".join(_letter(g) for g, one in enumerate(needed) if i in one) for name, i in place.items()}


def _needed(found: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Leave out groups, small ones first, whose ties are all shown by others."""
    kept = sorted(found, key=lambda one: (len(one), sorted(one)))
    for one in list(kept):
        others = [other for other in kept if other != one]
        ties = itertools.combinations_with_replacement(sorted(one), 2)
        if all(any({i, j} <= other for other in others) for i, j in ties):
            kept = others
    return kept


def _letter(group: int) -> str:
    return string.ascii_letters[group % 52] + "′" * (group // 52)


def _answers(rows: pd.DataFrame, predictions: pd.DataFrame) -> Answers:
    return pairs.answered(tables.selected(rows), predictions)


def _recorded(rows: pd.DataFrame, answers: Answers) -> Answers:
    return pairs.one_kind(answers, dict(zip(rows["task"], rows["corpus_kind"], strict=True)))[0]


def _block(answers: Answers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = list(dict.fromkeys(name for there in answers.values() for name in there))
    ran = {name: [task for task, there in answers.items() if name in there] for name in names}
    blocks = [(tuple(tasks), tuple(n for n in names if set(tasks) <= set(ran[n]))) for tasks in ran.values()]
    # Of blocks of as many scores the one of more tasks: it averages over more.
    largest = max(blocks, key=lambda block: (len(block[0]) * len(block[1]), len(block[0])), default=((), ()))
    return largest if min(map(len, largest)) > 1 else ((), ())


def _families(rows: pd.DataFrame, predictions: pd.DataFrame) -> list[_Family]:
    answers = _answers(rows, predictions)
    tasks, names = _block(_recorded(rows, answers))
    average = [{name: answers[task][name] for name in names} for task in tasks]
    found = [_family(task, [there]) for task, there in answers.items()]
    return [*found, _family(AVERAGE, average)] if average else found


def _family(task: str, sets: Sequence[dict[str, pd.DataFrame]]) -> _Family:
    means = {name: sum(float(there[name]["right"].mean()) for there in sets) / len(sets) for name in sets[0]}
    values = dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
    found = []
    for first, second in itertools.combinations(values, 2):
        parts = [part for there in sets if (part := pairs.compared(there[first], there[second]))]
        found += [_Pair(first, second, parts)] if len(parts) == len(sets) else []
    return _Family(task, values, found)


def _compared(family: _Family, level: float) -> list[dict[str, Any]]:
    if not family.pairs:
        return []
    p = [paired.p_value(pair.at) for pair in family.pairs]
    apart, adjusted = paired.holm(p, level)
    return [{"task": family.task, "first": pair.first, "second": pair.second, "difference": found.diff,
             "low": found.low, "high": found.high, "p": p[i], "p_adjusted": float(adjusted[i]), "apart": bool(apart[i])}
            for i, pair in enumerate(family.pairs) for found in (pair.at(level),)]


def _grouped(family: _Family, level: float) -> list[dict[str, Any]]:
    apart = {(row["first"], row["second"]) for row in _compared(family, level) if row["apart"]}
    shared, best = letters(family.values, apart), next(iter(family.values))
    return [{"task": family.task, "embedding": name, "value": value, "letters": shared[name],
             "tied_with_best": (best, name) not in apart} for name, value in family.values.items()]
