"""Rows of one's own and of others in one page: measured here, or reported by somebody.

Conventions
-----------
Columns are tasks (the kit's, and those of rows of others), rows embeddings; those with a score on every task come
first, by their mean, the others by their names. The order is no rank: intervals overlap. A score of others is marked as
reported unless it followed, here, from the answers that came with it. The page is complete in itself, as the report is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files, params, rows, rows_answers, tables
from nslib.errors import NslibError
from nslib.report import pages
from nslib.tasks import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

HERE, RECOMPUTED, REPORTED = "measured here", "recomputed", "as reported"
"""How far a score is to be trusted."""
NAME = "leaderboard"


def table(own: pd.DataFrame, others: list[dict[str, Any]]) -> pd.DataFrame:
    """All scores, one row each.

    Parameters
    ----------
    own : DataFrame
        Results of one's own.
    others : list of dict
        From `nslib.rows.adopted`.

    Returns
    -------
    DataFrame
        The columns of `nslib.rows.SCORE`, embedding, dim, weights_hash, by, about, and trust: `HERE`, `RECOMPUTED` or
        `REPORTED`.

    Raises
    ------
    NslibError
        If there is nothing at all.
    """
    import pandas as pd

    mine = tables.selected(own)
    mine = mine[mine["value"].notna()].assign(by=HERE, about="", trust=HERE)
    comparable = mine["task"].isin({*REGISTRY, *(score["task"] for row in others for score in row["scores"])})
    mine = mine[comparable] if comparable.any() else mine  # nobody else has recordings of one's own
    columns = ["embedding", "dim", "weights_hash", "by", "about", "trust", *rows.SCORE]
    theirs = [
        {**score, "embedding": row["embedding"], "dim": row["dim"], "weights_hash": row["weights_hash"],
         "by": f"reported by {row['measured_by'] or 'somebody'}", "about": row["about"],
         "trust": REPORTED if rows_answers.truth(score) is None else RECOMPUTED}
        for row in others for score in row["scores"]]
    found = pd.concat([mine[columns], pd.DataFrame(theirs, columns=columns)], ignore_index=True)
    if found.empty:
        raise NslibError("there is no row yet: measure an embedding, or take one in with: python -m nslib import-row "
                         "FILE")
    return found


def build(own: pd.DataFrame, others: list[dict[str, Any]], folder: Path | None = None) -> Path:
    """Write ``leaderboard.html`` and ``leaderboard.csv``.

    Parameters
    ----------
    own, others
        As for `table`.
    folder : Path, optional
        Default: the reports.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    NslibError
        If there is nothing to show.
    """
    folder = folder or params.reports_dir()
    found = table(own, others)
    files.write(folder / f"{NAME}.csv", found.to_csv(index=False))
    page = pages.render(f"{NAME}.html.j2", **_context(found))
    files.write(folder / f"{NAME}.html", page)
    return folder / f"{NAME}.html"


def _context(found: pd.DataFrame) -> dict[str, Any]:
    about = found.drop_duplicates("task").set_index("task")
    names = list(about.index)
    lines = [_line(str(name), str(by), part, names) for (name, by, _), part
             in found.groupby(["embedding", "by", "weights_hash"], sort=True)]
    lines.sort(key=lambda line: -line["mean"])
    heads = [{"name": name, "synthetic": about.loc[name, "corpus_kind"] == "synthetic", "n": int(about.loc[name, "n"]),
              "chance": float(about.loc[name, "chance"]), "metric": str(about.loc[name, "metric"])} for name in names]
    return {"heads": heads, "lines": lines, "recomputed": RECOMPUTED, "reported": REPORTED}


def _line(name: str, by: str, part: pd.DataFrame, names: list[str]) -> dict[str, Any]:
    scores = part.drop_duplicates("task", keep="last").set_index("task")
    cells = [dict(scores.loc[task]) if task in scores.index else None for task in names]
    whole = len(scores) == len(names)
    return {"name": name, "by": by, "about": str(part["about"].iloc[0]), "dim": int(part["dim"].iloc[0]),
            "weights": str(part["weights_hash"].iloc[0]), "cells": cells,
            "mean": float(scores["value"].mean()) if whole else -1.0}
