"""The paper's claims, tested on whatever tasks a run has: holds, does not hold, undecided, or not run.

Reference: Shor et al., Interspeech 2020. The differences are those of `nslib.pairs`.

Conventions
-----------
A claim has one or more *parts*, each a difference in accuracy between two embeddings on the same test clips:
of one task, or averaged over the tasks on which both ran, tasks counting equally. The interval of a task is
that of `nslib.bootstrap.difference`: over speakers where there are five or more, else over clips. That of an
average combines those of its tasks as of independent test sets; it speaks of these tasks, not of tasks in general.

A part *holds* if its whole 95 % interval lies above its bound (0, or minus the margin that its sentence states).
It *does not hold* if the whole interval lies below, at a level that leaves 5 % for all parts of the claim
together. Otherwise it is *undecided*. A claim holds if all of its parts do and does not hold if one does not. So
a claim without any truth in it is said to hold in at most 2.5 % of runs, and a true one is refuted as rarely; the
tests simulate both.

The kit's ``untrained`` embedding is a random network on TRILL's patches, but not TRILL's own network.

Tasks of recorded speech are tested where there are any; else synthetic ones, and ``speech`` says so. No embedding
stands in for another: without the one that a claim is about, the claim is *not run*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib import pairs, tables
from nslib.bootstrap import LEVEL, Difference
from nslib.pairs import Answers

if TYPE_CHECKING:
    import pandas as pd

HOLDS, REFUTED, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
VERDICTS = (REFUTED, UNDECIDED, NOT_RUN, HOLDS)
"""From what decides about a claim first to what decides last."""

MARGIN = 0.05
COLUMNS = ["claim", "sentence", "subject", "against", "task", "verdict", "diff", "low", "high", "by", "tasks", "clips",
           "speech", "needs", "why"]
LAYER, TOP, DISTILLED = "trill-layer19", "trill-top", "trill-distilled"
HAND_MADE = ("logmel", "mfcc", "opensmile-compare")

SENTENCES = {
    1: "TRILL beats an untrained network, log-mel, MFCC and openSMILE, averaged over the tasks",
    2: "Layer 19 of TRILL beats its final embedding on every task",
    3: f"The distilled network loses at most {100 * MARGIN:.0f} points of accuracy against layer 19, averaged over "
       "the tasks",
    4: "Fine-tuning the whole network beats the frozen embedding",
    5: "Trained and tested within each speaker, TRILL beats hand-made features, averaged over the tasks",
    6: "The embedding explains accuracy beside the task (effects regression)",
}
_NOTHING: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"diff": math.nan, "low": math.nan, "high": math.nan,
                                                         "tasks": 0, "clips": 0}
_LATER = {4: "not part of this version: no network is trained here yet",
          6: "not part of this version: the regression is not made here yet"}


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


@dataclass(frozen=True)
class _Part:
    """A comparison: of one task, or averaged over tasks."""

    claim: int
    subject: str
    against: str
    task: str = ""
    bound: float = 0.0

    def asks(self, task: str) -> bool:
        return self.task in ("", task)


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
        average), verdict, diff with low and high (shares of clips; NaN if not run), by (what was resampled),
        tasks and clips (how many), speech (recorded or synthetic), why.
    """
    import pandas as pd

    chosen = tables.selected(rows)
    kinds = dict(zip(chosen["task"], chosen["corpus_kind"], strict=True))
    reasons = _reasons(not_run)
    plain = _Material(*pairs.one_kind(pairs.answered(chosen, predictions), kinds), pairs.difference, reasons)
    within = _Material(*pairs.one_kind(pairs.answered_within(protocol_answers), {}), pairs.difference_within, reasons,
                       "within-speaker results of ")
    return pd.DataFrame([_NOTHING | part for part in _all(plain, within)], columns=COLUMNS)


