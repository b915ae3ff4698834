"""From the text of a page to the cells of a table, or to the reason why a cell cannot be told.

Conventions
-----------
The text of a PDF has words in reading order and no table: a header can be broken over lines, a row can be
wrapped, a number can carry a footnote mark, a spread or a citation. A cell is read only where there is one
way to read it: the label of its row stands once among the rows, every column is named once in the header,
and the row has as many values as there are columns. Everything else is a `Reading` without text.

Labels are compared without case, spaces and signs, so that ``CREMA-D`` and ``CremaD`` are the same.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLANK = "-"
"""What an empty cell is read as, whatever dash stands there."""

Cell = tuple[str, str]
NO_ROW, NO_TABLE = "there is no such row", "no row of this table was found"

_SUPERSCRIPTS = re.compile("[\u00b9\u00b2\u00b3\u2070-\u209f]")
_GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")
_MARKS = "*†‡§¶∗⋆+^#"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SPREAD = r"\s*(?:±|\+/-|\+-)\s*\d+(?:\.\d+)?|\s*\(\s*(?:±|\+/-|\+-)?\s*\d+(?:\.\d+)?\s*\)"
_CITED = r"\s*\[\s*\d+(?:\s*[,–-]\s*\d+)*\s*\]"
_CELL = re.compile(
    rf"\s+(?:(?P<number>{_NUMBER})(?:\s?%)?(?:{_SPREAD})?(?:\s?[{_MARKS}]+|[a-e])?(?:{_CITED})?(?:\s?[{_MARKS}]+)?"
    rf"|(?P<dash>[-–—−]{{1,3}}|n/?a)(?:{_CITED})?|(?P<yes>yes|✓|✔)|(?P<no>no|✗|✘))(?=\s|$)", re.IGNORECASE)
_WORDS = re.compile(r"(?:\s+[^\W\d_][^\W\d_/-]*)*")
_BESIDE = rf"\)?(?:\s*(?:[{_MARKS}]|\(\w\)|{_CITED}))*"
_HEADER_LINES = 4
_FILLER = r"[\W_]*(?:frozen|embedding)?[\W_]*"
_CAPTION = re.compile(r"\bTable\s*(\d+|[IVX]+)\s*[:.\n]", re.IGNORECASE)
_ROMAN = {name: str(i) for i, name in enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"), 1)}
_HEADINGS = {"classes": "classes", "samples": "samples|clips|utterances", "intra speaker": "intra",
             "mean seconds": "avg|average|duration|length|seconds"}
_SAID_OF_SCORES = {"accuracy", "test", "the"}
_SAID_OF_FACTS = {"a", "accuracy", "average", "avg", "clip", "duration", "has", "length", "mean", "no", "num", "number",
             "of", "per", "s", "sec", "seconds", "speaker", "speakers", "test", "the"}


@dataclass(frozen=True)
class Reading:
    """What stands in a cell.

    Attributes
    ----------
    text : str
        The number, ``yes``, ``no`` or `BLANK`; empty if the cell could not be told.
    reason : str
        Why it could not.
    page : int
        Where, from 1; 0 if that is not known.
    """

    text: str = ""
    reason: str = ""
    page: int = 0


def clean(text: str) -> str:
    """Text with one sign for each thing: raised digits, and thin spaces within numbers, are gone.

    Parameters
    ----------
    text : str
        Of a page.

    Returns
    -------
    str
    """
    bare = _GROUPED.sub("", _SUPERSCRIPTS.sub("", text)).replace("\u00ad", "")
    return unicodedata.normalize("NFKC", bare)


def captions(text: str) -> list[tuple[str, int, int]]:
    """Where ``Table N:`` (or ``TABLE IV``) stands: its number in digits, and where that begins and ends."""
    return [(_ROMAN.get(m[1].upper(), m[1]), m.start(), m.end()) for m in _CAPTION.finditer(text)]


def read(region: str, rows: Sequence[str], columns: Sequence[str], *, words: bool = False) -> dict[Cell, Reading]:
    """Read the cells of a table.

    Parameters
    ----------
    region : str
        Text that holds this table and no other, as `clean` gives it.
    rows, columns : sequence of str
        Labels, as printed or nearly so.
    words : bool
        Whether words may stand between the label and the values: a column that is not asked for.

    Returns
    -------
    dict
        (row, column) to what stands there; every pair has an entry.
    """
    found = {label: _places(region, label, len(columns), words) for label in rows}
    first = min((at for places in found.values() for at, _ in places), default=None)
    if first is None:
        return {(r, c): Reading(reason=NO_TABLE) for r in rows for c in columns}
    order, wrong = _header(region[:first], columns, _SAID_OF_FACTS if words else _SAID_OF_SCORES)
    read = {label: _cells(found[label], order or columns, wrong) for label in rows}
    return {(label, column): read[label][column] for label in rows for column in columns}


def merge(readings: Iterable[Reading]) -> Reading:
    """Make one of several readings of a cell: what all that have one agree on.

    Parameters
    ----------
    readings : iterable of Reading

    Returns
    -------
    Reading
        Without text if two differ, or if none has one; then with the reason that says most.
    """
    every = list(readings)
    told = {r.text: r for r in every if r.text}
    if len(told) == 1:
        return next(iter(told.values()))
    if told:
        return Reading(reason=f"read in two ways: {' and '.join(sorted(told))}")
    reasons = [r for r in every if r.reason not in (NO_TABLE, NO_ROW)]
    rowless = [r for r in every if r.reason == NO_ROW]
    return next(iter([*reasons, *rowless, *every]), Reading(reason=NO_TABLE))


def _cells(places: list[tuple[int, list[str]]], order: Sequence[str], wrong: str) -> dict[str, Reading]:
    said = wrong
    if not places:
        said = NO_ROW
    elif len(places) > 1:
        said = f"the label stands before values {len(places)} times"
    elif len(places[0][1]) != len(order):
        said = f"the row has {len(places[0][1])} values for {len(order)} columns: {' '.join(places[0][1])}"
    if said:
        return {c: Reading(reason=said) for c in order}
    return {c: Reading(value) for c, value in zip(order, places[0][1], strict=True)}


def _places(region: str, label: str, columns: int, words: bool) -> list[tuple[int, list[str]]]:
    """Every place where the label stands before values; one number alone after a name is prose."""
    found = []
    for match in re.finditer(_pattern(label) + _BESIDE, region, re.IGNORECASE):
        values = _values(region, match.end(), columns, words)
        if len(values) >= min(2, columns):
            found.append((match.start(), values))
    return found


def _pattern(label: str, edges: bool = True) -> str:
    """Match a label, whatever signs and breaks stand between its letters; with edges, as whole words."""
    between = re.compile(r"(?<=[^\W\d])(?=\w)|(?<=\d)(?=[^\W\d])")  # never between two digits
    parts = [between.sub(r"[\\W_]*", word) for word in re.findall(r"[^\W_]+", label)]
    raised = "" if re.search(r"\d", label) else r"\d?"  # VoxCeleb1, or a footnote's digit
    bare = _FILLER.join(parts) + raised
    return rf"(?<![^\W_]){bare}(?![^\W_]|\.\d)" if edges else bare


def _values(region: str, at: int, columns: int, words: bool) -> list[str]:
    found: list[str] = []
    at = _WORDS.match(region, at).end() if words else at  # type: ignore[union-attr]
    while cell := _CELL.match(region, at):
        # A full row ends with its line: what follows can be a page number.
        if len(found) == columns and "\n" in region[at:cell.end()]:
            break
        found.append(_value(cell))
        at = cell.end()
    return found


def _value(cell: re.Match[str]) -> str:
    if cell["number"]:
        return cell["number"]
    return BLANK if cell["dash"] else "yes" if cell["yes"] else "no"


def _header(head: str, columns: Sequence[str], known: set[str]) -> tuple[list[str], str]:
    """Columns in the order in which the last header before the rows names them, or what is wrong with it."""
    whole = {c: spot for c in columns if (spot := _last(head, c))}
    spans, head = (whole, head) if len(whole) == len(columns) else _broken_header(head, columns)
    if not spans:
        return [], f"the header does not name {', '.join(c for c in columns if c not in whole)}"
    order = sorted(columns, key=lambda c: spans[c])
    placed = [spans[c] for c in order]
    if any(after < before for (_, before), (after, _) in itertools.pairwise(placed)):
        return [], "the names in the header are parts of each other"
    return order, _unexplained(head, placed, known)


def _last(head: str, column: str) -> tuple[int, int] | None:
    pattern = _HEADINGS.get(column)
    # Without edges: in a narrow header two names can run into each other.
    pattern = rf"\b(?:{pattern})\b" if pattern else _pattern(column, edges=False)
    return next((m.span() for m in reversed(list(re.finditer(pattern, head, re.IGNORECASE)))), None)


def _broken_header(head: str, columns: Sequence[str]) -> tuple[dict[str, tuple[int, int]], str]:
    """A header whose names are broken over lines: one line has a word of every column, others the rest."""
    lines = head.rstrip("\n").split("\n")[-_HEADER_LINES:]
    for line in lines:
        others = "\n".join(other for other in lines if other is not line)
        spans = {c: span for c in columns if (span := _piece(line, others, c))}
        if len(spans) == len(columns):
            return spans, line
    return {}, head


def _piece(line: str, others: str, column: str) -> tuple[int, int] | None:
    if (whole := _last(line, column)) is not None:
        return whole
    names = re.findall(r"[^\W_]+", column)
    here = {name: spot for name in names if (spot := re.search(rf"\b{name}\b", line, re.IGNORECASE))}
    rest = [name for name in names if name not in here]
    elsewhere = all(re.search(rf"\b{name}\b", others, re.IGNORECASE) for name in rest)
    return next(iter(here.values())).span() if here and elsewhere else None


def _unexplained(head: str, spans: list[tuple[int, int]], known: set[str]) -> str:
    """Words of the header that no column accounts for: there may be a column that is not known."""
    line_end = head.find("\n", spans[-1][1])
    gaps = [head[a:b] for (_, a), (b, _) in itertools.pairwise(spans)]
    rest = " ".join([*gaps, head[spans[-1][1]:line_end if line_end >= 0 else len(head)]])
    named = re.findall(r"[^\W\d_]+", re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", rest))
    unknown = [word for word in named if word.lower() not in known]
    return f"the header also says {' '.join(unknown)!r}" if unknown else ""
