"""Recorded speech to train on, disjoint by package and by speaker from every task of the quick profile.

Reference: Shor et al. 2020 train on the clips of AudioSet that are labelled speech (about 2,800
hours). Here: what Debian packages hold besides the tasks' audio, a few hundred times less.

==============================  ===========================================  ======================
package                         what                                         who
==============================  ===========================================  ======================
``flight-of-the-amazon-queen``  dialogue of a game, English, 11 kHz MP3      its cast
``beneath-a-steel-sky``         dialogue of a game, English, 11 kHz, 8 bit   its cast
``tuxpaint-stamps-default``     names of pictures, twelve languages          volunteers, by language
``festvox-ru``                  read sentences, Russian, 16 kHz              one man
==============================  ===========================================  ======================

Rules of the manifest (``python -m nslib.train.corpus`` makes it; users never run that)
---------------------------------------------------------------------------------------
Clips of `SECONDS`; each recording once; `HELD_OUT` of the scenes, pictures and sentences of every
package are the validation part, by which training is stopped. ``speaker`` is a proxy: the leading
actor of a game or one of its scenes, a language's volunteers. ``label`` is the package's language or game.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nslib.corpora import containers, debian, manifests, table
from nslib.corpora.candidates import Found, decode, distinct, say, write
from nslib.splits import by_group

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "train-speech"
PACKAGES = ("beneath-a-steel-sky", "festvox-ru", "flight-of-the-amazon-queen", "tuxpaint-stamps-default")
SECONDS = (0.5, 30.0)
HELD_OUT = 0.05

_TUXPAINT = re.compile(r"share/tuxpaint/stamps/(.+?)_desc(?:_([a-z]{2}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_FESTVOX = re.compile(r"share/festival/voices/russian/.+/wav/(\w+)\.wav$")
_SCENE_OF_LINES = 20


def load(*, progress: bool = True) -> table.Corpus:
    """Have the training audio on disk, as 16 kHz mono WAV files (about 1.2 GB, once).

    Parameters
    ----------
    progress : bool

    Returns
    -------
    Corpus
        ``split`` is train or validation.

    Raises
    ------
    Unavailable
        If a package cannot be had; what was prepared before stays.
    """
    return debian.load("train", manifest(), progress=progress)


def manifest() -> pd.DataFrame:
    """Read the committed list of clips.

    Returns
    -------
    DataFrame
        With the columns of `nslib.corpora.manifests.MANIFEST`.
    """
    return manifests.read_manifest(manifests.manifest_path(MANIFEST))


def build() -> list[Found]:
    """Choose the clips.

    Returns
    -------
    list of Found
        Sorted by clip_id.
    """
    found = distinct(decode(PACKAGES, choose, SECONDS))
    scenes = sorted({_scene(row) for row in found})
    part = by_group(scenes, scenes, (1 - HELD_OUT, HELD_OUT), ("train", "validation"))
    return [replace(row, split=part[_scene(row)]) for row in found]


def choose(package: str, member: str) -> Found | None:
    """Tell from its name whether a file is speech, and whose.

    Parameters
    ----------
    package, member : str

    Returns
    -------
    Found or None
    """
    named = _NAMERS[package](member)
    if named is None:
        return None
    speaker, label, stem = named
    return Found(package, member, clip_id=f"train/{speaker}/{stem}", label=label, speaker=speaker)


def _queen(member: str) -> tuple[str, str, str] | None:
    stem = _inner(member, containers.QUEEN, ".SB.mp3")
    if not stem or "SS" in stem:  # sounds of a scene
        return None
    scene = stem[:3] if stem[0] == "C" else stem[:2]
    joe = stem.startswith("JOE") or bool(re.search(r"J\w$", stem))
    return ("queen-joe" if joe else f"queen-{scene}"), "queen", stem


def _sky(member: str) -> tuple[str, str, str] | None:
    stem = _inner(member, containers.SKY, ".wav")
    return (f"sky-{int(stem) // _SCENE_OF_LINES}", "sky", stem) if stem else None


def _inner(member: str, outer: str, suffix: str) -> str:
    inside = member.removeprefix(outer + containers.MARK)
    return inside.removesuffix(suffix) if inside != member and inside.endswith(suffix) else ""


def _tuxpaint(member: str) -> tuple[str, str, str] | None:
    match = _TUXPAINT.search(member)
    if not match:
        return None
    language = match[2] or "en"
    return f"tuxpaint-{language}", language, match[1]


def _festvox(member: str) -> tuple[str, str, str] | None:
    match = _FESTVOX.search(member)
    return ("festvox-ru", "ru", match[1]) if match else None


_NAMERS = dict(zip(PACKAGES, (_sky, _festvox, _queen, _tuxpaint), strict=True))


def _scene(row: Found) -> str:
    """Name what is held out as a whole: a scene, or a picture in all its languages."""
    _, speaker, stem = row.clip_id.split("/", 2)
    if row.package.startswith("tuxpaint"):
        return f"tuxpaint {PurePosixPath(stem).name}"
    return f"{row.package} {stem}" if speaker in ("queen-joe", "festvox-ru") else speaker


def main() -> None:
    """Write the manifest."""
    rows = build()
    write(manifests.manifest_path(MANIFEST), rows)
    for package in PACKAGES:
        mine = [row for row in rows if row.package == package]
        say(f"{package}: {len(mine)} clips, {sum(r.seconds for r in mine) / 3600:.2f} h, "
            f"{len({r.speaker for r in mine})} speaker names")


if __name__ == "__main__":
    main()
