"""For maintainers: put table and claims of the last full run into README.md, the table into the card of trill-mini.

python data/update_readme.py
"""

from __future__ import annotations

import re
from pathlib import Path

from nslib import config
from nslib.errors import NslibError

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_TABLE = re.compile(r"^\| Embedding .*(?:\n\|.*)+", re.MULTILINE)
_CLAIM = re.compile(r"^- \d\. .+: \*\*.+$", re.MULTILINE)


def copy_result_table(summary: Path, page: Path, revision: str, only: tuple[str, ...] = ()) -> None:
    """Copy the table of a full run, and the claims, between the markers of a page.

    ``only`` are beginnings of embeddings to show, without the claims.
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
    head, rows = table[0].splitlines()[:4], table[0].splitlines()[4:]
    rows = [row for row in rows if not only or row.removeprefix("| ").startswith(only)]
    claims = [] if only else ["", "What the run shows of the paper's claims:", "", *_CLAIM.findall(made)]
    config.write_file(page, "\n".join([f"{before}{BEGIN}", *head, *rows, "", note, *claims, f"{END}{after}"]))


if __name__ == "__main__":
    made, revision = config.reports_dir() / "summary.md", config.code_revision().removesuffix("-dirty")
    copy_result_table(made, config.root() / "README.md", revision)
    card = config.data_dir() / "models" / "trill-mini" / "card.md"
    copy_result_table(made, card, revision, ("trill-mini", "logmel", "mfcc"))
