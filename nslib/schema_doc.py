"""``docs/results.md``, written from the schema itself: ``python -m nslib.schema_doc``.

What a reader of the files needs is said once, in `nslib.schema`; the page adds where the files are and how to read
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nslib import params
from nslib.files import write
from nslib.schema import LEDGER, PREDICTIONS, PROTOCOL_ANSWERS, PROTOCOL_ROWS, ROWS, Column

_TABLES = (
    ("Scores", "`results.parquet`, `results.csv`, `results/<key>.rows.parquet`", ROWS,
     "One row a task, embedding, probe, normalisation and split. The result of an embedding on a task is the row with "
     "`selected` and `split == \"test\"`: the test score of what did best on validation."),
    ("Answers", "`results/<key>.predictions.parquet`", PREDICTIONS,
     "One row a test clip, of the selected probe. Score, interval and counts of the selected row follow from it."),
    ("Protocols", "`results/<key>.protocol.parquet`", PROTOCOL_ROWS,
     "Within speakers, repeated splits, and the protocol switch. One row a split and combination, a split and speaker, "
     "and, with empty `split_number` and `speaker`, over all of them."),
    ("Answers of the protocols", "`results/<key>.answers.parquet`", PROTOCOL_ANSWERS,
     "One row a test clip and split, of what was chosen on validation."),
    ("Cost ledger", "the table under *Cost* in `index.html`; `Results.ledger`", LEDGER,
     "One row an embedding: what computing all of its vectors took on the machine that did it. It is no result: it "
     "is kept beside the vectors in the cache, and another machine has another one."),
)

_INTRODUCTION = """\
# Results: files and columns

This page is made from `nslib.schema` by `python -m nslib.schema_doc`; a test holds the two together.

A report folder (`reports/`) has every score in one table, twice: `results.parquet`, with types, and `results.csv`, in
full precision. Beside them, `results/` keeps each result by itself, never changed, with the answers that it is made of.

<!-- not run here: needs a whole report -->
```python
from pathlib import Path

import pandas as pd

rows = pd.read_parquet("reports/results.parquet")
chosen = rows[rows["selected"] & (rows["split"] == "test")]      # the table of the report
chosen.pivot(index="task", columns="embedding", values="value")

answers = pd.concat(pd.read_parquet(path) for path in Path("reports/results").glob("*.predictions.parquet"))
```

- A *key* is a hash of all that decides a result: task, embedding, recordings, splits, weights, settings, the code of
  the probes, and the versions of NumPy, SciPy and scikit-learn. Equal keys mean that the same would be computed again.
- Scores are shares between 0 and 1 (d' has no bounds); pages show them in percent. A score that could not be had is
  NaN, in CSV an empty field, and `reason` says why. Text that is not there is empty, never NaN.
- Types: `str` is text, `int` 64-bit, `float` double precision, `bool` true or false.
- `python -m nslib report --verify` recomputes the numbers; `python -m nslib reproduce TASK/EMBEDDING` computes one cell
  again; `python -m nslib compare REPORTS_A REPORTS_B` says what moved between two runs.
"""


def text() -> str:
    """The page.

    Returns
    -------
    str
        Markdown.
    """
    return "\n".join([_INTRODUCTION, *(_section(*table) for table in _TABLES)])


def path() -> Path:
    """Path: where the page is in the checkout."""
    return params.root() / "docs" / "results.md"


def _section(title: str, files: str, columns: Sequence[Column], about: str) -> str:
    lines = [f"| `{c.name}` | {c.dtype} | {c.unit or '–'} | {c.meaning} |" for c in columns]
    return "\n".join([f"## {title}", "", f"In {files}.", "", about, "", "| Column | Type | Unit | Meaning |",
                      "|---|---|---|---|", *lines, ""])


if __name__ == "__main__":
    write(path(), text())
