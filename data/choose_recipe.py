"""Compare training recipes on what they are chosen by: ``python data/choose_recipe.py FOLDER [NAME ...]``.

For maintainers. Each short run differs from the recipe (``data/models/trill-mini/settings.json``) in one thing; it is
kept in the folder and goes on where it was stopped. Scores are of a logistic regression on those clips of three tasks
that are no test, and on commands of a set that no training hears: every clip is asked once, learnt from clips of other
phrases (voices) or of other speakers (the rest). Test clips are never looked at. Written is
``data/models/trill-mini/ablation.csv``: one row a run and tap, its accuracy on each set and over all, and the
difference from the recipe on the same clips, with intervals over speakers, in points.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from nslib import audio, config
from nslib.datasets import loading, tasks
from nslib.embeddings import networks
from nslib.embeddings.base import Embedding
from nslib.evaluation import probe
from nslib.evaluation.benchmark import specify_embedding
from nslib.extraction.extract import extract_vectors
from nslib.statistics.comparisons import average_differences, match_answers, pair_matched
from nslib.statistics.intervals import Difference
from nslib.statistics.scores import Names
from nslib.training import data, open_speech, trainer
from nslib.training.settings import make_training_settings

TASKS, KEPT_OUT = ("speaker-queen", "speaker-hedgewars", "style-synthetic"), "arabic-speech-commands"
FOLDS = 4
SHORT = {"steps": 400, "batch": 256, "evaluate_every": 100}
RECIPE, SECOND = "recipe", "another seed, at full length"
PLAIN = {name: 0.0 for name in ("stretch", "warp", "mix", "room", "equaliser", "band", "codec", "gain", "noise")}
SOFT: dict[str, Any] = {"mining": "soft", "stretch": 0.2, "warp": 0.12, "alike": True}
CHANGES: dict[str, dict[str, Any]] = {
    RECIPE: {}, "another seed": {"seed": 1}, SECOND: {"seed": 1, "steps": 1500, "batch": 512, "evaluate_every": 50},
    "64 pairs, as many windows": {"batch": 64, "steps": 1600},
    "semi-hard negatives": {"mining": "semi-hard"}, "soft negatives": {"mining": "soft"},
    "soft, twice the stretch and warp": SOFT | {"alike": False}, "soft, twice the stretch and warp, alike": SOFT,
    "twice the stretch and warp, alike": {"stretch": 0.2, "warp": 0.12, "alike": True},
    "all negatives, no stretch or warp": {"stretch": 0.0, "warp": 0.0},
    "negatives from anywhere": {"same_source": 0.0}, "windows as they are": PLAIN,
    "no mix": {"mix": 0.0}, "no room": {"room": 0.0},
    "no bands, no equaliser": {"band": 0.0, "equaliser": 0.0}, "no codec": {"codec": 0.0},
    "no gain, no noise": {"gain": 0.0, "noise": 0.0}, "no early end": {"short": 0.0},
    "Debian packages only": {"sources": data.PACKAGES},
    "open speech only": {"sources": [name for name in data.SOURCES if name not in data.PACKAGES]},
}
"""What differs from the recipe, which is shortened to `SHORT`; `SECOND` is as long as the recipe itself."""

EMBEDDINGS = ("trill-mini-layer19", "trill-mini-top", "trill-mini-untrained-layer19", "trill-mini-untrained-top",
              "logmel", "mfcc")
"""What is scored beside the runs; their differences are from the first."""


def main(folder: Path, names: list[str]) -> None:
    """Train what is missing, score everything, write the table."""
    sets = dict(load_sets(folder))
    answers: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for name in names or (*EMBEDDINGS, *CHANGES):
        model = None if name in EMBEDDINGS else train(name, folder)
        for tap in networks.TAPS if model else [""]:
            embedding = networks.make_embedding(model, tap, name) if model else specify_embedding(name).load()
            answers[name, tap] = answer(embedding, sets)
            print(name, tap, {task: round(float(one["right"].mean()), 3) for task, one in answers[name, tap].items()},
                  flush=True)
    rows = [{"run": f"{name}: {tap}" if name == SECOND else name, "tap": "" if name == SECOND else tap,
             **describe(given, answers.get(find_reference(name, tap)))} for (name, tap), given in answers.items()]
    table = pd.DataFrame(rows).round(2)
    table.to_csv(config.data_dir() / "models" / "trill-mini" / "ablation.csv", index=False, lineterminator="\n")


def find_reference(name: str, tap: str) -> tuple[str, str]:
    """Give what a run is compared with: a short one with the recipe's, the second seed with the weights of the kit."""
    if name == SECOND:
        return f"trill-mini-{'layer19' if tap == 'layer19' else 'top'}", ""
    return (RECIPE, tap) if tap else (EMBEDDINGS[0], "")


