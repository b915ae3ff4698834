"""Figures of verdicts: our scores beside published ones, and the differences that the claims are about.

Conventions
-----------
Percent, and points of percent. What is drawn was compared: a published number that nobody has verified is in no
figure (`nslib.published.verdicts` gives it no value).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib.plots.figure import INK, MUTED, Figure, canvas, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COMPARED = ["task", "embedding", "verdict", "published", "ours", "compared", "paper", "status", "published_value",
             "value", "low", "high"]
_TESTED = ["claim", "subject", "against", "task", "verdict", "diff", "low", "high", "unit", "by", "tasks", "clips"]
_UNITS = {"points": "points of accuracy; filled: holds", "share": "% of the variance that tasks leave"}


@styled
def against_published(verdicts: pd.DataFrame, *, name: str = "against_published") -> Figure:
    """Our score with its interval, and the published number, for each pair that could be compared.

    Parameters
    ----------
    verdicts : pandas.DataFrame
        From `nslib.published.verdicts`.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If no two numbers were compared.
    """
    from nslib import published

    compared = published.numeric(verdicts)
    if compared.empty:
        raise ValueError("no published number was compared with a result: there is nothing to draw")
    fig, (axes,) = canvas(7.4, 1.5 + 0.34 * len(compared))
    ours, theirs = palette(2)
    for y, row in enumerate(records(compared)):
        _bar(axes, y, 100 * row.low, 100 * row.value, 100 * row.high, ours, "ours, with its interval" if not y else "")
        axes.plot([row.published_value], [y], "D", color=theirs, markersize=7, label="" if y else "published",
                  markerfacecolor=theirs if row.verdict == "reproduced" else "white")
    labels = [f"{r.task}, {r.embedding} ({r.paper}{', quoted' if r.status == 'quoted-by' else ''})"
              for r in records(compared)]
    _rows(axes, labels, "% correct on test; a filled diamond lies in the interval")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return Figure(name, fig, _compared_alt(compared), compared[_COMPARED])


def _compared_alt(compared: pd.DataFrame) -> str:
    counts = compared["verdict"].value_counts()
    said = [f"{r.embedding} on {r.task}: {r.verdict}, published {r.published}, ours {r.ours}"
            for r in records(compared)]
    heads = ", ".join(f"{verdict} in {n}" for verdict, n in counts.items())
    return f"Our scores beside {len(compared)} published ones: {heads}. {'; '.join(said)}."


@styled
def claim_differences(parts: pd.DataFrame, *, name: str = "claim_differences") -> Figure:
    """The paired differences that the claims are about, each with its interval, and below them the share of claim 6.

    Parameters
    ----------
    parts : pandas.DataFrame
        From `nslib.claims.evaluate`.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If no claim could be tested.
    """
    tested = parts[parts["tasks"] > 0].reset_index(drop=True)
    if tested.empty:
        raise ValueError("no claim could be tested: there is nothing to draw")
    panels = [tested[tested["unit"] == unit] for unit in _UNITS if (tested["unit"] == unit).any()]
    fig, axes = canvas(8.6, 0.5 + 0.7 * len(panels) + 0.34 * len(tested), len(panels),
                       height_ratios=[len(part) + 0.6 for part in panels])
    for axis, part in zip(axes, panels, strict=True):
        axis.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
        for y, row in enumerate(records(part)):
            _bar(axis, y, 100 * row.low, 100 * row.diff, 100 * row.high, palette(1)[0], filled=row.verdict == "holds")
        _rows(axis, [_compared(r) for r in records(part)], _UNITS[part["unit"].iloc[0]])
    return Figure(name, fig, _tested_alt(tested), tested[_TESTED])


def _compared(row: Any) -> str:
    if row.unit == "share":
        return f"claim {row.claim}: embedding, {_where(row)}"
    return f"claim {row.claim}: {row.subject} − {row.against}, {_where(row)}"


def _where(row: Any) -> str:
    return str(row.task) or ("1 task" if row.tasks == 1 else f"{row.tasks} tasks")


def _tested_alt(tested: pd.DataFrame) -> str:
    said = [f"claim {r.claim}, {_difference(r)}, interval {100 * r.low:.1f} to {100 * r.high:.1f}, {r.verdict}"
            for r in records(tested)]
    return f"Differences behind the claims. {'; '.join(said)}."


def _difference(row: Any) -> str:
    if row.unit == "share":
        return f"share of variance explained by the embedding ({_where(row)}): {100 * row.diff:.1f} %"
    return f"{row.subject} minus {row.against} ({_where(row)}): {100 * row.diff:+.1f} points"


def _bar(axes: Axes, y: int, low: float, value: float, high: float, colour: str, label: str = "", *,
         filled: bool = True) -> None:
    axes.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    inside = colour if filled else "white"
    axes.plot([value], [y], "o", color=colour, markersize=6, label=label, markerfacecolor=inside)


def _rows(axes: Axes, labels: list[str], said: str) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(len(labels) - 0.4, -0.6))
    axes.set_xlabel(said, color=INK)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)
