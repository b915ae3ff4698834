"""Hash and length of many audio files: decoded once, in parallel, remembered by path, size and time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from nslib import audio, params
from nslib.errors import BadAudio

_WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Facts:
    """What decoding a file tells.

    Attributes
    ----------
    sha256 : str
        Of the 16 kHz waveform; empty if the file cannot be used.
    seconds : float
        At 16 kHz.
    sample_rate : int
        Of the file, Hz.
    notes : tuple of str
        What was done to the samples.
    reason, remedy : str
        Why it cannot be used, and what to do; empty if it can.
    """

    sha256: str = ""
    seconds: float = 0.0
    sample_rate: int = 0
    notes: tuple[str, ...] = ()
    reason: str = ""
    remedy: str = ""


def facts(paths: Sequence[Path], *, progress: bool = True) -> list[Facts]:
    """Decode files, or remember them.

    Parameters
    ----------
    paths : sequence of Path
    progress : bool

    Returns
    -------
    list of Facts
        In the order of `paths`. Files that cannot be used are not remembered, so that one is
        tried again after it was repaired or a decoder was installed.
    """
    from tqdm.std import tqdm

    memory = _Memory()
    known = [memory.get(path) for path in paths]
    todo = [i for i, found in enumerate(known) if found is None]
    with (ThreadPoolExecutor(_WORKERS) as pool,
          tqdm(total=len(todo), desc="reading audio", unit="clip", disable=not (progress and todo)) as bar):
        for i, found in zip(todo, pool.map(lambda i: _decode(paths[i]), todo), strict=True):
            memory.put(paths[i], found)
            known[i] = found
            bar.update()
    return [found for found in known if found is not None]


def _decode(path: Path) -> Facts:
    try:
        clip = audio.read(path)
    except BadAudio as error:
        return Facts(reason=error.reason, remedy=error.remedy)
    return Facts(audio.sha256(clip.wave), clip.seconds, clip.source_rate, clip.notes)


class _Memory:
    """One line a file in a JSON Lines file of the cache; the last line of a file counts."""

    def __init__(self) -> None:
        self.path = params.cache_dir("corpora") / "decoded.jsonl"
        self.lines: dict[str, Facts] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._learn(line)

    def _learn(self, line: str) -> None:
        try:
            key, fields = json.loads(line)
            self.lines[key] = Facts(**{**fields, "notes": tuple(fields["notes"])})
        except (ValueError, TypeError, KeyError):
            return  # torn by a crash: that file is decoded again

    def get(self, path: Path) -> Facts | None:
        return self.lines.get(_key(path))

    def put(self, path: Path, found: Facts) -> None:
        if found.reason:
            return
        line = json.dumps([_key(path), asdict(found)])
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")  # starts the line, so that a torn one before it stays alone


def _key(path: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        return ""
    made_of = json.dumps([str(path.absolute()), stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(made_of.encode("utf-8", "surrogatepass")).hexdigest()
