"""Group of verbs about networks: train, distil, fine-tune, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nslib.cli.shared import show
from nslib.errors import BadParameter

train_app = typer.Typer(no_args_is_help=True, help="Train TRILL's network on raw audio, and use what was trained.")
GROUPS = {"train": train_app}

Folder = Annotated[Path | None, typer.Option(help="Of the run; the same command goes on with it. Default: the cache.")]
Settings = Annotated[list[str] | None, typer.Argument(help="Settings as name=value; 'train settings' lists them.")]


@train_app.command("settings")
def settings_table() -> None:
    """List every choice of a training run, its value for trill-mini, and what the paper is known to say."""
    from nslib.train import models, settings

    show(settings.table(settings.make(models.settings("trill-mini"))))


@train_app.command("triplets")
def triplets(
    changed: Settings = None, folder: Folder = None,
    clips: Annotated[Path | None, typer.Option(help="Your audio: a folder or a table; default: the kit's own.")] = None,
) -> None:
    """Train by triplets of windows. Without arguments: the run that made the kit's trill-mini, again."""
    from nslib import params
    from nslib.train import loop, models, settings

    chosen = settings.make(models.settings("trill-mini") | _values(changed))
    folder = folder or params.cache_dir("runs", chosen.loop.network)
    learn, held_out = _audio(clips, chosen.pairs.join)
    print(f"{learn.hours:.2f} h to learn from, {held_out.hours:.2f} h held out; the run is in {folder}", file=sys.stderr)
    done = loop.train(learn, held_out, folder, chosen)
    for note in done.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"ended by {done.ended}; best at step {done.best_step}: {done.accuracy:.4f} of held-out triplets right\n"
          f"weights: {folder / 'best.npz'}")


def _audio(clips: Path | None, join: float) -> tuple[Any, Any]:
    from nslib.train import corpus, own

    if clips is None:
        return corpus.recordings("train", join), corpus.recordings("validation", join)
    return own.recordings(clips, join)


def _values(changed: list[str] | None) -> dict[str, Any]:
    """Values that JSON knows are read as such, the rest is text."""
    found: dict[str, Any] = {}
    for given in changed or []:
        name, equals, value = given.partition("=")
        if not equals:
            raise BadParameter(f"{given!r} is no setting; write name=value, for example steps=500.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
