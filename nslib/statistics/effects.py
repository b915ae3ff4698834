"""What explains accuracy: the task or the embedding. A regression of scores on both, as the paper has it.

``accuracy = mean + task + embedding + residual``, by ordinary least squares, a row a task and embedding: the test score
of the probe that validation chose. Effects are sum-coded: those of all embeddings add up to zero, and so do those of
all tasks, so that an effect is the distance, in points, from the mean over embeddings, adjusted for the tasks that some
of them lack. Every level has its own 95 % interval by Student's t; they are not widened for being several.

Assumptions that a handful of tasks cannot verify: effects add up, so that no embedding is made for one task; residuals
(mostly the interaction of the two) are independent and spread alike on easy and hard tasks. Tasks of recorded speech
count where there are any. A network that was trained for the task itself (fine-tuned) is no embedding in this sense and
is left out, as are tasks whose score is not accuracy; ``notes`` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nslib.errors import Unavailable
from nslib.statistics.intervals import LEVEL
from nslib.statistics.scores import CHOSEN_BY_FOLD, Floats, select_scores

__all__ = ["Regression", "regress"]

EFFECTS = ["term", "kind", "effect", "low", "high", "n"]
TERMS = ["kind", "levels", "df", "df_residual", "f", "p", "r2", "share", "low", "high"]

_KINDS = ("task", "embedding")
_FINE_TUNED = "-finetuned"


@dataclass(frozen=True)
class Regression:
    """Effects of tasks and embeddings, and how much each of the two explains.

    - ``effects``: one row a level: term (its name), kind ("embedding" or "task"), effect with low and high (points), n
      (scores); embeddings first, each kind from the highest down
    - ``terms``: one row a kind: kind, levels, df and df_residual, f and p (partial F test), r2 (partial R² of these
      scores), share with low and high (the same for scores not seen: the variance explained, of that which the other
      kind leaves; 0 to 1, corrected for what chance explains)
    - ``mean``: accuracy, tasks and embeddings counting equally, in percent; ``residual``: standard deviation, in points
    - ``n``: scores; ``speech``: "recorded" or "synthetic"; ``notes``: what was left out
    - ``missing``: why there is no regression (then the tables have no rows); else empty
    """

    effects: pd.DataFrame
    terms: pd.DataFrame
    mean: float
    residual: float
    n: int
    speech: str
    notes: tuple[str, ...]
    missing: str = ""

    def describe(self) -> str:
        """Two sentences on what explains how much, or one on why nothing can be said."""
        if self.missing:
            return f"No regression: {self.missing}."
        parts = [f"the {t.kind} {100 * t.share:.0f} % [{100 * t.low:.0f}, {100 * t.high:.0f}] (F({t.df}, "
                 f"{t.df_residual}) = {t.f:.1f}, p = {t.p:.2g})" for t in self.terms.itertuples()]
        return (f"Of the variance that the other leaves, {' and '.join(parts)} explain of {self.n} scores. What "
                f"neither explains has a standard deviation of {self.residual:.1f} points.")


def regress(rows: pd.DataFrame, *, every_probe: bool = False, strict: bool = True) -> Regression:
    """Regress accuracy on task and embedding; not every embedding needs to have every task.

    With ``every_probe`` the score is the mean over all probes and normalisations instead of the chosen one's: those of
    the same vectors are no independent observations, and so they are one here. Unavailable if there are too few scores,
    if tasks and embeddings fall into groups that share nothing, or if nothing varies; unless ``strict``, it is a
    regression without rows then, which says why it is `missing`.
    """
    try:
        return _regress(rows, every_probe)
    except Unavailable as error:
        if strict:
            raise
        effects, terms = (pd.DataFrame(columns=columns) for columns in (EFFECTS, TERMS))
        return Regression(effects, terms, np.nan, np.nan, 0, "", (), error.why)


def _regress(rows: pd.DataFrame, every_probe: bool) -> Regression:
    """Regress, or raise Unavailable."""
    from statsmodels.regression.linear_model import OLS

    scores, speech, notes = _select(rows, every_probe)
    levels = {kind: list(dict.fromkeys(scores[kind])) for kind in _KINDS}
    coded = {kind: _sum_coded(levels[kind])[[levels[kind].index(v) for v in scores[kind]]] for kind in _KINDS}
    design = np.column_stack([np.ones(len(scores)), coded["task"], coded["embedding"]])
    y = 100 * scores["value"].to_numpy(np.float64)
    _check(design, y, levels)
    fit = OLS(y, design).fit()
    tables, terms, first = [], [], 1
    for kind in _KINDS:
        coding = _sum_coded(levels[kind])
        place = slice(first, first + coding.shape[1])
        first = place.stop
        contrasts = np.zeros((len(coding), len(fit.params)))
        contrasts[:, place] = coding
        test, counts = fit.t_test(contrasts), scores[kind].value_counts()
        low, high = test.conf_int(alpha=1 - LEVEL).T
        table = pd.DataFrame({"term": levels[kind], "kind": kind, "effect": test.effect, "low": low, "high": high,
                              "n": [int(counts[name]) for name in levels[kind]]}, columns=EFFECTS)
        tables.append(table.sort_values("effect", ascending=False, kind="stable"))
        terms.append(_term(fit, kind, place))
    return Regression(pd.concat(tables[::-1], ignore_index=True), pd.DataFrame(terms[::-1], columns=TERMS),
                      float(fit.params[0]), float(np.sqrt(fit.mse_resid)), len(y), speech, notes)


def _select(rows: pd.DataFrame, every_probe: bool) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """Choose the scores that count, and name what is left out."""
    chosen = select_scores(rows)
    real = chosen["corpus_kind"] == "real"
    leave = {("task", "computer voices"): ~real & real.any(),
             ("task", "the score is not accuracy"): chosen["metric"] != "accuracy",
             ("embedding", "trained for the task"): chosen["embedding"].str.contains(_FINE_TUNED, regex=False),
             ("embedding", "without a score"): chosen["value"].isna()}
    notes = tuple(f"Left out, {why}: {', '.join(dict.fromkeys(chosen.loc[which, kind]))}."
                  for (kind, why), which in leave.items() if which.any())
    scores = chosen[~np.logical_or.reduce(list(leave.values()))].reset_index(drop=True)
    if every_probe:
        test = rows[(rows["split"] == "test") & rows["key"].isin(scores["key"]) & (rows["probe"] != CHOSEN_BY_FOLD)]
        scores = scores.assign(value=scores["key"].map(test.groupby("key")["value"].mean()))
    return scores, "recorded" if real.any() else "synthetic", notes


def _sum_coded(levels: list[str]) -> Floats:
    """A row a level; the last is minus the sum of the others."""
    n = len(levels)
    return np.vstack([np.eye(n - 1), -np.ones((1, n - 1))]) if n else np.zeros((0, 0))


def _check(design: Floats, y: Floats, levels: dict[str, list[str]]) -> None:
    """Refuse scores from which effects cannot be told."""
    counts = " and ".join(f"{len(names)} {kind}{'' if len(names) == 1 else 's'}" for kind, names in levels.items())
    n, needed = design.shape
    if min(map(len, levels.values())) < 2 or n <= needed:
        why = f"{n} scores of {counts} are too few to tell effects from residuals"
        remedy = "Run at least two embeddings on at least two tasks, and three of one of them."
    elif np.linalg.matrix_rank(design) < needed:
        why = f"the {counts} fall into groups without an embedding or task in common"
        remedy = "Run one embedding on all tasks."
    else:
        rest = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        if rest @ rest > 1e-12 * max(float(y @ y), 1.0):
            return
        why = f"the scores of {counts} leave no residual at all to judge effects by"
        remedy = "Scores of real test sets do; look at the rows."
    raise Unavailable("the effects regression", why, remedy)


def _term(fit: Any, kind: str, place: slice) -> dict[str, Any]:
    """What one kind explains, and its F test."""
    df, rest, n = place.stop - place.start, int(fit.df_resid), int(fit.nobs)
    test = fit.f_test(np.eye(len(fit.params))[place])
    f = float(test.fvalue)
    excess = max(df * (f - 1), 0.0)
    share = excess / (excess + n)
    low, high = (_share(f, df, rest, n, tail) for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return {"kind": kind, "levels": df + 1, "df": df, "df_residual": rest, "f": f, "p": float(test.pvalue),
            "r2": df * f / (df * f + rest), "share": share, "low": min(low, share), "high": max(high, share)}


def _share(f: float, df: int, rest: int, n: int, tail: float) -> float:
    """The share of variance under which an F as small as this has the probability `tail`; 0 if none has."""
    # by the noncentral F distribution: J. Steiger, Psychol. Methods 9(2), 2004
    from scipy import optimize, special

    def excess(noncentrality: float) -> float:
        return float(special.ncfdtr(df, rest, noncentrality, f)) - tail

    if excess(0.0) <= 0:
        return 0.0
    top = 1.0
    while excess(top) > 0:
        top *= 2
    noncentrality = float(optimize.brentq(excess, 0.0, top, xtol=1e-9 * top))
    return noncentrality / (noncentrality + n)
