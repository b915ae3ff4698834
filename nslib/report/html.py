"""``reports/index.html`` and what lies beside it: one page that says what was found and how.

Conventions
-----------
The page is complete in itself: nothing is fetched, and the one small script in it only copies a command; it works from
a file, in light and dark, and on paper. What is written: ``index.html``, ``summary.md``, ``results.csv``,
``results.parquet``, ``problems.csv`` (if there are any), ``tables/*.tex``, ``figures/``, and ``leaderboard.html`` if
rows of others were taken in. Everything comes from the results that are given; nothing is computed but figures and the
words around the numbers.
"""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import params as settings
from nslib import provenance
from nslib.files import write
from nslib.params import Params
from nslib.report import latex, notes, pages, sections, tables
from nslib.results import export

if TYPE_CHECKING:
    import pandas as pd

    from nslib.effects import Regression
    from nslib.measure import Results
    from nslib.plots import Figure
    from nslib.report.runs import Run

SECTIONS = {"results": "Results", "claims": "Claims", "published": "Against published numbers", "figures": "Figures",
            "not-run": "Not run", "left-out": "Left out", "recordings": "Recordings", "embeddings": "Embeddings",
            "cost": "Cost", "notebooks": "Notebooks", "made": "How made"}
_LEDGER = ["task", "embedding", "clips", "computed", "from_store", "padded", "audio_seconds", "wall_seconds",
           "clips_per_second", "times_real_time", "device_busy", "decode_wait", "padding", "peak_memory_gb",
           "batch_seconds", "devices"]
_EMBEDDING = ["kind", "dim", "window", "hop", "parameters", "trained_on", "licence", "source"]
_NUMBERS = ("dim", "window", "hop", "parameters")
_PROBLEM = ("task", "embedding", "clip_id", "reason", "remedy")
_PAIRED = "by paired differences on the same clips, with the error of all pairs of a task held to 5 %"
_ELSEWHERE = (("confusions, and how the probe is chosen", "05_benchmark"),
              ("learning curve, and how much the protocol decides", "06_personalisation"),
              ("quality against size and time", "08_what_matters"),
              ("map of an embedding by label and by speaker; recall of each class, calibration", "09_how_sure"))
_PACKAGES = ("numpy", "scikit-learn", "tensorflow", "onnxruntime", "pandas")


def build(results: Results, params: Params, *, runs: list[Run] | None = None,
          clips: pd.DataFrame | None = None, protocol_answers: pd.DataFrame | None = None,
          out: Path | None = None) -> Path:
    """Write the report.

    Parameters
    ----------
    results : Results
        As `nslib.benchmark` returns them.
    params : Params
        Of the run.
    runs : list of Run, optional
        What happened to the notebooks; default: what their last runs left.
    clips : pandas.DataFrame, optional
        Clip tables of all tasks, one below the other, with the columns ``task`` and
        ``corpus_kind``; with it the report has the figures of the recordings.
    protocol_answers : pandas.DataFrame, optional
        Answers of the protocols, for the claim about single speakers.
    out : Path, optional
        Folder; default ``reports/``.

    Returns
    -------
    Path
        Of ``index.html``.
    """
    from nslib.report import runs as last_runs

    folder = out or settings.reports_dir()
    runs = last_runs.last(folder / "notebooks") if runs is None else runs
    parts, shown = sections.claims(results, protocol_answers)
    verdicts, compared = sections.published(results, params)
    figures = [*_figures(results, clips, folder), *_verdict_figures(parts, verdicts, sections.regression(results))]
    for _, figure in figures:
        figure.save(folder / "figures")
    _write_tables(results, folder)
    context = _context(results, params, figures, runs, folder) | shown | compared
    context["leaderboard"] = _leaderboard(results, folder)
    _write_latex(context, folder / "tables")
    write(folder / "summary.md", pages.render("summary.md.j2", **context))
    write(folder / "index.html", pages.render("index.html.j2", **context))
    return folder / "index.html"