def load_sets(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the clips of each set that are no test, and what must not be learnt from and asked, ``together``."""
    for name in TASKS:
        task = tasks.get_task(name)
        clips = loading.load_clips(task, config.load_params(profile="quick")).clips
        said = clips["clip_id"].str.replace(r"^.*/|\d+$", "", regex=True)
        clips = clips.assign(together=said if task.speaker_is_label else clips["speaker"])
        yield name, clips[clips["split"] != "test"].reset_index(drop=True)
    clips = open_speech.list_open_speech([KEPT_OUT], "choose")
    clips = clips[clips.index % 4 == 0].assign(split="train", audio="", together=lambda table: table["speaker"])
    (folder / KEPT_OUT).mkdir(parents=True, exist_ok=True)
    for row, wave in zip(clips.itertuples(), open_speech.read_open_speech(clips), strict=True):
        if isinstance(wave, np.ndarray):
            path = folder / KEPT_OUT / f"{row.clip_id.replace('/', '_')}.wav"
            if not path.exists():
                audio.write_wav(path, wave)
            served = audio.read(path).wave
            clips.loc[row.Index, ["audio", "sha256", "seconds"]] = (
                str(path), audio.sha256(served), len(served) / audio.SAMPLE_RATE)
    print(f"{KEPT_OUT}: {(clips['audio'] == '').sum()} of {len(clips)} clips cannot be read", flush=True)
    yield KEPT_OUT, clips[clips["audio"] != ""].reset_index(drop=True)


def train(name: str, folder: Path) -> Any:
    """Train a run, or find it."""
    changes = dict(CHANGES[name])
    sources = changes.pop("sources", data.SOURCES)
    settings = make_training_settings(networks.read_settings("trill-mini") | SHORT | changes)
    learn, held_out = (data.load_sources(part, settings.pairs.join, sources=sources) for part in data.PARTS)
    return trainer.train_triplets(learn, held_out, folder / name.replace(",", "").replace(" ", "-"), settings).model


def answer(embedding: Embedding, sets: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Answer each clip, learnt from clips that share nothing ``together`` with it: clip_id, speaker, right."""
    answers = {}
    for name, clips in sets.items():
        given = extract_vectors(clips, embedding)
        every = probe.LabelledVectors.of(given.clips, given.vectors)
        classes: Names = np.unique(every.y)
        right = np.zeros(len(every.y), bool)
        for learn, asked in GroupKFold(FOLDS).split(every.x, groups=given.clips["together"]):
            parts = {"train": every.take(learn), "validation": every.take(asked)}
            (fit,) = probe.fit_probes(["LogisticRegression"], [(False, False)], parts,
                                      probe.FitSettings(classes, "accuracy", 0))
            right[asked] = fit.labels["validation"] == parts["validation"].y
        answers[name] = pd.DataFrame({"clip_id": every.clip_id, "speaker": every.speaker, "right": right})
    return answers


def describe(given: dict[str, pd.DataFrame], recipe: dict[str, pd.DataFrame] | None) -> dict[str, float]:
    """Give the accuracy of each set, their mean, and its difference from the recipe with a 95 % interval, in points."""
    accuracy = {name: 100 * float(one["right"].mean()) for name, one in given.items()}
    away = average_differences([pair_matched(match_answers(given[name], recipe[name])).at() for name in given]
                               if recipe else [Difference(np.nan, np.nan, np.nan, "")])
    return accuracy | {"mean": float(np.mean(list(accuracy.values()))), "difference": 100 * away.diff,
                       "low": 100 * away.low, "high": 100 * away.high}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
