"""What a report prints, held to the results that it is of: its two tables of all rows, its page and its summary.

Conventions
-----------
``results.csv`` and ``results.parquet`` hold every row in full precision, so they must equal the kept rows, value by
value. A page shows percent with one decimal. Its first table that crosses tasks with embeddings is read, whichever
of them has the columns, and the first three numbers of a cell are the score and the two ends of its interval.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import results
from nslib.errors import BadParameter
from nslib.plots import order
from nslib.schema import ROWS, conforming
from nslib.verify import reading
from nslib.verify.answers import Result
from nslib.verify.found import Findings

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("results.parquet", "results.csv")
PAGES = ("summary.md", "index.html")
_KEPT = "as kept in results/"
_LISTED = {"Validation": "validation", "Test": "value", "Best on test": "best"}


def check(folder: Path, there: Iterable[Result], findings: Findings) -> None:
    """Hold the files of a report to its results.

    Parameters
    ----------
    folder : Path
        Of the report.
    there : iterable of Result
        What is kept in it.
    findings : Findings
        Is told.
    """
    kept = {result.about["key"]: result.rows for result in there}
    shown: dict[str, list[str]] = {}
    for name in TABLES:
        if (said := _table(folder / name, findings)) is not None:
            _rows(name, said, kept, findings)
            shown[name] = list(dict.fromkeys(said["key"]))
    keys = next(iter(shown.values()), list(kept))
    for name, other in shown.items():
        missing = sorted(set().union(*shown.values()) - set(other))
        findings.add({}, "results that the other table has", name, f"{len(missing)} missing", "0 missing",
                     why=", ".join(missing))
    rows = [kept[key] for key in keys if key in kept]
    cells = _cells(results.join(rows, ROWS)) if rows else []
    for name in PAGES:
        _page(folder / name, cells, findings)


def _table(path: Path, findings: Findings) -> pd.DataFrame | None:
    """The rows of a file as text, as results.csv has them: what is equal as text is equal."""
    import pandas as pd
    import pyarrow as pa

    try:
        if path.suffix == ".csv":
            return _from_csv(path.read_text(encoding="utf-8"))
        return _as_text(conforming(pd.read_parquet(path, page_checksum_verification=True), ROWS))
    except (OSError, ValueError, BadParameter, pa.ArrowException) as error:
        findings.add({}, "the file", path.name, "rows", "unreadable", why=str(error).splitlines()[0])
        return None


def _from_csv(text: str) -> pd.DataFrame:
    import pandas as pd

    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    if list(frame.columns) != [column.name for column in ROWS]:
        raise BadParameter(f"its columns are not those of the results: {', '.join(frame.columns)}")
    return frame


def _as_text(rows: pd.DataFrame) -> pd.DataFrame:
    return _from_csv(rows.to_csv(index=False, lineterminator="\n"))


def _rows(name: str, said: pd.DataFrame, kept: Mapping[str, pd.DataFrame], findings: Findings) -> None:
    for key, part in said.groupby("key", sort=False):
        about = dict(part.iloc[0][["key", "task", "embedding"]])
        if key not in kept:
            findings.add(about, "the key", name, key, "not among the results")
            continue
        mine = _as_text(kept[str(key)])
        about = dict(mine.iloc[0][["key", "task", "embedding"]])
        findings.add(about, "number of rows", name, len(part), len(mine))
        if len(part) == len(mine):
            _values(name, part.reset_index(drop=True), mine, about, findings)


def _values(name: str, said: pd.DataFrame, mine: pd.DataFrame, about: dict[str, Any], findings: Findings) -> None:
    differ = (said != mine).to_numpy()
    for row, column in zip(*differ.nonzero(), strict=True):
        one = mine.iloc[row]
        where = f"{one['split']} {one['probe']}, l2 {one['l2']}, speaker_norm {one['speaker_norm']}"
        findings.add(about, f"{mine.columns[column]} of {where}", name, said.iat[row, column], mine.iat[row, column],
                     why=_KEPT)
    if not differ.any():
        findings.add(about, "all values", name, said.size, said.size)


def _cells(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What a page must say of each task and embedding."""
    scores = order.chosen(rows)
    called = order.labels(scores)
    one = ["key", "seed"]
    validation = rows[rows["selected"] & (rows["split"] == "validation")].drop_duplicates(one, keep="last")
    best = rows[rows["best_on_test"] & (rows["split"] == "test")].drop_duplicates(one, keep="last")
    others = {name: dict(zip(part["key"], part["value"], strict=True))
              for name, part in (("validation", validation), ("best", best))}
    return [{**row, "label": called[row["task"]], **{name: of.get(row["key"]) for name, of in others.items()}}
            for row in scores.to_dict("records")]


def _page(path: Path, cells: list[dict[str, Any]], findings: Findings) -> None:
    try:
        tables = reading.tables(path)
    except (OSError, UnicodeDecodeError) as error:
        findings.add({}, "the file", path.name, "a page", "unreadable", why=str(error))
        return
    seen: set[tuple[str, str]] = set()
    for table in tables:
        # The first table of its kind is that of the results; others may show other numbers of the same cells.
        seen = seen or _crossed(path.name, table, cells, findings)
        _listed(path.name, table, cells, findings)
    for cell in cells:
        if (cell["task"], cell["embedding"]) not in seen:
            findings.add(cell, "the cell", path.name, "nothing", reading.shown(cell), why="no table of the page has it")
    if path.suffix == ".html":
        _drawers(path, cells, findings)


def _crossed(name: str, table: reading.Table, cells: list[dict[str, Any]],
             findings: Findings) -> set[tuple[str, str]]:
    """Check a table of tasks by embeddings, whichever of them has the columns."""
    tasks, embeddings = ({str(cell[what]) for cell in cells} for what in ("label", "embedding"))
    by = {(str(cell["label"]), str(cell["embedding"])): cell for cell in cells}
    seen = set()
    for row, head, text, about in reading.crossings(table, tasks, embeddings):
        cell = by.get((row, head))
        said = reading.numbers(text)[:3]
        if cell is None:
            findings.add({"task": row, "embedding": head}, "the cell", name, text, "no result", not said)
            continue
        seen.add((cell["task"], cell["embedding"]))
        findings.add(cell, "score and interval", name, " ".join(said), reading.shown(cell), why=_KEPT)
        for what, printed in about.items():
            findings.add(cell, what, name, printed, reading.fact(cell, what), why=_KEPT)
    return seen


def _listed(name: str, table: reading.Table, cells: list[dict[str, Any]], findings: Findings) -> None:
    """Check a table with a line for each cell."""
    if not {"Task", "Embedding"} <= set(table.head) or not set(_LISTED) & set(table.head):
        return
    by = {(str(cell["label"]), str(cell["embedding"])): cell for cell in cells}
    for line in table.lines:
        said = dict(zip(table.head, line, strict=False))
        cell = by.get((said["Task"], said["Embedding"]))
        for column, what in _LISTED.items():
            if cell is not None and column in said:
                right = reading.percent(cell[what])
                findings.add(cell, column.lower(), name, said[column], right, why=_KEPT)


def _drawers(path: Path, cells: list[dict[str, Any]], findings: Findings) -> None:
    """Check what is said of each cell when it is opened."""
    told = reading.drawers(path)
    for cell in cells:
        said = told.get(f"{cell['embedding']} on {cell['label']}", {})
        for name, printed, right in reading.told(said, cell):
            findings.add(cell, f"{name.lower()} in its facts", path.name, printed, right, why=_KEPT)
