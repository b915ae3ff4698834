"""Figures of what the clips are: classes and speakers in each split, lengths, cost of embedding them.

Conventions
-----------
A clip table has the columns task (only where several are shown), label, speaker, split, seconds.
Splits always come in the order train, validation, test, and have the same hatch everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib.plots import order
from nslib.plots.figure import (
    HATCHES,
    INK,
    MUTED,
    PAPER,
    RULE,
    Figure,
    canvas,
    listed,
    log_scale,
    palette,
    records,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SPLITS = ("train", "validation", "test")


@styled
def class_balance(clips: pd.DataFrame, *, task: str = "", name: str = "class_balance") -> Figure:
    """Clips and speakers of every class, by split.

    Parameters
    ----------
    clips : pandas.DataFrame
        Clip table of one task.
    task : str
        For the title and the sentence.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    counts = clips.groupby(["label", "split"], sort=True)
    table = counts.agg(clips=("seconds", "size"), speakers=("speaker", "nunique")).reset_index()
    names = sorted(table["label"].unique())
    fig, axes = canvas(8.2, 1.25 + 0.26 * max(len(names), 4), 1, 2, sharey=True)
    for axis, column in zip(axes, ("clips", "speakers"), strict=True):
        _stacks(axis, table, names, column)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, handlelength=1.6, columnspacing=1.2)
    fig.suptitle(task, x=0.01, ha="left", weight="bold", size=11)
    return Figure(name, fig, _balance_alt(clips, task), table)


def _stacks(axes: Axes, table: pd.DataFrame, names: list[str], column: str) -> None:
    from matplotlib.ticker import MaxNLocator

    wide = table.pivot_table(index="label", columns="split", values=column, fill_value=0).reindex(names)
    left = [0.0] * len(names)
    for split, colour, hatch in zip(SPLITS, palette(3), HATCHES, strict=False):
        values = wide[split].to_list() if split in wide else [0] * len(names)
        looks: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": PAPER, "height": 0.72}
        axes.barh(range(len(names)), values, left=left, label=split, **looks)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=column, ylim=(len(names) - 0.4, -0.6))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.tick_params(axis="y", length=0)


def _balance_alt(clips: pd.DataFrame, task: str) -> str:
    sizes = clips["label"].value_counts()
    split = {s: clips[clips["split"] == s] for s in SPLITS}
    parts = [f"{len(part)} {s} clips of {part['speaker'].nunique()} speakers" for s, part in split.items()]
    about = f"{task}: " if task else ""
    return (
        f"{about}{len(sizes)} classes; {listed(parts)}. Smallest class {sizes.index[-1]} with "
        f"{sizes.iloc[-1]} clips, largest {sizes.index[0]} with {sizes.iloc[0]}."
    )


