"""Figures of exploring: a clip's frames over time, and the speakers that a voice resembles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nslib import frontend
from nslib.explore.frames import Timeline
from nslib.explore.voices import Resemblance
from nslib.plots.figure import INK, MUTED, RULE, Figure, canvas, palette, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOP = frontend.HOP / frontend.SAMPLE_RATE
_MOST = 12


@styled
def frames_over_time(timeline: Timeline, *, name: str = "frames_over_time") -> Figure:
    """A clip's log-mel picture, the window that each vector covers, and where the vectors change.

    Parameters
    ----------
    timeline : Timeline
        From `nslib.explore.over_time`.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        Its table is the timeline's.
    """
    count = len(timeline.table)
    heights = [1.8, min(0.4 + 0.09 * count, 2.2), 0.9]
    fig, (picture, windows, change) = canvas(8, 0.8 + sum(heights), 3, 1, height_ratios=heights, sharex=True)
    _log_mel(picture, timeline)
    windows.barh(timeline.table["frame"], timeline.table["end"] - timeline.table["start"], left=timeline.table["start"],
                 height=0.7, color=palette(1)[0])
    windows.set(ylabel="vector", ylim=(count - 0.4, -0.6), yticks=sorted({0, count - 1}))
    change.plot(timeline.table["start"], timeline.table["change"], "o-", color=INK, markersize=3, linewidth=1)
    change.set(ylabel="change", ylim=(0, None), xlim=(0, max(timeline.seconds, float(timeline.table["end"].max()))),
               xlabel="seconds (dashed: end of the clip; what lies right of it is padding)")
    for axis in (windows, change):
        axis.axvline(timeline.seconds, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axis.grid(axis="x", color=RULE)
    picture.set_title(f"{timeline.embedding}: {_counted(count)}, {timeline.seconds:.2f} s")
    return Figure(name, fig, _alt(timeline), timeline.table)


def _log_mel(axes: Axes, timeline: Timeline) -> None:
    wave = timeline.wave
    if len(wave) < frontend.WINDOW:
        wave = np.pad(wave, (0, frontend.WINDOW - len(wave)))
    values = frontend.log_mel(wave)
    extent = (0, len(values) * _HOP, 0, values.shape[1])
    axes.imshow(values.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    axes.set(ylabel="mel band")


def _counted(vectors: int) -> str:
    return "1 vector" if vectors == 1 else f"{vectors} vectors"


def _alt(timeline: Timeline) -> str:
    table = timeline.table
    first, last = table.iloc[0], table.iloc[-1]
    step = f", one every {table['start'].iloc[1]:.3g} s" if len(table) > 1 else ""
    text = (f"A clip of {timeline.seconds:.2f} s with its log-mel picture, the windows of {_counted(len(table))} of "
            f"{timeline.embedding} below it{step}: the first from {first['start']:.2f} to {first['end']:.2f} s, the "
            f"last from {last['start']:.2f} to {last['end']:.2f} s.")
    if len(table) > 1:
        most = table.loc[table["change"].idxmax()]
        text += f" The largest change, {most['change']:.3f}, is at the vector that starts at {most['start']:.2f} s."
    return text


@styled
def resemblance(found: Resemblance, *, name: str = "resemblance") -> Figure:
    """The speakers that a voice resembles most, beside what is usual between clips.

    Parameters
    ----------
    found : Resemblance
        From `nslib.explore.resembles`.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        Its table has all speakers; the nearest twelve are drawn.
    """
    shown = found.speakers.head(_MOST)
    fig, (axes,) = canvas(7, 1.3 + 0.27 * len(shown))
    rows = range(len(shown))
    axes.hlines(rows, shown["low"], shown["high"], color=palette(1)[0], linewidth=4, alpha=0.45,
                label="middle 80 % of clips")
    axes.plot(shown["similarity"], rows, "o", color=INK, markersize=5, label="mean over the speaker's clips")
    for value, text, dash in ((found.same, "one speaker", (0, (5, 2))), (found.other, "two speakers", (0, (1, 2)))):
        if np.isfinite(value):
            axes.axvline(value, color=MUTED, linestyle=dash, linewidth=1.2, label=f"two clips of {text}, median")
    axes.set(yticks=list(rows), yticklabels=shown["speaker"], ylim=(len(shown) - 0.5, -0.5),
             xlabel="similarity (cosine)")
    axes.set_title(f"whom it resembles, {found.embedding}: no identification")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    listed = ", ".join(f"{row.speaker} {row.similarity:.2f}" for row in shown.head(3).itertuples())
    alt = (f"Similarity of a recording to {len(found.speakers)} speakers in the space of {found.embedding}; the "
           f"nearest: {listed}. Two clips of one speaker have {found.same:.2f}, of two {found.other:.2f} (medians).")
    return Figure(name, fig, alt, found.speakers)
