"""Figures of sound: a clip's waveform and log-mel picture, its patches, the filterbank.

Conventions
-----------
Waveforms are float32 at 16 kHz. Log-mel arrays are ``[frames, mels]``; the picture has time from
left to right and low bands at the bottom. These functions draw arrays that they are given: they
compute no feature, so that what is seen is what the embeddings get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib.plots.figure import HATCHES, INK, MUTED, RULE, Figure, canvas, listed, palette, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RATE = 16_000

Array = npt.NDArray[np.floating]
Spans = Sequence[tuple[float, float]]


@styled
def log_mel(
    picture: Array,
    *,
    hop: float = 0.01,
    wave: Array | None = None,
    patches: Spans = (),
    title: str = "",
    name: str = "log_mel",
) -> Figure:
    """A log-mel picture, with its waveform above and its patches below if they are given.

    Parameters
    ----------
    picture : array [frames, mels]
        Log-mel values.
    hop : float
        Seconds between frames.
    wave : array [samples], optional
        The 16 kHz waveform.
    patches : sequence of (start, end)
        Seconds; drawn as bars below the picture.
    title, name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    heights = [0.7] * (wave is not None) + [2.2] + [0.25 + 0.11 * len(patches)] * bool(patches)
    fig, axes = canvas(8, 0.7 + sum(heights), len(heights), 1, height_ratios=heights, sharex=True)
    seconds = len(picture) * hop
    if wave is not None:
        _wave(axes[0], wave)
    main = axes[int(wave is not None)]
    extent = (0, seconds, 0, picture.shape[1])
    image = main.imshow(picture.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    main.set(ylabel="mel band", xlim=(0, seconds))
    fig.colorbar(image, ax=main, label="log magnitude", pad=0.01, aspect=12)
    if patches:
        _spans(axes[-1], patches)
    axes[-1].set_xlabel("seconds")
    axes[0].set_title(title)
    return Figure(name, fig, _picture_alt(picture, hop, patches, title), _by_time(picture, hop))


def _wave(axes: Axes, wave: Array) -> None:
    step = max(1, len(wave) // 4000)
    ends = np.arange(0, len(wave) - step + 1, step)
    low, high = np.minimum.reduceat(wave, ends), np.maximum.reduceat(wave, ends)
    axes.fill_between(ends / RATE, low, high, color=INK, linewidth=0.3)
    axes.set(ylabel="wave", yticks=[])
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)


def _spans(axes: Axes, spans: Spans) -> None:
    for y, (start, end) in enumerate(spans):
        axes.barh(y, end - start, left=start, height=0.55, color=palette(1)[0])
    axes.set(ylabel="patch", ylim=(len(spans) - 0.4, -0.6), yticks=sorted({0, len(spans) - 1}))
    axes.grid(axis="x", color=RULE)


def _by_time(picture: Array, hop: float) -> pd.DataFrame:
    import pandas as pd

    every = max(1, round(0.1 / hop))
    starts = np.arange(0, len(picture), every)
    means = np.add.reduceat(picture, starts, axis=0) / np.diff(np.append(starts, len(picture)))[:, None]
    columns = {
        "second": starts * hop,
        "mean": means.mean(1),
        "loudest_band": means.argmax(1),
        "loudest": means.max(1),
    }
    return pd.DataFrame(columns)


def _picture_alt(picture: Array, hop: float, patches: Spans, title: str) -> str:
    loudest = int(picture.mean(1).argmax())
    shape = f"{len(picture)} frames, one every {1000 * hop:.0f} ms, by {picture.shape[1]} mel bands"
    values = f"values {picture.min():.2f} to {picture.max():.2f}, mean {picture.mean():.2f}"
    about = f" of {title}" if title else ""
    return (
        f"Log-mel picture{about}: {shape}, {values}, loudest at {loudest * hop:.2f} s.{_patches_alt(patches)}"
    )


def _patches_alt(patches: Spans) -> str:
    if not patches:
        return ""
    step = patches[1][0] - patches[0][0] if len(patches) > 1 else 0.0
    every = f", one every {step:.3g} s" if step else ""
    return f" {len(patches)} patches of {patches[0][1] - patches[0][0]:.3g} s{every}."


@styled
def filterbank(
    matrix: Array, *, highest: float = RATE / 2, every: int = 8, name: str = "filterbank"
) -> Figure:
    """The triangles that turn spectrum bins into mel bands.

    Parameters
    ----------
    matrix : array [bins, mels]
        Weights.
    highest : float
        Frequency of the last bin in Hz.
    every : int
        Draw each ``every``-th band strongly, the others faintly.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    import pandas as pd

    bins, mels = matrix.shape
    hertz = np.linspace(0, highest, bins)
    fig, (axes,) = canvas(8, 2.6)
    for band in range(mels):
        strong = band % every == 0
        axes.plot(hertz, matrix[:, band], color=INK if strong else MUTED, linewidth=1.4 if strong else 0.4)
    axes.set(xlabel="Hz", ylabel="weight", xlim=(0, highest), ylim=(0, 1.05))
    peaks, widths = hertz[matrix.argmax(0)], (matrix > 0).sum(0)
    table = pd.DataFrame({"band": range(mels), "peak_hz": peaks, "bins": widths, "sum": matrix.sum(0)})
    alt = (
        f"{mels} triangular mel filters over {bins} spectrum bins: the first peaks at {peaks[0]:.0f} Hz and "
        f"covers {widths[0]} bins, the last peaks at {peaks[-1]:.0f} Hz and covers {widths[-1]}."
    )
    return Figure(name, fig, alt, table)


@styled
def patch_times(spans: Mapping[str, Spans], seconds: float, *, name: str = "patch_times") -> Figure:
    """Which stretch of one clip each patch of several frontends sees.

    Parameters
    ----------
    spans : mapping
        Frontend to its patches, ``(start, end)`` in seconds.
    seconds : float
        Length of the clip.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    import pandas as pd

    heights = [0.22 + 0.09 * max(len(s), 2) for s in spans.values()]
    fig, axes = canvas(8, 0.8 + 1.25 * sum(heights), len(spans), 1, height_ratios=heights, sharex=True)
    looks = zip(palette(len(spans)), HATCHES, strict=False)
    for axis, (who, part), (colour, hatch) in zip(axes, spans.items(), looks, strict=False):
        starts, lengths = [a for a, _ in part], [b - a for a, b in part]
        axis.barh(
            range(len(part)), lengths, left=starts, height=0.7, color=colour, hatch=hatch, edgecolor="white"
        )
        axis.axvline(seconds, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axis.set(ylim=(max(len(part), 2) - 0.4, -0.6), yticks=[])
        axis.set_title(f"{who}: {len(part)} {'patch' if len(part) == 1 else 'patches'}")
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(axis="x", length=0)
    axes[-1].set(xlabel="seconds (dashed: end of the clip; what lies right of it is padding)", xlim=(0, None))
    table = pd.DataFrame(
        [(w, i, a, b) for w, part in spans.items() for i, (a, b) in enumerate(part)],
        columns=["frontend", "patch", "start", "end"],
    )
    ends = [f"{len(p)} (the last ends at {p[-1][1]:.2f} s)" if p else "none" for p in spans.values()]
    parts = [f"{who} {end}" for who, end in zip(spans, ends, strict=True)]
    return Figure(name, fig, f"Patches of a clip of {seconds:.2f} s: {listed(parts)}.", table)
