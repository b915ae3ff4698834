"""Your own recordings, in any of the layouts of `layouts`: cut, decoded once, and split.

Splits are taken as given, by the layout or by a file of splits; without any, speakers are drawn into train, validation
and test (60, 20 and 20 %), or clips where speakers are not known or are the label, and a note says which. Parts of
longer recordings are cut once from the recording as the kit hears it (16 kHz, mono), so that a clip is the same
wherever its neighbours end; times are in seconds, borders are rounded to a sample.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nslib import audio
from nslib.datasets.clip_cache import CachedClip, ClipCache, file_key, read_audio_facts
from nslib.datasets.layouts import ClipFile, list_clips
from nslib.datasets.splits import SPLITS, apply_split_file, label_is_speaker, split_by_group
from nslib.datasets.table import Dataset, make_dataset
from nslib.errors import BadAudio

__all__ = ["read_recordings"]

SHARES = (0.6, 0.2, 0.2)  # NOSS's for a corpus of few speakers (SAVEE): .7/.1/.2 of nine leave validation empty
_LEARN = {"train": 0.8, "validation": 0.2}
_DRAWS = 100
_PEAK = re.compile(r"peak (\S+) is above full scale")
_LATE = 0.1  # seconds by which a part may end after its recording: times are often rounded up


def read_recordings(path: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
                    progress: bool = True) -> Dataset:
    """Read somebody's own recordings.

    Parameters
    ----------
    path : str or path-like
        A folder, a list (``.csv``, ``.tsv``, ``.parquet``) or ``tfds:NAME``; see `layouts`. Files that cannot be used
        are in the `problems` of the result. Without labels the clips have no split: they are embedded, not benchmarked.
    seed : int
        Of the split, if none is given.
    splits : path-like, optional
        A split file (`splits`), which then counts, whatever the layout says.

    Raises
    ------
    BadParameter, UnknownName, Unavailable
        Nothing to read, or a list or split file that contradicts itself; a column or split that does not exist; a
        data set of TensorFlow Datasets that cannot be had.
    """
    listed, notes = list_clips(path, progress=progress)
    listed, cut_notes = _cut_parts(listed, progress)
    faulty, sound = [clip for clip in listed if clip.fault], [clip for clip in listed if not clip.fault]
    split_notes: list[str] = []
    if splits is not None:
        sound, split_notes = apply_split_file(sound, Path(splits).expanduser())
    facts = read_audio_facts([clip.audio for clip in sound], progress=progress)
    pairs = list(zip(sound, facts, strict=True))
    faulty += [replace(clip, fault=known.reason, remedy=known.remedy) for clip, known in pairs if known.reason]
    problems = [{"clip_id": clip.clip_id, "audio": str(clip.audio), "reason": clip.fault, "remedy": clip.remedy}
                for clip in faulty]
    pairs = [(clip, known) for clip, known in pairs if not known.reason]
    placed, draw_notes = _assign_splits([clip for clip, _ in pairs], seed)
    root = str(path) if os.fspath(path).startswith("tfds:") else str(Path(path).expanduser())
    clips = [{**vars(clip), **vars(known), "audio": str(clip.audio.absolute()), "source": root}
             for clip, (_, known) in zip(placed, pairs, strict=True)]
    counts = Counter(note for _, known in pairs for note in known.notes)
    done = [f"{count} of {len(pairs)} clips: {note}." for note, count in _join_peaks(counts).most_common()]
    return make_dataset(clips, problems, [*notes, *cut_notes, *split_notes, *done, *draw_notes])


def _join_peaks(counts: Counter[str]) -> Counter[str]:
    """Count clips above full scale together, whatever their peaks, of which the highest is named."""
    loud = {note: float(found[1]) for note in counts if (found := _PEAK.match(note))}
    highest = max(loud, key=loud.__getitem__, default="")
    return Counter({note: n for note, n in counts.items() if note not in loud}) + Counter(
        {f"the highest {highest}": sum(counts[note] for note in loud)} if loud else {})


def _cut_parts(clips: list[ClipFile], progress: bool) -> tuple[list[ClipFile], list[str]]:
    """Put every clip that is a part of a file into a file of its own, or say in its fault why that cannot be."""
    from tqdm.std import tqdm

    places: dict[Path, list[int]] = {}
    for i, clip in enumerate(clips):
        if not clip.fault and (clip.start or clip.end is not None):
            places.setdefault(clip.audio, []).append(i)
    if not places:
        return clips, []
    cache, files = ClipCache("segments"), list(clips)
    for path, members in tqdm(places.items(), "cutting", unit="recording", disable=not progress):
        for i, made in zip(members, _cut_recording(path, [clips[i] for i in members], cache), strict=True):
            files[i] = made
    return files, [f"{sum(map(len, places.values()))} clips were cut out of {len(places)} recordings."]


def _cut_recording(path: Path, parts: list[ClipFile], cache: ClipCache) -> list[ClipFile]:
    """Parts of one recording, which is decoded only if one is not there yet."""
    keys = [file_key(path, part.start, part.end)[:32] for part in parts]
    missing = {key: part for key, part in zip(keys, parts, strict=True) if cache.get(key, key) is None}
    if missing:
        try:
            wave = audio.read(path).wave
        except BadAudio as error:
            return [replace(part, fault=f"its recording cannot be used: {error.reason}") for part in parts]
        for key, part in missing.items():
            first = round(part.start * audio.SAMPLE_RATE)
            last = len(wave) if part.end is None else round(part.end * audio.SAMPLE_RATE)
            if first < len(wave) and last <= len(wave) + _LATE * audio.SAMPLE_RATE:
                cache.add(key, key, np.ascontiguousarray(wave[first:last]))
                continue
            end = "the end" if part.end is None else f"{part.end:g} s"
            cache.record(CachedClip(key, key, "outside", note=(
                f"it is to reach from {part.start:g} s to {end}, but {path.name} has "
                f"{len(wave) / audio.SAMPLE_RATE:.2f} s")))
    return [replace(part, fault=clip.note) if (clip := cache.get(key, key)) and clip.status else
            replace(part, audio=cache.path(key), start=0.0, end=None) for key, part in zip(keys, parts, strict=True)]


def _assign_splits(clips: list[ClipFile], seed: int) -> tuple[list[ClipFile], list[str]]:
    """Give clips that have no split one, and say how; without labels none is needed."""
    if any(clip.split for clip in clips):
        without = sum(not clip.split for clip in clips)
        notes = [f"{without} clips have no split and are not used for training or testing."] if without else []
        split_of, more = _draw_validation([clip for clip in clips if clip.split == "train"],
                                          {clip.split for clip in clips} - {""}, seed)
        notes += more
    elif labels := sorted({clip.label for clip in clips} - {""}):
        split_of = _draw_speakers(clips, labels, seed)
        notes = [f"Speakers were drawn into the splits (60, 20 and 20 % of them, seed {seed})."]
        if not split_of:
            split_of, notes = _draw_clips(clips, labels, seed)
    else:
        return clips, ["There are no labels, so the clips can be embedded but not benchmarked."]
    return [replace(clip, split=split_of.get(clip.clip_id, clip.split)) for clip in clips], notes


def _draw_validation(learn: list[ClipFile], splits: set[str], seed: int) -> tuple[dict[str, str], list[str]]:
    """Draw a validation part out of the training part where the layout has none, as many data sets have it."""
    if splits != {"train", "test"}:
        return {}, []
    names, speakers = [clip.clip_id for clip in learn], [clip.speaker for clip in learn]
    same = label_is_speaker([clip.label for clip in learn], speakers)
    by_speaker = all(speakers) and not same and len(set(speakers)) >= len(_LEARN)
    split_of = split_by_group(names, speakers if by_speaker else names, tuple(_LEARN.values()), tuple(_LEARN),
                              seed=seed)
    return split_of, [f"There is no validation part: a fifth of the {'speakers' if by_speaker else 'clips'} of train "
                      f"was drawn for it (seed {seed})."]


def _draw_speakers(clips: list[ClipFile], labels: Sequence[str], seed: int) -> dict[str, str]:
    """Draw speakers until every label is in every split; empty if that cannot be had."""
    names, speakers = [clip.clip_id for clip in clips], [clip.speaker for clip in clips]
    if all(speakers) and len(set(speakers)) >= len(SPLITS):
        for draw in range(_DRAWS):
            split_of = split_by_group(names, speakers, SHARES, seed=seed + 1000 * draw)
            if len({(split_of[clip.clip_id], clip.label) for clip in clips}) == len(labels) * len(SPLITS):
                return split_of
    return {}


def _draw_clips(clips: list[ClipFile], labels: Sequence[str], seed: int) -> tuple[dict[str, str], list[str]]:
    """Draw the clips of each label."""
    split_of: dict[str, str] = {}
    few = []
    for label in labels:
        names = [clip.clip_id for clip in clips if clip.label == label]
        if len(names) < len(SPLITS):
            few.append(f"{label} ({len(names)})")
        else:
            split_of |= split_by_group(names, names, SHARES, seed=seed)
    unknown = sum(not clip.speaker for clip in clips)
    if unknown == len(clips):
        why = "speakers are not known: one who is in several splits can be recognised by voice"
    elif unknown:
        why = f"the speaker of {unknown} clips is not known"
    elif label_is_speaker([clip.label for clip in clips], [clip.speaker for clip in clips]):
        why = "the label is the speaker"
    else:
        why = "the speakers are too few for every label to be in every split: scores may tell speakers apart"
    note = f"Clips were drawn into the splits (60, 20 and 20 % of each label, seed {seed}), because {why}."
    return split_of, [note + f" Labels with fewer than 3 clips are in no split: {', '.join(few)}." if few else note]
