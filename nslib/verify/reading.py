"""Reading numbers back from the pages of a report: their tables, and the facts of each cell.

Conventions
-----------
Nothing is known of a page but how its tables are made in Markdown and HTML, so that a page may change and is still
checked. Zero-width spaces, marks and emphasis do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

_NUMBER = re.compile(r"\d+\.\d+")
_EMPHASIS = re.compile(r"\*\*|[\u200b\u00ad]")
_FACTS = {"chance": re.compile(r"chance (-?[\d.]+)"), "n": re.compile(r"(\d+) clips"),
          "n_speakers": re.compile(r"(\d+) speaker"), "classes": re.compile(r"(\d+) classes")}
_WORD, _WHOLE, _ANY = re.compile(r"^[\w-]+"), re.compile(r"\d+"), re.compile(r"\d+\.\d+|–")
_TOLD = {
    "Test score": (_ANY, ("value", "chance")), "Interval": (_ANY, ("low", "high")),
    "Validation score": (_ANY, ("validation",)), "Best on test": (_ANY, ("best",)),
    "Test set": (_WHOLE, ("n", "n_speakers", "classes")), "Vector": (_WHOLE, ("dim",)), "Seed": (_WHOLE, ("seed",)),
    "Data": (_WORD, ("data_hash",)), "Split": (_WORD, ("split_hash",)),
    "Weights": (_WORD, ("weights_hash",)), "Lock file": (_WORD, ("lock_hash",)), "Code": (_WORD, ("code_revision",)),
    "Chosen probe": (_WORD, ("probe",)), "When": (re.compile(r".+"), ("when",)),
}
_SHARES = ("value", "chance", "low", "high", "validation", "best")
_ROWS = {"chance": ("chance",), "clips / speakers": ("n", "n_speakers")}


class Table(NamedTuple):
    """A table of a page, as text.

    Attributes
    ----------
    head : list of str
        Its first row.
    lines : list of list of str
        The others.
    """

    head: list[str]
    lines: list[list[str]]


def tables(path: Path) -> list[Table]:
    """Read every table of a page.

    Parameters
    ----------
    path : Path
        A Markdown or HTML file.

    Returns
    -------
    list of Table

    Raises
    ------
    OSError
        If it cannot be read.
    """
    text = path.read_text(encoding="utf-8")
    return _html(text).tables if path.suffix == ".html" else list(_markdown(text))


def drawers(path: Path) -> dict[str, dict[str, str]]:
    """Read the facts of each cell of a page.

    Parameters
    ----------
    path : Path
        An HTML file.

    Returns
    -------
    dict
        Heading, such as ``"mfcc on language-5"``, to what is said below it, name to value.
    """
    return _html(path.read_text(encoding="utf-8")).facts


def numbers(text: str) -> list[str]:
    """Numbers with a decimal point, in order."""
    return _NUMBER.findall(text)


def percent(value: Any) -> str:
    """A share as the report shows it: percent with one decimal; a dash for none."""
    return "–" if value is None or value != value else f"{100 * float(value):.1f}"


def shown(cell: Mapping[str, Any]) -> str:
    """Score and interval of a cell, as numbers of a page."""
    return " ".join(percent(cell[name]) for name in ("value", "low", "high"))


def fact(cell: Mapping[str, Any], name: str) -> str:
    """A count or the chance level of a cell's task, as a page says it."""
    return percent(cell[name]) if name == "chance" else str(cell[name])


def told(said: Mapping[str, str], cell: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Numbers and hashes in the facts of a cell, beside what they must be; the words around them do not count.

    Parameters
    ----------
    said : mapping
        From `drawers`, name to value.
    cell : mapping
        A selected test row, with ``validation`` and ``best``, the scores of the choice and of the best on test.

    Yields
    ------
    name, said, right : str
    """
    for name, (how, columns) in _TOLD.items():
        if name in said:
            right = [percent(cell[c]) if c in _SHARES else str(cell[c]) for c in columns]
            found = how.findall(said[name].replace(" UTC", "+00:00"))[: len(right)]
            yield name, " ".join(found).replace("T", " "), " ".join(right).replace("T", " ")


def crossings(table: Table, tasks: set[str], embeddings: set[str]) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Every place of a table where a task meets an embedding.

    Parameters
    ----------
    table : Table
    tasks, embeddings : set of str
        As the page calls them.

    Yields
    ------
    task, embedding, text : str
    about : dict
        What the table says of the task beside: chance, n, n_speakers, classes.
    """
    columns = [_named(text, embeddings) for text in table.head[1:]]
    if sum(column is not None for column in columns) and not set(table.head) & {"Task", "Embedding"} - {table.head[0]}:
        for line in table.lines:
            if (task := _named(line[0], tasks)) is not None:
                about = {name: found[1] for name, how in _FACTS.items() if (found := how.search(line[0]))}
                yield from ((task, e, text, about) for e, text in zip(columns, line[1:], strict=False) if e)
        return
    columns = [_named(text, tasks) for text in table.head[1:]]
    if any(columns):
        beside = _beside(table)
        for line in table.lines:
            if (embedding := _named(line[0], embeddings)) is not None:
                crossed = zip(columns, line[1:], beside, strict=False)
                yield from ((task, embedding, text, about) for task, text, about in crossed if task)


def _beside(table: Table) -> list[dict[str, str]]:
    """What rows such as "chance" say of each column."""
    said: list[dict[str, str]] = [{} for _ in table.head[1:]]
    for line in table.lines:
        for about, text in zip(said, line[1:], strict=False) if line[0] in _ROWS else ():
            about |= dict(zip(_ROWS[line[0]], re.findall(r"-?[\d.]+", text), strict=False))
    return said


def _named(text: str, names: set[str]) -> str | None:
    """The name with which a text begins, if any."""
    begins = [name for name in names if text == name or text.startswith((f"{name} ", f"{name}\n"))]
    return max(begins, key=len) if begins else None


def _markdown(text: str) -> Iterator[Table]:
    rows: list[list[str]] = []
    for line in [*text.splitlines(), "end"]:
        if line.startswith("|"):
            rows.append([_EMPHASIS.sub("", cell).strip() for cell in line.strip().strip("|").split("|")])
        elif rows and line.strip():
            yield Table(rows[0], [row for row in rows[1:] if set("".join(row)) - set("-: ")])
            rows = []


def _html(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    page.close()
    return page


class _Page(HTMLParser):
    """Tables, and definition lists by the heading above them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Table] = []
        self.facts: dict[str, dict[str, str]] = {}
        self._rows: list[list[str]] = []
        self._heading, self._term = "", ""
        self._open: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._rows = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th", "h2", "h3", "h4", "dt", "dd"):
            self._open = []
        elif self._open is not None:
            self._open.append(" ")

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._rows:
            self.tables.append(Table(self._rows[0], [row for row in self._rows[1:] if row]))
        elif self._open is not None and tag in ("td", "th", "h2", "h3", "h4", "dt", "dd"):
            self._closed(tag, " ".join(_EMPHASIS.sub("", "".join(self._open)).split()))
            self._open = None
        elif self._open is not None:
            self._open.append(" ")

    def _closed(self, tag: str, text: str) -> None:
        if tag in ("td", "th"):
            if self._rows:
                self._rows[-1].append(text)
        elif tag == "dt":
            self._term = text
        elif tag == "dd":
            self.facts.setdefault(self._heading, {})[self._term] = text
        else:
            self._heading = text
