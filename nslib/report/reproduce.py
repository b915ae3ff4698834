"""``make reproduce``: from nothing to ``reports/index.html``, with progress; the notebooks then take seconds."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets import loading, noss, noss_sources, tasks
from nslib.datasets.clip_cache import Ledger
from nslib.embeddings import registry, runtime
from nslib.errors import Unavailable
from nslib.evaluation import benchmark, protocols
from nslib.evaluation.results import Results, has_failures
from nslib.extraction import cache
from nslib.report.html import write_report
from nslib.report.notebooks import (
    RAN,
    SHOWS_SPEAKERS,
    NotebookPool,
    Run,
    compare_files,
    list_notebooks,
    read_run,
    write_run,
)

__all__ = ["prepare_inputs", "reproduce_all"]

_WITHIN = "within_speakers.jsonl"  # seconds, of a rehearsal
_SPLITS = 5 / 2  # of all five splits within speakers a rehearsal has two


class Outcome(NamedTuple):
    """How a run ended: false if something failed that should have worked, and what to tell the user."""

    ok: bool
    text: str


@config.explain_failures()
def reproduce_all(settings: Params) -> Outcome:
    """Fetch, embed, evaluate, run the notebooks and write the report.

    Not ok if a notebook or a measurement failed, or nothing at all could be measured; what is not available here is in
    the report with its reason and is no failure. Unknown tasks and embeddings are refused (UnknownName) before anything
    is done. A rehearsal has reports of its own, below those of the run, and says what the whole run will take and what
    of it would fail, which is not ok either; clips, vectors and models that it makes or fetches are those of the run.
    """
    if not settings.rehearse:
        return _reproduce(settings)
    with config.environment(REHEARSE=1, PROFILE="paper"):  # which notebooks and their checks read too
        return _reproduce(settings)


def _reproduce(settings: Params) -> Outcome:
    """Run all the steps."""
    began, say = time.perf_counter(), functools.partial(print, "nslib:", file=sys.stderr, flush=True)
    corpus = f"corpus {settings.corpus}, " if settings.profile == "quick" else ""
    say(f"profile {settings.profile}, {corpus}seed {settings.seed}"
        + (f". {settings.caveat}" if settings.smoke else ""))
    for name in tasks.choose_task_names(settings) if settings.profile == "paper" else ():
        if tasks.get_task(name).profile == "paper":
            status = noss_sources.get_status(name)
            size = f" ({status.download_gb:g} GB to download, {status.disk_gb:g} GB on disk)"
            say(f"  {name}: {status.detail}{size if status.state == 'download' else ''}")
    benchmark.specify_embeddings(None, settings)  # an unknown name is told before anything is done
    names, plan = list_notebooks(settings), loading.resolve_tasks(settings)
    heard = _hash_words([*(task.name for task in plan.tasks), *plan.notes])
    with NotebookPool(settings, names) as pool:
        pool.begin_training(heard)  # while clips are unpacked and small probes fitted, processors would idle
        say("1/3 recordings, vectors and probes")
        results = benchmark.benchmark(params=settings)
        run_within = functools.partial(protocols.run_protocol, protocols.WITHIN_SPEAKER, params=settings)
        began_within = time.perf_counter()
        try:  # the quick one, some seconds, is left to notebook 6, beside others
            personal = run_within() if settings.profile == "paper" else None
        finally:  # the rest is measured by the call that goes on
            if settings.rehearse and len(results.rows):
                Ledger(config.reports_dir() / _WITHIN).append(time.perf_counter() - began_within)
        registry.unload_functions()  # notebooks need the memory
        say("2/3 notebooks")
        # equal inputs mean that the notebooks would show the same: those within speakers follow from them
        keys = [*results.rows["key"].unique(), *(personal.rows["key"].unique() if personal else ())]
        inputs = _hash_words([*keys, *results.not_run["why"], *results.problems["clip_id"], *results.problems["reason"],
                              *results.notes])
        runs = pool.finish(inputs, heard)
    personal = personal or run_within()
    if len(personal.not_run):  # it may be run the next time, and so is the notebook that says it is not
        (config.reports_dir() / "notebooks" / f"{SHOWS_SPEAKERS}.json").unlink(missing_ok=True)
    if len(personal.rows):
        results.notes += [f"within speakers: {note}" for note in personal.notes if note not in results.notes]
    say("3/3 report")
    results = results.with_fine_tuned().with_costs()  # of what notebooks have made in the meantime
    page = _write_changed(results, personal, settings, runs, inputs, say)
    # without any data the paper profile is a list of what to fetch, which is no failure
    enough = (len(results.rows) > 0 or settings.profile == "paper") and not has_failures(results.not_run)
    text = _summarise(results, runs, page, time.perf_counter() - began)
    foreseen = _foresee(results, runs, settings) if settings.rehearse else Outcome(True, "")
    return Outcome(all(run.ok for run in runs) and enough and foreseen.ok, f"{text}\n{foreseen.text}".rstrip())


def _write_changed(results: Results, personal: protocols.ProtocolResults, settings: Params, runs: list[Run],
                   inputs: str, say: Callable[[str], object]) -> Path:
    """Write the report, unless nothing that it shows has changed since it was written, nor what was written."""
    folder = config.reports_dir()
    stored = [path for kind in ("results", "rows") for path in sorted((folder / kind).glob("*"))]
    stamp = _hash_words([settings, inputs, *personal.rows["key"].unique(), *results.rows["key"].unique(),
                         *results.notes, *(one.to_csv() for one in (results.ledger, results.problems, results.not_run)),
                         *stored, *(one.stat().st_mtime_ns for one in stored),
                         *(f"{run.stamp} {run.when} {run.why}" for run in runs)])
    last = read_run(folder / "report.json")
    if last and last.stamp == stamp and all(was == now for _, was, now in compare_files(folder, last)):
        say("unchanged, not written again: the report")
        return folder / "index.html"
    page = write_report(results, settings, runs=runs, clips=results.clips, protocol_answers=personal.answers)
    files = [path for place in (folder, folder / "figures", folder / "tables") for path in place.glob("*.*")
             if path.is_file() and path.suffix not in (".json", ".jsonl")]
    made = {str(path.relative_to(folder)): config.hash_file(path) for path in files}
    write_run(folder / "report.json", Run("report", "", RAN, 0.0, "", stamp, made=made))
    return page


def _hash_words(words: Iterable[object]) -> str:
    """Hash words, a line each."""
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()


def _foresee(results: Results, runs: list[Run], settings: Params) -> Outcome:
    """Say what the whole run takes, from what was measured in its rehearsal; not ok if something of it would fail."""
    import psutil

    work, within, free = list[benchmark.Work | None](), [0, 0], psutil.virtual_memory().available / 1e9
    rehearsed = [name for name in results.clips["task"].unique() if tasks.get_task(name).profile == "paper"]
    for name in rehearsed:
        task, few = tasks.get_task(name), results.clips[results.clips["task"] == name]
        clips = noss.list_clips(name).assign(seconds=few["seconds"].mean())
        if task.within_speaker:
            within = [within[0] + len(few), within[1] + len(clips)]
        measured = results.rows.loc[results.rows["task"] == name, "embedding"].unique()
        for spec in benchmark.join_outputs([benchmark.specify_embedding(embedding) for embedding in measured]):
            work.append(benchmark.estimate_pair(task, clips, spec))
    if not (known := [one for one in work if one]):
        return Outcome(True, "Nothing was rehearsed, so nothing is known of the whole run.")
    duration, spent = benchmark.format_duration, sum(Ledger(config.reports_dir() / _WITHIN).read(float))
    lines = [f"The whole run on {', '.join(rehearsed)}, from what was measured here:", benchmark.describe_work(known),
             f"within speakers: {duration(spent * _SPLITS * within[1] / max(within[0], 1))} more; notebooks took "
             f"{duration(sum(run.seconds for run in runs))} here, longer on all clips, which is not counted",
             f"this process took at most {cache.peak_memory_gb():.1f} GB of memory, before the probes'"]
    lines += [f"{name}: at most {used:.1f} GB of its memory, in batches as those of the whole run"
              for name, used in runtime.peak_gpu_gb().items()] or ["no GPU took part"]
    failing = [f"{one.task} x {one.embedding}: probes need {one.memory_gb:.0f} GB of memory, and {free:.0f} GB are free"
               for one in known if one.memory_gb > free]
    room = _list_room(settings, sum(one.disk_gb for one in known))
    lines.append(f"disk: about {sum(room.values()):.1f} GB, with what is still to be prepared")
    failing += [f"about {gb:.0f} GB are to be written to {folder}, and {free:.0f} GB are free" for folder, gb in
                room.items() if gb > (free := shutil.disk_usage(folder).free / 1e9)]
    return Outcome(not failing, "\n".join([*lines, *(f"would fail: {why}" for why in failing)]))


def _list_room(settings: Params, vectors_gb: float) -> dict[Path, float]:
    """List GB that are still to be written, by the disk on which: vectors, clips, and what is prepared of archives."""
    cached, prepared = config.cache_dir(), config.tfds_dir()
    prepared.mkdir(parents=True, exist_ok=True)
    sets = [noss.find_room(name) for name in tasks.choose_task_names(settings) if name in noss_sources.SOURCES]
    room = {cached: vectors_gb + sum(clips for _, clips in sets), prepared: sum(files for files, _ in sets)}
    return {cached: sum(room.values())} if os.stat(cached).st_dev == os.stat(prepared).st_dev else room


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
    for name in (settings.embeddings or benchmark.default_embeddings(settings)) if weights else ():
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
