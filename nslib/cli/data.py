"""Groups of verbs about what lies on disk: recordings, vectors, notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nslib.cli.shared import Corpus, Profile, Seed, Smoke, SplitFile, Tasks, load

data_app = typer.Typer(no_args_is_help=True, help="The recordings: what is there, and fetching them.")
notebooks_app = typer.Typer(no_args_is_help=True, help="The notebooks' contract.")
store_app = typer.Typer(no_args_is_help=True, help="The vectors computed so far.")
GROUPS = {"data": data_app, "notebooks": notebooks_app, "store": store_app}


@data_app.command("status")
def data_status(corpus: Corpus = None, profile: Profile = None) -> None:
    """List every task: ready, can be fetched, or not to be had, and why."""
    from nslib import doctor

    print(doctor.text(doctor.data_findings(load(profile=profile, corpus=corpus))))


@data_app.command("prepare")
def data_prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Tasks, whose recordings alone are prepared.")] = None,
    tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
) -> None:
    """Fetch and check the recordings, and without names the weights too, so that later runs need no network."""
    from nslib import reproduction

    settings = load(profile=profile, corpus=corpus, tasks=names or tasks, smoke=smoke)
    outcome = reproduction.prepare(settings, weights=not names)
    print(outcome.text)
    raise typer.Exit(0 if outcome.ok else 3)


@data_app.command("clips")
def data_clips(
    names: Annotated[list[str], typer.Argument(help="Tasks, or recordings of your own.")],
    out: Annotated[Path, typer.Option(help="Table to write: .parquet or .csv.")] = Path("clips.parquet"),
    wav: Annotated[Path | None, typer.Option(
        help="Folder to write the audio to as the kit hears it: mono, 16 kHz, float, named after its hash.")] = None,
    corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None,
) -> None:
    """List the clips of tasks, for whoever computes vectors elsewhere: task, clip_id, sha256, seconds, audio."""
    from nslib import clip_list
    from nslib.cli.shared import write

    table, problems = clip_list.make(names, load(corpus=corpus, profile=profile, smoke=smoke))
    for clip in problems.itertuples():
        print(f"left out {clip.audio}: {clip.reason}. {clip.remedy}", file=sys.stderr)
    if wav:
        table = clip_list.write_audio(table, wav)
    write(table, out)
    print(f"{len(table)} clips of {table['task'].nunique()} tasks -> {out}{f', their audio in {wav}' if wav else ''}")


@data_app.command("card")
def data_card(
    source: Annotated[str, typer.Argument(help="Your recordings, as benchmark --dataset takes them.")],
    out: Annotated[Path | None, typer.Option(help="Write the card here (.md) instead of printing it.")] = None,
    save_splits: Annotated[Path | None, typer.Option(help="Write the split here (.csv), to be given again.")] = None,
    splits: SplitFile = None, seed: Seed = None,
) -> None:
    """Say what your recordings are, how they are split, and what can make a score on them wrong."""
    from nslib import data_card as cards
    from nslib import files

    card = cards.make(source, seed=load(seed=seed).seed, splits=splits)
    if save_splits:
        print(f"split -> {card.save_splits(save_splits)}", file=sys.stderr)
    if out is None:
        print(card.markdown())
    else:
        files.write(out, card.markdown())
        print(f"{len(card.corpus.clips)} clips, {len(card.audit.problems)} problems -> {out}")


@notebooks_app.command("check")
def notebooks_check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Default: every notebook of the kit.")] = None,
) -> None:
    """Check notebooks against the contract, without running them."""
    from nslib import notebook, params

    violations = [v for path in paths for v in notebook.check_source(path)] if paths else \
        notebook.check_folder(params.notebooks_dir())
    for violation in violations:
        print(violation)
    print(f"{len(violations)} violations")
    raise typer.Exit(1 if violations else 0)


@store_app.command("verify")
def store_verify() -> None:
    """Check every stored vector against its checksum."""
    from nslib import store

    bad = [f"{name}/{sentence}" for name, s in store.every() for sentence in s.verify()]
    print("\n".join([*bad, f"{len(bad)} damaged shards"]))
    raise typer.Exit(1 if bad else 0)


@store_app.command("prune")
def store_prune() -> None:
    """Delete damaged shards and what killed runs left; their clips are computed again when asked for."""
    from nslib import store

    print(f"{sum(s.prune() for _, s in store.every())} files deleted")
