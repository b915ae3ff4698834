"""Figures of sound: a clip's waveform and log-mel picture, its patches, the filterbank.

Waveforms are float32 at 16 kHz. Log-mel arrays are ``[frames, mels]``; the picture has time from left to right and low
bands at the bottom. These functions compute no feature, so that what is seen is what the embeddings get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.figures import figure
from nslib.figures.figure import DASHED, HATCHES, INK, MUTED, RULE, Figure, palette, with_style

__all__ = ["filterbank", "log_mel", "patch_times"]

RATE = 16_000

Array = npt.NDArray[np.floating]
Spans = Sequence[tuple[float, float]]


@with_style
def log_mel(picture: Array, *, hop: float = 0.01, wave: Array | None = None, patches: Spans = (), title: str = "",
            name: str = "log_mel") -> Figure:
    """A log-mel picture, with its waveform above and its patches below if they are given.

    ``picture`` is [frames, mels], with ``hop`` seconds between frames; ``wave`` [samples] is at 16 kHz; ``patches`` are
    (start, end) in seconds.
    """
    heights = [0.7] * (wave is not None) + [2.2] + [0.25 + 0.11 * len(patches)] * bool(patches)
    fig, axes = figure.make_axes(8, 0.7 + sum(heights), len(heights), 1, height_ratios=heights, sharex=True)
    seconds = len(picture) * hop
    if wave is not None:
        every = max(1, len(wave) // 4000)
        ends = np.arange(0, len(wave) - every + 1, every)
        low, high = np.minimum.reduceat(wave, ends), np.maximum.reduceat(wave, ends)
        axes[0].fill_between(ends / RATE, low, high, color=INK, linewidth=0.3)
        axes[0].set(ylabel="wave", yticks=[])
        axes[0].tick_params(axis="x", length=0)
        axes[0].spines[:].set_visible(False)
    main = axes[int(wave is not None)]
    extent = (0, seconds, 0, picture.shape[1])
    image = main.imshow(picture.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    main.set(ylabel="mel band", xlim=(0, seconds))
    fig.colorbar(image, ax=main, label="log magnitude", pad=0.01, aspect=12)
    if patches:
        for y, (start, end) in enumerate(patches):
            axes[-1].barh(y, end - start, left=start, height=0.55, color=palette(1)[0])
        axes[-1].set(ylabel="patch", ylim=(len(patches) - 0.4, -0.6), yticks=sorted({0, len(patches) - 1}))
        axes[-1].grid(axis="x", color=RULE)
    axes[-1].set_xlabel("seconds")
    axes[0].set_title(title)
    alt = (f"Log-mel picture{f' of {title}' if title else ''}: {len(picture)} frames, one every {1000 * hop:.0f} ms, "
           f"by {picture.shape[1]} mel bands, values {picture.min():.2f} to {picture.max():.2f}, mean "
           f"{picture.mean():.2f}, loudest at {int(picture.mean(1).argmax()) * hop:.2f} s.")
    if patches:
        step = patches[1][0] - patches[0][0] if len(patches) > 1 else 0.0
        alt += f" {len(patches)} patches of {patches[0][1] - patches[0][0]:.3g} s"
        alt += f", one every {step:.3g} s." if step else "."
    starts = np.arange(0, len(picture), max(1, round(0.1 / hop)))
    means = np.add.reduceat(picture, starts, axis=0) / np.diff(np.append(starts, len(picture)))[:, None]
    table = pd.DataFrame({"second": starts * hop, "mean": means.mean(1), "loudest_band": means.argmax(1),
                          "loudest": means.max(1)})
    return Figure(name, fig, alt, table)


@with_style
def filterbank(matrix: Array, *, name: str = "filterbank") -> Figure:
    """The triangles [bins, mels] that turn bins of a spectrum into mel bands, each eighth drawn strongly."""
    bins, mels = matrix.shape
    hertz = np.linspace(0, RATE / 2, bins)
    fig, (axes,) = figure.make_axes(8, 2.6)
    for band in range(mels):
        strong = band % 8 == 0
        axes.plot(hertz, matrix[:, band], color=INK if strong else MUTED, linewidth=1.4 if strong else 0.4)
    axes.set(xlabel="Hz", ylabel="weight", xlim=(0, RATE / 2), ylim=(0, 1.05))
    peaks, widths = hertz[matrix.argmax(0)], (matrix > 0).sum(0)
    table = pd.DataFrame({"band": range(mels), "peak_hz": peaks, "bins": widths, "sum": matrix.sum(0)})
    alt = (f"{mels} triangular mel filters over {bins} spectrum bins: the first peaks at {peaks[0]:.0f} Hz and covers "
           f"{widths[0]} bins, the last peaks at {peaks[-1]:.0f} Hz and covers {widths[-1]}.")
    return Figure(name, fig, alt, table)


@with_style
def patch_times(spans: Mapping[str, Spans], seconds: float, *, name: str = "patch_times") -> Figure:
    """Which stretch, ``(start, end)`` in seconds, of one clip each patch of several frontends sees."""
    heights = [0.22 + 0.09 * max(len(s), 2) for s in spans.values()]
    fig, axes = figure.make_axes(8, 0.8 + 1.25 * sum(heights), len(spans), 1, height_ratios=heights, sharex=True)
    looks = zip(palette(len(spans)), HATCHES, strict=False)
    for axis, (frontend, part), (colour, hatch) in zip(axes, spans.items(), looks, strict=False):
        starts, lengths = [a for a, _ in part], [b - a for a, b in part]
        axis.barh(range(len(part)), lengths, left=starts, height=0.7, color=colour, hatch=hatch, edgecolor="white")
        axis.axvline(seconds, color=INK, linewidth=1, linestyle=DASHED)
        axis.set(ylim=(max(len(part), 2) - 0.4, -0.6), yticks=[])
        axis.set_title(f"{frontend}: {len(part)} {'patch' if len(part) == 1 else 'patches'}")
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(axis="x", length=0)
    axes[-1].set(xlabel="seconds (dashed: end of the clip; what lies right of it is padding)", xlim=(0, None))
    table = pd.DataFrame([(frontend, i, a, b) for frontend, part in spans.items() for i, (a, b) in enumerate(part)],
                         columns=["frontend", "patch", "start", "end"])
    ends = [f"{len(p)} (the last ends at {p[-1][1]:.2f} s)" if p else "none" for p in spans.values()]
    parts = [f"{frontend} {end}" for frontend, end in zip(spans, ends, strict=True)]
    return Figure(name, fig, f"Patches of a clip of {seconds:.2f} s: {figure.join_words(parts)}.", table)
