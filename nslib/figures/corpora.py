"""Figures of what the clips are: classes and speakers in each split, lengths, cost of embedding them.

``clips`` is a clip table with the columns label, speaker, split, seconds and, where several tasks are shown, task and
corpus_kind. Splits always come in the order train, validation, test, and have the same hatch everywhere.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from nslib.figures import figure
from nslib.figures.figure import HATCHES, INK, MUTED, PAPER, RULE, Axes, Figure, palette, with_style
from nslib.figures.scores import label_tasks

__all__ = ["class_balance", "durations", "embedding_cost", "split_audit"]

SPLITS = ("train", "validation", "test")
NO_CLIPS = "there are no clips"

_QUANTILES = {"p2": 0.02, "p25": 0.25, "median": 0.5, "p75": 0.75, "p98": 0.98}
_AUDIT_COLUMNS = ["task", "corpus_kind", "split", "clips", "speakers", "classes", "minutes", "shared_speakers"]


@with_style
def class_balance(clips: pd.DataFrame, *, task: str = "", name: str = "class_balance") -> Figure:
    """Clips and speakers of every class of one task, by split; `task` is named in title and sentence."""
    if clips.empty:
        return figure.draw_nothing(name, f"{NO_CLIPS} of {task}" if task else NO_CLIPS)
    counts = clips.groupby(["label", "split"], sort=True)
    table = counts.agg(clips=("seconds", "size"), speakers=("speaker", "nunique")).reset_index()
    names = sorted(table["label"].unique())
    fig, axes = figure.make_axes(8.2, 1.25 + 0.26 * max(len(names), 4), 1, 2, sharey=True)
    _draw_stacks(axes, table, names)
    fig.suptitle(task, x=0.01, ha="left", weight="bold", size=11)
    sizes = clips["label"].value_counts()
    by_split = {split: clips[clips["split"] == split] for split in SPLITS}
    parts = [f"{len(part)} {split} clips of {part['speaker'].nunique()} speakers" for split, part in by_split.items()]
    alt = (f"{f'{task}: ' if task else ''}{len(sizes)} classes; {figure.join_words(parts)}. Smallest class "
           f"{sizes.index[-1]} with {sizes.iloc[-1]} clips, largest {sizes.index[0]} with {sizes.iloc[0]}.")
    return Figure(name, fig, alt, table)


def _draw_stacks(axes: list[Axes], table: pd.DataFrame, names: list[str]) -> None:
    """Draw bars of clips and of speakers, one row a label, its splits one after the other."""
    from matplotlib.ticker import MaxNLocator

    for axis, column in zip(axes, ("clips", "speakers"), strict=True):
        wide = table.pivot_table(index="label", columns="split", values=column, fill_value=0).reindex(names)
        left = [0.0] * len(names)
        for split, colour, hatch in zip(SPLITS, palette(3), HATCHES, strict=False):
            values = wide[split].to_list() if split in wide else [0] * len(names)
            axis.barh(range(len(names)), values, left=left, label=split, color=colour, hatch=hatch, edgecolor=PAPER,
                      height=0.72)
            left = [a + b for a, b in zip(left, values, strict=True)]
        figure.frame_rows(axis, names)
        axis.set_xlabel(column)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, handlelength=1.6, columnspacing=1.2)


@with_style
def split_audit(clips: pd.DataFrame, *, name: str = "split_audit") -> Figure:
    """Several tasks at once: how many clips and speakers in each split, and which speakers are in two."""
    if clips.empty:
        return figure.draw_nothing(name, NO_CLIPS, _AUDIT_COLUMNS)
    counts = clips.groupby(["task", "corpus_kind", "split"], sort=False).agg(
        clips=("seconds", "size"), speakers=("speaker", "nunique"), classes=("label", "nunique"),
        minutes=("seconds", "sum"))
    splits = clips[clips["split"] != ""].groupby(["task", "speaker"])["split"].nunique()
    overlap = (splits > 1).groupby("task").sum().rename("shared_speakers")
    table = counts.reset_index().merge(overlap.reset_index(), on="task")
    table = table.assign(minutes=table["minutes"] / 60)
    labels = label_tasks(table)
    names = list(labels.values())
    fig, axes = figure.make_axes(8.6, 1.3 + 0.36 * max(len(names), 3), 1, 2, sharey=True)
    _draw_stacks(axes, table.assign(label=table["task"].map(labels)), names)
    parts = []
    for y, (task, part) in enumerate(table.groupby("task", sort=False)):
        shared = int(part["shared_speakers"].iloc[0])
        axes[1].text(part["speakers"].sum(), y, f"  {shared} in several" if shared else "  disjoint", va="center",
                     size=8, color=MUTED)
        sizes = " / ".join(str(int(part.loc[part["split"] == s, "clips"].sum())) for s in SPLITS)
        mixed = f"{shared} speakers in several splits" if shared else "no speaker in two splits"
        parts.append(f"{labels[str(task)]} {sizes} clips, {mixed}")
    axes[1].set_xlim(right=1.35 * float(table.groupby("task")["speakers"].sum().max()))
    return Figure(name, fig, f"Clips in train / validation / test: {'; '.join(parts)}.", table)


@with_style
def durations(clips: pd.DataFrame, *, name: str = "durations") -> Figure:
    """How long the clips are: median, middle half, and from the 2nd to the 98th percentile; a row a task."""
    if clips.empty:
        return figure.draw_nothing(name, NO_CLIPS, ["task", "clips", "minutes", *_QUANTILES])
    groups = clips.groupby("task", sort=False)["seconds"]
    quantiles = {column: groups.quantile(q) for column, q in _QUANTILES.items()}
    table = groups.agg(clips="size", minutes=lambda s: s.sum() / 60).assign(**quantiles).reset_index()
    fig, (axes,) = figure.make_axes(7.4, 0.9 + 0.36 * max(len(table), 2))
    parts = []
    for y, row in enumerate(table.itertuples()):
        axes.plot([row.p2, row.p98], [y, y], color=MUTED, linewidth=1)
        axes.plot([row.p25, row.p75], [y, y], color=palette(1)[0], linewidth=7, solid_capstyle="butt")
        axes.plot([row.median], [y], "|", color=INK, markersize=13, markeredgewidth=2)
        axes.text(1.01, y, f"{row.clips} clips, {row.minutes:.1f} min", va="center", size=8, color=MUTED,
                  transform=axes.get_yaxis_transform())
        parts.append(f"{row.task} median {row.median:.1f} s ({row.p2:.1f} to {row.p98:.1f})")
    figure.set_log_scale(axes)
    figure.frame_rows(axes, table["task"].to_list())
    axes.set_xlabel("seconds (log scale; bar: middle half, mark: median, line: 2nd to 98th percentile)")
    return Figure(name, fig, f"Lengths of {len(clips)} clips: {'; '.join(parts)}.", table)


@with_style
def embedding_cost(ledger: pd.DataFrame, *, name: str = "embedding_cost") -> Figure:
    """How many times faster than real time each embedding was computed; of those in the store, only how many."""
    done = ledger if ledger.empty else ledger[ledger["computed"] > 0]
    if done.empty:
        return figure.draw_nothing(name, "nothing was embedded" if ledger.empty else
                                   "every vector came from the store, and there is no cost to show")
    seconds = done.assign(audio=done["times_real_time"] * done["wall_seconds"])
    sums = seconds.groupby("embedding")[["computed", "audio", "wall_seconds"]].sum().reset_index()
    table = sums.assign(times_real_time=sums["audio"] / sums["wall_seconds"])
    table = table.sort_values("times_real_time", ascending=False, ignore_index=True)
    fig, (axes,) = figure.make_axes(7.0, 0.9 + 0.34 * max(len(table), 2))
    # Dots, not bars: on a logarithmic axis a bar's length says nothing.
    axes.plot(table["times_real_time"], range(len(table)), "o", color=palette(1)[0], markersize=9)
    beside: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "va": "center", "size": 9}
    for y, speed in enumerate(table["times_real_time"]):
        axes.annotate(f"{speed:.0f}×", (speed, y), **beside)
    axes.margins(x=0.12)
    figure.set_log_scale(axes)
    figure.frame_rows(axes, table["embedding"].to_list())
    axes.set_xlabel("seconds of audio embedded per second, from file to vector (log scale)")
    axes.grid(color=RULE)
    parts = [f"{row.embedding} {row.times_real_time:.0f}" for row in table.itertuples()]
    left = ledger["embedding"].nunique() - len(table)
    more = f" Not measured, because every vector was stored already: {left}." if left else ""
    return Figure(name, fig, f"Times faster than real time: {', '.join(parts)}.{more}", table)
