"""``python -m nslib``: the verbs of the kit from a shell.

Exit codes: 0 done; 1 a notebook or check failed, or something was left out; 2 the request was wrong (unknown name, bad
parameter, bad input), or nothing could be measured; 3 something is not available on this machine; 130 Ctrl-C. Messages
go to stderr, results to stdout. What takes seconds to import (TensorFlow) is imported by the verbs that need it, so
that ``--help`` and wrong requests answer at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode

import pandas as pd
import typer
from typer import Argument, Option
from typer.core import TyperGroup

from nslib import config
from nslib import embeddings as models
from nslib.config import load_params
from nslib.datasets.card import make_data_card
from nslib.datasets.corpora import RECIPES
from nslib.datasets.splits import SPLITS
from nslib.datasets.tasks import get_task
from nslib.embeddings import networks, registry, runtime
from nslib.embeddings.backends import format_backends
from nslib.embeddings.files import parse_options
from nslib.embeddings.interfaces import find_interface
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName, join_sentences
from nslib.evaluation import benchmark, probe, protocols, results, tfrecords
from nslib.evaluation.classifiers import FAMILIES
from nslib.evaluation.controls import OF_CLASSES, measure_controls
from nslib.extraction.cache import list_caches
from nslib.extraction.cluster import ClusterJob, describe_cluster_cost
from nslib.paper.published import list_numbers
from nslib.report import doctor, leaderboard, summary, verify
from nslib.report.compare import compare_reports
from nslib.report.reproduce import prepare_inputs, reproduce_all
from nslib.teaching import colab, notebook_rules, workshop
from nslib.training import data, finetune, settings

__all__ = ["main"]

_EMBEDDING = ("Name, file of a model (maybe with ?window=0.96&hop=0.48), address on TF Hub, file of vectors, "
              "transformers:NAME?layer=3 (or hear, s3prl, mteb, ...), package.module:function or file.py:function.")


def _check_place(*endings: str, folder: bool = False) -> Callable[[Path | None], Path | None]:
    """Make the check of an option that says where something is to be written: it is made before any work."""
    def check(path: Path | None) -> Path | None:
        if path is None:
            return None
        if endings and path.suffix not in endings:
            raise BadParameter(f"cannot write {str(path)!r}: give a file name that ends in {' or '.join(endings)}.")
        if path.exists() and path.is_dir() != folder:
            raise BadParameter(f"cannot write {str(path)!r}: it is {'no' if folder else 'a'} folder.")
        home = next(place for place in (path, *path.absolute().parents) if place.exists())
        if not (home.is_dir() or home == path) or not os.access(home, os.W_OK):
            raise BadParameter(f"cannot write {str(path)!r}: {home} is no folder that can be written.")
        return path
    return check


def _check_cluster(address: str | None) -> str | None:
    """Check the form of an address."""
    if address is not None and not re.fullmatch(r"local:0*[1-9]\d*|(?!local:).+:\d+", address):
        raise BadParameter(f"cluster is {address!r}; give tcp://host:8786, or local: and a number of worker processes, "
                           "as in local:2.")
    return address


def _set_jobs(jobs: str | None) -> None:
    """Tell this process and its notebooks what is done side by side; what is no number is refused before any work."""
    if jobs is not None:
        os.environ["JOBS"] = jobs
    try:
        runtime.count_jobs()
    except BadParameter:
        os.environ.pop("JOBS", None)
        raise


_TABLE = {"callback": _check_place(".csv", ".parquet")}
_TEXT = {"callback": _check_place(".md")}
_NEW_FOLDER = {"callback": _check_place(folder=True)}

Tasks = Annotated[str | None, Option(help="Task names, comma-separated (default: all of the profile).")]
Corpus = Annotated[str | None, Option(help="Of the quick profile: real or synthetic.")]
Profile = Annotated[str | None, Option(help="quick, or paper: NOSS itself.")]
Seed = Annotated[int | None, Option(help="Seed of every draw.")]
Smoke = Annotated[bool | None, Option("--smoke/--no-smoke", help="A tiny run that checks the path.")]
Rehearse = Annotated[bool | None, Option(
    "--rehearse", help="Of the paper profile: a few clips, all steps, and what the whole run will take.")]
Names = Annotated[str | None, Option("--embeddings", help="Embedding names, comma-separated.")]
Embeddings = Annotated[list[str], Argument(
    help="Names, files of models or of vectors, addresses on TF Hub, or your own as file.py:function.")]
Dataset = Annotated[list[Path] | None, Option(
    help="Your data, beside --tasks if given: a folder (label = subfolder), a CSV, TSV or Parquet list, a folder of "
         "Kaldi, lhotse, audformat or datasets, or tfds:NAME, audb:NAME, hf:OWNER/NAME.")]
Metric = Annotated[str | None, Option(
    help="Names, comma-separated, such as uar,accuracy,macro-f1,auc: the first chooses, all are shown. ccc or mae take "
         "labels as numbers.")]
Probes = Annotated[str | None, Option(
    help="Names, comma-separated, of one family: " + "; ".join(", ".join(names) for names in FAMILIES.values()) + ".")]
Label = Annotated[str | None, Option(metavar="COLUMN", help="Of your list: the column of the label.")]
Speaker = Annotated[str | None, Option(metavar="COLUMN", help="Of your list: the column of the speaker.")]
Split = Annotated[str | None, Option(metavar="COLUMN", help="Of your list: the column of the split.")]
ClipId = Annotated[str | None, Option(metavar="COLUMN", help="Of your list: the column of the clip's name.")]
Audio = Annotated[str | None, Option(metavar="COLUMN", help="Of your list: the column of the file's path.")]
Recipe = Annotated[str | None, Option(help=f"Of a folder: whose file names tell the label: {', '.join(RECIPES)}.")]
SplitFile = Annotated[Path | None, Option("--splits", help="A file of splits for your data.")]
Transductive = Annotated[bool | None, Option(
    "--transductive/--no-transductive", help="Whether the z-score by speaker is among the choices.")]
Rows = Annotated[Path | None, Option("--out", help="Write all rows here (.csv or .parquet).", **_TABLE)]
Json = Annotated[bool, Option("--json", help="Print everything as JSON.")]
Table = Annotated[Path, Option("--out", help="Table to write: .parquet or .csv.", **_TABLE)]
Cluster = Annotated[str | None, Option(
    help="Where to work: address of a dask scheduler (tcp://host:8786), or local:N for N processes here.",
    callback=_check_cluster)]
Settings = Annotated[list[str] | None, Argument(
    help="Settings as name=value, such as steps=500; 'train settings' lists those of triplets.")]
Folder = Annotated[Path | None, Option(
    help="Of the run; the same command goes on with it. Default: the cache.", **_NEW_FOLDER)]
Jobs = Annotated[str | None, Option(
    help="Notebooks, fits and speakers side by side (default: JOBS, else as many as processors).", callback=_set_jobs)]
Clips = Annotated[Path | None, Option(help="Your audio: a folder or a table; default: the kit's own.")]
Sources = Annotated[list[str] | None, Option(
    "--source", help="Of the kit's own audio, one or more: " + ", ".join(data.SOURCES) + ". Default: all.")]
Notebooks = Annotated[list[str] | None, Argument(help="Notebooks (default: all with exercises).")]
Task = Annotated[str, Argument(help="Name of a task.")]


def _group(name: str, about: str) -> typer.Typer:
    """Make a group of verbs."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(lambda: None)  # a group of one verb stays a group
    app.add_typer(group, name=name, help=about)
    return group


