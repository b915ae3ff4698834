"""Figures of scores: the result table as a picture, and its intervals task by task.

Conventions
-----------
Scores are drawn in percent. A score is the test score of the probe chosen on validation; its bar
is the bootstrap interval of its row. Chance is the score of the best constant answer of that row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib.plots import order
from nslib.plots.figure import INK, MUTED, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SHOWN = [
    "task",
    "corpus_kind",
    "embedding",
    "metric",
    "value",
    "low",
    "high",
    "chance",
    "n",
    "n_speakers",
    "interval_by",
]
_ACROSS = 9  # more embeddings than this would shrink a figure of the page's width beyond reading


@styled
def result_heatmap(
    rows: pd.DataFrame, predictions: pd.DataFrame | None = None, *, name: str = "result_heatmap"
) -> Figure:
    """Tasks by embeddings (the other way round if they are many): score and interval, darker if further above chance.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows.
    predictions : pandas.DataFrame, optional
        Test answers; with them, embeddings are called tied by paired differences on the same clips.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    scores = order.chosen(rows).assign(standing=lambda s: order.standing(s, predictions))
    tasks, columns, called = order.tasks(scores), order.embeddings(scores), order.labels(scores)
    upright = len(columns) > _ACROSS
    chances = scores.drop_duplicates("task").set_index("task")["chance"]
    lines = [f"{called[t]}\nchance {100 * chances[t]:.0f} %" for t in tasks]
    across, down = (lines, columns) if upright else (columns, lines)
    fig, (axes,) = canvas(2.9 + 0.98 * len(across), 1.6 + (0.42 if upright else 0.56) * len(down))
    grid = scores.assign(_v=order.above_chance(scores)).pivot_table(index="task", columns="embedding", values="_v")
    grid = grid.reindex(index=tasks, columns=columns)
    axes.imshow(grid.T if upright else grid, cmap="BuPu", vmin=0, vmax=1.15, aspect="auto")
    for row in records(scores):
        place = columns.index(row.embedding), tasks.index(row.task)
        _cell(axes, *(place[::-1] if upright else place), row, dark=bool(grid.at[row.task, row.embedding] > 0.6))
    axes.set_yticks(range(len(down)), down)
    axes.set_xticks(range(len(across)), across, rotation=30, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        "% correct on test [95 % interval]   ★ best of its task   ≈ not separable from it", color=MUTED
    )
    return Figure(name, fig, _heatmap_alt(scores, called), scores[[*_SHOWN, "standing"]])


def _cell(axes: Axes, x: int, y: int, row: Any, *, dark: bool) -> None:
    mark = {"best": "★ ", "tied": "≈ "}.get(str(row.standing), "")
    colour, weight = ("white" if dark else INK), ("bold" if mark else "normal")
    centred: dict[str, Any] = {"ha": "center", "va": "center", "color": colour}
    axes.text(x, y - 0.12, f"{mark}{100 * row.value:.0f}", weight=weight, size=10.5, **centred)
    axes.text(x, y + 0.25, f"{100 * row.low:.0f}–{100 * row.high:.0f}", size=7.5, **centred)


def _heatmap_alt(scores: pd.DataFrame, called: dict[str, str]) -> str:
    best = scores[scores["standing"] == "best"].drop_duplicates("task")
    parts = [
        f"{called[str(r.task)]}: {r.embedding} with {100 * r.value:.0f} % "
        f"(interval {100 * r.low:.0f} to {100 * r.high:.0f}, chance {100 * r.chance:.0f})"
        for r in records(best)
    ]
    shape = f"{scores['task'].nunique()} tasks by {scores['embedding'].nunique()} embeddings"
    return f"Heat map of test scores, {shape}. Best of each task: {'; '.join(parts)}."


@styled
def accuracy_dots(
    rows: pd.DataFrame, predictions: pd.DataFrame | None = None, *, name: str = "accuracy_dots"
) -> Figure:
    """One panel a task: score and interval of each embedding, with the line of chance.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows.
    predictions : pandas.DataFrame, optional
        Test answers; with them, embeddings are called tied by paired differences on the same clips.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    scores = order.chosen(rows).assign(standing=lambda s: order.standing(s, predictions))
    tasks, names, called = order.tasks(scores), order.embeddings(scores), order.labels(scores)
    columns = min(len(tasks), 2 if len(tasks) in (2, 4) else 3)
    depth = -(-len(tasks) // columns)
    fig, axes = canvas(1.2 + 3.1 * columns, depth * (1.05 + 0.27 * len(names)), depth, columns, sharey=True)
    for axis, task in zip(axes, tasks, strict=False):
        _dots(axis, scores[scores["task"] == task], names)
        axis.set_title(called[task])
    for axis in axes[len(tasks) :]:
        axis.set_visible(False)
    said = "% correct on test, with its interval; dashed: chance; filled: best or not separable from it"
    fig.supxlabel(said, size=9, color=MUTED)
    return Figure(name, fig, _dots_alt(scores, called), scores[[*_SHOWN, "standing"]])


def _dots(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    colour = palette(1)[0]
    axes.axvline(100 * float(part["chance"].iloc[0]), color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for row in records(part):
        y, top = names.index(row.embedding), bool(row.standing)
        axes.plot([100 * row.low, 100 * row.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        filled: dict[str, Any] = {"markerfacecolor": colour if top else "white", "markersize": 6}
        axes.plot([100 * row.value], [y], "o", color=colour, **filled)
        axes.text(103, y, f"{100 * row.value:.0f}", va="center", size=8, weight="bold" if top else "normal")
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _dots_alt(scores: pd.DataFrame, called: dict[str, str]) -> str:
    parts = []
    for task, part in scores.groupby("task", sort=False):
        top = [
            str(e) for e in part[part["standing"] != ""].sort_values("value", ascending=False)["embedding"]
        ]
        low, high, chance = (
            100 * float(v) for v in (part["value"].min(), part["value"].max(), part["chance"].iloc[0])
        )
        found = f"{low:.0f} to {high:.0f} % (chance {chance:.0f}), highest: {listed(top)}"
        parts.append(f"{called[str(task)]}, {found}")
    panels = f"a panel for each of {len(parts)} tasks" if len(parts) > 1 else "one task"
    return f"Test scores with intervals, {panels}. {'; '.join(parts)}."