@styled
def split_audit(clips: pd.DataFrame, *, name: str = "split_audit") -> Figure:
    """Several tasks at once: how many clips and speakers in each split, and which speakers are in two.

    Parameters
    ----------
    clips : pandas.DataFrame
        Clip tables of the tasks, one below the other, with the columns ``task`` and ``corpus_kind``.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    table = _audit_table(clips)
    called = order.labels(table)
    names = [called[t] for t in order.tasks(table)]
    fig, axes = canvas(8.6, 1.3 + 0.36 * max(len(names), 3), 1, 2, sharey=True)
    for axis, column in zip(axes, ("clips", "speakers"), strict=True):
        _stacks(axis, table.assign(label=table["task"].map(called)), names, column)
    for y, task in enumerate(order.tasks(table)):
        part = table[table["task"] == task]
        shared = int(part["shared_speakers"].iloc[0])
        said = f"  {shared} in several" if shared else "  disjoint"
        axes[1].text(part["speakers"].sum(), y, said, va="center", size=8, color=MUTED)
    axes[1].set_xlim(right=1.35 * float(table.groupby("task")["speakers"].sum().max()))
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, handlelength=1.6, columnspacing=1.2)
    return Figure(name, fig, _audit_alt(table, called), table)


def _audit_table(clips: pd.DataFrame) -> pd.DataFrame:
    found = clips.groupby(["task", "corpus_kind", "split"], sort=False).agg(
        clips=("seconds", "size"),
        speakers=("speaker", "nunique"),
        classes=("label", "nunique"),
        minutes=("seconds", "sum"),
    )
    splits = clips.groupby(["task", "speaker"])["split"].nunique()
    shared = (splits > 1).groupby("task").sum().rename("shared_speakers")
    table = found.reset_index().merge(shared.reset_index(), on="task")
    return table.assign(minutes=table["minutes"] / 60)


def _audit_alt(table: pd.DataFrame, called: dict[str, str]) -> str:
    parts = []
    for task, part in table.groupby("task", sort=False):
        shared = int(part["shared_speakers"].iloc[0])
        sizes = " / ".join(str(int(part.loc[part["split"] == s, "clips"].sum())) for s in SPLITS)
        said = f"{shared} speakers in several splits" if shared else "no speaker in two splits"
        parts.append(f"{called[str(task)]} {sizes} clips, {said}")
    return f"Clips in train / validation / test: {'; '.join(parts)}."


@styled
def durations(clips: pd.DataFrame, *, by: str = "task", name: str = "durations") -> Figure:
    """How long the clips are: median, middle half, and everything between the 2nd and 98th percentile.

    Parameters
    ----------
    clips : pandas.DataFrame
        Clip table.
    by : str
        Column whose values are the rows of the figure.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    table = _quantiles(clips, by)
    fig, (axes,) = canvas(7.4, 0.9 + 0.36 * max(len(table), 2))
    for y, row in enumerate(records(table)):
        said = f"{row.clips} clips, {row.minutes:.1f} min"
        axes.plot([row.p2, row.p98], [y, y], color=MUTED, linewidth=1)
        axes.plot([row.p25, row.p75], [y, y], color=palette(1)[0], linewidth=7, solid_capstyle="butt")
        axes.plot([row.median], [y], "|", color=INK, markersize=13, markeredgewidth=2)
        axes.text(1.01, y, said, va="center", size=8, color=MUTED, transform=axes.get_yaxis_transform())
    log_scale(axes)
    axes.set_yticks(range(len(table)), [str(v) for v in table[by]])
    axes.set_xlabel("seconds (log scale; bar: middle half, mark: median, line: 2nd to 98th percentile)")
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    found = [f"median {row.median:.1f} s ({row.p2:.1f} to {row.p98:.1f})" for row in records(table)]
    parts = [f"{who} {what}" for who, what in zip(table[by], found, strict=True)]
    return Figure(name, fig, f"Lengths of {len(clips)} clips: {'; '.join(parts)}.", table)


def _quantiles(clips: pd.DataFrame, by: str) -> pd.DataFrame:
    groups = clips.groupby(by, sort=False)["seconds"]
    at = {"p2": 0.02, "p25": 0.25, "median": 0.5, "p75": 0.75, "p98": 0.98}
    columns = {column: groups.quantile(q) for column, q in at.items()}
    return groups.agg(clips="size", minutes=lambda s: s.sum() / 60).assign(**columns).reset_index()


@styled
def embedding_cost(ledger: pd.DataFrame, *, name: str = "embedding_cost") -> Figure:
    """How many times faster than real time each embedding was computed.

    Parameters
    ----------
    ledger : pandas.DataFrame
        Columns embedding, times_real_time, clips_per_second, computed; rows that computed nothing
        (all vectors came from the store) are left out, and the sentence says how many.
    name : str
        Of the figure.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If no row computed anything.
    """
    done = ledger[ledger["computed"] > 0]
    if done.empty:
        raise ValueError("every vector came from the store: there is no cost to show")
    table = _speeds(done)
    fig, (axes,) = canvas(7.0, 0.9 + 0.34 * max(len(table), 2))
    # Dots, not bars: on a logarithmic axis a bar's length says nothing.
    axes.plot(table["times_real_time"], range(len(table)), "o", color=palette(1)[0], markersize=9)
    for y, row in enumerate(records(table)):
        said: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "size": 9}
        axes.annotate(f"{row.times_real_time:.0f}×", (row.times_real_time, y), **said)
    axes.margins(x=0.12)
    log_scale(axes)
    axes.set_yticks(range(len(table)), table["embedding"].to_list())
    axes.set_xlabel("seconds of audio embedded per second, from file to vector (log scale)")
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(color=RULE)
    axes.set_axisbelow(True)
    parts = [f"{row.embedding} {row.times_real_time:.0f}" for row in records(table)]
    left = ledger["embedding"].nunique() - len(table)
    more = f" Not measured, because every vector was stored already: {left}." if left else ""
    return Figure(name, fig, f"Times faster than real time: {', '.join(parts)}.{more}", table)


def _speeds(done: pd.DataFrame) -> pd.DataFrame:
    seconds = done.assign(audio=done["times_real_time"] * done["wall_seconds"])
    table = seconds.groupby("embedding")[["computed", "audio", "wall_seconds"]].sum().reset_index()
    speeds = table.assign(times_real_time=table["audio"] / table["wall_seconds"])
    return speeds.sort_values("times_real_time", ascending=False, ignore_index=True)
