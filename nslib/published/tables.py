"""The published numbers: read, checked, and turned into words in one place.

Reference: the works in ``data/published/sources.csv``; the NOSS paper has the key ``noss``.

Conventions
-----------
One file a work, named by its key; one row a number, with the columns that `nslib.published.rules` explains.

`load` is the only way from these files to a reader's eyes: its column ``shown`` is made by `words`, and its
column ``value`` is empty for what nobody has verified, so that nothing can be computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import params
from nslib.errors import BadParameter, UnknownName
from nslib.published.rules import COLUMNS, NOSS, QUOTED, RECALLED, SEEN, UNKNOWN, VERIFIED, broken

if TYPE_CHECKING:
    import pandas as pd

_CELL = ["paper", "table", "row", "dataset", "metric", "source"]


def words(cell: Mapping[str, str], name: str = "") -> str:
    """Say a published number with its status: the one way in which any page, table or figure shows it.

    Parameters
    ----------
    cell : mapping
        With ``value`` (digits as printed), ``unit`` and ``status``.
    name : str
        Of the source, for a number that is quoted.

    Returns
    -------
    str

    Examples
    --------
    >>> words({"value": "12.1", "unit": "%", "status": "recalled-unverified"})
    '12.1 % (recalled-unverified)'
    >>> words({"value": "", "unit": "%", "status": "unknown"})
    'unknown'
    """
    if cell["status"] == UNKNOWN:
        return UNKNOWN
    number, unit = cell["value"], cell["unit"]
    if unit == "yes/no":
        number, unit = ("yes" if float(number) else "no"), ""
    elif not unit and "." not in number:
        number = f"{int(number):,}"
    said = f"{number} {unit}".strip()
    return {SEEN: said, QUOTED: f"{said} (quoted by {name})"}.get(cell["status"], f"{said} ({RECALLED})")


def load(paper: str | None = None, table: str | None = None, *, folder: Path | None = None) -> pd.DataFrame:
    """Published numbers, checked.

    Parameters
    ----------
    paper, table : str, optional
        Key of a work, and a table of it; default all.
    folder : Path, optional
        Default: ``data/published``.

    Returns
    -------
    DataFrame
        Columns as in the files, but ``value`` is a float that is NaN unless the number is verified (seen or
        quoted-by), ``decimals`` says to how many digits after the point it is given, and ``shown`` is the
        number in `words`.

    Raises
    ------
    UnknownName
        For a work or table that there is not.
    BadParameter
        If a file breaks a rule; the message has file, line, what stands there and what is allowed.
    """
    known = sources(folder)
    cells = _only(raw(paper, folder=folder), table)
    cells["shown"] = [words(c, known["name"].get(c["source"], "")) for c in cells.to_dict("records")]
    usable = cells["status"].isin(VERIFIED)
    cells["decimals"] = cells["value"].str.partition(".")[2].str.len()
    cells["value"] = cells["value"].where(usable, "nan").astype(float)
    return cells


def raw(paper: str | None = None, *, folder: Path | None = None) -> pd.DataFrame:
    """Check the files and give them as they are, to be held against the work itself; not to be shown.

    Parameters
    ----------
    paper : str, optional
        Key of a work; default all.
    folder : Path, optional
        Default: ``data/published``.

    Returns
    -------
    DataFrame of str
        Columns `COLUMNS`.

    Raises
    ------
    UnknownName, BadParameter
        See `load`.
    """
    import pandas as pd

    home, known = _home(folder), set(sources(folder).index)
    files = {path.stem: path for path in sorted(home.glob("*.csv")) if path.name != "sources.csv"}
    if not files:
        raise BadParameter(f"{home} holds no published numbers; there should be one .csv file a work, e.g. noss.csv.")
    if paper is not None and paper not in files:
        raise UnknownName("published work", paper, files)
    return pd.concat([_file(path, known) for name, path in files.items() if paper in (None, name)], ignore_index=True)


def sources(folder: Path | None = None) -> pd.DataFrame:
    """List the works: citation, arXiv number, address, and what of them was read.

    Parameters
    ----------
    folder : Path, optional
        Default: ``data/published``.

    Returns
    -------
    DataFrame of str
        Indexed by key.

    Raises
    ------
    BadParameter
        If the file is missing, or names a key twice.
    """
    path = _home(folder) / "sources.csv"
    if not path.exists():
        raise BadParameter(f"{path} is missing: it must name every work that a number comes from.")
    table = _text(path).set_index("key")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise BadParameter(f"{path} has the key {twice[0]!r} twice; a key stands for one work.")
    return table


def grid(paper: str = NOSS, table: str = "2", *, folder: Path | None = None) -> pd.DataFrame:
    """Show a published table as it is laid out: every cell in words, with its status.

    Parameters
    ----------
    paper, table : str
        Which one.
    folder : Path, optional
        Default: ``data/published``.

    Returns
    -------
    DataFrame of str
        Rows as printed by data sets, or by facts where the rows are data sets. What is not in the table is
        empty.
    """
    cells = load(paper, table, folder=folder)
    facts = (cells["row"] == cells["dataset"]) | (cells["dataset"] == "")
    cells["across"] = cells["dataset"].mask(facts, cells["metric"].str.replace("_", " "))
    wide = cells.groupby(["row", "across"], sort=False)["shown"].agg("; ".join).unstack("across").fillna("")
    wide = wide.reindex(index=cells["row"].unique(), columns=cells["across"].unique())
    return wide.rename_axis(index=None, columns=None)


def listing(paper: str | None = None, *, folder: Path | None = None) -> str:
    """Say in text what is known: how many numbers of each status a work has, or all numbers of one work.

    Parameters
    ----------
    paper : str, optional
        Key of a work, to list its numbers.
    folder : Path, optional
        Default: ``data/published``.

    Returns
    -------
    str
    """
    cells, known = load(paper, folder=folder), sources(folder)
    if paper is None:
        counts = cells.groupby(["paper", "status"], sort=False).size().unstack(fill_value=0)
        lines = [f"{name:<11}" + ", ".join(f"{n} {s}" for s, n in row.items() if n) for name, row in counts.iterrows()]
        return "\n".join([*lines, "one work with its numbers: nslib published list PAPER"])
    head = [known.at[paper, "citation"], f"read: {known.at[paper, 'read']}"]
    return "\n".join([*head, *(_line(cell) for cell in cells.to_dict("records"))])


def _line(cell: Mapping[str, str]) -> str:
    what = " ".join(part for part in (cell["dataset"], cell["metric"].replace("_", " ")) if part)
    note = f"  [{cell['note']}]" if cell["note"] else ""
    return f"table {cell['table']}: {cell['row']}, {what}: {cell['shown']}{note}"


def _home(folder: Path | None) -> Path:
    return Path(folder) if folder is not None else params.data_dir() / "published"


def _text(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadParameter(f"{path} is not a table of comma-separated values: {str(error).strip()}.") from error


def _only(cells: pd.DataFrame, table: str | None) -> pd.DataFrame:
    if table is None:
        return cells
    if table not in set(cells["table"]):
        raise UnknownName("table of this work", table, set(cells["table"]))
    return cells[cells["table"] == table].reset_index(drop=True)


def _file(path: Path, known: set[str]) -> pd.DataFrame:
    table = _text(path)
    if tuple(table.columns) != COLUMNS:
        raise BadParameter(f"{path} has the columns {', '.join(table.columns)}; it must have {', '.join(COLUMNS)}.")
    for line, cell in enumerate(table.to_dict("records"), 2):
        for wrong in broken(cell, path.stem, known):
            raise BadParameter(f"{path}, line {line}: {wrong}.")
    twice = table[table.duplicated(_CELL)]
    if len(twice):
        said = ", ".join(twice.iloc[0][_CELL])
        raise BadParameter(f"{path}, line {twice.index[0] + 2}: the same number from the same source stands there "
                           f"already ({said}). Two works that quote a number differently are two rows.")
    return table
