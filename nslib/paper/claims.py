"""The paper's claims, tested on whatever tasks a run has: holds, does not hold, undecided, or not run.

A verdict has *parts*, each a difference in accuracy between two embeddings on the same test clips: of one task, or
averaged over the tasks on which both ran (these tasks, not tasks in general). A part *holds* if its whole 95 % interval
lies above its bound (0, or minus the margin that its sentence states). It *does not hold* if the whole interval lies
below, at a level that leaves 5 % for all parts of the verdict together. Else it is *undecided*. A claim holds if all of
its parts do and does not hold if one does not: without any truth in it, it holds in at most 2.5 % of runs, and a true
one is refuted as rarely; the tests simulate both. Claims are not corrected for there being several of them.

Tasks of recorded speech are tested where there are any; else synthetic ones, and ``speech`` says so. No embedding
stands in for another: without the one that a claim is about, the claim is *not run*.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nslib.datasets import tasks
from nslib.errors import Unavailable
from nslib.evaluation.results import FINE_TUNED
from nslib.statistics import comparisons, effects
from nslib.statistics.comparisons import HOLDS, REFUTED, UNDECIDED, Answers, keep_recorded
from nslib.statistics.intervals import LEVEL, Difference
from nslib.statistics.scores import select_scores

__all__ = ["FINE_TUNED", "HOLDS", "MARGIN", "MINI", "NOT_RUN", "REFUTED", "UNDECIDED", "VERDICTS", "format_part",
           "judge_claims", "judge_difference", "summarise_claims"]

NOT_RUN = "not run"
VERDICTS = (REFUTED, UNDECIDED, NOT_RUN, HOLDS)
"""From what decides about a claim first to what decides last."""

MARGIN = 0.05
"""What a distilled network may lose, as a share of clips."""

SHARE = 0.05  # an embedding that explains less of the variance than this explains nothing worth a claim

OPENSMILE = "opensmile-compare"
HAND_MADE = ("logmel", "mfcc", OPENSMILE)

UNTRAINED = "TRILL beats the same network untrained, averaged over the tasks"
ANOTHER = "TRILL beats an untrained network (a MobileNet, not TRILL's own), averaged over the tasks"
BY_HAND = "TRILL beats log-mel, MFCC and openSMILE, averaged over the tasks"
BY_FREE = "TRILL beats log-mel and MFCC, averaged over the tasks (openSMILE, for research only, was not asked for)"
SENTENCES = {
    2: "Layer 19 of TRILL beats its final embedding on every task",
    3: f"The distilled network loses at most {100 * MARGIN:.0f} points of accuracy against layer 19, averaged over "
       "the tasks",
    4: "Fine-tuning the whole network beats both of its frozen embeddings, averaged over the tasks",
    5: "Trained and tested within each speaker, TRILL beats hand-made features, averaged over the tasks",
    6: "The embedding explains accuracy beside the task (effects regression)",
}
"""Claim to its sentence; of claim 1 see `UNTRAINED`, `ANOTHER`, `BY_HAND` and `BY_FREE`."""

COLUMNS = ["claim", "sentence", "subject", "against", "task", "verdict", "diff", "low", "high", "unit", "by", "tasks",
           "clips", "speech", "needs", "why"]
_EMPTY: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"diff": math.nan, "low": math.nan, "high": math.nan,
                                                       "tasks": 0, "clips": 0, "unit": "points"}


@dataclass(frozen=True)
class Family:
    """Names of the embeddings of one network; a claim is asked of every family that was run, and within each."""

    layer19: str
    top: str
    distilled: str
    untrained: tuple[str, str]  # the controls of layer19 and top
    sentence: str  # what claim 1 says about them
    fine_tuned: str = ""  # empty if the kit cannot fine-tune it

    @property
    def members(self) -> set[str]:
        """Those that claims are about, controls not among them."""
        return {self.layer19, self.top, self.distilled, self.fine_tuned} - {""}


PUBLISHED = Family("trill-layer19", "trill-top", "trill-distilled", ("untrained", "untrained"), ANOTHER)
MINI = Family("trill-mini-layer19", "trill-mini-top", "trill-mini-distilled",
              ("trill-mini-untrained-layer19", "trill-mini-untrained-top"), UNTRAINED, FINE_TUNED)
FAMILIES = (PUBLISHED, MINI)


@dataclass(frozen=True)
class _Part:
    """A comparison of one task, or averaged over tasks, and the bound that the difference must exceed."""

    claim: int
    sentence: str
    subject: str
    against: str
    task: str = ""
    bound: float = 0.0


@dataclass(frozen=True)
class _Evidence:
    """Answers to compare, what counts equally in them, and why the rest is missing."""

    answers: Answers
    speech: str
    over: str
    reasons: dict[tuple[str, str], str]  # (task, embedding) to why it was not run
    what: str = ""


def judge_claims(rows: pd.DataFrame, predictions: pd.DataFrame, protocol_answers: pd.DataFrame | None = None, *,
                not_run: pd.DataFrame | None = None) -> pd.DataFrame:
    """Judge the claims by a run: rows and predictions of a benchmark, maybe empty.

    ``protocol_answers`` are those of the protocols, for the claim about single speakers; ``not_run`` has the columns
    task, embedding, why, remedy: why something is missing. One row a part, columns `COLUMNS`: claim (its number),
    subject and against (embeddings), task (empty for an average), diff with low and high (NaN if not run), unit
    (``points``: a difference, as a share of clips; ``share``: of variance, for claim 6), by (what was resampled), tasks
    and clips (how many), speech (recorded or synthetic), needs (what is missing).
    """
    chosen = select_scores(rows)
    kinds = dict(zip(chosen["task"], chosen["corpus_kind"], strict=True))
    missing = [] if not_run is None else not_run.to_dict("records")
    reasons = {(r["task"], r["embedding"]): r["why"] for r in missing}
    between = _Evidence(*keep_recorded(comparisons.collect_answers(chosen, predictions), kinds), "clips", reasons)
    known = {name: task.kind for name, task in tasks.REGISTRY.items()}
    within = _Evidence(*keep_recorded(_answers_within(protocol_answers), known), "speakers", reasons,
                       "within-speaker results of ")
    parts = [part for group in _between_embeddings(between.answers, reasons) for part in _judge_group(between, group)]
    parts += [part for group in _within_speakers(within.answers) for part in _judge_group(within, group)]
    return pd.DataFrame([_EMPTY | part for part in [*parts, _judge_effects(rows)]], columns=COLUMNS)


def summarise_claims(parts: pd.DataFrame) -> pd.DataFrame:
    """One verdict a sentence and subject, from the parts of `judge_claims`: claim, sentence, subject, verdict, why."""
    verdicts = []
    for (claim, sentence, subject), part in parts.groupby(["claim", "sentence", "subject"], sort=False):
        verdict = next(v for v in VERDICTS if (part["verdict"] == v).any())
        verdicts.append({"claim": claim, "sentence": sentence, "subject": subject, "verdict": verdict,
                         "why": _summarise(part)})
    return pd.DataFrame(verdicts, columns=["claim", "sentence", "subject", "verdict", "why"])


def format_part(part: Mapping[str, Any] | pd.Series) -> str:
    """Write a row of `judge_claims`: ``+3.2 points [1.0, 5.4]``, ``54 % [6, 77] of the variance``, or why not."""
    if part["verdict"] == NOT_RUN:
        return str(part["why"])
    if part["unit"] == "share":
        return f"{100 * part['diff']:.0f} % [{100 * part['low']:.0f}, {100 * part['high']:.0f}] of the variance"
    return f"{100 * part['diff']:+.1f} points [{100 * part['low']:.1f}, {100 * part['high']:.1f}]"


def _answers_within(answers: pd.DataFrame | None) -> Answers:
    """Answers within speakers with all training clips, of the newest run, by task and embedding."""
    by_task: Answers = {}
    if answers is None:
        return by_task
    whole = answers[(answers["protocol"] == "within-speaker") & (answers["shots"] == 0)]
    for (task, embedding), part in whole.groupby(["task", "embedding"], sort=False):
        by_task.setdefault(str(task), {})[str(embedding)] = part[part["key"] == part["key"].iloc[-1]]
    return by_task


def _between_embeddings(ran: Mapping[str, Collection[str]],
                        missing: Collection[tuple[str, str]]) -> Iterator[list[_Part]]:
    """Comparisons of claims 1 to 4, those of one verdict together; tasks with what ran, and what did not."""
    families = _families(ran, {embedding for _, embedding in missing})
    for family in families:
        # Each tap of the network that triplets trained against the same tap before training, and against hand-made
        # features. The published TRILL has no untrained twin, and the sentence says so. A distilled network was trained
        # by imitation and has none either, so it is asked by claims 3 and 5 only.
        taps = dict(zip((family.layer19, family.top), family.untrained, strict=True))
        for tap in [t for t in taps if t in _embeddings(ran)] or [family.layer19]:
            yield [_Part(1, family.sentence, tap, taps[tap])]
            features = _hand_made(family, ran, missing)
            sentence = BY_HAND if OPENSMILE in features else BY_FREE
            yield [_Part(1, sentence, tap, other) for other in features]
    for family in families:
        pair = family.layer19, family.top
        # one without a name if neither was run
        run = [task for task, embeddings in ran.items() if set(pair) & set(embeddings)]
        asked = [task for task, embedding in missing if embedding in pair]
        yield [_Part(2, SENTENCES[2], *pair, task) for task in (dict.fromkeys([*run, *asked]) if run else [""])]
    for family in families:
        yield [_Part(3, SENTENCES[3], family.distilled, family.layer19, bound=-MARGIN)]
    # No fine-tuned TRILL is published, so that the kit's own is what is missing, whatever else was run. It must beat
    # both taps: to take the better one only would be a choice made on the test.
    yield [_Part(4, SENTENCES[4], FINE_TUNED, frozen) for frozen in (MINI.layer19, MINI.top)]


def _within_speakers(ran: Mapping[str, Collection[str]]) -> Iterator[list[_Part]]:
    """Comparisons of claim 5, those of one verdict together."""
    run = _embeddings(ran)
    for family in _families(ran, ()):
        subjects = [s for s in (family.layer19, family.top, family.distilled) if s in run] or [family.layer19]
        for subject in subjects:
            yield [_Part(5, SENTENCES[5], subject, other) for other in _hand_made(family, ran, ())]


def _hand_made(family: Family, ran: Mapping[str, Collection[str]],
               missing: Collection[tuple[str, str]]) -> tuple[str, ...]:
    """List the features to beat: the published network's are the paper's; the kit's runs are without openSMILE."""
    asked = _embeddings(ran) | {embedding for _, embedding in missing}
    return HAND_MADE if family is PUBLISHED or OPENSMILE in asked else HAND_MADE[:2]


