"""The audit of any split: what in a clip table can make a score wrong.

Conventions
-----------
Only tables are read, never audio: equal ``sha256`` means equal decoded audio. An empty speaker or
split means "not known".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib.errors import BadParameter
from nslib.splits.draw import SPLITS, label_is_speaker

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("clip_id", "sha256", "seconds", "label", "speaker", "split")
DOMINANT = 0.9
"""Share of a class's clips from which one speaker counts as *being* the class."""

_SHOWN = 5


@dataclass(frozen=True)
class Audit:
    """What `audit` found.

    Attributes
    ----------
    table : DataFrame
        One row a split: ``clips``, ``minutes``, ``speakers``, ``classes``, and the clips of the
        smallest and largest class.
    classes : DataFrame
        Clips of each label (rows) in each split (columns), and ``speakers`` of the label.
    shared_speakers : DataFrame
        One row for each speaker who is in more than one split: clips in each split.
    duplicates : DataFrame
        ``sha256, clip_id, label, speaker, split`` of every clip whose audio comes more than once.
    problems : tuple of str
        Sentences on what can make a score wrong; empty if nothing was found.
    notes : tuple of str
        Sentences on what is as it should be, but must be known to read the numbers.
    """

    table: pd.DataFrame
    classes: pd.DataFrame
    shared_speakers: pd.DataFrame
    duplicates: pd.DataFrame
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def audit(clips: pd.DataFrame) -> Audit:
    """Look for what makes a split unsound: leaks between splits, missing and confounded classes.

    Parameters
    ----------
    clips : DataFrame
        A clip table (see the module's conventions). It is not changed.

    Returns
    -------
    Audit

    Raises
    ------
    BadParameter
        If a needed column is missing.

    Notes
    -----
    Where every label has one speaker and every speaker one label (speaker identification),
    speakers must be shared between splits: that is then a note, not a problem.
    """
    missing = [name for name in NEEDED if name not in clips.columns]
    if missing:
        raise BadParameter(f"the clip table lacks {', '.join(missing)}; it needs {', '.join(NEEDED)}.")
    clips = clips.loc[:, list(NEEDED)].fillna({"label": "", "speaker": "", "split": ""})
    known = clips[clips["speaker"] != ""]
    classes, shared, doubles = _classes(clips, known), _shared_speakers(known), _duplicates(clips)
    problems = _size_problems(clips) + _class_problems(classes) + _duplicate_problems(doubles)
    nameless = len(clips) - len(known)
    notes = [f"The speaker of {_count(nameless, 'clip', 'clips')} is not known."] if nameless else []
    if label_is_speaker(known["label"], known["speaker"]):
        notes.append("The label is the speaker, so every speaker is meant to be in every split.")
    else:
        problems += _speaker_problems(shared) + _confound_problems(known)
    return Audit(_sizes(clips, known), classes, shared, doubles, tuple(problems), tuple(notes))


def _split_order(present: Iterable[str]) -> list[str]:
    return list(SPLITS) + sorted(set(present) - set(SPLITS))


