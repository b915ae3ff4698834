"""Clips that are parts of longer recordings, cut out once and kept as 16 kHz WAV files.

Conventions
-----------
Times are in seconds from the recording's start. Samples are cut from the recording as the kit hears it (16 kHz, mono),
so that a clip is the same wherever its neighbours end; borders are rounded to a sample.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from nslib import audio
from nslib.corpora.listing import Listed
from nslib.corpora.shelf import Entry, Shelf
from nslib.errors import BadAudio

_SHELF = "segments"
_OUTSIDE = "outside"
_LATE = 0.1  # seconds by which a part may end after its recording: times are often rounded up


def cut(clips: list[Listed], notes: list[str], *, progress: bool = True) -> tuple[list[Listed], list[str]]:
    """Put every clip that is a part of a file into a file of its own.

    Parameters
    ----------
    clips : list of Listed
    notes : list of str
        What is known already.
    progress : bool

    Returns
    -------
    clips : list of Listed
        In their order; ``audio`` is a file in the cache where a part was cut out. ``fault`` says why one could not be.
    notes : list of str
        With a sentence on what was cut.
    """
    from tqdm.std import tqdm

    parts = [(place, clip) for place, clip in enumerate(clips)
             if not clip.fault and (clip.start or clip.end is not None)]
    if not parts:
        return clips, notes
    shelf, found, whole = Shelf(_SHELF), list(clips), sorted(parts, key=lambda part: str(part[1].audio))
    with tqdm(total=len(parts), desc="cutting", unit="clip", disable=not progress) as bar:
        for path, group in groupby(whole, key=lambda part: part[1].audio):
            for place, clip in _of_one(path, list(group), shelf):
                found[place] = clip
                bar.update()
    recordings = len({clip.audio for _, clip in parts})
    return found, [*notes, f"{len(parts)} clips were cut out of {recordings} recordings."]


def _of_one(path: Path, parts: list[tuple[int, Listed]], shelf: Shelf) -> list[tuple[int, Listed]]:
    keyed = [(place, clip, _key(clip)) for place, clip in parts]
    missing = {key: clip for _, clip, key in keyed if shelf.get(key, key) is None}
    if missing:
        try:
            wave = audio.read(path).wave
        except BadAudio as error:
            fault = f"its recording cannot be used: {error.reason}"
            return [(place, replace(clip, fault=fault)) for place, clip in parts]
        for key, clip in missing.items():
            _make(clip, key, wave, shelf)
    return [(place, _there(clip, shelf, key)) for place, clip, key in keyed]


def _make(clip: Listed, key: str, wave: audio.FloatArray, shelf: Shelf) -> None:
    first = round(clip.start * audio.SAMPLE_RATE)
    last = len(wave) if clip.end is None else round(clip.end * audio.SAMPLE_RATE)
    if first >= len(wave) or last > len(wave) + _LATE * audio.SAMPLE_RATE:
        said = "the end" if clip.end is None else f"{clip.end:g} s"
        shelf.record(Entry(key, key, _OUTSIDE, note=f"it is to reach from {clip.start:g} s to {said}, but "
                           f"{clip.audio.name} has {len(wave) / audio.SAMPLE_RATE:.2f} s"))
    else:
        shelf.add(key, key, np.ascontiguousarray(wave[first:last]))


def _there(clip: Listed, shelf: Shelf, key: str) -> Listed:
    entry = shelf.get(key, key)
    assert entry is not None  # it has just been made
    if entry.status == _OUTSIDE:
        return replace(clip, fault=entry.note)
    return replace(clip, audio=shelf.path(key), start=0.0, end=None)


def _key(clip: Listed) -> str:
    try:
        stat = clip.audio.stat()
        made_of = [str(clip.audio.absolute()), stat.st_size, stat.st_mtime_ns, clip.start, clip.end]
    except OSError:
        made_of = [str(clip.audio.absolute()), clip.start, clip.end]
    return hashlib.sha256(json.dumps(made_of).encode("utf-8", "surrogatepass")).hexdigest()[:32]
