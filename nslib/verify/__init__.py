"""Is every number of a report true? Recomputed from what lies beside it, and from the stored vectors.

What is asked, each of which finds what the others cannot:

===========  ===================================================================================================
`answers`    do the scores, intervals, counts and choices follow from the kept answers?
`protocols`  the same of the protocols' rows
`fits`       do the answers follow from the stored vectors, when the chosen probe is fitted again?
`pages`      do ``results.csv``, ``results.parquet``, ``summary.md`` and ``index.html`` say what the results say?
===========  ===================================================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nslib import params
from nslib.errors import NslibError, UnknownName
from nslib.verify.found import COLUMNS, text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "LEVELS", "text", "verify"]

LEVELS = ("scores", "chosen", "all")
"""What is fitted again: nothing; the chosen probe of each result and the best on test; every combination."""


def verify(folder: Path | None = None, *, level: str = "chosen", progress: bool = True) -> pd.DataFrame:
    """Recompute the numbers of a report.

    Parameters
    ----------
    folder : Path, optional
        Of a report: ``results/``, ``results.csv``, ``results.parquet``, ``summary.md``, ``index.html``. Default: the
        reports.
    level : {"scores", "chosen", "all"}
        See `LEVELS`. Quick: 10 s, a minute; ``all`` takes as long as the probes of the run.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    DataFrame
        One line a check: ``key, task, embedding, what, file, said, recomputed, ok, why``. ``ok`` is missing for what
        could not be checked here; ``why`` then gives the reason.

    Raises
    ------
    NslibError
        If the folder holds no results.
    UnknownName
        For another level.
    """
    from tqdm.std import tqdm

    from nslib.verify import answers, fits, pages, protocols
    from nslib.verify.found import Findings

    if level not in LEVELS:
        raise UnknownName("level of verification", level, LEVELS)
    folder = Path(folder) if folder is not None else params.reports_dir()
    if not any((folder / "results").glob("*.rows.parquet")):
        raise NslibError(f"{folder} holds no results: give the folder of a report, with results/ in it, or make one "
                         "with: python -m nslib reproduce")
    findings = Findings()
    read: fits.Clips = {}
    there = answers.read(folder, findings)
    for result in tqdm(there, "verify", unit="result", disable=not progress, leave=False):
        answers.check(result, findings)
        if level != "scores":
            fits.check(result, findings, read, every=level == "all")
    protocols.check(folder, findings)
    pages.check(folder, there, findings)
    return findings.table()
