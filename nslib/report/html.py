r"""``reports/index.html`` and what lies beside it: one page that says what was found and how, and tables for LaTeX.

The page is complete in itself: nothing is fetched, and the one small script in it only copies a command; it works from
a file, in light and dark, and on paper. Templates compute nothing: every mark, word and number is decided here. A score
of the result table is named ``task/embedding``. For a paper, each file is one ``tabular`` to be pasted or ``\input``,
with its caption in a comment; it needs booktabs and, for tables of words, tabularx.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import platform
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

import nslib
from nslib import config, embeddings
from nslib import figures as nslib_figures
from nslib.config import Params, write_file
from nslib.datasets import tasks
from nslib.datasets.table import read_list
from nslib.embeddings.registry import name_output
from nslib.errors import Unavailable
from nslib.evaluation import robustness
from nslib.evaluation.benchmark import load_confidence
from nslib.evaluation.results import PROTOCOLS, Results, count_tested, export_rows
from nslib.figures import Figure
from nslib.figures import scores as figures_scores
from nslib.paper import claims, published
from nslib.paper.published import VERDICTS
from nslib.report import leaderboard
from nslib.report.notebooks import Run, read_last_runs, render
from nslib.report.verify import is_fine_tuned, write_command
from nslib.statistics.comparisons import group_embeddings
from nslib.statistics.effects import Regression, regress
from nslib.statistics.intervals import RESAMPLES
from nslib.statistics.scores import CHOSEN_BY_FOLD, get_metric, select_scores

__all__: list[str] = []

SECTIONS = {"results": "Results", "claims": "Claims", "published": "Against published numbers", "figures": "Figures",
            "not-run": "Not run", "left-out": "Left out", "recordings": "Recordings", "embeddings": "Embeddings",
            "cost": "Cost", "notebooks": "Notebooks", "made": "How made"}
TITLES = {"quick": "Speech embeddings beyond words: NOSS-like tasks, measured",
          "paper": "Speech embeddings beyond words: NOSS, measured"}
NOSS = {"voxceleb": "VoxCeleb", "voxforge": "VoxForge", "speech_commands": "Speech Commands", "crema_d": "CREMA-D",
        "savee": "SAVEE", "dementiabank": "DementiaBank"}
_EMBEDDING = ["kind", "dim", "window", "hop", "parameters", "trained_on", "licence", "source"]
_PACKAGES = ("numpy", "scikit-learn", "tensorflow", "onnxruntime", "pandas")
_PAIRED = "by paired differences on the same clips, with the error of all pairs of a task held to 5 %"
_NOT_OURS = ("No published number applies to this profile: its tasks ask what those of NOSS ask, but of other "
             "recordings.")
_ELSEWHERE = (("confusions, and how the probe is chosen", "05_benchmark"),
              ("learning curve, and how much the protocol decides", "06_personalisation"),
              ("quality against size and time", "08_what_matters"),
              ("map of an embedding by label and by speaker; recall of each class, calibration", "09_how_sure"))
_TAGS = {"holds": "good", "reproduced": "good", "does not hold": "bad", "differs": "bad"}
_MARKS = {"best": ("★", "best"), "tied": ("≈", "not separable from the best"), "": ("", "")}
_MAY_LACK = ("Standing", "Group", "Output of the model", "Protocol", "Notes")
_SETTING = ["task", "embedding", "seed"]
_SPECIAL = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "–": "--", "—": "---", "×": r"$\times$", "±": r"$\pm$", "★": r"$\star$", "≈": r"$\approx$", "≥": r"$\ge$",
    "≤": r"$\le$", "…": r"\ldots{}", "−": "$-$", "·": r"$\cdot$", "\u200b": "", "“": "``", "”": "''", "’": "'",
})
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def write_report(results: Results, params: Params, *, runs: list[Run] | None = None,
                 clips: pd.DataFrame | None = None, protocol_answers: pd.DataFrame | None = None,
                 out: Path | None = None) -> Path:
    """Write the report of a run to `out` (default: ``reports/``); clips give figures of the recordings."""
    folder = out or config.reports_dir()
    runs = read_last_runs(folder / "notebooks") if runs is None else runs
    parts = claims.judge_claims(results.rows, results.predictions, protocol_answers, not_run=results.not_run)
    verdicts = None if params.profile != "paper" else published.judge_results(results.rows, results.not_run,
                                                                              smoke=params.smoke)
    regression = None
    with contextlib.suppress(Unavailable):  # too few scores, and claim 6 says why
        regression = regress(results.rows)
    figures = _draw_figures(results, clips, folder, parts, verdicts, regression)
    for _, figure in figures:
        figure.save(folder / "figures")
    export_rows(results.rows, folder / "results.csv")
    export_rows(results.rows, folder / "results.parquet")
    others = leaderboard.read_folder(folder / "rows")
    if len(others):
        leaderboard.write_page(results.rows, others, folder)
    context = {"leaderboard": others["file"].nunique(), **_describe_run(results, params, runs, folder),
               **_describe_claims(parts, regression), **_describe_verdicts(verdicts),
               "figures": [{"caption": c, "name": f.name, "alt": f.alt, "width": f.width} for c, f in figures]}
    filled = {"published": context["paper"], "figures": figures, "recordings": context["tasks"],
              "embeddings": context["embeddings"], "cost": context["ledger"]}
    context["sections"] = [(anchor, text) for anchor, text in SECTIONS.items() if filled.get(anchor, True)]
    files = {"problems.csv": results.problems.to_csv(index=False) if len(results.problems) else "",
             **_format_latex(context), "summary.md": render("summary.md.j2", **context),
             "index.html": render("index.html.j2", **context)}
    for name, text in files.items():
        if text:
            write_file(folder / name, text)
        else:  # that of an earlier run goes
            (folder / name).unlink(missing_ok=True)
    return folder / "index.html"


def _format_latex(context: dict[str, Any]) -> dict[str, str]:
    """Write the tables for a paper: file name to content, empty if there is nothing to show."""
    statements = [[c["claim"], c["sentence"], c["subject"], c["verdict"], c["why"]] for c in context["claims"]]
    columns, words = context["ledger_columns"], context["ledger_words"]
    cost = [[row.get(column, "") for column in columns] for row in context["ledger"]]
    return {
        "tables/results.tex": format_latex_results(context),
        "tables/claims.tex": format_latex_words(
            "The paper's claims, tested by paired differences on the same clips.",
            ["No.", "Claim", "Tested with", "Verdict", "Why"], statements, "lXllX"),
        "tables/cost.tex": format_latex_words(
            "Cost of extraction on this machine, from file to vector.", [c.replace("_", " ") for c in columns], cost,
            "l" * words + "r" * (len(columns) - words)) if cost else ""}


def _draw_figures(results: Results, clips: pd.DataFrame | None, folder: Path, parts: pd.DataFrame,
                  verdicts: pd.DataFrame | None, regression: Regression | None) -> list[tuple[str, Figure]]:
    """Draw what there is, each with its caption: scores and trust in them, recordings, cost; the paper beside them."""
    rows, answers, figures = results.rows, results.predictions, []
    if len(select_scores(rows)):
        figures += [("Every score with its interval, task by task.", nslib_figures.accuracy_dots(rows, answers)),
                    ("The result table as a picture.", nslib_figures.result_heatmap(rows, answers))]
        if len(answers):
            figures.append(("Which embeddings each task tells apart: those that share a letter it does not.",
                            nslib_figures.ties(rows, answers)))
        # what notebook 09 has computed, where it has run
        gaps = load_confidence(rows, folder / "results")
        if len(gaps):
            figures.append(("How much too sure of itself each chosen probe is.", nslib_figures.calibration_gaps(gaps)))
        figures += [(f"What noise, the telephone and loudness do to scores on {task}.",
                     nslib_figures.robustness(curves, name=f"robustness-{task}"))
                    for task, curves in robustness.load_curves(folder / "results", rows).groupby("task", sort=True)]
        figures.append(("What tables gain that choose the probe on the test set.", nslib_figures.optimism(rows)))
    if clips is not None and len(clips):
        figures += [("Clips and speakers in each split, and whether a speaker is in two of them.",
                     nslib_figures.split_audit(clips)), ("How long the clips are.", nslib_figures.durations(clips))]
    if len(results.ledger) and (results.ledger["computed"] > 0).any():
        figures.append(("Speed of each embedding, from file to vector.", nslib_figures.embedding_cost(results.ledger)))
    if verdicts is not None and len(published.keep_compared(verdicts)):
        figures.append(("Our scores beside the published ones.", nslib_figures.against_published(verdicts)))
    if (parts["tasks"] > 0).any():
        figures.append(("The differences that the claims are about.", nslib_figures.claim_differences(parts)))
    if regression:
        picture = nslib_figures.effects(regression.effects)
        figures.append(("What each embedding and each task adds to accuracy.", picture))
    return figures


def _describe_run(results: Results, params: Params, runs: list[Run], folder: Path) -> dict[str, Any]:
    """Give the templates everything but claims, published numbers and figures."""
    table = build_result_table(results.rows, results.predictions, params)
    ledger = list(results.ledger.columns)
    problems = [c for c in ("task", "embedding", "clip_id", "reason", "remedy") if c in results.problems.columns]
    pages = {path.stem for path in (folder / "notebooks").glob("*.html")}
    names, described = {*results.rows["embedding"], *results.not_run["embedding"]}, embeddings.describe().reset_index()
    return {
        **table, "title": TITLES[params.profile], "version": nslib.__version__, "paper": params.profile == "paper",
        "lede": _write_lede(results, table, params), "banners": _write_banners(results, table, params),
        "tied_how": _PAIRED if len(results.predictions) else "because the intervals meet",
        "notes": group_notes(results.notes, names), "not_run": group_not_run(results.rows, results.not_run),
        "problems": format_rows(results.problems, problems), "problem_columns": problems,
        "ledger": format_rows(results.ledger), "ledger_columns": ledger,
        "ledger_words": sum(column in ledger for column in ("task", "embedding")),
        "elsewhere": [(words, name) for words, name in _ELSEWHERE if name in pages],
        "pages": pages, "runs": [vars(run) | {"page": run.notebook in pages} for run in runs],
        "provenance": describe_provenance(results, params), **_describe_tasks(results),
        "embeddings": format_rows(described[described["name"].isin(names)], ["name", *_EMBEDDING]),
        "embedding_columns": _EMBEDDING, "numbers": ("dim", "window", "hop", "parameters")}


def _describe_tasks(results: Results) -> dict[str, Any]:
    """Describe the tasks of the kit that were asked for, and the packages that their recordings come from."""
    names = dict.fromkeys([*results.rows["task"], *results.not_run["task"]])
    asked = [tasks.REGISTRY[name] for name in names if name in tasks.REGISTRY]
    # The list is that of the quick profile's packages; a task of the paper profile names its own source.
    sources = pd.DataFrame()
    if any(task.profile == "quick" for task in asked):
        sources = read_list(config.data_dir() / "sources.csv")

    def origin(task: tasks.Task) -> str:
        if task.profile == "paper":
            return "a data set of NOSS" if task.noss in NOSS else "added to NOSS by later work"
        return f"asks what {NOSS.get(task.noss, task.noss)} asks in NOSS, of other audio" if task.noss else ""

    return {"tasks": [vars(task) | {"origin": origin(task)} for task in asked],
            "sources": format_rows(sources), "source_columns": list(sources.columns)}


def describe_provenance(results: Results, params: Params) -> list[tuple[str, str]]:
    """Say when, where and with which code the report was made."""
    versions = ", ".join(f"{name} {version}" for name, version in config.package_versions(_PACKAGES).items())
    codes, locks = (" ".join(sorted({str(c) for c in results.rows[name]})) if len(results.rows) else "–"
                    for name in ("code_revision", "lock_hash"))
    return [
        ("Written", f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"),
        ("Parameters", ", ".join(f"{k}={v!r}" for k, v in vars(params).items())),
        ("Code", codes), ("Lock file", locks), ("Python", f"{platform.python_version()}, {versions}"),
        ("Machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        ("Result rows", str(len(results.rows)))]


def _describe_claims(parts: pd.DataFrame, regression: Regression | None) -> dict[str, Any]:
    """Say how the claims stand, comparison by comparison."""
    heads = [row | {"tag": _TAGS.get(row["verdict"], "")} for row in claims.summarise_claims(parts).to_dict("records")]
    rows = []
    for part in parts[parts["tasks"] > 0].to_dict("records"):
        where = part["task"] or f"{part['tasks']} {'task' if part['tasks'] == 1 else 'tasks'}"
        synthetic = ", synthetic speech" if part["speech"] == "synthetic" else ""
        rows.append({
            **{name: part[name] for name in ("claim", "verdict", "why")}, "difference": claims.format_part(part),
            "comparison": "embeddings, beside the task" if part["unit"] == "share"
                          else f"{part['subject']} − {part['against']}",
            "on": f"{where}, {part['clips']:,} clips{synthetic}", "by": part["by"].replace(" and ", "s and ") + "s"})
    sentences = [regression.describe(), *regression.notes] if regression else []
    return {"claims": heads, "claim_parts": rows, "effects": sentences}


def _describe_verdicts(verdicts: pd.DataFrame | None) -> dict[str, Any]:
    """Set scores beside published numbers; with the quick profile there is nothing to hold them against."""
    if verdicts is None:
        return {"verdicts": [], "no_verdicts": [], "references": [], "published_said": _NOT_OURS}
    compared = published.keep_compared(verdicts)
    rest = verdicts.drop(index=verdicts.index[verdicts["verdict"].isin(compared["verdict"])])
    works = published.load_sources().loc[lambda table: table.index.isin(verdicts["paper"])]

    def describe(row: dict[str, Any]) -> dict[str, Any]:
        table = f", table {row['table']}" if row["table"].isdigit() else ""
        return row | {"where": f"{works.at[row['paper'], 'name']}{table}: {row['row']}" if row["paper"] else "–",
                      "said": "; ".join(filter(None, (row["compared"] and f"{row['compared']} ({row['protocol']})",
                                                      row["output"] and f"output {row['output']}", row["note"]))),
                      "tag": _TAGS.get(row["verdict"], "")}

    shown, others = ([describe(row) for row in part.to_dict("records")] for part in (compared, rest))
    counts = verdicts["verdict"].value_counts()
    reproduced, differ, missing, without = (counts.get(verdict, 0) for verdict in VERDICTS)
    said = (f"{len(verdicts)} published numbers, or results that have none: {reproduced} reproduced, {differ} differ, "
            f"{missing} not run, {without} without a verified published value.")
    return {"verdicts": shown, "no_verdicts": others, "published_said": said,
            "references": works.reset_index().to_dict("records")}


def _write_lede(results: Results, table: dict[str, Any], params: Params) -> str:
    """Say in a sentence or two what was measured."""
    ran, recorded = len(table["shown"]), sum(not task["synthetic"] for task in table["shown"])
    count = f"{len(table['columns'])} embedding{'' if len(table['columns']) == 1 else 's'}"
    if params.profile == "paper":
        asked = len({*results.rows["task"], *results.not_run["task"]})
        if not ran:
            return (f"None of {asked} tasks of NOSS could be run here. What is missing, and what to do, is said below, "
                    "task by task. Profile paper.")
        return (f"{count} on {ran} of {asked} tasks of NOSS, the non-semantic speech benchmark, by the paper's "
                "protocol. Profile paper.")
    return (f"{count} on {ran} tasks that ask how something was said, by whom or in which language: {recorded} on "
            f"recorded speech, {ran - recorded} on computer voices. Profile {params.profile}.")


def _write_banners(results: Results, table: dict[str, Any], params: Params) -> list[tuple[str, str, str]]:
    """Say what must be known before any number is read: kind ("warn" or nothing), head and text."""
    banners = []
    if params.smoke:
        banners.append(("warn", params.caveat,
                        f"It uses at most {params.clips_per_class} clips of each label in each split or fold "
                        "and only shows that every step works."))
    if params.profile == "paper":
        ran, missing = len(table["cells"]), len(results.not_run[["task", "embedding"]].drop_duplicates())
        lost = [t for t in dict.fromkeys(results.not_run["task"]) if t not in set(results.rows["task"])]
        text = f"No result at all on {', '.join(NOSS.get(t, t) for t in lost)}. " if lost else ""
        text += ("What did not run is listed below with the reason and what to do; run the same command again "
                 "afterwards, and only what is missing is computed.")
        banners.append(("warn" if missing else "", f"Paper profile: {ran} of {ran + missing} results.",
                        text if missing else "Every task and embedding that was asked for was run."))
    else:
        banners.append(("", "Quick profile: never the paper's numbers.",
                        "The tasks are of the same kinds as those of NOSS, but on other recordings, which can be had "
                        "from package registries in minutes. Compare embeddings within this page, not with a "
                        "published table."))
        if params.corpus == "synthetic" or (table["shown"] and all(t["synthetic"] for t in table["shown"])):
            banners.append(("warn", "Synthetic speech only.",
                            "All clips are computer voices. What separates them need not separate people."))
    return banners


def group_not_run(rows: pd.DataFrame, not_run: pd.DataFrame) -> list[dict[str, Any]]:
    """Put together what did not run for the same reason: ``tasks``, ``embeddings``, ``why`` and ``remedy``."""
    asked, groups = {*rows["embedding"], *not_run["embedding"]}, []
    for (why, remedy), part in not_run.groupby(["why", "remedy"], sort=False):
        names = dict.fromkeys(part["embedding"])
        every = "every embedding" if set(names) == asked and len(asked) > 1 else ""
        groups.append({"tasks": ", ".join(dict.fromkeys(part["task"])), "why": why, "remedy": str(remedy).strip("\n"),
                       "embeddings": every or ", ".join(names)})
    return groups


def group_notes(notes: Iterable[str], names: Collection[str]) -> list[str]:
    """Join notes (``[where: ]task: [embedding: ]sentence``) that differ in the embedding and in numbers only."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for note in dict.fromkeys(notes):
        pieces = note.split(": ")
        place = next((k for k, piece in enumerate(pieces[:-1]) if piece in names), None)
        if place is None:
            groups["", note].append(("", note))
            continue
        where, sentence = "".join(f"{piece}: " for piece in pieces[:place]), ": ".join(pieces[place + 1:])
        groups[where, _NUMBER.sub("#", sentence)].append((pieces[place], sentence))
    return [where + _join_notes(same) for (where, _), same in groups.items()]


