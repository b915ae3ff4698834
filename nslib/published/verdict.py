"""What a result of ours says about a published number, in one of four words.

Conventions
-----------
Like is compared with like. A published number whose probe was chosen on test stands against our best on test; one
chosen on validation, or nobody knows how, against ours chosen on validation: the verdict says which. A verdict
needs a published number that is verified (`nslib.published.rules.VERIFIED`) and comparable, a task of the
paper profile, and a test set of the size that the data set's builder makes.

================================  ====================================================================
reproduced                        the published number, to its digits, lies in the interval of our score
differs                           it does not
not run                           there is no score of ours to compare with; ``why`` says why
no verified published value       there is nothing to compare with; ``why`` says why
================================  ====================================================================

An interval is about our test clips and speakers only. The published number has an interval too, that nobody
printed: *differs* says that the two are apart by more than ours, not that either is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nslib import params, tables, tasks
from nslib.published.rules import RECALLED, UNKNOWN
from nslib.published.tables import load

if TYPE_CHECKING:
    import pandas as pd

REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE = "reproduced", "differs", "not run", "no verified published value"
VERDICTS = (REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE)
COLUMNS = ["task", "embedding", "verdict", "published", "ours", "why", "compared", "paper", "table", "row", "status",
           "note", "published_value", "value", "low", "high"]
TEST_TOLERANCE = 0.02
"""Share of the test clips that may be missing (undecodable, say) before it is another test set."""

_NOTHING: dict[str, Any] = dict.fromkeys(COLUMNS, "") | dict.fromkeys(COLUMNS[-4:], math.nan)
_ON = {"test": "ours is the best on test (optimistic), as the published number is",
       "validation": "ours is chosen on validation, as the published number is",
       "unknown": "ours is chosen on validation; how the published number was chosen is not known"}
_UNVERIFIED = {RECALLED: f"the number is {RECALLED}: check it with 'nslib published check PAPER.pdf'",
               UNKNOWN: "the number is unknown"}
_NO_NUMBER = "no work that the kit knows of reports this embedding on this task"


def verdicts(rows: pd.DataFrame, not_run: pd.DataFrame | None = None, cells: pd.DataFrame | None = None, *,
             smoke: bool = False) -> pd.DataFrame:
    """Hold results against published numbers.

    Parameters
    ----------
    rows : DataFrame
        Result rows, maybe none. Those of tasks that are not of the paper profile get no verdict.
    not_run : DataFrame, optional
        Columns task, embedding, why, remedy: what could not be run.
    cells : DataFrame, optional
        Published numbers; default: all that the kit has.
    smoke : bool
        Whether the run was a smoke run, whose numbers mean nothing.

    Returns
    -------
    DataFrame
        One row a published number of an embedding on a task, and one a result without any; columns `COLUMNS`.
        ``published`` and ``ours`` are words; ``published_value`` (percent, NaN unless a number was compared) and
        ``value, low, high`` (shares) are for figures. Never fails on an unpleasant number.
    """
    import pandas as pd

    ours = _ours(rows)
    known = _scores(load() if cells is None else cells)
    why = _why(not_run)
    found = [_verdict(cell, ours, why, smoke) for cell in known.to_dict("records")]
    named = set(zip(known["task"], known["embedding"], strict=True))
    found += [_without(task, embedding, ours) for task, embedding in ours if (task, embedding) not in named]
    turn = {name: i for i, name in enumerate(tasks.REGISTRY)}
    found.sort(key=lambda v: (turn[v["task"]], v["embedding"], VERDICTS.index(v["verdict"])))
    return pd.DataFrame([_NOTHING | v for v in found], columns=COLUMNS)


def numeric(found: pd.DataFrame) -> pd.DataFrame:
    """Keep the verdicts that compare two numbers: *reproduced* and *differs*."""
    return found[found["verdict"].isin([REPRODUCED, DIFFERS])].reset_index(drop=True)


def _scores(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[(cells["metric"] == "accuracy") & (cells["task"] != "") & (cells["embedding"] != "")]


Ours = dict[tuple[str, str], dict[str, dict[str, Any]]]


def _ours(rows: pd.DataFrame) -> Ours:
    """(task, embedding) to our rows: ``chosen`` on validation, and ``best`` on test."""
    paper = {name for name, task in tasks.REGISTRY.items() if task.profile == "paper"}
    mine = rows[rows["task"].isin(paper) & (rows["metric"] == "accuracy")]
    best = mine[mine["best_on_test"].astype(bool) & (mine["split"] == "test")].sort_values("when", kind="stable")
    found: Ours = {}
    for name, part in (("chosen", tables.selected(mine)), ("best", best)):
        for row in part.to_dict("records"):
            found.setdefault((row["task"], row["embedding"]), {})[name] = row
    return found


def _why(not_run: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    if not_run is None:
        return {}
    return {(r["task"], r["embedding"]): r["why"] for r in not_run.to_dict("records")}


def _verdict(cell: dict[str, Any], ours: Ours, why: Mapping[tuple[str, str], str], smoke: bool) -> dict[str, Any]:
    at = (cell["task"], cell["embedding"])
    row = ours.get(at, {}).get("best" if cell["selection"] == "test" else "chosen")
    made = {"task": at[0], "embedding": at[1], "published": cell["shown"], "ours": _said(row), "paper": cell["paper"],
            "table": cell["table"], "row": cell["row"], "status": cell["status"], "note": cell["note"]}
    if obstacle := _UNVERIFIED.get(cell["status"]) or cell["why_not"]:
        return made | {"verdict": NO_VALUE, "why": obstacle}
    made["compared"] = _ON[cell["selection"]]
    if row is None:
        return made | {"verdict": NOT_RUN, "why": why.get(at, "it was not asked for")}
    if other := "a smoke run, whose numbers mean nothing" if smoke else _another_test(row):
        return made | {"verdict": NOT_RUN, "why": other}
    return made | _compared(row, cell["value"], cell["decimals"])


def _compared(row: Mapping[str, Any], published: float, decimals: int) -> dict[str, Any]:
    low, high = (round(100 * row[end], decimals) for end in ("low", "high"))
    inside = low <= published <= high
    where = "lies in" if inside else "lies below" if published < low else "lies above"
    return {"verdict": REPRODUCED if inside else DIFFERS, "published_value": published,
            "why": f"{published:.{decimals}f} {where} our interval, {low:.{decimals}f} to {high:.{decimals}f}",
            **{name: row[name] for name in ("value", "low", "high")}}


def _without(task: str, embedding: str, ours: Ours) -> dict[str, Any]:
    row = ours[task, embedding].get("chosen")
    return {"task": task, "embedding": embedding, "verdict": NO_VALUE, "published": "", "ours": _said(row),
            "why": _NO_NUMBER}


def _said(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return NOT_RUN
    value, low, high = (f"{100 * row[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _another_test(row: Mapping[str, Any]) -> str:
    expected = _builders_test().get(row["task"])
    if expected is None or abs(row["n"] - expected) <= TEST_TOLERANCE * expected:
        return ""
    return f"our test has {row['n']:,} clips, that of the data set {expected:,}: not the same test"


def _builders_test() -> dict[str, int]:
    import csv

    with open(params.data_dir() / "noss_tasks.csv", encoding="utf-8", newline="") as file:
        return {row["dataset"]: int(row["test"]) for row in csv.DictReader(file) if row["test"]}
