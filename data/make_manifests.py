"""Make the manifests again: ``python data/make_manifests.py [NAME ...]``.

For maintainers: fetches the packages, decodes every candidate and writes ``data/manifests/NAME.csv`` (default: all).
Users never run it; `nslib.datasets.debian` checks what they have against its output.

Rules for every manifest
------------------------
- Only regular files; an alias (link) of another file is not a clip of its own.
- Clips that cannot be decoded, or are outside the manifest's range of seconds, are left out.
- A recording (by hash of the waveform) that comes under more than one label or speaker says nothing
  about either and is left out everywhere; one that comes again under the same label counts once.
- Caps choose by the hash of the file's name, so that neither alphabet nor folder is preferred.

Every rule's casualties are printed.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import pandas as pd

from nslib import audio, config
from nslib.datasets import debian
from nslib.datasets.clip_cache import write_clip
from nslib.datasets.debian import INNER_MARK, QUEEN, SKY
from nslib.datasets.splits import split_by_group
from nslib.errors import BadAudio, UnknownName
from nslib.training.data import PACKAGES, PARTS

HEDGEWARS, FILLETS = "hedgewars-data", ("fillets-ng-data-cs", "fillets-ng-data-nl")
VOICES = "usr/share/games/hedgewars/Data/Sounds/voices/"
SAME_PERSON = {"Classic": "Default"}
"""20 of the 59 recordings of the pack Classic are also in Default: one person."""
ENGLISH = ("British", "Classic", "Default", "HillBilly", "Mobster", "Pirate", "Robot", "Russian", "Singer",
           "Surfer")
NOISES = re.compile(r"(Ow|Ooff|Ouch|Jump|Laugh|Hmm|Firepunch|Poison)")
"""Sounds without words: of use for telling voices apart, not phrases."""

ACTORS = ("m", "v")
"""Roles with hundreds of lines in fillets: the small and the big fish."""

SILENT_PROMPTS = re.compile(r"(^|/)(silence/|beep|ascending|descending|tt-monkeys|letters/)")
"""Telephone prompts without words, and single letters."""

LANGUAGES = ("en", "es", "fr", "it", "ru")
LANGUAGE_PACKAGES = {
    "train": ("ktuberling-data", "asterisk-prompt-es-co", "asterisk-prompt-fr-armelle",
              "asterisk-prompt-it-menardi-wav"),
    "validation": ("klettres-data",),
    "test": tuple(f"asterisk-core-sounds-{code}-g722" for code in LANGUAGES),
}
"""Packages are whole in one split. The test is one recording chain for all languages, unheard in
training, so that no channel gives a language away; en and es, one person, are both in it."""

LANGUAGE_CAP = {"train": 110, "validation": 80, "test": 100}
"""Clips of a language in a split, shared evenly by its sources."""

FILLETS_CAP = {"train": 100, "validation": 40, "test": 40}
"""Clips of an actor in a split."""

HELD_OUT = 0.05
"""Share of the scenes, pictures and sentences of training audio by which training is stopped."""

_TUXPAINT = re.compile(r"share/tuxpaint/stamps/(.+?)_desc(?:_([a-z]{2}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_FESTVOX = re.compile(r"share/festival/voices/russian/.+/wav/(\w+)\.wav$")
_SCENE_OF_LINES = 20
_LEAD = "queen-joe"


@dataclass(frozen=True)
class Candidate:
    """A clip that may get into a manifest, before it is decoded (`sha256` empty) and after."""

    package: str
    member: str
    clip_id: str
    label: str
    speaker: str
    split: str = ""
    file_sha256: str = ""
    sha256: str = ""
    seconds: float = 0.0
    sample_rate: int = 0


Chooser = Callable[[str, str], Candidate | None]


def main(names: Iterable[str]) -> None:
    """Write manifests."""
    for name in list(names) or BUILDERS:
        if name not in BUILDERS:
            raise UnknownName("manifest", name, BUILDERS)
        rows = BUILDERS[name]()
        write_manifest(debian.manifest_path(name), rows)
        minutes = sum(row.seconds for row in rows) / 60
        report(f"{name}: {len(rows)} clips, {minutes:.1f} min, {dict(Counter(r.split for r in rows))}, "
               f"{len({r.speaker for r in rows})} speaker names")


def report(text: str) -> None:
    """Tell what a rule left out."""
    print(text, file=sys.stderr)


# --- rules of every manifest ---------------------------------------------------------------------


def decode_candidates(names: Iterable[str], choose: Chooser, seconds: tuple[float, float]) -> list[Candidate]:
    """Decode what a chooser picks from packages, sorted by clip_id; `seconds` is the shortest and the longest clip."""
    rows: list[Candidate] = []
    for name, path in debian.fetch_packages(names).items():
        chosen = {member: row for member in debian.list_files(path) if (row := choose(name, member))}
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(_decode, chosen[member], data) for member, data in debian.read_files(path, chosen)]
        rows += [row for job in jobs if (row := job.result())]
    short_enough = [row for row in rows if seconds[0] <= row.seconds <= seconds[1]]
    report(f"  {len(rows) - len(short_enough)} of {len(rows)} left out: not {seconds[0]} to {seconds[1]} s")
    return sorted(short_enough, key=lambda row: row.clip_id)


def _decode(row: Candidate, data: bytes) -> Candidate | None:
    digest = hashlib.sha256(data).hexdigest()
    try:
        clip = debian.decode_audio(data, PurePosixPath(row.member).suffix)
    except BadAudio as error:
        report(f"  {row.clip_id} left out: {error.reason}")
        return None
    with tempfile.TemporaryDirectory(prefix="nslib-") as folder:
        served = write_clip(Path(folder) / "clip.wav", clip.wave)
    return replace(row, file_sha256=digest, sha256=audio.sha256(served.wave),
                   seconds=round(served.seconds, 4), sample_rate=clip.source_rate)


def drop_repeats(rows: list[Candidate]) -> list[Candidate]:
    """Leave out recordings with several labels or speakers, and repeats."""
    names = collect(rows, lambda row: row.sha256, lambda row: (row.label, row.speaker))
    clear = [row for row in rows if len(names[row.sha256]) == 1]
    first = {row.sha256: row for row in reversed(clear)}
    distinct = [row for row in clear if first[row.sha256] is row]
    report(f"  {len(rows) - len(clear)} left out: one recording under several labels or speakers")
    report(f"  {len(clear) - len(distinct)} left out: the same recording again")
    return distinct


def collect(rows: list[Candidate], key: Callable[[Candidate], str],
            value: Callable[[Candidate], object]) -> dict[str, set[object]]:
    """Collect the values that come with each key."""
    groups: dict[str, set[object]] = defaultdict(set)
    for row in rows:
        groups[key(row)].add(value(row))
    return groups


def draw_splits(groups: Iterable[str], shares: tuple[float, float, float]) -> dict[str, str]:
    """Draw groups, which may repeat, into train, validation and test with the authors' algorithm."""
    names = sorted(set(groups))
    return split_by_group(names, names, shares)


