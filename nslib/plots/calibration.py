"""Figures of calibration: how often a probe is right when it is so sure, and how far off each probe is.

Conventions
-----------
Percent. Answers are those of `nslib.confidence`, numbers those of `nslib.calibration`. Below the diagonal, and with a
gap above zero, a probe is too sure of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import calibration as _calibration
from nslib.plots.figure import INK, MUTED, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

_ACROSS = 4


@styled
def calibration(answers: pd.DataFrame, task: str, embeddings: Sequence[str] | None = None, *,
                bins: int = _calibration.BINS, name: str = "calibration") -> Figure:
    """Reliability of the chosen probes of a task: share right against how sure they were, one panel an embedding.

    Parameters
    ----------
    answers : pandas.DataFrame
        From `nslib.confidence`.
    task : str
        Which one.
    embeddings : sequence of str, optional
        Only these, in this order. Default: all.
    bins : int
        Bins of equal counts, at most.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no answers.
    """
    own = answers[answers["task"] == task]
    names = [str(e) for e in (own["embedding"].unique() if embeddings is None else embeddings)]
    own = own[own["embedding"].isin(names)]
    missing = sorted(set(names) - set(own["embedding"]))
    if own.empty or missing:
        raise ValueError(f"there are no answers of {listed(missing or ['any embedding'])} to {task!r}")
    points, off = _calibration.table(own, bins), _calibration.errors(own, bins).set_index("embedding")
    columns = min(len(names), _ACROSS)
    depth = -(-len(names) // columns)
    fig, axes = canvas(0.6 + 2.3 * columns, 0.5 + 2.75 * depth, depth, columns, sharex=True, sharey=True)
    for axis, embedding in zip(axes, names, strict=False):
        _diagram(axis, points[points["embedding"] == embedding], off.loc[embedding])
        axis.set_title(embedding, size=8.5)
    _end(axes, len(names), columns)
    fig.supxlabel("how sure the probe was, in % (every dot stands for equally many clips)", size=9, color=MUTED)
    fig.supylabel("% right, with its interval", size=9, color=MUTED)
    return Figure(name, fig, _diagram_alt(points, off, task, names), points)


def _end(axes: list[Axes], used: int, columns: int) -> None:
    """Hide what is left over, and number the axis of what stands above it."""
    for axis in axes[used:]:
        axis.set_visible(False)
    for axis in axes[max(used - columns, 0):used]:
        axis.tick_params(labelbottom=True)


def _diagram(axes: Axes, points: pd.DataFrame, off: pd.Series) -> None:
    colour = palette(1)[0]
    axes.plot([0, 100], [0, 100], color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for row in records(points):
        x = 100 * row.confidence
        axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.1, alpha=0.6)
    axes.plot(100 * points["confidence"], 100 * points["accuracy"], "o", color=colour, markersize=5, clip_on=False)
    axes.text(3, 97, f"gap {100 * off['gap']:+.0f} [{100 * off['gap_low']:.0f}, {100 * off['gap_high']:.0f}]\n"
              f"ECE {100 * off['ece']:.0f} [{100 * off['ece_low']:.0f}, {100 * off['ece_high']:.0f}]",
              va="top", size=7.5, color=INK)
    axes.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
    axes.set_xticks(range(0, 101, 50))
    axes.set_yticks(range(0, 101, 50))


def _diagram_alt(points: pd.DataFrame, off: pd.DataFrame, task: str, names: list[str]) -> str:
    parts = []
    for embedding in names:
        row, own = off.loc[embedding], points[points["embedding"] == embedding]
        first, last = own.iloc[0], own.iloc[-1]
        parts.append(f"{embedding} ({row['probe']}): {100 * row['accuracy']:.0f} % right and "
                     f"{100 * row['confidence']:.0f} % sure, from {100 * first['accuracy']:.0f} % right where it was "
                     f"{100 * first['confidence']:.0f} % sure to {100 * last['accuracy']:.0f} % where "
                     f"{100 * last['confidence']:.0f} %; expected calibration error {100 * row['ece']:.1f} points "
                     f"({100 * row['ece_low']:.1f} to {100 * row['ece_high']:.1f})")
    return f"Reliability of the chosen probes on {task}. {'. '.join(parts)}."


@styled
def calibration_gaps(answers: pd.DataFrame, *, name: str = "calibration_gaps") -> Figure:
    """How much too sure each chosen probe is, with its interval, one panel a task.

    Parameters
    ----------
    answers : pandas.DataFrame
        From `nslib.confidence`.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no answers.
    """
    if answers.empty:
        raise ValueError("it is not known how sure any probe was: see nslib.confidence.find")
    off = _calibration.errors(answers)
    means = off.groupby("embedding")["gap"].mean().sort_values(kind="stable")
    tasks, names = list(dict.fromkeys(off["task"])), [str(e) for e in means.index]
    columns = min(len(tasks), 3)
    depth = -(-len(tasks) // columns)
    fig, axes = canvas(1.4 + 2.9 * columns, 0.5 + depth * (0.75 + 0.26 * len(names)), depth, columns, sharex=True,
                       sharey=True)
    for axis, task in zip(axes, tasks, strict=False):
        _gaps(axis, off[off["task"] == task], names)
        axis.set_title(task)
    _end(axes, len(tasks), columns)
    fig.supxlabel("points by which the probe is surer than right, with the interval; filled: the interval leaves out 0",
                  size=9, color=MUTED)
    return Figure(name, fig, _gaps_alt(off, tasks), off)


def _gaps(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    colour = palette(1)[0]
    axes.axvline(0, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for row in records(part):
        y, away = names.index(row.embedding), row.gap_low > 0 or row.gap_high < 0
        axes.plot([100 * row.gap_low, 100 * row.gap_high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([100 * row.gap], [y], "o", color=colour, markersize=6, markerfacecolor=colour if away else "white")
    axes.set(ylim=(len(names) - 0.4, -0.6))
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _gaps_alt(off: pd.DataFrame, tasks: list[str]) -> str:
    parts = []
    for task in tasks:
        part = off[off["task"] == task]
        sure, unsure = int((part["gap_low"] > 0).sum()), int((part["gap_high"] < 0).sum())
        worst = part.loc[part["gap"].abs().idxmax()]
        parts.append(f"{task}: {sure} of {len(part)} probes are too sure and {unsure} not sure enough, furthest off "
                     f"{worst['embedding']} by {100 * worst['gap']:+.0f} points ({100 * worst['gap_low']:.0f} to "
                     f"{100 * worst['gap_high']:.0f})")
    return f"Mean confidence minus share right of the chosen probes. {'. '.join(parts)}."
