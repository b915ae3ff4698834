"""Put the result table of the last run into the README, for maintainers: ``make readme``.

The table is copied from ``reports/summary.md``, never typed, and says which code made it.
"""

from __future__ import annotations

import re
from pathlib import Path

from nslib import params
from nslib.errors import NslibError
from nslib.files import write

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_TABLE = re.compile(r"^\| Task .*(?:\n\|.*)+", re.MULTILINE)


def update(readme: Path, summary: Path, revision: str) -> None:
    """Replace what stands between the markers.

    Parameters
    ----------
    readme : Path
        Has the two markers.
    summary : Path
        Of a full run, as `nslib.report.build` writes it.
    revision : str
        Of the code that made it.

    Raises
    ------
    NslibError
        If the summary is of a smoke run or has no table, or the README no markers.
    """
    made, text = summary.read_text(), readme.read_text()
    table = _TABLE.search(made)
    if not table or "numbers mean nothing" in made.lower():
        raise NslibError(f"{summary} has no table of a full run. Run make reproduce (without SMOKE) first.")
    if BEGIN not in text or END not in text:
        raise NslibError(f"{readme} lacks the markers {BEGIN} and {END}.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    note = (f"Percent of test clips, made by `make reproduce` at {revision}. "
            "**Bold** ★: best of its row; ≈: not separable from it.")
    write(readme, f"{before}{BEGIN}\n{table[0]}\n\n{note}\n{END}{after}")


if __name__ == "__main__":
    from nslib.provenance import code_revision

    update(params.root() / "README.md", params.reports_dir() / "summary.md", code_revision().removesuffix("-dirty"))