def cap(rows: list[Candidate], caps: dict[str, int]) -> list[Candidate]:
    """Keep up to the cap of each label in each split, in turn from each of its sources."""
    turn: Counter[tuple[str, str, str]] = Counter()
    ordered = []
    for row in sorted(rows, key=lambda row: hashlib.sha256(row.clip_id.encode()).hexdigest()):
        source = (row.split, row.label, row.clip_id.split("/")[1])
        ordered.append((turn[source], row))
        turn[source] += 1
    taken: Counter[tuple[str, str]] = Counter()
    capped = []
    for _, row in sorted(ordered, key=lambda pair: pair[0]):
        if taken[row.split, row.label] < caps[row.split]:
            taken[row.split, row.label] += 1
            capped.append(row)
    report(f"  {len(rows) - len(capped)} left out: over the cap")
    return sorted(capped, key=lambda row: row.clip_id)


def write_manifest(path: Path, rows: list[Candidate]) -> None:
    """Write a manifest, with the licence of each clip's package."""
    sources = pd.read_csv(config.data_dir() / "sources.csv", keep_default_na=False)
    licences = dict(zip(sources["package"], sources["licence"], strict=True))
    table = pd.DataFrame([{**vars(row), "licence": licences[row.package]} for row in rows])
    table[list(debian.MANIFEST_COLUMNS)].to_csv(path, index=False, lineterminator="\n")


# --- tasks ---------------------------------------------------------------------------------------


