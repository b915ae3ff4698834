"""The audit of any split, and the data card of somebody's own recordings: what can make a score on them wrong.

An audit reads tables: equal ``sha256`` means equal decoded audio; an empty speaker or split means "not known". To
audio it listens only if asked to, for copies of one recording in other formats, at other rates or levels. In a card,
what only people know is left to be filled in, and says so. What a card should answer: Pushkarna, Zaldivar and
Kjartansson, *Data Cards*, FAccT 2022.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import audio, config
from nslib.datasets import splits as divisions
from nslib.datasets.clip_cache import DECODE_ERRORS, Ledger
from nslib.datasets.layouts import list_names
from nslib.datasets.loading import load_own_task
from nslib.datasets.splits import SPLITS
from nslib.datasets.table import Dataset
from nslib.errors import BadParameter
from nslib.statistics.scores import parse_number

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Audit", "audit_clips", "make_data_card"]

_NEEDED = ("clip_id", "sha256", "seconds", "label", "speaker", "split")
_SAID = ("sample_rate", "audio", "recording")  # what is looked at too, if it is there
_PART = re.compile(r"(fold|part|set|split|session|disc|cd)[ _-]?\d+")  # names of parts, not of classes
_POINTS, _BY_SECOND = 64, 5.0  # of an outline; what a difference of length counts among them
# between outlines, up to which a codec is likely; correlation of waves: other takes have 0.7, copies in MP3 of low
# quality 0.89
_FAR, _SAME = 0.7, 0.8
_FEW = 20  # clips, from which on equal lengths are no chance
_MOST_CLASSES, _REPEATED = 20, 3  # of whole numbers as labels, and clips of each: more, or fewer, are quantities
_DOMINANT = 0.9  # share of a class's clips from which one speaker counts as *being* the class


@dataclass(frozen=True)
class Audit:
    """What an audit says of a clip table."""

    table: pd.DataFrame  # a row a split: clips, minutes, speakers, classes, clips of its smallest and largest class
    classes: pd.DataFrame  # clips of each label (rows) in each split (columns), and `speakers` of the label
    shared_speakers: pd.DataFrame  # a row a speaker who is in more than one split: clips in each
    duplicates: pd.DataFrame  # sha256, clip_id, label, speaker, split of clips whose audio comes more than once
    problems: tuple[str, ...]  # sentences on what can make a score wrong; empty if there is nothing
    notes: tuple[str, ...]  # sentences on what is as it should be, but must be known to read the numbers


def describe_numbers(labels: pd.Series) -> str:
    """Describe labels that are numbers rather than names of classes; empty if they are not."""
    found = np.array([parse_number(text) for text in labels.unique()])
    # few whole numbers can be names of classes, such as spoken digits
    if not np.isfinite(found).all() or (len(found) <= _MOST_CLASSES and (found == np.round(found)).all()):
        return ""
    return f"{len(found)} different numbers, {found.min():g} to {found.max():g}"


def are_numbers(labels: pd.Series) -> bool:
    """Whether labels are taken for numbers to be predicted: most of many different ones come once or twice."""
    labels = labels[labels != ""]
    return bool(describe_numbers(labels) and labels.value_counts().median() < _REPEATED)


def audit_clips(clips: pd.DataFrame, *, numbers: bool | None = None, listen: bool = False) -> Audit:
    """Look for what makes a split unsound: leaks between splits, missing and confounded classes.

    Where every label has one speaker and every speaker one label (speaker identification), speakers must be shared
    between splits: that is then a note, not a problem. Of labels that are ``numbers`` to be predicted (None: if they
    look like it) nothing is asked that is asked of classes. With ``listen`` the files in the column ``audio`` are
    compared too, so that copies with other samples are found. `BadParameter` if ``clip_id``, ``sha256``, ``seconds``,
    ``label``, ``speaker`` or ``split`` is missing.
    """
    missing = [name for name in _NEEDED if name not in clips.columns]
    if missing:
        raise BadParameter(f"the clip table lacks {', '.join(missing)}; it needs {', '.join(_NEEDED)}.")
    folds = divisions.count_folds(clips)
    also = [name for name in _SAID if name in clips.columns]
    clips = clips.reindex(columns=[*_NEEDED, *also, *{"recording"}.difference(also)]).reset_index(drop=True)
    clips = clips.fillna(dict.fromkeys(("label", "speaker", "split", "recording"), ""))
    everything, clips = clips, clips[clips["label"] != ""] if clips["label"].ne("").any() else clips
    known = clips[clips["speaker"] != ""]
    nameless, doubles = len(clips) - len(known), _list_duplicates(clips)
    notes = [f"The speaker of {_count(nameless, 'clip', 'clips')} is not known."] if nameless else []
    if numbers := are_numbers(clips["label"]) if numbers is None else numbers:
        what = describe_numbers(clips["label"]) or "numbers"
        notes.append(f"The labels are {what}, taken as numbers to be predicted (metric ccc or mae).")
        clips, known = clips.assign(label="(numbers)"), known.assign(label="(numbers)")
    classes, shared = _count_classes(clips, known), _list_shared_speakers(known)
    problems = _size_problems(clips, folds) + _duplicate_problems(doubles)
    problems += _copy_problems(clips, listen) + _silence_problems(clips)
    if not numbers:
        problems += _class_problems(classes) + _name_problems(clips["label"]) + _telltale_problems(clips)
    if odd := int(everything.drop(clips.index)["split"].ne("").sum()):
        problems.append(f"{_count(odd, 'clip has', 'clips have')} a split and no label.")
    if len(clips) >= _FEW and clips["seconds"].nunique() == 1:
        notes.append(f"All clips are {clips['seconds'].iloc[0]:.3f} s long: they were cut or filled up to that, "
                     "perhaps in the middle of a word, or with silence.")
    if folds:
        notes.append(f"Every clip is tested once, in {folds} folds; the splits are those of the first.")
    if divisions.label_is_speaker(known["label"], known["speaker"]):
        notes.append("The label is the speaker, so every speaker is meant to be in every split.")
    else:
        if len(shared):
            count = _count(len(shared), "speaker is", "speakers are")
            problems.append(f"{count} in more than one split: {list_names(shared.index.tolist())}.")
        problems += [] if numbers else _confound_problems(known)
    return Audit(_measure_splits(clips, known), classes, shared, doubles, tuple(problems), tuple(notes))


def _split_order(clips: pd.DataFrame) -> list[str]:
    """The kit's splits, then any others."""
    return [*SPLITS, *sorted(set(clips["split"]) - set(SPLITS))]


