"""How far a score moves with the split, beside what its interval allows: read from repeated splits.

Conventions
-----------
The rows are those of `nslib.protocols.repeated`: the speakers divided anew for each split, the probe chosen on
validation each time. A single split's interval speaks of other test speakers; the scores of many splits also move with
who was trained on. If they spread more than the intervals say (``ratio`` above 1), a difference between two numbers
that come from two splits is worth less than their intervals claim.

Splits share clips, so that their spread is a description and no standard error of their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib import protocols
from nslib.bootstrap import LEVEL

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ["task", "corpus_kind", "embedding", "split_number", "value", "low", "high"]
TABLE = ["task", "corpus_kind", "embedding", "splits", "value", "low", "high", "lowest", "highest", "spread",
         "standard_error", "ratio", "held"]


def splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Score of each split.

    Parameters
    ----------
    rows : DataFrame
        Rows of protocols (`nslib.schema.PROTOCOL_ROWS`), maybe of several runs; the newest count.

    Returns
    -------
    DataFrame
        One row a task, embedding and split: corpus_kind, split_number, value with low and high (of that split alone).
    """
    keys = protocols.summary(rows, protocols.REPEATED)["key"]
    one = rows["key"].isin(keys) & (rows["split_number"] != "") & (rows["speaker"] == "")
    return rows.loc[one & rows["selected"] & rows["value"].notna(), SPLITS].reset_index(drop=True)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Spread of a score over splits beside its interval.

    Parameters
    ----------
    rows : DataFrame
        As for `splits`.

    Returns
    -------
    DataFrame
        One row a task and embedding: splits (how many), value (mean over them) with low and high, lowest and highest
        (of single splits), spread (standard deviation over splits), standard_error (what intervals of single splits
        claim it is: their mean width over that of a normal one), ratio (spread over standard_error) and held (share
        of single splits whose interval holds the mean).
    """
    import pandas as pd

    each = splits(rows)
    over_all = protocols.summary(rows, protocols.REPEATED)
    found = [_row(row, each[(each["task"] == row["task"]) & (each["embedding"] == row["embedding"])])
             for row in over_all.to_dict("records")]
    return pd.DataFrame(found, columns=TABLE)


def _row(row: dict[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    from scipy import special

    claimed = float((part["high"] - part["low"]).mean()) / (2 * float(special.ndtri((1 + LEVEL) / 2)))
    spread = float(part["value"].std())
    inside = (part["low"] <= row["value"]) & (row["value"] <= part["high"])
    return {name: row[name] for name in ("task", "corpus_kind", "embedding", "value", "low", "high")} | {
        "splits": len(part), "lowest": part["value"].min(), "highest": part["value"].max(), "spread": spread,
        "standard_error": claimed, "ratio": spread / claimed if claimed else float("nan"), "held": inside.mean()}
