"""Figure of an embedding's map: the same points by label and by speaker, with what the neighbours say.

Conventions
-----------
A name has a colour and a marker of its own; beyond nine, the rarer ones are small grey dots. Every panel prints what
the eye should find in it: the share of neighbours, in the full vectors, that have the same name, and chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nslib.embedding_map import ACROSS, LABEL, PCA, SPEAKER, VECTORS, Map
from nslib.plots.figure import INK, MARKERS, MUTED, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NAMED, _WIDE = 9, 26
_TITLES = {LABEL: "by label", SPEAKER: "by speaker"}


@styled
def embedding_map(drawn: Map, *, name: str = "embedding_map") -> Figure:
    """Clips on a plane, coloured by label and by speaker.

    Parameters
    ----------
    drawn : Map
        From `nslib.embedding_map.draw`.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        One panel where speakers are not known, or are the labels. Its table holds the numbers of neighbours, for the
        vectors and for the map; the points themselves are ``drawn.points``.
    """
    panels = [LABEL, SPEAKER] if SPEAKER in set(drawn.agreement["of"]) and not _same(drawn.points) else [LABEL]
    table = drawn.agreement.assign(method=drawn.method, trustworthiness=drawn.trust, variance_x=drawn.variance[0],
                                   variance_y=drawn.variance[1])
    fig, axes = canvas(1.2 + 5.0 * len(panels), 4.7, 1, len(panels), sharex=True, sharey=True)
    for axis, of in zip(axes, panels, strict=True):
        _points(axis, drawn.points, of)
        _labels(axis, drawn)
        axis.set_title(_title(table, of, both=len(panels) == 1 and _same(drawn.points)))
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), labelspacing=0.7, handletextpad=0.2)
    fig.suptitle(f"{drawn.embedding} on {drawn.task}{_across(table)}", x=0.01, ha="left", size=10.5)
    return Figure(name, fig, _alt(drawn, table), table)


def _same(points: pd.DataFrame) -> bool:
    pairs = points[["label", "speaker"]].drop_duplicates()
    return len(pairs) == points["label"].nunique() == points["speaker"].nunique()


def _points(axes: Axes, points: pd.DataFrame, of: str) -> None:
    names = points[of].value_counts(sort=True)
    order = sorted(names.index, key=lambda text: (-names[text], text))
    shown = sorted(order[:_NAMED] if len(order) > _NAMED + 1 else order)
    rest = points[~points[of].isin(shown)]
    if len(rest):
        axes.plot(rest["x"], rest["y"], ".", color=MUTED, alpha=0.5, markersize=3,
                  label=f"{rest[of].nunique()} others")
    for text, marker, colour in zip(shown, MARKERS, palette(len(shown)), strict=False):
        own = points[points[of] == text]
        axes.plot(own["x"], own["y"], marker, color=colour, alpha=0.75, markersize=4.5, markeredgewidth=0.3,
                  markeredgecolor=INK, label=_short(text))


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"…{text[1 - _WIDE:]}"


def _labels(axes: Axes, drawn: Map) -> None:
    if drawn.method == PCA:
        first, second = (f"{100 * share:.0f} % of the variance" for share in drawn.variance)
        axes.set(xlabel=f"first principal component, {first}", ylabel=f"second, {second}")
    else:
        axes.set(xlabel="t-SNE: only who is near whom has a meaning", ylabel="")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.label_outer()


def _title(table: pd.DataFrame, of: str, *, both: bool) -> str:
    row = records(table[(table["of"] == of) & (table["space"] == VECTORS)])[0]
    shown = "by label, which is the speaker" if both else _TITLES[of]
    return f"{shown}: {100 * row.agreement:.0f} % of neighbours agree (chance {100 * row.chance:.0f} %)"


def _across(table: pd.DataFrame) -> str:
    own = records(table[(table["of"] == ACROSS) & (table["space"] == VECTORS)])
    return (f"; among neighbours of other speakers {100 * own[0].agreement:.0f} % have the same label (chance "
            f"{100 * own[0].chance:.0f} %)") if own else ""


def _alt(drawn: Map, table: pd.DataFrame) -> str:
    said = []
    for of, part in table.groupby("of", sort=False):
        spaces = [f"{100 * row.agreement:.0f} % (interval {100 * row.low:.0f} to {100 * row.high:.0f}) among the "
                  f"{row.space}" if row.space == VECTORS else f"{100 * row.agreement:.0f} % on the map"
                  for row in records(part)]
        asked = "the same label, of other speakers only" if of == ACROSS else f"the same {of}"
        said.append(f"{asked}: {listed(spaces)}, chance {100 * part['chance'].iloc[0]:.0f} %")
    return (f"Map of {drawn.embedding} on {drawn.task}. {drawn.said()}. Share of the {table['neighbours'].iloc[0]} "
            f"nearest neighbours that have {'; '.join(said)}.")
