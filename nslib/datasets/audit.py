"""The audit of any split: what in a clip table can make a score wrong.

Only tables are read, never audio: equal ``sha256`` means equal decoded audio. An empty speaker or split means "not
known".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib.datasets.splits import SPLITS, label_is_speaker
from nslib.errors import BadParameter

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "audit_clips"]

_NEEDED = ("clip_id", "sha256", "seconds", "label", "speaker", "split")
_DOMINANT = 0.9
"""Share of a class's clips from which one speaker counts as *being* the class."""

_MOST_NAMES = 5
"""Names in a sentence; the others are counted."""


@dataclass(frozen=True)
class Audit:
    """What an audit says of a clip table.

    Attributes
    ----------
    table : DataFrame
        One row a split: ``clips, minutes, speakers, classes``, and the clips of the smallest and largest class.
    classes : DataFrame
        Clips of each label (rows) in each split (columns), and ``speakers`` of the label.
    shared_speakers : DataFrame
        One row for each speaker who is in more than one split: clips in each split.
    duplicates : DataFrame
        ``sha256, clip_id, label, speaker, split`` of every clip whose audio comes more than once.
    problems : tuple of str
        Sentences on what can make a score wrong; empty if there is nothing.
    notes : tuple of str
        Sentences on what is as it should be, but must be known to read the numbers.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    shared_speakers: pd.DataFrame
    duplicates: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def audit_clips(clips: pd.DataFrame) -> Audit:
    """Look for what makes a split unsound: leaks between splits, missing and confounded classes.

    Where every label has one speaker and every speaker one label (speaker identification), speakers must be shared
    between splits: that is then a note, not a problem.

    Parameters
    ----------
    clips : DataFrame
        A clip table with ``clip_id, sha256, seconds, label, speaker, split``; `BadParameter` if a column is missing.
    """
    missing = [name for name in _NEEDED if name not in clips.columns]
    if missing:
        raise BadParameter(f"the clip table lacks {', '.join(missing)}; it needs {', '.join(_NEEDED)}.")
    clips = clips.loc[:, list(_NEEDED)].fillna({"label": "", "speaker": "", "split": ""})
    known = clips[clips["speaker"] != ""]
    classes, shared, doubles = _count_classes(clips, known), _list_shared_speakers(known), _list_duplicates(clips)
    problems = _size_problems(clips) + _class_problems(classes) + _duplicate_problems(doubles)
    nameless = len(clips) - len(known)
    notes = [f"The speaker of {_count(nameless, 'clip', 'clips')} is not known."] if nameless else []
    if label_is_speaker(known["label"], known["speaker"]):
        notes.append("The label is the speaker, so every speaker is meant to be in every split.")
    else:
        if len(shared):
            count = _count(len(shared), "speaker is", "speakers are")
            problems.append(f"{count} in more than one split: {_list_names(shared.index.tolist())}.")
        problems += _confound_problems(known)
    return Audit(_measure_splits(clips, known), classes, shared, doubles, tuple(problems), tuple(notes))


def _split_order(present: Iterable[str]) -> list[str]:
    """The kit's splits, then any others."""
    return [*SPLITS, *sorted(set(present) - set(SPLITS))]


