"""Group of verbs about teaching: the workshop's editions, its plan and its zip files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nslib.cli.shared import Corpus, Seed, Smoke, Tasks, load

app = typer.Typer(no_args_is_help=True, help="Workshops: notebooks with exercises, as zip files that need no network.")
GROUPS = {"workshop": app}

Names = Annotated[list[str] | None, typer.Argument(help="Notebooks (default: all with exercises).")]


@app.command("build")
def build(
    notebooks: Names = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the zip files (default: build/workshop).")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Put the packages of the lock into it.")] = False,
    tasks: Tasks = None, corpus: Corpus = None,
    embeddings: Annotated[str | None, typer.Option(help="Embedding names, comma-separated.")] = None,
    seed: Seed = None, smoke: Smoke = None,
) -> None:
    """Prove every exercise and pack the workshop: one zip file for participants, one for the instructor."""
    from nslib import params
    from nslib.workshop import bundle

    given = load(tasks=tasks, corpus=corpus, embeddings=embeddings, seed=seed, smoke=smoke)
    folder = (out or params.root() / "build" / "workshop").resolve()
    done = bundle.build(given, folder, names=notebooks, offline=offline)
    packages = f", {done.wheels} packages" if done.wheels else ""
    print(f"{done.archive}: {done.megabytes:.0f} MB, {done.exercises} exercises proven{packages}")
    print(f"{done.for_instructor}: solutions, times and notes; unpack it over the other")


@app.command("check")
def check(notebooks: Names = None, corpus: Corpus = None, seed: Seed = None,
          smoke: Annotated[bool, typer.Option("--smoke/--no-smoke", help="With a handful of clips.")] = True) -> None:
    """Prove the exercises only: solutions pass their checks, empty cells and typical mistakes do not."""
    from nslib.workshop import material, proof, source

    chosen = material.settings(load(corpus=corpus or "synthetic", seed=seed, smoke=smoke))
    for chapter in source.chapters(notebooks):
        for name, shown in proof.prove(chapter, material.environment(chosen)).items():
            print(f"{chapter.name} {name}: passes; refused: the empty cell and {len(shown.mistakes)} mistakes")


@app.command("agenda")
def agenda(
    minutes: Annotated[str, typer.Argument(help="90 or 180.")] = "90",
) -> None:
    """Print the plan of a path."""
    from nslib.workshop import agenda, source

    print(agenda.text(source.chapters(), minutes))
