"""Figure of repeated splits: the score of each division of the speakers, and the interval of their mean.

Conventions
-----------
Percent, and the probe chosen on validation; numbers are those of `nslib.stability`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import stability as _stability
from nslib.plots import order
from nslib.plots.figure import INK, MUTED, Figure, canvas, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@styled
def stability(rows: pd.DataFrame, *, name: str = "stability") -> Figure:
    """Scores of repeated splits beside the interval of their mean, one panel a task.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `nslib.protocols.repeated`.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no result of repeated splits.
    """
    found, each = _stability.table(rows), _stability.splits(rows)
    if found.empty:
        raise ValueError("there is no result of repeated splits: see nslib.protocols.repeated")
    tasks, called = list(dict.fromkeys(found["task"])), order.labels(found)
    names = [str(e) for e in found.groupby("embedding")["value"].mean().sort_values(ascending=False).index]
    fig, axes = canvas(1.5 + 3.4 * len(tasks), 1.4 + 0.42 * len(names), 1, len(tasks), sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, found[found["task"] == task], each[each["task"] == task], names)
        axis.set_title(called[task])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return Figure(name, fig, _alt(found, called), found)


def _panel(axes: Axes, found: pd.DataFrame, each: pd.DataFrame, names: list[str]) -> None:
    colour = palette(1)[0]
    for row in records(found):
        y = names.index(row.embedding)
        own = 100 * each.loc[each["embedding"] == row.embedding, "value"]
        axes.plot(own, [y - 0.16] * len(own), "|", color=MUTED, markersize=9, markeredgewidth=1.3)
        axes.plot([100 * row.low, 100 * row.high], [y + 0.16] * 2, color=colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot([100 * row.value], [y + 0.16], "o", color=colour, markersize=6)
    axes.plot([], [], "|", color=MUTED, markersize=9, markeredgewidth=1.3, label="a split")
    axes.plot([], [], "o-", color=colour, label="mean over splits, with its interval over speakers or clips")
    axes.set(ylim=(len(names) - 0.4, -0.6))
    axes.set_xlabel("% correct on test", color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _alt(found: pd.DataFrame, called: dict[str, str]) -> str:
    rows = [f"{called[str(r.task)]}, {r.embedding}: {100 * r.value:.0f} % over {r.splits} splits, from "
            f"{100 * r.lowest:.0f} to {100 * r.highest:.0f} %, a standard deviation of {100 * r.spread:.1f} points "
            f"where intervals of single splits allow {100 * r.standard_error:.1f}" for r in records(found)]
    return f"Scores of repeated splits between speakers. {'; '.join(rows)}."
