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
_TESTED = ["claim", "subject", "against", "task", "verdict", "diff", "low", "high", "by", "tasks", "clips"]


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
    """The paired differences that the claims are about, each with its interval.

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
    fig, (axes,) = canvas(7.4, 1.2 + 0.34 * len(tested))
    axes.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for y, row in enumerate(records(tested)):
        _bar(axes, y, 100 * row.low, 100 * row.diff, 100 * row.high, palette(1)[0], filled=row.verdict == "holds")
    labels = [f"claim {r.claim}: {r.subject} − {r.against}, {_where(r)}" for r in records(tested)]
    _rows(axes, labels, "points of accuracy, with the interval; filled: holds")
    return Figure(name, fig, _tested_alt(tested), tested[_TESTED])


def _where(row: Any) -> str:
    return str(row.task) or ("1 task" if row.tasks == 1 else f"{row.tasks} tasks")


def _tested_alt(tested: pd.DataFrame) -> str:
    said = [f"claim {r.claim}, {r.subject} minus {r.against} ({_where(r)}): {100 * r.diff:+.1f} points, "
            f"interval {100 * r.low:.1f} to {100 * r.high:.1f}, {r.verdict}" for r in records(tested)]
    return f"Differences behind the claims. {'; '.join(said)}."


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
