"""Two runs, of another machine or another version: what moved beyond noise, and what differs in their origin.

What a report shows are the results in its ``results.parquet``; where there is none, all that are kept in ``results/``.
Differences are the second run minus the first. Where both have answered the very same clips (``data_hash`` and
``split_hash``), answers are paired clip by clip; where recordings or splits differ, the two scores are taken as
independent, which is said. A score has *moved* if its p-value, corrected by Holm's procedure (Scand. J. Stat. 6, 1979)
over all scores, is at most 5 %: the chance that anything is called so where nothing differs. The interval of a
difference of independent scores is that of Zou, Huang and Zhang, Comput. Stat. Data Anal. 53, 2009.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nslib.datasets.table import read_parquet
from nslib.errors import BadParameter, NslibError
from nslib.evaluation.results import ROWS, check_table, join_tables, load_results
from nslib.statistics.comparisons import Paired, holm, p_value
from nslib.statistics.intervals import LEVEL, Difference, interval
from nslib.statistics.scores import get_metric, select_scores

__all__ = ["compare_reports"]

PAIRED, UNPAIRED, NOT_COMPARED = "same clips", "other clips or splits", "no answers kept"
_ORIGIN = {"data_hash": "recordings", "split_hash": "splits", "weights_hash": "weights", "lock_hash": "lock file",
           "code_revision": "code", "seed": "seed", "probe": "chosen probe"}
_CELL = ["task", "embedding", "metric", "first", "second", "difference", "low", "high", "p", "clips",
         "answered_differently", "how"]
_HEAD = ["Task", "Embedding", "First", "Second", "Difference", "p", "p (Holm)", "Answers changed", "Compared by"]


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not: scores of both, origins that differ, scores of one only, notes."""

    cells: pd.DataFrame  # answered_differently is -1 where the clips are not the same
    origin: pd.DataFrame
    only: pd.DataFrame
    notes: list[str]

    @property
    def moved(self) -> bool:
        """bool: whether any score moved beyond noise."""
        return bool(self.cells["moved"].any())

    def text(self) -> str:
        """Return the comparison for a terminal."""
        return "\n".join(self._describe(
            lambda head, lines: pd.DataFrame(lines, columns=head).to_string(index=False), "{}"))

    def markdown(self) -> str:
        """Return the comparison as Markdown, with a title."""
        def pipe(head: list[str], lines: list[list[str]]) -> str:
            return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))

        return "# Two runs compared\n\n" + "\n\n".join(self._describe(pipe, "## {}")) + "\n"

    def _describe(self, table: Callable[[list[str], list[list[str]]], str], heading: str) -> list[str]:
        """Put the comparison into words and tables."""
        cells = self.cells
        how, same = cells["how"].value_counts(), (cells["how"] == PAIRED) & (cells["answered_differently"] == 0)
        verdict = [f"{len(cells)} scores are in both runs; {int(cells['moved'].sum())} moved beyond noise (5 % over "
                   f"all of them together, Holm). {int(same.sum())} have the same answer to every clip."]
        if how.get(UNPAIRED):
            verdict.append(f"{how[UNPAIRED]} are of other clips or splits: compared as independent, not clip by clip.")
        if how.get(NOT_COMPARED):
            verdict.append(f"{how[NOT_COMPARED]} could not be compared: {NOT_COMPARED}.")
        parts = [" ".join(verdict)]
        changed = cells[cells["moved"] | (cells["first"] != cells["second"]) | ~same]
        if len(changed):
            order = changed.sort_values(["moved", "p"], ascending=[False, True], kind="stable").to_dict("records")
            parts += [heading.format("Scores that are not the same"), table(_HEAD, [_write_cell(row) for row in order])]
        if len(self.origin):
            lines = []
            for row in self.origin.to_dict("records"):
                names = row["cells"]
                more = f" and {len(names) - 4} more" if len(names) > 4 else ""
                where = f"all {len(cells)}" if len(names) == len(cells) else ", ".join(names[:4]) + more
                lines.append([_ORIGIN[row["what"]], row["first"], row["second"], where])
            parts += [heading.format("Where the runs differ"), table(["What", "First", "Second", "Cells"], lines)]
        if len(self.only):
            by = self.only.groupby(["run", "embedding"], sort=False)["task"]
            lines = [[str(run), str(embedding), ", ".join(tasks)] for (run, embedding), tasks in by]
            parts += [heading.format("In one run only"), table(["Run", "Embedding", "Tasks"], lines)]
        return [*parts, *(f"Note: {note}" for note in self.notes)]


