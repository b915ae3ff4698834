"""Scores of the protocols from their kept answers: each split, each speaker, and over all of them.

Conventions
-----------
Answers of a protocol are kept for what was chosen on validation, so that the rows of what was chosen can be recomputed.
Fitting a protocol again takes as long as the protocol: ``python -m nslib reproduce TASK/EMBEDDING --protocol NAME``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import kept, metrics
from nslib.bootstrap import Interval
from nslib.errors import NslibError
from nslib.protocols import intervals, within
from nslib.schema import PROTOCOL_ANSWERS, PROTOCOL_ROWS
from nslib.verify.found import Findings

if TYPE_CHECKING:
    import pandas as pd

_ROWS, _ANSWERS = "protocol", "answers"
_SCORED = ("value", "low", "high", "interval_by", "n")
_FROM = "from the kept answers"


def check(folder: Path, findings: Findings) -> None:
    """Recompute the chosen rows of every protocol that is kept.

    Parameters
    ----------
    folder : Path
        Of the report.
    findings : Findings
        Is told; also of files that cannot be read.
    """
    home = folder / "results"
    for path in sorted(home.glob(f"*.{_ROWS}.parquet")):
        key = path.name.split(".")[0]
        try:
            rows = kept.read(path, key, PROTOCOL_ROWS, may_be_empty=False)
            answers = kept.read(kept.place(key, _ANSWERS, home), key, PROTOCOL_ANSWERS, may_be_empty=True)
        except NslibError as error:
            findings.add({"key": key}, "the file", f"results/{path.name}", "a result", "unreadable", why=str(error))
            continue
        for _, mine in rows.groupby(["protocol", "shots"], sort=False):
            _check(mine, answers, f"results/{path.name}", findings)


def _check(rows: pd.DataFrame, answers: pd.DataFrame, file: str, findings: Findings) -> None:
    first = rows.iloc[0]
    mine = answers[(answers["protocol"] == first["protocol"]) & (answers["shots"] == first["shots"])]
    of_speakers = first["protocol"] == within.NAME
    # Rows of one speaker are of the choice by themselves; a row without a value has no answers.
    chosen = rows[(rows["selected"] | (rows["speaker"] != "")) & rows["value"].notna()]
    for row in chosen.to_dict("records"):
        part = mine
        for name in ("split_number", "speaker"):
            part = part[part[name] == row[name]] if row[name] else part
        words = _which(row)
        if part.empty:
            findings.add(row, f"answers, {words}", file, row["n"], 0, why=_FROM)
            continue
        made = _scored(part, row, of_speakers)
        for name in _SCORED:
            if name in made:
                findings.add(row, f"{name}, {words}", file, row[name], made[name], why=_FROM)


def _scored(part: pd.DataFrame, row: dict[str, Any], of_speakers: bool) -> dict[str, Any]:
    if row["metric"] != "accuracy":
        return {"n": part["clip_id"].nunique()}
    made = {"value": intervals.accuracy(part, of_speakers=of_speakers), "n": part["clip_id"].nunique()}
    if row["interval_by"]:
        found = _interval(part, row, of_speakers)
        made |= {"low": found.low, "high": found.high, "interval_by": found.by}
    return made


def _interval(part: pd.DataFrame, row: dict[str, Any], of_speakers: bool) -> Interval:
    how: dict[str, Any] = {"level": row["level"], "seed": row["seed"]}
    if not row["split_number"]:
        return intervals.interval(part, of_speakers=of_speakers, **how)
    # A single split is scored as a benchmark is.
    true, said, speaker = (part[name].to_numpy(str) for name in ("y_true", "y_pred", "speaker"))
    return metrics.interval(true, said, speaker, row["metric"], **how)


def _which(row: dict[str, Any]) -> str:
    shots = f", {row['shots']} shots" if row["shots"] else ""
    split = f", split {row['split_number']}" if row["split_number"] else ", all splits"
    return f"{row['protocol']}{shots}{split}" + (f", speaker {row['speaker']}" if row["speaker"] else "")
