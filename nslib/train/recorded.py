"""Clips decoded once into one file of samples, and what of it counts as one piece.

Conventions
-----------
A *piece* is a clip, or several short ones of the same speaker name after each other
(`nslib.train.settings.PairSettings.join`). All pieces lie in one file of 16-bit samples that is mapped into
memory. The file depends on the clips alone; what is joined is decided each time it is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import audio, files, params
from nslib.errors import BadAudio, BadParameter, Unavailable

if TYPE_CHECKING:
    import pandas as pd

_DECODERS, _AT_ONCE = 2, 256

Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]
Waves = Iterator[npt.NDArray[np.float32] | BadAudio]
Reader = Callable[["pd.DataFrame"], Waves]


@dataclass(frozen=True)
class Recordings:
    """Pieces of audio in one file.

    Attributes
    ----------
    samples : int16 [all samples]
        Memory-mapped, read-only; 16 kHz, full scale 32767.
    starts, lengths : int64 [pieces]
        Of the pieces, in samples.
    names : tuple of str
        clip_id of the first clip of each piece.
    problems : tuple of str
        One line a clip that could not be read.
    """

    samples: Samples = field(repr=False)
    starts: Ints = field(repr=False)
    lengths: Ints = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """float: length of everything."""
        return float(self.lengths.sum()) / audio.SAMPLE_RATE / 3600

    @property
    def fingerprint(self) -> str:
        """str: 16 hex digits of what the pieces are called and how long they are."""
        return hashlib.sha256(json.dumps([self.names, self.lengths.tolist()]).encode()).hexdigest()[:16]


def recordings(clips: pd.DataFrame, join: float = 0.0, *, waves: Reader | None = None,
               progress: bool = True) -> Recordings:
    """Decode clips into one file, or find that file in the cache.

    Parameters
    ----------
    clips : DataFrame
        Clip table: ``clip_id, audio, sha256, speaker``. Only neighbours of the same speaker can be joined; an
        empty name is of nobody, and stays alone.
    join : float
        See `PairSettings.join`.
    waves : callable, optional
        Gives the waveform of each row of `clips`, or what is wrong with it. Default: reads ``audio``.
    progress : bool

    Returns
    -------
    Recordings

    Raises
    ------
    BadParameter
        If no clip can be read.
    NslibError
        If the disk is full.
    """
    made_of = json.dumps([list(clips[name]) for name in ("clip_id", "sha256")])
    folder = params.cache_dir("train") / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    index = folder / "index.json"
    if not index.exists():  # the index is written last, so what has one is complete
        folder.mkdir(parents=True, exist_ok=True)
        known = _decode(clips, (waves or _waves)(clips), folder / "samples.i16", progress)
        files.write(index, json.dumps(known))
    known = json.loads(index.read_text(encoding="utf-8"))
    samples: Samples = np.memmap(folder / "samples.i16", np.int16, "r")
    starts, lengths, names = _joined(known, dict(zip(clips["clip_id"], clips["speaker"], strict=True)), join)
    return Recordings(samples, np.array(starts, np.int64), np.array(lengths, np.int64), tuple(names),
                      tuple(known["problems"]))


def _decode(clips: pd.DataFrame, waves: Waves, path: Path, progress: bool) -> dict[str, list[Any]]:
    from tqdm.std import tqdm

    index: dict[str, list[Any]] = {"names": [], "lengths": [], "problems": []}
    partial = path.with_suffix(f".{os.getpid()}")
    bar = tqdm(waves, "decoding", len(clips), unit="clip", disable=not progress)
    try:
        with partial.open("wb") as file:
            for row, wave in zip(clips.itertuples(), bar, strict=True):
                if isinstance(wave, BadAudio):
                    index["problems"].append(str(wave))
                    continue
                file.write(pcm(wave).tobytes())
                index["names"].append(row.clip_id)
                index["lengths"].append(len(wave))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        remedy = "Free some space, or set NSLIB_CACHE to another disk."
        raise Unavailable(f"a place for {path}", error.strerror or str(error), remedy) from error
    if not index["names"]:
        first = (index["problems"] or ["there is none"])[0]
        raise BadParameter(f"none of {len(clips)} clips can be read. {first}")
    return index


def pcm(wave: npt.NDArray[np.float32]) -> Samples:
    """Round a waveform to 16 bits, as the kit's WAV files do; what is above full scale is cut off there.

    Parameters
    ----------
    wave : float32 [samples]

    Returns
    -------
    int16 [samples]
    """
    return np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767).astype(np.int16)


def _joined(index: dict[str, list[Any]], speakers: dict[str, str],
            join: float) -> tuple[list[int], list[int], list[str]]:
    """Starts, lengths and names of pieces: neighbours of one speaker lie next to each other in the file."""
    starts: list[int] = []
    lengths: list[int] = []
    names: list[str] = []
    place, before = 0, ""
    for name, length in zip(index["names"], index["lengths"], strict=True):
        speaker = speakers[name]
        if speaker and speaker == before and lengths[-1] < join * audio.SAMPLE_RATE:
            lengths[-1] += length
        else:
            starts.append(place)
            lengths.append(length)
            names.append(name)
        place, before = place + length, speaker
    return starts, lengths, names


def _waves(clips: pd.DataFrame) -> Waves:
    def read(path: str) -> npt.NDArray[np.float32] | BadAudio:
        try:
            return audio.read(path).wave
        except BadAudio as error:
            return error

    paths = list(clips["audio"])
    with ThreadPoolExecutor(_DECODERS) as pool:
        for start in range(0, len(paths), _AT_ONCE):  # few in memory
            yield from pool.map(read, paths[start:start + _AT_ONCE])