def speaker_hedgewars() -> list[Candidate]:
    """Choose clips of 0.3 to 12 s of every voice pack but Classic; split by phrase.

    Numbered variants (Ow1, Ow2) are one phrase, because they are one text.
    """
    def choose(package: str, member: str) -> Candidate | None:
        voice, phrase = _voice_and_phrase(member)
        if not voice or voice in SAME_PERSON:
            return None
        return Candidate(package, member, f"hedgewars/{voice}/{phrase}", label=voice, speaker=voice)

    rows = drop_repeats(decode_candidates([HEDGEWARS], choose, (0.3, 12)))
    splits = draw_splits((_text_of(row) for row in rows), (0.6, 0.2, 0.2))
    return [replace(row, split=splits[_text_of(row)]) for row in rows]


def phrase_hedgewars() -> list[Candidate]:
    """Choose the phrases with words that all nine English-speaking voices have; split by voice.

    Voices of other languages say something else under the same file name. Classic counts as
    Default, and is in its split.
    """
    def choose(package: str, member: str) -> Candidate | None:
        voice, phrase = _voice_and_phrase(member)
        if voice not in ENGLISH or NOISES.match(phrase):
            return None
        speaker = SAME_PERSON.get(voice, voice)
        return Candidate(package, member, f"hedgewars/{voice}/{phrase}", label=phrase, speaker=speaker)

    rows = drop_repeats(decode_candidates([HEDGEWARS], choose, (0.3, 12)))
    voices_of = collect(rows, lambda row: row.label, lambda row: row.speaker)
    voices = {row.speaker for row in rows}
    common = [row for row in rows if voices_of[row.label] == voices]
    splits = draw_splits((row.speaker for row in common), (0.5, 0.2, 0.3))
    return [replace(row, split=splits[row.speaker]) for row in common]


def _voice_and_phrase(member: str) -> tuple[str, str]:
    path = PurePosixPath(member)
    inside = member.startswith(VOICES) and path.suffix == ".ogg"
    return (path.parent.name, path.stem) if inside else ("", "")


def _text_of(row: Candidate) -> str:
    return re.sub(r"\d+$", "", row.clip_id.rsplit("/", 1)[1])


def speaker_fillets() -> list[Candidate]:
    """Choose lines of 0.7 to 10 s of the two main actors of two languages; split by level.

    A level is in the same split in both languages, since its texts are translations.
    """
    def choose(package: str, member: str) -> Candidate | None:
        match = re.search(r"/sound/(.+)/(cs|nl)/\w+?-(\w+?)-([^/]+)\.ogg$", member)
        if not match or match[3] not in ACTORS:
            return None
        actor = f"{match[2]}-{match[3]}"
        name = f"fillets/{actor}/{match[1].replace('/', '-')}/{PurePosixPath(member).stem}"
        return Candidate(package, member, name, label=actor, speaker=actor)

    rows = drop_repeats(decode_candidates(FILLETS, choose, (0.7, 10)))
    splits = draw_splits((row.clip_id.split("/")[2] for row in rows), (0.6, 0.2, 0.2))
    return cap([replace(row, split=splits[row.clip_id.split("/")[2]]) for row in rows], FILLETS_CAP)


def language_5() -> list[Candidate]:
    """Choose clips of 0.5 to 12 s in five languages; split by package, hence by source.

    The prompts of asterisk have the same names, and say the same, in all its languages and in the
    volunteers' versions: half of the names can be in training, the other half in the test.
    """
    split_of = {package: split for split, names in LANGUAGE_PACKAGES.items() for package in names}
    rows = drop_repeats(decode_candidates(split_of, choose_language, (0.5, 12)))
    prompts = {name_prompt(row.member) for row in rows if row.package.startswith("asterisk")}
    side = split_by_group(prompts, prompts, (0.5, 0.5), ("train", "test"))
    placed = [replace(row, split=split_of[row.package]) for row in rows]
    apart = [row for row in placed if side.get(name_prompt(row.member), row.split) == row.split]
    report(f"  {len(placed) - len(apart)} left out: their prompt is on the other side of train and test")
    return cap(apart, LANGUAGE_CAP)