def _families(ran: Mapping[str, Collection[str]], missing: Collection[str]) -> list[Family]:
    """Families of which something was run; else those of which something was asked for; else the published one."""
    run = [f for f in FAMILIES if f.members & _embeddings(ran)]
    return run or [f for f in FAMILIES if f.members & set(missing)] or [PUBLISHED]


def _embeddings(ran: Mapping[str, Collection[str]]) -> set[str]:
    """All embeddings that were run on any task."""
    return {embedding for embeddings in ran.values() for embedding in embeddings}


def _judge_group(evidence: _Evidence, parts: list[_Part]) -> Iterator[dict[str, Any]]:
    """Rows of the comparisons that make one verdict together."""
    strict = 1 - (1 - LEVEL) / len(parts)
    for part in parts:
        named = {name: getattr(part, name) for name in ("claim", "sentence", "subject", "against", "task")}
        yield named | _judge_part(evidence, part, strict)


def _judge_part(evidence: _Evidence, part: _Part, strict: float) -> dict[str, Any]:
    """Verdict on one comparison."""
    pairs, clips = {}, 0
    for task, embeddings in evidence.answers.items():
        if part.task in ("", task) and part.subject in embeddings and part.against in embeddings:
            matched = comparisons.match_answers(embeddings[part.subject], embeddings[part.against])
            if not matched.empty:
                pairs[task] = comparisons.pair_matched(matched, evidence.over)
                clips += embeddings[part.subject]["clip_id"].nunique()
    if not pairs:
        return {"verdict": NOT_RUN} | _explain_missing(evidence, part)
    mean = comparisons.average_differences([pair.at(LEVEL) for pair in pairs.values()])
    wide = comparisons.average_differences([pair.at(strict) for pair in pairs.values()])
    verdict, why = judge_difference(mean, wide, part.bound)
    absent = dict.fromkeys(t for t, e in evidence.reasons if e in (part.subject, part.against) and t not in pairs)
    return {**mean._asdict(), "verdict": verdict, "tasks": len(pairs), "clips": clips, "speech": evidence.speech,
            "why": why + (f"; not run on {', '.join(absent)}" if absent and not part.task else "")}


