"""Run the eSpeak NG worker: utterances in, clips on a shelf out, whatever happens to the worker.

The worker (`nslib.corpora.espeak_worker`) is another process, so that a crash of the library costs
one clip, a hang costs `PATIENCE` seconds, and its GPL code is not loaded into this process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from nslib import audio
from nslib.corpora.shelf import Shelf
from nslib.errors import BadAudio, Unavailable

PATIENCE = 30.0
"""Seconds without an answer after which the worker counts as hung; a clip takes a few milliseconds."""

WORKER = (sys.executable, "-m", "nslib.corpora.espeak_worker")


@dataclass(frozen=True)
class Utterance:
    """What to say, and how.

    Attributes
    ----------
    clip_id, key : str
        Where it goes on the shelf.
    text, language, voice : str
        `voice` is an eSpeak NG variant.
    manner : mapping
        ``rate`` (words a minute), ``pitch``, ``range`` (0 to 100), ``volume`` (0 to 200).
    """

    clip_id: str
    key: str
    text: str
    language: str
    voice: str
    manner: Mapping[str, int]


def speak(shelf: Shelf, utterances: Sequence[Utterance], *, progress: bool = True) -> dict[str, str]:
    """Speak utterances and put them on a shelf as 16 kHz clips.

    Parameters
    ----------
    shelf : Shelf
    utterances : sequence of Utterance
    progress : bool

    Returns
    -------
    dict of str to str
        clip_id and reason of those that could not be spoken.

    Raises
    ------
    Unavailable
        If the worker cannot be started at all.
    """
    from tqdm.std import tqdm

    reasons: dict[str, str] = {}
    left = list(utterances)
    with tqdm(total=len(left), desc="speaking (synthetic)", unit="clip", disable=not (progress and left)) as bar:
        while left:
            done = 0
            for reason in _answers(shelf, left, started=len(left) < len(utterances)):
                if reason:
                    reasons[left[done].clip_id] = reason
                done += 1
                bar.update()
            if done < len(left):
                reasons[left[done].clip_id] = "the synthesiser crashed or hung at this clip"
                done += 1
                bar.update()
            left = left[done:]
    return reasons


def _answers(shelf: Shelf, utterances: Sequence[Utterance], started: bool) -> Iterator[str]:
    """Yield one reason an utterance, empty if it is on the shelf, until the worker ends."""
    with tempfile.TemporaryDirectory(prefix="nslib-") as name:
        folder, done = Path(name), 0
        with _worker(folder, utterances) as worker:
            for line in _lines(worker):
                yield _take(shelf, utterances[done], folder, json.loads(line))
                done += 1
        if not done and not started and worker.returncode:
            raise _cannot_start((folder / "said").read_text(errors="replace"))


@contextmanager
def _worker(folder: Path, utterances: Sequence[Utterance]) -> Iterator[subprocess.Popen[str]]:
    jobs = [{"name": str(i), "text": u.text, "language": u.language, "variant": u.voice, **u.manner}
            for i, u in enumerate(utterances)]
    (folder / "jobs").write_text("\n".join(json.dumps(job) for job in jobs) + "\n")
    with (folder / "jobs").open() as stdin, (folder / "said").open("w") as stderr:
        worker = subprocess.Popen([*WORKER, str(folder)], stdin=stdin, stdout=subprocess.PIPE, stderr=stderr,
                                  text=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    with worker:
        try:
            yield worker
        except BaseException:
            worker.kill()
            raise


def _lines(worker: subprocess.Popen[str]) -> Iterator[str]:
    stdout: IO[str] = worker.stdout  # type: ignore[assignment]
    while True:
        watchdog = threading.Timer(PATIENCE, worker.kill)
        watchdog.start()
        line = stdout.readline()
        watchdog.cancel()
        if not line:
            return
        yield line


def _take(shelf: Shelf, utterance: Utterance, folder: Path, answer: dict[str, object]) -> str:
    if answer["error"]:
        return str(answer["error"])
    path = folder / f"{answer['name']}.pcm"
    samples = np.frombuffer(path.read_bytes(), dtype=np.int16)
    path.unlink()
    try:
        clip = audio.from_array(samples, int(str(answer["rate"])), utterance.clip_id)
    except BadAudio as error:
        return error.reason
    shelf.add(utterance.clip_id, utterance.key, clip.wave)
    return ""


def _cannot_start(said: str) -> Unavailable:
    last = (said.strip().splitlines() or ["no message"])[-1]
    return Unavailable("the synthesiser (eSpeak NG)", f"it cannot be started: {last}",
                       "Run: python -m pip install espeakng-loader")
