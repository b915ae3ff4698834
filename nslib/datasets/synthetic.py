"""Computer voices for where no recorded speech can be had: eSpeak NG speaks the kit's own texts.

Scores on them say little about people. The synthesiser runs in another process (`synthetic_worker`): a crash costs one
clip, a hang `PATIENCE` seconds, and its GPL code is not loaded into this process. A voice is an eSpeak NG variant
without breath noise, which nothing can seed; the rest is the same, byte for byte, in every build on one platform. What
is drawn depends on the clip's name only. A sentence is subject, verb and rest, whose words differ between train,
validation and test (articles and a few prepositions apart), so that they do not give language or voice away.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

import numpy as np

from nslib import audio, config
from nslib.datasets.clip_cache import ClipCache
from nslib.datasets.splits import SPLITS, split_by_group
from nslib.datasets.table import Dataset, limit_clips, make_dataset
from nslib.errors import BadAudio, Unavailable, refuse_unknown

__all__: list[str] = []

VOICES = ("Annie", "belinda", "f1", "f4", "linda", "m1", "m3", "m4", "m5", "m6", "m7", "steph")
STYLES = {  # rate (words a minute), pitch and its range (0 to 100), loudness (0 to 200)
    "calm": {"rate": 150, "pitch": 45, "range": 40, "volume": 90},
    "lively": {"rate": 185, "pitch": 65, "range": 90, "volume": 110},
    "weary": {"rate": 125, "pitch": 32, "range": 12, "volume": 70},
    "urgent": {"rate": 225, "pitch": 55, "range": 60, "volume": 130}}
SPREAD = {"rate": 0.10, "pitch": 0.15, "range": 0.15, "volume": 0.15}  # largest relative change between takes
PLAIN = {"rate": 165, "pitch": 50, "range": 50, "volume": 100}  # in the tasks that are not about the manner
PATIENCE = 30.0  # seconds without an answer after which the worker counts as hung; a clip takes a few milliseconds
WORKER = (sys.executable, "-m", "nslib.datasets.synthetic_worker")
# the ten commands that NOSS's keyword task has beside silence and unknown
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_PACKAGE = "espeakng-loader"
_CRASHED = "the synthesiser crashed or hung at this clip"

_SUBJECTS = {
    "en": ("the teacher, my sister, the doctor, our neighbour, the singer, the farmer",
           "the baker, my brother, the pilot", "the painter, a friend, the nurse"),
    "de": ("der Lehrer, meine Schwester, der Arzt, unser Nachbar, die Sängerin, der Bauer",
           "der Bäcker, mein Bruder, der Pilot", "die Malerin, ein Freund, die Krankenschwester"),
    "es": ("el profesor, mi hermana, el médico, nuestro vecino, la cantante, el campesino",
           "el panadero, mi hermano, el piloto", "la pintora, un amigo, la enfermera"),
    "fr": ("le professeur, ma sœur, le médecin, notre voisin, la chanteuse, le fermier",
           "le boulanger, mon frère, le pilote", "l'artiste, un ami, l'infirmière"),
    "it": ("il professore, mia sorella, il medico, il nostro vicino, la cantante, il contadino",
           "il panettiere, mio fratello, il pilota", "la pittrice, un amico, l'infermiera"),
    "ru": ("учитель, моя сестра, врач, наш сосед, певица, крестьянин",
           "пекарь, мой брат, пилот", "художница, один друг, медсестра")}
_VERBS = {
    "en": ("sings, works", "travels", "laughs"), "de": ("singt, arbeitet", "reist", "lacht"),
    "es": ("canta, trabaja", "viaja", "se ríe"), "fr": ("chante, travaille", "voyage", "rit"),
    "it": ("canta, lavora", "viaggia", "ride"), "ru": ("поёт, работает", "путешествует", "смеётся")}
_RESTS = {
    "en": ("in the garden, at home, in the evening, near the river, every morning, without a word",
           "on Sundays, among the hills, very often", "behind the house, after dinner, with pleasure"),
    "de": ("im Garten, zu Hause, am Abend, beim Fluss, jeden Morgen, ohne ein Wort",
           "sonntags, in den Bergen, sehr oft", "hinter dem Zaun, nach dem Essen, mit Freude"),
    "es": ("en el jardín, en casa, por la noche, cerca del río, cada mañana, sin decir nada",
           "los domingos, entre las colinas, muy a menudo", "detrás del muro, después de comer, con gusto"),
    "fr": ("dans le jardin, à la maison, le soir, près de la rivière, chaque matin, sans un mot",
           "le dimanche, en ville, très souvent", "derrière le mur, après manger, avec plaisir"),
    "it": ("nel giardino, a casa, di sera, vicino al fiume, ogni mattina, senza una parola",
           "la domenica, in città, molto spesso", "dietro il muro, dopo cena, con piacere"),
    "ru": ("в саду, дома, вечером, у реки, каждое утро, без слов",
           "по воскресеньям, в городе, очень часто", "за домом, после ужина, с удовольствием")}

LANGUAGES = tuple(sorted(_SUBJECTS))  # the six languages of NOSS's VoxForge
_Plan = tuple[str, str, str, str, str, str, dict[str, int]]  # what `_vary` takes
_SPLIT_OF_VOICE = split_by_group(VOICES, VOICES, (0.5, 0.25, 0.25))  # where no voice may be in two


def list_sentences(language: str, split: str) -> list[str]:
    """List every sentence of a language in a split: 72 for train, 9 for the others; none is in two splits."""
    parts = [table[language][SPLITS.index(split)].split(", ") for table in (_SUBJECTS, _VERBS, _RESTS)]
    return [f"{who[0].upper()}{who[1:]} {does} {rest}." for who, does, rest in itertools.product(*parts)]


@dataclass(frozen=True)
class Job:
    """One clip to be spoken; `manner` has the keys of `PLAIN`."""

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
        made_of = [self.text, self.language, self.voice, self.manner, _synthesiser_version()]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def plan_task(task: str) -> list[Job]:
    """List the clips of a synthetic task; nothing is spoken."""
    plans = {"speaker-synthetic": _plan_speakers, "word-synthetic": _plan_words, "style-synthetic": _plan_styles,
             "language-synthetic": _plan_languages}
    refuse_unknown("synthetic task", task, plans)
    return [_vary(task, *plan) for plan in plans[task]()]


def speak_task(task: str, per_class: int | None = None, seed: int = 0, *, progress: bool = True) -> Dataset:
    """Have the clips of a synthetic task on disk, speaking those that are not there (`limit_clips` chooses them)."""
    import pandas as pd

    cache, jobs = ClipCache("espeak"), plan_task(task)
    table = pd.DataFrame(map(asdict, jobs)).assign(speaker=[job.voice for job in jobs])
    chosen = set(limit_clips(table, per_class, seed)["clip_id"])
    jobs = [job for job in jobs if job.clip_id in chosen]
    reasons = speak_jobs(cache, [job for job in jobs if cache.get(job.clip_id, job.key) is None], progress=progress)
    clips, problems = [], []
    for job in jobs:
        entry = cache.get(job.clip_id, job.key)
        if entry is None:
            problems.append({"clip_id": job.clip_id, "audio": f"{_PACKAGE}: {job.text}",
                             "reason": reasons.get(job.clip_id, "it was not spoken"), "remedy": "Run again."})
        else:
            clips.append({"clip_id": job.clip_id, "audio": str(cache.path(job.clip_id)), "sha256": entry.sha256,
                          "seconds": entry.seconds, "sample_rate": 22_050, "label": job.label, "speaker": job.voice,
                          "split": job.split, "source": _PACKAGE})
    return make_dataset(clips, problems, ["Synthetic speech (eSpeak NG): its scores say little about people."])


@functools.cache
def _synthesiser_version() -> str:
    """Version of the package that brings eSpeak NG."""
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise Unavailable(f"the synthesiser ({_PACKAGE})", "it is not installed",
                          f"Run: python -m pip install {_PACKAGE}") from None


def _vary(task: str, name: str, text: str, language: str, voice: str, label: str, split: str,
          manner: dict[str, int]) -> Job:
    """A clip in a manner that is changed a little, as the clip's name decides."""
    clip_id = f"{task}/{name}"
    digest = hashlib.sha256(clip_id.encode()).digest()
    away = {part: 2 * digest[i] / 255 - 1 for i, part in enumerate(manner)}
    take = tuple((part, round(value * (1 + SPREAD[part] * away[part]))) for part, value in manner.items())
    return Job(clip_id, text, language, voice, label, split, take)


