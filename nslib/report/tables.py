"""What the pages show, as plain values: the result table with its footnotes, and the other tables.

Conventions
-----------
Templates compute nothing: every mark, word and number that they show is decided here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nslib import cells as origins
from nslib.plots import order

if TYPE_CHECKING:
    import pandas as pd

    from nslib.params import Params

MARKS = {"best": ("★", "best"), "tied": ("≈", "not separable from the best"), "": ("", "")}
# what the table's own facts say already, of the choice among all probes
_SAID = ("Cell", "Probe", "Normalisation", "Metric", "Test set", "Interval")
_SETTING = ["task", "embedding", "seed"]


def result_table(rows: pd.DataFrame, predictions: pd.DataFrame | None = None,
                 params: Params | None = None) -> dict[str, Any]:
    """Cells of the result table, grouped into recordings and synthetic tasks.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows; may be empty.
    predictions : pandas.DataFrame, optional
        Test answers of the chosen probes, for paired differences and the letters of ties.
    params : Params, optional
        Of the run, for the commands that make a cell again.

    Returns
    -------
    dict
        ``groups`` (each with ``title``, ``synthetic`` and ``tasks``), ``columns`` (the embeddings), ``cells``,
        ``metric_words``, ``level``, ``has_synthetic``, ``has_letters``.
    """
    if rows.empty or not (rows["selected"].astype(bool) & (rows["split"] == "test")).any():
        return {"groups": [], "columns": [], "cells": [], "metric_words": "", "level": "",
                "has_synthetic": False, "has_letters": False}
    scores = order.chosen(rows)
    way = order.above_chance(scores).clip(0, 1)
    scores = scores.assign(standing=order.standing(scores, predictions), way=way)
    columns = order.embeddings(scores)
    letters = _letters(rows, predictions)
    cells = {(c["task"], c["embedding"]): c for c in _cells(scores, rows, letters, params)}
    return {
        "groups": _groups(scores, columns, cells),
        "columns": [{"name": e, "shown": e.replace("-", "-\u200b")} for e in columns],
        "cells": list(cells.values()),
        "metric_words": " or ".join(sorted(m.replace("_", " ") for m in scores["metric"].unique())),
        "level": f"{100 * float(scores['level'].iloc[0]):.0f}",
        "has_synthetic": bool((scores["corpus_kind"] == order.SYNTHETIC).any()),
        "has_letters": bool(letters),
    }


def _letters(rows: pd.DataFrame, predictions: pd.DataFrame | None) -> dict[tuple[str, str], str]:
    from nslib import ties

    if predictions is None or predictions.empty:
        return {}
    found = ties.groups(rows, predictions)
    return {(row.task, row.embedding): row.letters for row in found.itertuples()}


def _groups(scores: pd.DataFrame, columns: list[str], cells: dict[Any, Any]) -> list[dict[str, Any]]:
    called, found = order.labels(scores), []
    titles = {False: "Recorded speech", True: "Synthetic speech, computer voices"}
    for synthetic, part in scores.groupby(scores["corpus_kind"] == order.SYNTHETIC):
        by_task = part.groupby("task", sort=False)
        tasks = [_task(str(name), called, of_task, columns, cells) for name, of_task in by_task]
        found.append({"title": titles[bool(synthetic)], "synthetic": bool(synthetic), "tasks": tasks})
    return found


def _task(name: str, called: dict[str, str], part: pd.DataFrame, columns: list[str],
          cells: dict[Any, Any]) -> dict[str, Any]:
    first = part.iloc[0]
    return {
        "label": called[name], "synthetic": str(first["corpus_kind"]) == order.SYNTHETIC,
        "classes": int(first["classes"]), "chance": float(first["chance"]),
        "n": int(first["n"]), "n_speakers": int(first["n_speakers"]),
        "interval_by": str(first["interval_by"]),
        "cells": [cells.get((name, e)) for e in columns],
    }


def _cells(scores: pd.DataFrame, rows: pd.DataFrame, letters: dict[tuple[str, str], str],
           params: Params | None) -> list[dict[str, Any]]:
    called = order.labels(scores)
    validation = _scores_of(rows[rows["selected"].astype(bool) & (rows["split"] == "validation")])
    best = _scores_of(rows[rows["best_on_test"].astype(bool) & (rows["split"] == "test")])
    found = []
    for number, row in enumerate(scores.to_dict("records"), 1):
        at = tuple(row[k] for k in _SETTING)
        mark, said = MARKS[row["standing"]]
        cell = {**row, "id": f"score-{number}", "mark": mark, "said": said, "task_label": called[row["task"]],
                "normalised": origins.normalisation(row), "validation_said": _percent(validation.get(at)),
                "best_said": _percent(best.get(at)), "way": f"{row['way']:.3f}",
                "letters": letters.get((row["task"], row["embedding"]), ""), "command": origins.command(row, params)}
        cell["setting"] = f"{row['probe']}, normalised: {cell['normalised']}"
        found.append(cell | {"facts": _facts(cell)})
    return found


def _scores_of(rows: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    last = rows.drop_duplicates(_SETTING, keep="last")
    return dict(zip(last[_SETTING].itertuples(index=False, name=None), last["value"], strict=True))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _facts(cell: dict[str, Any]) -> list[tuple[str, str]]:
    by = f"bootstrap over {cell['interval_by']}s"
    metric = str(cell["metric"]).replace("_", " ")
    standing = [("Standing", cell["said"])] if cell["said"] else []
    standing += [("Group", f"{cell['letters']}: embeddings that share a letter are not told apart")] * bool(
        cell["letters"])
    noted = [("Notes", str(cell["notes"]))] if cell.get("notes") else []
    return [
        ("Test score", f"{_percent(cell['value'])} % {metric}, chance {_percent(cell['chance'])} %"),
        ("Interval", f"{_percent(cell['low'])} to {_percent(cell['high'])} %, {by}"),
        *standing,
        ("Chosen probe", cell["setting"]),
        ("Validation score", f"{cell['validation_said']} %"),
        ("Best on test", f"{cell['best_said']} % (optimistic: chosen on the test set)"),
        ("Converged", "yes" if cell["converged"] else "no"),
        ("Test set", f"{cell['n']} clips, {cell['n_speakers']} speakers, {cell['classes']} classes"),
        ("Vector", f"{cell['dim']} numbers"),
        *((name, text) for name, text in origins.facts(cell) if name not in _SAID),
        *noted,
    ]


def plain(table: pd.DataFrame | None, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a table as words: numbers rounded for reading, what is not there a dash.

    Parameters
    ----------
    table : pandas.DataFrame or None
        Any table.
    columns : list of str, optional
        Which columns; default all.

    Returns
    -------
    list of dict
    """
    if table is None or table.empty:
        return []
    shown = table[[c for c in (columns or table.columns) if c in table.columns]]
    return [{str(k): _word(v) for k, v in row.items()} for row in shown.to_dict("records")]


def _word(value: Any) -> Any:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        if math.isinf(value):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return value
