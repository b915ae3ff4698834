"""A run as its report folder holds it: the scores shown, their answers, their origin, and what the vectors cost.

Conventions
-----------
What a report shows are the results in its ``results.parquet``; where there is none, all that are kept in ``results/``.
The cost ledger is the table of the page, with its rounding: it belongs to the machine, and results do not keep it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import results, tables
from nslib.errors import BadParameter, NslibError
from nslib.schema import ROWS, conforming
from nslib.verify import reading

if TYPE_CHECKING:
    import pandas as pd

ORIGIN = ("data_hash", "split_hash", "weights_hash", "lock_hash", "code_revision", "seed", "probe")
COSTS = ("audio_seconds", "wall_seconds", "times_real_time", "peak_memory_gb")
_ONE = ["task", "embedding", "metric"]


@dataclass(frozen=True)
class Run:
    """A run to be compared.

    Attributes
    ----------
    folder : Path
    scores : DataFrame
        The chosen test rows that its report shows, indexed by task, embedding and metric.
    predictions : DataFrame
        Their answers.
    costs : DataFrame
        Indexed by embedding: columns of `COSTS` as far as they are known.
    notes : tuple of str
        What could not be read.
    """

    folder: Path
    scores: pd.DataFrame
    predictions: pd.DataFrame
    costs: pd.DataFrame
    notes: tuple[str, ...]


def read(folder: Path) -> Run:
    """Read a run.

    Parameters
    ----------
    folder : Path
        Of a report.

    Returns
    -------
    Run

    Raises
    ------
    NslibError
        If there is no such folder, or it holds no results.
    BadParameter
        If its results are of another schema.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NslibError(f"there is no folder {folder}: give the folder of a report, with results/ in it.")
    rows, answers, notes = _kept(folder)
    if (shown := _shown(folder / "results.parquet")) is not None:
        lost = sorted(set(shown["key"]) - set(rows["key"]))
        if lost:
            notes = (*notes, f"{len(lost)} results that {folder} shows are not in its results/ and have no answers.")
        rows = results.join([rows[rows["key"].isin(shown["key"])], shown[shown["key"].isin(lost)]], ROWS)
    scores = tables.selected(rows)
    if scores.empty:
        why = " ".join(notes) or "python -m nslib reproduce makes them."
        raise NslibError(f"{folder} holds no results of a test: {why}")
    mine = answers[answers["key"].isin(scores["key"])]
    return Run(folder, scores.set_index(_ONE, drop=False), mine, _costs(folder / "index.html"), notes)


def _kept(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rows, answers = results.load(folder / "results")
    return rows, answers, tuple(str(warning.message) for warning in said if warning.category is UserWarning)


def _shown(path: Path) -> pd.DataFrame | None:
    import pandas as pd
    import pyarrow as pa

    if not path.exists():
        return None
    try:
        return conforming(pd.read_parquet(path), ROWS)
    except BadParameter as error:
        raise BadParameter(f"{path} is of another schema, of another version of the kit: {error}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise NslibError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error


def _costs(page: Path) -> pd.DataFrame:
    import pandas as pd

    for table in reading.tables(page) if page.is_file() else ():
        head = [name.replace(" ", "_") for name in table.head]
        if "embedding" in head and set(COSTS) & set(head):
            whole = pd.DataFrame([line[: len(head)] for line in table.lines], columns=head).set_index("embedding")
            columns = [name for name in COSTS if name in head]
            return whole[columns].apply(lambda said: pd.to_numeric(said.str.replace(",", ""), errors="coerce"))
    return pd.DataFrame(columns=list(COSTS), index=pd.Index([], name="embedding"), dtype=float)
