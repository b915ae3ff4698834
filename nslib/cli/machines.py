"""Verbs about many machines."""

from __future__ import annotations

from typing import Annotated

import typer

cluster_app = typer.Typer(no_args_is_help=True, help="Many machines: what a large extraction takes.")
GROUPS = {"cluster": cluster_app}


@cluster_app.callback()
def _group() -> None:
    """Many machines: what a large extraction takes."""


@cluster_app.command("cost")
def cost(
    clips: Annotated[float, typer.Option(help="Number of clips, such as 1e7.")],
    seconds: Annotated[float, typer.Option(help="Mean length of a clip.")] = 5.0,
    clips_per_second: Annotated[float, typer.Option(help="Of one worker, as measured on such a machine.")] = 20.0,
    workers: Annotated[float, typer.Option(help="Worker processes.")] = 1.0,
    price: Annotated[float, typer.Option(help="Of one worker for an hour, in any currency.")] = 0.0,
    dim: Annotated[float, typer.Option(help="Size of a vector.")] = 512.0,
    start_seconds: Annotated[float, typer.Option(help="From the start of a worker to its first clip.")] = 60.0,
    redone: Annotated[float, typer.Option(help="Share that is done again after machines that were lost.")] = 0.05,
    tasks_per_second: Annotated[float, typer.Option(help="That the scheduler takes, were they empty.")] = 100.0,
    sent_per_second: Annotated[float, typer.Option(help="Clips that the scheduler can pass on.")] = 20_000.0,
) -> None:
    """Work out hours, money and disk of a large extraction. Every default is an assumption: give your own figures."""
    from nslib.cluster import costs

    print(costs.text(costs.Job(clips, seconds, clips_per_second, workers, price, dim, start_seconds, redone,
                               tasks_per_second, sent_per_second)))