def _join_notes(same: list[tuple[str, str]]) -> str:
    """Make one sentence of those that differ in numbers, each with the name of an embedding."""
    names, sentences = zip(*same, strict=True)
    if len(same) == 1:
        return f"{names[0]}: {sentences[0]}" if names[0] else str(sentences[0])
    numbers = [_NUMBER.findall(sentence) for sentence in sentences]
    differ = [len(set(column)) > 1 for column in zip(*numbers, strict=True)]
    place = iter(differ)
    sentence = _NUMBER.sub(lambda number: "…" if next(place) else number[0], sentences[0]).rstrip(".")
    each = [" ".join([name, *(n for n, moves in zip(of, differ, strict=True) if moves)])
            for name, of in zip(names, numbers, strict=True)]
    return f"{sentence}: {', '.join(each)}."


def build_result_table(rows: pd.DataFrame, predictions: pd.DataFrame | None = None,
                       params: Params | None = None,
                       layers: Mapping[tuple[str, str], bool] | None = None) -> dict[str, Any]:
    """Arrange the chosen scores, recordings first; None is not run; of a model's layers only the chosen can be best."""
    if select_scores(rows).empty:
        return {"shown": [], "columns": [], "cells": [], "metric_words": "", "level": "", "has_letters": False,
                "in_percent": True, "score": format_score}
    scores = figures_scores.order_scores(rows)
    marked = [(layers or {}).get(pair, True) for pair in zip(scores["task"], scores["embedding"], strict=True)]
    standing = figures_scores.mark_best(scores[marked], predictions).reindex(scores.index, fill_value="")
    scores = scores.assign(standing=standing, way=figures_scores.correct_for_chance(scores).clip(0, 1))
    columns, labels, letters = figures_scores.order_embeddings(scores), figures_scores.label_tasks(scores), {}
    if predictions is not None and not predictions.empty:
        letters = {(row.task, row.embedding): row.letters for row in group_embeddings(rows, predictions).itertuples()}
    cells = {(cell["task"], cell["embedding"]): cell for cell in _build_cells(scores, rows, labels, letters, params)}
    shown = []
    for synthetic, part in scores.groupby(scores["corpus_kind"] == figures_scores.SYNTHETIC):
        for name, first in ((str(name), one.iloc[0]) for name, one in part.groupby("task", sort=False)):
            shown.append({
                "label": labels[name], "metric": str(first["metric"]), "synthetic": bool(synthetic),
                "classes": int(first["classes"]),
                "chance": float(first["chance"]), "n": int(first["n"]), "n_speakers": int(first["n_speakers"]),
                "interval_by": str(first["interval_by"]), "cells": [cells.get((name, e)) for e in columns]})
    return {
        "shown": shown, "columns": columns, "cells": list(cells.values()), "has_letters": bool(letters),
        "in_percent": all(get_metric(name).is_share for name in scores["metric"].unique()), "score": format_score,
        "metric_words": " or ".join(sorted(get_metric(m).words for m in scores["metric"].unique())),
        "level": f"{100 * float(scores['level'].iloc[0]):.0f}"}


