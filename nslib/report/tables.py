r"""What the pages show, as plain values: the result table with the facts of each score; tables for LaTeX.

Templates compute nothing: every mark, word and number that they show is decided here. A row is one of
`nslib.evaluation.results.ROWS`, as a mapping; a score of the result table is named ``task/embedding``. For a paper,
each file is one ``tabular`` to be pasted or ``\input``, with its caption in a comment; it needs booktabs and, for
tables of words, tabularx. Best of a column bold; what is not told apart from it, underlined.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nslib import embeddings
from nslib.datasets.tasks import REGISTRY
from nslib.errors import NslibError
from nslib.figures import scores as figures_scores
from nslib.paper.claims import FINE_TUNED
from nslib.statistics import comparisons
from nslib.statistics.intervals import RESAMPLES
from nslib.statistics.scores import select_scores

if TYPE_CHECKING:
    import pandas as pd

    from nslib.config import Params

__all__: list[str] = []

MARKS = {"best": ("★", "best"), "tied": ("≈", "not separable from the best"), "": ("", "")}
_SPEECH = {"real": "recorded speech", "synthetic": "computer voices"}
_TRAINED = ("finetuned-", "frozen-")
_SETTING = ["task", "embedding", "seed"]
_SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "—": "---", "×": r"$\times$", "±": r"$\pm$", "★": r"$\star$", "≈": r"$\approx$", "≥": r"$\ge$",
    "≤": r"$\le$", "…": r"\ldots{}", "−": "$-$", "·": r"$\cdot$", "\u200b": "", "“": "``", "”": "''", "’": "'",
})


def build_result_table(rows: pd.DataFrame, predictions: pd.DataFrame | None = None,
                       params: Params | None = None) -> dict[str, Any]:
    """Arrange the chosen scores, recordings before synthetic tasks; empty lists and words if nothing was scored."""
    if select_scores(rows).empty:
        return {"groups": [], "columns": [], "cells": [], "metric_words": "", "level": "",
                "has_synthetic": False, "has_letters": False}
    scores = figures_scores.select_scores(rows)
    scores = scores.assign(standing=figures_scores.mark_best(scores, predictions),
                           way=figures_scores.correct_for_chance(scores).clip(0, 1))
    columns, letters = figures_scores.order_embeddings(scores), {}
    if predictions is not None and not predictions.empty:
        groups = comparisons.group_embeddings(rows, predictions)
        letters = {(row.task, row.embedding): row.letters for row in groups.itertuples()}
    cells = {(cell["task"], cell["embedding"]): cell for cell in _build_cells(scores, rows, letters, params)}
    return {
        "groups": _build_groups(scores, columns, cells),
        "columns": [{"name": name} for name in columns],
        "cells": list(cells.values()),
        "metric_words": " or ".join(sorted(m.replace("_", " ") for m in scores["metric"].unique())),
        "level": f"{100 * float(scores['level'].iloc[0]):.0f}",
        "has_synthetic": bool((scores["corpus_kind"] == figures_scores.SYNTHETIC).any()),
        "has_letters": bool(letters),
    }


def _build_groups(scores: pd.DataFrame, columns: list[str], cells: dict[Any, Any]) -> list[dict[str, Any]]:
    """Arrange cells by task, recordings first; a cell that was not run is None."""
    labels, groups = figures_scores.label_tasks(scores), []
    titles = {False: "Recorded speech", True: "Synthetic speech, computer voices"}
    for synthetic, part in scores.groupby(scores["corpus_kind"] == figures_scores.SYNTHETIC):
        tasks = []
        for name, first in ((name, one.iloc[0]) for name, one in part.groupby("task", sort=False)):
            tasks.append({
                "label": labels[str(name)], "synthetic": bool(synthetic), "classes": int(first["classes"]),
                "chance": float(first["chance"]), "n": int(first["n"]), "n_speakers": int(first["n_speakers"]),
                "interval_by": str(first["interval_by"]), "cells": [cells.get((name, e)) for e in columns]})
        groups.append({"title": titles[bool(synthetic)], "synthetic": bool(synthetic), "tasks": tasks})
    return groups


def _build_cells(scores: pd.DataFrame, rows: pd.DataFrame, letters: dict[tuple[str, str], str],
                 params: Params | None) -> list[dict[str, Any]]:
    """Add to each score its mark, its words, and where it comes from."""
    labels = figures_scores.label_tasks(scores)
    validation = _index_values(rows[rows["selected"] & (rows["split"] == "validation")])
    best = _index_values(rows[rows["best_on_test"] & (rows["split"] == "test")])
    cells = []
    for number, row in enumerate(scores.to_dict("records"), 1):
        at = tuple(row[name] for name in _SETTING)
        mark, words = MARKS[row["standing"]]
        normalised = [word for word, on in (("L2", row["l2"]), ("z-score by speaker", row["speaker_norm"])) if on]
        cell = {**row, "id": f"score-{number}", "mark": mark, "said": words, "task_label": labels[row["task"]],
                "normalised": " and ".join(normalised) or "none", "validation_said": _percent(validation.get(at)),
                "best_said": _percent(best.get(at)), "way": f"{row['way']:.3f}",
                "letters": letters.get((row["task"], row["embedding"]), ""), "command": write_command(row, params)}
        cell["setting"] = f"{row['probe']}, normalised: {cell['normalised']}"
        cells.append(cell | {"facts": _describe_cell(cell)})
    return cells


def _index_values(rows: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Map task, embedding and seed to the newest value."""
    return dict(zip(rows[_SETTING].itertuples(index=False, name=None), rows["value"], strict=True))


