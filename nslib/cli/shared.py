"""What the verbs have in common: their options, and how tables are shown and written."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from nslib.measure import Results
    from nslib.params import Params
    from nslib.protocols import ProtocolResults

Tasks = Annotated[str | None, typer.Option(help="Task names, comma-separated (default: all of the profile).")]
Corpus = Annotated[str | None, typer.Option(help="Of the quick profile: real or synthetic.")]
Profile = Annotated[str | None, typer.Option(help="quick, or paper: NOSS itself.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every draw.")]
Smoke = Annotated[bool | None, typer.Option("--smoke/--no-smoke", help="A tiny run that checks the path.")]
Embeddings = Annotated[list[str], typer.Argument(
    help="Names, files of models or of vectors, addresses on TF Hub, or your own as file.py:function.")]
EMBEDDING = ("Name, file of a model (maybe with ?window=0.96&hop=0.48), address on TF Hub, file of vectors, "
             "package.module:function or file.py:function.")
SplitFile = Annotated[Path | None, typer.Option("--splits", help="A file of splits for your data.")]
Out = Annotated[Path | None, typer.Option(help="Write all rows here (.csv or .parquet).")]


def load(**given: Any) -> Params:
    """Parameters of a run: what was given on the command line, else the environment's."""
    from nslib import params

    return params.load(given)


def embeddable(name: str) -> Any:
    """Resolve a built-in's name, a file, an address, or the user's function at ``file.py:function``."""
    if ":" not in name or "://" in name or Path(name.partition("?")[0]).exists():
        return name
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


def print_results(found: Results) -> None:
    """Print the table, and on stderr what must be known to read it."""
    show(found.table() if len(found.rows) else None)
    print_rest(found)


def show(table: pd.DataFrame | None) -> None:
    """Print a table in full width."""
    import pandas as pd

    with pd.option_context("display.max_columns", None, "display.width", 200, "display.max_colwidth", 60):
        print("no results" if table is None else table.to_string())


def print_rest(found: Results | ProtocolResults) -> None:
    """Say on stderr what is no number: notes, what was not run, and clips that were left out."""
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    for row in found.not_run.itertuples():
        print(f"not run: {row.task} x {row.embedding}: {row.why}. {row.remedy}", file=sys.stderr)
    if len(found.problems):
        print(f"{len(found.problems)} clips left out", file=sys.stderr)
        for row in found.problems.itertuples():
            print(f"left out {row.clip_id}: {row.reason}. {row.remedy}", file=sys.stderr)


def write(table: Any, out: Path) -> None:
    """Write a table as .csv or .parquet; vectors in a .csv are lists in JSON."""
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