def _draw_sentences(name: str, language: str, split: str, count: int) -> list[str]:
    """The first sentences in the order of hashes with a name."""
    pool = list_sentences(language, split)
    return sorted(pool, key=lambda text: hashlib.sha256(f"{name}:{text}".encode()).hexdigest())[:count]


def _plan_speakers() -> Iterator[_Plan]:
    for split, count in zip(SPLITS, (8, 4, 4), strict=True):
        for voice in VOICES:
            for i, text in enumerate(_draw_sentences(f"speaker {voice}", "en", split, count)):
                yield f"{voice}-{split}-{i}", text, "en", voice, voice, split, PLAIN


def _plan_words() -> Iterator[_Plan]:
    for (voice, split), word, take in itertools.product(_SPLIT_OF_VOICE.items(), WORDS, range(2)):
        yield f"{voice}-{word}-{take}", word, "en", voice, word, split, PLAIN


def _plan_styles() -> Iterator[_Plan]:
    for voice, split in _SPLIT_OF_VOICE.items():
        for i, text in enumerate(_draw_sentences(f"style {voice}", "en", split, 6)):
            for style, manner in STYLES.items():
                yield f"{voice}-{style}-{i}", text, "en", voice, style, split, manner


def _plan_languages() -> Iterator[_Plan]:
    for (voice, split), language in itertools.product(_SPLIT_OF_VOICE.items(), LANGUAGES):
        for i, text in enumerate(_draw_sentences(f"language {voice}", language, split, 4)):
            yield f"{voice}-{language}-{i}", text, language, voice, language, split, PLAIN


