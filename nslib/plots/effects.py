"""Figure of the effects regression: how far each embedding and each task lies from the mean.

Conventions
-----------
Points of accuracy, with the intervals of `nslib.effects`. A filled dot: the interval leaves out zero. That is no test
of one embedding against another; those are paired, and stand with the claims.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib.plots.figure import INK, MUTED, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_SAID = {"embedding": "embeddings: points from their mean, tasks alike",
         "task": "tasks: points from their mean, embeddings alike"}


@styled
def effects(table: pd.DataFrame, *, name: str = "effects") -> Figure:
    """Effect and interval of each level, one panel for embeddings and one for tasks.

    Parameters
    ----------
    table : pandas.DataFrame
        ``effects`` of `nslib.effects.Regression`: term, kind, effect, low, high, n.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If the table is empty.
    """
    if table.empty:
        raise ValueError("there is no effect: the regression was not run, and there is nothing to draw")
    kinds = list(dict.fromkeys(table["kind"]))
    sizes = [int((table["kind"] == kind).sum()) for kind in kinds]
    fig, axes = canvas(7.4, 0.9 + 0.75 * len(kinds) + 0.3 * sum(sizes), len(kinds), sharex=True,
                       height_ratios=[size + 0.6 for size in sizes])
    for axis, kind in zip(axes, kinds, strict=True):
        _dots(axis, table[table["kind"] == kind])
        axis.set_title(_SAID.get(kind, kind))
    axes[-1].set_xlabel("effect on accuracy in points, with its interval; filled: the interval leaves out 0", color=INK)
    return Figure(name, fig, _alt(table, kinds), table.reset_index(drop=True))


def _dots(axes: Axes, part: pd.DataFrame) -> None:
    colour = palette(1)[0]
    axes.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for y, row in enumerate(records(part)):
        axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
        inside = colour if _away(row.low, row.high) else "white"
        axes.plot([row.effect], [y], "o", color=colour, markersize=6, markerfacecolor=inside)
    axes.set_yticks(range(len(part)), list(part["term"]))
    axes.set(ylim=(len(part) - 0.4, -0.6))
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _away(low: float, high: float) -> bool:
    return low > 0 or high < 0


def _alt(table: pd.DataFrame, kinds: list[str]) -> str:
    parts = []
    for kind in kinds:
        levels = records(table[table["kind"] == kind])
        rows = [f"{r.term} {r.effect:+.1f} ({r.low:.1f} to {r.high:.1f})" for r in levels]
        away = sum(_away(r.low, r.high) for r in levels)
        parts.append(f"{len(rows)} {kind}s, {away} with an interval that leaves out zero: {listed(rows)}")
    return f"Effects on accuracy in points from the mean, with intervals. {'. '.join(parts)}."
