"""Verbs about built-in embeddings: which there are, what else computes them, and on which devices."""

from __future__ import annotations

from typing import Annotated

import typer

embeddings_app = typer.Typer(no_args_is_help=True, help="Built-in embeddings, their backends, and devices.")
GROUPS = {"embeddings": embeddings_app}


@embeddings_app.command("list")
def embeddings_list(
    profile: Annotated[str | None, typer.Option(help="quick or paper; default: all.")] = None,
) -> None:
    """List the built-in embeddings, each with the backends that name@backend can ask for."""
    from nslib import embeddings
    from nslib.embeddings import backend

    for name in embeddings.names(profile):
        print(f"{name:<32}{', '.join(backend.offered(name))}")


@embeddings_app.command("backends")
def embeddings_backends(
    name: Annotated[str, typer.Argument(help="Name of a built-in embedding.")],
    rounds: Annotated[int, typer.Option(help="How often each backend is timed.")] = 5,
) -> None:
    """Measure on this machine how fast, and how far from the embedding itself, each backend is."""
    from nslib import embeddings
    from nslib.embeddings import backend_error

    print(backend_error.text(embeddings.compare_backends(name, rounds)))


@embeddings_app.command("devices")
def embeddings_devices() -> None:
    """List the devices that TensorFlow sees, and which of them extraction uses (NSLIB_DEVICES chooses)."""
    from nslib import doctor

    print(doctor.text(doctor.device_findings()))
