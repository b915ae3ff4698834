"""Figures of the protocols: inside a speaker and between speakers, few clips and many, careless and careful.

Conventions
-----------
As in `nslib.plots.results`: percent, and the probe chosen on validation. Rows are those of
`nslib.protocols`; what is drawn is the score over all split numbers, with its interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib import protocols
from nslib.plots import order
from nslib.plots.figure import INK, MARKERS, MUTED, RULE, Figure, canvas, listed, palette, records, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 2))


@styled
def personalisation(rows: pd.DataFrame, inter: pd.DataFrame | None = None, *, name: str = "personalisation") -> Figure:
    """Within-speaker score of each embedding, and beside it the score on new speakers.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `nslib.protocols`.
    inter : pandas.DataFrame, optional
        Result rows of the benchmark (`nslib.results`), whose tests are of new speakers.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no within-speaker result.
    """
    scores = _scores(rows)
    if inter is not None and len(inter):
        other = order.chosen(inter)[["task", "embedding", "value", "low", "high", "chance"]]
        scores = scores.merge(other, how="left", on=["task", "embedding"], suffixes=("", "_new"))
    else:
        scores = scores.assign(value_new=float("nan"), low_new=float("nan"), high_new=float("nan"),
                               chance_new=float("nan"))
    called, tasks = order.labels(scores), order.tasks(scores)
    names = order.embeddings(scores)
    fig, axes = canvas(2.6 + 3.6 * len(tasks), 1.5 + 0.42 * len(names), 1, len(tasks), sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        _pairs(axis, scores[scores["task"] == task], names)
        axis.set_title(called[task])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    shown = ["task", "corpus_kind", "embedding", "value", "low", "high", "spread", "splits", "n_speakers",
             "interval_by", "chance", "value_new", "low_new", "high_new", "chance_new"]
    return Figure(name, fig, _personal_alt(scores, called), scores[shown])


def _scores(rows: pd.DataFrame, protocol: str = "within-speaker", shots: int | None = 0) -> pd.DataFrame:
    scores = protocols.summary(rows, protocol, shots)
    if scores.empty:
        raise ValueError(f"there is no {protocol} result among these rows")
    place = {embedding: i for i, embedding in enumerate(order.embeddings(scores))}
    keyed = scores.assign(_e=scores["embedding"].map(place), _s=scores["corpus_kind"] == order.SYNTHETIC)
    return keyed.sort_values(["_s", "task", "_e"], kind="stable", ignore_index=True).drop(columns=["_e", "_s"])


def _pairs(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    inside, outside = palette(2)
    for row in records(part):
        y = names.index(row.embedding)
        _dot(axes, row.value, row.low, row.high, y - 0.15, "o", inside, filled=True)
        if row.value_new == row.value_new:
            _dot(axes, row.value_new, row.low_new, row.high_new, y + 0.15, "s", outside, filled=False)
    _chance(axes, part["chance"].mean(), _DASHED)
    if part["chance_new"].notna().any():
        _chance(axes, part["chance_new"].mean(), _DOTTED)
    axes.plot([], [], "o-", color=inside, label="within each speaker (dashed: chance)")
    axes.plot([], [], "s-", color=outside, markerfacecolor="white", label="new speakers (dotted: chance)")
    _frame(axes, names)


def _dot(axes: Axes, value: float, low: float, high: float, y: float, marker: str, colour: str, *,
         filled: bool) -> None:
    axes.plot([100 * low, 100 * high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([100 * value], [y], marker, color=colour, markerfacecolor=colour if filled else "white", markersize=6)


def _chance(axes: Axes, value: float, dashes: Any) -> None:
    axes.axvline(100 * value, color=MUTED, linestyle=dashes, linewidth=1)


def _frame(axes: Axes, names: list[str]) -> None:
    axes.set(xlim=(0, 102), ylim=(len(names) - 0.4, -0.6), xlabel="% correct on test, with its interval")
    axes.set_yticks(range(len(names)), names)
    axes.grid(axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_axisbelow(True)


def _personal_alt(scores: pd.DataFrame, called: dict[str, str]) -> str:
    parts = []
    for task, part in scores.groupby("task", sort=False):
        best, last = part.loc[part["value"].idxmax()], part.loc[part["value"].idxmin()]
        text = (f"{called[str(task)]}, {int(best['n_speakers'])} speakers: {best['embedding']} with "
                f"{100 * best['value']:.0f} % (interval {100 * best['low']:.0f} to {100 * best['high']:.0f}, chance "
                f"{100 * best['chance']:.0f}) to {last['embedding']} with {100 * last['value']:.0f} %")
        both = part[part["value_new"].notna()]
        ahead = int((both["value"] > both["value_new"]).sum())
        parts.append(text + (f"; higher than on new speakers for {ahead} of {len(both)}" if len(both) else ""))
    return f"Scores within speakers, highest to lowest. {'. '.join(parts)}."


@styled
def protocol_switch(rows: pd.DataFrame, *, name: str = "protocol_switch") -> Figure:
    """The same vectors by four protocols: new speakers or random clips, all training clips or a few.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `nslib.protocols.switch`.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        By-clip scores are called careless: they are no results.

    Raises
    ------
    ValueError
        If there is no result of the switch.
    """
    import pandas as pd

    first = _scores(rows, "by-speaker", None)
    every = protocols.summary(rows)
    every = every[every["protocol"].str.match("by-(speaker|clip)")]
    tasks, names, called = order.tasks(first), order.embeddings(first), order.labels(first)
    fig, axes = canvas(2.6 + 3.6 * len(tasks), 1.9 + 0.62 * len(names), 1, len(tasks), sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        _switches(axis, every[every["task"] == task], names)
        axis.set_title(called[task])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    keys = ["task", "embedding", "protocol"]
    place = {e: i for i, e in enumerate(names)}
    table = every.assign(_e=every["embedding"].map(place)).sort_values(["task", "_e", "shots", "protocol"])
    shown = table[[*keys, "corpus_kind", "value", "low", "high", "spread", "splits", "n_train", "n", "n_speakers",
                   "shared_speakers", "chance", "interval_by"]].reset_index(drop=True)
    return Figure(name, fig, _switch_alt(pd.DataFrame(shown), called), shown)


def _switches(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    honest, careless = palette(2)
    few = int(part["shots"].max())
    looks = {("by-speaker", 0): (-0.27, "o", honest, "new speakers, all training clips"),
             ("by-speaker", few): (-0.09, "o", honest, f"new speakers, {few} clips a class"),
             ("by-clip", 0): (0.09, "D", careless, "careless: same speakers, as many clips"),
             ("by-clip", few): (0.27, "D", careless, f"careless: same speakers, {few} clips a class")}
    for (protocol, shots), (off, marker, colour, label) in looks.items():
        own = part[part["protocol"].str.startswith(protocol) & (part["shots"] == shots)]
        for row in records(own):
            y = names.index(row.embedding) + off
            _dot(axes, row.value, row.low, row.high, y, marker, colour, filled=not shots)
        axes.plot([], [], f"{marker}-", color=colour, markerfacecolor="white" if shots else colour, label=label)
    _chance(axes, part.loc[part["protocol"] == "by-speaker", "chance"].mean(), _DASHED)
    _frame(axes, names)


def _switch_alt(table: pd.DataFrame, called: dict[str, str]) -> str:
    parts = []
    for task, part in table.groupby("task", sort=False):
        means = part.groupby("protocol", sort=False)["value"].mean()
        said = listed([f"{protocol} {100 * value:.0f} %" for protocol, value in means.items()])
        gap = 100 * (means["by-clip"] - means["by-speaker"])
        parts.append(f"{called[str(task)]}, mean of {part['embedding'].nunique()} embeddings: {said}; dividing by clip "
                     f"instead of by speaker changes {gap:+.0f} points")
    return f"The same vectors by four protocols. {'. '.join(parts)}. Scores by clip are no results."


@styled
def learning(rows: pd.DataFrame, *, name: str = "learning") -> Figure:
    """Within-speaker score against the number of clips that each speaker gives to learn from.

    Parameters
    ----------
    rows : pandas.DataFrame
        Rows of `nslib.protocols`, within speakers at several `shots`.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no within-speaker result.
    """
    scores = _scores(rows, shots=None).sort_values(["task", "n_train"], kind="stable", ignore_index=True)
    tasks, called = order.tasks(scores), order.labels(scores)
    names = order.embeddings(scores[scores["shots"] == 0] if (scores["shots"] == 0).any() else scores)
    fig, axes = canvas(2.6 + 3.4 * len(tasks), 3.8, 1, len(tasks), sharey=True)
    for axis, task in zip(axes, tasks, strict=True):
        _curves(axis, scores[scores["task"] == task], names)
        axis.set_title(called[task])
    axes[0].set_ylabel("% correct within speakers")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.8)
    shown = ["task", "corpus_kind", "embedding", "shots", "n_train", "value", "low", "high", "spread", "chance",
             "n_speakers"]
    return Figure(name, fig, _learning_alt(scores, called), scores[shown])


def _curves(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    for embedding, marker, colour in zip(names, MARKERS * 9, palette(len(names)), strict=False):
        own = part[part["embedding"] == embedding]
        axes.plot(own["n_train"], 100 * own["value"], f"{marker}-", color=colour, label=embedding, markersize=6)
    axes.axhline(100 * part["chance"].mean(), color=INK, linestyle=_DASHED, linewidth=1)
    axes.set(xlabel="training clips of each speaker (dashed: chance)", ylim=(0, 102))
    axes.set_xticks(sorted(part["n_train"].unique()))
    axes.grid(color=RULE)


def _learning_alt(scores: pd.DataFrame, called: dict[str, str]) -> str:
    parts = []
    for task, part in scores.groupby("task", sort=False):
        found = []
        for clips, own in part.groupby("n_train"):
            best = own.loc[own["value"].idxmax()]
            found.append(f"with {clips} clips {best['embedding']} at {100 * best['value']:.0f} % is highest")
        parts.append(f"{called[str(task)]}: {'; '.join(found)}")
    return f"Scores within speakers by the number of training clips of each speaker. {'. '.join(parts)}."
