"""Group of verbs about networks: train, distil, fine-tune, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from nslib.cli.shared import Corpus, Smoke, SplitFile, load, show
from nslib.errors import BadParameter

train_app = typer.Typer(no_args_is_help=True, help="Train TRILL's network on raw audio, and use what was trained.")
GROUPS = {"train": train_app}

Folder = Annotated[Path | None, typer.Option(help="Of the run; the same command goes on with it. Default: the cache.")]
Settings = Annotated[list[str] | None, typer.Argument(help="Settings as name=value; 'train settings' lists them.")]
Clips = Annotated[Path | None, typer.Option(help="Your audio: a folder or a table; default: the kit's own.")]


@train_app.command("settings")
def settings_table() -> None:
    """List every choice of a training run, its value for trill-mini, and what the paper is known to say."""
    from nslib.train import models, settings

    show(settings.table(settings.make(models.settings("trill-mini"))))


@train_app.command("triplets")
def triplets(changed: Settings = None, folder: Folder = None, clips: Clips = None) -> None:
    """Train by triplets of windows. Without arguments: the run that made the kit's trill-mini, again."""
    from nslib import params
    from nslib.train import loop, models, settings

    chosen = settings.make(models.settings("trill-mini") | _values(changed))
    folder = folder or params.cache_dir("runs", chosen.loop.network)
    learn, held_out = _audio(clips, chosen.pairs.join)
    _announce(learn, held_out, folder)
    done = loop.train(learn, held_out, folder, chosen)
    _notes(done.notes)
    print(f"ended by {done.ended}; best at step {done.best_step}: {done.accuracy:.4f} of held-out triplets right\n"
          f"weights: {folder / 'best.npz'}")


@train_app.command("distill")
def distilled(
    changed: Annotated[list[str] | None, typer.Argument(help="name=value, as student=mobilenet-0.25-512.")] = None,
    teacher: Annotated[str, typer.Option(help="Any embedding.")] = "trill-mini-layer19",
    folder: Folder = None, clips: Clips = None,
) -> None:
    """Teach a student. Without arguments: the run that made the kit's trill-mini-distilled, again."""
    from nslib import params
    from nslib.train import distill, distill_settings, models, teachers

    usual = models.settings("trill-mini-distilled")
    chosen = distill_settings.make({part: usual[part] for part in ("pairs", "distill")} | _values(changed))
    folder = folder or params.cache_dir("runs", f"{chosen.distill.student}-of-{teacher}")
    learn, held_out = _audio(clips, chosen.pairs.join)
    _announce(learn, held_out, folder)
    done = distill.train(learn, held_out, folder, teachers.named(teacher), chosen)
    _notes(done.notes)
    print(f"ended by {done.ended}; best at step {done.best_step}: explains {done.explained:.3f} "
          f"[{done.low:.3f}, {done.high:.3f}] of the teacher's variance\nweights: {folder / 'best.npz'}")


@train_app.command("finetune")
def finetuned(
    task: Annotated[str, typer.Argument(help="Name of a task.")],
    changed: Annotated[list[str] | None, typer.Argument(help="name=value, as pool=netvlad.")] = None,
    corpus: Corpus = None, smoke: Smoke = None,
) -> None:
    """Train the whole network on a task; the result joins the table of notebooks 7 and 8."""
    from nslib import results, tasks
    from nslib.train import finetune_results, finetune_settings

    chosen = finetune_settings.make(_values(changed))
    rows, _ = finetune_results.benchmark(tasks.get(task), load(corpus=corpus, smoke=smoke), chosen)
    _notes(rows["notes"].iloc[0].splitlines())
    show(results.table(rows))


@train_app.command("export")
def export(
    network: Annotated[str, typer.Argument(help="trill-mini, trill-mini-distilled, or a file best.npz of a run.")],
    out: Annotated[Path, typer.Argument(help="Folder of a SavedModel, or a file ending in .tflite.")],
    quantise: Annotated[str, typer.Option(help="Of a .tflite: none or dynamic.")] = "none",
    licence: Annotated[str, typer.Option(help="Written beside the model.")] = "",
) -> None:
    """Write a network with its front end as a SavedModel with TRILL's signature, or for LiteRT."""
    from nslib.train import export, models

    model = models.of_file(Path(network)) if network.endswith(".npz") else models.load(network)
    if out.suffix == ".tflite":
        print(export.litert(model, out, quantise=quantise, licence=licence))
    else:
        print(export.saved_model(model, out, licence=licence))


@train_app.command("classifier")
def classifier(
    task: Annotated[str, typer.Argument(help="Name of a task, or recordings of your own, as benchmark --dataset.")],
    embedding: Annotated[str, typer.Argument(help="Name of an embedding that is a TensorFlow network.")],
    out: Annotated[Path, typer.Argument(help="Folder of the SavedModel.")],
    probe: Annotated[str | None, typer.Option(help="Default: the best on validation.")] = None,
    splits: SplitFile = None, corpus: Corpus = None, smoke: Smoke = None,
) -> None:
    """Fit a probe on a task and write embedding and probe as one model: audio in, probabilities out."""
    from nslib.train import export_fit

    print(export_fit.fit_and_export(task, embedding, out, probe=probe, splits=splits,
                                    params=load(corpus=corpus, smoke=smoke)))


@train_app.command("classify")
def classify(
    folder: Annotated[Path, typer.Argument(help="What 'train classifier' wrote.")],
    recordings: Annotated[list[Path], typer.Argument(help="Audio files.")],
) -> None:
    """Ask an exported classifier about recordings."""
    from nslib.train import export_probe

    ask = export_probe.load(folder)
    for path in recordings:
        answer = ask(path)
        print(f"{path}\t{answer.label}\t{answer.probabilities[answer.label]:.3f}")


def _announce(learn: Any, held_out: Any, folder: Path) -> None:
    print(f"{learn.hours:.2f} h to learn from, {held_out.hours:.2f} h held out; the run is in {folder}",
          file=sys.stderr)


def _notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


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
