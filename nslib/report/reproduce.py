"""``make reproduce``: from nothing to ``reports/index.html``, with progress; the notebooks then take seconds."""

from __future__ import annotations

import functools
import hashlib
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets import loading, noss_sources, tasks
from nslib.errors import Unavailable
from nslib.evaluation import protocols
from nslib.evaluation.benchmark import benchmark, default_embeddings
from nslib.evaluation.results import Results, has_failures
from nslib.report.html import write_report
from nslib.report.notebooks import Run, list_notebooks, run_notebooks

__all__ = ["prepare_inputs", "reproduce_all"]


class Outcome(NamedTuple):
    """How a run ended: false if something failed that should have worked, and what to tell the user."""

    ok: bool
    text: str


@config.explain_failures()
def reproduce_all(settings: Params) -> Outcome:
    """Fetch, embed, evaluate, run the notebooks and write the report.

    Not ok if a notebook or a measurement failed, or nothing at all could be measured; what is not available here is in
    the report with its reason and is no failure. Unknown tasks and embeddings are refused (UnknownName) before anything
    is done.
    """
    began, say = time.perf_counter(), functools.partial(print, "nslib:", file=sys.stderr, flush=True)
    corpus = f"corpus {settings.corpus}, " if settings.profile == "quick" else ""
    say(f"profile {settings.profile}, {corpus}seed {settings.seed}"
        + (", SMOKE: a tiny run whose numbers mean nothing" if settings.smoke else ""))
    for name in tasks.choose_task_names(settings) if settings.profile == "paper" else ():
        if tasks.get_task(name).profile == "paper":
            status = noss_sources.get_status(name)
            size = f" ({status.download_gb:g} GB to download, {status.disk_gb:g} GB on disk)"
            say(f"  {name}: {status.detail}{size if status.state == 'download' else ''}")
    say("1/3 recordings, vectors and probes")
    results = benchmark(params=settings)
    personal = protocols.run_protocol(protocols.WITHIN_SPEAKER, params=settings)
    if len(personal.rows):
        results.notes += [f"within speakers: {note}" for note in personal.notes if note not in results.notes]
    say("2/3 notebooks")
    # equal inputs mean that the notebooks would show the same
    inputs = [*results.rows["key"].unique(), *personal.rows["key"].unique(), *results.not_run["why"],
              *results.problems["clip_id"], *results.notes]
    runs = run_notebooks(settings, list_notebooks(settings),
                         inputs=hashlib.sha256("\n".join(map(str, inputs)).encode()).hexdigest())
    say("3/3 report")
    results = results.with_fine_tuned()  # notebook 7 has made them in the meantime
    page = write_report(results, settings, runs=runs, clips=results.clips, protocol_answers=personal.answers)
    # without any data the paper profile is a list of what to fetch, which is no failure
    enough = (len(results.rows) > 0 or settings.profile == "paper") and not has_failures(results.not_run)
    return Outcome(all(run.ok for run in runs) and enough, _summarise(results, runs, page, time.perf_counter() - began))


def prepare_inputs(settings: Params, *, weights: bool = True) -> Outcome:
    """Fetch and check all that a run needs from outside, with `weights` embeddings too; not ok if any is missing."""
    plan = loading.resolve_tasks(settings)
    lines, missing = list(plan.notes), [f"{name}: {error}" for name, error in plan.not_run]
    for task in plan.tasks:
        try:
            corpus = loading.load_clips(task, settings)
        except Unavailable as error:
            missing.append(f"{task.name}: {error}")
            continue
        lines.append(f"{task.name}: {len(corpus.clips)} clips ready, {len(corpus.problems)} left out")
        lines += [f"  left out {row.clip_id}: {row.reason}" for row in corpus.problems.itertuples()]
        lines += [f"  {note}" for note in corpus.notes]
    for name in (settings.embeddings or default_embeddings(settings)) if weights else ():
        try:
            embeddings.get(name)
            lines.append(f"{name}: ready")
        except Unavailable as error:
            missing.append(f"{name}: {error}")
    return Outcome(not missing, "\n".join([*lines, *missing]))


def _summarise(results: Results, runs: list[Run], page: Path, seconds: float) -> str:
    """Say what failed, what was not run and why, and where the report is."""
    lines = [f"notebook {run.notebook} failed: {run.why}" for run in runs if not run.ok]
    for why, rows in results.not_run.groupby("why", sort=False):
        remedy, names = rows["remedy"].iloc[0], rows["embedding"].nunique()
        pairs = (", ".join(dict.fromkeys(rows["task"] + " x " + rows["embedding"])) if names <= 2 else
                 f"{', '.join(rows['task'].unique())} with {names} embeddings")
        # steps go below the sentence that they belong to; what is one line stays in it
        remedy = "\n" + textwrap.indent(remedy, "    ") if "\n" in remedy else f" {remedy}"
        lines.append(f"not run: {pairs}: {why}.{remedy}")
    if not len(results.rows):
        lines.append("nothing could be measured: see 'python -m nslib doctor' and the report")
    if len(results.problems):
        lines.append(f"{len(results.problems)} clips were left out; the report names them")
    scored, ran = len(results.rows[["task", "embedding"]].drop_duplicates()), sum(run.status == "ran" for run in runs)
    where = page.relative_to(config.root()) if page.is_relative_to(config.root()) else page
    return "\n".join([*lines, f"{scored} results, {ran} of {len(runs)} notebooks run now, {seconds:.0f} s: {where}"])
