"""Groups of verbs about tables of others: published numbers, and vectors of the authors' pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nslib.cli.shared import Corpus, Profile, Seed, Smoke, Tasks, load, show
from nslib.splits import SPLITS

published_app = typer.Typer(no_args_is_help=True, help="Numbers that papers report, each with its status.")
vectors_app = typer.Typer(no_args_is_help=True, help="Vectors as TFRecord files, as the authors' pipeline has them.")
GROUPS = {"published": published_app, "vectors": vectors_app}

Paper = Annotated[str, typer.Option(help="Key of the work; 'published list' has them all.")]


@published_app.command("list")
def published_list(
    paper: Annotated[str | None, typer.Argument(help="Key of a work, to see its numbers.")] = None,
) -> None:
    """List the works and how well their numbers are known, or all numbers of one work."""
    from nslib import published

    print(published.listing(paper))


@published_app.command("check")
def published_check(
    pdf: Annotated[Path, typer.Argument(help="The paper, which you have.")],
    paper: Paper = "noss",
    write: Annotated[Path | None, typer.Option(help="Folder for a copy of the table with raised statuses.")] = None,
) -> None:
    """Compare the numbers that the kit knows of a work with its PDF, cell by cell."""
    from nslib import published

    found = published.check(pdf, paper)
    print(published.report(found))
    if write:
        print(f"written: {published.write_raised(found, write)}", file=sys.stderr)


@vectors_app.command("export")
def vectors_export(
    embeddings: Annotated[list[str], typer.Argument(help="Names of embeddings; all go into the same files.")],
    tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
    out: Annotated[Path, typer.Option(help="Folder; it gets <task>.train-00000-of-00001 and so on.")] = Path("vectors"),
    numbers: Annotated[bool, typer.Option(help="Labels as numbers, as the authors' probes want them.")] = False,
    shards: Annotated[int, typer.Option(help="Files of a split.")] = 1,
) -> None:
    """Write the vectors of tasks for the authors' scikit-learn step, or for any reader of TFRecord files."""
    from nslib import exporting

    settings = load(corpus=corpus, profile=profile, tasks=tasks, smoke=smoke)
    for path in exporting.export(embeddings, out, settings, numbers=numbers, shards=shards,
                                 say=lambda text: print(text, file=sys.stderr)):
        print(path)


@vectors_app.command("probe")
def vectors_probe(
    files: Annotated[list[str], typer.Argument(help="Files, patterns (out/savee.*), prefix@N or a prefix.")],
    name: Annotated[str | None, typer.Option(help="Which embedding, if there are several.")] = None,
    labels: Annotated[Path | None, typer.Option(help="label_list.txt: names of numbered labels.")] = None,
    seed: Seed = None, smoke: Smoke = None,
) -> None:
    """Run the probes on vectors that the authors' pipeline, or 'vectors export', has written."""
    from nslib import interchange, measure, probe

    settings = load(seed=seed, smoke=smoke)
    table = interchange.read(files, [name] if name else None, label_list=labels)
    for note in table.notes:
        print(f"note: {note}", file=sys.stderr)
    probes = measure.SMOKE_PROBES if settings.smoke else probe.PROBES
    parts = interchange.benchmark_splits(table, name)
    grid = probe.grid(*(parts[split] for split in SPLITS), probes=probes, seed=settings.seed)
    for note in grid.notes:
        print(f"note: {note}", file=sys.stderr)
    test = grid.rows[grid.rows["split"] == "test"]
    show(test[["probe", "l2", "speaker_norm", "value", "low", "high", "interval_by", "n", "selected", "best_on_test"]])