def overall(parts: pd.DataFrame) -> pd.DataFrame:
    """One verdict a claim and subject, from its parts.

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
    for (claim, subject), part in parts.groupby(["claim", "subject"], sort=False):
        verdict = next(v for v in VERDICTS if (part["verdict"] == v).any())
        found.append({"claim": claim, "sentence": part["sentence"].iloc[0], "subject": subject, "verdict": verdict,
                      "why": _summary(part)})
    return pd.DataFrame(found, columns=["claim", "sentence", "subject", "verdict", "why"])


def said(part: Mapping[str, Any] | pd.Series) -> str:
    """A part's difference in words: ``+3.2 points [1.0, 5.4]``, or why there is none.

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
    return f"{100 * part['diff']:+.1f} points [{100 * part['low']:.1f}, {100 * part['high']:.1f}]"


def _all(plain: _Material, within: _Material) -> Iterator[dict[str, Any]]:
    for subject in _subjects(plain):
        yield from _parts(plain, [_Part(1, subject, other) for other in ("untrained", *HAND_MADE)])
    yield from _parts(plain, [_Part(2, LAYER, TOP, task) for task in _tasks(plain, LAYER, TOP)])
    yield from _parts(plain, [_Part(3, DISTILLED, LAYER, bound=-MARGIN)])
    yield {"claim": 4, "sentence": SENTENCES[4], "verdict": NOT_RUN, "why": _LATER[4]}
    for subject in _subjects(within):
        yield from _parts(within, [_Part(5, subject, other) for other in HAND_MADE])
    yield {"claim": 6, "sentence": SENTENCES[6], "verdict": NOT_RUN, "why": _LATER[6]}


def _subjects(material: _Material) -> list[str]:
    named = dict.fromkeys(e for there in material.answers.values() for e in there if e.startswith("trill-"))
    return list(named) or [LAYER]


def _tasks(material: _Material, *pair: str) -> list[str]:
    """Tasks on which one of the pair was run or asked for; one without a name if there are none."""
    there = [task for task, of_task in material.answers.items() if set(pair) & set(of_task)]
    asked = [task for task, embedding in material.reasons if embedding in pair]
    return list(dict.fromkeys([*there, *asked])) if there else [""]


def _parts(material: _Material, parts: list[_Part]) -> Iterator[dict[str, Any]]:
    strict = 1 - (1 - LEVEL) / len(parts)
    for part in parts:
        named = {"claim": part.claim, "sentence": SENTENCES[part.claim], "subject": part.subject,
                 "against": part.against, "task": part.task}
        yield named | _tested(material, part, strict)


def _tested(material: _Material, part: _Part, strict: float) -> dict[str, Any]:
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


def _missing(material: _Material, part: _Part) -> dict[str, str]:
    if not material.answers:
        because = " (see what did not run)" if any(e == part.subject for _, e in material.reasons) else ""
        return {"needs": part.subject, "why": f"needs {material.what}{part.subject}{because}"}
    have = {e for task, there in material.answers.items() if part.asks(task) for e in there}
    needed = [e for e in (part.subject, part.against) if e not in have] or [part.subject, part.against]
    reasons = list(dict.fromkeys(why for (t, e), why in material.reasons.items() if e in needed and part.asks(t)))
    because = f" ({reasons[0] if len(reasons) == 1 else 'see what did not run'})" if reasons else ""
    return {"needs": ", ".join(needed), "why": f"needs {material.what}{' and '.join(needed)}{because}"}


def _summary(part: pd.DataFrame) -> str:
    if len(part) == 1:
        row = part.iloc[0]
        return str(row["why"]) if row["verdict"] == NOT_RUN else f"{said(row)}: {row['why']}"
    counts, gone = part["verdict"].value_counts(), part[part["verdict"] == NOT_RUN]
    needs = dict.fromkeys(", ".join(gone["needs"]).split(", "))
    missing = f"needs {', '.join(needs)}" + (f" on {', '.join(gone['task'])}" if gone["task"].all() else "")
    if len(gone) == len(part):
        return missing
    words = ", ".join(f"{v} in {counts[v]}" for v in VERDICTS if v in counts)
    return f"{words} of {len(part)} comparisons" + (f"; {missing}" if len(gone) else "")


def _reasons(not_run: pd.DataFrame | None) -> Reasons:
    return {} if not_run is None else {(r["task"], r["embedding"]): r["why"] for r in not_run.to_dict("records")}