def judge_difference(mean: Difference, wide: Difference, bound: float) -> tuple[str, str]:
    """Verdict on "larger than `bound`" and why; refuted only by `wide`, at the level that all parts share."""
    edge = f"{100 * bound:.0f}"
    if mean.low > bound:
        return HOLDS, f"the whole interval lies above {edge}"
    if wide.high < bound:
        return REFUTED, f"the whole interval lies below {edge}"
    if mean.high < bound:
        return UNDECIDED, f"the interval lies below {edge}, but not by enough for one comparison of several"
    return UNDECIDED, f"{edge} lies in the interval"


def _judge_effects(rows: pd.DataFrame) -> dict[str, Any]:
    """Verdict on claim 6, by the interval of the share of variance; above 0 is the partial F test at 2.5 %."""
    claim = {"claim": 6, "sentence": SENTENCES[6], "unit": "share"}
    try:
        regression = effects.regress(rows)
    except Unavailable as missing:
        return claim | {"verdict": NOT_RUN, "why": missing.why, "needs": "more scores"}
    term = regression.terms.set_index("kind").loc["embedding"]
    if term["low"] > 0:
        verdict, why = HOLDS, "the whole interval lies above 0"
    elif term["high"] < SHARE:
        verdict, why = REFUTED, f"the whole interval lies below {100 * SHARE:.0f} %"
    else:
        verdict, why = UNDECIDED, f"the interval reaches from 0 to more than {100 * SHARE:.0f} %"
    test = f"F({term['df']:.0f}, {term['df_residual']:.0f}) = {term['f']:.1f}, p = {term['p']:.2g}"
    clips = select_scores(rows).drop_duplicates("task").set_index("task")["n"]
    clips = clips[clips.index.isin(regression.effects["term"])]
    return claim | {"verdict": verdict, "diff": float(term["share"]), "low": float(term["low"]),
                    "high": float(term["high"]), "why": f"{why} ({test})", "by": "score", "tasks": len(clips),
                    "clips": int(clips.sum()), "speech": regression.speech}