class _Verbs(TyperGroup):
    """Verbs whose failures are told in a sentence, whatever raised them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with config.explain_failures():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            print("nslib: stopped. What was computed is stored: the same command goes on from there.", file=sys.stderr)
            raise


app = typer.Typer(cls=_Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Measure non-semantic speech embeddings: NOSS and TRILL in notebooks.")
data_app = _group("data", "The recordings: what is there, and fetching them.")
notebooks_app = _group("notebooks", "The notebooks' contract.")
store_app = _group("store", "The vectors computed so far.")
published_app = _group("published", "Numbers that papers report, each with its status.")
vectors_app = _group("vectors", "Vectors as TFRecord files, as the authors' pipeline has them.")
train_app = _group("train", "Train TRILL's network on raw audio, and use what was trained.")
embeddings_app = _group("embeddings", "Built-in embeddings, their backends, and devices.")
cluster_app = _group("cluster", "Many machines: what a large extraction takes.")
colab_app = _group("colab", "Colab: the kit as a zip file to upload, and the notebooks' first cells.")
workshop_app = _group("workshop", "Workshops: notebooks with exercises, as zip files that need no network.")


def main() -> None:
    """Run the command line; errors that teach come out as one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what no encoding can
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.stderr.isatty():
        # In a log every update is a line of its own; a progress bar needs few of them.
        os.environ.setdefault("TQDM_MININTERVAL", "15")
    warnings.formatwarning = lambda message, *_, **__: f"nslib: {message}\n"  # where it was raised helps nobody here
    try:
        app()
    except NslibError as error:
        print(f"nslib: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command("doctor")
def examine_machine() -> None:
    """Say what this machine can and can't run."""
    print(doctor.format_findings(doctor.examine_machine()))


@app.command()
def reproduce(
    cell: Annotated[str | None, Argument(
        help="Just this cell, TASK/EMBEDDING or the beginning of a result's key, beside what is kept of it.")] = None,
    profile: Profile = None, corpus: Corpus = None, tasks: Tasks = None, embeddings: Names = None, seed: Seed = None,
    smoke: Smoke = None, jobs: Jobs = None, rehearse: Rehearse = None,
    protocol: Annotated[str | None, Option(help=f"Of a cell: {', '.join(protocols.PROTOCOLS)}.")] = None,
    fresh: Annotated[bool, Option("--fresh", help="Of a cell: compute its vectors again too.")] = False,
) -> None:
    """Fetch, embed, evaluate, run the notebooks and write the report; or compute one cell again."""
    params = load_params(profile=profile, corpus=corpus, tasks=tasks, embeddings=embeddings, seed=seed, smoke=smoke,
                         rehearse=rehearse)
    if rehearse and (cell or not params.rehearse):
        raise BadParameter("--rehearse is of the whole paper profile: leave the cell, and --profile quick, out.")
    if cell is None:
        if fresh or protocol:
            raise BadParameter("--fresh and --protocol are of one cell: name it, as TASK/EMBEDDING.")
        outcome = reproduce_all(params)
        print(outcome.text)
        _exit(outcome.ok)
    if tasks or embeddings:
        raise BadParameter("a cell names its task and its embedding: leave --tasks and --embeddings out.")
    again = verify.run_again(cell, params, protocol=protocol, seed=seed, fresh=fresh)
    print(again.text)
    _exit(again.equal)


@app.command("report")
def verify_report(
    folder: Annotated[Path | None, Argument(help="Folder of a report (default: reports/, or NSLIB_REPORTS).")] = None,
    verifying: Annotated[bool, Option("--verify", help="Recompute every number, and name what is wrong.")] = False,
    level: Annotated[str, Option(
        help="What is recomputed: scores, from kept answers (seconds), or all: every pair is run again.")] = "scores",
    out: Annotated[Path | None, Option(help="Write every check here (.csv or .parquet).", **_TABLE)] = None,
) -> None:
    """Say whether the numbers of a report are true: from kept answers, and from stored vectors."""
    if not verifying:
        raise BadParameter("say what to do with the report: --verify recomputes its numbers; 'reproduce' writes it.")
    checks = verify.verify_report(folder, level=level)
    _write_table(checks, out)
    print(verify.format_checks(checks))
    _exit(not checks["ok"].eq(False).fillna(False).any())


@app.command()
def compare(
    first: Annotated[Path, Argument(help="Folder of a report, such as one of another machine or version.")],
    second: Annotated[Path, Argument(help="Folder of the report that is compared with it.")],
    out: Annotated[Path | None, Option(help="Write it here too (.md).", **_TEXT)] = None,
) -> None:
    """Say what moved beyond noise between two runs. Exit code 0: nothing; 1: something; 2: not comparable."""
    comparison = compare_reports(first, second)
    if out:
        config.write_file(out, comparison.markdown())
        print(f"written: {out}", file=sys.stderr)
    print(comparison.text())
    _exit(not comparison.moved)


@app.command("benchmark")
def measure(
    context: typer.Context, embeddings: Embeddings, tasks: Tasks = None, dataset: Dataset = None,
    splits: SplitFile = None,
    metric: Metric = None, probes: Probes = None, corpus: Corpus = None, profile: Profile = None, seed: Seed = None,
    smoke: Smoke = None, rehearse: Rehearse = None, jobs: Jobs = None, out: Rows = None, cluster: Cluster = None,
    label: Label = None, speaker: Speaker = None, split: Split = None, clip_id: ClipId = None, audio: Audio = None,
    recipe: Recipe = None, transductive: Transductive = None, as_json: Json = False,
    controls: Annotated[bool, Option("--controls", help="Measure chance, silence and a random split too.")] = False,
    report: Annotated[Path | None, Option(help="Write a page (.html) with table, confusion, map and audit.",
                                          callback=_check_place(".html", ".htm"))] = None,
) -> None:
    """Measure embeddings on tasks or on your data, and print the table."""
    params = load_params(profile=profile, corpus=corpus, tasks=tasks, seed=seed, smoke=smoke, rehearse=rehearse,
                         transductive=transductive)
    if rehearse and not params.rehearse:
        raise BadParameter("--rehearse is of the paper profile: leave --profile quick out.")
    if rehearse:
        context.with_resource(config.environment(REHEARSE=1))  # reports of its own
    if controls and benchmark.Measure.of(metric, probes).numbers:
        raise BadParameter(OF_CLASSES)
    given = benchmark.list_given([_find_embedding(name) for name in embeddings], ())
    recordings = [_name_columns(path, label=label, speaker=speaker, split=split, clip_id=clip_id, audio=audio,
                                recipe=recipe) for path in dataset or ()]
    measured = benchmark.benchmark(given, [*(params.tasks if tasks else ()), *recordings] or None, params=params,
                                   splits=splits, metric=metric, probes=probes, cluster=cluster)
    heard = measure_controls(measured, given, params) if controls else None
    table = summary.describe_results(measured, params, heard)
    if report:
        named = None if recordings and not tasks else ",".join(params.tasks) or None
        again = _write_command(params, embeddings, recordings, tasks=named, splits=splits, metric=metric, probes=probes)
        summary.write_page(measured, report, params, controls=heard, embeddings=given, command=again)
    _print_results(measured, lambda: summary.format_table(table, shutil.get_terminal_size().columns), out,
                   summary.format_json(measured, table) if as_json else "",
                   summary.say_next(measured.rows, out, report, controls))


@app.command()
def embed(
    source: Annotated[Path, Argument(help="A folder, or a CSV, TSV or Parquet list with a column audio.")],
    embedding: Annotated[str, Option(help=_EMBEDDING)] = "logmel",
    out: Table = Path("vectors.parquet"), cluster: Cluster = None,
    label: Label = None, speaker: Speaker = None, split: Split = None, clip_id: ClipId = None,
    audio: Audio = None, recipe: Recipe = None,
) -> None:
    """Embed recordings: one vector a clip."""
    recordings = _name_columns(source, label=label, speaker=speaker, split=split, clip_id=clip_id, audio=audio,
                               recipe=recipe)
    table = benchmark.embed(recordings, _find_embedding(embedding), cluster=cluster)
    _print_notes(table.attrs["notes"])
    left_out = _print_left_out(table.attrs["problems"], len(table))
    _write_table(table, out)
    print(f"{len(table)} clips -> {out}; {left_out} left out")
    _exit(not left_out)


@app.command()
def check(
    embedding: Annotated[str, Argument(help=_EMBEDDING)],
    card: Annotated[Path | None, Option(
        help="Write a model card here (.md): facts, contract, results.", **_TEXT)] = None,
) -> None:
    """Run an embedding through the contract's checker."""
    ready = benchmark.load_embedding(_find_embedding(embedding))
    report = models.check(ready)
    print(report)
    if card:
        config.write_file(card, summary.make_model_card(ready, report, results.load_results()[0]))
        print(f"card -> {card}", file=sys.stderr)
    _exit(report.ok)


@app.command()
def protocol(
    name: Annotated[str, Argument(help=f"One or more, comma-separated: {', '.join(protocols.PROTOCOLS)}.")],
    embeddings: Embeddings, tasks: Tasks = None, dataset: Dataset = None, splits: SplitFile = None,
    train: Annotated[str | None, Option(help="Of cross-corpus: the task or recordings to learn from.")] = None,
    metric: Metric = None, probes: Probes = None,
    changed: Annotated[list[str] | None, Option(
        "--set", help="A setting as name=value in JSON, such as shots=[1,8], folds=10 or "
                      "'labels={\"angry\": \"anger\"}'; once for each.")] = None,
    corpus: Corpus = None, profile: Profile = None, seed: Seed = None, smoke: Smoke = None, jobs: Jobs = None,
    out: Rows = None, transductive: Transductive = None, as_json: Json = False,
) -> None:
    """Ask another question of the same vectors, of tasks or of your data: other divisions, corpora, sizes."""
    params = load_params(corpus=corpus, profile=profile, tasks=tasks, seed=seed, smoke=smoke, transductive=transductive)
    given = [*(params.tasks if tasks or not dataset else ()), *map(str, dataset or ())] or None
    chosen = [_find_embedding(e) for e in embeddings]
    settings = {"train": train, "probes": probes} | _read_settings(changed)
    names = [part.strip() for part in name.split(",")]
    picked = {one: protocols.pick_settings(one, settings, names) for one in names}  # all are checked before any runs
    measured = protocols.join_protocols([protocols.run_protocol(
        one, chosen, given, params, splits=splits, metric=metric, **own) for one, own in picked.items()])
    _print_results(measured, measured.compare, out, summary.format_json(measured) if as_json else "")


@app.command("export-row")
def export_row(
    embedding: Annotated[str, Argument(help="Name of an embedding that has results.")],
    out: Annotated[Path, Argument(help="File to write, ending in .parquet.", callback=_check_place(".parquet"))],
    tasks: Annotated[str, Option(help="Names, separated by commas (default: the kit's own tasks).")] = "",
    by: Annotated[str, Option(help="Who measured it, as others shall read it.")] = "",
    about: Annotated[str, Option(help="What it is, and where it can be had.")] = "",
) -> None:
    """Write the scores of an embedding as a file that others can take in."""
    rows, predictions = results.load_results()
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    print(leaderboard.export_scores(rows, embedding, out, tasks=names, predictions=predictions, by=by, about=about))


@app.command("import-row")
def import_row(files: Annotated[list[Path], Argument(help="Files that others have written with export-row.")]) -> None:
    """Take rows of others in, if they are of the same recordings and splits."""
    rows, _ = results.load_results()
    for path in files:
        copy, notes = leaderboard.adopt_scores(path, rows)
        print(copy)
        for note in notes:
            print(f"{path.name}: {note}", file=sys.stderr)


@app.command("leaderboard")
def write_leaderboard() -> None:
    """Write reports/leaderboard.html: rows of your own, and those that were taken in."""
    print(leaderboard.write_page(results.load_results()[0], leaderboard.read_folder()))


@data_app.command("status")
def data_status(corpus: Corpus = None, profile: Profile = None) -> None:
    """List every task: ready, can be fetched, or not to be had, and why."""
    print(doctor.format_findings(doctor.examine_data(load_params(profile=profile, corpus=corpus))))


@data_app.command("prepare")
def data_prepare(
    names: Annotated[list[str] | None, Argument(help="Tasks, whose recordings alone are prepared.")] = None,
    tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
) -> None:
    """Fetch and check the recordings, and without names the weights too, so that later runs need no network."""
    params = load_params(profile=profile, corpus=corpus, tasks=names or tasks, smoke=smoke)
    outcome = prepare_inputs(params, weights=not names)
    print(outcome.text)
    _exit(outcome.ok, 3)


@data_app.command("clips")
def data_clips(
    names: Annotated[list[str], Argument(help="Tasks, or recordings of your own.")],
    out: Table = Path("clips.parquet"),
    wav: Annotated[Path | None, Option(
        help="Folder to write the audio to as the kit hears it: mono, 16 kHz, float, named after its hash.",
        **_NEW_FOLDER)] = None,
    corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
) -> None:
    """List the clips of tasks, for whoever computes vectors elsewhere: task, clip_id, sha256, seconds, audio."""
    table, problems = tfrecords.list_clips(names, load_params(corpus=corpus, profile=profile, smoke=smoke))
    left_out = _print_left_out(problems.to_dict("records"), len(table))
    if wav:
        table = tfrecords.write_clip_audio(table, wav)
    _write_table(table, out)
    print(f"{len(table)} clips of {table['task'].nunique()} tasks -> {out}{f', their audio in {wav}' if wav else ''}; "
          f"{left_out} left out")
    _exit(not left_out)


@data_app.command("card")
def data_card(
    source: Annotated[str, Argument(help="Your recordings, as benchmark --dataset takes them.")],
    out: Annotated[Path | None, Option(help="Write the card here (.md) instead of printing it.", **_TEXT)] = None,
    save_splits: Annotated[Path | None, Option(
        help="Write the split here (.csv), to be given again.", callback=_check_place(".csv"))] = None,
    splits: SplitFile = None, seed: Seed = None,
    label: Label = None, speaker: Speaker = None, split: Split = None, clip_id: ClipId = None,
    audio: Audio = None, recipe: Recipe = None,
) -> None:
    """Say what your recordings are, how they are split, and what can make a score on them wrong."""
    recordings = _name_columns(source, label=label, speaker=speaker, split=split, clip_id=clip_id, audio=audio,
                               recipe=recipe)
    card = make_data_card(recordings, seed=load_params(seed=seed).seed, splits=splits)
    left_out = _print_left_out(card.corpus.problems.to_dict("records"), clips := len(card.corpus.clips))
    if save_splits:
        print(f"split -> {card.save_splits(save_splits)}", file=sys.stderr)
    if out:
        config.write_file(out, card.markdown())
    else:
        print(card.markdown())
    s = "s" * (len(card.audit.problems) != 1)
    print(f"{clips} clips, {left_out} left out; {len(card.audit.problems)} thing{s} that can make a score wrong"
          f"{f' -> {out}' if out else ''}", file=sys.stdout if out else sys.stderr)
    _exit(not left_out)


@notebooks_app.command("check")
def notebooks_check(
    paths: Annotated[list[Path] | None, Argument(help="Default: every notebook of the kit.")] = None,
) -> None:
    """Check notebooks against the contract, without running them."""
    paths = paths or sorted(config.notebooks_dir().glob("*.ipynb"))
    violations = [violation for path in paths for violation in notebook_rules.check_source(path)]
    print("\n".join([*map(str, violations), f"{len(violations)} violations"]))
    _exit(not violations)


@store_app.command("verify")
def store_verify() -> None:
    """Check every stored vector against its checksum."""
    bad = [f"{name}/{sentence}" for name, store in list_caches() for sentence in store.verify()]
    print("\n".join([*bad, f"{len(bad)} damaged shards"]))
    _exit(not bad)


@store_app.command("prune")
def store_prune() -> None:
    """Delete damaged shards and what killed runs left; their clips are computed again when asked for."""
    print(f"{sum(store.prune() for _, store in list_caches())} files deleted")


@published_app.command("list")
def published_list(paper: Annotated[str | None, Argument(help="Key of a work, to see its numbers.")] = None) -> None:
    """List the works and how well their numbers are known, or all numbers of one work."""
    print(list_numbers(paper))


@vectors_app.command("export")
def vectors_export(
    embeddings: Annotated[list[str], Argument(help="Names of embeddings; all go into the same files.")],
    tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
    out: Annotated[Path, Option(
        help="Folder; it gets <task>.train-00000-of-00001 and so on.", **_NEW_FOLDER)] = Path("vectors"),
    numbers: Annotated[bool, Option(help="Labels as numbers, as the authors' probes want them.")] = False,
    shards: Annotated[int, Option(help="Files of a split.", min=1)] = 1,
) -> None:
    """Write the vectors of tasks for the authors' scikit-learn step, or for any reader of TFRecord files."""
    params = load_params(corpus=corpus, profile=profile, tasks=tasks, smoke=smoke)
    for path in tfrecords.export_vectors(embeddings, out, params, numbers=numbers, shards=shards,
                                 say=lambda text: print(text, file=sys.stderr)):
        print(path)


@vectors_app.command("probe")
def vectors_probe(
    files: Annotated[list[str], Argument(help="Files, patterns (out/savee.*), prefix@N or a prefix.")],
    name: Annotated[str | None, Option(help="Which embedding, if there are several.")] = None,
    labels: Annotated[Path | None, Option(help="label_list.txt: names of numbered labels.")] = None,
    seed: Seed = None, smoke: Smoke = None,
) -> None:
    """Run the probes on vectors that the authors' pipeline, or 'vectors export', has written."""
    params = load_params(seed=seed, smoke=smoke)
    table = tfrecords.read_tfrecords(files, [name] if name else None, label_list=labels)
    _print_notes(table.notes)
    parts = tfrecords.split_for_probes(table, name)
    grid = probe.grid(*(parts[split] for split in SPLITS), seed=params.seed,
                      probes=benchmark.SMOKE_PROBES if params.smoke else probe.PROBES)
    _print_notes(grid.notes)
    test = grid.rows[grid.rows["split"] == "test"]
    _print_table(test[["probe", "l2", "speaker_norm", "value", "low", "high", "interval_by", "n", "selected",
                       "best_on_test"]])


@embeddings_app.command("list")
def embeddings_list(profile: Annotated[str | None, Option(help="quick or paper; default: all.")] = None) -> None:
    """List the built-in embeddings, each with the backends that name@backend can ask for."""
    for name in models.names(profile):
        print(f"{name:<32}{', '.join(registry.list_backends(name))}")


@embeddings_app.command("backends")
def embeddings_backends(
    name: Annotated[str, Argument(help="Name of a built-in embedding.")],
    rounds: Annotated[int, Option(help="How often each backend is timed.")] = 5,
) -> None:
    """Measure on this machine how fast, and how far from the embedding itself, each backend is."""
    print(format_backends(registry.compare_backends(name, rounds)))


@embeddings_app.command("devices")
def embeddings_devices() -> None:
    """List the devices that TensorFlow sees, and which of them extraction uses (NSLIB_DEVICES chooses)."""
    print(doctor.format_findings(doctor.examine_devices()))


Size = Annotated[str, Option(help="mini: as trill-mini; paper: TRILL's own network and all that is known of its run.")]


@train_app.command("settings")
def train_settings(size: Size = "mini") -> None:
    """List every choice of a training run, its value, and what the paper is known to say."""
    _print_table(settings.tabulate_settings(settings.make_training_settings(settings.read_size(size))))


@train_app.command("triplets")
def train_triplets(
    changed: Settings = None, folder: Folder = None, clips: Clips = None, source: Sources = None, size: Size = "mini",
    price: Annotated[float, Option(help="Of the machine for an hour, in any currency.")] = 0.0,
) -> None:
    """Train by triplets of windows. Without arguments: the run that made the kit's trill-mini, again."""
    chosen = settings.make_training_settings(settings.read_size(size) | _read_settings(changed))
    from nslib.training import trainer

    folder = folder or config.cache_dir("runs", chosen.loop.network)
    trainer.claim_folder(folder, chosen.json())
    learn, held_out = _load_audio(clips, source, chosen.pairs.join, folder)
    if size == "paper" or price:
        _print_table(settings.tabulate_settings(chosen))
        print(trainer.foresee(learn, held_out, folder, chosen, price), flush=True)
    done = trainer.train_triplets(learn, held_out, folder, chosen)
    _print_notes(done.notes)
    print(f"ended by {done.ended}; best at step {done.best_step}: {done.score:.4f} of held-out triplets right\n"
          f"weights: {folder / 'best.npz'}")
    _exit(not (learn.problems or held_out.problems))


@train_app.command("distill")
def train_distill(
    changed: Settings = None,
    teacher: Annotated[str, Option(help="Any embedding.")] = "trill-mini-layer19",
    folder: Folder = None, clips: Clips = None, source: Sources = None,
) -> None:
    """Teach a student. Without arguments: the run that made the kit's trill-mini-distilled, again."""
    usual = networks.read_settings("trill-mini-distilled")
    usual = {part: usual[part] for part in ("pairs", "distill")}
    chosen = settings.make_distillation_settings(usual | _read_settings(changed))
    from nslib.training import distill, trainer

    folder = folder or config.cache_dir("runs", f"{chosen.distill.student}-of-{teacher}")
    taught_by = distill.make_teacher(teacher)
    trainer.claim_folder(folder, chosen.json(name=taught_by.name, revision=taught_by.revision))
    learn, held_out = _load_audio(clips, source, chosen.pairs.join, folder)
    done = distill.distill(learn, held_out, folder, taught_by, chosen)
    _print_notes(done.notes)
    print(f"ended by {done.ended}; best at step {done.best_step}: explains {done.score:.3f} "
          f"[{done.low:.3f}, {done.high:.3f}] of the teacher's variance\nweights: {folder / 'best.npz'}")
    _exit(not (learn.problems or held_out.problems))


@train_app.command("finetune")
def train_finetune(task: Task, changed: Settings = None, corpus: Corpus = None, smoke: Smoke = None) -> None:
    """Train the whole network on a task; the result joins the table of notebooks 7 and 8."""
    chosen = settings.make_finetune_settings(_read_settings(changed))
    rows, _ = finetune.benchmark_finetuned(get_task(task), load_params(corpus=corpus, smoke=smoke), chosen)
    _print_notes(rows["notes"].iloc[0].splitlines())
    _print_table(results.table(rows))


@train_app.command("export")
def train_export(
    network: Annotated[str, Argument(help="trill-mini, trill-mini-distilled, or a file best.npz of a run.")],
    out: Annotated[Path, Argument(help="Folder of a SavedModel, or a file ending in .tflite.")],
    quantise: Annotated[str, Option(help="Of a .tflite: none or dynamic.")] = "none",
    licence: Annotated[str, Option(help="Written beside the model.")] = "",
) -> None:
    """Write a network with its front end as a SavedModel with TRILL's signature, or for LiteRT."""
    if quantise != "none" and out.suffix != ".tflite":
        raise BadParameter(f"--quantise is of a file ending in .tflite; {out} is to be a SavedModel.")
    model = networks.load_network_file(Path(network)) if network.endswith(".npz") else networks.load_network(network)
    from nslib.training import export

    print(export.export_litert(model, out, quantise=quantise, licence=licence) if out.suffix == ".tflite" else
          export.export_saved_model(model, out, licence=licence))


@train_app.command("classifier")
def train_classifier(
    task: Annotated[str, Argument(help="Name of a task, or recordings of your own, as benchmark --dataset.")],
    embedding: Annotated[str, Argument(help="Name of an embedding that is a TensorFlow network.")],
    out: Annotated[Path, Argument(help="Folder of the SavedModel.", **_NEW_FOLDER)],
    probe: Annotated[str | None, Option(help="Default: the best on validation.")] = None,
    splits: SplitFile = None, corpus: Corpus = None, smoke: Smoke = None,
    label: Label = None, speaker: Speaker = None, split: Split = None, clip_id: ClipId = None,
    audio: Audio = None, recipe: Recipe = None,
) -> None:
    """Fit a probe on a task and write embedding and probe as one model: audio in, probabilities out."""
    from nslib.training import classifier, export

    recordings = _name_columns(task, label=label, speaker=speaker, split=split, clip_id=clip_id, audio=audio,
                               recipe=recipe)
    folder = classifier.fit_and_export(recordings, embedding, out, probe=probe, splits=splits,
                                       params=load_params(corpus=corpus, smoke=smoke))
    facts = export.read_facts(folder)
    _print_notes(facts["notes"])
    left_out = _print_left_out(facts["left_out"])
    test = facts["scores"]["test"]
    print(f"{facts['probe']} on test: {facts['metric'].replace('_', ' ')} {test['value']:.2f} "
          f"[{test['low']:.2f}, {test['high']:.2f}], chance {test['chance']:.2f}; "
          f"{results.count_tested(test['n'], test['n_speakers'])}")
    print(f"{folder}; {left_out} clips left out")
    _exit(not left_out)


@train_app.command("classify")
def train_classify(
    folder: Annotated[Path, Argument(help="What 'train classifier' wrote.")],
    recordings: Annotated[list[Path], Argument(help="Audio files.")],
) -> None:
    """Ask an exported classifier about recordings: a line each, with file, label, probability and notes."""
    from nslib.training import classifier

    ask = classifier.load_classifier(folder)
    left_out = 0
    for path in recordings:
        try:
            answer = ask(path)
        except BadAudio as error:
            left_out += 1
            print(f"{path}\t\t\tleft out: {error.reason}. {error.remedy}")
            continue
        print(f"{path}\t{answer.label}\t{answer.probabilities[answer.label]:.3f}\t{'; '.join(answer.notes)}".rstrip())
    if left_out:
        print(f"{left_out} of {len(recordings)} recordings left out", file=sys.stderr)
    _exit(not left_out, 2 if left_out == len(recordings) else 1)


@cluster_app.command("cost")
def cluster_cost(
    clips: Annotated[float, Option(help="Number of clips, such as 1e7.")],
    seconds: Annotated[float, Option(help="Mean length of a clip.")] = 5.0,
    clips_per_second: Annotated[float, Option(help="Of one worker, as measured on such a machine.")] = 20.0,
    workers: Annotated[float, Option(help="Worker processes.")] = 1.0,
    price: Annotated[float, Option(help="Of one worker for an hour, in any currency.")] = 0.0,
    dim: Annotated[float, Option(help="Size of a vector.")] = 512.0,
    start_seconds: Annotated[float, Option(help="From the start of a worker to its first clip.")] = 60.0,
    redone: Annotated[float, Option(help="Share that is done again after machines that were lost.")] = 0.05,
    tasks_per_second: Annotated[float, Option(help="That the scheduler takes, were they empty.")] = 100.0,
    sent_per_second: Annotated[float, Option(help="Clips that the scheduler can pass on.")] = 20_000.0,
) -> None:
    """Work out hours, money and disk of a large extraction. Every default is an assumption: give your own figures."""
    print(describe_cluster_cost(ClusterJob(clips, seconds, clips_per_second, workers, price, dim, start_seconds,
                                           redone, tasks_per_second, sent_per_second)))


@colab_app.command("zip")
def colab_zip(out: Annotated[Path | None, Argument(help="The file (default: nslib-kit.zip here).")] = None) -> None:
    """Pack the kit into one file, which the first cell of a notebook asks for on Colab."""
    path = colab.pack_kit(out or Path(colab.ARCHIVE))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@colab_app.command("cells")
def colab_refresh(
    check: Annotated[bool, Option("--check", help="Change nothing; exit code 1 if one is behind.")] = False,
) -> None:
    """Write badge and first cell of every notebook for the address declared in pyproject.toml."""
    behind = colab.refresh_notebooks(write=not check)
    print(f"address: {colab.read_address() or 'none declared; the notebooks say how to upload'}", file=sys.stderr)
    print(f"{'behind' if check else 'written'}: {', '.join(behind) or 'none'}")
    _exit(not (check and behind))


@workshop_app.command("build")
def workshop_build(
    notebooks: Notebooks = None,
    out: Annotated[Path | None, Option(
        help="Folder of the zip files (default: build/workshop).", **_NEW_FOLDER)] = None,
    offline: Annotated[bool, Option("--offline", help="Put the packages of the lock into it.")] = False,
    tasks: Tasks = None, corpus: Corpus = None, embeddings: Names = None, seed: Seed = None, smoke: Smoke = None,
) -> None:
    """Prove every exercise and pack the workshop: one zip file for participants, one for the instructor."""
    given = load_params(tasks=tasks, corpus=corpus, embeddings=embeddings, seed=seed, smoke=smoke)
    folder = (out or config.root() / "build" / "workshop").resolve()
    done = workshop.build(given, folder, names=notebooks, offline=offline)
    packages = f", {done.wheels} packages" if done.wheels else ""
    print(f"{done.archive}: {done.megabytes:.0f} MB, {done.exercises} exercises proven{packages}")
    print(f"{done.for_instructor}: solutions, times and notes; unpack it over the other")


@workshop_app.command("check")
def workshop_check(
    notebooks: Notebooks = None, corpus: Corpus = None, seed: Seed = None,
    smoke: Annotated[bool, Option("--smoke/--no-smoke", help="With a handful of clips.")] = True,
) -> None:
    """Prove the exercises only: solutions pass their checks, empty cells do not."""
    chosen = workshop.choose_settings(load_params(corpus=corpus or "synthetic", seed=seed, smoke=smoke))
    for chapter in workshop.read_chapters(notebooks):
        for name in workshop.prove(chapter, workshop.notebook_environment(chosen)):
            print(f"{chapter.path.name} {name}: passes; the empty cell is refused")


def _exit(ok: bool, otherwise: int = 1) -> NoReturn:
    """End a verb with an exit code."""
    raise typer.Exit(0 if ok else otherwise)


def _find_embedding(name: str) -> Any:
    """Return the user's function at ``file.py:function``, or the name of anything else as it is."""
    if ":" not in name or "://" in name or find_interface(name) or Path(name.partition("?")[0]).exists():
        return name
    path, options = parse_options(name)
    where, _, attribute = path.rpartition(":")
    if where.endswith(".py") and not Path(where).is_file():
        raise BadParameter(f"no file {where!r}. Give file.py:function or package.module:function.")
    try:
        if where.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(where).stem, where)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, str(Path.cwd()))
            module = importlib.import_module(where)
    except Exception as error:  # it is anybody's code
        raise BadParameter(f"cannot import {where!r} ({type(error).__name__}: {error}). Give file.py:function or "
                           "package.module:function.") from error
    if not hasattr(module, attribute):
        raise UnknownName(f"function in {where}", attribute, [n for n in vars(module) if not n.startswith("_")])
    found = getattr(module, attribute)
    if not callable(found) and not isinstance(found, models.Embedding) and not find_interface(found):
        raise BadParameter(f"{name} is {type(found).__name__}, no function, no model and no Embedding.")
    if options and not find_interface(found):
        return models.from_callable(found, **{"name": attribute} | options)
    return models.from_model(found, **options) if options else found


