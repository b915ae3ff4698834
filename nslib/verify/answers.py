"""Scores from kept answers: what the rows of a result say, recomputed from its test predictions.

Conventions
-----------
Every file of ``results`` is read by itself, so that one that cannot be read is named and the others are checked.
The score, its interval and the counts of the chosen probe come from its answers, clip by clip; the choice itself, and
the best on test, from the scores of all combinations.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nslib import kept, metrics
from nslib.errors import NslibError
from nslib.schema import PREDICTIONS, ROWS
from nslib.verify.found import Findings

if TYPE_CHECKING:
    import pandas as pd

_ROWS, _ANSWERS = "rows", "predictions"
_COMBINATION = ["probe", "l2", "speaker_norm", "seed"]
_COUNTED = ("n", "n_speakers", "chance")
_SCORED = ("value", "low", "high", "interval_by")
_FROM = "from the kept answers"


class Result(NamedTuple):
    """A result as it was kept.

    Attributes
    ----------
    rows, predictions : DataFrame
        As in `nslib.schema`.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame

    @property
    def about(self) -> dict[str, str]:
        """dict: key, task and embedding."""
        return {name: str(self.rows[name].iloc[0]) for name in ("key", "task", "embedding")}

    def file(self, kind: str = _ROWS) -> str:
        """Where a table of it lies, relative to the folder of the report.

        Parameters
        ----------
        kind : {"rows", "predictions"}

        Returns
        -------
        str
        """
        return f"results/{self.about['key']}.{kind}.parquet"


def read(folder: Path, findings: Findings) -> list[Result]:
    """Read every result of a folder; what cannot be read is noted as wrong.

    Parameters
    ----------
    folder : Path
        Of the report.
    findings : Findings
        Is told.

    Returns
    -------
    list of Result
        Oldest first.
    """
    home, there = folder / "results", []
    for path in sorted(home.glob(f"*.{_ROWS}.parquet")):
        key = path.name.split(".")[0]
        try:
            rows = kept.read(path, key, ROWS, may_be_empty=False)
            answers = kept.read(kept.place(key, _ANSWERS, home), key, PREDICTIONS, may_be_empty=True)
        except NslibError as error:
            findings.add({"key": key}, "the file", f"results/{path.name}", "a result", "unreadable", why=str(error))
            continue
        there.append(Result(rows, answers))
        findings.add(there[-1].about, "checksums and schema", there[-1].file(), "as written", "as written")
    return sorted(there, key=lambda result: (str(result.rows["when"].max()), result.about["key"]))


def check(result: Result, findings: Findings) -> None:
    """Recompute everything that the answers of a result decide.

    Parameters
    ----------
    result : Result
    findings : Findings
        Is told.
    """
    metric = str(result.rows["metric"].iloc[0])
    for flag, split in (("selected", "validation"), ("best_on_test", "test")):
        _choice(result, flag, split, metric, findings)
    test = result.rows[result.rows["split"] == "test"]
    chosen = test[test["selected"]]
    if len(chosen) != 1:
        ok = not len(chosen) and bool(test["value"].isna().all()) and result.predictions.empty
        findings.add(result.about, "chosen rows of the test", result.file(), len(chosen), 0 if ok else 1, ok)
        return
    row = chosen.iloc[0]
    _answers(result, row, findings)
    counts = counted(result.predictions, metric)
    for name in _COUNTED:
        said = test[name].unique()
        findings.add(result.about, f"test {name}", result.file(), _one(said), counts[name], why=_FROM)
    if metrics.get(metric).needs == "scores":
        findings.skip(result.about, "test score", result.file(), f"{metric} needs scores, and only answers are kept")
        return
    for name, value in scored(result.predictions, row).items():
        findings.add(result.about, f"test {name}", result.file(), row[name], value, why=_FROM)


def best(rows: pd.DataFrame, split: str, metric: str) -> int | None:
    """Number of the best combination on a split.

    Parameters
    ----------
    rows : DataFrame
        Of one result.
    split : {"validation", "test"}
    metric : str

    Returns
    -------
    int or None
        Of equally good ones the first; None if nothing could be fitted.
    """
    values = rows.loc[rows["split"] == split, "value"].to_numpy(float)
    if np.isnan(values).all():
        return None
    return int(np.nanargmax(values) if metrics.get(metric).higher_is_better else np.nanargmin(values))


def counted(answers: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Counts that follow from answers.

    Parameters
    ----------
    answers : DataFrame
        ``speaker`` (empty if unknown) and ``y_true`` of each test clip.
    metric : str

    Returns
    -------
    dict
        ``n``, ``n_speakers`` and ``chance``.
    """
    return {"n": len(answers), "n_speakers": len(set(answers["speaker"]) - {""}),
            "chance": metrics.chance(metric, answers["y_true"].to_numpy(str)) if len(answers) else float("nan")}


def scored(answers: pd.DataFrame, row: Mapping[str, Any] | pd.Series) -> dict[str, Any]:
    """Score and interval that follow from answers.

    Parameters
    ----------
    answers : DataFrame
        ``speaker``, ``y_true`` and ``y_pred`` of each test clip, in the order of the result.
    row : mapping or Series
        ``metric``, ``level`` and ``seed``.

    Returns
    -------
    dict
        ``value``, ``low``, ``high`` and ``interval_by``.
    """
    if answers.empty:
        return dict.fromkeys(_SCORED, float("nan"))
    true, said, speaker = (answers[name].to_numpy(str) for name in ("y_true", "y_pred", "speaker"))
    metric = str(row["metric"])
    found = metrics.interval(true, said, speaker, metric, level=float(row["level"]), seed=int(row["seed"]))
    return dict(zip(_SCORED, (metrics.score(metric, true, said), found.low, found.high, found.by), strict=True))


def _choice(result: Result, flag: str, split: str, metric: str, findings: Findings) -> None:
    part = result.rows[result.rows["split"] == split]
    number = best(result.rows, split, metric)
    right = [] if number is None else [_called(part.iloc[number])]
    for where, rows in result.rows.groupby("split", sort=False):
        said = [_called(row) for _, row in rows[rows[flag]].iterrows()]
        findings.add(result.about, f"{flag} ({where})", result.file(), "; ".join(said), "; ".join(right),
                     why=f"best of {len(part)} on {split}")


def _called(row: Any) -> str:
    return ", ".join(f"{name} {row[name]}" if name != "probe" else str(row[name]) for name in _COMBINATION)


def _answers(result: Result, row: Any, findings: Findings) -> None:
    answers, file = result.predictions, result.file(_ANSWERS)
    who = answers[_COMBINATION].drop_duplicates()
    said = "; ".join(_called(one) for _, one in who.iterrows())
    findings.add(result.about, "whose answers", file, said, _called(row), why="the chosen combination")
    findings.add(result.about, "clips that come twice", file, int(answers["clip_id"].duplicated().sum()), 0)


def _one(values: Any) -> Any:
    """The only value, or all of them where there should be one."""
    return values[0].item() if len(values) == 1 else ", ".join(map(str, values))
