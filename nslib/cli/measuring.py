"""Verbs that measure: what the machine can do, the whole run, one benchmark, one protocol, one embedding."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nslib.cli.checking import compare, report
from nslib.cli.shared import (
    EMBEDDING,
    Corpus,
    Embeddings,
    Out,
    Profile,
    Seed,
    Smoke,
    SplitFile,
    Tasks,
    embeddable,
    load,
    print_rest,
    print_results,
    show,
    write,
)
from nslib.errors import BadParameter

if TYPE_CHECKING:
    from nslib.params import Params

Cluster = Annotated[str | None, typer.Option(
    help="Where to work: address of a dask scheduler (tcp://host:8786), or local:N for N processes here.")]


def doctor() -> None:
    """Say what this machine can and can't run."""
    from nslib import doctor

    print(doctor.text(doctor.findings()))


def reproduce(
    cell: Annotated[str | None, typer.Argument(
        help="Just this cell, TASK/EMBEDDING or the beginning of a result's key, beside what is kept of it.")] = None,
    profile: Profile = None, corpus: Corpus = None, tasks: Tasks = None,
    embeddings: Annotated[str | None, typer.Option(help="Embedding names, comma-separated.")] = None,
    seed: Seed = None, smoke: Smoke = None,
    protocol: Annotated[str | None, typer.Option(help="Of a cell: within-speaker, repeated or switch.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Of a cell: compute its vectors again too.")] = False,
) -> None:
    """Fetch, embed, evaluate, run the notebooks and write the report; or compute one cell again."""
    if cell is not None:
        if tasks or embeddings:
            raise BadParameter("a cell names its task and its embedding: leave --tasks and --embeddings out.")
        _cell(cell, load(profile=profile, corpus=corpus, seed=seed, smoke=smoke), seed, protocol, fresh)
    if fresh or protocol:
        raise BadParameter("--fresh and --protocol are of one cell: name it, as TASK/EMBEDDING.")
    from nslib import reproduction

    outcome = reproduction.run(load(profile=profile, corpus=corpus, tasks=tasks, embeddings=embeddings,
                                       seed=seed, smoke=smoke))
    print(outcome.text)
    raise typer.Exit(0 if outcome.ok else 1)


def _cell(cell: str, params: Params, seed: int | None, protocol: str | None, fresh: bool) -> NoReturn:
    from nslib import cells_again, cells_protocol

    again: cells_again.Again | cells_protocol.ProtocolAgain
    if protocol is None:
        again = cells_again.reproduce(cell, params, seed=seed, fresh=fresh)
    else:
        again = cells_protocol.reproduce(cell, protocol, params, seed=seed, fresh=fresh)
    print(again.text())
    raise typer.Exit(0 if again.equal else 1)


def benchmark(
    embeddings: Embeddings,
    tasks: Tasks = None,
    dataset: Annotated[list[Path] | None, typer.Option(
        help="Your data instead of tasks: a folder (label = subfolder), a CSV, TSV or Parquet list, a Kaldi data "
             "directory, a folder with metadata.csv, or tfds:NAME.")] = None,
    splits: SplitFile = None,
    corpus: Corpus = None, profile: Profile = None, seed: Seed = None, smoke: Smoke = None,
    out: Out = None, cluster: Cluster = None,
) -> None:
    """Measure embeddings on tasks or on your data, and print the table."""
    from nslib import measure

    params = load(profile=profile, corpus=corpus, tasks=tasks, seed=seed, smoke=smoke)
    wanted = [embeddable(name) for name in embeddings]
    found = measure.benchmark(wanted, [str(d) for d in dataset] if dataset else None, params=params,
                              splits=splits, cluster=cluster)
    print_results(found)
    if out:
        write(found.rows, out)


def embed(
    source: Annotated[Path, typer.Argument(help="A folder, or a CSV, TSV or Parquet list with a column audio.")],
    embedding: Annotated[str, typer.Option(help=EMBEDDING)] = "logmel",
    out: Annotated[Path, typer.Option(help="Table to write: .parquet or .csv.")] = Path("vectors.parquet"),
    cluster: Cluster = None,
) -> None:
    """Embed recordings: one vector a clip."""
    from nslib import measure

    table = measure.embed(source, embeddable(embedding), cluster=cluster)
    write(table, out)
    problems = table.attrs["problems"]
    for clip in problems:
        print(f"left out {clip['audio']}: {clip['reason']}. {clip['remedy']}", file=sys.stderr)
    print(f"{len(table)} clips -> {out}; {len(problems)} left out")


def check(
    embedding: Annotated[str, typer.Argument(help=EMBEDDING)],
    card: Annotated[Path | None, typer.Option(help="Write a model card here (.md): facts, contract, results.")] = None,
) -> None:
    """Run an embedding through the contract's checker."""
    from nslib import embeddings, files, measure, model_card, results

    ready = measure.as_embedding(embeddable(embedding))
    report = embeddings.check(ready)
    print(report)
    if card:
        files.write(card, model_card.make(ready, report, results.load()[0]))
        print(f"card -> {card}", file=sys.stderr)
    raise typer.Exit(0 if report.ok else 1)


def protocol(
    name: Annotated[str, typer.Argument(help="within-speaker, repeated or switch.")],
    embeddings: Embeddings,
    tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, seed: Seed = None, smoke: Smoke = None,
    out: Out = None,
) -> None:
    """Ask another question of the same vectors: personalised, repeated splits, or how much the protocol decides."""
    from nslib import protocols

    params = load(corpus=corpus, profile=profile, tasks=tasks, seed=seed, smoke=smoke)
    found = protocols.run(name, [embeddable(e) for e in embeddings], params.tasks or None, params)
    show(found.summary() if len(found.rows) else None)
    print_rest(found)
    if out:
        write(found.rows, out)


VERBS = (doctor, reproduce, report, compare, benchmark, embed, check, protocol)