def _load_audio(clips: Path | None, sources: list[str] | None, join: float, folder: Path) -> tuple[Any, Any]:
    """Return audio to learn from and audio that is held out, and say how much there is of each."""
    if clips is not None and sources:
        raise BadParameter("give --clips, your audio, or --source, the kit's; not both.")
    learn, held_out = data.load_folder(clips, join) if clips is not None else (
        data.load_sources(part, join, sources=sources or data.SOURCES) for part in data.PARTS)
    print(f"{learn.hours:.2f} h to learn from, {held_out.hours:.2f} h held out; the run is in {folder}",
          file=sys.stderr)
    return learn, held_out


def _read_settings(changed: list[str] | None) -> dict[str, Any]:
    """Read name=value; values that JSON knows are read as such, the rest is text."""
    values: dict[str, Any] = {}
    for given in changed or []:
        name, equals, value = given.partition("=")
        if not equals:
            raise BadParameter(f"{given!r} is no setting; write name=value, for example steps=500.")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _print_table(table: pd.DataFrame | str | None) -> None:
    """Print a table in full width, or one that is text already."""
    print("no results" if table is None else table if isinstance(table, str) else table.to_string())


def _print_notes(notes: Iterable[str]) -> None:
    """Print what must be known to read the numbers on stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _print_results(measured: Any, tabulate: Callable[[], pd.DataFrame | str], out: Path | None, as_json: str = "",
                   closing: str = "") -> NoReturn:
    """Print the table, and on stderr what is no number: notes, what was not run, clips left out; write rows and end."""
    _print_table(as_json or (tabulate() if len(measured.rows) else None))
    if notes := summary.format_notes(measured.notes, {*measured.rows["embedding"]}, shutil.get_terminal_size().columns):
        print(notes, file=sys.stderr)
    for row in measured.not_run.itertuples():
        print(f"not run: {row.task} x {row.embedding}: {join_sentences(row.why, row.remedy)}", file=sys.stderr)
    left_out = _print_left_out(measured.problems.to_dict("records"))
    if not len(measured.rows):  # what has a remedy is not available; the rest is the fault of what was given
        print("nslib: nothing could be measured.", file=sys.stderr)
        raise typer.Exit(3 if measured.not_run["remedy"].ne("").any() else 2)
    _write_table(measured.rows, out)
    if closing:
        print(closing, file=sys.stderr)
    if left_out or len(measured.not_run):
        print(f"{left_out} clips left out, {len(measured.not_run)} not run", file=sys.stderr)
    _exit(not left_out and not len(measured.not_run))


def _print_left_out(clips: list[dict[str, str]], used: int = 1) -> int:
    """Print each clip that was left out on stderr, and return how many there are; `BadParameter` if all are."""
    for clip in clips:
        told = join_sentences(f"left out {clip['audio']} ({clip['clip_id']}): {clip['reason']}", clip["remedy"])
        print(told, file=sys.stderr)
    if not used:
        raise BadParameter(f"no clip can be used, {len(clips)} were left out; nothing was written.")
    return len(clips)


def _name_columns(source: str | Path, **columns: str | None) -> str:
    """Write names of columns behind recordings, as every reader takes them."""
    asked = urlencode({role: name for role, name in columns.items() if name})
    _, known, words = str(source).rpartition("?")
    return f"{source}{'&' if known and '=' in words else '?'}{asked}" if asked else str(source)


def _write_command(params: config.Params, embeddings: list[str], recordings: list[str], **asked: Any) -> str:
    """Write the command that measures the same again, whatever part of it was set elsewhere."""
    asked |= {"profile": params.profile, "corpus": params.corpus, "seed": params.seed}
    options = [("dataset", path) for path in recordings] + [*asked.items()]
    words = [word for name, value in options if value is not None for word in (f"--{name}", str(value))]
    flags = ["--rehearse"] if params.rehearse else ["--smoke"] * params.smoke
    flags += [] if params.transductive is None else [f"--{'' if params.transductive else 'no-'}transductive"]
    join = subprocess.list2cmdline if os.name == "nt" else shlex.join
    return join(["python", "-m", "nslib", "benchmark", *embeddings, *words, *flags])


def _write_table(table: pd.DataFrame, out: Path | None) -> None:
    """Write a table, if it is wanted, as .csv or .parquet; vectors in a .csv are lists in JSON."""
    if out is None:
        return
    if out.suffix == ".csv" and "vector" in table:
        # As text an array would be shortened with dots.
        table = table.assign(vector=[json.dumps([float(f"{v:.9g}") for v in row]) for row in table["vector"]])
    results.write_table(out, table)
