"""The paper's claims, tested on whatever tasks a run has: holds, does not hold, undecided, or not run.

Reference: Shor et al., Interspeech 2020. What is compared with what says `nslib.claimed`; the differences are those of
`nslib.pairs`, the regression of claim 6 is that of `nslib.effects`.

Conventions
-----------
A verdict has one or more *parts*, each a difference in accuracy between two embeddings on the same test clips:
of one task, or averaged over the tasks on which both ran, tasks counting equally. The interval of a task is
that of `nslib.bootstrap.difference`: over speakers where there are five or more, else over clips. That of an
average combines those of its tasks as of independent test sets; it speaks of these tasks, not of tasks in general.

A part *holds* if its whole 95 % interval lies above its bound (0, or minus the margin that its sentence states).
It *does not hold* if the whole interval lies below, at a level that leaves 5 % for all parts of the verdict
together. Otherwise it is *undecided*. A claim holds if all of its parts do and does not hold if one does not. So
a claim without any truth in it is said to hold in at most 2.5 % of runs, and a true one is refuted as rarely; the
tests simulate both. Claims are not corrected for there being several of them.

Claim 6 is about a share: that of the variance of accuracy which the embedding explains, of what the task leaves.
It holds if the whole 95 % interval of the share lies above 0 (which is the partial F test of the embedding, at
2.5 %), and does not hold if the whole interval lies below `SHARE`.

Tasks of recorded speech are tested where there are any; else synthetic ones, and ``speech`` says so. No embedding
stands in for another: without the one that a claim is about, the claim is *not run*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib import claimed, effects, pairs, tables
from nslib.bootstrap import LEVEL, Difference
from nslib.claimed import FINE_TUNED, SENTENCES, Part
from nslib.errors import Unavailable
from nslib.pairs import Answers

if TYPE_CHECKING:
    import pandas as pd

HOLDS, REFUTED, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
VERDICTS = (REFUTED, UNDECIDED, NOT_RUN, HOLDS)
"""From what decides about a claim first to what decides last."""

MARGIN = claimed.MARGIN
"""What a distilled network may lose, as a share of clips."""

SHARE = 0.05
"""An embedding that explains less of the variance than this explains nothing worth a claim."""

COLUMNS = ["claim", "sentence", "subject", "against", "task", "verdict", "diff", "low", "high", "unit", "by", "tasks",
           "clips", "speech", "needs", "why"]
_NOTHING: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"diff": math.nan, "low": math.nan, "high": math.nan,
                                                         "tasks": 0, "clips": 0, "unit": "points"}
_MADE_BY = {FINE_TUNED: "notebook 7 makes it"}

Reasons = dict[tuple[str, str], str]
"""(task, embedding) to why it was not run."""


@dataclass(frozen=True)
class _Material:
    """What there is to compare, how two tables of answers are compared, and why the rest is missing."""

    answers: Answers
    speech: str
    compare: Callable[[pd.DataFrame, pd.DataFrame, float], Difference | None]
    reasons: Reasons
    what: str = ""


def evaluate(rows: pd.DataFrame, predictions: pd.DataFrame, protocol_answers: pd.DataFrame | None = None, *,
             not_run: pd.DataFrame | None = None) -> pd.DataFrame:
    """Test the claims.

    Parameters
    ----------
    rows, predictions : DataFrame
        Of a benchmark, maybe empty.
    protocol_answers : DataFrame, optional
        Answers of the protocols (`nslib.protocols`), for the claim about single speakers.
    not_run : DataFrame, optional
        Columns task, embedding, why, remedy: why something is missing.

    Returns
    -------
    DataFrame
        One row a part: claim (its number), sentence, subject and against (embeddings), task (empty for an
        average), verdict, diff with low and high (NaN if not run), unit (``points``: a difference, as a share of
        clips; ``share``: of variance, for claim 6), by (what was resampled), tasks and clips (how many), speech
        (recorded or synthetic), needs (what is missing), why.
    """
    import pandas as pd

    chosen = tables.selected(rows)
    kinds = dict(zip(chosen["task"], chosen["corpus_kind"], strict=True))
    reasons = _reasons(not_run)
    plain = _Material(*pairs.one_kind(pairs.answered(chosen, predictions), kinds), pairs.difference, reasons)
    within = _Material(*pairs.one_kind(pairs.answered_within(protocol_answers), {}), pairs.difference_within, reasons,
                       "within-speaker results of ")
    found = [*_all(plain, within), _regression(rows)]
    return pd.DataFrame([_NOTHING | part for part in found], columns=COLUMNS)


def overall(parts: pd.DataFrame) -> pd.DataFrame:
    """One verdict a sentence and subject, from its parts.

    Parameters
    ----------
    parts : DataFrame
        From `evaluate`.

    Returns
    -------
    DataFrame
        claim, sentence, subject, verdict, why: how many parts say what, and what is missing.
    """
    import pandas as pd

    found = []
    for (claim, sentence, subject), part in parts.groupby(["claim", "sentence", "subject"], sort=False):
        verdict = next(v for v in VERDICTS if (part["verdict"] == v).any())
        found.append({"claim": claim, "sentence": sentence, "subject": subject, "verdict": verdict,
                      "why": _summary(part)})
    return pd.DataFrame(found, columns=["claim", "sentence", "subject", "verdict", "why"])


def said(part: Mapping[str, Any] | pd.Series) -> str:
    """A part in words: ``+3.2 points [1.0, 5.4]``, ``54 % [6, 77] of the variance``, or why there is nothing.

    Parameters
    ----------
    part : mapping
        A row of `evaluate`.

    Returns
    -------
    str
    """
    if part["verdict"] == NOT_RUN:
        return str(part["why"])
    if part["unit"] == "share":
        return f"{100 * part['diff']:.0f} % [{100 * part['low']:.0f}, {100 * part['high']:.0f}] of the variance"
    return f"{100 * part['diff']:+.1f} points [{100 * part['low']:.1f}, {100 * part['high']:.1f}]"


def _all(plain: _Material, within: _Material) -> Iterator[dict[str, Any]]:
    for parts in claimed.between(plain.answers, plain.reasons):
        yield from _parts(plain, parts)
    for parts in claimed.within(within.answers):
        yield from _parts(within, parts)


def _regression(rows: pd.DataFrame) -> dict[str, Any]:
    claim = {"claim": 6, "sentence": SENTENCES[6], "unit": "share"}
    try:
        found = effects.regress(rows)
    except Unavailable as missing:
        return claim | {"verdict": NOT_RUN, "why": missing.why, "needs": "more scores"}
    tested = tables.selected(rows).drop_duplicates("task").set_index("task")["n"]
    clips = tested[tested.index.isin(found.effects["term"])]
    return claim | _shared(found) | {"by": "score", "tasks": len(clips), "clips": int(clips.sum()),
                                     "speech": found.speech}


def _shared(found: effects.Regression) -> dict[str, Any]:
    term = found.terms.set_index("kind").loc["embedding"]
    if term["low"] > 0:
        verdict, why = HOLDS, "the whole interval lies above 0"
    elif term["high"] < SHARE:
        verdict, why = REFUTED, f"the whole interval lies below {100 * SHARE:.0f} %"
    else:
        verdict, why = UNDECIDED, f"the interval reaches from 0 to more than {100 * SHARE:.0f} %"
    tested = f"F({term['df']:.0f}, {term['df_residual']:.0f}) = {term['f']:.1f}, p = {term['p']:.2g}"
    return {"verdict": verdict, "diff": float(term["share"]), "low": float(term["low"]), "high": float(term["high"]),
            "why": f"{why} ({tested})"}


def _parts(material: _Material, parts: list[Part]) -> Iterator[dict[str, Any]]:
    strict = 1 - (1 - LEVEL) / len(parts)
    for part in parts:
        named = {"claim": part.claim, "sentence": part.sentence, "subject": part.subject,
                 "against": part.against, "task": part.task}
        yield named | _tested(material, part, strict)


def _tested(material: _Material, part: Part, strict: float) -> dict[str, Any]:
    both = {task: (there[part.subject], there[part.against]) for task, there in material.answers.items()
            if part.asks(task) and part.subject in there and part.against in there}
    found = {task: d for task, pair in both.items() if (d := material.compare(*pair, LEVEL))}
    if not found:
        return {"verdict": NOT_RUN} | _missing(material, part)
    mean = pairs.average(list(found.values()))
    wide = pairs.average([d for task in found if (d := material.compare(*both[task], strict))])
    verdict, why = _judged(mean, wide, part.bound)
    absent = dict.fromkeys(t for t, e in material.reasons if e in (part.subject, part.against) and t not in found)
    clips = sum(both[task][0].index.nunique() for task in found)
    return {**mean._asdict(), "verdict": verdict, "tasks": len(found), "clips": clips, "speech": material.speech,
            "why": why + (f"; not run on {', '.join(absent)}" if absent and not part.task else "")}


def _judged(found: Difference, wide: Difference, bound: float) -> tuple[str, str]:
    edge = f"{100 * bound:.0f}"
    if found.low > bound:
        return HOLDS, f"the whole interval lies above {edge}"
    if wide.high < bound:
        return REFUTED, f"the whole interval lies below {edge}"
    if found.high < bound:
        return UNDECIDED, f"the interval lies below {edge}, but not by enough for one comparison of several"
    return UNDECIDED, f"{edge} lies in the interval"


def _missing(material: _Material, part: Part) -> dict[str, str]:
    if not material.answers:
        because = " (see what did not run)" if any(e == part.subject for _, e in material.reasons) else ""
        return {"needs": part.subject, "why": f"needs {material.what}{_named(part.subject)}{because}"}
    have = {e for task, there in material.answers.items() if part.asks(task) for e in there}
    needed = [e for e in (part.subject, part.against) if e not in have] or [part.subject, part.against]
    reasons = list(dict.fromkeys(why for (t, e), why in material.reasons.items() if e in needed and part.asks(t)))
    because = f" ({reasons[0] if len(reasons) == 1 else 'see what did not run'})" if reasons else ""
    return {"needs": ", ".join(needed), "why": f"needs {material.what}{' and '.join(map(_named, needed))}{because}"}


def _named(embedding: str) -> str:
    return f"{embedding} ({_MADE_BY[embedding]})" if embedding in _MADE_BY else embedding


def _summary(part: pd.DataFrame) -> str:
    if len(part) == 1:
        row = part.iloc[0]
        return str(row["why"]) if row["verdict"] == NOT_RUN else f"{said(row)}: {row['why']}"
    counts, gone = part["verdict"].value_counts(), part[part["verdict"] == NOT_RUN]
    needs = dict.fromkeys(", ".join(gone["needs"]).split(", "))
    missing = f"needs {', '.join(map(_named, needs))}"
    missing += f" on {', '.join(gone['task'])}" if gone["task"].all() else ""
    if len(gone) == len(part):
        return missing
    words = ", ".join(f"{v} in {counts[v]}" for v in VERDICTS if v in counts)
    return f"{words} of {len(part)} comparisons" + (f"; {missing}" if len(gone) else "")


def _reasons(not_run: pd.DataFrame | None) -> Reasons:
    return {} if not_run is None else {(r["task"], r["embedding"]): r["why"] for r in not_run.to_dict("records")}