def _build_cells(scores: pd.DataFrame, rows: pd.DataFrame, labels: dict[str, str],
                 letters: dict[tuple[str, str], str], params: Params | None) -> list[dict[str, Any]]:
    """Add to each score its mark, its words, and where it comes from."""
    validation, best = (  # task, embedding and seed to the newest value
        dict(zip(part[_SETTING].itertuples(index=False, name=None), part["value"], strict=True))
        for part in (rows[rows["selected"] & (rows["split"] == "validation")],
                     rows[rows["best_on_test"] & (rows["split"] == "test")]))
    cells = []
    for number, row in enumerate(scores.to_dict("records"), 1):
        at = tuple(row[name] for name in _SETTING)
        mark, words = _MARKS[row["standing"]]
        normalised = [word for word, on in (("L2", row["l2"]), ("z-score by speaker", row["speaker_norm"])) if on]
        cell = {**row, "id": f"score-{number}", "mark": mark, "said": words, "task_label": labels[row["task"]],
                "normalised": " and ".join(normalised) or "none",
                "validation_said": format_score(validation.get(at), row["metric"]),
                "best_said": format_score(best.get(at), row["metric"]), "way": f"{row['way']:.3f}",
                "letters": letters.get((row["task"], row["embedding"]), ""), "command": write_command(row, params)}
        cell["setting"] = f"{row['probe']}, normalised: {cell['normalised']}"
        if row["probe"] == CHOSEN_BY_FOLD:  # which chose in each fold: the reason says what
            cell |= {"normalised": "by fold", "setting": f"{row['probe']}: {row['reason']}"}
        cells.append(cell | {"facts": _describe_cell(cell)})
    return cells