def _explain_missing(evidence: _Evidence, part: _Part) -> dict[str, str]:
    """What a comparison needs, and why it is missing."""
    if not evidence.answers:
        because = " (see what did not run)" if any(e == part.subject for _, e in evidence.reasons) else ""
        return {"needs": part.subject, "why": f"needs {evidence.what}{_name(part.subject)}{because}"}
    have = {e for task, embeddings in evidence.answers.items() if part.task in ("", task) for e in embeddings}
    needed = [e for e in (part.subject, part.against) if e not in have] or [part.subject, part.against]
    asked = {why for (task, e), why in evidence.reasons.items() if e in needed and part.task in ("", task)}
    because = f" ({asked.pop() if len(asked) == 1 else 'see what did not run'})" if asked else ""
    return {"needs": ", ".join(needed), "why": f"needs {evidence.what}{' and '.join(map(_name, needed))}{because}"}


def _name(embedding: str) -> str:
    """Name of an embedding, with what makes it."""
    return f"{embedding} (notebook 7 makes it)" if embedding == FINE_TUNED else embedding


def _summarise(part: pd.DataFrame) -> str:
    """How many parts of a verdict say what, and what is missing."""
    if len(part) == 1:
        row = part.iloc[0]
        return str(row["why"]) if row["verdict"] == NOT_RUN else f"{format_part(row)}: {row['why']}"
    counts, absent = part["verdict"].value_counts(), part[part["verdict"] == NOT_RUN]
    needs = dict.fromkeys(", ".join(absent["needs"]).split(", "))
    missing = f"needs {', '.join(map(_name, needs))}"
    missing += f" on {', '.join(absent['task'])}" if absent["task"].all() else ""
    if len(absent) == len(part):
        return missing
    words = ", ".join(f"{v} in {counts[v]}" for v in VERDICTS if v in counts)
    return f"{words} of {len(part)} comparisons" + (f"; {missing}" if len(absent) else "")
