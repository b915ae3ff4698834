"""Figures of scores: tables and dots, ties, effects, costs, published numbers, classes and splits; order and names.

A score is the test score of the probe chosen on validation, one a task and embedding; its bar is the bootstrap interval
of its row. Chance is the score of the best constant answer of that row. Two scores are called *not separable* when
`nslib.statistics.comparisons` does not tell them apart by their paired difference on the same clips, with the error
shared by all pairs of the task; where the predictions are not at hand, when their own intervals overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from nslib.figures import figure
from nslib.figures.figure import INK, MARKERS, MUTED, RULE, Axes, Figure, palette, with_style
from nslib.paper.published import keep_compared
from nslib.statistics import comparisons, intervals
from nslib.statistics import scores as statistics_scores
from nslib.statistics.comparisons import AVERAGE
from nslib.statistics.intervals import LEVEL, Difference

__all__ = ["SYNTHETIC", "accuracy_dots", "against_published", "claim_differences", "correct_for_chance", "effects",
           "label_tasks", "mark_best", "order_embeddings", "order_scores", "recall", "result_heatmap", "sort_scores",
           "stability", "ties", "tradeoff"]

SYNTHETIC = "synthetic"
BOUNDS = ["value", "low", "high"]

_SCORE_COLUMNS = ["task", "corpus_kind", "embedding", "metric", *BOUNDS, "chance", "n", "n_speakers", "interval_by",
                  "standing"]
_NONE = "none above chance"
_MOST_ACROSS = 9  # more embeddings than this would shrink a figure of the page's width beyond reading


def order_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the test rows of chosen probes: recordings first, tasks as in the rows, the best embedding first."""
    if rows.empty:
        return rows
    scores = statistics_scores.select_scores(rows)
    return sort_scores(scores, scores["task"].unique())


def sort_scores(scores: pd.DataFrame, tasks: Iterable[str]) -> pd.DataFrame:
    """Sort scores as they are shown: recordings first, tasks in the order given, embeddings as `order_embeddings`."""
    keys = {"_kind": scores["corpus_kind"] == SYNTHETIC, "_task": scores["task"].map(list(tasks).index),
            "_embedding": scores["embedding"].map(order_embeddings(scores).index)}
    return scores.assign(**keys).sort_values(list(keys), kind="stable", ignore_index=True).drop(columns=list(keys))


def correct_for_chance(scores: pd.DataFrame) -> pd.Series:
    """Share of the way from chance to perfect, so that tasks can be averaged: at most 1, may be negative."""
    errors = [name for name, metric in statistics_scores.METRICS.items() if not metric.higher_is_better]
    perfect = 1 - scores["metric"].isin(errors) if "metric" in scores else 1
    return (scores["value"] - scores["chance"]) / (perfect - scores["chance"])


def order_embeddings(scores: pd.DataFrame) -> list[str]:
    """Embedding names: those on most tasks first, and from the highest mean of `correct_for_chance` down.

    A mean over other tasks is no rank, so what ran on some only comes last.
    """
    means = scores.assign(_m=correct_for_chance(scores)).groupby("embedding")["_m"].mean()
    tasks = scores.groupby("embedding")["task"].nunique()
    return sorted((str(n) for n in means.index), key=lambda n: (-tasks[n], -means[n], n))


def label_tasks(scores: pd.DataFrame) -> dict[str, str]:
    """Tasks in the order of the rows, each with what it is called: ``(synthetic)`` if that is its ``corpus_kind``."""
    kinds = dict(zip(scores["task"].astype(str), scores["corpus_kind"], strict=True))
    return {task: f"{task} (synthetic)" if kind == SYNTHETIC and SYNTHETIC not in task else task
            for task, kind in kinds.items()}


