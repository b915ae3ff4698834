"""Prepared clips on disk, and what is known of audio files: decoded once, remembered.

A clip is written whole or not at all, and the ledger gets its line afterwards, so a run that was killed loses only the
clip it was at. A clip cache is a folder: ``wav/<clip_id>.wav`` (16 kHz; ``/`` in the id is a subfolder) and
``ledger.jsonl``, one JSON object a line with its checksum behind a tab; the last line of a clip counts. ``key`` names
everything the clip was made from: another key means that it is made again. So is a clip whose file has another size,
or other times and another sound, than its line says. Lines that were torn or changed are told, dropped, and made anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nslib import audio, config
from nslib.errors import BadAudio, NslibError

__all__: list[str] = []

Item = TypeVar("Item")
_SHORT = 80_000  # bytes, 2.5 s
_TOLD_AT_ONCE = 64  # clips, which are decoded again if a run is killed before they are written down
_NO_MEMORY = "decoding it takes more memory than there is"
LIMITED = "limited to full scale"  # note of a clip whose peak was above it


@dataclass(frozen=True)
class CachedClip:
    """What a clip was made from, and what became of it."""

    clip_id: str
    key: str
    status: str = ""  # empty for a clip that is as it should be, else a word of the module that made it
    sha256: str = ""  # of the waveform that the file holds; empty if there is no file
    seconds: float = 0.0  # at 16 kHz
    size: int = 0  # of the file, bytes; 0 if there is none
    time: int = 0  # when the file was last changed, ns; 0 if that was not written down
    note: str = ""  # in words: what was done to it, or why there is none
    rate: int = 0  # of the recording that it was made of, Hz; 0 if that was not written down


class ClipCache:
    """A folder of prepared clips, below ``corpora`` in the cache."""

    def __init__(self, name: str):
        self.folder = config.cache_dir("corpora", name)
        self._ledger = Ledger(self.folder / "ledger.jsonl")
        self._clips = {clip.clip_id: clip for clip in self._ledger.read(lambda fields: CachedClip(**fields))}

    def path(self, clip_id: str) -> Path:
        """Where a clip's file is or would be."""
        return self.folder / "wav" / f"{clip_id}.wav"

    def get(self, clip_id: str, key: str) -> CachedClip | None:
        """Find a clip that was made from `key` and whose file is as it was written."""
        clip, path = self._clips.get(clip_id), self.path(clip_id)
        if clip is None or clip.key != key or not clip.size:
            return clip if clip and clip.key == key else None
        if not os.path.exists(path):
            return None
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (clip.size, clip.time):
            return clip
        # copied, or written by an older kit, or damaged: only its sound can tell
        if stat.st_size == clip.size and _decode_facts(path).sha256 == clip.sha256:
            return self.record(dataclasses.replace(clip, time=stat.st_mtime_ns))
        warnings.warn(f"{path} is not as it was written: it is made again from its source.", stacklevel=2)
        self.forget(clip_id)
        return None

    def add(self, clip_id: str, key: str, wave: npt.NDArray[np.float32], notes: Sequence[str] = (),
            rate: int = 0) -> CachedClip:
        """Write a clip (16 kHz, mono) and what it was made from; its hash is of what the file gives when it is read."""
        path = self.path(clip_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        served, stat = write_clip(path, wave), path.stat()
        # of a whole recording, as it was
        kept = [note for note in notes if "full scale" not in note and not note.startswith(audio.STANDSTILLS)]
        note = "; ".join([*kept, *[LIMITED] * (float(np.abs(wave).max(initial=0.0)) > 1)])
        return self.record(CachedClip(clip_id, key, "", audio.sha256(served.wave), served.seconds, stat.st_size,
                                      stat.st_mtime_ns, note, rate))

    def record(self, clip: CachedClip) -> CachedClip:
        """Write a line of the ledger."""
        self._ledger.append(dataclasses.asdict(clip))
        self._clips[clip.clip_id] = clip
        return clip

    def forget(self, clip_id: str) -> None:
        """Remove a clip, so that the next load makes it again."""
        self.path(clip_id).unlink(missing_ok=True)
        self._clips.pop(clip_id, None)


def write_clip(path: Path, wave: npt.NDArray[np.float32]) -> audio.Clip:
    """Write a waveform (16 kHz, mono) as the kit serves it, and read it back: whole numbers over 32767."""
    # a peak above full scale, which lossy codecs and resampling produce, is cut off there, as any player does
    return audio.read(audio.write_wav(path, np.clip(wave, -1, 1)))


@dataclass(frozen=True)
class AudioFacts:
    """What decoding a file tells."""

    sha256: str = ""  # of the 16 kHz waveform; empty if the file cannot be used
    seconds: float = 0.0  # at 16 kHz
    sample_rate: int = 0  # of the file, Hz
    notes: tuple[str, ...] = ()  # what was done to the samples
    reason: str = ""  # why it cannot be used, and what to do; empty if it can
    remedy: str = ""


def read_audio_facts(paths: Sequence[Path], *, progress: bool = True) -> list[AudioFacts]:
    """Decode files in parallel, or remember them by path, size and time."""
    from tqdm.std import tqdm

    ledger = Ledger(config.cache_dir("corpora") / "decoded.jsonl")
    stored = dict(ledger.read(lambda line: (line[0], AudioFacts(**{**line[1], "notes": tuple(line[1]["notes"])}))))
    keys, told = [_facts_key(path) for path in paths], list[object]()
    facts = [None if (known := stored.get(key)) and known.reason else known for key in keys]
    todo = [i for i, known in enumerate(facts) if known is None]

    def note() -> None:
        if told:
            ledger.append(*told)
            told.clear()

    workers = _count_readers([paths[i] for i in todo[::max(1, len(todo) // 32)]])
    size = min(8, max(1, len(todo) // (8 * workers)))  # to give a thread a file takes as long as to read a short one
    given = [todo[k:k + size] for k in range(0, len(todo), size)]
    with (ThreadPoolExecutor(workers) as pool, contextlib.ExitStack() as last,
          tqdm(total=len(todo), desc="reading audio", unit="clip", disable=not (progress and todo)) as bar):
        last.callback(note)
        read = pool.map(lambda some: [_decode_facts(paths[i]) for i in some], given)
        for i, made in zip(todo, chain.from_iterable(read), strict=True):
            if keys[i] and not made.reason:
                told.append([keys[i], vars(made)])
            if len(told) == _TOLD_AT_ONCE:  # opening the file takes as long as decoding a clip
                note()
            facts[i] = made
            bar.update()
    for i in todo:
        if (known := facts[i]) and known.reason == _NO_MEMORY:  # beside others; alone it may fit
            facts[i] = _decode_facts(paths[i])
    return [known for known in facts if known is not None]


def _count_readers(some: Sequence[Path]) -> int:
    """One thread for short WAV files, as some are, for several would wait for each other's interpreter; else eight."""
    with contextlib.suppress(OSError):
        if all(path.suffix.lower() == ".wav" and path.stat().st_size < _SHORT for path in some):
            return 1
    return min(8, os.cpu_count() or 1)


DECODE_ERRORS = (BadAudio, MemoryError, OSError, ValueError)  # names may be too long, disks fail


def explain_failure(error: Exception) -> tuple[str, str]:
    """Reason and remedy of one of `DECODE_ERRORS`."""
    if isinstance(error, BadAudio):
        return error.reason, error.remedy
    if isinstance(error, MemoryError):
        return _NO_MEMORY, "Close other programs, or cut it into shorter clips."
    return (f"it cannot be opened ({getattr(error, 'strerror', None) or error})",
            "Rename it or correct its row, or copy it again.")


def forget_sound(path: Path) -> None:
    """Let the next listing look anew at a file that holds another sound than was listed; a prepared one is removed."""
    home = config.cache_dir("corpora")
    if path.is_relative_to(home):
        path.unlink(missing_ok=True)
    else:
        forgotten = dataclasses.asdict(AudioFacts(reason="it is to be decoded again"))
        Ledger(home / "decoded.jsonl").append([_facts_key(path), forgotten])


def _decode_facts(path: Path) -> AudioFacts:
    """Decode one file."""
    try:
        clip = audio.read(path)
    except DECODE_ERRORS as error:
        reason, remedy = explain_failure(error)
        return AudioFacts(reason=reason, remedy=remedy)
    return AudioFacts(audio.sha256(clip.wave), clip.seconds, clip.source_rate, clip.notes)


def _facts_key(path: Path) -> str:
    """Key of what decoding a file told; what an older decoder told of it is not believed."""
    return file_key(path, "decoder 4")


def file_key(path: Path, *part: object) -> str:
    """Hash a file's path, size and time, and what is taken of it; empty if it is not there."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return ""
    made_of = json.dumps([str(path.absolute()), stat.st_size, stat.st_mtime_ns, *part])
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()


class Ledger:
    """A JSON Lines file that is only appended to, each line with its checksum; threads may share it."""

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()

    def read(self, make: Callable[[Any], Item]) -> Iterator[Item]:
        """What is made of each line but those of another version; lines torn or changed are told, and removed."""
        lines = self._path.read_bytes().split(b"\n") if self._path.exists() else []
        whole, ended = [line for line in lines if line and _is_whole(line)], not lines or not lines[-1]
        if bad := sum(map(bool, lines)) - len(whole):
            warnings.warn(f"{bad} lines of {self._path} were torn or changed, and are left out: what they said is "
                          "found out again, if it can be.", stacklevel=3)
        if bad or not ended:
            with contextlib.suppress(NslibError):  # a cache that is read only can be read all the same
                config.write_file(self._path, b"".join(line + b"\n" for line in whole))
        for line in whole:
            with contextlib.suppress(ValueError, TypeError, LookupError):
                yield make(json.loads(line.partition(b"\t")[0]))

    def append(self, *values: object) -> None:
        """Write a line each, whole or not at all; `NslibError` says why if they cannot be written."""
        texts = [json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") for value in values]
        with config.explain_failures(self._path), self._lock, self._path.open("ab") as file:
            file.write(b"".join(b"%s\t%08x\n" % (text, zlib.crc32(text)) for text in texts))


def _is_whole(line: bytes) -> bool:
    """Tell whether a line is what was written; those of older kits have no checksum, and are whole if they are JSON."""
    text, _, checksum = line.partition(b"\t")
    try:
        return checksum == b"%08x" % zlib.crc32(text) if checksum else bool(json.loads(text))
    except ValueError:
        return False
