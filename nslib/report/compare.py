"""Two runs, of another machine or another version: what moved beyond noise, and what differs in their origin.

References
----------
S. Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Stat. 6, 1979. G. Zou, W. Huang and X.
Zhang, Comput. Stat. Data Anal. 53, 2009 (the interval of a difference of two independent scores).

Conventions
-----------
What a report shows are the results in its ``results.parquet``; where there is none, all that are kept in ``results/``.
Differences are the second run minus the first. Where both have answered the very same clips (``data_hash`` and
``split_hash``), answers are paired clip by clip; where recordings or splits differ, the two scores are taken as
independent, which is said. A score has *moved* if its p-value, corrected by Holm's procedure over all scores of the
comparison, is at most 5 %: the chance that anything is called so where nothing differs is then at most that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib.errors import BadParameter, NslibError
from nslib.evaluation import results
from nslib.evaluation.results import ROWS, check_table
from nslib.statistics import comparisons, intervals
from nslib.statistics import scores as statistics_scores
from nslib.statistics.intervals import LEVEL, Difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare_reports"]

PAIRED, UNPAIRED, NOT_COMPARED = "same clips", "other clips or splits", "no answers kept"
_CELLS = ["task", "embedding", "metric", "first", "second", "difference", "low", "high", "p", "p_adjusted", "clips",
          "answered_differently", "how", "moved"]
_ORIGIN = {"data_hash": "recordings", "split_hash": "splits", "weights_hash": "weights", "lock_hash": "lock file",
           "code_revision": "code", "seed": "seed", "probe": "chosen probe"}
_HEAD = ["Task", "Embedding", "First", "Second", "Difference", "p", "p (Holm)", "Answers changed", "Compared by"]


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not.

    Attributes
    ----------
    cells : DataFrame
        One row a task and embedding that both have: the two scores, their difference with its own 95 % interval, the
        p-value alone and corrected, how many test clips were answered differently (-1 where they are not the same), how
        it was compared, and whether it moved.
    origin : DataFrame
        Columns what, first, second, cells: each difference in provenance, and which scores have it.
    only : DataFrame
        Columns task, embedding, run: scores that one run lacks.
    notes : tuple of str
        What could not be read or compared.
    """

    cells: pd.DataFrame
    origin: pd.DataFrame
    only: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def moved(self) -> bool:
        """bool: whether any score moved beyond noise."""
        return bool(self.cells["moved"].any())

    def text(self) -> str:
        """Return the comparison for a terminal."""
        import pandas as pd

        def align(head: list[str], lines: list[list[str]]) -> str:
            with pd.option_context("display.max_columns", None, "display.width", 250, "display.max_colwidth", 90):
                return pd.DataFrame(lines, columns=head).to_string(index=False)

        return "\n".join(_describe(self, align, "{}"))

    def markdown(self) -> str:
        """Return the comparison as Markdown, with a title."""
        def pipe(head: list[str], lines: list[list[str]]) -> str:
            return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))

        return "# Two runs compared\n\n" + "\n\n".join(_describe(self, pipe, "## {}")) + "\n"


def compare_reports(first: Path, second: Path, level: float = LEVEL) -> Comparison:
    """Compare two report folders.

    Parameters
    ----------
    first, second : Path
        Folders of reports.
    level : float
        Confidence level of each interval; 1 minus it is the error that all scores share.

    Raises
    ------
    NslibError, BadParameter
        If one of the two is no report, is empty, or is of another schema.
    """
    import pandas as pd

    (a, of_a, notes), (b, of_b, more) = _read_run(Path(first)), _read_run(Path(second))
    shared = a.index.intersection(b.index, sort=False)
    notes += more
    if not len(shared):
        notes.append("The two runs have no task and embedding in common, so nothing was compared.")
    pairs = [(a.loc[one], b.loc[one]) for one in shared]
    cells = pd.DataFrame([_compare_cell(x, y, of_a.get(x["key"]), of_b.get(y["key"]), level) for x, y in pairs],
                         columns=_CELLS).assign(p_adjusted=math.nan, moved=False)
    tested = cells["p"].notna()
    if tested.any():
        moved, adjusted = comparisons.holm(cells.loc[tested, "p"].to_numpy(float), level)
        cells.loc[tested, "p_adjusted"], cells.loc[tested, "moved"] = adjusted, moved
    differ = [(what, str(x[what]), str(y[what]), f"{x['task']}/{x['embedding']}")
              for what in _ORIGIN for x, y in pairs if x[what] != y[what]]
    origin = pd.DataFrame(differ, columns=["what", "first", "second", "cells"])
    origin = origin.groupby(["what", "first", "second"], sort=False)["cells"].agg(list).reset_index()
    alone = [(task, embedding, which) for which, one, other in (("first", a, b), ("second", b, a))
             for task, embedding, _ in one.index.difference(other.index, sort=False)]
    return Comparison(cells, origin, pd.DataFrame(alone, columns=["task", "embedding", "run"]), tuple(notes))


def _read_run(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], list[str]]:
    """Read the scores that a report shows, their answers by key, and notes on what could not be read."""
    if not folder.is_dir():
        raise NslibError(f"there is no folder {folder}: give the folder of a report, with results/ in it.")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        rows, answers = results.load_results(folder / "results")
    notes = [str(warning.message) for warning in told if warning.category is UserWarning]
    if (shown := _read_shown(folder / "results.parquet")) is not None:
        lost = sorted(set(shown["key"]) - set(rows["key"]))
        if lost:
            notes.append(f"{len(lost)} results that {folder} shows are not in its results/ and have no answers.")
        rows = results.join_tables([rows[rows["key"].isin(shown["key"])], shown[shown["key"].isin(lost)]], ROWS)
    scores = results.selected(rows)
    if scores.empty:
        why = " ".join(notes) or "python -m nslib reproduce makes them."
        raise NslibError(f"{folder} holds no results of a test: {why}")
    by_key = {str(key): part.set_index("clip_id") for key, part in answers.groupby("key")}
    return scores.set_index(["task", "embedding", "metric"], drop=False), by_key, notes