def _leaderboard(results: Results, folder: Path) -> int:
    """Bring the page of rows of others up to date, and count these rows."""
    from nslib import leaderboard, rows

    others = rows.adopted(folder / "rows")
    if others:
        leaderboard.build(results.rows, others, folder)
    return len(others)


def _write_tables(results: Results, folder: Path) -> None:
    export(results.rows, folder / "results.csv")
    export(results.rows, folder / "results.parquet")
    if len(results.problems):
        write(folder / "problems.csv", results.problems.to_csv(index=False))
    else:
        (folder / "problems.csv").unlink(missing_ok=True)


def _write_latex(context: dict[str, Any], folder: Path) -> None:
    claims = [[c["claim"], c["sentence"], c["subject"], c["verdict"], c["why"]] for c in context["claims"]]
    cost = [[row.get(c, "") for c in context["ledger_columns"]] for row in context["ledger"]]
    said = {
        "results": latex.results(context),
        "claims": latex.words("The paper's claims, tested by paired differences on the same clips.",
                              ["No.", "Claim", "Tested with", "Verdict", "Why"], claims, "lXllX"),
        "cost": latex.words("Cost of extraction on this machine, from file to vector.",
                            [c.replace("_", " ") for c in context["ledger_columns"]], cost,
                            "l" * context["ledger_words"] + "r" * (len(context["ledger_columns"])
                                                                   - context["ledger_words"])) if cost else "",
    }
    for name, text in said.items():
        if text:
            write(folder / f"{name}.tex", text)
        else:
            (folder / f"{name}.tex").unlink(missing_ok=True)


def _figures(results: Results, clips: pd.DataFrame | None, folder: Path) -> list[tuple[str, Figure]]:
    from nslib import plots

    rows, found = results.rows, []
    if not rows.empty and (rows["selected"].astype(bool) & (rows["split"] == "test")).any():
        answers = results.predictions
        found += [("Every score with its interval, task by task.", plots.accuracy_dots(rows, answers)),
                  ("The result table as a picture.", plots.result_heatmap(rows, answers)),
                  *_trust(results, folder / "results"),
                  ("What tables gain that choose the probe on the test set.", plots.optimism(rows))]
    if clips is not None and len(clips):
        said = "Clips and speakers in each split, and whether a speaker is in two of them."
        found += [(said, plots.split_audit(clips)), ("How long the clips are.", plots.durations(clips))]
    if len(results.ledger) and (results.ledger["computed"] > 0).any():
        found.append(("Speed of each embedding, from file to vector.", plots.embedding_cost(results.ledger)))
    return found


def _trust(results: Results, kept: Path) -> list[tuple[str, Figure]]:
    """Figures on how far the numbers can be trusted; those that notebook 09 computes, where it has run."""
    from nslib import confidence, plots, robustness

    rows, answers = results.rows, results.predictions
    found = []
    if len(answers):
        said = "Which embeddings each task tells apart: those that share a letter it does not."
        found.append((said, plots.ties(rows, answers)))
    sure = confidence.load(rows, kept)
    if len(sure):
        found.append(("How much too sure of itself each chosen probe is.", plots.calibration_gaps(sure)))
    for task, curves in robustness.load(kept, rows).groupby("task", sort=True):
        said = f"What noise, the telephone and loudness do to scores on {task}."
        found.append((said, plots.robustness(curves, name=f"robustness-{task}")))
    return found


def _verdict_figures(parts: pd.DataFrame, verdicts: pd.DataFrame | None,
                     regression: Regression | None) -> list[tuple[str, Figure]]:
    from nslib import plots, published

    found = []
    if verdicts is not None and len(published.numeric(verdicts)):
        found.append(("Our scores beside the published ones.", plots.against_published(verdicts)))
    if (parts["tasks"] > 0).any():
        found.append(("The differences that the claims are about.", plots.claim_differences(parts)))
    if regression:
        found.append(("What each embedding and each task adds to accuracy.", plots.effects(regression.effects)))
    return found


