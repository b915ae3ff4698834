"""``reports/index.html`` and what lies beside it: one page that says what was found and how.

The page is complete in itself: nothing is fetched, and the one small script in it only copies a command; it works from
a file, in light and dark, and on paper. Nothing is computed but figures and the words around the numbers.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nslib
from nslib import config, embeddings
from nslib import figures as nslib_figures
from nslib.config import Params, write_file
from nslib.datasets import tasks
from nslib.errors import Unavailable
from nslib.evaluation import robustness
from nslib.evaluation.benchmark import load_confidence
from nslib.evaluation.results import Results, export_rows
from nslib.figures import Figure
from nslib.paper import claims, published
from nslib.paper.published import VERDICTS
from nslib.report import leaderboard, tables
from nslib.report.notebooks import Run, read_last_runs, render
from nslib.statistics.effects import Regression, regress
from nslib.statistics.scores import select_scores

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

SECTIONS = {"results": "Results", "claims": "Claims", "published": "Against published numbers", "figures": "Figures",
            "not-run": "Not run", "left-out": "Left out", "recordings": "Recordings", "embeddings": "Embeddings",
            "cost": "Cost", "notebooks": "Notebooks", "made": "How made"}
TITLES = {"quick": "Speech embeddings beyond words: NOSS-like tasks, measured",
          "paper": "Speech embeddings beyond words: NOSS, measured"}
NOSS = {"voxceleb": "VoxCeleb", "voxforge": "VoxForge", "speech_commands": "Speech Commands", "crema_d": "CREMA-D",
        "savee": "SAVEE", "dementiabank": "DementiaBank"}
_LEDGER = ["task", "embedding", "clips", "computed", "from_store", "padded", "audio_seconds", "wall_seconds",
           "clips_per_second", "times_real_time", "device_busy", "decode_wait", "padding", "peak_memory_gb",
           "batch_seconds", "devices"]
_EMBEDDING = ["kind", "dim", "window", "hop", "parameters", "trained_on", "licence", "source"]
_NUMBERS = ("dim", "window", "hop", "parameters")
_PROBLEM = ("task", "embedding", "clip_id", "reason", "remedy")
_PACKAGES = ("numpy", "scikit-learn", "tensorflow", "onnxruntime", "pandas")
_PAIRED = "by paired differences on the same clips, with the error of all pairs of a task held to 5 %"
_NOT_OURS = ("No published number applies to this profile: its tasks ask what those of NOSS ask, but of other "
             "recordings.")
_ELSEWHERE = (("confusions, and how the probe is chosen", "05_benchmark"),
              ("learning curve, and how much the protocol decides", "06_personalisation"),
              ("quality against size and time", "08_what_matters"),
              ("map of an embedding by label and by speaker; recall of each class, calibration", "09_how_sure"))
_TAGS = {"holds": "good", "reproduced": "good", "does not hold": "bad", "differs": "bad"}
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
    figures = [*_draw_results(results, clips, folder), *_draw_verdicts(parts, verdicts, regression)]
    for _, figure in figures:
        figure.save(folder / "figures")
    export_rows(results.rows, folder / "results.csv")
    export_rows(results.rows, folder / "results.parquet")
    _write_or_remove(folder / "problems.csv", results.problems.to_csv(index=False) if len(results.problems) else "")
    others = leaderboard.read_folder(folder / "rows")
    if len(others):
        leaderboard.write_page(results.rows, others, folder)
    context = {"leaderboard": others["file"].nunique(), **_describe_run(results, params, runs, folder),
               **_describe_claims(parts, regression), **_describe_verdicts(verdicts),
               "figures": [{"caption": c, "name": f.name, "alt": f.alt, "width": f.width} for c, f in figures]}
    filled = {"published": context["paper"], "figures": figures, "recordings": context["tasks"],
              "embeddings": context["embeddings"], "cost": context["ledger"]}
    context["sections"] = [(anchor, text) for anchor, text in SECTIONS.items() if filled.get(anchor, True)]
    _write_latex(context, folder / "tables")
    write_file(folder / "summary.md", render("summary.md.j2", **context))
    write_file(folder / "index.html", render("index.html.j2", **context))
    return folder / "index.html"


def _write_or_remove(path: Path, text: str) -> None:
    """Write a file, or remove that of an earlier run if there is nothing to write."""
    if text:
        write_file(path, text)
    else:
        path.unlink(missing_ok=True)


def _write_latex(context: dict[str, Any], folder: Path) -> None:
    """Write the tables for a paper."""
    statements = [[c["claim"], c["sentence"], c["subject"], c["verdict"], c["why"]] for c in context["claims"]]
    columns, words = context["ledger_columns"], context["ledger_words"]
    cost = [[row.get(column, "") for column in columns] for row in context["ledger"]]
    _write_or_remove(folder / "results.tex", tables.format_latex_results(context))
    _write_or_remove(folder / "claims.tex", tables.format_latex_words(
        "The paper's claims, tested by paired differences on the same clips.",
        ["No.", "Claim", "Tested with", "Verdict", "Why"], statements, "lXllX"))
    _write_or_remove(folder / "cost.tex", tables.format_latex_words(
        "Cost of extraction on this machine, from file to vector.", [c.replace("_", " ") for c in columns], cost,
        "l" * words + "r" * (len(columns) - words)) if cost else "")


def _draw_results(results: Results, clips: pd.DataFrame | None, folder: Path) -> list[tuple[str, Figure]]:
    """Draw scores, how far they can be trusted, recordings and cost, as far as there are any."""
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
    return figures


def _draw_verdicts(parts: pd.DataFrame, verdicts: pd.DataFrame | None,
                   regression: Regression | None) -> list[tuple[str, Figure]]:
    """Draw what the paper claims and reports beside what was measured."""
    figures = []
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
    table = tables.build_result_table(results.rows, results.predictions, params)
    ledger = [c for c in _LEDGER if c in results.ledger.columns]
    problems = [c for c in _PROBLEM if c in results.problems.columns]
    pages = {path.stem for path in (folder / "notebooks").glob("*.html")}
    names, described = {*results.rows["embedding"], *results.not_run["embedding"]}, embeddings.describe().reset_index()
    return {
        **table, "title": TITLES[params.profile], "version": nslib.__version__, "paper": params.profile == "paper",
        "lede": _write_lede(results, table, params), "banners": _write_banners(results, table, params),
        "tied_how": _PAIRED if len(results.predictions) else "because the intervals meet",
        "notes": group_notes(results.notes, names), "not_run": group_not_run(results.rows, results.not_run),
        "problems": tables.format_rows(results.problems, problems), "problem_columns": problems,
        "ledger": tables.format_rows(results.ledger, _LEDGER), "ledger_columns": ledger,
        "ledger_words": sum(column in ledger for column in ("task", "embedding")),
        "elsewhere": [(words, name) for words, name in _ELSEWHERE if name in pages],
        "pages": pages, "runs": [vars(run) | {"page": run.notebook in pages} for run in runs],
        "provenance": _describe_provenance(results, params), **_describe_tasks(results),
        "embeddings": tables.format_rows(described[described["name"].isin(names)], ["name", *_EMBEDDING]),
        "embedding_columns": _EMBEDDING, "numbers": _NUMBERS,
    }


def _describe_tasks(results: Results) -> dict[str, Any]:
    """Describe the tasks of the kit that were asked for, and the packages that their recordings come from."""
    import pandas as pd

    names = dict.fromkeys([*results.rows["task"], *results.not_run["task"]])
    asked = [tasks.REGISTRY[name] for name in names if name in tasks.REGISTRY]
    # The list is that of the quick profile's packages; a task of the paper profile names its own source.
    path, sources = config.data_dir() / "sources.csv", pd.DataFrame()
    if any(task.profile == "quick" for task in asked) and path.exists():
        sources = pd.read_csv(path, dtype=str).fillna("")

    def origin(task: tasks.Task) -> str:
        if task.profile == "paper":
            return "a data set of NOSS" if task.noss in NOSS else "added to NOSS by later work"
        return f"asks what {NOSS.get(task.noss, task.noss)} asks in NOSS, of other audio" if task.noss else ""

    return {"tasks": [vars(task) | {"origin": origin(task)} for task in asked],
            "sources": tables.format_rows(sources), "source_columns": list(sources.columns)}


def _describe_provenance(results: Results, params: Params) -> list[tuple[str, str]]:
    """Say when, where and with which code the report was made."""
    versions = ", ".join(f"{name} {version}" for name, version in config.package_versions(_PACKAGES).items())
    codes, locks = (" ".join(sorted({str(c) for c in results.rows[name]})) if len(results.rows) else "–"
                    for name in ("code_revision", "lock_hash"))
    return [
        ("Written", f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"),
        ("Parameters", ", ".join(f"{k}={v!r}" for k, v in vars(params).items())),
        ("Code", codes), ("Lock file", locks), ("Python", f"{platform.python_version()}, {versions}"),
        ("Machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        ("Result rows", str(len(results.rows))),
    ]


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
                      "said": "; ".join(part for part in (row["compared"], row["note"]) if part),
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
    ran = sum(len(group["tasks"]) for group in table["groups"])
    count = f"{len(table['columns'])} embedding{'' if len(table['columns']) == 1 else 's'}"
    if params.profile == "paper":
        asked = len({*results.rows["task"], *results.not_run["task"]})
        if not ran:
            return (f"None of {asked} tasks of NOSS could be run here. What is missing, and what to do, is said below, "
                    "task by task. Profile paper.")
        return (f"{count} on {ran} of {asked} tasks of NOSS, the non-semantic speech benchmark, by the paper's "
                "protocol. Profile paper.")
    recorded = sum(len(group["tasks"]) for group in table["groups"] if not group["synthetic"])
    return (f"{count} on {ran} tasks that ask how something was said, by whom or in which language: {recorded} on "
            f"recorded speech, {ran - recorded} on computer voices. Profile {params.profile}.")


def _write_banners(results: Results, table: dict[str, Any], params: Params) -> list[dict[str, str]]:
    """Say what must be known before any number is read: kind ("warn" or nothing), head and text."""
    banners = []
    if params.smoke:
        banners.append(("warn", "Smoke run: the numbers mean nothing.",
                        f"It uses at most {params.clips_per_class} clips of each label in each split "
                        "and only shows that every step works."))
    if params.profile == "paper":
        banners.append(_write_paper_banner(results, table))
    else:
        banners.append(("", "Quick profile: never the paper's numbers.",
                        "The tasks are of the same kinds as those of NOSS, but on other recordings, which can be had "
                        "from package registries in minutes. Compare embeddings within this page, not with a "
                        "published table."))
        if params.corpus == "synthetic" or (table["groups"] and all(g["synthetic"] for g in table["groups"])):
            banners.append(("warn", "Synthetic speech only.",
                            "All clips are computer voices. What separates them need not separate people."))
    return [dict(zip(("kind", "head", "text"), banner, strict=True)) for banner in banners]


def _write_paper_banner(results: Results, table: dict[str, Any]) -> tuple[str, str, str]:
    """Say how much of the paper profile was run."""
    ran, missing = len(table["cells"]), len(results.not_run[["task", "embedding"]].drop_duplicates())
    head = f"Paper profile: {ran} of {ran + missing} results."
    if not missing:
        return "", head, "Every task and embedding that was asked for was run."
    lost = [t for t in dict.fromkeys(results.not_run["task"]) if t not in set(results.rows["task"])]
    none = f"No result at all on {', '.join(NOSS.get(t, t) for t in lost)}. " if lost else ""
    return "warn", head, (f"{none}What did not run is listed below with the reason and what to do; run the same "
                          "command again afterwards, and only what is missing is computed.")


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
