"""What `benchmark` shows: a table for a terminal, JSON for programs, and one page that is complete in itself.

All three say the same of a task: who is tested, whether speakers of the test are in training too (whoever drew the
split), the score of each embedding with its probe and normalisation, what is left of it without the z-score by speaker
where that was chosen, and the controls, if they were measured.

Beside it the card of an embedding: what it is, whether it keeps the contract, what was measured of it; after Mitchell
and others, *Model Cards for Model Reporting*, FAT* 2019, for what such a card should answer.
"""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import nslib
from nslib import config
from nslib import figures as nslib_figures
from nslib.datasets.card import audit_clips
from nslib.datasets.splits import SPLIT_NAMES, count_folds, label_is_speaker
from nslib.embeddings.base import SAMPLE_RATE, CheckReport, Embedding
from nslib.errors import BadParameter, NslibError
from nslib.evaluation import benchmark, probe
from nslib.evaluation.protocols import ProtocolResults
from nslib.evaluation.results import Results, choose_layers, count_tested, name_choice
from nslib.report import html
from nslib.report.notebooks import render
from nslib.statistics.embedding_map import map_vectors
from nslib.statistics.scores import CHOSEN_BY_FOLD, get_metric, select_scores

__all__ = ["describe_results", "format_json", "format_notes", "format_table", "make_model_card", "say_next",
           "write_page"]

LEGEND = ("★ best, ≈ not separable from it. +L2: vectors of unit length. +z: z-scored over all clips of a speaker, "
          "also of the test (transductive; --no-transductive leaves it out of the choice).")
_LONGEST_NOTE = 600
_SECTIONS = {"results": "Results", "controls": "Controls", "figures": "Figures", "audit": "Audit",
             "not-run": "Not run", "made": "How made"}
_TASK = ("task", "protocol", "shots", "metric", "classes", "chance", "n", "n_train", "n_speakers", "interval_by",
         "level", "warnings")
QUESTIONS = {
    "Intended use": "Which questions is it meant to answer, and which not?",
    "Training data": "Whose voices, which languages, how many hours, with whose consent?",
    "Known failures": "Where does it go wrong: noise, telephone, children, accents?",
    "Risks": "What could its vectors give away about a person?"}
_SCORE = ("embedding", "standing", "value", "low", "high", "validation", "short", "probe", "l2", "speaker_norm",
          "best_layer")


def describe_results(measured: Results, params: config.Params, controls: pd.DataFrame | None = None) -> dict[str, Any]:
    """Arrange what is shown: tables of `nslib.report.html`, one a metric, each task with leak and controls."""
    tables, layers = [], choose_layers(measured.rows, measured.layers)
    for metric, rows in measured.rows.groupby("metric", sort=False):
        tables.append(html.build_result_table(rows, measured.predictions, params, layers))
        for task in tables[-1]["shown"]:
            cells = [cell for cell in task["cells"] if cell]
            own = measured.clips["task"] == cells[0]["task"]
            task |= {"task": cells[0]["task"], "level": cells[0]["level"], "controls": []}
            task["warnings"] = describe_test(measured.clips[own]) if len(tables) == 1 else []
            if not any(cell["mark"] for cell in cells):
                task["warnings"].append("No score that can be the best is told from chance, so none is marked.")
            if controls is not None:
                here = (controls["task"] == task["task"]) & (controls["metric"] == metric)
                task["controls"] = controls[here].to_dict("records")
            for cell in cells:
                cell |= _describe_choice(cell, rows[rows["key"] == cell["key"]], layers)
    return _join_tables(tables) if tables else html.build_result_table(measured.rows)


def _describe_protocols(measured: Any) -> list[dict[str, Any]]:
    """Arrange the scores of protocols as those of a benchmark are: a block a task, protocol, shots and metric."""
    shown: dict[Any, dict[str, Any]] = {}
    for key, own in measured.summary().groupby(["task", "protocol", "shots"], sort=False):
        layers = choose_layers(own.assign(split="validation", value=own["validation"]), measured.layers)
        for row in own.to_dict("records"):
            row |= {"short": name_choice(row, layers), "best_layer": layers.get((row["task"], row["embedding"]))}
            shown.setdefault((key, row["metric"]), row | {"cells": []})["cells"].append(row)
    return [*shown.values()]


