"""``python -m nslib``: the verbs of the kit from a shell.

Exit codes: 0 done; 1 a notebook or check failed; 2 the request was wrong (unknown name, bad
parameter, bad input); 3 something is not available on this machine. Messages go to stderr,
results to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nslib.errors import BadParameter, NslibError, UnknownName

if TYPE_CHECKING:
    from nslib.measure import Results
    from nslib.params import Params

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Measure non-semantic speech embeddings: NOSS and TRILL in notebooks.")
data_app = typer.Typer(no_args_is_help=True, help="The recordings: what is there, and fetching them.")
notebooks_app = typer.Typer(no_args_is_help=True, help="The notebooks' contract.")
store_app = typer.Typer(no_args_is_help=True, help="The vectors computed so far.")
app.add_typer(data_app, name="data")
app.add_typer(notebooks_app, name="notebooks")
app.add_typer(store_app, name="store")

Tasks = Annotated[str | None, typer.Option(help="Task names, comma-separated (default: all of the profile).")]
Corpus = Annotated[str | None, typer.Option(help="real or synthetic.")]
Profile = Annotated[str | None, typer.Option(help="quick.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every draw.")]
Smoke = Annotated[bool | None, typer.Option("--smoke/--no-smoke", help="A tiny run that checks the path.")]


def _params(**given: Any) -> Params:
    from nslib import params

    return params.load(given)


@app.command()
def doctor() -> None:
    """Say what this machine can and can't run."""
    from nslib import doctor

    print(doctor.text(doctor.findings()))


@app.command()
def reproduce(
    profile: Profile = None, corpus: Corpus = None, tasks: Tasks = None,
    embeddings: Annotated[str | None, typer.Option(help="Embedding names, comma-separated.")] = None,
    seed: Seed = None, smoke: Smoke = None,
) -> None:
    """Fetch, embed, evaluate, run the notebooks and write the report."""
    from nslib import reproduction

    outcome = reproduction.run(_params(profile=profile, corpus=corpus, tasks=tasks, embeddings=embeddings,
                                       seed=seed, smoke=smoke))
    print(outcome.text)
    raise typer.Exit(0 if outcome.ok else 1)


@app.command()
def benchmark(
    embeddings: Annotated[list[str], typer.Argument(
        help="Names, or your own as package.module:function or file.py:function.")],
    tasks: Tasks = None,
    dataset: Annotated[list[Path] | None, typer.Option(
        help="Your data instead of tasks: a folder (label = subfolder) or a CSV, TSV or Parquet manifest.")] = None,
    corpus: Corpus = None, profile: Profile = None, seed: Seed = None, smoke: Smoke = None,
    out: Annotated[Path | None, typer.Option(help="Write all rows here (.csv or .parquet).")] = None,
) -> None:
    """Measure embeddings on tasks or on your data, and print the table."""
    from nslib import measure

    params = _params(profile=profile, corpus=corpus, tasks=tasks, seed=seed, smoke=smoke)
    wanted = [_embeddable(name) for name in embeddings]
    found = measure.benchmark(wanted, [str(d) for d in dataset] if dataset else None, params=params)
    _print_results(found)
    if out:
        _write(found.rows, out)


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(help="A folder, or a CSV, TSV or Parquet list with a column audio.")],
    embedding: Annotated[str, typer.Option(help="Name, package.module:function or file.py:function.")] = "logmel",
    out: Annotated[Path, typer.Option(help="Table to write: .parquet or .csv.")] = Path("vectors.parquet"),
) -> None:
    """Embed recordings: one vector a clip."""
    from nslib import measure

    table = measure.embed(source, _embeddable(embedding))
    _write(table, out)
    problems = table.attrs["problems"]
    for clip in problems:
        print(f"left out {clip['audio']}: {clip['reason']}. {clip['remedy']}", file=sys.stderr)
    print(f"{len(table)} clips -> {out}; {len(problems)} left out")


@app.command("check")
def check_embedding(
    embedding: Annotated[str, typer.Argument(help="Name, package.module:function or file.py:function.")],
) -> None:
    """Run an embedding through the contract's checker."""
    from nslib import embeddings, measure

    report = embeddings.check(measure.as_embedding(_embeddable(embedding)))
    print(report)
    raise typer.Exit(0 if report.ok else 1)


@data_app.command("status")
def data_status(corpus: Corpus = None, profile: Profile = None) -> None:
    """List every task: ready, can be fetched, or not to be had, and why."""
    from nslib import doctor

    print(doctor.text(doctor.data_findings(_params(profile=profile, corpus=corpus))))


@data_app.command("prepare")
def data_prepare(tasks: Tasks = None, corpus: Corpus = None, profile: Profile = None, smoke: Smoke = None) -> None:
    """Fetch and check the recordings and the weights, so that later runs need no network."""
    from nslib import reproduction

    outcome = reproduction.prepare(_params(profile=profile, corpus=corpus, tasks=tasks, smoke=smoke))
    print(outcome.text)
    raise typer.Exit(0 if outcome.ok else 3)


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


def _embeddable(name: str) -> Any:
    """Resolve a built-in's name, or the user's function at ``module:function`` or ``file.py:function``."""
    if ":" not in name:
        return name
    import importlib
    import importlib.util

    where, _, attribute = name.rpartition(":")
    if where.endswith(".py"):
        if not Path(where).is_file():
            raise BadParameter(f"no file {where!r}. Give file.py:function or package.module:function.")
        spec = importlib.util.spec_from_file_location(Path(where).stem, where)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise BadParameter(f"cannot import {where!r} ({error}). Give file.py:function or "
                               "package.module:function.") from error
    if not hasattr(module, attribute):
        raise UnknownName(f"function in {where}", attribute, [n for n in vars(module) if not n.startswith("_")])
    return getattr(module, attribute)


def _print_results(found: Results) -> None:
    import pandas as pd

    with pd.option_context("display.max_columns", None, "display.width", 200, "display.max_colwidth", 60):
        print(found.table().to_string() if len(found.rows) else "no results")
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    for row in found.not_run.itertuples():
        print(f"not run: {row.task} x {row.embedding}: {row.why}. {row.remedy}", file=sys.stderr)
    if len(found.problems):
        print(f"{len(found.problems)} clips left out", file=sys.stderr)
        for row in found.problems.itertuples():
            print(f"left out {row.clip_id}: {row.reason}. {row.remedy}", file=sys.stderr)


def _write(table: Any, out: Path) -> None:
    if out.suffix not in (".csv", ".parquet"):
        raise BadParameter(f"cannot write {str(out)!r}: give a file name that ends in .csv or .parquet.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".parquet":
        table.to_parquet(out, index=False)
        return
    if "vector" in table:
        # As text an array would be shortened with dots.
        table = table.assign(vector=[json.dumps([float(f"{v:.9g}") for v in row]) for row in table["vector"]])
    table.to_csv(out, index=False)


def main() -> None:
    """Run the command line; errors that teach come out as one message and an exit code."""
    if not sys.stderr.isatty():
        # In a log every update is a line of its own; a progress bar needs few of them.
        os.environ.setdefault("TQDM_MININTERVAL", "15")
    try:
        app()
    except NslibError as error:
        print(f"nslib: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
