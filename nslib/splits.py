"""Speaker-disjoint splits exactly as the authors draw them, and the audit of any split.

References
----------
The algorithm of `by_group` is the one by which the CREMA-D, SAVEE, DementiaBank and VoxForge
builders of TensorFlow Datasets make the splits of NOSS (Shor et al., 2020, section 3).

Conventions
-----------
A clip table has one row a clip with at least the columns ``clip_id``, ``sha256``, ``seconds``,
``label``, ``speaker`` and ``split``. The audit reads tables only, never audio: equal ``sha256``
means equal decoded audio. An empty speaker or split means "not known".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nslib.errors import BadParameter

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "validation", "test")
NEEDED = ("clip_id", "sha256", "seconds", "label", "speaker", "split")
DOMINANT = 0.9
"""Share of a class's clips from which one speaker counts as *being* the class."""

_SHOWN = 5

Item = TypeVar("Item", bound=Hashable)


def by_group(
    items: Iterable[Item],
    groups: Iterable[object],
    probabilities: Sequence[float] = (0.7, 0.1, 0.2),
    names: Sequence[str] = SPLITS,
    seed: int = 0,
) -> dict[Item, str]:
    """Assign items to splits so that all items of one group (speaker) share a split.

    Parameters
    ----------
    items : iterable of hashable
        What is split, e.g. clip names. An item may come twice, with the same group.
    groups : iterable
        Group of each item, compared and sorted as ``str(group)``.
    probabilities : sequence of float
        Share of the *groups* (not of the items) for each split; they sum to 1.
    names : sequence of str
        Name of each split.
    seed : int
        Seed of the shuffle. NOSS uses 0.

    Returns
    -------
    dict
        Item to name of its split, in the order of `items`.

    Raises
    ------
    BadParameter
        If the lengths disagree, the probabilities are no distribution, there are fewer groups
        than splits, or one item is given two groups.

    Notes
    -----
    Shares are cut towards zero, so that with few groups a split other than the last can stay
    empty (3 groups at .7/.1/.2 give 2, 0 and 1); `audit` reports it.

    Examples
    --------
    >>> by_group("abcd", ["DC", "JE", "JK", "KL"], (0.6, 0.2, 0.2))
    {'a': 'test', 'b': 'validation', 'c': 'train', 'd': 'train'}
    """
    group_of = _pair(list(items), [str(g) for g in groups])
    shuffled = sorted(set(group_of.values()))
    _refuse_bad_shares(probabilities, names, len(shuffled))
    # The legacy generator: default_rng would draw other speakers than TFDS does.
    np.random.RandomState(seed).shuffle(shuffled)
    split_of = {}
    for name, start, end in zip(names, *_bounds(probabilities, len(shuffled)), strict=True):
        split_of.update(dict.fromkeys(shuffled[start:end], name))
    return {item: split_of[group] for item, group in group_of.items()}


def _pair(items: list[Item], groups: list[str]) -> dict[Item, str]:
    if len(items) != len(groups):
        raise BadParameter(f"{len(items)} items but {len(groups)} groups; give one group an item.")
    pairs: dict[Item, str] = {}
    for item, group in zip(items, groups, strict=True):
        if pairs.setdefault(item, group) != group:
            raise BadParameter(f"item {item!r} is in two groups, {pairs[item]!r} and {group!r}.")
    return pairs


def _refuse_bad_shares(probabilities: Sequence[float], names: Sequence[str], groups: int) -> None:
    if len(probabilities) != len(names) or len(set(names)) != len(names):
        raise BadParameter(f"give one probability for each name: {probabilities!r} for {names!r}.")
    if min(probabilities, default=-1.0) < 0 or abs(sum(probabilities) - 1) > 1e-8:
        raise BadParameter(f"probabilities {probabilities!r} must be >= 0 and sum to 1.")
    if groups < len(names):
        raise BadParameter(f"{groups} groups cannot fill {len(names)} splits; give at least {len(names)}.")


def _bounds(probabilities: Sequence[float], n: int) -> tuple[list[int], list[int]]:
    # The running float sum is part of the definition: 0.7 + 0.1 is below 0.8.
    ends, total = [], 0.0
    for share in probabilities:
        total += share
        ends.append(int(total * n))
    ends[-1] = n
    return [0, *ends[:-1]], ends


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


def label_is_speaker(labels: Iterable[object], speakers: Iterable[object]) -> bool:
    """Whether label and speaker say the same: each label has one speaker and each speaker one label.

    Parameters
    ----------
    labels, speakers : iterable [clips]
        Of each clip.

    Returns
    -------
    bool
        False where there is only one speaker.
    """
    pairs = set(zip(labels, speakers, strict=True))
    return len({label for label, _ in pairs}) == len({speaker for _, speaker in pairs}) == len(pairs) > 1


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


def data_hash(clips: pd.DataFrame) -> str:
    """Hash of which recordings a table holds, whatever their order, names, labels and splits.

    Parameters
    ----------
    clips : DataFrame
        A clip table with the column ``sha256``.

    Returns
    -------
    str
        16 hex digits.
    """
    return _hash_rows(clips, ["sha256"])


def split_hash(clips: pd.DataFrame) -> str:
    """Hash of what is learnt from what: ``(sha256, label, speaker, split)`` of every clip.

    Parameters
    ----------
    clips : DataFrame
        A clip table. The order of its rows and the clips' names and places do not matter.

    Returns
    -------
    str
        16 hex digits.
    """
    return _hash_rows(clips, ["sha256", "label", "speaker", "split"])


def _hash_rows(clips: pd.DataFrame, columns: list[str]) -> str:
    values = [clips[name].fillna("").astype(str).tolist() for name in columns]
    # JSON quotes its strings: no label with an odd character can imitate a border between fields.
    text = json.dumps(sorted(zip(*values, strict=True)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
