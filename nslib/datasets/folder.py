"""Your own recordings, in any of the layouts of `layouts`: cut, decoded once, and split.

Splits are taken as given, by the layout or by a file of splits; without any, speakers are drawn into train, validation
and test (60, 20 and 20 %), or clips, parts of a recording together, where speakers are not known or are the label, and
a note says which. Where only validation or test lacks, a fifth of train is drawn for it. Clips without a label are in
no split if others have one. Every clip that was listed is one that can be used, or has a reason why not. Parts of
longer recordings are cut once from the recording as the kit hears it (16 kHz, mono), so that a clip is the same
wherever its neighbours end; times are in seconds, borders are rounded to a sample.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nslib import audio
from nslib.datasets.clip_cache import DECODE_ERRORS, CachedClip, ClipCache, explain_failure, file_key, read_audio_facts
from nslib.datasets.layouts import ClipFile, explain_missing, list_clips, list_names, split_source
from nslib.datasets.splits import SPLITS, apply_split_file, label_is_speaker, split_by_group, split_speakers
from nslib.datasets.table import PROBLEM_COLUMNS, Dataset, make_dataset
from nslib.errors import BadAudio

__all__ = ["read_recordings"]

SHARES = (0.6, 0.2, 0.2)  # NOSS's for a corpus of few speakers (SAVEE): .7/.1/.2 of nine leave validation empty
_LEARN = (0.8, 0.2)
_WHOLE = 0.005  # seconds by which a part may differ from its whole recording: lengths are written with two digits
_VARIED = re.compile("|".join(("peak", "its header promises", *audio.STANDSTILLS)))
_LATE = 0.1  # seconds by which a part may end after its recording, or after the next begins: times are rounded


def read_recordings(path: str | os.PathLike[str], *, seed: int | None = 0, splits: str | os.PathLike[str] | None = None,
                    numbers: bool = False, progress: bool = True) -> Dataset:
    """Read somebody's own recordings.

    Parameters
    ----------
    path : str or path-like
        A folder, a list (``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``) or ``tfds:NAME``, perhaps with names of columns
        behind it (``list.csv?label=emotion``); see `layouts`. What cannot be used is in the `problems` of the result,
        with its reason. Without labels the clips have no split: they are embedded, not benchmarked.
    seed : int or None
        Of the split, if none is given; None draws none, and says nothing of splits and labels.
    splits : path-like, optional
        A split file (`splits`), which then counts, whatever the layout says.
    numbers : bool
        Whether labels are numbers to be predicted, not classes, each of which a split must hold.

    Raises
    ------
    BadParameter, UnknownName, Unavailable
        Nothing to read, or a list or split file that contradicts itself; a column or split that does not exist; a
        data set of TensorFlow Datasets that cannot be had.
    """
    listed, notes = list_clips(path, progress=progress)
    listed, cut_notes = _cut_parts(_mark_parts([_check_name(clip) for clip in listed]), progress)
    faulty, sound = [clip for clip in listed if clip.fault], [clip for clip in listed if not clip.fault]
    sound, split_notes = (sound, []) if splits is None else apply_split_file(sound, Path(splits).expanduser())
    facts = read_audio_facts([clip.audio for clip in sound], progress=progress)
    pairs = list(zip(sound, facts, strict=True))
    there: dict[Path, dict[str, str]] = {}
    faulty += [clip.fail(known.reason, known.remedy) if os.path.exists(clip.audio) else
               clip.fail(*explain_missing(clip.audio, there)) for clip, known in pairs if known.reason]
    told = [(clip.clip_id, str(clip.audio), clip.fault, clip.remedy) for clip in faulty]
    problems = [dict(zip(PROBLEM_COLUMNS, map(_make_printable, texts), strict=True)) for texts in told]
    pairs = [(clip, known) for clip, known in pairs if not known.reason]
    usable = [clip for clip, _ in pairs]
    placed, draw_notes = (usable, []) if seed is None else _assign_splits(usable, seed, numbers)
    if not pairs:
        draw_notes = [f"None of {len(faulty)} clips can be used."]
    root = str(path) if os.fspath(path).startswith("tfds:") else str(split_source(path)[0])
    clips = [{**vars(clip), **vars(known), "audio": str(clip.audio.absolute()), "source": root,
              "sample_rate": clip.sample_rate or known.sample_rate} for clip, (_, known) in
             zip(placed, pairs, strict=True)]
    counts = Counter(note for clip, known in pairs for note in dict.fromkeys((*clip.notes, *known.notes)))
    counts += Counter("the list tells another length, by more than half a second or a tenth" for clip, known in pairs
                      if abs(clip.told - known.seconds) > min(0.5, known.seconds / 10))
    done = [f"{count} of {len(pairs)} clips: {note}." for note, count in _join_kinds(counts).most_common()]
    return make_dataset(clips, problems, [_make_printable(note) for note in (
        *notes, *cut_notes, *split_notes, *done, *draw_notes)])


def _check_name(clip: ClipFile) -> ClipFile:
    """Tell a clip whose names no table can hold."""
    try:
        "".join((str(clip.audio), clip.clip_id, clip.label, clip.speaker)).encode()
        return clip
    except UnicodeEncodeError:
        return clip.fail("its name, or that of its folder, is not UTF-8", "Rename it (convmv does it for many).")


def _make_printable(text: str) -> str:
    """Text with bytes that are no letters, and letters that steer a terminal, spelt out."""
    return text if text.isprintable() else "".join(
        letter if letter.isprintable() else f"\\x{ord(letter) & 0xff:02x}" if "\udc80" <= letter <= "\udcff"
        else repr(letter)[1:-1] for letter in text)


def _join_kinds(counts: Counter[str]) -> Counter[str]:
    """Count clips together whose notes differ in numbers only; the one with the highest stands for them."""
    kinds: dict[str, list[str]] = {}
    for note in sorted(counts, key=lambda note: -float(re.findall(r"\d+\.?\d*|$", note)[0] or 0)):
        kinds.setdefault(re.sub(r"[\d.]+", "", note) if _VARIED.match(note) else note, []).append(note)
    return Counter({f"{'the highest ' if those[0].startswith('peak') else 'for example ' * (len(those) > 1)}{those[0]}":
                    sum(map(counts.__getitem__, those)) for those in kinds.values()})


def _mark_parts(clips: list[ClipFile]) -> list[ClipFile]:
    """Tell clips of one file from others, and which of them overlap."""
    files: dict[tuple[Path, int | None], list[int]] = {}
    for i, clip in enumerate(clips):
        if not clip.fault:
            files.setdefault((clip.audio, clip.channel), []).append(i)
    marked, name, reach = list(clips), "", 0.0
    for (path, _), members in files.items():
        for place, i in enumerate(sorted(members, key=lambda i: clips[i].start) if len(members) > 1 else ()):
            if not place or clips[i].start > reach - _LATE:
                name, reach = clips[i].clip_id, 0.0
            end = clips[i].end
            reach = math.inf if end is None else max(reach, end)
            marked[i] = replace(clips[i], cut_from=str(path), recording=name)
    return marked


def _cut_parts(clips: list[ClipFile], progress: bool) -> tuple[list[ClipFile], list[str]]:
    """Put every clip that is a part of a file into a file of its own, or say in its fault why that cannot be."""
    from tqdm.std import tqdm

    places: dict[tuple[Path, int | None], list[int]] = {}
    for i, clip in enumerate(clips):
        if not clip.fault and (clip.start, clip.end, clip.channel) != (0, None, None):
            places.setdefault((clip.audio, clip.channel), []).append(i)
    if not places:
        return clips, []
    cache, files = ClipCache("segments"), list(clips)
    for (path, channel), members in tqdm(places.items(), "cutting", unit="recording", disable=not progress):
        for i, made in zip(members, _cut_recording(path, channel, [clips[i] for i in members], cache), strict=True):
            files[i] = made
    good = [place for place, members in places.items() for i in members if not files[i].fault]
    return files, [f"{len(good)} clips were cut out of {len({path for path, _ in good})} recordings."]


def _cut_recording(path: Path, channel: int | None, parts: list[ClipFile], cache: ClipCache) -> list[ClipFile]:
    """Parts of one recording, or of one of its channels, which is decoded only if one is not there yet."""
    keys = [file_key(path, part.start, part.end, *([] if channel is None else [channel]))[:32] for part in parts]
    missing = {key: part for key, part in zip(keys, parts, strict=True) if cache.get(key, key) is None}
    if missing:
        try:
            recording = _hear_channel(path, channel)
        except DECODE_ERRORS as error:
            why, remedy = explain_failure(error) if os.path.exists(path) else explain_missing(path, {})
            return [part.fail(f"its recording cannot be used: {why}", remedy) for part in parts]
        wave = recording.wave
        for key, part in missing.items():
            first = round(part.start * audio.SAMPLE_RATE)
            last = len(wave) if part.end is None else round(part.end * audio.SAMPLE_RATE)
            if channel is None and first == 0 and abs(last - len(wave)) <= _WHOLE * audio.SAMPLE_RATE:
                cache.record(CachedClip(key, key, "whole"))
            elif first < min(last, len(wave)) and last <= len(wave) + _LATE * audio.SAMPLE_RATE:
                cache.add(key, key, np.ascontiguousarray(wave[first:last]), recording.notes, recording.source_rate)
            else:
                end = "the end" if part.end is None else f"{part.end:g} s"
                cache.record(CachedClip(key, key, "outside", note=(
                    f"it is to reach from {part.start:g} s to {end}, but {path.name} has "
                    f"{len(wave) / audio.SAMPLE_RATE:.2f} s" + " and no sample between" * (first == last))))
    made = []
    for part, key in zip(parts, keys, strict=True):
        clip, whole = cache.get(key, key) or CachedClip(key, key), replace(part, start=0.0, end=None, channel=None)
        made.append(whole if clip.status == "whole" else part.fail(clip.note) if clip.status else
                    replace(whole, audio=cache.path(key), sample_rate=clip.rate,
                            notes=tuple(filter(None, clip.note.split("; ")))))
    return made


def _hear_channel(path: Path, channel: int | None) -> audio.Clip:
    """A recording as the kit hears it, or one of its channels."""
    if channel is None:
        return audio.read(path)
    samples, rate, notes = audio.decode(path)
    if channel >= samples.shape[1]:
        raise BadAudio(path, f"it has {samples.shape[1]} channels, and none is {channel} from 0 on", "Mend the row.")
    clip = audio.from_array(samples[:, channel], rate, str(path))
    return replace(clip, notes=(f"channel {channel} of {samples.shape[1]}", *notes, *clip.notes))


def _assign_splits(clips: list[ClipFile], seed: int, numbers: bool) -> tuple[list[ClipFile], list[str]]:
    """Give clips that have no split one, and say how; without labels none is needed."""
    if numbers:  # as if all were of one class
        plain = [replace(clip, label=clip.label and "a number") for clip in clips]
        placed, notes = _assign_splits(plain, seed, False)
        return [replace(clip, split=one.split) for clip, one in zip(clips, placed, strict=True)], notes
    labelled = [clip for clip in clips if clip.label]
    if not labelled:
        return clips, ["There are no labels, so the clips can be embedded but not benchmarked."]
    notes = [f"{count} clips have no label and are in no split."] if (count := len(clips) - len(labelled)) else []
    given = {clip.split for clip in labelled} - {""}
    if given and ((without := sum(not clip.split for clip in labelled)) or "train" not in given):
        notes.append(f"{without} clips have no split and are not used for training or testing. To place them, change "
                     "what data card --save-splits FILE.csv writes, and give it: --splits FILE.csv.")
    if given - {"train"}:
        split_of = {clip.clip_id: clip.split for clip in labelled}
        learnt = [clip for clip in labelled if clip.split == "train"]
        missing, more = _draw_missing(learnt, set(split_of.values()), seed)
        split_of |= missing
    else:
        labelled = [clip for clip in labelled if clip.split or not given]
        notes += ["There is only a train part, so it is divided."] if given else []
        speakers, labels = [clip.speaker for clip in labelled], [clip.label for clip in labelled]
        place = split_speakers(labels, speakers, SHARES, seed) if all(speakers) else {}
        split_of = {clip.clip_id: place[clip.speaker] for clip in labelled if place}
        more = [f"Speakers were drawn into the splits (60, 20 and 20 % of them, seed {seed})."]
        if not split_of:
            split_of, more = _draw_clips(labelled, sorted(set(labels)), seed)
    return [replace(clip, split=split_of.get(clip.clip_id, "")) for clip in clips], notes + more


def _draw_missing(learn: list[ClipFile], splits: set[str], seed: int) -> tuple[dict[str, str], list[str]]:
    """Draw validation or test out of the training part where the layout lacks one, as many data sets do."""
    missing = [name for name in SPLITS[1:] if name not in splits]
    if len(missing) != 1 or "train" not in splits or len(learn) < len(_LEARN):
        return {}, []
    names, speakers = [clip.clip_id for clip in learn], [clip.speaker for clip in learn]
    labels = [clip.label for clip in learn]
    by_speaker = all(speakers) and not label_is_speaker(labels, speakers) and len(set(speakers)) >= len(_LEARN)
    whole = [clip.cut_from or clip.clip_id for clip in learn]
    groups = speakers if by_speaker else whole if len(set(whole)) >= len(_LEARN) else names
    parts = ("train", missing[0])
    place = split_speakers(labels, groups, _LEARN, seed, parts) or split_by_group(groups, groups, _LEARN, parts, seed)
    split_of = dict(zip(names, map(place.__getitem__, groups), strict=True))
    what = "speakers" if by_speaker else "clips" if len(set(groups)) == len(names) else "recordings, with all parts,"
    return split_of, [f"There is no {missing[0]} part: a fifth of the {what} of train was drawn for it (seed {seed})."]


def _draw_clips(clips: list[ClipFile], labels: Sequence[str], seed: int) -> tuple[dict[str, str], list[str]]:
    """Draw the clips of each label, or recordings that have several parts."""
    split_of: dict[str, str] = {}
    few = []
    for label in labels:
        names = [clip.clip_id for clip in clips if clip.label == label]
        if len(names) < len(SPLITS):
            few.append(f"{label} ({len(names)})")
        else:
            split_of |= split_by_group(names, names, SHARES, seed=seed)
    unknown = sum(not clip.speaker for clip in clips)
    people = Counter(label for label, _ in {(clip.label, clip.speaker) for clip in clips})
    alone = [f"{label} ({count})" for label, count in sorted(people.items()) if count < len(SPLITS)]
    if unknown == len(clips):
        why = "speakers are not known: one who is in several splits can be recognised by voice"
    elif unknown:
        why = f"the speaker of {unknown} clips is not known"
    elif label_is_speaker([clip.label for clip in clips], [clip.speaker for clip in clips]):
        why = "the label is the speaker"
    elif alone:
        why = (f"labels with fewer than 3 speakers cannot be in every split: {list_names(alone)}. Scores may tell "
               "speakers apart")
    else:
        why = ("no division of the speakers was found that has every label in every split: scores may tell speakers "
               "apart")
    whole = [clip.cut_from or clip.clip_id for clip in clips]
    if len(set(whole)) < len(whole) and (place := split_speakers([clip.label for clip in clips], whole, SHARES, seed)):
        return ({clip.clip_id: place[name] for clip, name in zip(clips, whole, strict=True)},
                ["Recordings were drawn into the splits, each with all its parts (60, 20 and 20 % of them, seed "
                 f"{seed}), because {why}."])
    note = f"Clips were drawn into the splits (60, 20 and 20 % of each label, seed {seed}), because {why}."
    note += " Parts of one recording are in several splits." * (len(set(whole)) < len(whole))
    return split_of, [note + f" Labels with fewer than 3 clips are in no split: {list_names(few)}." if few else note]
