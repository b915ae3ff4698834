"""Your own recordings, in any of the layouts of `nslib.corpora.layouts`.

Splits are taken as given, by the layout or by a file of splits; without any, speakers are drawn into train, validation
and test (60, 20 and 20 %), or clips where speakers are not known or are the label, and a note says which.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from nslib.corpora import decoded, layouts, segments, split_file, table
from nslib.corpora.decoded import Facts
from nslib.corpora.listing import OUTSIDE, Listed
from nslib.splits import SPLITS, by_group, label_is_speaker

SHARES = (0.6, 0.2, 0.2)
"""NOSS's shares for a corpus of few speakers (SAVEE): with .7/.1/.2, nine speakers leave validation empty."""

_LEARN = {"train": 0.8, "validation": 0.2}
_DRAWS = 100
_LISTED = "Mend the row, or remove it."
_OUTSIDE = "Move it into the folder of its label."


def read(path: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
         progress: bool = True) -> table.Corpus:
    """Read somebody's own recordings.

    Parameters
    ----------
    path : str or path-like
        A folder, a ``.csv``, ``.tsv`` or ``.parquet`` list with the column ``audio`` (paths relative to the list) and,
        if there are, ``label, speaker, split, clip_id``, a Kaldi data directory, a folder with ``metadata.csv``, or
        ``tfds:NAME``; see `nslib.corpora.layouts`.
    seed : int
        Of the split, if none is given.
    splits : path-like, optional
        A file of splits (`nslib.corpora.split_file`), which then counts, whatever the layout says.
    progress : bool

    Returns
    -------
    Corpus
        Files that cannot be used are in `problems`, each with reason and remedy. Without labels,
        the clips have no split either: they can be embedded, not benchmarked.

    Raises
    ------
    BadParameter
        If there is nothing to read, or the list or the file of splits contradicts itself.
    UnknownName
        For a column, clip or split that does not exist, with the nearest name.
    Unavailable
        If a data set of TensorFlow Datasets cannot be had.
    """
    listed, notes, root = _listed(path, progress)
    sound = [clip for clip in listed if not clip.fault]
    if splits is not None:
        sound, said = split_file.apply(sound, Path(splits).expanduser())
        notes = [*notes, *said]
    known = decoded.facts([clip.audio for clip in sound], progress=progress)
    usable = [(clip, found) for clip, found in zip(sound, known, strict=True) if not found.reason]
    placed, split_notes = assign([clip for clip, _ in usable], seed)
    clips = [_row(clip, found, root) for clip, (_, found) in zip(placed, usable, strict=True)]
    problems = [_problem(clip, clip.fault, _OUTSIDE if clip.fault == OUTSIDE else _LISTED)
                for clip in listed if clip.fault]
    problems += [_problem(clip, found.reason, found.remedy)
                 for clip, found in zip(sound, known, strict=True) if found.reason]
    return table.make(clips, problems, [*notes, *_done([found for _, found in usable]), *split_notes])


def _listed(path: str | os.PathLike[str], progress: bool) -> tuple[list[Listed], list[str], Path]:
    if layouts.is_tfds(path):
        from nslib.corpora import own_tfds

        return *own_tfds.clips(os.fspath(path), progress=progress), Path(path)
    root = Path(path).expanduser()
    listed, notes = layouts.scan(root)
    return *segments.cut(listed, notes, progress=progress), root


def _row(clip: Listed, found: Facts, root: Path) -> dict[str, object]:
    return {"clip_id": clip.clip_id, "audio": str(clip.audio.absolute()), "sha256": found.sha256,
            "seconds": found.seconds, "sample_rate": clip.sample_rate or found.sample_rate, "label": clip.label,
            "speaker": clip.speaker, "split": clip.split, "source": str(root)}


def _problem(clip: Listed, reason: str, remedy: str) -> dict[str, object]:
    return {"clip_id": clip.clip_id, "audio": str(clip.audio), "reason": reason, "remedy": remedy}


def _done(found: list[Facts]) -> list[str]:
    counts = Counter(note for facts in found for note in facts.notes)
    return [f"{count} of {len(found)} clips: {note}." for note, count in counts.most_common()]


