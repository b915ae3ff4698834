"""Figures of training: what a network learnt, step by step.

Curves are those of `nslib.training.trainer`: one row a number, with columns step, part (train, held-out), figure and
value. A number of the part that is learnt from is the mean over the steps since the look before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nslib.errors import refuse_unknown
from nslib.figures import figure
from nslib.figures.figure import MUTED, RULE, Axes, Figure, palette, with_style

__all__ = ["curve"]

THIS, FULL = "this run", "full run"
PARTS = {"held-out": "s", "train": "o"}
TITLES = {"loss": "loss", "accuracy": "triplets right", "active": "anchors with a loss",
          "spread": "mean squared distance of clips", "positive": "squared distance to the positive",
          "negative": "squared distance to the negative", "silent": "silent windows",
          "without_negative": "anchors without a negative", "learning_rate": "learning rate"}
"""What the figures of a curve are called in a picture."""

_COLUMNS = ["run", "part", "figure", "step", "value"]


@with_style
def curve(curve: pd.DataFrame | None, reference: pd.DataFrame | None = None,
          figures: Sequence[str] = ("loss", "accuracy", "active", "spread"), *, name: str = "curve",
          of: str = "pairs") -> Figure:
    """Learning curve of a run, and behind it, in grey, that of a longer one.

    ``figures`` are the numbers of the curve to draw, a panel each; UnknownName for one that it does not have. ``of``
    says what it learns from: pairs, clips.
    """
    if curve is None or curve.empty:
        return figure.draw_nothing(name, "there is no curve, as the run has not looked at anything yet", _COLUMNS)
    known = curve["figure"].unique().tolist()
    refuse_unknown("figure of the curve", figures, known)
    runs = [curve.assign(run=THIS)] + ([] if reference is None else [reference.assign(run=FULL)])
    table = pd.concat(runs, ignore_index=True)
    table = table.loc[table["figure"].isin(figures), _COLUMNS].reset_index(drop=True)
    titles = [TITLES.get(number, number) for number in figures]
    fig, axes = figure.make_panels(titles, (4.4, 2.3), (0.0, 0.6), 2, sharex=True)
    parts = []
    for axis, number, title in zip(axes, figures, titles, strict=True):
        lines = _split_lines(table[table["figure"] == number])
        _draw_lines(axis, lines, of)
        ways = [f"{part} {line['value'].iloc[0]:.3g} to {line['value'].iloc[-1]:.3g} ({run})"
                for (run, part), line in lines.items()]
        parts.append(f"{title[0].upper()}{title[1:]}: {figure.join_words(ways)}")
    for axis in axes[-min(2, len(axes)):]:
        axis.set_xlabel("step")
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=2)
    last = table.groupby("run")["step"].max()
    steps = figure.join_words([f"{run}, {int(last[run]):,} steps" for run in (THIS, FULL) if run in last])
    return Figure(name, fig, f"Learning curves ({steps}). {'. '.join(parts)}.", table)


def _split_lines(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Rows of each run and part, in the order of the steps."""
    lines = {(run, part): table[(table["run"] == run) & (table["part"] == part)].sort_values("step")
             for run in (THIS, FULL) for part in PARTS}
    return {key: line for key, line in lines.items() if len(line)}


def _draw_lines(axes: Axes, lines: dict[tuple[str, str], pd.DataFrame], of: str) -> None:
    colours = dict(zip(PARTS, palette(len(PARTS)), strict=True))
    dashes = dict(zip(PARTS, ("-", (0, (4, 2))), strict=True))
    for (run, part), line in sorted(lines.items(), key=lambda item: item[0][0] == THIS):  # this run in front
        look: dict[str, Any] = {"color": MUTED, "linestyle": dashes[part], "linewidth": 1.2}
        if run == THIS:
            look = {"color": colours[part], "marker": PARTS[part], "markersize": 5, "linewidth": 1.6}
        label = f"{run}, {f'held-out {of}' if part == 'held-out' else f'{of} that it learns from'}"
        axes.plot(line["step"], line["value"], label=label, **look)
    axes.grid(color=RULE)
    axes.margins(x=0.02)
