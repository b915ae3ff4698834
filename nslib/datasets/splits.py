"""Splits between and within speakers exactly as the authors draw them, split files, and the hashes of a split.

`split_by_group` is the algorithm by which the CREMA-D, SAVEE, DementiaBank and VoxForge builders of TensorFlow
Datasets make the splits of NOSS (Shor et al., 2020, section 3); `split_within_group` is the other method of the
authors' splitter, which they call "intra". An empty speaker or split of a clip table means "not known".

A clip table with folds (columns ``fold``: 0, 1, ... as text; ``text``: what is said, by name; empty: not known) is
divided once for each fold (`divide_fold`), so that every clip is tested once; its ``split`` is that of fold 0.

A split file is a CSV with the columns ``clip_id`` and ``split`` (train, validation or test; empty: not used) and, to
be read by people, ``label`` and ``speaker``, which are compared with the recordings when it is given again.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.datasets.table import FOLD_COLUMNS, read_list
from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from nslib.datasets.layouts import ClipFile

__all__ = ["CANONICAL_SPLIT_NUMBER", "SPLITS", "count_folds", "count_small_groups", "divide_fold", "hash_data",
           "hash_split", "label_is_speaker", "split_by_group", "split_within_group"]

SPLITS = ("train", "validation", "test")
# words that lists and folders call a split by, in lower case, and the kit's name of it
SPLIT_NAMES = {"training": "train", "trn": "train", "testing": "test", "tst": "test", "eval": "test",
               "evaluation": "test", **{name: name for name in SPLITS},
               **dict.fromkeys(("val", "valid", "dev", "devel", "development"), "validation")}
CANONICAL_SPLIT_NUMBER = 666  # seed of the split within speakers that the authors call canonical
Item = TypeVar("Item", bound=Hashable)
_DRAWS = 100  # of speakers with several labels; of one label each, the first is right
_FILE_COLUMNS = ["clip_id", "split", "label", "speaker"]


def find_split(name: str) -> str:
    """The split that a name means: one of its words is one of `SPLIT_NAMES` (``train-clean-100``); empty if none is."""
    found = {SPLIT_NAMES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLIT_NAMES}
    return found.pop() if len(found) == 1 else ""


def split_by_group(items: Iterable[Item], groups: Iterable[object], probabilities: Sequence[float] = (0.7, 0.1, 0.2),
                   names: Sequence[str] = SPLITS, seed: int = 0) -> dict[Item, str]:
    """Assign items to splits so that all items of one group (speaker) share a split.

    Parameters
    ----------
    items : iterable of hashable
        What is split, e.g. clip names. An item may come twice, with the same group.
    groups : iterable
        Group of each item, compared and sorted as ``str(group)``; `BadParameter` if there are fewer than splits.
    probabilities : sequence of float
        Share of the *groups* (not of the items) for each split; they sum to 1. Shares are cut towards zero, so that
        with few groups a split other than the last can stay empty (3 groups at .7/.1/.2 give 2, 0 and 1).
    seed : int
        Seed of the shuffle. NOSS uses 0.

    Examples
    --------
    >>> split_by_group("abcd", ["DC", "JE", "JK", "KL"], (0.6, 0.2, 0.2))
    {'a': 'test', 'b': 'validation', 'c': 'train', 'd': 'train'}
    """
    group_of = _pair(items, groups)
    shuffled = sorted(set(group_of.values()))
    _refuse_bad_shares(probabilities, names)
    if len(shuffled) < len(names):
        raise BadParameter(f"{len(shuffled)} groups cannot fill {len(names)} splits; give at least {len(names)}.")
    # The legacy generator: default_rng would draw other speakers than TFDS does.
    np.random.RandomState(seed).shuffle(shuffled)
    split_of = _deal(shuffled, probabilities, names)
    return {item: split_of[group] for item, group in group_of.items()}


def split_speakers(labels: Sequence[str], speakers: Sequence[str], probabilities: Sequence[float], seed: int = 0,
                   names: Sequence[str] = SPLITS) -> dict[str, str]:
    """Divide speakers (or clips) so that every label is in every split; empty if no division was found.

    As `split_by_group` draws them, if that does it. Else label by label, those of the fewest speakers first: of each,
    the splits get their shares of its speakers, so that where nobody has two labels, one speaker a split suffices.
    """
    if len(set(speakers)) < len(names):
        return {}
    pairs = set(zip(labels, speakers, strict=True))
    split_of = split_by_group(speakers, speakers, probabilities, names, seed)
    members = _collect_members(sorted(pairs), [label for label, _ in sorted(pairs)])
    for draw in range(_DRAWS):
        if len({(label, split_of[speaker]) for label, speaker in pairs}) == len(members) * len(names):
            return split_of
        split_of, rng = {}, np.random.RandomState(seed + 1000 * draw)
        for _, those in sorted(members.items(), key=lambda item: (len(item[1]), item[0])):
            drawn = [speaker for _, speaker in those]
            rng.shuffle(drawn)
            lacking = Counter(_deal(range(len(drawn)), probabilities, names).values())
            lacking.subtract(placed := Counter(split_of[name] for name in drawn if name in split_of))
            for name in (name for name in drawn if name not in split_of):
                # the last first: what is rarest is the test
                split = max(reversed(names), key=lambda split: (not placed[split], lacking[split]))
                split_of[name] = split
                placed[split] += 1
                lacking[split] -= 1
    return {}


def split_within_group(items: Iterable[Item], groups: Iterable[object],
                       probabilities: Sequence[float] = (0.6, 0.2, 0.2), names: Sequence[str] = SPLITS,
                       split_number: int = CANONICAL_SPLIT_NUMBER) -> dict[Item, str]:
    """Split the items of each group (speaker) on their own: everybody is in every split.

    Parameters and errors are those of `split_by_group`, but `probabilities` are shares of a group's items, and
    `split_number` is the seed of the shuffles, of which the authors call 666 canonical. Items of a group with fewer
    items than splits are left out, as the authors' code does; `count_small_groups` names these groups.

    Notes
    -----
    One generator serves all groups as they are first seen among `items`, and shuffles the items of each in the order
    given: another order of items is another split, and a group that is added changes the draws of all after it. The
    authors take whatever order their files have; the kit's protocols sort clips by name first.

    Examples
    --------
    >>> split_within_group("abcdef", "xxxyyz")
    {'b': 'train', 'c': 'validation', 'a': 'test'}
    """
    _refuse_bad_shares(probabilities, names)
    rng = np.random.RandomState(split_number)
    split_of: dict[Item, str] = {}
    for members in _collect_members(items, groups).values():
        if len(members) >= len(names):
            rng.shuffle(members)  # type: ignore[arg-type]
            split_of |= _deal(members, probabilities, names)
    return split_of


def count_small_groups(items: Iterable[Item], groups: Iterable[object],
                       names: Sequence[str] = SPLITS) -> dict[str, int]:
    """Groups that `split_within_group` leaves out, as they have fewer items than there are splits, and their sizes."""
    return {group: len(those) for group, those in _collect_members(items, groups).items() if len(those) < len(names)}


def _collect_members(items: Iterable[Item], groups: Iterable[object]) -> dict[str, list[Item]]:
    """Items of each group, in first-seen order."""
    members: dict[str, list[Item]] = {}
    for item, group in _pair(items, groups).items():
        members.setdefault(group, []).append(item)
    return members


def _pair(items: Iterable[Item], groups: Iterable[object]) -> dict[Item, str]:
    """Item to its group; an item in two groups is refused."""
    items, groups = list(items), list(groups)
    if len(items) != len(groups):
        raise BadParameter(f"{len(items)} items but {len(groups)} groups; give one group an item.")
    pairs: dict[Item, str] = {}
    for item, group in zip(items, map(str, groups), strict=True):
        if pairs.setdefault(item, group) != group:
            raise BadParameter(f"item {item!r} is in two groups, {pairs[item]!r} and {group!r}.")
    return pairs


def _refuse_bad_shares(probabilities: Sequence[float], names: Sequence[str]) -> None:
    """Refuse what is no distribution over the names."""
    if len(probabilities) != len(names) or len(set(names)) != len(names):
        raise BadParameter(f"give one probability for each name: {probabilities!r} for {names!r}.")
    if min(probabilities, default=-1.0) < 0 or abs(sum(probabilities) - 1) > 1e-8:
        raise BadParameter(f"probabilities {probabilities!r} must be >= 0 and sum to 1.")


def _deal(shuffled: Sequence[Item], probabilities: Sequence[float], names: Sequence[str]) -> dict[Item, str]:
    """Give each split its share, from the first on; the last takes what is left."""
    # The running float sum is part of the definition: 0.7 + 0.1 is below 0.8.
    ends = [int(total * len(shuffled)) for total in itertools.accumulate(probabilities)][:-1]
    return {item: names[bisect.bisect_right(ends, place)] for place, item in enumerate(shuffled)}


def count_folds(clips: pd.DataFrame) -> int:
    """Count the folds of a clip table, 0 where it has none; `BadParameter` for folds that no test can be made of."""
    given = sorted(set(_read_column(clips, "fold")) - {""})
    if given and (len(given) < len(SPLITS) or sorted(map(str, range(len(given)))) != given):
        raise BadParameter(f"folds are numbered from 0 without a gap, and at least {len(SPLITS)}; got {given[:9]}. "
                           "Correct the column fold, or leave it empty in every row.")
    return len(given)


def divide_fold(clips: pd.DataFrame, fold: int, *, by_speaker: bool = True) -> dict[str, npt.NDArray[np.int64]]:
    """Divide a clip table for the test of one fold: row positions of each split, and of what is "left_out".

    The next fold (after the last, 0) validates; all other clips train of which neither speaker (False: where the label
    is the speaker) nor text is in those two, as far as these are known. What lacks for its text only is left out.
    """
    count = count_folds(clips)
    if not 0 <= fold < count:
        raise BadParameter(f"there is no fold {fold}: " + (f"give 0 to {count - 1}." if count else "no clip has one."))
    folds = _read_column(clips, "fold")
    parts = {"test": folds == str(fold), "validation": folds == str((fold + 1) % count)}
    heard = parts["test"] | parts["validation"]
    speakers, texts = (np.isin(values, list(set(values[heard]) - {""}))
                       for values in (_read_column(clips, name) for name in ("speaker", "text")))
    others = ~heard & ~speakers if by_speaker else ~heard
    parts |= {"train": others & ~texts, "left_out": others & texts}
    return {name: np.flatnonzero(those) for name, those in parts.items()}


def _read_column(clips: pd.DataFrame, name: str) -> npt.NDArray[np.object_]:
    """Text of a column, empty where it is not given."""
    return clips[name].fillna("").astype(str).to_numpy(object) if name in clips else np.full(len(clips), "", object)


def label_is_speaker(labels: Iterable[object], speakers: Iterable[object]) -> bool:
    """Whether each label has one speaker and each speaker one label, and there are several."""
    pairs = set(zip(labels, speakers, strict=True))
    return len({label for label, _ in pairs}) == len({speaker for _, speaker in pairs}) == len(pairs) > 1


def hash_data(clips: pd.DataFrame) -> str:
    """Hash which recordings a clip table holds, whatever their order, names, labels and splits: 16 hex digits."""
    return hash_split(clips, ("sha256",))


def hash_split(clips: pd.DataFrame, columns: Sequence[str] = ("sha256", "label", "speaker", "split")) -> str:
    """Hash ``(sha256, label, speaker, split)`` of clips, and folds and texts if any, in any order: 16 hex digits."""
    also = [name for name in FOLD_COLUMNS if "split" in columns and any(_read_column(clips, name))]
    values = [_read_column(clips[[name]], name).tolist() for name in (*columns, *also)]
    # JSON quotes its strings: no label with an odd character can imitate a border between fields.
    text = json.dumps(sorted(zip(*values, strict=True)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_split_file(clips: pd.DataFrame, path: Path) -> Path:
    """Write the split of a clip table as a ``.csv``."""
    if path.suffix.lower() != ".csv":
        raise BadParameter(f"a split is written as .csv; got {path.name}.")
    config.write_file(path, clips[_FILE_COLUMNS].sort_values("clip_id").to_csv(index=False))
    return path


def apply_split_file(clips: list[ClipFile], path: Path) -> tuple[list[ClipFile], list[str]]:
    """Give clips the splits of a file, and notes; clips that the file has not are in no split."""
    if not path.is_file():
        raise BadParameter(f"there is no file of splits {path}; one is written by: python -m nslib data card FOLDER "
                           "--save-splits FILE.csv")
    rows = _read_split_file(path)
    known = dict.fromkeys(clip.clip_id for clip in clips)
    if not rows.keys() & known:
        raise BadParameter(f"{path} is of other recordings: it has none of these {len(known)} clips, its first is "
                           f"{next(iter(rows), 'missing')!r}, theirs {next(iter(known), 'missing')!r}.")
    placed = []
    for clip in clips:
        number, row = rows.get(clip.clip_id, (0, {"split": ""}))
        for column, listed in (("label", clip.label), ("speaker", clip.speaker)):
            if row.get(column, listed) != listed:
                raise BadParameter(f"row {number} of {path.name} says that the {column} of {clip.clip_id!r} is "
                                   f"{row[column]!r}; the recordings say {listed!r}. Correct one of them, or remove "
                                   "the column from the file.")
        placed.append(replace(clip, split=row["split"]))
    gone, new = len(rows.keys() - known), len(known.keys() - rows)
    notes = [f"Splits are those of {path.name}."]
    notes += [f"{gone} clips of {path.name} are not among the recordings that can be read."] if gone else []
    notes += [f"{new} clips are not in {path.name}, and so in no split."] if new else []
    return placed, notes


def _read_split_file(path: Path) -> dict[str, tuple[int, dict[str, str]]]:
    """Number and fields of each clip's row, with the kit's name of its split."""
    table = read_list(path)
    for column in ("clip_id", "split"):
        if column not in table:
            raise UnknownName(f"column in {path.name}: it needs", column, map(str, table.columns))
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    for number, row in enumerate(table.astype(str).to_dict("records"), start=2):
        name, split = row["clip_id"], find_split(row["split"])
        if row["split"].strip() and not split:
            raise UnknownName(f"split in row {number} of {path.name}", row["split"], SPLIT_NAMES)
        if name in rows:
            raise BadParameter(f"rows {rows[name][0]} and {number} of {path.name} are both of {name!r}; remove one.")
        rows[name] = number, {**row, "split": split}
    return rows
