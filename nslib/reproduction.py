"""``make reproduce``: from nothing to ``reports/index.html``, saying at each step what it does.

The long work (fetching, embedding, fitting) is done here, where progress is visible; the notebooks
then find everything in the store and in the results, and take seconds.
"""

from __future__ import annotations

import hashlib
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import embeddings, measure, params
from nslib.errors import Unavailable
from nslib.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from nslib.measure import Results
    from nslib.protocols import ProtocolResults
    from nslib.report import Run

_NAMED = 2
"""With more embeddings than this, what did not run is counted, not listed."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    ok : bool
        False if something failed that should have worked.
    text : str
        What to tell the user.
    """

    ok: bool
    text: str


def run(settings: Params) -> Outcome:
    """Fetch, embed, evaluate, run the notebooks and write the report.

    Parameters
    ----------
    settings : Params

    Returns
    -------
    Outcome
        Not ok if a notebook failed or nothing at all could be measured; what could not be run here
        is in the report with its reason and is no failure.

    Raises
    ------
    UnknownName
        For an unknown task or embedding; nothing has been done then.
    """
    from nslib import protocols, report

    began = time.perf_counter()
    corpus = f"corpus {settings.corpus}, " if settings.profile == "quick" else ""
    _say(f"profile {settings.profile}, {corpus}seed {settings.seed}"
         + (", SMOKE: a tiny run whose numbers mean nothing" if settings.smoke else ""))
    if settings.profile == "paper":
        _say_what_is_there(settings)
    _say("1/3 recordings, vectors and probes")
    found = measure.benchmark(params=settings)
    personal = protocols.run(protocols.WITHIN, params=settings)
    if len(personal.rows):
        found.notes += [f"within speakers: {note}" for note in personal.notes if note not in found.notes]
    _say("2/3 notebooks")
    runs = report.run(settings, notebooks(settings), inputs=_inputs(found, personal))
    _say("3/3 report")
    # notebook 7 has made them in the meantime
    found = found.with_fine_tuned()
    page = report.build(found, settings, runs=runs, clips=found.clips, protocol_answers=personal.answers)
    failed = [r for r in runs if not r.ok]
    # without any data the paper profile is a list of what to fetch, which is no failure
    enough = len(found.rows) > 0 or settings.profile == "paper"
    return Outcome(not failed and enough, _text(found, runs, failed, page, time.perf_counter() - began))


def notebooks(settings: Params) -> list[str]:
    """Names of the notebooks of a profile.

    Parameters
    ----------
    settings : Params

    Returns
    -------
    list of str
        Those that declare a parameter ``profile`` run in every profile; the others, which teach with the small
        material, only in the quick one.
    """
    from nslib import notebook

    paths = sorted(params.notebooks_dir().glob("*.ipynb"))
    return [p.stem for p in paths if settings.profile == "quick" or "profile" in notebook.parameters(p)]


def _say_what_is_there(settings: Params) -> None:
    """Tell what will be downloaded, and what it takes on disk, before anything is."""
    from nslib import tasks
    from nslib.corpora import noss

    for name in tasks.names(settings):
        if tasks.get(name).profile == "paper":
            found = noss.status(name)
            fetched = found.state == "download"
            size = f" ({found.download_gb:g} GB to download, {found.disk_gb:g} GB on disk)" if fetched else ""
            _say(f"  {name}: {found.detail}{size}")


def prepare(settings: Params, *, weights: bool = True) -> Outcome:
    """Fetch and check everything that a run needs from outside.

    Parameters
    ----------
    settings : Params
    weights : bool
        Fetch the embeddings too, not only the recordings.

    Returns
    -------
    Outcome
        Not ok if something could not be had.
    """
    from nslib import corpora

    plan = corpora.resolve(settings)
    lines, missing = list(plan.notes), [f"{name}: {error}" for name, error in plan.not_run]
    for task in plan.tasks:
        try:
            corpus = corpora.load_clips(task, settings)
        except Unavailable as error:
            missing.append(f"{task.name}: {error}")
            continue
        lines.append(f"{task.name}: {len(corpus.clips)} clips ready, {len(corpus.problems)} left out")
        lines += [f"  left out {row.clip_id}: {row.reason}" for row in corpus.problems.itertuples()]
    for name in (settings.embeddings or measure.defaults(settings)) if weights else ():
        try:
            embeddings.get(name)
            lines.append(f"{name}: ready")
        except Unavailable as error:
            missing.append(f"{name}: {error}")
    return Outcome(not missing, "\n".join([*lines, *missing]))


def _inputs(found: Results, personal: ProtocolResults) -> str:
    """Everything that the notebooks can find: equal text means that they would show the same."""
    seen = [*found.rows["key"].unique(), *personal.rows["key"].unique(), *found.not_run["why"],
            *found.problems["clip_id"], *found.notes]
    return hashlib.sha256("\n".join(map(str, seen)).encode()).hexdigest()


def _text(found: Results, runs: list[Run], failed: list[Run], page: Path, seconds: float) -> str:
    lines = [f"notebook {r.notebook} failed: {r.why}" for r in failed]
    for why, rows in found.not_run.groupby("why", sort=False):
        lines.append(f"not run: {_pairs(rows)}: {why}.{_below(rows['remedy'].iloc[0])}")
    if not len(found.rows):
        lines.append("nothing could be measured: see 'python -m nslib doctor' and the report")
    if len(found.problems):
        lines.append(f"{len(found.problems)} clips were left out; the report names them")
    pairs = len(found.rows[["task", "embedding"]].drop_duplicates())
    ran = sum(r.status == "ran" for r in runs)
    return "\n".join([*lines, f"{pairs} results, {ran} of {len(runs)} notebooks run now, "
                              f"{seconds:.0f} s: {_relative(page)}"])


def _pairs(rows: pd.DataFrame) -> str:
    """Name what did not run, in a line that stays short with many embeddings."""
    tasks, embeddings = list(rows["task"].unique()), list(rows["embedding"].unique())
    if len(embeddings) <= _NAMED:
        return ", ".join(dict.fromkeys(rows["task"] + " x " + rows["embedding"]))
    return f"{', '.join(tasks)} with {len(embeddings)} embeddings"


def _below(remedy: str) -> str:
    """Put steps below the sentence that they belong to; what is one line stays in it."""
    return "\n" + textwrap.indent(remedy, "    ") if "\n" in remedy else f" {remedy}"


def _relative(page: Path) -> Path:
    return page.relative_to(params.root()) if page.is_relative_to(params.root()) else page


def _say(text: str) -> None:
    print(f"nslib: {text}", file=sys.stderr, flush=True)
