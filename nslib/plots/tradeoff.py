"""Figure of quality against size: what the parameters, multiply-adds and milliseconds buy.

Conventions
-----------
One panel for each cost that is known of at least one embedding, on a logarithmic axis, and the same vertical axis in
all: mean accuracy in percent with its interval. An embedding of which a cost is not known, or that has none of it (as
hand-made features have no parameters), is not in that panel, and the sentence says so. Embeddings of equal cost stand
side by side, a few percent apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nslib.plots.figure import MARKERS, Figure, canvas, listed, log_scale, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_WIDE = 200.0  # an axis that spans more than this has room for powers of ten only
_STEP = 1.05


class _Cost(NamedTuple):
    column: str
    unit: float
    label: str
    said: str


_COSTS = (
    _Cost("parameters", 1e6, "million parameters", "million parameters"),
    _Cost("multiply_adds", 1e6, "million multiply-adds a patch", "million multiply-adds"),
    _Cost("latency_ms", 1.0, "milliseconds for {of}", "ms"),
)


@styled
def tradeoff(table: pd.DataFrame, *, what: str = "mean % correct on test", of: str = "a clip",
             name: str = "tradeoff") -> Figure:
    """Quality with its interval against parameters, multiply-adds and latency.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns name, quality, low, high (shares of clips, 0 to 1), and any of parameters, multiply_adds (of one
        patch) and latency_ms; NaN or 0 where there is none.
    what : str
        What quality is, in percent.
    of : str
        What the latency is of.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        Fewer panels for fewer costs.

    Raises
    ------
    ValueError
        If no cost is known of any embedding.
    """
    costs = [cost._replace(label=cost.label.format(of=of)) for cost in _COSTS
             if cost.column in table and table[cost.column].gt(0).any()]
    if not costs:
        raise ValueError(f"no embedding has a cost: give one of {', '.join(c.column for c in _COSTS)}")
    fig, axes = canvas(2.6 + 2.7 * len(costs), max(3.6, 1.2 + 0.24 * len(table)), 1, len(costs), sharey=True)
    for axis, cost in zip(axes, costs, strict=True):
        _panel(axis, table, cost)
    axes[0].set_ylabel(f"{what}, with its interval")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", labelspacing=0.8)
    shown = ["name", "quality", "low", "high", *[cost.column for cost in costs]]
    return Figure(name, fig, _alt(table, costs, what), table[shown].reset_index(drop=True))


def _panel(axes: Axes, table: pd.DataFrame, cost: _Cost) -> None:
    places = _apart(table[cost.column] / cost.unit)
    for row, x, marker, colour in zip(records(table), places, MARKERS * 9, palette(len(table)), strict=False):
        axes.plot([], [], f"{marker}-", color=colour, label=row.name)
        if x > 0:
            axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.6, solid_capstyle="butt")
            axes.plot([x], [100 * row.quality], marker, color=colour, markersize=7)
    known = table.loc[table[cost.column] > 0, cost.column] / cost.unit
    _axis(axes, float(known.min()), float(known.max()))
    axes.set_xlabel(cost.label)
    axes.grid()
    axes.set_axisbelow(True)


def _apart(costs: pd.Series) -> list[float]:
    same = costs.groupby(costs)
    steps = same.cumcount() - (same.transform("size") - 1) / 2
    return list(costs * _STEP**steps)


def _axis(axes: Axes, smallest: float, largest: float) -> None:
    from matplotlib.ticker import LogLocator

    log_scale(axes)
    if largest / smallest > _WIDE:
        axes.xaxis.set_major_locator(LogLocator())
    axes.set_xlim(smallest / 1.8, largest * 1.8)


def _alt(table: pd.DataFrame, costs: list[_Cost], what: str) -> str:
    rows = table.sort_values("quality", ascending=False, kind="stable")
    said = []
    for row in records(rows):
        known = [f"{getattr(row, c.column) / c.unit:.3g} {c.said}" for c in costs if getattr(row, c.column) > 0]
        size = listed(known) if known else "no cost known"
        said.append(f"{row.name} {100 * row.quality:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f}), {size}")
    return f"{what[:1].upper()}{what[1:]} against {listed([c.label for c in costs])}, highest first: {'; '.join(said)}."
