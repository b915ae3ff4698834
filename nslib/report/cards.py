"""A model card: what an embedding is, whether it keeps the contract, and what was measured of it; tables in READMEs.

Reference: M. Mitchell and others, *Model Cards for Model Reporting*, FAT* 2019, for what such a card should answer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import config
from nslib.embeddings.base import SAMPLE_RATE, CheckReport, Embedding
from nslib.errors import NslibError
from nslib.statistics.scores import select_scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_model_card", "update_readme"]

QUESTIONS = {
    "Intended use": "Which questions is it meant to answer, and which not?",
    "Training data": "Whose voices, which languages, how many hours, with whose consent?",
    "Known failures": "Where does it go wrong: noise, telephone, children, accents?",
    "Risks": "What could its vectors give away about a person?",
}
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
_TABLE = re.compile(r"^\| Embedding .*(?:\n\|.*)+", re.MULTILINE)
_CLAIM = re.compile(r"^- \d\. .+: \*\*.+$", re.MULTILINE)


def make_model_card(embedding: Embedding, report: CheckReport, rows: pd.DataFrame | None = None) -> str:
    """Write the card of an embedding as Markdown; among the results in `rows` those of these very weights count."""
    time = (f"a vector each {embedding.hop:g} s, of {embedding.window:g} s of sound" if embedding.hop
            else "one vector a clip")
    facts = {"Vectors": f"{embedding.dim} numbers, {time}", "Sound": f"mono, {SAMPLE_RATE} Hz",
             "Shortest clip": f"{embedding.min_samples / SAMPLE_RATE:.3g} s; shorter ones get zeros ({embedding.pad})",
             "Parameters": f"{embedding.parameters:,}" if embedding.parameters else "not stated, or none",
             "Trained on": embedding.trained_on, "Heard of the tasks": embedding.overlap or "none, as far as stated",
             "Licence": embedding.licence, "Source": embedding.source, "Fingerprint": embedding.fingerprint}
    facts |= {"Output": embedding.output} if embedding.output else {}
    facts |= {"Cite": embedding.citation} if embedding.citation else {}
    table = "\n".join(["| | |", "|---|---|", *(f"| {what} | {words} |" for what, words in facts.items())])
    questions = "\n".join(f"- **{what}**: {question}" for what, question in QUESTIONS.items())
    parts = [f"# {embedding.name}", table, "## To be filled in by its author", questions,
             "## The contract", f"```text\n{report}\n```", "## Measured", _list_scores(embedding, rows)]
    return "\n\n".join(parts) + "\n"


def _list_scores(embedding: Embedding, rows: pd.DataFrame | None) -> str:
    """Write the scores of these very weights, as a table."""
    own = None if rows is None else select_scores(rows[rows["weights_hash"] == embedding.fingerprint])
    if own is None or own["value"].isna().all():
        return "Nothing yet: `python -m nslib benchmark` measures it."
    lines = [("task", "score", "interval", "chance", "test clips", "speakers", "probe", "data", "split"), ("---",) * 9]
    for row in own[own["value"].notna()].to_dict("records"):
        synthetic = " (synthetic)" if row["corpus_kind"] == "synthetic" else ""
        interval = (f"{100 * row['low']:.1f} to {100 * row['high']:.1f} "
                    f"({100 * row['level']:.0f} %, over {row['interval_by']}s)")
        lines.append((f"{row['task']}{synthetic}", f"{100 * row['value']:.1f} % {row['metric']}", interval,
                      f"{100 * row['chance']:.1f}", row["n"], row["n_speakers"], row["probe"], row["data_hash"],
                      row["split_hash"]))
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def update_readme() -> None:
    """Put table and claims of the last full run into the README, the table into trill-mini's card, for maintainers."""
    summary, revision = config.reports_dir() / "summary.md", config.code_revision().removesuffix("-dirty")
    copy_result_table(summary, config.root() / "README.md", revision)
    card = config.data_dir() / "models" / "trill-mini" / "card.md"
    copy_result_table(summary, card, revision, ("trill-mini", "logmel", "mfcc"))


def copy_result_table(summary: Path, page: Path, revision: str, only: tuple[str, ...] = ()) -> None:
    """Copy the table of a full run, and the claims, between the markers of a page.

    ``only`` are beginnings of embeddings to show, without the claims.
    """
    made, text = summary.read_text(), page.read_text()
    table = _TABLE.search(made)
    if not table or "numbers mean nothing" in made.lower():
        raise NslibError(f"{summary} has no table of a full run. Run make reproduce (without SMOKE) first.")
    if BEGIN not in text or END not in text:
        raise NslibError(f"{page} lacks the markers {BEGIN} and {END}.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    note = (f"Percent of test clips, made by `make reproduce` at {revision}. "
            "**Bold** ★: best of its column; ≈: not separable from it.")
    head, rows = table[0].splitlines()[:4], table[0].splitlines()[4:]
    rows = [row for row in rows if not only or row.removeprefix("| ").startswith(only)]
    claims = [] if only else ["", "What the run shows of the paper's claims:", "", *_CLAIM.findall(made)]
    config.write_file(page, "\n".join([f"{before}{BEGIN}", *head, *rows, "", note, *claims, f"{END}{after}"]))