def _percent(value: float | None) -> str:
    """Write a share in percent, one that is missing as a dash."""
    return "–" if value is None else f"{100 * value:.1f}"


def _describe_cell(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how a score was made and where it comes from: pairs of what, and its value in words."""
    interval = "none: there is no score"
    if cell["interval_by"]:
        interval = (f"{_percent(cell['low'])} to {_percent(cell['high'])} % ({100 * cell['level']:.0f} % interval), "
                    f"bootstrap over {cell['interval_by']}s, {RESAMPLES} resamples, seed {cell['seed']}")
    task = REGISTRY.get(str(cell["task"]))
    facts = [
        ("Test score", f"{_percent(cell['value'])} % {str(cell['metric']).replace('_', ' ')}, "
                       f"chance {_percent(cell['chance'])} %"),
        ("Interval", interval), ("Standing", cell["said"]),
        ("Group", f"{cell['letters']}: embeddings that share a letter are not told apart" if cell["letters"] else ""),
        ("Chosen probe", cell["setting"]), ("Validation score", f"{cell['validation_said']} %"),
        ("Best on test", f"{cell['best_said']} % (optimistic: chosen on the test set)"),
        ("Converged", "yes" if cell["converged"] else "no"),
        ("Test set", f"{cell['n']} clips, {cell['n_speakers']} speakers, {cell['classes']} classes"),
        ("Vector", f"{cell['dim']} numbers"), ("Result key", str(cell["key"])[:12]),
        ("Data", f"{cell['data_hash']} ({_SPEECH.get(str(cell['corpus_kind']), str(cell['corpus_kind']))})"),
        ("Split", f"{cell['split_hash']} ({task.split if task else 'as given or drawn'})"),
        ("Weights", str(cell["weights_hash"])), ("Lock file", str(cell["lock_hash"])),
        ("Code", str(cell["code_revision"])), ("Seed", str(cell["seed"])),
        ("When", str(cell["when"]).replace("T", " ").replace("+00:00", " UTC")),
        ("Notebook", "07_finetune" if is_fine_tuned(cell) else "05_benchmark"),
        ("Notes", str(cell["notes"])),
    ]
    return [(name, words) for name, words in facts if words or name not in ("Standing", "Group", "Notes")]


def write_command(row: Mapping[str, Any], params: Params | None = None) -> str:
    """Write the shell command that makes just this score again, with FOLDER and FILE for what only the user knows."""
    name, embedding = str(row["task"]), str(row["embedding"])
    task = REGISTRY.get(name)
    if task is None:
        words = ["benchmark", shlex.quote(embedding) if is_built_in(embedding) else "FILE", "--dataset", "FOLDER"]
    elif not is_built_in(embedding) and not is_fine_tuned(row):
        words = ["benchmark", "FILE", "--tasks", shlex.quote(name)]
    else:
        words = ["reproduce", shlex.quote(f"{name}/{embedding}")]
    words += ["--profile", "paper"] if task is not None and task.profile == "paper" else []
    words += ["--seed", str(row["seed"])] if int(row["seed"]) else []
    words += ["--smoke"] if params is not None and params.smoke else []
    return " ".join(["python -m nslib", *words])


def is_fine_tuned(row: Mapping[str, Any]) -> bool:
    """Tell whether a score is of a network that was trained for the task, and of no probe."""
    return str(row["probe"]).startswith(_TRAINED) or row["embedding"] == FINE_TUNED


def is_built_in(embedding: str) -> bool:
    """Tell whether the kit knows an embedding by this name, such as ``logmel`` or ``trill-mini-top@litert``."""
    try:
        embeddings.needs_extra(embedding)
    except NslibError:
        return False
    return True


def format_rows(table: pd.DataFrame | None, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Write the rows of any table as words: numbers rounded for reading, what is not there a dash."""
    if table is None or table.empty:
        return []
    shown = table[[c for c in (columns or table.columns) if c in table.columns]]
    return [{str(k): _format_value(v) for k, v in row.items()} for row in shown.to_dict("records")]


def _format_value(value: Any) -> Any:
    """Round a number for reading."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if 100 <= abs(value) < math.inf else f"{value:.3g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return value


def _escape(text: Any) -> str:
    """Write a text so that LaTeX prints it."""
    return str(text).translate(_SPECIAL)


def format_latex_results(table: dict[str, Any]) -> str:
    """Write the table of `build_result_table`, embeddings by tasks; nothing if it is empty."""
    tasks = [task for group in table["groups"] for task in group["tasks"]]
    if not tasks:
        return ""
    head = ["", *(_escape(task["label"]) for task in tasks)]
    about = [["chance", *(f"{100 * task['chance']:.1f}" for task in tasks)],
             ["clips / speakers", *(f"{task['n']} / {task['n_speakers']}" for task in tasks)]]
    body = [[_escape(column["name"]), *(_format_score(task["cells"][k]) for task in tasks)]
            for k, column in enumerate(table["columns"])]
    caption = (f"Test score in percent ({table['metric_words']}) of the probe chosen on validation, with its "
               f"{table['level']} % interval. Bold: best of its column. Underlined: not separable from the best.")
    return _format_tabular(caption, "l" + "c" * len(tasks), head, [about, body])


def format_latex_words(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], columns: str) -> str:
    """Write a table of words and numbers; `columns` are LaTeX's letters, an ``X`` is as wide as the line leaves."""
    return _format_tabular(caption, columns, [_escape(h) for h in head],
                           [[[_escape(cell) for cell in row] for row in rows]])


def _format_score(cell: dict[str, Any] | None) -> str:
    """Write a score with its interval, marked as best or tied."""
    if cell is None:
        return "--"
    value = f"{100 * cell['value']:.1f}"
    value = {"best": rf"\textbf{{{value}}}", "tied": rf"\underline{{{value}}}"}.get(cell["standing"], value)
    return f"{value} {{\\scriptsize [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]}}"


def _format_tabular(caption: str, columns: str, head: Sequence[str], parts: Sequence[Sequence[Sequence[str]]]) -> str:
    """Put escaped cells into a tabular, a rule between the parts."""
    wide = "X" in columns
    kind = "tabularx" if wide else "tabular"
    begin = rf"\begin{{{kind}}}" + (r"{\textwidth}" if wide else "") + f"{{{columns}}}"
    body = "\n\\midrule\n".join("\n".join(" & ".join(row) + r" \\" for row in part) for part in parts if part)
    comment, top = " ".join(caption.split()), " & ".join(head)  # a line break would end the comment
    return f"% {comment}\n{begin}\n\\toprule\n{top} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{{kind}}}\n"