def _context(results: Results, params: Params, figures: list[tuple[str, Figure]], runs: list[Run],
             folder: Path) -> dict[str, Any]:
    from nslib import __version__

    table = tables.result_table(results.rows, results.predictions, params)
    shown = {
        **table, "title": sections.TITLES[params.profile], "version": __version__, "paper": params.profile == "paper",
        "lede": sections.lede(results, table, params), "banners": sections.banners(results, table, params),
        "tied_how": _PAIRED if len(results.predictions) else "because the intervals meet",
        "notes": notes.grouped(results.notes, {*results.rows["embedding"], *results.not_run["embedding"]}),
        "figures": [{"caption": c, "name": f.name, "alt": f.alt, "width": f.width} for c, f in figures],
        "not_run": sections.not_run(results), **_problems(results), **_about(results),
        "ledger": tables.plain(results.ledger, _LEDGER),
        "ledger_columns": [c for c in _LEDGER if c in results.ledger.columns],
        "ledger_words": sum(c in results.ledger.columns for c in ("task", "embedding")),
        "elsewhere": [(said, name) for said, name in _ELSEWHERE if (folder / "notebooks" / f"{name}.html").exists()],
        "pages": {path.stem for path in (folder / "notebooks").glob("*.html")},
        "runs": [vars(r) | {"page": (folder / "notebooks" / f"{r.notebook}.html").exists()} for r in runs],
        "provenance": _provenance(results, params),
    }
    filled = {"published": shown["paper"], "figures": shown["figures"], "recordings": shown["tasks"],
              "embeddings": shown["embeddings"], "cost": shown["ledger"]}
    shown["sections"] = [(a, text) for a, text in SECTIONS.items() if filled.get(a, True)]
    return shown


def _problems(results: Results) -> dict[str, Any]:
    columns = [c for c in _PROBLEM if c in results.problems.columns]
    return {"problems": tables.plain(results.problems, columns), "problem_columns": columns}


def _about(results: Results) -> dict[str, Any]:
    from nslib import embeddings, tasks

    known = tasks.REGISTRY
    names = list(dict.fromkeys([*results.rows["task"], *results.not_run["task"]]))
    described = embeddings.describe().reset_index()
    used = described[described["name"].isin([*results.rows["embedding"], *results.not_run["embedding"]])]
    asked = [known[n] for n in names if n in known]
    # The list is that of the quick profile's packages; a task of the paper profile names its own source.
    sources = _sources() if any(task.profile == "quick" for task in asked) else None
    return {
        "tasks": [vars(task) | {"origin": sections.origin(task)} for task in asked],
        "sources": tables.plain(sources),
        "source_columns": list(sources.columns) if sources is not None else [],
        "embeddings": tables.plain(used, ["name", *_EMBEDDING]), "numbers": _NUMBERS,
        "embedding_columns": [c for c in _EMBEDDING if c in used.columns],
    }


def _sources() -> pd.DataFrame | None:
    import pandas as pd

    path = settings.data_dir() / "sources.csv"
    return pd.read_csv(path, dtype=str).fillna("") if path.exists() else None


def _provenance(results: Results, params: Params) -> list[tuple[str, str]]:
    import os

    versions = ", ".join(f"{name} {version}" for name, version in provenance.versions(_PACKAGES).items())
    codes = " ".join(sorted({str(c) for c in results.rows["code_revision"]})) if len(results.rows) else "–"
    locks = " ".join(sorted({str(c) for c in results.rows["lock_hash"]})) if len(results.rows) else "–"
    now = datetime.datetime.now(datetime.UTC)
    return [
        ("Written", f"{now:%Y-%m-%d %H:%M} UTC"),
        ("Parameters", ", ".join(f"{k}={v!r}" for k, v in vars(params).items())),
        ("Code", codes), ("Lock file", locks),
        ("Python", f"{platform.python_version()}, {versions}"),
        ("Machine", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        ("Result rows", str(len(results.rows))),
    ]