def assign(clips: list[Listed], seed: int) -> tuple[list[Listed], list[str]]:
    """Give clips that have no split one.

    Parameters
    ----------
    clips : list of Listed
    seed : int

    Returns
    -------
    clips : list of Listed
        Unchanged if there is a split for training, for validation and for the test, or no label.
    notes : list of str
        How it was done, and what is missing.
    """
    if any(clip.split for clip in clips):
        without = sum(not clip.split for clip in clips)
        notes = [f"{without} clips have no split and are not used for training or testing."] if without else []
        clips, said = _with_validation(clips, seed)
        return clips, [*notes, *said]
    labels = {clip.label for clip in clips if clip.label}
    if not labels:
        return clips, ["There are no labels, so the clips can be embedded but not benchmarked."]
    if split_of := _by_speaker(clips, labels, seed):
        note = f"Speakers were drawn into the splits (60, 20 and 20 % of them, seed {seed})."
    else:
        split_of, note = _by_clip(clips, labels, seed)
    return [replace(clip, split=split_of.get(clip.clip_id, "")) for clip in clips], [note]


def _with_validation(clips: list[Listed], seed: int) -> tuple[list[Listed], list[str]]:
    """Draw a validation part out of the training part where the layout has none, as many data sets have it."""
    learn = [clip for clip in clips if clip.split == "train"]
    if not learn or {clip.split for clip in clips} - {""} != {"train", "test"}:
        return clips, []
    names, known = [clip.clip_id for clip in learn], all(clip.speaker for clip in learn)
    by, groups = ("speakers", [clip.speaker for clip in learn]) if known else ("clips", names)
    same = label_is_speaker([clip.label for clip in learn], [clip.speaker for clip in learn])
    if len(set(groups)) < len(_LEARN) or (known and same):
        by, groups = "clips", names
    split_of = by_group(names, groups, tuple(_LEARN.values()), tuple(_LEARN), seed=seed)
    note = f"There is no validation part: a fifth of the {by} of train was drawn for it (seed {seed})."
    return [replace(clip, split=split_of.get(clip.clip_id, clip.split)) for clip in clips], [note]


def _by_speaker(clips: list[Listed], labels: set[str], seed: int) -> dict[str, str]:
    """Draw speakers until every label is in every split; empty if that cannot be had."""
    speakers = {clip.speaker for clip in clips}
    if "" in speakers or len(speakers) < len(SPLITS):
        return {}
    names, groups = [clip.clip_id for clip in clips], [clip.speaker for clip in clips]
    for draw in range(_DRAWS):
        split_of = by_group(names, groups, SHARES, seed=seed + 1000 * draw)
        if len({(split_of[c.clip_id], c.label) for c in clips}) == len(labels) * len(SPLITS):
            return split_of
    return {}


def _by_clip(clips: list[Listed], labels: set[str], seed: int) -> tuple[dict[str, str], str]:
    split_of: dict[str, str] = {}
    few = []
    for label in sorted(labels):
        names = [clip.clip_id for clip in clips if clip.label == label]
        if len(names) < len(SPLITS):
            few.append(f"{label} ({len(names)})")
            continue
        split_of |= by_group(names, names, SHARES, seed=seed)
    why = _why_by_clip(clips)
    note = f"Clips were drawn into the splits (60, 20 and 20 % of each label, seed {seed}), because {why}."
    if few:
        note += f" Labels with fewer than 3 clips are in no split: {', '.join(few)}."
    return split_of, note


def _why_by_clip(clips: list[Listed]) -> str:
    unknown = sum(not clip.speaker for clip in clips)
    if unknown == len(clips):
        return "speakers are not known: one who is in several splits can be recognised by voice"
    if unknown:
        return f"the speaker of {unknown} clips is not known"
    pairs = {(clip.label, clip.speaker) for clip in clips}
    if len(pairs) == len({clip.speaker for clip in clips}) == len({clip.label for clip in clips}):
        return "the label is the speaker"
    return "the speakers are too few for every label to be in every split: scores may tell speakers apart"
