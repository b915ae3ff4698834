"""Verbs for who wants to believe a number: verify a report, and compare two."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from nslib.errors import BadParameter

Report = Annotated[Path | None, typer.Argument(help="Folder of a report (default: reports/, or NSLIB_REPORTS).")]


def report(
    folder: Report = None,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute every number, and name what is wrong.")] = False,
    level: Annotated[str, typer.Option(
        help="What is fitted again: scores (nothing: seconds), chosen (the chosen probes) or all.")] = "chosen",
    out: Annotated[Path | None, typer.Option(help="Write every check here (.csv or .parquet).")] = None,
) -> None:
    """Say whether the numbers of a report are true: from kept answers, stored vectors, and page by page."""
    from nslib import verify as verification
    from nslib.cli.shared import write

    if not verify:
        raise BadParameter("say what to do with the report: --verify recomputes its numbers; 'reproduce' writes it.")
    found = verification.verify(folder, level=level)
    if out:
        write(found, out)
    print(verification.text(found))
    raise typer.Exit(1 if found["ok"].eq(False).fillna(False).any() else 0)


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a report, such as one of another machine or version.")],
    second: Annotated[Path, typer.Argument(help="Folder of the report that is compared with it.")],
    out: Annotated[Path | None, typer.Option(help="Write the comparison here too (.md).")] = None,
) -> None:
    """Say what moved beyond noise between two runs. Exit code 0: nothing; 1: something; 2: not comparable."""
    from nslib import compare as comparison
    from nslib.files import write

    found = comparison.compare(first, second)
    if out:
        write(out, found.markdown())
        print(f"written: {out}", file=sys.stderr)
    print(found.text())
    raise typer.Exit(1 if found.moved else 0)
