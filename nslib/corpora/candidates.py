"""Candidate clips of the quick profile, and the rules that are the same for every task."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nslib import audio, packages
from nslib.datasets import clip_cache, debian
from nslib.datasets.splits import split_by_group
from nslib.errors import BadAudio


@dataclass(frozen=True)
class Found:
    """A candidate clip, before it is decoded (`sha256` empty) and after."""

    package: str
    member: str
    file_sha256: str = ""
    sha256: str = ""
    seconds: float = 0.0
    sample_rate: int = 0
    label: str = ""
    speaker: str = ""
    split: str = ""
    clip_id: str = ""


Chooser = Callable[[str, str], Found | None]


def decode(names: Iterable[str], choose: Chooser, seconds: tuple[float, float]) -> list[Found]:
    """Decode what a chooser picks from packages.

    Parameters
    ----------
    names : iterable of str
        Packages.
    choose : callable
        Package and member to a candidate, or None.
    seconds : (float, float)
        Shortest and longest clip.

    Returns
    -------
    list of Found
        Sorted by clip_id.
    """
    found: list[Found] = []
    for name, path in packages.debian(names).items():
        chosen = {member: row for member in debian.list_files(path) if (row := choose(name, member))}
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(_measure, chosen[m], data) for m, data in debian.read_files(path, chosen)]
        found += [row for job in jobs if (row := job.result())]
    kept = [row for row in found if seconds[0] <= row.seconds <= seconds[1]]
    say(f"  {len(found) - len(kept)} of {len(found)} left out: not {seconds[0]} to {seconds[1]} s")
    return sorted(kept, key=lambda row: row.clip_id)


def _measure(row: Found, data: bytes) -> Found | None:
    digest = hashlib.sha256(data).hexdigest()
    try:
        clip = debian.decode_audio(data, PurePosixPath(row.member).suffix)
    except BadAudio as error:
        say(f"  {row.clip_id} left out: {error.reason}")
        return None
    with tempfile.TemporaryDirectory(prefix="nslib-") as folder:
        served = clip_cache.write_clip(Path(folder) / "clip.wav", clip.wave)
    return replace(row, file_sha256=digest, sha256=audio.sha256(served.wave),
                   seconds=round(served.seconds, 4), sample_rate=clip.source_rate)


def distinct(rows: list[Found]) -> list[Found]:
    """Leave out recordings with several labels or speakers, and repeats.

    Parameters
    ----------
    rows : list of Found

    Returns
    -------
    list of Found
    """
    named = group(rows, lambda row: row.sha256, lambda row: (row.label, row.speaker))
    clear = [row for row in rows if len(named[row.sha256]) == 1]
    first = {row.sha256: row for row in reversed(clear)}
    kept = [row for row in clear if first[row.sha256] is row]
    say(f"  {len(rows) - len(clear)} left out: one recording under several labels or speakers")
    say(f"  {len(clear) - len(kept)} left out: the same recording again")
    return kept


def group(rows: list[Found], key: Callable[[Found], str],
           value: Callable[[Found], object]) -> dict[str, set[object]]:
    """Collect the values that come with each key.

    Parameters
    ----------
    rows : list of Found
    key, value : callable

    Returns
    -------
    dict of str to set
    """
    groups: dict[str, set[object]] = defaultdict(set)
    for row in rows:
        groups[key(row)].add(value(row))
    return groups


def shares(groups: list[str], shares: tuple[float, float, float]) -> dict[str, str]:
    """Draw groups into train, validation and test with the authors' algorithm.

    Parameters
    ----------
    groups : list of str
        May repeat.
    shares : (float, float, float)

    Returns
    -------
    dict of str to str
        Group to split.
    """
    return split_by_group(sorted(set(groups)), sorted(set(groups)), shares)


def capped(rows: list[Found], caps: dict[str, int]) -> list[Found]:
    """Keep up to the cap of each label in each split, in turn from each of its sources.

    Parameters
    ----------
    rows : list of Found
    caps : dict of str to int
        Split to number of clips.

    Returns
    -------
    list of Found
        Sorted by clip_id.
    """
    turn: Counter[tuple[str, str, str]] = Counter()
    ordered = []
    for row in sorted(rows, key=lambda row: hashlib.sha256(row.clip_id.encode()).hexdigest()):
        source = (row.split, row.label, row.clip_id.split("/")[1])
        ordered.append((turn[source], row))
        turn[source] += 1
    taken: Counter[tuple[str, str]] = Counter()
    kept = []
    for _, row in sorted(ordered, key=lambda pair: pair[0]):
        if taken[row.split, row.label] < caps[row.split]:
            taken[row.split, row.label] += 1
            kept.append(row)
    say(f"  {len(rows) - len(kept)} left out: over the cap")
    return sorted(kept, key=lambda row: row.clip_id)


def write(path: Path, rows: list[Found]) -> None:
    """Write a manifest, with the licence of each clip's package.

    Parameters
    ----------
    path : Path
    rows : list of Found
    """
    import pandas as pd

    from nslib import config

    sources = pd.read_csv(config.data_dir() / "sources.csv", keep_default_na=False)
    licences = dict(zip(sources["package"], sources["licence"], strict=True))
    table = pd.DataFrame([{**vars(row), "licence": licences[row.package]} for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    table[list(debian.MANIFEST_COLUMNS)].to_csv(path, index=False, lineterminator="\n")


def say(text: str) -> None:
    """Report a rule's casualties.

    Parameters
    ----------
    text : str
    """
    print(text, file=sys.stderr)
