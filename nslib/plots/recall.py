"""Figure of recall: which classes an embedding gets right, with the interval of each.

Conventions
-----------
Percent, and the probe chosen on validation; numbers are those of `nslib.recall`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib import recall as _recall
from nslib.plots import order
from nslib.plots.figure import INK, MUTED, Figure, canvas, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@styled
def recall(rows: pd.DataFrame, predictions: pd.DataFrame, task: str, embedding: str, *, name: str = "recall") -> Figure:
    """Recall of each class with its interval, the highest first; what it was most often taken for beside it.

    Parameters
    ----------
    rows, predictions : pandas.DataFrame
        Of a benchmark, as in `nslib.results`.
    task, embedding : str
        Which cell of the table.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no answers of that embedding to that task.
    """
    found = _recall.table(rows, predictions, task, embedding)
    if found.empty:
        raise ValueError(f"there are no predictions of {embedding!r} on {task!r}")
    fig, (axes,) = canvas(7.2, 1.1 + 0.27 * len(found))
    _dots(axes, found)
    axes.set_title(f"{embedding} on {order.labels(rows)[task]}")
    return Figure(name, fig, _alt(found, task, embedding), found)


def _dots(axes: Axes, found: pd.DataFrame) -> None:
    colour, mean = palette(1)[0], 100 * found["recall"].mean()
    axes.axvline(mean, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    for y, row in enumerate(records(found)):
        axes.plot([100 * row.low, 100 * row.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([100 * row.recall], [y], "o", color=colour, markersize=6, clip_on=False)
        wrong = f"; {row.times} taken for {row.taken_for}" if row.times else ""
        axes.text(103, y, f"{100 * row.recall:.0f} % of {row.n} clips{wrong}", va="center", size=8, color=INK)
    axes.set(xlim=(0, 100), ylim=(len(found) - 0.4, -0.6),
             xlabel="recall in %, with its interval (dashed: mean over classes)")
    axes.set_yticks(range(len(found)), list(found["label"]))
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _alt(found: pd.DataFrame, task: str, embedding: str) -> str:
    rows = [f"{r.label} {100 * r.recall:.0f} % ({100 * r.low:.0f} to {100 * r.high:.0f})" for r in records(found)]
    by = " and ".join(f"{unit}s" for unit in sorted(set(found["by"])))
    return (f"Recall of each class of {task} with {embedding}, mean {100 * found['recall'].mean():.0f} % over "
            f"{len(found)} classes, intervals over {by}: {'; '.join(rows)}.")