def compare_reports(first: Path, second: Path) -> Comparison:
    """Compare two report folders; what is no report, empty or of another schema is refused."""
    (a, answers_a, notes), (b, answers_b, more) = _read_run(Path(first)), _read_run(Path(second))
    pairs = [(a.loc[at], b.loc[at]) for at in a.index.intersection(b.index, sort=False)]
    if not pairs:
        more.append("The two runs have no task and embedding in common, so nothing was compared.")
    cells = pd.DataFrame([_compare_cell(x, y, answers_a.get(x["key"]), answers_b.get(y["key"])) for x, y in pairs],
                         columns=_CELL).assign(p_adjusted=math.nan, moved=False)
    tested = cells["p"].notna()
    if tested.any():
        moved, adjusted = holm(cells.loc[tested, "p"].to_numpy(float))
        cells.loc[tested, "p_adjusted"], cells.loc[tested, "moved"] = adjusted, moved
    differ = [(what, str(x[what]), str(y[what]), f"{x['task']}/{x['embedding']}")
              for what in _ORIGIN for x, y in pairs if x[what] != y[what]]
    origin = pd.DataFrame(differ, columns=["what", "first", "second", "cells"])
    origin = origin.groupby(["what", "first", "second"], sort=False)["cells"].agg(list).reset_index()
    only = [(task, embedding, run) for run, one, other in (("first", a, b), ("second", b, a))
            for task, embedding, _ in one.index.difference(other.index, sort=False)]
    return Comparison(cells, origin, pd.DataFrame(only, columns=["task", "embedding", "run"]), notes + more)


def _read_run(folder: Path) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], list[str]]:
    """Read the scores that a report shows, their answers by key, and notes on what could not be read."""
    if not folder.is_dir():
        raise NslibError(f"there is no folder {folder}: give the folder of a report, with results/ in it.")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows, answers = load_results(folder / "results")
    notes = [str(warning.message) for warning in caught if warning.category is UserWarning]
    if (path := folder / "results.parquet").exists():
        try:
            shown = check_table(read_parquet(path), ROWS)
        except BadParameter as error:
            raise BadParameter(f"{path} is of another schema, of another version of the kit: {error}") from error
        lost = sorted(set(shown["key"]) - set(rows["key"]))
        if lost:
            notes.append(f"{len(lost)} results that {folder} shows are not in its results/ and have no answers.")
        rows = join_tables([rows[rows["key"].isin(shown["key"])], shown[shown["key"].isin(lost)]], ROWS)
    chosen = select_scores(rows)
    if chosen.empty:
        why = " ".join(notes) or "python -m nslib reproduce makes them."
        raise NslibError(f"{folder} holds no results of a test: {why}")
    by_key = {str(key): part.set_index("clip_id") for key, part in answers.groupby("key")}
    return chosen.set_index(["task", "embedding", "metric"], drop=False), by_key, notes


def _compare_cell(x: pd.Series, y: pd.Series, before: pd.DataFrame | None,
                  after: pd.DataFrame | None) -> dict[str, Any]:
    """Compare one score, clip by clip where both runs have the same clips."""
    cell = {**x[["task", "embedding", "metric"]], "first": x["value"], "second": y["value"],
            "difference": y["value"] - x["value"], "low": math.nan, "high": math.nan, "p": math.nan,
            "clips": min(x["n"], y["n"]), "answered_differently": -1, "how": NOT_COMPARED}
    if before is None or after is None or get_metric(x["metric"]).needs != "labels":
        return cell
    same = all(x[name] == y[name] for name in ("data_hash", "split_hash")) and set(before.index) == set(after.index)
    if same and x["metric"] == "accuracy":
        after = after.loc[before.index]
        was_right, is_right = (answers["y_true"] == answers["y_pred"] for answers in (before, after))
        at: Callable[[float], Difference] = Paired.of(is_right, was_right, before["speaker"]).at
        cell |= {"how": PAIRED, "answered_differently": int((before["y_pred"] != after["y_pred"]).sum())}
    else:
        at, cell["how"] = _compare_independent(x, y, before, after), UNPAIRED
    difference = at(LEVEL)
    return cell | {"low": difference.low, "high": difference.high, "p": p_value(at)}


def _compare_independent(x: pd.Series, y: pd.Series, before: pd.DataFrame,
                         after: pd.DataFrame) -> Callable[[float], Difference]:
    """Return the difference of two scores that have no clips in common as a function of the level."""
    def at(level: float) -> Difference:
        one, two = (interval(answers["y_true"], answers["y_pred"], answers["speaker"], str(row["metric"]), level=level,
                             seed=int(row["seed"])) for row, answers in ((x, before), (y, after)))
        difference = y["value"] - x["value"]
        down = math.hypot(y["value"] - two.low, one.high - x["value"])
        up = math.hypot(two.high - y["value"], x["value"] - one.low)
        return Difference(difference, difference - down, difference + up, " and ".join(sorted({one.by, two.by})))

    return at


def _write_cell(row: dict[str, Any]) -> list[str]:
    """Write a line of the table of scores."""
    change = f"{'MOVED ' if row['moved'] else ''}{100 * row['difference']:+.1f}"
    if not math.isnan(row["low"]):
        change += f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    answers = f"{row['answered_differently']} of {row['clips']}" if row["how"] == PAIRED else "–"
    p = ["–" if math.isnan(v) else f"{v:.2g}" if v >= 0.001 else "< 0.001" for v in (row["p"], row["p_adjusted"])]
    return [row["task"], row["embedding"], f"{100 * row['first']:.1f}", f"{100 * row['second']:.1f}", change, *p,
            answers, row["how"]]
