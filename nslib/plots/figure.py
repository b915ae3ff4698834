"""What a figure is in this kit: a picture, a sentence and a table that say the same.

Conventions
-----------
Every plot function returns a `Figure`. Its alternative text is built from the numbers in its
table, so that the two cannot disagree, and it is what a screen reader, a failed image load or a
text-only log shows. Pictures are drawn without pyplot: nothing is registered globally, and a
notebook can show a figure only through the record, that is, with its text.

One style for all: white ground, few lines, the colour-blind-safe palette of seaborn, and never
colour alone: groups also differ by marker, hatch or a printed value, so that a black-and-white
print says the same. The same input gives the same SVG, byte for byte.
"""

from __future__ import annotations

import functools
import html
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

from nslib.files import write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

P = ParamSpec("P")

INK, MUTED, RULE, PAPER = "#1d2433", "#5d6675", "#d9dde4", "#ffffff"
HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "++", "oo", "--")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "*")
DPI = 160
_ROWS_SHOWN = 40


def palette(n: int) -> list[str]:
    """Colours that differ for colour-blind readers; they repeat after ten, markers do not.

    Parameters
    ----------
    n : int
        How many.

    Returns
    -------
    list of str
        Hexadecimal colours.
    """
    import seaborn as sns

    return [str(c) for c in sns.color_palette("colorblind", n).as_hex()]


def style() -> dict[str, Any]:
    """Matplotlib settings shared by every figure.

    Returns
    -------
    dict
        To be used with ``matplotlib.rc_context``.
    """
    import seaborn as sns

    return (
        sns.axes_style("ticks")
        | sns.plotting_context("notebook", font_scale=0.85)
        | {
            "font.family": ["DejaVu Sans"],
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": MUTED,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlesize": 10.5,
            "axes.titlepad": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "grid.color": RULE,
            "grid.linewidth": 0.8,
            "hatch.linewidth": 0.7,
            "legend.frameon": False,
            "figure.facecolor": PAPER,
            "savefig.facecolor": PAPER,
            "svg.fonttype": "path",
            "svg.hashsalt": "nslib",
            "path.simplify": True,
        }
    )


@dataclass(frozen=True)
class Figure:
    """A picture with its sentence and its table.

    Attributes
    ----------
    name : str
        File name without ending.
    fig : matplotlib.figure.Figure
        The picture.
    alt : str
        What the picture shows, in words, with numbers from `table`.
    table : pandas.DataFrame
        The numbers that are drawn.

    Raises
    ------
    ValueError
        If there is no alternative text.
    """

    name: str
    fig: MplFigure
    alt: str
    table: pd.DataFrame

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"figure {self.name!r} has no alternative text")
        # Laid out once: the engine moves things a little each time it runs, and equal figures must give
        # equal files.
        self.fig.draw_without_rendering()
        self.fig.set_layout_engine("none")

    @property
    def width(self) -> int:
        """int: how wide it is meant to be seen, in CSS pixels."""
        return round(96 * self.fig.get_figwidth())

    def render(self, kind: str) -> bytes:
        """Draw the picture as a file's content.

        Parameters
        ----------
        kind : {"png", "svg"}
            File format.

        Returns
        -------
        bytes
            Without dates or program versions: equal figures give equal bytes.
        """
        import matplotlib as mpl

        about: dict[str, Any] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
        buffer = io.BytesIO()
        with mpl.rc_context(style()):
            self.fig.savefig(buffer, format=kind, dpi=DPI, metadata=about)
        return buffer.getvalue()

    def save(self, directory: str | Path) -> Path:
        """Write ``name.svg``, ``name.png``, ``name.csv`` (the table) and ``name.txt`` (the sentence).

        Parameters
        ----------
        directory : path-like
            Made if it does not exist.

        Returns
        -------
        Path
            Of the SVG.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        contents = {
            "svg": self.render("svg"),
            "png": self.render("png"),
            "txt": f"{self.alt}\n".encode(),
            "csv": self.table.to_csv(index=False, float_format="%.6g").encode(),
        }
        for ending, content in contents.items():
            write(folder / f"{self.name}.{ending}", content)
        return folder / f"{self.name}.svg"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        import base64

        image = base64.b64encode(self.render("png")).decode()
        picture = (
            f'<img alt="{html.escape(self.alt)}" style="width:{self.width}px;max-width:100%;background:#fff" '
            f'src="data:image/png;base64,{image}">'
        )
        return {
            "text/html": f'<figure style="margin:0">{picture}{_details(self.table)}</figure>',
            "text/plain": self.alt,
        }


def _details(table: pd.DataFrame) -> str:
    shown = table.head(_ROWS_SHOWN)
    more = f" (first {_ROWS_SHOWN} of {len(table)} rows)" if len(table) > _ROWS_SHOWN else ""
    rows = shown.to_html(index=False, border=0, float_format=lambda v: f"{v:.4g}", na_rep="")
    return f"<details><summary>the numbers in this figure{more}</summary>{rows}</details>"


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw inside the shared style, wherever the caller's settings are.

    Parameters
    ----------
    function : callable
        A plot function.

    Returns
    -------
    callable
        The same function, styled.
    """

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(style()):
            return function(*args, **kwargs)

    return inside


def canvas(width: float, height: float, rows: int = 1, columns: int = 1,
           **options: Any) -> tuple[MplFigure, list[Axes]]:
    """Empty axes on a new picture, in reading order.

    Parameters
    ----------
    width, height : float
        Size in inches.
    rows, columns : int
        Panels.
    **options
        For ``Figure.subplots``.

    Returns
    -------
    fig : matplotlib.figure.Figure
    axes : list of matplotlib.axes.Axes
    """
    from matplotlib.figure import Figure as Picture

    fig = Picture(figsize=(width, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.09, h_pad=0.09)  # type: ignore[union-attr, call-arg]
    return fig, list(fig.subplots(rows, columns, squeeze=False, **options).flat)


def records(table: pd.DataFrame) -> list[Any]:
    """Rows as named tuples, for drawing one after the other.

    Parameters
    ----------
    table : pandas.DataFrame
        Its column names are identifiers.

    Returns
    -------
    list
        Attributes have the names of the columns.
    """
    return list(table.itertuples())


def log_scale(axes: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers at 1, 2 and 5.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Of positive values.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def listed(names: list[str]) -> str:
    """Words in a sentence: ``a``, ``a and b``, ``a, b and c``.

    Parameters
    ----------
    names : list of str
        At least one.

    Returns
    -------
    str
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
