"""Verbs about rows that are shared: written for others, taken in, and shown together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def export_row(
    embedding: Annotated[str, typer.Argument(help="Name of an embedding that has results.")],
    out: Annotated[Path, typer.Argument(help="File to write, ending in .json.")],
    tasks: Annotated[str, typer.Option(help="Names, separated by commas (default: the kit's own tasks).")] = "",
    by: Annotated[str, typer.Option(help="Who measured it, as others shall read it.")] = "",
    about: Annotated[str, typer.Option(help="What it is, and where it can be had.")] = "",
) -> None:
    """Write the scores of an embedding as a file that others can take in."""
    from nslib import results, rows

    kept, predictions = results.load()
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    print(rows.export(kept, embedding, out, tasks=names, predictions=predictions, by=by, about=about))


def import_row(
    files: Annotated[list[Path], typer.Argument(help="Files that others have written with export-row.")],
) -> None:
    """Take rows of others in, if they are of the same recordings and splits."""
    from nslib import results, rows

    own = results.load()[0]
    for path in files:
        kept, notes = rows.adopt(path, own)
        print(kept)
        for note in notes:
            print(f"{path.name}: {note}", file=sys.stderr)


def leaderboard() -> None:
    """Write reports/leaderboard.html: rows of your own, and those that were taken in."""
    from nslib import leaderboard as page
    from nslib import results, rows

    print(page.build(results.load()[0], rows.adopted()))


VERBS = (export_row, import_row, leaderboard)
