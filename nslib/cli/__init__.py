"""``python -m nslib``: the verbs of the kit from a shell.

Exit codes: 0 done; 1 a notebook or check failed; 2 the request was wrong (unknown name, bad
parameter, bad input); 3 something is not available on this machine. Messages go to stderr,
results to stdout.
"""

from __future__ import annotations

import os
import sys

import typer

from nslib.cli import colab, data, machines, measuring, models, sharing, tables, teaching, training
from nslib.errors import NslibError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Measure non-semantic speech embeddings: NOSS and TRILL in notebooks.")
for _verb in (*measuring.VERBS, *sharing.VERBS):
    app.command(_verb.__name__.replace("_", "-"))(_verb)
for _room in (data, tables, training, models, machines, colab, teaching):
    for _name, _group in _room.GROUPS.items():
        app.add_typer(_group, name=_name)


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