def _measure_splits(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Clips, minutes, speakers and classes of each split."""
    counts = clips[clips["label"] != ""].groupby(["split", "label"]).size().groupby("split")
    table = clips.groupby("split").agg(clips=("clip_id", "size"), minutes=("seconds", "sum"))
    table["minutes"] /= 60
    table["speakers"] = known.groupby("split")["speaker"].nunique()
    table["classes"] = counts.size()
    table["smallest_class"], table["largest_class"] = counts.min(), counts.max()
    table = table.reindex(_split_order(clips)).fillna(0)
    return table.astype({name: int for name in table.columns if name != "minutes"}).rename_axis("split")


def _count_classes(clips: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Clips of each label in each split, and its speakers."""
    counts = clips.groupby(["label", "split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=_split_order(clips), fill_value=0).rename_axis(columns=None)
    speakers = known.groupby("label")["speaker"].nunique()
    return counts.assign(speakers=speakers.reindex(counts.index, fill_value=0).astype(int))


def _list_shared_speakers(known: pd.DataFrame) -> pd.DataFrame:
    """Speakers of several splits, with their clips in each."""
    placed = known[known["split"] != ""]
    counts = placed.groupby(["speaker", "split"]).size().unstack(fill_value=0).rename_axis(columns=None)
    counts = counts.reindex(columns=_split_order(placed), fill_value=0)
    return counts[(counts > 0).sum(axis=1) > 1]


def _list_duplicates(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips whose audio comes more than once."""
    hashed = clips[clips["sha256"].notna() & (clips["sha256"] != "")]
    doubles = hashed[hashed["sha256"].duplicated(keep=False)]
    columns = ["sha256", "clip_id", "label", "speaker", "split"]
    return doubles[columns].sort_values(columns[:2], ignore_index=True)


def _size_problems(clips: pd.DataFrame, folds: int) -> list[str]:
    """Sentences on empty and unknown splits, lengths and names."""
    counts = clips["split"].value_counts()
    problems = [f"The {name} split has no clips." for name in SPLITS if not counts.get(name)]
    if not folds and (unplaced := int(counts.get("", 0))):
        problems.append(f"{_count(unplaced, 'clip is', 'clips are')} in no split.")
    if odd := sorted(set(counts.index) - {*SPLITS, ""}):
        problems.append(f"Splits that nothing reads (the names are {', '.join(SPLITS)}): {list_names(odd)}.")
    if bad := int((~(clips["seconds"] > 0)).sum()):
        problems.append(f"{_count(bad, 'clip has', 'clips have')} no positive length.")
    if repeated := int(clips["clip_id"].duplicated().sum()):
        problems.append(f"{_count(repeated, 'clip has', 'clips have')} the clip_id of another clip.")
    return problems


_ABSENT = {"train": "cannot be learnt", "validation": "does not count when the classifier is chosen",
           "test": "is not scored"}


def _class_problems(classes: pd.DataFrame) -> list[str]:
    """Sentences on classes that a split lacks."""
    number = _count(len(classes), "class", "classes") if any(classes.index) else "no labels"
    problems = [f"There is nothing to tell apart: {number}."] if len(classes) < 2 else []
    for name in (n for n in SPLITS if classes[n].any()):
        if absent := classes.index[classes[name] == 0].tolist():
            count = _count(len(absent), "class is", "classes are")
            problems.append(f"{count} absent from {name} and so {_ABSENT[name]}: {list_names(absent)}.")
    return problems


def _duplicate_problems(doubles: pd.DataFrame) -> list[str]:
    """Sentences on audio that comes more than once."""
    splits_of = doubles[doubles["split"] != ""].groupby("sha256")["split"].nunique()
    leaked = splits_of.index[splits_of > 1]
    problems = []
    if len(leaked):
        names = doubles.loc[doubles["sha256"].isin(leaked), "clip_id"].tolist()
        count = _count(len(leaked), "recording is", "recordings are")
        problems.append(f"{count} in more than one split: {list_names(names)}.")
    if again := doubles.loc[doubles.duplicated(["sha256", "split"]), "clip_id"].tolist():
        count = _count(len(again), "clip has", "clips have")
        problems.append(f"{count} the same audio as another clip of the same split: {list_names(again)}.")
    if torn := int((doubles.groupby("sha256")["label"].nunique() > 1).sum()):
        problems.append(f"{_count(torn, 'recording has', 'recordings have')} more than one label.")
    return problems


def _name_problems(given: pd.Series) -> list[str]:
    """Sentences on classes whose names are not those of classes."""
    labels, numbers = sorted(given.unique()), describe_numbers(given)
    parts = [label for label in labels if divisions.find_split(label) or _PART.fullmatch(label.lower())]
    spelt: dict[str, list[str]] = {}
    for label in labels:
        spelt.setdefault(re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", label).casefold()), []).append(label)
    alike = [" = ".join(those) for key, those in spelt.items() if len(those) > 1 and key]
    return [sentence for sentence, applies in (
        (f"{_count(len(parts), 'class is', 'classes are')} called as splits or parts are: {list_names(parts)}.", parts),
        (f"{_count(len(alike), 'class is', 'classes are')} there in several spellings: {list_names(alike)}.", alike),
        (f"The labels are {numbers}, each a class here: if they are measurements, ask for metric ccc or mae.",
         numbers)) if applies]


def _telltale_problems(clips: pd.DataFrame) -> list[str]:
    """Sentences on classes that have a length, a rate or a folder nearly to themselves."""
    facts = {"length": clips["seconds"].round(3).astype(str) + " s"}
    if "sample_rate" in clips:
        facts["sample rate"] = clips["sample_rate"].astype(str) + " Hz"
    if "audio" in clips:
        folders = clips["audio"].map(os.path.dirname)
        named = [label in folder.split("/") for label, folder in zip(clips["label"], folders, strict=True)]
        facts["folder"] = folders.where(~np.array(named, bool), "")  # of their own name they have to be
    problems = []
    for what, values in facts.items():
        counts = clips.assign(value=values)[values != ""].groupby(["label", "value"]).size().rename("n").reset_index()
        own, of_value = (counts.groupby(column)["n"].transform("sum") for column in ("label", "value"))
        others = (of_value - counts["n"]) / (len(clips) - own).clip(lower=1)
        told = counts[(counts["n"] > 2) & (counts["n"] >= _DOMINANT * own) & (others <= 1 - _DOMINANT)]
        if len(told) and clips["label"].nunique() > 1:
            those = [f"{row.label} ({os.path.basename(row.value)})" for row in told.itertuples()]
            problems.append(f"{_count(len(those), 'class', 'classes')} can be told by the {what} of the files: "
                            f"{list_names(those)}.")
    return problems


def _silence_problems(clips: pd.DataFrame) -> list[str]:
    """A sentence on classes that are silent for the most part, which the hashes of so many zeros tell."""
    lengths = np.rint(clips["seconds"].clip(0, audio.MAX_SECONDS).fillna(0) * audio.SAMPLE_RATE).unique()
    zeros, hashes = hashlib.sha256(), set()
    for more in np.diff(np.sort(lengths), prepend=0):
        zeros.update(bytes(4 * int(more)))
        hashes.add(zeros.copy().hexdigest())
    share = clips["sha256"].isin(hashes).groupby(clips["label"].replace("", "(no label)")).mean()
    most = share.index[share > 0.5].tolist()
    return [f"Most clips of these labels are digital silence: {list_names(most)}."] if most else []


def _copy_problems(clips: pd.DataFrame, listen: bool) -> list[str]:
    """Sentences on recordings that are there in several forms: parts that overlap, and copies that sound alike."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group = clips["recording"].where(clips["recording"] != "", clips["sha256"])
    if twins := _find_twins(clips) if listen and "audio" in clips else []:
        heard = clips["sha256"].isin(np.ravel(twins))
        ends = [*twins, *zip(group[heard], clips["sha256"][heard], strict=True)]
        nodes, at = np.unique(ends, return_inverse=True)
        parts = connected_components(coo_array((np.ones(len(ends)), at.reshape(-1, 2).T), shape=(len(nodes),) * 2))[1]
        group = group.map(dict(zip(nodes, nodes[parts], strict=True))).fillna(group)
    several = clips.replace({"split": {"": None}}).groupby(group)[["label", "split", "sha256"]].nunique() > 1
    problems = []
    for column, where in (("label", "under more than one label"), ("split", "in more than one split"),
                          ("sha256", "there more than once")):
        found = several["sha256"] & (several[column] if column != "sha256" else ~several["label"] & ~several["split"])
        names = [" = ".join(some.drop_duplicates(column)["clip_id"][:2]) for _, some in
                 clips[group.isin(found.index[found])].groupby(group)]
        problems += [f"{_count(len(names), 'recording is', 'recordings are')} {where}, in copies that sound alike "
                     f"though their samples differ or in parts that overlap: {list_names(names)}."] if names else []
    return problems


def _find_twins(clips: pd.DataFrame) -> list[tuple[str, str]]:
    """Hashes of clips that sound alike though they differ, of each and the one whose outline is most like its own."""
    from scipy.signal import correlate
    from sklearn.neighbors import NearestNeighbors

    clips = clips[clips["sha256"].fillna("") != ""].drop_duplicates("sha256")
    if len(clips) < 2:
        return []
    ledger = Ledger(config.cache_dir("corpora") / "outlines.jsonl")  # a sound is known by its hash
    known = dict(ledger.read(lambda line: (line[0], np.frombuffer(
        bytes.fromhex(line[1]), np.float16).reshape(2 * _POINTS - 2))))
    new = clips[~clips["sha256"].isin(known)]
    with ThreadPoolExecutor() as pool:
        for name, heard in zip(new["sha256"], pool.map(lambda path: _hear_low(path)[1], new["audio"]), strict=True):
            known[name] = heard.astype(np.float16)
            if heard.any():  # else it may not have been read
                ledger.append([name, known[name].tobytes().hex()])
    points = np.column_stack([[known[name] for name in clips["sha256"]], _BY_SECOND * clips["seconds"]])
    distances, nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors()
    twins, near = [], np.flatnonzero(distances[:, 0] < _FAR)
    for i, j in sorted({(min(pair), max(pair)) for pair in zip(near, nearest[near, 0], strict=True)}):
        x, y = (_hear_low(path)[0] for path in clips["audio"].iloc[[i, j]])
        if np.abs(correlate(x, y, method="fft")).max(initial=0) > _SAME * np.linalg.norm(x) * np.linalg.norm(y):
            twins.append((clips["sha256"].iloc[i], clips["sha256"].iloc[j]))
    return twins


def _hear_low(path: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """A clip below 2 kHz, which codecs and lower rates leave, and how its loudness and brightness change, of norm 1."""
    try:
        wave = audio.read(path).wave
    except DECODE_ERRORS:
        wave = np.zeros(0, np.float32)
    low = wave[:len(wave) // 4 * 4].reshape(-1, 4) @ np.full(4, 0.25, np.float32)
    if len(low) <= 2 * _POINTS:
        return low, np.zeros(2 * _POINTS - 2)
    low -= low.mean()
    starts = np.linspace(0, len(low) - 1, _POINTS, endpoint=False).astype(int)
    power, slope = (np.add.reduceat(values * values, starts) for values in (low[1:], np.diff(low)))
    floor = power.max() / 100 + np.finfo(np.float32).tiny
    changes = np.diff(np.log([power + floor, (slope + floor) / (power + floor)]))
    return low, np.ravel(changes / np.linalg.norm(changes, axis=1, keepdims=True).clip(1e-9) / np.sqrt(2))


def _confound_problems(known: pd.DataFrame) -> list[str]:
    """A sentence on classes that are nearly one speaker."""
    counts = known.groupby(["label", "speaker"]).size().groupby("label")
    dominated = [label for label, share in (counts.max() / counts.sum()).items() if share >= _DOMINANT]
    count = _count(len(dominated), "class has", "classes have")
    return [f"{count} at least {_DOMINANT:.0%} of the clips from one speaker, who may be recognised "
            f"instead of the class: {list_names(dominated)}."] if dominated and known["speaker"].nunique() > 1 else []


def _count(n: int, one: str, many: str) -> str:
    """A number with its noun."""
    return f"{n} {one if n == 1 else many}"


_BY_HAND = {
    "Purpose": "What were they recorded for, and what may be asked of them?",
    "People": "Who speaks, how were they found, and what did they agree to?",
    "Recording": "Rooms, microphones, codecs. Do they differ between the classes? Then a probe may hear the room.",
    "Labels": "Who gave them, by what rule, and how often do two people agree?",
    "Licence": "Who may have the recordings, and what for?"}
_MOST_ROWS = 20  # of a table in the card


@dataclass(frozen=True)
class DataCard:
    """Facts on recordings: their clips, problems and notes, and the audit of the split."""

    name: str
    corpus: Dataset
    audit: Audit

    def save_splits(self, path: str | Path) -> Path:
        """Write the split to a ``.csv``, so that it can be given again (``splits=``) and to others."""
        return divisions.write_split_file(self.corpus.clips, Path(path))

    def markdown(self) -> str:
        """The card as Markdown."""
        clips, excluded = self.corpus.clips, self.corpus.problems
        if are_numbers(clips["label"]):
            clips = clips.assign(label=clips["label"].where(clips["label"] == "", "(numbers)"))
        reasons = (_format_table(excluded.set_index("clip_id")[["reason", "remedy"]], len(excluded)) if len(excluded)
                   else "No file.")
        parts = [f"# {self.name}", _summarise(clips, len(excluded)), "## To be filled in by those who know",
                 "\n".join(f"- **{what}**: {question}" for what, question in _BY_HAND.items()),
                 "## What can make a score wrong",
                 "\n".join(f"- {line}" for line in self.audit.problems) or "Nothing was found in the tables.",
                 "## What must be known to read the numbers",
                 "\n".join(f"- {line}" for line in (*self.audit.notes, *self.corpus.notes)) or "Nothing.",
                 "## Splits", _format_table(self.audit.table), "## Classes", _format_table(self.audit.classes),
                 "## Sound", _format_table(_measure_sound(clips)), "## Left out", reasons, "## Identity",
                 f"- data {divisions.hash_data(clips)}\n- split {divisions.hash_split(clips)}"]
        return "\n\n".join(parts) + "\n"

    __str__ = markdown


def make_data_card(source: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
                   progress: bool = True) -> DataCard:
    """Make the card of somebody's own recordings; arguments and errors are those of `folder.read_recordings`."""
    task, dataset = load_own_task(source, seed=seed, splits=splits, progress=progress)
    if are_numbers(dataset.clips["label"]):  # a split of numbers need not hold each
        task, dataset = load_own_task(source, seed=seed, splits=splits, numbers=True, progress=progress)
    return DataCard(task.name, dataset, audit_clips(dataset.clips, listen=True))


def _summarise(clips: pd.DataFrame, problems: int) -> str:
    """The card's first paragraph."""
    speakers = clips.loc[clips["speaker"] != "", "speaker"].nunique()
    unknown = int((clips["speaker"] == "").sum())
    who = f"{speakers} speakers" + (f" ({unknown} clips of unknown ones)" if unknown else "")
    rest = f" {unused} clips are in no split." if (unused := int((~clips["split"].isin(SPLITS)).sum())) else ""
    rest += f" {problems} more were left out." if problems else ""
    labels = clips.loc[clips["label"] != "", "label"].unique()
    what = "numbers as labels" if "(numbers)" in labels else f"{len(labels)} classes" if len(labels) else "no labels"
    return f"{len(clips)} clips, {clips['seconds'].sum() / 3600:.2f} hours, {what}, {who}.{rest}"


def _measure_sound(clips: pd.DataFrame) -> pd.DataFrame:
    """Length and rate, class by class: where they differ, a probe may hear them instead of the voice."""
    by = clips.assign(label=clips["label"].replace("", "(no label)")).groupby("label")
    table = by["seconds"].describe(percentiles=[0.5])[["min", "50%", "max"]].round(2)
    table.columns = ["shortest (s)", "median (s)", "longest (s)"]
    rates = by["sample_rate"].agg(lambda rates: " ".join(str(rate) for rate in sorted(set(rates))))
    return table.assign(**{"rates of the files (Hz)": rates})


def _format_table(table: pd.DataFrame, most: int = _MOST_ROWS) -> str:
    """A table in Markdown, its index first; a long one is cut, which is said."""
    head = [table.index.name or "", *map(str, table.columns)]
    shown = table[:most]
    rows = [[str(key), *(f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
                         for value in row)] for key, row in zip(shown.index, shown.to_numpy(), strict=True)]
    lines = ["| " + " | ".join(" ".join(word.replace("|", "\\|").split()) for word in row) + " |"
             for row in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    more = f"\n\n{len(table) - most} more rows." if len(table) > most else ""
    return "\n".join(lines) + more