def _sizes(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    order = _split_order(clips["split"])
    counts = clips.groupby(["split", "label"]).size().groupby("split")
    table = clips.groupby("split").agg(clips=("clip_id", "size"), minutes=("seconds", "sum"))
    table["minutes"] /= 60
    table["speakers"] = known.groupby("split")["speaker"].nunique()
    table["classes"] = counts.size()
    table["smallest_class"], table["largest_class"] = counts.min(), counts.max()
    table = table.reindex(order).fillna(0)
    return table.astype({name: int for name in table.columns if name != "minutes"}).rename_axis("split")


def _classes(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    counts = clips.groupby(["label", "split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=_split_order(clips["split"]), fill_value=0).rename_axis(columns=None)
    speakers = known.groupby("label")["speaker"].nunique()
    return counts.assign(speakers=speakers.reindex(counts.index, fill_value=0).astype(int))


def _shared_speakers(known: pd.DataFrame) -> pd.DataFrame:
    placed = known[known["split"] != ""]
    counts = placed.groupby(["speaker", "split"]).size().unstack(fill_value=0).rename_axis(columns=None)
    counts = counts.reindex(columns=_split_order(placed["split"]), fill_value=0)
    return counts[(counts > 0).sum(axis=1) > 1]


def _duplicates(clips: pd.DataFrame) -> pd.DataFrame:
    hashed = clips[clips["sha256"].notna() & (clips["sha256"] != "")]
    doubles = hashed[hashed["sha256"].duplicated(keep=False)]
    return doubles[["sha256", "clip_id", "label", "speaker", "split"]].sort_values(
        ["sha256", "clip_id"], ignore_index=True
    )


def _size_problems(clips: pd.DataFrame) -> list[str]:
    counts = clips["split"].value_counts()
    found = [f"The {name} split has no clips." for name in SPLITS if not counts.get(name)]
    unplaced = int(counts.get("", 0))
    if unplaced:
        found.append(f"{_count(unplaced, 'clip is', 'clips are')} in no split.")
    odd = sorted(set(counts.index) - {*SPLITS, ""})
    if odd:
        found.append(f"Splits that nothing reads (the names are {', '.join(SPLITS)}): {_name(odd)}.")
    bad = int((~(clips["seconds"] > 0)).sum())
    if bad:
        found.append(f"{_count(bad, 'clip has', 'clips have')} no positive length.")
    repeated = int(clips["clip_id"].duplicated().sum())
    if repeated:
        found.append(f"{_count(repeated, 'clip has', 'clips have')} the clip_id of another clip.")
    return found


_ABSENT = {"train": "cannot be learnt", "validation": "does not count when the classifier is chosen",
           "test": "is not scored"}


def _class_problems(classes: pd.DataFrame) -> list[str]:
    found = []
    if len(classes) < 2:
        found.append(f"There is nothing to tell apart: {_count(len(classes), 'class', 'classes')}.")
    for name in (n for n in SPLITS if classes[n].any()):
        absent = classes.index[classes[name] == 0].tolist()
        if absent:
            count = _count(len(absent), "class is", "classes are")
            found.append(f"{count} absent from {name} and so {_ABSENT[name]}: {_name(absent)}.")
    return found


def _duplicate_problems(doubles: pd.DataFrame) -> list[str]:
    placed = doubles[doubles["split"] != ""]
    splits_of = placed.groupby("sha256")["split"].nunique()
    leaked = splits_of.index[splits_of > 1]
    again = doubles.loc[doubles.duplicated(["sha256", "split"]), "clip_id"].tolist()
    torn = int((doubles.groupby("sha256")["label"].nunique() > 1).sum())
    found = []
    if len(leaked):
        names = doubles.loc[doubles["sha256"].isin(leaked), "clip_id"].tolist()
        count = _count(len(leaked), "recording is", "recordings are")
        found.append(f"{count} in more than one split: {_name(names)}.")
    if again:
        count = _count(len(again), "clip has", "clips have")
        found.append(f"{count} the same audio as another clip of the same split: {_name(again)}.")
    if torn:
        found.append(f"{_count(torn, 'recording has', 'recordings have')} more than one label.")
    return found


def _speaker_problems(shared: pd.DataFrame) -> list[str]:
    if shared.empty:
        return []
    count = _count(len(shared), "speaker is", "speakers are")
    return [f"{count} in more than one split: {_name(shared.index.tolist())}."]


def _confound_problems(known: pd.DataFrame) -> list[str]:
    if known["speaker"].nunique() < 2:
        return []
    counts = known.groupby(["label", "speaker"]).size()
    share = counts.groupby("label").max() / counts.groupby("label").sum()
    alone = share.index[share >= DOMINANT].tolist()
    if not alone:
        return []
    count = _count(len(alone), "class has", "classes have")
    return [f"{count} at least {DOMINANT:.0%} of the clips from one speaker, who may be recognised "
            f"instead of the class: {_name(alone)}."]


def _count(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _name(values: Sequence[object]) -> str:
    rest = len(values) - _SHOWN
    return ", ".join(map(str, values[:_SHOWN])) + (f" and {rest} more" if rest > 0 else "")
