"""Figure of robustness: the score of each embedding as the test clips get worse.

Conventions
-----------
Percent correct with its interval; one panel a condition, from the clean clips on the left to the worst on the right
(gains in their own order). The steps between levels are drawn equal. Embeddings stand a little apart so that their
intervals can be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib.perturb import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE
from nslib.plots.figure import INK, MARKERS, RULE, Figure, canvas, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TITLES = {WHITE: "white noise", SHAPED: "speech-shaped noise", TELEPHONE: "telephone band", GAIN: "gain"}
"""What conditions are called in a picture."""

_AXIS = {WHITE: "signal-to-noise ratio, dB", SHAPED: "signal-to-noise ratio, dB", TELEPHONE: "band",
         GAIN: "gain, dB"}
_COLUMNS = ["task", "corpus_kind", "embedding", "condition", "level", "unit", "value", "low", "high", "interval_by",
            "change", "change_low", "change_high", "n", "n_speakers", "chance", "left_out", "clipped", "samples"]


@styled
def robustness(curves: pd.DataFrame, *, name: str = "robustness") -> Figure:
    """Score with its interval, condition by condition and level by level.

    Parameters
    ----------
    curves : pandas.DataFrame
        Of `nslib.robustness.curves` or `load`, of one task; of repeated rows the last counts.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no curve, or there are several tasks.
    """
    if curves["task"].nunique() != 1 or set(curves["condition"]) <= {CLEAN}:
        raise ValueError(f"give curves of one task; there are {curves['task'].nunique()} in {len(curves)} rows")
    rows = curves.drop_duplicates(["embedding", "condition", "level"], keep="last")
    clean = rows[rows["condition"] == CLEAN].set_index("embedding")["value"]
    names = sorted(rows["embedding"].unique(), key=lambda e: (-clean.get(e, 0.0), e))
    conditions = [c for c in TITLES if c in set(rows["condition"])]
    columns = min(2, len(conditions))
    lines = -(-len(conditions) // columns)
    fig, axes = canvas(1.0 + 4.7 * columns, 0.9 + 2.7 * lines, lines, columns, sharey=True)
    for axis, condition in zip(axes, conditions, strict=False):
        _panel(axis, rows, condition, names)
    for axis in axes[len(conditions):]:
        axis.set_axis_off()
    for axis in axes[::columns]:
        axis.set_ylabel("% correct on test")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    table = rows[_COLUMNS].reset_index(drop=True)
    return Figure(name, fig, _alt(rows, names, conditions), table)


def _order(rows: pd.DataFrame, condition: str) -> list[float]:
    levels = sorted(rows.loc[rows["condition"] == condition, "level"].unique())
    return levels if condition == GAIN else levels[::-1]


def _panel(axes: Axes, rows: pd.DataFrame, condition: str, names: list[str]) -> None:
    levels = _order(rows, condition)
    for i, (embedding, marker, colour) in enumerate(zip(names, MARKERS * 9, palette(len(names)), strict=False)):
        mine = rows[rows["embedding"] == embedding]
        own = mine[mine["condition"] == condition].set_index("level").reindex(levels)
        every = [*records(mine[mine["condition"] == CLEAN]), *records(own)]
        places = [x + 0.11 * (i - (len(names) - 1) / 2) for x in range(1 + len(levels) - len(every), 1 + len(levels))]
        for x, row in zip(places, every, strict=True):
            axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.2, alpha=0.7)
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5.5, "linewidth": 1.4}
        alone = len(every) - len(levels) if condition == GAIN else 0  # of gains 0 dB is the clean end, not the left one
        axes.plot(places[:alone], [100 * row.value for row in every[:alone]], **look)
        axes.plot(places[alone:], [100 * row.value for row in every[alone:]], **look, label=embedding)
    axes.axhline(100 * rows["chance"].mean(), color=INK, linestyle=(0, (4, 3)), linewidth=1, label="chance")
    ticks = ["300–3400 Hz" if condition == TELEPHONE else f"{level:g}".replace("-", "−") for level in levels]
    axes.set_xticks(range(len(levels) + 1), [CLEAN, *ticks])
    axes.set(ylim=(0, 102), xlim=(-0.5, len(levels) + 0.5), xlabel=_AXIS[condition], title=TITLES[condition])
    axes.tick_params(axis="y", labelleft=True)
    axes.grid(axis="y", color=RULE)
    axes.set_axisbelow(True)


def _alt(rows: pd.DataFrame, names: list[str], conditions: list[str]) -> str:
    clean = rows[rows["condition"] == CLEAN].set_index("embedding")
    first = [f"{name} {100 * clean.at[name, 'value']:.0f} % (interval {100 * clean.at[name, 'low']:.0f} to "
             f"{100 * clean.at[name, 'high']:.0f})" for name in names if name in clean.index]
    said = [f"{TITLES[c]}, lowest: {', '.join(_lowest(rows, c, names))}" for c in conditions]
    return (f"Scores on changed test clips of {rows['task'].iloc[0]} ({rows['n'].max()} clips, chance "
            f"{100 * rows['chance'].mean():.0f} %). Clean: {', '.join(first)}. "
            + " ".join(f"{text[0].upper()}{text[1:]}." for text in said))


def _lowest(rows: pd.DataFrame, condition: str, names: list[str]) -> list[str]:
    found = []
    for name in names:
        part = rows[(rows["embedding"] == name) & (rows["condition"] == condition)].dropna(subset=["value"])
        if len(part):
            row = part.loc[part["value"].idxmin()]
            at = "" if condition == TELEPHONE else f" at {row['level']:g} {row['unit']}"
            found.append(f"{name} {100 * row['value']:.0f} %{at}")
    return found