def _measure_splits(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Clips, minutes, speakers and classes of each split."""
    order = _split_order(clips["split"])
    counts = clips.groupby(["split", "label"]).size().groupby("split")
    table = clips.groupby("split").agg(clips=("clip_id", "size"), minutes=("seconds", "sum"))
    table["minutes"] /= 60
    table["speakers"] = known.groupby("split")["speaker"].nunique()
    table["classes"] = counts.size()
    table["smallest_class"], table["largest_class"] = counts.min(), counts.max()
    table = table.reindex(order).fillna(0)
    return table.astype({name: int for name in table.columns if name != "minutes"}).rename_axis("split")


def _count_classes(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Clips of each label in each split, and its speakers."""
    counts = clips.groupby(["label", "split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=_split_order(clips["split"]), fill_value=0).rename_axis(columns=None)
    speakers = known.groupby("label")["speaker"].nunique()
    return counts.assign(speakers=speakers.reindex(counts.index, fill_value=0).astype(int))


def _list_shared_speakers(known: pd.DataFrame) -> pd.DataFrame:
    """Speakers of several splits, with their clips in each."""
    placed = known[known["split"] != ""]
    counts = placed.groupby(["speaker", "split"]).size().unstack(fill_value=0).rename_axis(columns=None)
    counts = counts.reindex(columns=_split_order(placed["split"]), fill_value=0)
    return counts[(counts > 0).sum(axis=1) > 1]


def _list_duplicates(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips whose audio comes more than once."""
    hashed = clips[clips["sha256"].notna() & (clips["sha256"] != "")]
    doubles = hashed[hashed["sha256"].duplicated(keep=False)]
    columns = ["sha256", "clip_id", "label", "speaker", "split"]
    return doubles[columns].sort_values(columns[:2], ignore_index=True)


def _size_problems(clips: pd.DataFrame) -> list[str]:
    """Sentences on empty and unknown splits, lengths and names."""
    counts = clips["split"].value_counts()
    problems = [f"The {name} split has no clips." for name in SPLITS if not counts.get(name)]
    if unplaced := int(counts.get("", 0)):
        problems.append(f"{_count(unplaced, 'clip is', 'clips are')} in no split.")
    if odd := sorted(set(counts.index) - {*SPLITS, ""}):
        problems.append(f"Splits that nothing reads (the names are {', '.join(SPLITS)}): {_list_names(odd)}.")
    if bad := int((~(clips["seconds"] > 0)).sum()):
        problems.append(f"{_count(bad, 'clip has', 'clips have')} no positive length.")
    if repeated := int(clips["clip_id"].duplicated().sum()):
        problems.append(f"{_count(repeated, 'clip has', 'clips have')} the clip_id of another clip.")
    return problems


_ABSENT = {"train": "cannot be learnt", "validation": "does not count when the classifier is chosen",
           "test": "is not scored"}


def _class_problems(classes: pd.DataFrame) -> list[str]:
    """Sentences on classes that a split lacks."""
    problems = []
    if len(classes) < 2:
        problems.append(f"There is nothing to tell apart: {_count(len(classes), 'class', 'classes')}.")
    for name in (n for n in SPLITS if classes[n].any()):
        absent = classes.index[classes[name] == 0].tolist()
        if absent:
            count = _count(len(absent), "class is", "classes are")
            problems.append(f"{count} absent from {name} and so {_ABSENT[name]}: {_list_names(absent)}.")
    return problems


def _duplicate_problems(doubles: pd.DataFrame) -> list[str]:
    """Sentences on audio that comes more than once."""
    splits_of = doubles[doubles["split"] != ""].groupby("sha256")["split"].nunique()
    leaked = splits_of.index[splits_of > 1]
    again = doubles.loc[doubles.duplicated(["sha256", "split"]), "clip_id"].tolist()
    torn = int((doubles.groupby("sha256")["label"].nunique() > 1).sum())
    problems = []
    if len(leaked):
        names = doubles.loc[doubles["sha256"].isin(leaked), "clip_id"].tolist()
        count = _count(len(leaked), "recording is", "recordings are")
        problems.append(f"{count} in more than one split: {_list_names(names)}.")
    if again:
        count = _count(len(again), "clip has", "clips have")
        problems.append(f"{count} the same audio as another clip of the same split: {_list_names(again)}.")
    if torn:
        problems.append(f"{_count(torn, 'recording has', 'recordings have')} more than one label.")
    return problems


def _confound_problems(known: pd.DataFrame) -> list[str]:
    """A sentence on classes that are nearly one speaker."""
    if known["speaker"].nunique() < 2:
        return []
    counts = known.groupby(["label", "speaker"]).size()
    share = counts.groupby("label").max() / counts.groupby("label").sum()
    dominated = share.index[share >= _DOMINANT].tolist()
    if not dominated:
        return []
    count = _count(len(dominated), "class has", "classes have")
    return [f"{count} at least {_DOMINANT:.0%} of the clips from one speaker, who may be recognised "
            f"instead of the class: {_list_names(dominated)}."]


def _count(n: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{n} {one if n == 1 else many}"


def _list_names(values: Sequence[object]) -> str:
    """The first few of some names, and how many more."""
    rest = len(values) - _MOST_NAMES
    return ", ".join(map(str, values[:_MOST_NAMES])) + (f" and {rest} more" if rest > 0 else "")
