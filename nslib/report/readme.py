"""Put the result table of the last run into the README and the card, for maintainers: ``make readme``.

The table is copied from ``reports/summary.md``, never typed, and says which code made it.
"""

from __future__ import annotations

import re
from pathlib import Path

from nslib import params
from nslib.errors import NslibError
from nslib.files import write

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_TABLE = re.compile(r"^\| Embedding .*(?:\n\|.*)+", re.MULTILINE)


def update(page: Path, summary: Path, revision: str, only: tuple[str, ...] = ()) -> None:
    """Replace what stands between the markers.

    Parameters
    ----------
    page : Path
        README or a model's card; has the two markers.
    summary : Path
        Of a full run, as `nslib.report.build` writes it.
    revision : str
        Of the code that made it.
    only : tuple of str
        Beginnings of the names of embeddings to show; default: all.

    Raises
    ------
    NslibError
        If the summary is of a smoke run or has no table, or the page no markers.
    """
    made, text = summary.read_text(), page.read_text()
    table = _TABLE.search(made)
    if not table or "numbers mean nothing" in made.lower():
        raise NslibError(f"{summary} has no table of a full run. Run make reproduce (without SMOKE) first.")
    if BEGIN not in text or END not in text:
        raise NslibError(f"{page} lacks the markers {BEGIN} and {END}.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    note = (f"Percent of test clips, made by `make reproduce` at {revision}. "
            "**Bold** ★: best of its column; ≈: not separable from it.")
    head, shown = table[0].splitlines()[:4], table[0].splitlines()[4:]
    rows = [row for row in shown if not only or row.removeprefix("| ").startswith(only)]
    write(page, "\n".join([f"{before}{BEGIN}", *head, *rows, "", note, f"{END}{after}"]))


if __name__ == "__main__":
    from nslib.provenance import code_revision

    made, by = params.reports_dir() / "summary.md", code_revision().removesuffix("-dirty")
    update(params.root() / "README.md", made, by)
    update(params.data_dir() / "models" / "trill-mini" / "card.md", made, by, ("trill-mini", "logmel", "mfcc"))
