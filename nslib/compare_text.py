"""A comparison of two runs in words: for a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nslib.compare import NOT_COMPARED, PAIRED, UNPAIRED

if TYPE_CHECKING:
    from nslib.compare import Comparison

_NAMED = 4
_HEAD = ["Task", "Embedding", "First", "Second", "Difference", "p", "p (Holm)", "Answers changed", "Compared by"]
_WORDS = {"data_hash": "recordings", "split_hash": "splits", "weights_hash": "weights", "lock_hash": "lock file",
          "code_revision": "code", "seed": "seed", "probe": "chosen probe"}


def text(found: Comparison) -> str:
    """The comparison as aligned tables.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    str
    """
    return "\n".join(_parts(found, _aligned, "{}"))


def markdown(found: Comparison) -> str:
    """The comparison as Markdown, with a title.

    Parameters
    ----------
    found : Comparison

    Returns
    -------
    str
    """
    return "# Two runs compared\n\n" + "\n\n".join(_parts(found, _piped, "## {}")) + "\n"


def _parts(found: Comparison, table: Any, heading: str) -> list[str]:
    parts = [_verdict(found)]
    seen = found.cells[found.cells["moved"] | (found.cells["first"] != found.cells["second"]) |
                       (found.cells["answered_differently"] > 0) | (found.cells["how"] != PAIRED)]
    if len(seen):
        order = seen.sort_values(["moved", "p"], ascending=[False, True], kind="stable")
        parts += [heading.format("Scores that are not the same"), table(_HEAD, [_line(row) for row in
                                                                               order.to_dict("records")])]
    if len(found.origin):
        lines = [[_WORDS[row["what"]], row["first"], row["second"], _cells(row["cells"], len(found.cells))]
                 for row in found.origin.to_dict("records")]
        parts += [heading.format("Where the runs differ"), table(["What", "First", "Second", "Cells"], lines)]
    if len(found.only):
        by = found.only.groupby(["run", "embedding"], sort=False)["task"]
        lines = [[str(run), str(embedding), ", ".join(tasks)] for (run, embedding), tasks in by]
        parts += [heading.format("In one run only"), table(["Run", "Embedding", "Tasks"], lines)]
    if len(found.costs):
        head = ["Embedding", *(name.replace("_", " ") for name in found.costs.columns)]
        lines = [[str(name), *map(_ratio, row)] for name, row in zip(found.costs.index, found.costs.to_numpy(),
                                                                    strict=True)]
        parts += [heading.format("Cost of vectors, second run over first"), table(head, lines)]
    return [*parts, *(f"Note: {note}" for note in found.notes)]


def _verdict(found: Comparison) -> str:
    cells = found.cells
    how = cells["how"].value_counts()
    same = (cells["how"] == PAIRED) & (cells["answered_differently"] == 0)
    said = [f"{len(cells)} scores are in both runs; {int(cells['moved'].sum())} moved beyond noise (5 % over all of "
            "them together, Holm).", f"{int(same.sum())} have the same answer to every clip."]
    if how.get(UNPAIRED):
        said.append(f"{how[UNPAIRED]} are of other clips or splits: compared as independent, not clip by clip.")
    if how.get(NOT_COMPARED):
        said.append(f"{how[NOT_COMPARED]} could not be compared: {NOT_COMPARED}.")
    return " ".join(said)


def _line(row: dict[str, Any]) -> list[str]:
    moved = "MOVED " if row["moved"] else ""
    change = f"{moved}{100 * row['difference']:+.1f}"
    if not math.isnan(row["low"]):
        change += f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    answers = f"{row['answered_differently']} of {row['clips']}" if row["how"] == PAIRED else "–"
    return [str(row["task"]), str(row["embedding"]), f"{100 * row['first']:.1f}", f"{100 * row['second']:.1f}", change,
            _p(row["p"]), _p(row["p_adjusted"]), answers, str(row["how"])]


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2g}" if value >= 0.001 else "< 0.001"


def _ratio(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _cells(names: Sequence[str], of: int) -> str:
    if len(names) == of:
        return f"all {of}"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _aligned(head: list[str], lines: list[list[str]]) -> str:
    import pandas as pd

    with pd.option_context("display.max_columns", None, "display.width", 250, "display.max_colwidth", 90):
        return pd.DataFrame(lines, columns=head).to_string(index=False)


def _piped(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))
