"""Hold the published numbers against the work itself: a PDF that the user has.

``check`` reads the text of the PDF, finds the tables by their captions, and says of every number that the kit
knows of that work whether the paper agrees. It never guesses: what can be read in two ways is *not found*,
with the reason. ``write_raised`` makes a copy of the numbers in which those that agree are *seen*.

Outcomes
--------
``agrees``     the same number stands in that row and column
``differs``    another one stands there
``read``       the kit had no number (unknown), and one stands there
``not found``  the cell could not be told; the column ``reason`` says why
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import params
from nslib.errors import BadParameter
from nslib.files import write
from nslib.published import tables, text
from nslib.published.rules import NOSS, SEEN, UNNAMED
from nslib.published.text import Cell, Reading

if TYPE_CHECKING:
    import pandas as pd

AGREES, DIFFERS, READ, NOT_FOUND = "agrees", "differs", "read", "not found"
_OUTCOMES = {AGREES: "agree", DIFFERS: "differ", READ: "were unknown and can be read", NOT_FOUND: "not found"}
_KEY = ["paper", "table", "row", "dataset", "metric"]
_SHOWN = [*_KEY, "status", "known", "outcome", "stands", "page", "reason", "could_be"]
_STAMP = re.compile(r"arXiv:\s*(\d{4}\.\d{4,5}v\d+)")
_MODES = ("plain", "layout")


def check(path: str | Path, paper: str = NOSS, *, folder: Path | None = None) -> pd.DataFrame:
    """Say of every known number of a work whether its PDF agrees.

    Parameters
    ----------
    path : path-like
        The PDF.
    paper : str
        Key of the work.
    folder : Path, optional
        Of the numbers; default ``data/published``.

    Returns
    -------
    DataFrame
        One row a number: paper, table, row, dataset, metric, status, known (in words), outcome, stands (what the
        PDF has), page, reason (why not found), could_be (the status that it could get). ``attrs`` has
        ``file``, ``sha256``, ``arxiv`` (the stamp on the first page, if any) and ``title`` (whether the
        first page has the work's title; if not, no status can be raised).

    Raises
    ------
    BadParameter
        If the file is no PDF, is encrypted or damaged, or has no text; if the numbers break a rule.
    UnknownName
        For a work that is not known.
    """
    import pandas as pd

    shown = tables.load(paper, folder=folder)["shown"]
    cells = tables.raw(paper, folder=folder).assign(known=shown)
    pages = _pages(Path(path))
    about = _about(Path(path), pages, str(tables.sources(folder).at[paper, "title"]))
    found: list[dict[str, Any]] = []
    for name, part in cells.groupby("table", sort=False):
        readings = _readings(str(name), part, pages)
        found += [_judge(cell, readings, about["title"]) for cell in part.to_dict("records")]
    table = pd.DataFrame(found)[_SHOWN]
    table.attrs.update(about)
    return table


def report(found: pd.DataFrame) -> str:
    """Say in text what `check` found, and which statuses could be raised.

    Parameters
    ----------
    found : DataFrame
        From `check`.

    Returns
    -------
    str
    """
    about = found.attrs
    lines = [f"{about['file']} (sha256 {about['sha256'][:16]}{', ' + about['arxiv'] if about['arxiv'] else ''})"]
    if not about["title"]:
        lines.append("The first page lacks the title of this work, so nothing can be raised. Is it the right file?")
    for name, part in found.groupby("table", sort=False):
        counts = part["outcome"].value_counts()
        said = ", ".join(f"{counts[name]} {verb}" for name, verb in _OUTCOMES.items() if name in counts)
        lines += ["", f"Table {name}: {said}", *_lines(part)]
    raised = int((found["could_be"] != "").sum())
    after = "write them to a copy with --write FOLDER, and look at it" if raised else "the data stay as they are"
    return "\n".join([*lines, "", f"{raised} of {len(found)} numbers could be raised to {SEEN}: {after}."])


def write_raised(found: pd.DataFrame, into: str | Path, *, folder: Path | None = None) -> Path:
    """Write a copy of a work's numbers in which those that the PDF confirms are *seen*.

    Parameters
    ----------
    found : DataFrame
        From `check`.
    into : path-like
        A folder, made if it does not exist; not that of the committed numbers, which are never changed.
    folder : Path, optional
        Of the numbers that were checked; default ``data/published``.

    Returns
    -------
    Path
        Of the file with the numbers; beside it lies a copy of ``sources.csv``.

    Raises
    ------
    BadParameter
        If `into` is the folder of the committed numbers.
    """
    home, target = folder or params.data_dir() / "published", Path(into)
    committed = params.data_dir() / "published"
    if target.resolve() in (home.resolve(), committed.resolve()):
        raise BadParameter(f"{target} holds the numbers of the kit, which are never changed by a program. Give another "
                           "folder, look at the copy there, and put it in place yourself.")
    paper = str(found["paper"].iloc[0])
    cells = _raised(tables.raw(paper, folder=folder), found, paper)
    write(target / "sources.csv", (home / "sources.csv").read_bytes())
    write(target / f"{paper}.csv", cells.to_csv(index=False, lineterminator="\n"))
    tables.raw(paper, folder=target)  # the copy keeps every rule, or the user hears of it now
    return target / f"{paper}.csv"


def _raised(cells: pd.DataFrame, found: pd.DataFrame, paper: str) -> pd.DataFrame:
    if not cells[_KEY].equals(found[_KEY].reset_index(drop=True)):
        raise BadParameter(f"the numbers of {paper} have changed since the check; check the PDF again.")
    good = (found["could_be"] == SEEN).to_numpy()
    new = (good & (found["outcome"] == READ).to_numpy())
    cells.loc[new, "value"] = found["stands"][new].str.replace(",", "")
    cells.loc[good, ["status", "source"]] = [SEEN, paper]
    proof = f"read in a PDF with sha256 {found.attrs['sha256'][:16]}"
    cells.loc[good, "note"] = [f"{note}; {proof}" if note else proof for note in cells["note"][good]]
    return cells.drop_duplicates([*_KEY, "source"])


def _lines(part: pd.DataFrame) -> Iterator[str]:
    named = part.assign(column=[_column(cell) for cell in part.to_dict("records")])
    for row, cells in named[named["outcome"] == AGREES].groupby("row", sort=False):
        yield f"  agrees: {row} ({', '.join(cells['column'])})"
    for cell in named[named["outcome"].isin([DIFFERS, READ])].to_dict("records"):
        yield (f"  {cell['outcome']}: {cell['row']}, {cell['column']}: {cell['known']}; "
               f"the PDF has {cell['stands']} on page {cell['page']}")
    for reason, cells in named[named["outcome"] == NOT_FOUND].groupby("reason", sort=False):
        yield f"  not found ({reason}): {', '.join(dict.fromkeys(cells['row']))}"


def _about(path: Path, pages: list[dict[str, str]], title: str) -> dict[str, Any]:
    first = pages[0]["plain"]
    stamp = _STAMP.search(first)
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "arxiv": stamp[1] if stamp else "", "title": bool(title) and _letters(title) in _letters(first)}


def _letters(words: str) -> str:
    return re.sub(r"[\W_]", "", words).lower()


def _pages(path: Path) -> list[dict[str, str]]:
    """Text of every page, in both of pypdf's reading orders."""
    import pypdf
    from pypdf.errors import PyPdfError

    if not path.is_file():
        raise BadParameter(f"there is no file {path}. Give the path of the paper as a PDF.")
    content = path.read_bytes()
    if b"%PDF-" not in content[:1024]:
        raise BadParameter(f"{path} is not a PDF. Give the paper as a PDF with text in it.")
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadParameter(f"{path} is encrypted. Save a copy without a password, and check that.")
        pages = [{mode: text.clean(page.extract_text(extraction_mode=mode)) for mode in _MODES}  # type: ignore[arg-type]
                 for page in reader.pages]
    except BadParameter:
        raise
    except (PyPdfError, ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError,
            AssertionError) as error:  # whatever a damaged file makes of the parser
        raise BadParameter(f"{path} cannot be read as a PDF ({type(error).__name__}: {error}). It may be damaged or "
                           "encrypted; get it again, or print it to a new PDF.") from error
    if not any(page["plain"].strip() for page in pages):
        raise BadParameter(f"{path} has no text in it, only pictures (a scan?). Get the paper as a PDF with text.")
    return pages


def _readings(table: str, part: pd.DataFrame, pages: list[dict[str, str]]) -> dict[Cell, Reading]:
    """Read a table wherever its caption stands, in every reading order, and either way up."""
    rows = [row for row in dict.fromkeys(part["row"]) if not row.endswith(UNNAMED)]
    facts = bool((part["row"] == part["dataset"]).all())
    columns = list(dict.fromkeys(_column(cell) for cell in part.to_dict("records")))
    if not table.isdigit():
        return {(r, c): Reading(reason="it stands in no numbered table") for r in rows for c in columns}
    above, below = (_all(table, rows, columns, facts, pages, after) for after in (True, False))
    told = [sum(bool(r.text) for r in side.values()) for side in (above, below)]
    if told[0] == told[1] and any(told):
        return {cell: text.merge([above[cell], below[cell]]) for cell in above}
    return above if told[0] >= told[1] else below


def _column(cell: Mapping[str, str]) -> str:
    return cell["metric"].replace("_", " ") if cell["row"] == cell["dataset"] else cell["dataset"]


def _all(table: str, rows: list[str], columns: list[str], facts: bool, pages: list[dict[str, str]],
         after: bool) -> dict[Cell, Reading]:
    found: dict[Cell, list[Reading]] = {(r, c): [] for r in rows for c in columns}
    for number, page in enumerate(pages, 1):
        for region in (region for mode in _MODES for region in _regions(page[mode], table, after)):
            upright = text.read(region, rows, columns, words=facts)
            turned = {} if facts else text.read(region, columns, rows)
            for (r, c), readings in found.items():
                both = [upright[r, c], *([turned[c, r]] if turned else [])]
                readings += [dataclasses.replace(reading, page=number) for reading in both]
    return {cell: text.merge(readings) for cell, readings in found.items()}


def _regions(page: str, table: str, after: bool) -> Iterator[str]:
    """The text between a table's caption and the next one, or the one before."""
    marks = text.captions(page)
    for i, (number, begin, end) in enumerate(marks):
        if number == table and after:
            yield page[end:marks[i + 1][1] if i + 1 < len(marks) else len(page)]
        elif number == table:
            yield page[marks[i - 1][2] if i else 0:begin]


def _judge(cell: dict[str, str], readings: dict[Cell, Reading], title: bool) -> dict[str, Any]:
    reading = readings.get((cell["row"], _column(cell)), Reading(reason=text.NO_ROW))
    outcome, reason = _compare(cell, reading)
    if reason == text.NO_ROW and cell["value"]:
        reason += _elsewhere(cell, readings)
    number = re.fullmatch(r"[\d,]+(\.\d+)?", reading.text)
    rise = title and cell["status"] != SEEN and (outcome == AGREES or (outcome == READ and number))
    return {**cell, "outcome": outcome, "stands": reading.text, "page": reading.page if reading.text else 0,
            "reason": reason, "could_be": SEEN if rise else ""}


def _compare(cell: Mapping[str, str], reading: Reading) -> tuple[str, str]:
    stands, known = reading.text.replace(",", ""), cell["value"]
    if not stands:
        return NOT_FOUND, reading.reason
    if not known:
        return READ, ""
    if cell["unit"] == "yes/no":
        return AGREES if stands == ("yes" if float(known) else "no") else DIFFERS, ""
    if stands[:-1] == known and stands != known:
        return NOT_FOUND, f"{reading.text} stands there, which may be the number with a footnote's digit"
    same = re.fullmatch(r"\d+(\.\d+)?", stands) and Decimal(stands) == Decimal(known)
    return (AGREES if same else DIFFERS), ""


def _elsewhere(cell: Mapping[str, str], readings: dict[Cell, Reading]) -> str:
    """Which rows hold the number, for one that is quoted without its row."""
    column = _column(cell)
    rows = [r for (r, c), reading in readings.items()
            if c == column and reading.text and _compare(cell, reading)[0] == AGREES]
    return f", but the number stands in that column in the row {' and '.join(map(repr, rows))}" if rows else ""