def speak_jobs(cache: ClipCache, jobs: Sequence[Job], *, progress: bool = True) -> dict[str, str]:
    """Speak jobs into a clip cache, whatever happens to the worker; clip_id and reason of those that failed."""
    from tqdm.std import tqdm

    reasons: dict[str, str] = {}
    left, crashed = list(jobs), ""
    with tqdm(total=len(left), desc="speaking (synthetic)", unit="clip", disable=not (progress and left)) as bar:
        while left:
            answers = _ask_worker(cache, left.copy(), first=len(left) == len(jobs))
            for reason in itertools.chain(answers, [_CRASHED]):
                if not left:
                    break
                job = left[0]
                if reason.startswith(_CRASHED) and job.clip_id != crashed:  # once it may be anything's fault
                    crashed = job.clip_id
                    break
                left.pop(0)
                if reason:
                    reasons[job.clip_id] = reason
                bar.update()
    return reasons


def _ask_worker(cache: ClipCache, jobs: Sequence[Job], first: bool) -> Iterator[str]:
    """Yield one reason a job, empty if it is in the cache, until the worker ends."""
    lines = [json.dumps({"name": str(i), "text": job.text, "language": job.language, "voice": job.voice,
                         **dict(job.manner)}) for i, job in enumerate(jobs)]
    done = 0
    with config.scratch_folder("voice") as folder:
        (folder / "jobs").write_text("\n".join(lines) + "\n")
        with ((folder / "jobs").open() as stdin, (folder / "stderr").open("w") as stderr,
              subprocess.Popen([*WORKER, str(folder)], stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True,
                               env={**os.environ, "PYTHONIOENCODING": "utf-8"}) as worker):
            try:
                for line in _read_lines(worker):
                    yield _store_answer(cache, jobs[done], folder, json.loads(line))
                    done += 1
            except BaseException:
                worker.kill()
                raise
        if not done and first and worker.returncode:
            messages = (folder / "stderr").read_text(errors="replace").strip().splitlines() or ["no message"]
            why, remedy = f"it cannot be started: {messages[-1]}", f"Run: python -m pip install {_PACKAGE}"
            if worker.returncode < 0:
                why = f"its process was ended by signal {-worker.returncode} before it spoke, or gave no answer"
                remedy = "Run the same command again; if that happens again, end other programs, or see what ends it."
            raise Unavailable("the synthesiser (eSpeak NG)", why, remedy)


def _read_lines(worker: subprocess.Popen[str]) -> Iterator[str]:
    """Lines of the worker, which is killed if it is silent for too long."""
    stdout: IO[str] = worker.stdout  # type: ignore[assignment]
    while True:
        watchdog = threading.Timer(PATIENCE, worker.kill)
        watchdog.start()
        line = stdout.readline()
        watchdog.cancel()
        if not line:
            return
        yield line


def _store_answer(cache: ClipCache, job: Job, folder: Path, answer: dict[str, object]) -> str:
    """Put a spoken clip into the cache, or say why it cannot be used."""
    if answer["error"]:
        return str(answer["error"])
    path = folder / f"{answer['name']}.pcm"
    samples = np.frombuffer(path.read_bytes(), dtype=np.int16)
    path.unlink()
    try:
        clip = audio.from_array(samples, int(str(answer["rate"])), job.clip_id)
    except BadAudio as error:
        return error.reason
    cache.add(job.clip_id, job.key, clip.wave)
    return ""
