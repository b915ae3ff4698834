"""What a figure is in this kit: a picture, a sentence and a table that say the same.

The alternative text of a `Figure` is built from the numbers in its table, so that the two cannot disagree. Pictures are
drawn without pyplot: nothing is registered globally, and a notebook can show a figure only with its text. One style for
all: white ground, few lines, the colour-blind-safe palette of seaborn, and never colour alone: groups also differ by
marker, hatch or a printed value. The same input gives the same SVG, byte for byte.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.config import write_file

__all__ = ["INK", "MARKERS", "MUTED", "RULE", "Figure", "make_axes", "palette", "style", "with_style"]

P = ParamSpec("P")
Axes = Any  # as the next, of Matplotlib, which is imported when something is drawn
MplFigure = Any

INK, MUTED, RULE, PAPER = "#1d2433", "#5d6675", "#d9dde4", "#ffffff"
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "++", "oo", "--")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "*")
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))
NOT_EVALUATED = "there is no selected test score among these rows: nothing was evaluated"
NO_PREDICTIONS = "there are no predictions, as nothing was evaluated"
DPI = 160
_ROWS_SHOWN = 40
_TEXT_AT = 103.0  # where the text of a row begins, right of an axis in percent


@dataclass(frozen=True)
class Figure:
    """A picture with its sentence, `alt` (ValueError if it is blank), and the table of the numbers that are drawn."""

    name: str
    fig: MplFigure
    alt: str
    table: pd.DataFrame

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"figure {self.name!r} has no alternative text")
        # Laid out once: the engine moves things a little each time it runs, and equal figures must give equal files.
        self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")

    @property
    def width(self) -> int:
        """How wide it is meant to be seen, in CSS pixels."""
        return round(96 * self.fig.get_figwidth())

    def render(self, kind: str) -> bytes:
        """Draw the picture as a file's content: ``"png"`` or ``"svg"``, without dates or program versions."""
        import matplotlib as mpl

        metadata: dict[str, Any] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
        buffer = io.BytesIO()
        with mpl.rc_context(style()):
            self.fig.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
        return buffer.getvalue()

    def save(self, directory: str | Path) -> Path:
        """Write ``name.svg`` (whose path is returned), ``.png``, ``.csv`` (the table) and ``.txt`` (the sentence)."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        contents = {"svg": self.render("svg"), "png": self.render("png"), "txt": f"{self.alt}\n".encode(),
                    "csv": self.table.to_csv(index=False, float_format="%.6g").encode()}
        for ending, content in contents.items():
            write_file(folder / f"{self.name}.{ending}", content)
        return folder / f"{self.name}.svg"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        image = base64.b64encode(self.render("png")).decode()
        picture = (f'<img alt="{html.escape(self.alt)}" style="width:{self.width}px;max-width:100%;background:#fff" '
                   f'src="data:image/png;base64,{image}">')
        more = f" (first {_ROWS_SHOWN} of {len(self.table)} rows)" if len(self.table) > _ROWS_SHOWN else ""
        rows = self.table.head(_ROWS_SHOWN).to_html(index=False, border=0, float_format=lambda v: f"{v:.4g}", na_rep="")
        folded = f"<details><summary>the numbers in this figure{more}</summary>{rows}</details>"
        return {"text/html": f'<figure style="margin:0">{picture}{folded if len(self.table) else ""}</figure>',
                "text/plain": self.alt}


def palette(n: int) -> list[str]:
    """`n` hexadecimal colours that differ for colour-blind readers; they repeat after ten, markers do not."""
    import seaborn as sns

    return [str(c) for c in sns.color_palette("colorblind", n).as_hex()]


def style() -> dict[str, Any]:
    """Matplotlib settings shared by every figure, for ``matplotlib.rc_context``."""
    import seaborn as sns

    own = {
        "font.family": ["DejaVu Sans"], "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED,
        "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": 10.5, "axes.titlepad": 8,
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "grid.color": RULE,
        "grid.linewidth": 0.8, "hatch.linewidth": 0.7, "legend.frameon": False, "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER, "svg.fonttype": "path", "svg.hashsalt": "nslib", "path.simplify": True}
    return sns.axes_style("ticks") | sns.plotting_context("notebook", font_scale=0.85) | own


def with_style(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a plot function draw in the shared style, wherever the caller's settings are."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(style()):
            return function(*args, **kwargs)

    return draw


def make_axes(width: float, height: float, rows: int = 1, columns: int = 1, used: int | None = None,
              **options: Any) -> tuple[MplFigure, list[Axes]]:
    """Make a picture of so many inches; return it and the first `used` axes in reading order (others are hidden)."""
    from matplotlib.figure import Figure as Picture

    fig = Picture(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.09, h_pad=0.09)  # type: ignore[union-attr, call-arg]
    axes = list(fig.subplots(rows, columns, squeeze=False, **options).flat)
    count = len(axes) if used is None else used
    for axis in axes[count:]:
        axis.set_visible(False)
    if options.get("sharex"):
        # A shared axis has numbers in the last row only; a panel above a hidden one needs them as well.
        for axis in axes[max(count - columns, 0):count]:
            axis.tick_params(axis="x", labelbottom=True)
    return fig, axes[:count]


def make_panels(titles: Sequence[str], size: tuple[float, float], margin: tuple[float, float], most: int | None = None,
                **options: Any) -> tuple[MplFigure, list[Axes]]:
    """Make a picture with a panel a title, at most so many beside each other; `size` of one and `margin` in inches."""
    columns = min(len(titles), most or len(titles))
    rows = -(-len(titles) // columns)
    fig, axes = make_axes(margin[0] + size[0] * columns, margin[1] + size[1] * rows, rows, columns, len(titles),
                          **options)
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title)
    return fig, axes


def frame_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write names down the vertical axis, the first on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def set_log_scale(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def draw_intervals(axes: Axes, names: Sequence[str], scores: npt.ArrayLike, *, at: Sequence[str] | None = None,
                   filled: Sequence[bool] | bool = True, texts: Sequence[str] = (), line: float | None = None,
                   dashes: Any = DASHED, colour: str = "", marker: str = "o", offset: float = 0.0,
                   label: str = "") -> None:
    """Draw a row a name: the bar of an interval, the dot of a value and, right of 100, a text."""
    colour = colour or palette(1)[0]
    values = np.asarray(scores, dtype=np.float64)
    places = range(len(names)) if at is None else [list(names).index(name) for name in at]
    full = [filled] * len(values) if isinstance(filled, bool) else [bool(f) for f in filled]
    frame_rows(axes, names)
    axes.grid(True, axis="y")
    if line is not None:
        axes.axvline(line, color=MUTED, linestyle=dashes, linewidth=1)
    for i, (place, (value, *bounds)) in enumerate(zip(places, values, strict=True)):
        y = place + offset
        if bounds:
            axes.plot(bounds, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([value], [y], marker, color=colour, markersize=6, markerfacecolor=colour if full[i] else PAPER,
                  clip_on=False, zorder=3)
        if texts:
            bold = full[i] and not isinstance(filled, bool)
            axes.text(_TEXT_AT, y, texts[i], va="center", size=8, weight="bold" if bold else "normal")
    if label:
        axes.plot([], [], f"{marker}-" if values.shape[1] > 1 else marker, color=colour, label=label,
                  markerfacecolor=PAPER if filled is False else colour)


def draw_nothing(name: str, why: str, columns: Sequence[str] = ()) -> Figure:
    """A figure of nothing: the reason in words, and a table with these columns and no row."""
    fig, (axes,) = make_axes(7.0, 0.9)
    axes.set_axis_off()
    alt = f"Nothing to show: {why}."
    axes.text(0, 0.5, textwrap.fill(alt, 90), va="center", color=MUTED, size=9.5)
    return Figure(name, fig, alt, pd.DataFrame(columns=list(columns)))


def join_words(words: Sequence[str]) -> str:
    """Words in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
