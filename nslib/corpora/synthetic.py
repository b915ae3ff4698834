"""Computer voices for where no recorded speech can be had: eSpeak NG speaks the kit's own texts.

Everything comes from pip packages and takes seconds. Scores on it say that the path works and how
embeddings react to what a synthesiser varies; they say little about people, and every task of it
has "synthetic" in its name.

Conventions
-----------
A voice is an eSpeak NG variant (formants, pitch), the same in every language. Only variants without
breath noise are used: eSpeak NG draws that noise from a generator that nothing can seed. The rest is
the same, byte for byte, in every build on one platform. What is drawn (sentences, small changes of
rate and pitch between takes) depends on the clip's name only.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from nslib.corpora import espeak, table, texts
from nslib.corpora.shelf import Entry, Shelf
from nslib.errors import Unavailable, UnknownName
from nslib.splits import SPLITS, by_group

VOICES = ("Annie", "belinda", "f1", "f4", "linda", "m1", "m3", "m4", "m5", "m6", "m7", "steph")
"""eSpeak NG variants that have no ``breath`` line."""

STYLES = {
    "calm": {"rate": 150, "pitch": 45, "range": 40, "volume": 90},
    "lively": {"rate": 185, "pitch": 65, "range": 90, "volume": 110},
    "weary": {"rate": 125, "pitch": 32, "range": 12, "volume": 70},
    "urgent": {"rate": 225, "pitch": 55, "range": 60, "volume": 130},
}
"""Centres of the four styles; every clip is up to `SPREAD` away."""

SPREAD = {"rate": 0.10, "pitch": 0.15, "range": 0.15, "volume": 0.15}
"""Largest relative change between takes."""

PLAIN = {"rate": 165, "pitch": 50, "range": 50, "volume": 100}
"""The manner of speaking in the tasks that are not about it."""

_PACKAGE = "espeakng-loader"
_SHARES = (0.5, 0.25, 0.25)


@dataclass(frozen=True)
class Job:
    """One clip to be spoken."""

    clip_id: str
    text: str
    language: str
    voice: str
    label: str
    split: str
    manner: tuple[tuple[str, int], ...]

    @property
    def key(self) -> str:
        """str: names everything that the clip depends on."""
        made_of = [self.text, self.language, self.voice, self.manner, _version()]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def plan(task: str) -> list[Job]:
    """List the clips of a synthetic task; nothing is spoken.

    Parameters
    ----------
    task : str

    Returns
    -------
    list of Job

    Raises
    ------
    UnknownName
        If `task` is not synthetic.
    """
    if task not in _PLANS:
        raise UnknownName("synthetic task", task, _PLANS)
    return list(_PLANS[task]())


def load(task: str, per_class: int | None = None, seed: int = 0, *, progress: bool = True) -> table.Corpus:
    """Have the clips of a synthetic task on disk, speaking those that are not there.

    Parameters
    ----------
    task : str
    per_class : int or None
        Cap on the clips of a label in a split (see `table.limit`); only these are spoken.
    seed : int
        Which clips remain under the cap.
    progress : bool

    Returns
    -------
    Corpus

    Raises
    ------
    Unavailable
        If the synthesiser cannot be started.
    """
    shelf = Shelf("espeak")
    jobs = _limited(plan(task), per_class, seed)
    todo = [job for job in jobs if shelf.get(job.clip_id, job.key) is None]
    reasons = espeak.speak(shelf, [_spoken(job) for job in todo], progress=progress)
    clips, problems = [], []
    for job in jobs:
        entry = shelf.get(job.clip_id, job.key)
        if entry is None:
            problems.append({"clip_id": job.clip_id, "audio": f"{_PACKAGE}: {job.text}",
                             "reason": reasons.get(job.clip_id, "it was not spoken"), "remedy": "Run again."})
        else:
            clips.append(_clip(shelf, job, entry))
    return table.make(clips, problems, ["Synthetic speech (eSpeak NG): its scores say little about people."])


def _clip(shelf: Shelf, job: Job, entry: Entry) -> dict[str, object]:
    return {"clip_id": job.clip_id, "audio": str(shelf.path(job.clip_id)), "sha256": entry.sha256,
            "seconds": entry.seconds, "sample_rate": 22_050, "label": job.label, "speaker": job.voice,
            "split": job.split, "source": _PACKAGE}


def _spoken(job: Job) -> espeak.Utterance:
    return espeak.Utterance(job.clip_id, job.key, job.text, job.language, job.voice, dict(job.manner))


def _limited(jobs: list[Job], per_class: int | None, seed: int) -> list[Job]:
    import pandas as pd

    rows = pd.DataFrame([(j.clip_id, j.label, j.voice, j.split) for j in jobs],
                        columns=["clip_id", "label", "speaker", "split"])
    kept = set(table.limit(rows, per_class, seed)["clip_id"])
    return [job for job in jobs if job.clip_id in kept]


@functools.cache
def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise Unavailable(f"the synthesiser ({_PACKAGE})", "it is not installed",
                          f"Run: python -m pip install {_PACKAGE}") from None


def _job(task: str, name: str, text: str, language: str, voice: str, label: str, split: str,
         manner: dict[str, int]) -> Job:
    clip_id = f"{task}/{name}"
    return Job(clip_id, text, language, voice, label, split, _take(clip_id, manner))


def _take(clip_id: str, manner: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """Change a manner a little, as the clip's name decides."""
    digest = hashlib.sha256(clip_id.encode()).digest()
    away = {name: 2 * digest[i] / 255 - 1 for i, name in enumerate(manner)}
    return tuple((name, round(value * (1 + SPREAD[name] * away[name]))) for name, value in manner.items())


def _draw(name: str, language: str, split: str, count: int) -> list[str]:
    pool = texts.sentences(language, split)
    return sorted(pool, key=lambda text: hashlib.sha256(f"{name}:{text}".encode()).hexdigest())[:count]


def _voice_splits() -> dict[str, str]:
    return by_group(VOICES, VOICES, _SHARES)


def _speakers() -> Iterator[Job]:
    for split, count in zip(SPLITS, (8, 4, 4), strict=True):
        for voice in VOICES:
            for i, text in enumerate(_draw(f"speaker {voice}", "en", split, count)):
                name = f"{voice}-{split}-{i}"
                yield _job("speaker-synthetic", name, text, "en", voice, voice, split, PLAIN)


def _words() -> Iterator[Job]:
    for voice, split in _voice_splits().items():
        for word in texts.WORDS:
            for take in range(2):
                yield _job("word-synthetic", f"{voice}-{word}-{take}", word, "en", voice, word, split, PLAIN)


def _styles() -> Iterator[Job]:
    for voice, split in _voice_splits().items():
        for i, text in enumerate(_draw(f"style {voice}", "en", split, 6)):
            for style, manner in STYLES.items():
                yield _job("style-synthetic", f"{voice}-{style}-{i}", text, "en", voice, style, split, manner)


def _languages() -> Iterator[Job]:
    for voice, split in _voice_splits().items():
        for language in texts.LANGUAGES:
            for i, text in enumerate(_draw(f"language {voice}", language, split, 4)):
                name = f"{voice}-{language}-{i}"
                yield _job("language-synthetic", name, text, language, voice, language, split, PLAIN)


_PLANS = {"speaker-synthetic": _speakers, "word-synthetic": _words, "style-synthetic": _styles,
          "language-synthetic": _languages}