def choose_language(package: str, member: str) -> Candidate | None:
    """Tell language and source from where a file lies; None if it is not speech in one of the five."""
    patterns = {
        "klettres-data": r"share/klettres/((\w\w)(?:_\w\w)?)/(?:alpha|syllab)/.+\.ogg$",
        "ktuberling-data": r"share/ktuberling/sounds/((\w\w))/[^/]+\.(?:wav|ogg)$",
    }
    asterisk = r"share/asterisk/sounds/((\w\w)[^/]*)/.+\.(?:g722|gsm|wav)$"
    match = re.search(patterns.get(package, asterisk), member)
    if not match or match[2] not in LANGUAGES or SILENT_PROMPTS.search(name_prompt(member)):
        return None
    source = f"{package.split('-')[0]}-{match[1]}"
    stem = member[match.start(1) + len(match[1]) + 1:].rsplit(".", 1)[0]
    # the voice of asterisk's English and Spanish is the same person (its copyright file)
    speaker = "asterisk-Allison" if source.endswith("_f_Allison") else source
    return Candidate(package, member, f"language/{source}/{stem}", label=match[2], speaker=speaker)


def name_prompt(member: str) -> str:
    """Name a telephone prompt without its language, e.g. ``digits/7``."""
    inside = member.partition("/sounds/")[2]
    return inside.partition("/")[2].rsplit(".", 1)[0] if "/asterisk/" in member else ""


# --- audio to train on ---------------------------------------------------------------------------


def train_speech() -> list[Candidate]:
    """Choose clips of 0.5 to 30 s; whole scenes, pictures and sentences are the validation part.

    The speaker is a proxy: the leading actor of a game or one of its scenes, a language's volunteers.
    """
    rows = drop_repeats(decode_candidates(PACKAGES, choose_training, (0.5, 30)))
    scenes = sorted({_scene(row) for row in rows})
    side = split_by_group(scenes, scenes, (1 - HELD_OUT, HELD_OUT), PARTS)
    return [replace(row, split=side[_scene(row)]) for row in rows]


def choose_training(package: str, member: str) -> Candidate | None:
    """Tell from its name whether a file of a training package is speech, and whose."""
    named = _NAMERS[package](member)
    if named is None:
        return None
    speaker, label, stem = named
    return Candidate(package, member, f"train/{speaker}/{stem}", label=label, speaker=speaker)


def _queen(member: str) -> tuple[str, str, str] | None:
    stem = _stem_inside(member, QUEEN, ".SB.mp3")
    if not stem or "SS" in stem:  # sounds of a scene
        return None
    scene = stem[:3] if stem[0] == "C" else stem[:2]
    joe = stem.startswith("JOE") or bool(re.search(r"J\w$", stem))
    return (_LEAD if joe else f"queen-{scene}"), "queen", stem


def _sky(member: str) -> tuple[str, str, str] | None:
    stem = _stem_inside(member, SKY, ".wav")
    return (f"sky-{int(stem) // _SCENE_OF_LINES}", "sky", stem) if stem else None


def _stem_inside(member: str, outer: str, suffix: str) -> str:
    inside = member.removeprefix(outer + INNER_MARK)
    return inside.removesuffix(suffix) if inside != member and inside.endswith(suffix) else ""


def _tuxpaint(member: str) -> tuple[str, str, str] | None:
    match = _TUXPAINT.search(member)
    language = match[2] or "en" if match else ""
    return (f"tuxpaint-{language}", language, match[1]) if match else None


def _festvox(member: str) -> tuple[str, str, str] | None:
    match = _FESTVOX.search(member)
    return ("festvox-ru", "ru", match[1]) if match else None


_NAMERS = dict(zip(PACKAGES, (_sky, _festvox, _queen, _tuxpaint), strict=True))


def _scene(row: Candidate) -> str:
    """Name what is held out as a whole: a scene, or a picture in all its languages."""
    _, speaker, stem = row.clip_id.split("/", 2)
    if row.package.startswith("tuxpaint"):
        return f"tuxpaint {PurePosixPath(stem).name}"
    return f"{row.package} {stem}" if speaker in (_LEAD, "festvox-ru") else speaker


BUILDERS = {"speaker-hedgewars": speaker_hedgewars, "phrase-hedgewars": phrase_hedgewars,
            "language-5": language_5, "speaker-fillets": speaker_fillets, "train-speech": train_speech}


if __name__ == "__main__":
    main(sys.argv[1:])
