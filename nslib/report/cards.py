"""A model card: what an embedding is, whether it keeps the contract, and what was measured of it.

Reference: M. Mitchell and others, *Model Cards for Model Reporting*, FAT* 2019, for what such a card should answer.
"""

from __future__ import annotations

import pandas as pd

from nslib.embeddings.base import SAMPLE_RATE, CheckReport, Embedding
from nslib.statistics.scores import select_scores

__all__ = ["make_model_card"]

QUESTIONS = {
    "Intended use": "Which questions is it meant to answer, and which not?",
    "Training data": "Whose voices, which languages, how many hours, with whose consent?",
    "Known failures": "Where does it go wrong: noise, telephone, children, accents?",
    "Risks": "What could its vectors give away about a person?",
}


def make_model_card(embedding: Embedding, report: CheckReport, rows: pd.DataFrame) -> str:
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


def _list_scores(embedding: Embedding, rows: pd.DataFrame) -> str:
    """Write the scores of these very weights, as a table."""
    own = select_scores(rows[rows["weights_hash"] == embedding.fingerprint])
    if own["value"].isna().all():
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