def mark_best(scores: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.Series:
    """Say of each score of `order_scores` whether it is "best" of its task, not separable from it ("tied"), or "".

    Without the test answers of the same probes (``predictions``) intervals decide. Of none above chance none is best.
    """
    standing = pd.Series("", index=scores.index)
    if scores.empty:
        return standing
    apart: dict[tuple[str, frozenset[str]], bool] = {}
    if predictions is not None:
        apart = {(str(r.task), frozenset((r.first, r.second))): bool(r.apart)
                 for r in comparisons.compare_embeddings(scores, predictions).itertuples()}
    for _, part in scores.groupby(["task", "seed"], sort=False):
        higher = statistics_scores.get_metric(part["metric"].iloc[0]).higher_is_better
        if (part["low"] <= part["chance"] if higher else part["high"] >= part["chance"]).all():
            continue
        top = part.loc[part["value"].idxmax() if higher else part["value"].idxmin()]
        for at, row in part.iterrows():
            pair = str(row["task"]), frozenset((str(top["embedding"]), str(row["embedding"])))
            paired = row["metric"] == "accuracy" and pair in apart
            overlaps = row["high"] >= top["low"] if higher else row["low"] <= top["high"]
            tied = not apart[pair] if paired else bool(overlaps)
            standing[at] = "best" if row["value"] == top["value"] else "tied" if tied else ""
    return standing


@with_style
def result_heatmap(rows: pd.DataFrame, predictions: pd.DataFrame | None = None, *,
                   name: str = "result_heatmap") -> Figure:
    """Tasks by embeddings, turned if they are many: score and interval, darker if further above chance."""
    scores = order_scores(rows)
    if scores.empty:
        return figure.draw_nothing(name, figure.NOT_EVALUATED, _SCORE_COLUMNS)
    scores = scores.assign(standing=mark_best(scores, predictions))
    columns, labels = order_embeddings(scores), label_tasks(scores)
    tasks, upright = list(labels), len(columns) > _MOST_ACROSS
    chances = scores.drop_duplicates("task").set_index("task")["chance"]
    lines = [f"{labels[t]}\nchance {100 * chances[t]:.0f} %" for t in tasks]
    across, down = (lines, columns) if upright else (columns, lines)
    fig, (axes,) = figure.make_axes(2.9 + 0.98 * len(across), 1.6 + (0.42 if upright else 0.56) * len(down))
    grid = scores.assign(_v=correct_for_chance(scores)).pivot_table(index="task", columns="embedding", values="_v")
    grid = grid.reindex(index=tasks, columns=columns)
    axes.imshow(grid.T if upright else grid, cmap="BuPu", vmin=0, vmax=1.15, aspect="auto")
    for row in scores.itertuples():
        place = columns.index(row.embedding), tasks.index(row.task)
        x, y = place[::-1] if upright else place
        mark = {"best": "★ ", "tied": "≈ "}.get(str(row.standing), "")
        look: dict[str, Any] = {"color": "white" if grid.at[row.task, row.embedding] > 0.6 else INK, "ha": "center",
                                "va": "center"}
        axes.text(x, y - 0.12, f"{mark}{100 * row.value:.0f}", weight="bold" if mark else "normal", size=10.5, **look)
        axes.text(x, y + 0.25, f"{100 * row.low:.0f}–{100 * row.high:.0f}", size=7.5, **look)
    axes.set_yticks(range(len(down)), down)
    axes.set_xticks(range(len(across)), across, rotation=30, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("% correct on test [95 % interval]   ★ best of its task   ≈ not separable from it", color=MUTED)
    best = scores[scores["standing"] == "best"].drop_duplicates("task")
    parts = [f"{labels[str(r.task)]}: {r.embedding} with {100 * r.value:.0f} % (interval {100 * r.low:.0f} to "
             f"{100 * r.high:.0f}, chance {100 * r.chance:.0f})" for r in best.itertuples()]
    alt = (f"Heat map of test scores, {len(tasks)} tasks by {len(columns)} embeddings. Best of each task: "
           f"{'; '.join(parts) or _NONE}.")
    return Figure(name, fig, alt, scores[_SCORE_COLUMNS])


@with_style
def accuracy_dots(rows: pd.DataFrame, predictions: pd.DataFrame | None = None, *,
                  name: str = "accuracy_dots") -> Figure:
    """One panel a task: score and interval of each embedding, with the line of chance."""
    scores = order_scores(rows)
    if scores.empty:
        return figure.draw_nothing(name, figure.NOT_EVALUATED, _SCORE_COLUMNS)
    scores = scores.assign(standing=mark_best(scores, predictions))
    names, labels = order_embeddings(scores), label_tasks(scores)
    fig, axes = figure.make_panels(list(labels.values()), (3.1, 1.05 + 0.27 * len(names)), (1.2, 0.0),
                                   2 if len(labels) == 4 else 3, sharey=True)
    parts = []
    for axis, (task, part) in zip(axes, scores.groupby("task", sort=False), strict=True):
        chance, top = 100 * part["chance"].iloc[0], part["standing"] != ""
        figure.draw_intervals(axis, names, 100 * part[BOUNDS], at=list(part["embedding"]), filled=list(top),
                              texts=[f"{100 * v:.0f}" for v in part["value"]], line=chance)
        axis.set_xlim(0, 100)
        highest = [str(e) for e in part[top].sort_values("value", ascending=False)["embedding"]]
        parts.append(f"{labels[str(task)]}, {100 * part['value'].min():.0f} to {100 * part['value'].max():.0f} % "
                     f"(chance {chance:.0f}), highest: {figure.join_words(highest or [_NONE])}")
    fig.supxlabel("% correct on test, with its interval; dashed: chance; filled: best or not separable from it", size=9,
                  color=MUTED)
    panels = f"a panel for each of {len(parts)} tasks" if len(parts) > 1 else "one task"
    return Figure(name, fig, f"Test scores with intervals, {panels}. {'; '.join(parts)}.", scores[_SCORE_COLUMNS])


_LETTERS, _STEP = 120.0, 5.5  # where the first letter stands, and how far it is to the next, on the scale of percent
_TIE_COLUMNS = ["task", "corpus_kind", "embedding", *BOUNDS, "letters", "tied_with_best"]


@with_style
def ties(rows: pd.DataFrame, predictions: pd.DataFrame, task: str | None = None, *, name: str = "ties") -> Figure:
    """Score, interval and letters of each embedding, a panel a task and one for the average over tasks, or one only.

    ``task`` is a name or `nslib.statistics.comparisons.AVERAGE`. Embeddings are told apart at 95 % over all pairs of a
    task.
    """
    every = None if rows.empty or predictions.empty else comparisons.group_embeddings(rows, predictions)
    if every is None or every.empty:
        return figure.draw_nothing(name, "there are no answers among these predictions", _TIE_COLUMNS)
    over = comparisons.find_complete_block(rows, predictions)[0]
    table = _add_intervals(rows, every, over)
    table = table if task is None else table[table["task"] == task].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"there are no answers to {task!r} among these predictions")
    labels = {**label_tasks(table), AVERAGE: f"mean of {len(over)} tasks"}
    panels = [part for _, part in table.groupby("task", sort=False)]
    # The average first, then the largest: panels side by side are then about as high.
    panels.sort(key=lambda part: (part["task"].iloc[0] != AVERAGE, -len(part)))
    columns = min(len(panels), 2)
    depth = [max(len(p) for p in panels[i:i + columns]) for i in range(0, len(panels), columns)]
    fig, axes = figure.make_axes(1.4 + 4.2 * columns, 0.55 + sum(0.75 + 0.25 * n for n in depth), len(depth), columns,
                                 len(panels), height_ratios=[n + 1 for n in depth])
    for i, (axis, part) in enumerate(zip(axes, panels, strict=True)):
        _draw_ties(axis, part, depth[i // columns])
        axis.set_title(labels[str(part["task"].iloc[0])])
    fig.supxlabel("% correct on test, with its interval; embeddings that share a letter are not told apart\n"
                  "filled: not told apart from the best", size=9, color=MUTED)
    parts = [f"{labels[str(task)]}: {_say_ties(part)}" for task, part in table.groupby("task", sort=False)]
    alt = (f"Test scores with intervals, and letters shared by embeddings that are not told apart at {100 * LEVEL:.0f} "
           f"% over all pairs of a task. {'. '.join(parts)}.")
    return Figure(name, fig, alt, table[_TIE_COLUMNS])


def _add_intervals(rows: pd.DataFrame, grouped: pd.DataFrame, over: tuple[str, ...]) -> pd.DataFrame:
    """Add the intervals of the rows to the groups; to those of the average, the intervals of its tasks combined."""
    scores = statistics_scores.select_scores(rows)
    single = {(r.task, r.embedding): Difference(r.value, r.low, r.high, r.interval_by) for r in scores.itertuples()}
    kinds = dict(zip(scores["task"], scores["corpus_kind"], strict=True))
    tasks = [(row.task,) if row.task else over for row in grouped.itertuples()]
    means = [comparisons.average_differences([single[task, embedding] for task in part])
             for part, embedding in zip(tasks, grouped["embedding"], strict=True)]
    kind = grouped["task"].map({**kinds, AVERAGE: kinds[over[0]] if over else ""})
    return grouped.assign(low=[m.low for m in means], high=[m.high for m in means], corpus_kind=kind)


def _draw_ties(axes: Axes, part: pd.DataFrame, depth: int) -> None:
    """Draw the scores of a task, and their letters inside the axes, so that the layout leaves room for all of them."""
    alphabet = sorted(set("".join(part["letters"])), key=lambda c: (c.isupper(), c))
    figure.draw_intervals(axes, list(part["embedding"]), 100 * part[BOUNDS], filled=list(part["tied_with_best"]),
                          texts=[f"{100 * v:.0f}" for v in part["value"]])
    for y, row in enumerate(part.itertuples()):
        for letter in row.letters:
            axes.text(_LETTERS + _STEP * alphabet.index(letter), y, letter, va="center", ha="center", size=8.5,
                      color=INK, weight="bold" if row.tied_with_best else "normal")
    axes.grid(False)
    axes.hlines(range(len(part)), 0, 100, color=RULE, linewidth=0.8, zorder=0)
    axes.set(xlim=(0, _LETTERS + _STEP * max(len(alphabet), 4)), ylim=(depth - 0.4, -0.6), xticks=range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)


def _say_ties(part: pd.DataFrame) -> str:
    best, tied = part.iloc[0], part[part["tied_with_best"]].iloc[1:]
    text = (f"{best['embedding']} has the highest score, {100 * best['value']:.0f} % ({100 * best['low']:.0f} to "
            f"{100 * best['high']:.0f})")
    if len(tied):
        text += (f", and {len(tied)} of {len(part) - 1} others are not told apart from it "
                 f"({figure.join_words(list(tied['embedding']))})")
    elif len(part) > 1:
        text += f", and is told apart from all {len(part) - 1} others"
    count = len(set("".join(part["letters"])))
    return f"{text}; {count} group{'s' * (count > 1)} of ties"


_WIDE = 200.0  # an axis that spans more than this has room for powers of ten only
_BESIDE = 1.05
# Column of a cost to its unit, the label of its axis, and what it is called in the sentence.
_COSTS = {"parameters": (1e6, "million parameters", "million parameters"),
          "multiply_adds": (1e6, "million multiply-adds a patch", "million multiply-adds"),
          "latency_ms": (1.0, "milliseconds for {of}", "ms")}


@with_style
def tradeoff(table: pd.DataFrame, *, what: str = "mean % correct on test", of: str = "a clip",
             name: str = "tradeoff") -> Figure:
    """Quality with its interval against parameters, multiply-adds and latency, a panel and a logarithmic axis each.

    ``table`` has the columns name, quality, low, high (shares of clips, 0 to 1), and at least one of parameters,
    multiply_adds (of one patch) and latency_ms (else ValueError); what has NaN or 0 there is not in that panel, and
    the sentence says so. ``what`` and ``of`` say what quality is, in percent, and what the latency is of.
    """
    shown, given = ["name", "quality", "low", "high"], [cost for cost in _COSTS if cost in table]
    if table.empty:
        return figure.draw_nothing(name, "no embedding was measured", [*shown, *given])
    if not given:
        raise ValueError(f"no embedding has a cost: give one of {', '.join(_COSTS)}")
    costs = [cost for cost in given if table[cost].gt(0).any()]
    if not costs:
        why = f"no embedding has a cost; nothing is known of {figure.join_words(given)}"
        return figure.draw_nothing(name, why, [*shown, *given])
    labels = [_COSTS[cost][1].format(of=of) for cost in costs]
    fig, axes = figure.make_panels([""] * len(costs), (2.7, max(3.6, 1.2 + 0.24 * len(table))), (2.6, 0.0), sharey=True)
    for axis, cost, label in zip(axes, costs, labels, strict=True):
        _draw_costs(axis, table, table[cost] / _COSTS[cost][0])
        axis.set_xlabel(label)
    axes[0].set_ylabel(f"{what}, with its interval")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", labelspacing=0.8)
    parts = []
    for row in table.sort_values("quality", ascending=False, kind="stable").itertuples():
        known = [f"{getattr(row, c) / _COSTS[c][0]:.3g} {_COSTS[c][2]}" for c in costs if getattr(row, c) > 0]
        size = figure.join_words(known) if known else "no cost known"
        parts.append(f"{row.name} {100 * row.quality:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f}), {size}")
    alt = f"{what[:1].upper()}{what[1:]} against {figure.join_words(labels)}, highest first: {'; '.join(parts)}."
    return Figure(name, fig, alt, table[[*shown, *costs]].reset_index(drop=True))


def _draw_costs(axes: Axes, table: pd.DataFrame, values: pd.Series) -> None:
    from matplotlib.ticker import LogLocator

    same = values.groupby(values)
    places = values * _BESIDE ** (same.cumcount() - (same.transform("size") - 1) / 2)
    for row, x, marker, colour in zip(table.itertuples(), places, MARKERS * 9, palette(len(table)), strict=False):
        axes.plot([], [], f"{marker}-", color=colour, label=row.name)
        if x > 0:
            axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot([x], [100 * row.quality], marker, color=colour, markersize=7)
    known = values[values > 0]
    figure.set_log_scale(axes)
    if known.max() / known.min() > _WIDE:
        axes.xaxis.set_major_locator(LogLocator())
    axes.set_xlim(known.min() / 1.8, known.max() * 1.8)
    axes.grid()


_EFFECT_TITLES = {"embedding": "embeddings: points from their mean, tasks alike",
                  "task": "tasks: points from their mean, embeddings alike"}
_VERDICT_COLUMNS = ["task", "embedding", "verdict", "published", "ours", "compared", "paper", "status",
                    "published_value", *BOUNDS]
_CLAIM_COLUMNS = ["claim", "subject", "against", "task", "verdict", "diff", "low", "high", "unit", "by", "tasks",
                  "clips"]
_UNITS = {"points": "points of accuracy; filled: holds", "share": "% of the variance that tasks leave"}


@with_style
def effects(table: pd.DataFrame | None, *, name: str = "effects") -> Figure:
    """Effect on accuracy and interval of each level, a panel a kind: ``effects`` of a `Regression`, or None."""
    if table is None or table.empty:
        return figure.draw_nothing(name, "there is no effect, as the regression was not run",
                                   ["term", "kind", "effect", "low", "high", "n"])
    kinds = list(dict.fromkeys(table["kind"]))
    sizes = [int((table["kind"] == kind).sum()) for kind in kinds]
    fig, axes = figure.make_axes(7.4, 0.9 + 0.75 * len(kinds) + 0.3 * sum(sizes), len(kinds), sharex=True,
                                 height_ratios=[size + 0.6 for size in sizes])
    parts = []
    for axis, kind in zip(axes, kinds, strict=True):
        part = table[table["kind"] == kind]
        away = (part["low"] > 0) | (part["high"] < 0)
        figure.draw_intervals(axis, list(part["term"]), part[["effect", "low", "high"]], filled=list(away), line=0)
        axis.set_title(_EFFECT_TITLES.get(kind, kind))
        levels = [f"{r.term} {r.effect:+.1f} ({r.low:.1f} to {r.high:.1f})" for r in part.itertuples()]
        parts.append(f"{len(part)} {kind}s, {away.sum()} with an interval that leaves out zero: "
                     f"{figure.join_words(levels)}")
    axes[-1].set_xlabel("effect on accuracy in points, with its interval; filled: the interval leaves out 0", color=INK)
    alt = f"Effects on accuracy in points from the mean, with intervals. {'. '.join(parts)}."
    return Figure(name, fig, alt, table.reset_index(drop=True))


@with_style
def against_published(verdicts: pd.DataFrame, *, name: str = "against_published") -> Figure:
    """Our score with its interval, and the published number, for each of `judge_results` that could be compared."""
    compared = verdicts if verdicts.empty else keep_compared(verdicts)
    if compared.empty:
        return figure.draw_nothing(name, "no published number was compared with a result", _VERDICT_COLUMNS)
    names = [f"{r.task}, {r.embedding} ({r.paper}{', quoted' if r.status == 'quoted-by' else ''})"
             for r in compared.itertuples()]
    fig, (axes,) = figure.make_axes(7.4, 1.5 + 0.34 * len(compared))
    ours, theirs = palette(2)
    figure.draw_intervals(axes, names, 100 * compared[BOUNDS], colour=ours, label="ours, with its interval")
    figure.draw_intervals(axes, names, compared[["published_value"]], filled=list(compared["verdict"] == "reproduced"),
                          colour=theirs, marker="D", label="published")
    axes.set_xlabel("% correct on test; a filled diamond lies in the interval", color=INK)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    parts = [f"{r.embedding} on {r.task}: {r.verdict}, published {r.published}, ours {r.ours}"
             for r in compared.itertuples()]
    counts = ", ".join(f"{verdict} in {n}" for verdict, n in compared["verdict"].value_counts().items())
    alt = f"Our scores beside {len(compared)} published ones: {counts}. {'; '.join(parts)}."
    return Figure(name, fig, alt, compared[_VERDICT_COLUMNS])


@with_style
def claim_differences(parts: pd.DataFrame, *, name: str = "claim_differences") -> Figure:
    """The paired differences of `judge_claims`, each with its interval, and below them the share of claim 6."""
    tested = parts if parts.empty else parts[parts["tasks"] > 0].reset_index(drop=True)
    if tested.empty:
        return figure.draw_nothing(name, "no claim could be tested", _CLAIM_COLUMNS)
    counts = tested["tasks"].map(lambda n: "1 task" if n == 1 else f"{n} tasks")
    tested = tested.assign(where=tested["task"].where(tested["task"] != "", counts))
    panels = [tested[tested["unit"] == unit] for unit in _UNITS if (tested["unit"] == unit).any()]
    fig, axes = figure.make_axes(8.6, 0.5 + 0.7 * len(panels) + 0.34 * len(tested), len(panels),
                                 height_ratios=[len(part) + 0.6 for part in panels])
    for axis, part in zip(axes, panels, strict=True):
        names = [f"claim {r.claim}: {'embedding' if r.unit == 'share' else f'{r.subject} − {r.against}'}, {r.where}"
                 for r in part.itertuples()]
        figure.draw_intervals(axis, names, 100 * part[["diff", "low", "high"]], filled=list(part["verdict"] == "holds"),
                              line=0)
        axis.set_xlabel(_UNITS[part["unit"].iloc[0]], color=INK)
    sentences = []
    for r in tested.itertuples():
        text = f"{r.subject} minus {r.against} ({r.where}): {100 * r.diff:+.1f} points"
        if r.unit == "share":
            text = f"share of variance explained by the embedding ({r.where}): {100 * r.diff:.1f} %"
        sentences.append(f"claim {r.claim}, {text}, interval {100 * r.low:.1f} to {100 * r.high:.1f}, {r.verdict}")
    return Figure(name, fig, f"Differences behind the claims. {'; '.join(sentences)}.", tested[_CLAIM_COLUMNS])


@with_style
def recall(rows: pd.DataFrame, predictions: pd.DataFrame, task: str, embedding: str, *, name: str = "recall") -> Figure:
    """Recall of each class with its interval, the highest first; what it was most often taken for beside it."""
    if rows.empty or predictions.empty:
        return figure.draw_nothing(name, figure.NO_PREDICTIONS, intervals.RECALLS)
    table = intervals.recall_by_class(rows, predictions, task, embedding)
    if table.empty:
        raise ValueError(f"there are no predictions of {embedding!r} on {task!r}")
    fig, (axes,) = figure.make_axes(7.2, 1.1 + 0.27 * len(table))
    texts = [f"{100 * r.recall:.0f} % of {r.n} clips{f'; {r.times} taken for {r.taken_for}' if r.times else ''}"
             for r in table.itertuples()]
    figure.draw_intervals(axes, list(table["label"]), 100 * table[["recall", "low", "high"]], texts=texts,
                          line=100 * table["recall"].mean())
    axes.set(xlim=(0, 100), xlabel="recall in %, with its interval (dashed: mean over classes)",
             title=f"{embedding} on {label_tasks(rows)[task]}")
    classes = [f"{r.label} {100 * r.recall:.0f} % ({100 * r.low:.0f} to {100 * r.high:.0f})"
               for r in table.itertuples()]
    by = " and ".join(f"{unit}s" for unit in sorted(set(table["by"])))
    alt = (f"Recall of each class of {task} with {embedding}, mean {100 * table['recall'].mean():.0f} % over "
           f"{len(table)} classes, intervals over {by}: {'; '.join(classes)}.")
    return Figure(name, fig, alt, table)


@with_style
def stability(rows: pd.DataFrame | None, *, name: str = "stability") -> Figure:
    """Scores of repeated splits beside the interval of their mean, a panel a task; `rows` of `protocols.repeated`."""
    if rows is None or rows.empty or (table := intervals.spread_over_splits(rows)).empty:
        why = "there is no result of repeated splits: see nslib.evaluation.protocols.run_one"
        return figure.draw_nothing(name, why, intervals.SPREADS)
    each, labels = intervals.scores_of_splits(rows), label_tasks(table)
    names = [str(e) for e in table.groupby("embedding")["value"].mean().sort_values(ascending=False).index]
    fig, axes = figure.make_panels(list(labels.values()), (3.4, 1.4 + 0.42 * len(names)), (1.5, 0.0), sharey=True)
    look: dict[str, Any] = {"color": MUTED, "markersize": 9, "markeredgewidth": 1.3}
    for axis, (task, part) in zip(axes, table.groupby("task", sort=False), strict=True):
        for embedding in part["embedding"]:
            single = 100 * each.loc[(each["task"] == task) & (each["embedding"] == embedding), "value"]
            axis.plot(single, [names.index(embedding) - 0.16] * len(single), "|", **look)
        axis.plot([], [], "|", **look, label="a split")
        figure.draw_intervals(axis, names, 100 * part[BOUNDS], at=list(part["embedding"]), offset=0.16,
                              label="mean over splits, with its interval over speakers or clips")
        axis.set_xlabel("% correct on test", color=INK)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=min(2, len(axes)))
    parts = [f"{labels[str(r.task)]}, {r.embedding}: {100 * r.value:.0f} % over {r.splits} splits, from "
             f"{100 * r.lowest:.0f} to {100 * r.highest:.0f} %, a standard deviation of {100 * r.spread:.1f} points "
             f"where intervals of single splits allow {100 * r.standard_error:.1f}" for r in table.itertuples()]
    return Figure(name, fig, f"Scores of repeated splits between speakers. {'; '.join(parts)}.", table)
