"""Group of verbs about Colab: the first cells of the notebooks, and the kit as one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Colab: the kit as a zip file to upload, and the notebooks' first cells.")
GROUPS = {"colab": app}


@app.command("zip")
def colab_zip(
    out: Annotated[Path | None, typer.Argument(help="The file (default: nslib-kit.zip here).")] = None,
) -> None:
    """Pack the kit into one file, which the first cell of a notebook asks for on Colab."""
    from nslib import colab_cells

    path = colab_cells.archive(out or Path(colab_cells.ARCHIVE))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


@app.command("cells")
def colab_cells(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 if one is behind.")] = False,
) -> None:
    """Write badge and first cell of every notebook for the address declared in pyproject.toml."""
    from nslib import colab_cells as cells

    found = cells.refresh(write=not check)
    where = cells.address()
    print(f"address: {where or 'none declared; the notebooks say how to upload'}", file=sys.stderr)
    print(f"{'behind' if check else 'written'}: {', '.join(found) or 'none'}")
    raise typer.Exit(1 if check and found else 0)