def _join_tables(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Set tables of several metrics side by side; the order of embeddings is that of the first."""
    first, *others = tables
    for number, other in enumerate(others, 1):
        for task in other["shown"]:
            of = dict(zip(other["columns"], task["cells"], strict=True))
            task["cells"] = [of.get(name) for name in first["columns"]]
        for cell in other["cells"]:
            cell["id"] += f"-{number}"
    if others:
        for task in (task for table in tables for task in table["shown"]):
            task["label"] += f", {get_metric(task['metric']).words}"
    return first | {
        **{name: [one for table in tables for one in table[name]] for name in ("shown", "cells")},
        "metric_words": " or ".join(table["metric_words"] for table in tables),
        "in_percent": all(table["in_percent"] for table in tables)}


def _describe_choice(cell: dict[str, Any], rows: pd.DataFrame, layers: dict[tuple[str, str], bool]) -> dict[str, Any]:
    """Name probe and normalisation of a score; if it is transductive, add what validation chooses ``without`` that."""
    validation, test = (rows[rows["split"] == split].reset_index(drop=True) for split in ("validation", "test"))
    plain = ~validation["speaker_norm"] & (cell["probe"] != CHOSEN_BY_FOLD)
    chosen, without = validation.loc[validation["selected"], "value"], None
    if cell["speaker_norm"] and plain.any():
        other = test[probe.select_best(validation["value"].where(plain), str(cell["metric"]))].iloc[0].to_dict()
        without = {name: other[name] for name in ("value", "low", "high")} | {"short": name_choice(other)}
    return {"short": name_choice(cell, layers), "validation": float(chosen.iloc[0]), "without": without,
            "best_layer": layers.get((cell["task"], cell["embedding"]))}


def describe_test(clips: pd.DataFrame) -> list[str]:
    """Say what a test has in common with training and should not, speakers, and what it should: source and rate."""
    known = clips[clips["speaker"].fillna("") != ""]
    if count_folds(clips.dropna(axis=1, how="all")) or label_is_speaker(known["label"], known["speaker"]):
        return []
    learnt, test = (clips[clips["split"] == name] for name in ("train", "test"))
    shared = test[test["speaker"].isin({*learnt["speaker"]} - {""})]
    said = []
    if len(shared):
        who = f"{shared['speaker'].nunique()} of {test['speaker'].nunique()} test speakers"
        said.append(f"{who}, with {len(shared)} of {len(test)} clips, are in training too: scores may be of known "
                    "voices.")
    for what, (mine, other) in {"source": _list_places(test, learnt), "rate": [
            {f"{rate} Hz" for rate in part["sample_rate"]} for part in (test, learnt)]}.items():
        if mine and other and not mine & other:
            said.append(f"All test clips are of another {what} ({', '.join(sorted(mine))}) than those of training "
                        f"({', '.join(sorted(other))}): a score from one corpus to another.")
    return said


def _list_places(test: pd.DataFrame, learnt: pd.DataFrame) -> list[set[str]]:
    """Name the sources of two parts, or the folders in which they lie apart, unless these are named as splits are."""
    named = [{*part["source"]} for part in (test, learnt)]
    if named[0] & named[1] and len(test) and len(learnt):
        roots = [Path(os.path.commonpath([os.path.dirname(path) for path in part["audio"]])) for part in (test, learnt)]
        base = Path(os.path.commonpath(roots))
        apart = [root.relative_to(base).parts[:1] for root in roots]
        return [{*names} - {*SPLIT_NAMES} for names in apart]
    return named


def format_table(table: Mapping[str, Any], width: int = 80) -> str:
    """Write a block a task: embeddings as rows, the best marked, no line longer than `width`."""
    lines = []
    for task in table["shown"]:
        words = get_metric(task["metric"]).words
        head = task["label"] if task["label"].endswith(words) else f"{task['label']}: {words}"
        classes = f"{task['classes']} classes" if task["classes"] else "numbers"
        lines += textwrap.wrap(
            f"{head}, {classes}, chance {task['chance']:.2f}; test: "
            f"{count_tested(task['n'], task['n_speakers'])}; {100 * task['level']:.0f} % intervals over "
            f"{task['interval_by']}s", width, subsequent_indent="  ")
        rows: list[tuple[str, str, Mapping[str, Any] | None, str]] = []
        pairs = zip(table["columns"], task["cells"], strict=True)
        sign = -1 if get_metric(task["metric"]).higher_is_better else 1
        for name, cell in sorted(pairs, key=lambda pair: sign * pair[1]["value"] if pair[1] else math.inf):
            rows.append((cell["mark"] if cell else "", name, cell, cell["short"] if cell else ""))
            if cell and cell["without"]:
                rows.append(("", "  without +z", cell["without"], cell["without"]["short"]))
        for row in task["controls"]:
            by = {"": "", "permutation": "range"}.get(row["interval_by"], f"over {row['interval_by']}s")
            rows.append(("-", row["control"], row, f"{by} {row['embedding']}".strip()))
        wide = max(len(name) for _, name, _, _ in rows)
        for mark, name, row, words in rows:
            lines += _format_line(f"{mark or ' '} {name:<{wide}}", row, words, width)
        for text in filter(None, [*task["warnings"], *(row["says"] for row in task["controls"])]):
            lines += textwrap.wrap(f"! {text}", width, subsequent_indent="  ")
        lines.append("")
    return "\n".join([*lines, *textwrap.wrap(LEGEND, width)])


def _format_line(name: str, row: Mapping[str, Any] | None, words: str, width: int) -> list[str]:
    """Write a score; what does not fit goes into lines of its own."""
    value = "not run" if row is None else "not measured"
    if row and row["value"] == row["value"]:
        value = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    line = f"{name}  {value:<17}  {words}".rstrip()
    if len(line) <= width:
        return [line]
    below = [f"    {part}" for text in (value, words) for part in textwrap.wrap(text, max(width - 4, 20))]
    return [*textwrap.wrap(name, width), *below]


def format_notes(notes: Iterable[str], names: Collection[str], width: int = 80) -> str:
    """Write notes for a terminal: those that differ in names and numbers only once, and counted; long ones cut."""
    groups: dict[str, list[str]] = {}
    for note in html.group_notes(notes, names):
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "#", note), []).append(note)
    lines = []
    for text, *alike in groups.values():
        if len(text) > _LONGEST_NOTE:
            text = f"{text[:_LONGEST_NOTE]} ... ({len(text):,} characters; --json has all)"
        more = f" ({len(alike)} more differ from this in numbers only.)" if alike else ""
        lines += textwrap.wrap(f"note: {text}{more}", max(width, 40), subsequent_indent="  ")
    return "\n".join(lines)


def format_json(measured: Results | ProtocolResults, table: Mapping[str, Any] | None = None) -> str:
    """Write everything that is shown for programs (of protocols without a table); what is no number is null."""
    tasks = [{key: task[key] for key in _TASK if key in task} | {
        "scores": [{key: cell.get(key) for key in (*_SCORE, "without", "key")} for cell in task["cells"] if cell],
        "controls": task.get("controls", [])} for task in (table["shown"] if table else _describe_protocols(measured))]
    text = json.dumps({
        "tasks": tasks, "notes": list(measured.notes), "not_run": measured.not_run.to_dict("records"),
        "left_out": measured.problems.to_dict("records")})
    return json.dumps(json.loads(text, parse_constant=lambda name: None), indent=2, ensure_ascii=False)


def say_next(rows: pd.DataFrame, out: Path | None, page: Path | None, controls: bool) -> str:
    """Say in a sentence where the table lies and what to do next."""
    numbers = any(get_metric(name).needs == "numbers" for name in rows["metric"].unique())
    where = [str(config.reports_dir() / "results"), *(str(path) for path in (out, page) if path)]
    then = ("--report page.html draws confusion, map and audit" if (controls or numbers) and not page else
            "protocol k-fold asks everybody once" if numbers else
            "train classifier keeps the best as a model" if controls else
            "--controls measures what chance, silence and a random split give")
    return f"Scores and answers are in {', '.join(where)}. Next: {then}."


def write_page(measured: Results, path: Path, params: config.Params, *, controls: pd.DataFrame | None = None,
               embeddings: Iterable[benchmark.Embeddable] = (), command: str = "") -> Path:
    """Write one ``.html`` that fetches nothing, with a map of the best of `embeddings`; `command` makes it again."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise BadParameter(f"cannot write {str(path)!r} as a page: give a file name that ends in .html.")
    specs = {spec.name: spec for spec in benchmark.specify_embeddings(embeddings or None)}
    table, clips = describe_results(measured, params, controls), measured.clips
    for cell in table["cells"] if command else ():
        cell["command"] = command
    figures, undrawn = _draw_figures(measured, table, specs)
    names = {*measured.rows["embedding"], *measured.not_run["embedding"]}
    problems = ["task", "clip_id", "reason", "remedy"]
    filled = {"controls": any(task["controls"] for task in table["shown"]), "figures": figures}
    numbers = {task["task"] for task in table["shown"] if get_metric(task["metric"]).needs == "numbers"}
    warnings = [f"{task['label']}: {text}" for task in table["shown"] for text in task["warnings"]]
    config.write_file(path, render(
        "own.html.j2", **table, version=nslib.__version__, pages=set(), figures=figures, undrawn=undrawn,
        title=", ".join(task["label"] for task in table["shown"]) or "Nothing was measured",
        tied_how="by paired differences on the same clips", notes=html.group_notes(measured.notes, names),
        lede=f"{len(names)} embeddings on {len(clips):,} clips, {clips['seconds'].sum() / 3600:.2f} hours.",
        warnings=[params.caveat] * params.smoke + warnings,
        sections=[(anchor, text) for anchor, text in _SECTIONS.items() if filled.get(anchor, True)],
        audits=[_describe_audit(str(name), part, name in numbers) for name, part in clips.groupby("task", sort=False)],
        not_run=html.group_not_run(measured.rows, measured.not_run), problem_columns=problems,
        problems=html.format_rows(measured.problems, problems), provenance=html.describe_provenance(measured, params)))
    return path


def _draw_figures(measured: Results, table: Mapping[str, Any],
                  specs: Mapping[str, benchmark.EmbeddingSpec]) -> tuple[list[tuple[str, Any]], list[str]]:
    """Draw confusion and map of the best embedding of each task, caption and HTML; and say why one is not drawn."""
    import markupsafe

    drawn, undrawn = [], []
    shown = {task["task"]: task for task in reversed(table["shown"])}  # once, of several metrics the first
    for task in reversed(shown.values()):
        best = measured.best(task["task"])
        if get_metric(task["metric"]).needs == "numbers":
            undrawn.append(f"{task['label']}: no confusion, as the labels are numbers.")
        else:
            drawn.append((f"{task['label']}: which label {best}, the best on validation, took for which, on test.",
                          nslib_figures.confusion(measured.predictions, task["task"], best)))
        try:
            if best in specs:
                out = specs[best].vectors(measured.clips[measured.clips["task"] == task["task"]], progress=False)
                drawn.append((f"{task['label']}: all clips, by the vectors of {best}.", nslib_figures.embedding_map(
                    map_vectors(out.vectors, out.clips, embedding=best, task=task["task"]))))
        except NslibError as error:
            undrawn.append(f"{task['label']}: no map of {best}: {error}")
    # the form in which a notebook shows a figure: with its numbers, and complete in itself
    return [(caption, markupsafe.Markup(figure._repr_mimebundle_()["text/html"])) for caption, figure in drawn], undrawn


def _describe_audit(name: str, clips: pd.DataFrame, numbers: bool) -> dict[str, Any]:
    """Audit the clips of a task, with its tables as HTML."""
    import markupsafe

    audit = audit_clips(clips.dropna(axis=1, how="all"), numbers=numbers)
    tables = {key: markupsafe.Markup(table.round(1).reset_index().to_html(index=False, border=0, na_rep="–"))
              for key, table in (("splits", audit.table), ("classes", audit.classes))}
    return {"task": name, "problems": audit.problems, "notes": audit.notes, **tables}


def make_model_card(embedding: Embedding, report: CheckReport, rows: pd.DataFrame) -> str:
    """Write the card of an embedding as Markdown; among the results in `rows` those of these very weights count."""
    time = (f"a vector each {embedding.hop:g} s, of {embedding.window:g} s of sound" if embedding.hop
            else "one vector a clip")
    facts = {"Vectors": f"{embedding.dim} numbers, {time}", "Sound": f"mono, {SAMPLE_RATE} Hz",
             "Shortest clip": f"{embedding.min_samples / SAMPLE_RATE:.3g} s; shorter ones get zeros ({embedding.pad})",
             "Parameters": f"{embedding.parameters:,}" if embedding.parameters else "not stated, or none",
             "Trained on": embedding.trained_on, "Heard of the tasks": embedding.overlap or "none, as far as stated",
             "Licence": embedding.licence, "Source": embedding.source, "Fingerprint": embedding.fingerprint}
    facts |= {what: text for what, text in (("Output", embedding.output), ("Cite", embedding.citation)) if text}
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
