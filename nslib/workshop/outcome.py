"""What came out of an exercise when it was run: what a right answer shows, and what the check says to wrong ones."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_IMAGE = re.compile(r'<img alt="(?P<alt>[^"]*)"[^>]*src="data:image/png;base64,(?P<data>[^"]+)"')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Proof:
    """An exercise that was proven.

    Attributes
    ----------
    outputs : tuple
        Outputs of the solution's cell, as in a notebook.
    passed : str
        What the check says to the solution.
    empty : str
        What it says to the empty cell.
    mistakes : tuple of (str, str)
        Typical mistake, and what it says to that.
    """

    outputs: tuple[Any, ...]
    passed: str
    empty: str
    mistakes: tuple[tuple[str, str], ...]


def picture(outputs: Sequence[Any]) -> bytes | None:
    """Find the figure in the outputs of a cell.

    Parameters
    ----------
    outputs : sequence of outputs

    Returns
    -------
    bytes or None
        PNG.
    """
    found = _image(outputs)
    return base64.b64decode(found["data"]) if found else None


def alternative(outputs: Sequence[Any]) -> str:
    """Find the alternative text of the figure in the outputs of a cell.

    Parameters
    ----------
    outputs : sequence of outputs

    Returns
    -------
    str
        Without square brackets, which would end it in Markdown.
    """
    found = _image(outputs)
    return re.sub(r"[\[\]]", "", html.unescape(found["alt"])) if found else ""


def text(outputs: Sequence[Any]) -> str:
    """Put together what a cell printed, and tables as text; progress bars and logs (stderr) are left out.

    Parameters
    ----------
    outputs : sequence of outputs

    Returns
    -------
    str
    """
    printed = [o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stdout"]
    tables = [o["data"]["text/plain"] for o in outputs
              if "text/plain" in o.get("data", {}) and not _IMAGE.search("".join(o["data"].get("text/html", "")))]
    return "\n".join(part.strip("\n") for part in (*printed, *tables))


def failure(outputs: Sequence[Any]) -> tuple[str, str] | None:
    """Say how a cell failed.

    Parameters
    ----------
    outputs : sequence of outputs

    Returns
    -------
    (str, str) or None
        Name of the error and its message; None if it did not fail.
    """
    errors = [o for o in outputs if o["output_type"] == "error"]
    return (errors[0]["ename"], _COLOURS.sub("", errors[0]["evalue"])) if errors else None


def _image(outputs: Sequence[Any]) -> re.Match[str] | None:
    pages = ("".join(o["data"]["text/html"]) for o in outputs if "text/html" in o.get("data", {}))
    return next((found for page in pages if (found := _IMAGE.search(page))), None)