def format_score(value: float | None, metric: str) -> str:
    """Write a share in percent, what is none as it is, and what is missing as a dash."""
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if get_metric(metric).is_share else f"{value:.2f}"


def _describe_cell(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Say how a score was made and where it comes from: pairs of what, and its value in words."""
    metric, unit = str(cell["metric"]), " %" if get_metric(str(cell["metric"])).is_share else ""
    interval = "none: there is no score"
    if cell["interval_by"]:
        ends = f"{format_score(cell['low'], metric)} to {format_score(cell['high'], metric)}{unit}"
        interval = (f"{ends} ({100 * cell['level']:.0f} % interval), bootstrap over {cell['interval_by']}s, "
                    f"{RESAMPLES} resamples, seed {cell['seed']}")
    task, synthetic = tasks.REGISTRY.get(str(cell["task"])), cell["corpus_kind"] == figures_scores.SYNTHETIC
    facts = [
        ("Test score", f"{format_score(cell['value'], metric)}{unit} {get_metric(metric).words}, "
                       f"chance {format_score(cell['chance'], metric)}{unit}"),
        ("Interval", interval), ("Standing", cell["said"]),
        ("Group", f"{cell['letters']}: embeddings that share a letter are not told apart" if cell["letters"] else ""),
        ("Output of the model", name_output(str(cell["embedding"]))),
        ("Protocol", "" if is_fine_tuned(cell) else f"validation: {PROTOCOLS['validation']}"),
        ("Chosen probe", cell["setting"]), ("Validation score", f"{cell['validation_said']}{unit}"),
        ("Best on test", f"{cell['best_said']}{unit} (authors-2021; optimistic: chosen on the test set)"),
        ("Converged", "yes" if cell["converged"] else "no"),
        ("Test set", f"{count_tested(cell['n'], cell['n_speakers'])}, {cell['classes'] or 'no'} classes"),
        ("Vector", f"{cell['dim']} numbers"), ("Result key", str(cell["key"])[:12]),
        ("Data", f"{cell['data_hash']} ({'computer voices' if synthetic else 'recorded speech'})"),
        ("Split", f"{cell['split_hash']} ({task.split if task else 'as given or drawn'})"),
        ("Weights", str(cell["weights_hash"])), ("Lock file", str(cell["lock_hash"])),
        ("Code", str(cell["code_revision"])), ("Seed", str(cell["seed"])),
        ("When", str(cell["when"]).replace("T", " ").replace("+00:00", " UTC")),
        ("Notebook", "07_finetune" if is_fine_tuned(cell) else "05_benchmark"),
        ("Notes", str(cell["notes"]))]
    return [(name, words) for name, words in facts if words or name not in _MAY_LACK]


def format_rows(table: pd.DataFrame, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Write the rows of any table as words: numbers rounded for reading, what is not there a dash."""
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


def format_latex_results(table: dict[str, Any]) -> str:
    """Write the table of `build_result_table`, embeddings by tasks; nothing if it is empty."""
    shown = table["shown"]
    if not shown:
        return ""
    head = ["", *(task["label"].translate(_SPECIAL) for task in shown)]
    about = [["chance", *(f"{100 * task['chance']:.1f}" for task in shown)],
             ["clips / speakers", *(f"{task['n']} / {task['n_speakers'] or 'unknown'}" for task in shown)]]
    body = [[str(name).translate(_SPECIAL), *(_format_score(task["cells"][k]) for task in shown)]
            for k, name in enumerate(table["columns"])]
    caption = (f"Test score in percent ({table['metric_words']}) of the probe chosen on validation, with its "
               f"{table['level']} % interval. Bold: best of its column. Underlined: not separable from the best.")
    return _format_tabular(caption, "l" + "c" * len(shown), head, [about, body])


def format_latex_words(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], columns: str) -> str:
    """Write a table of words and numbers; `columns` are LaTeX's letters, an ``X`` is as wide as the line leaves."""
    return _format_tabular(caption, columns, [h.translate(_SPECIAL) for h in head],
                           [[[str(cell).translate(_SPECIAL) for cell in row] for row in rows]])


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
