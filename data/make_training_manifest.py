"""Make ``data/manifests/train-speech.csv``, the list of clips that training hears. Users never run it.

Rules: clips of `SECONDS`; each recording once; `HELD_OUT` of the scenes, pictures and sentences of every package are
the validation part, by which training is stopped. ``speaker`` is a proxy: the leading actor of a game or one of its
scenes, a language's volunteers. ``label`` is the package's language or game.

Usage: ``python data/make_training_manifest.py``
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath

from nslib.corpora.candidates import Found, decode, distinct, say, write
from nslib.datasets import debian
from nslib.datasets.splits import split_by_group
from nslib.training.data import MANIFEST, PACKAGES, PARTS

SECONDS = (0.5, 30.0)
HELD_OUT = 0.05

_TUXPAINT = re.compile(r"share/tuxpaint/stamps/(.+?)_desc(?:_([a-z]{2}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_FESTVOX = re.compile(r"share/festival/voices/russian/.+/wav/(\w+)\.wav$")
_SCENE_OF_LINES = 20
_LEAD = "queen-joe"


def choose(package: str, member: str) -> Found | None:
    """Tell from its name whether a file is speech, and whose."""
    named = _NAMERS[package](member)
    if named is None:
        return None
    speaker, label, stem = named
    return Found(package, member, clip_id=f"train/{speaker}/{stem}", label=label, speaker=speaker)


def _name_queen(member: str) -> tuple[str, str, str] | None:
    stem = _inner_name(member, debian.QUEEN, ".SB.mp3")
    if not stem or "SS" in stem:  # sounds of a scene
        return None
    scene = stem[:3] if stem[0] == "C" else stem[:2]
    joe = stem.startswith("JOE") or bool(re.search(r"J\w$", stem))
    return (_LEAD if joe else f"queen-{scene}"), "queen", stem


def _name_sky(member: str) -> tuple[str, str, str] | None:
    stem = _inner_name(member, debian.SKY, ".wav")
    return (f"sky-{int(stem) // _SCENE_OF_LINES}", "sky", stem) if stem else None


def _inner_name(member: str, outer: str, suffix: str) -> str:
    inside = member.removeprefix(outer + debian.INNER_MARK)
    return inside.removesuffix(suffix) if inside != member and inside.endswith(suffix) else ""


def _name_tuxpaint(member: str) -> tuple[str, str, str] | None:
    match = _TUXPAINT.search(member)
    if not match:
        return None
    language = match[2] or "en"
    return f"tuxpaint-{language}", language, match[1]


def _name_festvox(member: str) -> tuple[str, str, str] | None:
    match = _FESTVOX.search(member)
    return ("festvox-ru", "ru", match[1]) if match else None


_NAMERS = dict(zip(PACKAGES, (_name_sky, _name_festvox, _name_queen, _name_tuxpaint), strict=True))


def _scene(row: Found) -> str:
    """Name what is held out as a whole: a scene, or a picture in all its languages."""
    _, speaker, stem = row.clip_id.split("/", 2)
    if row.package.startswith("tuxpaint"):
        return f"tuxpaint {PurePosixPath(stem).name}"
    return f"{row.package} {stem}" if speaker in (_LEAD, "festvox-ru") else speaker


def main() -> None:
    """Choose the clips and write the manifest."""
    clips = distinct(decode(PACKAGES, choose, SECONDS))
    scenes = sorted({_scene(row) for row in clips})
    part_of = split_by_group(scenes, scenes, (1 - HELD_OUT, HELD_OUT), PARTS)
    rows = [replace(row, split=part_of[_scene(row)]) for row in clips]
    write(debian.manifest_path(MANIFEST), rows)
    for package in PACKAGES:
        mine = [row for row in rows if row.package == package]
        say(f"{package}: {len(mine)} clips, {sum(r.seconds for r in mine) / 3600:.2f} h, "
            f"{len({r.speaker for r in mine})} speaker names")


if __name__ == "__main__":
    main()
