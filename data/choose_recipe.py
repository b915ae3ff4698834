"""Compare training recipes on what they are chosen by: ``python data/choose_recipe.py FOLDER [NAME ...]``.

For maintainers. Each short run differs from the recipe (``data/models/trill-mini/settings.json``) in one thing; it is
kept in the folder and goes on where it was stopped. Scores are of a logistic regression on *validation* parts of tasks
whose test is not in folds, and on commands of speakers and of a set that no training hears. Test clips are never looked
at. Written is ``data/models/trill-mini/ablation.csv``: one row a run and tap, its accuracy on each set and over all,
and the difference from the recipe on the same clips, with intervals over speakers, in points.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

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
SHORT = {"steps": 400, "batch": 256, "warmup": 100, "evaluate_every": 100}
RECIPE = "recipe"
PLAIN = {name: 0.0 for name in ("stretch", "warp", "mix", "room", "equaliser", "band", "codec", "gain", "noise")}
APART: dict[str, Any] = {"alike": False}
LESS = APART | {"stretch": 0.1, "warp": 0.06}
CHANGES: dict[str, dict[str, Any]] = {
    RECIPE: {}, "another seed": {"seed": 1},
    "four times the steps": {"steps": 1600}, "512 pairs, as many windows": {"batch": 512, "steps": 200},
    "64 pairs, as many windows": {"batch": 64, "steps": 1600},
    "semi-hard negatives": {"mining": "semi-hard"}, "all negatives": {"mining": "all"}, "margin 0.1": {"margin": 0.1},
    "every window its own stretch and warp": APART, "half of both, every window its own": LESS,
    "the same, all negatives": LESS | {"mining": "all"},
    "all negatives, no stretch or warp": {"mining": "all", "stretch": 0.0, "warp": 0.0} | APART,
    "windows as they are": PLAIN,
    "no pairs of one moment": {"near": 0.0}, "only pairs of one moment": {"near": 1.0},
    "negatives from anywhere": {"same_source": 0.0}, "no mix": {"mix": 0.0}, "no room": {"room": 0.0},
    "no bands, no equaliser": {"band": 0.0, "equaliser": 0.0}, "no codec": {"codec": 0.0},
    "no gain, no noise": {"gain": 0.0, "noise": 0.0}, "no early end": {"short": 0.0},
    "Debian packages only": {"sources": data.PACKAGES},
    "open speech only": {"sources": [name for name in data.SOURCES if name not in data.PACKAGES]},
}
"""What differs from the recipe, all of it shortened to `SHORT`."""

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
    rows = [{"run": name, "tap": tap, **describe(given, answers.get((RECIPE, tap) if tap else (EMBEDDINGS[0], "")))}
            for (name, tap), given in answers.items()]
    table = pd.DataFrame(rows).round(2)
    table.to_csv(config.data_dir() / "models" / "trill-mini" / "ablation.csv", index=False, lineterminator="\n")


def load_sets(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the clips of each set, a part to learn from and one to choose by."""
    for name in TASKS:
        yield name, loading.load_clips(tasks.get_task(name), config.load_params(profile="quick")).clips
    clips = open_speech.list_open_speech([KEPT_OUT], "choose")
    clips = clips[clips.index % 4 == 0].assign(split="train", audio="")
    speakers = sorted(set(clips["speaker"]))
    (folder / KEPT_OUT).mkdir(parents=True, exist_ok=True)
    clips.loc[clips["speaker"].isin(speakers[::3]), "split"] = "validation"
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
    """Answer the validation clips of each set: clip_id, speaker, right."""
    answers = {}
    for name, clips in sets.items():
        given = extract_vectors(clips[clips["split"].isin(["train", "validation"])], embedding)
        parts = {part: probe.LabelledVectors.of(given.clips[rows], given.vectors[rows])
                 for part in ("train", "validation") if (rows := (given.clips["split"] == part).to_numpy()).any()}
        classes: Names = np.unique(given.clips["label"].to_numpy(str))
        (fit,) = probe.fit_probes(["LogisticRegression"], [(False, False)], parts,
                                  probe.FitSettings(classes, "accuracy", 0))
        asked = parts["validation"]
        answers[name] = pd.DataFrame({"clip_id": asked.clip_id, "speaker": asked.speaker,
                                      "right": fit.labels["validation"] == asked.y})
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
