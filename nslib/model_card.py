"""A model card: what an embedding is, whether it keeps the contract, and what was measured of it.

Reference: M. Mitchell and others, *Model Cards for Model Reporting*, FAT* 2019, for what such a card should answer.
What only its author knows is asked for, and left open.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nslib import tables
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.embeddings.checker import CheckReport

if TYPE_CHECKING:
    import pandas as pd

BY_HAND = {
    "Intended use": "Which questions is it meant to answer, and which not?",
    "Training data": "Whose voices, which languages, how many hours, with whose consent?",
    "Known failures": "Where does it go wrong: noise, telephone, children, accents?",
    "Risks": "What could its vectors give away about a person?",
}
"""What the card asks of its author."""


def make(embedding: Embedding, report: CheckReport, rows: pd.DataFrame | None = None) -> str:
    """Write the card of an embedding.

    Parameters
    ----------
    embedding : Embedding
    report : CheckReport
        Of `nslib.embeddings.check`.
    rows : DataFrame, optional
        Results, in which those of the embedding with these weights are looked for.

    Returns
    -------
    str
        Markdown.
    """
    parts = [f"# {embedding.name}", _facts(embedding), "## To be filled in by its author",
             "\n".join(f"- **{what}**: {question}" for what, question in BY_HAND.items()),
             "## The contract", f"```text\n{report}\n```", "## Measured", _measured(embedding, rows)]
    return "\n\n".join(parts) + "\n"


def _facts(embedding: Embedding) -> str:
    time = (f"a vector each {embedding.hop:g} s, of {embedding.window:g} s of sound" if embedding.hop
            else "one vector a clip")
    facts = {"Vectors": f"{embedding.dim} numbers, {time}", "Sound": f"mono, {SAMPLE_RATE} Hz",
             "Shortest clip": f"{embedding.min_samples / SAMPLE_RATE:.3g} s; shorter ones get zeros ({embedding.pad})",
             "Parameters": f"{embedding.parameters:,}" if embedding.parameters else "not stated, or none",
             "Trained on": embedding.trained_on, "Licence": embedding.licence, "Source": embedding.source,
             "Fingerprint": embedding.fingerprint}
    facts |= {"Cite": embedding.citation} if embedding.citation else {}
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {said} |" for what, said in facts.items())])


def _measured(embedding: Embedding, rows: pd.DataFrame | None) -> str:
    mine = [] if rows is None or rows.empty else [
        row for row in tables.selected(rows[rows["weights_hash"] == embedding.fingerprint]).to_dict("records")
        if not math.isnan(row["value"])]
    if not mine:
        return "Nothing yet: `python -m nslib benchmark` measures it."
    head = ("task", "score", "interval", "chance", "test clips", "speakers", "probe", "data", "split")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in mine:
        synthetic = " (synthetic)" if row["corpus_kind"] == "synthetic" else ""
        interval = (f"{100 * row['low']:.1f} to {100 * row['high']:.1f} "
                    f"({100 * row['level']:.0f} %, over {row['interval_by']}s)")
        cells = (f"{row['task']}{synthetic}", f"{100 * row['value']:.1f} % {row['metric']}", interval,
                 f"{100 * row['chance']:.1f}", row["n"], row["n_speakers"], row["probe"], row["data_hash"],
                 row["split_hash"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
