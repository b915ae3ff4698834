r"""Tables of a report for a paper: LaTeX with booktabs, to be pasted or ``\input``.

Each file is one ``tabular`` with its caption in a comment. Needed are the packages booktabs and, for the tables of
words, tabularx. Numbers are those of the page: percent with one decimal. Best of a column bold; what is not told apart
from it, underlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__: list[str] = []

_SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "—": "---", "×": r"$\times$", "±": r"$\pm$", "★": r"$\star$", "≈": r"$\approx$", "≥": r"$\ge$",
    "≤": r"$\le$", "…": r"\ldots{}", "−": "$-$", "·": r"$\cdot$", "\u200b": "", "“": "``", "”": "''", "’": "'",
})


def escape(text: Any) -> str:
    """Write a text so that LaTeX prints it."""
    return str(text).translate(_SPECIAL)


def format_results(table: dict[str, Any]) -> str:
    """Write the table of `nslib.report.tables.build_result_table`, embeddings by tasks; nothing if it is empty."""
    tasks = [task for group in table["groups"] for task in group["tasks"]]
    if not tasks:
        return ""
    head = ["", *(escape(task["label"]) for task in tasks)]
    about = [["chance", *(f"{100 * task['chance']:.1f}" for task in tasks)],
             ["clips / speakers", *(f"{task['n']} / {task['n_speakers']}" for task in tasks)]]
    body = [[escape(column["name"]), *(_format_score(task["cells"][k]) for task in tasks)]
            for k, column in enumerate(table["columns"])]
    caption = (f"Test score in percent ({table['metric_words']}) of the probe chosen on validation, with its "
               f"{table['level']} % interval. Bold: best of its column. Underlined: not separable from the best.")
    return _format_tabular(caption, "l" + "c" * len(tasks), head, [about, body])


def format_words(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], columns: str) -> str:
    """Write a table of words and numbers; `columns` are LaTeX's letters, an ``X`` is as wide as the line leaves."""
    return _format_tabular(caption, columns, [escape(h) for h in head],
                           [[[escape(cell) for cell in row] for row in rows]])


def _format_score(cell: dict[str, Any] | None) -> str:
    """Write a score with its interval, marked as best or tied."""
    if cell is None:
        return "--"
    value = f"{100 * cell['value']:.1f}"
    value = {"best": rf"\textbf{{{value}}}", "tied": rf"\underline{{{value}}}"}.get(cell["standing"], value)
    return f"{value} {{\\scriptsize [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]}}"


def _format_tabular(caption: str, columns: str, head: Sequence[str],
                    parts: Sequence[Sequence[Sequence[str]]]) -> str:
    """Put escaped cells into a tabular, a rule between the parts."""
    wide = "X" in columns
    kind = "tabularx" if wide else "tabular"
    begin = rf"\begin{{{kind}}}" + (r"{\textwidth}" if wide else "") + f"{{{columns}}}"
    body = "\n\\midrule\n".join("\n".join(" & ".join(row) + r" \\" for row in part) for part in parts if part)
    comment, top = " ".join(caption.split()), " & ".join(head)  # a line break would end the comment
    return f"% {comment}\n{begin}\n\\toprule\n{top} \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{{kind}}}\n"
