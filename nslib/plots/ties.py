"""Figure of ties: scores with intervals, and the letters that say which of them are told apart.

Conventions
-----------
Percent, and the probe chosen on validation. A dot's bar is the interval of that score alone; whether two embeddings
differ is said by the letters of `nslib.ties`, from paired differences on the same clips, and not by whether bars
overlap. A filled dot: not told apart from the best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import pairs, tables
from nslib import ties as _ties
from nslib.bootstrap import LEVEL, Difference
from nslib.plots import order
from nslib.plots.figure import INK, MUTED, RULE, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_LETTERS, _STEP = 120.0, 5.5  # where the first letter stands, and how far it is to the next, on the scale of percent
_SHOWN = ["task", "corpus_kind", "embedding", "value", "low", "high", "letters", "tied_with_best"]


@styled
def ties(rows: pd.DataFrame, predictions: pd.DataFrame, task: str | None = None, *, level: float = LEVEL,
         name: str = "ties") -> Figure:
    """Score, interval and letters of each embedding, one panel a task and one for the average over tasks.

    Parameters
    ----------
    rows, predictions : pandas.DataFrame
        Of a benchmark, as in `nslib.results`.
    task : str, optional
        Only this one; `nslib.ties.AVERAGE` is the average. Default: all.
    level : float
        Confidence level at which embeddings are told apart, over all pairs of a task together.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        Its table has the letters in a column.

    Raises
    ------
    ValueError
        If there is nothing of that task.
    """
    over = _ties.averaged(rows, predictions)[0]
    found = _with_intervals(rows, _ties.groups(rows, predictions, level), over)
    found = found if task is None else found[found["task"] == task].reset_index(drop=True)
    if found.empty:
        raise ValueError(f"there are no answers {'' if task is None else f'to {task!r} '}among these predictions")
    called = {**order.labels(found), _ties.AVERAGE: f"mean of {len(over)} tasks"}
    panels = [part for _, part in found.groupby("task", sort=False)]
    # The average first, then the largest: panels side by side are then about as high.
    panels.sort(key=lambda part: (part["task"].iloc[0] != _ties.AVERAGE, -len(part)))
    columns = min(len(panels), 2)
    depth = [max(len(p) for p in panels[i:i + columns]) for i in range(0, len(panels), columns)]
    fig, axes = canvas(1.4 + 4.2 * columns, 0.55 + sum(0.75 + 0.25 * n for n in depth), len(depth), columns,
                       height_ratios=[n + 1 for n in depth])
    for i, (axis, part) in enumerate(zip(axes, panels, strict=False)):
        _panel(axis, part, depth[i // columns])
        axis.set_title(called[str(part["task"].iloc[0])])
    for axis in axes[len(panels):]:
        axis.set_visible(False)
    fig.supxlabel("% correct on test, with its interval; embeddings that share a letter are not told apart\n"
                  "filled: not told apart from the best", size=9, color=MUTED)
    return Figure(name, fig, _alt(found, called, level), found[_SHOWN])


def _with_intervals(rows: pd.DataFrame, found: pd.DataFrame, over: tuple[str, ...]) -> pd.DataFrame:
    """Scores with the intervals of the rows; of an average, those of its tasks combined."""
    chosen = tables.selected(rows)
    own = {(r.task, r.embedding): Difference(r.value, r.low, r.high, r.interval_by) for r in records(chosen)}
    kinds = dict(zip(chosen["task"], chosen["corpus_kind"], strict=True))
    means = [pairs.average([own[task, row.embedding] for task in ([row.task] if row.task else over)])
             for row in records(found)]
    kind = found["task"].map({**kinds, _ties.AVERAGE: kinds[over[0]] if over else ""})
    return found.assign(low=[m.low for m in means], high=[m.high for m in means], corpus_kind=kind)


def _panel(axes: Axes, part: pd.DataFrame, rows: int) -> None:
    colour, names = palette(1)[0], list(part["embedding"])
    alphabet = sorted(set("".join(part["letters"])), key=lambda c: (c.isupper(), c))
    for y, row in enumerate(records(part)):
        axes.plot([100 * row.low, 100 * row.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([100 * row.value], [y], "o", color=colour, markersize=6,
                  markerfacecolor=colour if row.tied_with_best else "white", clip_on=False, zorder=3)
        axes.text(104, y, f"{100 * row.value:.0f}", va="center", size=8)
        for letter in row.letters:
            axes.text(_LETTERS + _STEP * alphabet.index(letter), y, letter, va="center", ha="center", size=8.5,
                      color=INK, weight="bold" if row.tied_with_best else "normal")
    axes.hlines(range(len(names)), 0, 100, color=RULE, linewidth=0.8, zorder=0)
    # Letters stand inside the axes, right of the scale, so that the layout leaves room for all of them.
    axes.set(xlim=(0, _LETTERS + _STEP * max(len(alphabet), 4)), ylim=(rows - 0.4, -0.6))
    axes.set_xticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _alt(found: pd.DataFrame, called: dict[str, str], level: float) -> str:
    parts = []
    for task, part in found.groupby("task", sort=False):
        best, tied = part.iloc[0], part[part["tied_with_best"]].iloc[1:]
        text = (f"{called[str(task)]}: {best['embedding']} has the highest score, {100 * best['value']:.0f} % "
                f"({100 * best['low']:.0f} to {100 * best['high']:.0f})")
        if len(tied):
            named = listed(list(tied["embedding"]))
            text += f", and {len(tied)} of {len(part) - 1} others are not told apart from it ({named})"
        elif len(part) > 1:
            text += f", and is told apart from all {len(part) - 1} others"
        groups = len(set("".join(part["letters"])))
        parts.append(f"{text}; {groups} group{'s' * (groups > 1)} of ties")
    return (f"Test scores with intervals, and letters shared by embeddings that are not told apart at "
            f"{100 * level:.0f} % over all pairs of a task. {'. '.join(parts)}.")