def _read_shown(path: Path) -> pd.DataFrame | None:
    """Read the rows that a report shows, if it has them."""
    import pandas as pd
    import pyarrow as pa

    if not path.exists():
        return None
    try:
        return check_table(pd.read_parquet(path), ROWS)
    except BadParameter as error:
        raise BadParameter(f"{path} is of another schema, of another version of the kit: {error}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise NslibError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error


def _compare_cell(x: pd.Series, y: pd.Series, mine: pd.DataFrame | None, other: pd.DataFrame | None,
                  level: float) -> dict[str, Any]:
    """Compare one score, clip by clip where both runs have the same clips."""
    cell = {"task": x["task"], "embedding": x["embedding"], "metric": x["metric"], "first": x["value"],
            "second": y["value"], "difference": y["value"] - x["value"], "low": math.nan, "high": math.nan,
            "p": math.nan, "clips": min(x["n"], y["n"]), "answered_differently": -1, "how": NOT_COMPARED}
    if mine is None or other is None or statistics_scores.get_metric(x["metric"]).needs != "labels":
        return cell
    same = all(x[name] == y[name] for name in ("data_hash", "split_hash")) and set(mine.index) == set(other.index)
    if same and x["metric"] == "accuracy":
        other = other.loc[mine.index]
        before, after = (answers["y_true"] == answers["y_pred"] for answers in (mine, other))
        at: Callable[[float], Difference] = comparisons.Paired.of(after, before, mine["speaker"]).at
        cell |= {"how": PAIRED, "answered_differently": int((mine["y_pred"] != other["y_pred"]).sum())}
    else:
        at = _compare_independent(x, y, mine, other)
        cell |= {"how": UNPAIRED}
    difference = at(level)
    return cell | {"low": difference.low, "high": difference.high, "p": comparisons.p_value(at)}


def _compare_independent(x: pd.Series, y: pd.Series, mine: pd.DataFrame,
                         other: pd.DataFrame) -> Callable[[float], Difference]:
    """Return the difference of two scores that have no clips in common as a function of the level."""
    def at(level: float) -> Difference:
        first, second = (
            intervals.interval(answers["y_true"], answers["y_pred"], answers["speaker"], str(row["metric"]), level=level,
                             seed=int(row["seed"])) for row, answers in ((x, mine), (y, other)))
        difference = y["value"] - x["value"]
        down = math.hypot(y["value"] - second.low, first.high - x["value"])
        up = math.hypot(second.high - y["value"], x["value"] - first.low)
        by = " and ".join(sorted({first.by, second.by}))
        return Difference(difference, difference - down, difference + up, by)

    return at


def _describe(found: Comparison, table: Callable[[list[str], list[list[str]]], str], heading: str) -> list[str]:
    """Put a comparison into words and tables."""
    cells = found.cells
    how, same = cells["how"].value_counts(), (cells["how"] == PAIRED) & (cells["answered_differently"] == 0)
    verdict = [f"{len(cells)} scores are in both runs; {int(cells['moved'].sum())} moved beyond noise (5 % over all of "
               "them together, Holm).", f"{int(same.sum())} have the same answer to every clip."]
    if how.get(UNPAIRED):
        verdict.append(f"{how[UNPAIRED]} are of other clips or splits: compared as independent, not clip by clip.")
    if how.get(NOT_COMPARED):
        verdict.append(f"{how[NOT_COMPARED]} could not be compared: {NOT_COMPARED}.")
    parts = [" ".join(verdict)]
    changed = cells[cells["moved"] | (cells["first"] != cells["second"]) | ~same]
    if len(changed):
        order = changed.sort_values(["moved", "p"], ascending=[False, True], kind="stable").to_dict("records")
        parts += [heading.format("Scores that are not the same"), table(_HEAD, [_write_cell(row) for row in order])]
    if len(found.origin):
        lines = []
        for row in found.origin.to_dict("records"):
            names = row["cells"]
            more = f" and {len(names) - 4} more" if len(names) > 4 else ""
            where = f"all {len(cells)}" if len(names) == len(cells) else ", ".join(names[:4]) + more
            lines.append([_ORIGIN[row["what"]], row["first"], row["second"], where])
        parts += [heading.format("Where the runs differ"), table(["What", "First", "Second", "Cells"], lines)]
    if len(found.only):
        by = found.only.groupby(["run", "embedding"], sort=False)["task"]
        lines = [[str(run), str(embedding), ", ".join(tasks)] for (run, embedding), tasks in by]
        parts += [heading.format("In one run only"), table(["Run", "Embedding", "Tasks"], lines)]
    return [*parts, *(f"Note: {note}" for note in found.notes)]


def _write_cell(row: dict[str, Any]) -> list[str]:
    """Write a line of the table of scores."""
    change = f"{'MOVED ' if row['moved'] else ''}{100 * row['difference']:+.1f}"
    if not math.isnan(row["low"]):
        change += f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    answers = f"{row['answered_differently']} of {row['clips']}" if row["how"] == PAIRED else "–"
    p = ["–" if math.isnan(v) else f"{v:.2g}" if v >= 0.001 else "< 0.001" for v in (row["p"], row["p_adjusted"])]
    return [str(row["task"]), str(row["embedding"]), f"{100 * row['first']:.1f}", f"{100 * row['second']:.1f}", change,
            *p, answers, str(row["how"])]
