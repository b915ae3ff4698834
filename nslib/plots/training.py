"""Figures of training: what a network learnt, step by step.

Conventions
-----------
Curves are those of `nslib.train.loop`: one row a number, with columns step, part (train, held-out), figure and value.
A number of the part that is learnt from is the mean over the steps since the look before; a held-out one is of
always the same pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nslib.errors import UnknownName
from nslib.plots.figure import MUTED, RULE, Figure, canvas, listed, palette, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

THIS, FULL = "this run", "full run"
PARTS = {"held-out": "s", "train": "o"}
TITLES = {
    "loss": "loss",
    "accuracy": "triplets right",
    "active": "anchors with a loss",
    "spread": "mean squared distance of clips",
    "positive": "squared distance to the positive",
    "negative": "squared distance to the negative",
    "silent": "silent windows",
    "without_negative": "anchors without a negative",
    "learning_rate": "learning rate",
}
"""What the figures of a curve are called in a picture."""


@styled
def curve(curve: pd.DataFrame, reference: pd.DataFrame | None = None,
          figures: Sequence[str] = ("loss", "accuracy", "active", "spread"), *, name: str = "curve",
          of: str = "pairs") -> Figure:
    """Learning curve of a run, and behind it that of a longer one.

    Parameters
    ----------
    curve : pandas.DataFrame
        Columns step, part, figure, value.
    reference : pandas.DataFrame, optional
        The same of the run to compare with; drawn in grey.
    figures : sequence of str
        Which, a panel each.
    name : str
        Of the figure.
    of : str
        What it learns from: pairs, clips.

    Returns
    -------
    Figure
        Its table has the columns of a curve and ``run``.

    Raises
    ------
    ValueError
        If the curve is empty.
    UnknownName
        For a figure that it does not have.
    """
    table = _table(curve, reference, figures)
    columns = min(2, len(figures))
    rows = -(-len(figures) // columns)
    fig, axes = canvas(4.4 * columns, 0.6 + 2.3 * rows, rows, columns, sharex=True)
    for axis, figure in zip(axes, figures, strict=False):
        _panel(axis, table[table["figure"] == figure], of)
        axis.set_title(TITLES.get(figure, figure))
    for axis in axes[len(figures):]:
        axis.set_axis_off()
    for axis in axes[max(0, len(figures) - columns):len(figures)]:
        axis.set_xlabel("step")
        axis.tick_params(axis="x", labelbottom=True)
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=2)
    return Figure(name, fig, _alt(table, figures), table)


def _table(curve: pd.DataFrame, reference: pd.DataFrame | None, figures: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    if not len(curve):
        raise ValueError("there is no curve: the run has not looked at anything yet")
    known = curve["figure"].unique().tolist()
    for figure in figures:
        if figure not in known:
            raise UnknownName("figure of the curve", figure, known)
    runs = [curve.assign(run=THIS)] + ([] if reference is None else [reference.assign(run=FULL)])
    every = pd.concat(runs, ignore_index=True)
    every = every[every["figure"].isin(figures)]
    return every[["run", "part", "figure", "step", "value"]].reset_index(drop=True)


def _panel(axes: Axes, part: pd.DataFrame, of: str) -> None:
    colours = dict(zip(PARTS, palette(len(PARTS)), strict=True))
    for run in (FULL, THIS):
        for place, (name, marker) in enumerate(PARTS.items()):
            own = part[(part["run"] == run) & (part["part"] == name)].sort_values("step")
            if own.empty:
                continue
            back = {"color": MUTED, "linestyle": ("-", (0, (4, 2)))[place], "linewidth": 1.2}
            front = {"color": colours[name], "marker": marker, "markersize": 5, "linewidth": 1.6}
            label = f"{run}, {f'held-out {of}' if name == 'held-out' else f'{of} that it learns from'}"
            axes.plot(own["step"], own["value"], label=label, **(front if run == THIS else back))
    axes.grid(color=RULE)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)


def _alt(table: pd.DataFrame, figures: Sequence[str]) -> str:
    said = [f"{TITLES.get(figure, figure)}: {listed(_ways(table[table['figure'] == figure]))}" for figure in figures]
    last = {run: int(part["step"].max()) for run, part in table.groupby("run")}
    runs = listed([f"{run}, {last[run]:,} steps" for run in (THIS, FULL) if run in last])
    return f"Learning curves ({runs}). {'. '.join(text[0].upper() + text[1:] for text in said)}."


def _ways(part: pd.DataFrame) -> list[str]:
    """From where to where each line goes."""
    found = []
    for run in (THIS, FULL):
        for name in PARTS:
            own = part[(part["run"] == run) & (part["part"] == name)].sort_values("step")
            if len(own):
                first, last = own["value"].iloc[0], own["value"].iloc[-1]
                found.append(f"{name} {first:.3g} to {last:.3g} ({run})")
    return found
