"""The rules by which the quick profile's manifests were made: ``python -m nslib.corpora.quick``.

For maintainers: fetches the packages, decodes every candidate and writes ``data/manifests/*.csv``.
Users never run it; `nslib.corpora.debian` checks what they have against its output.

Rules for every task
--------------------
- Only regular files; an alias (link) of another file is not a clip of its own.
- Clips that cannot be decoded, or are outside the task's range of seconds, are left out.
- A recording (by hash of the waveform) that comes under more than one label or speaker says nothing
  about either and is left out everywhere; one that comes again under the same label counts once.
- Caps choose by the hash of the file's name, so that neither alphabet nor folder is preferred.

Every rule's casualties are printed.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nslib import archives, audio, packages
from nslib.corpora import debian, shelf
from nslib.errors import BadAudio
from nslib.splits import by_group

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


def main() -> None:
    """Write every manifest."""
    for name, build in BUILDERS.items():
        rows = build()
        _write(debian.manifest_path(name), rows)
        minutes = sum(row.seconds for row in rows) / 60
        _say(f"{name}: {len(rows)} clips, {minutes:.1f} min, {dict(Counter(r.split for r in rows))}")


def speaker_hedgewars() -> list[Found]:
    """Choose clips of 0.3 to 12 s of every voice pack but Classic; split by phrase.

    Numbered variants (Ow1, Ow2) are one phrase, because they are one text.

    Returns
    -------
    list of Found
    """
    def choose(package: str, member: str) -> Found | None:
        voice, phrase = _voice(member)
        if not voice or voice in SAME_PERSON:
            return None
        return _found(package, member, f"hedgewars/{voice}/{phrase}", label=voice, speaker=voice)

    found = _distinct(_decode([HEDGEWARS], choose, (0.3, 12)))
    splits = _shares([_family(row.clip_id) for row in found], (0.6, 0.2, 0.2))
    return [replace(row, split=splits[_family(row.clip_id)]) for row in found]


def phrase_hedgewars() -> list[Found]:
    """Choose the phrases with words that all nine English-speaking voices have; split by voice.

    Voices of other languages say something else under the same file name. Classic counts as
    Default, and is in its split.

    Returns
    -------
    list of Found
    """
    def choose(package: str, member: str) -> Found | None:
        voice, phrase = _voice(member)
        if voice not in ENGLISH or NOISES.match(phrase):
            return None
        speaker = SAME_PERSON.get(voice, voice)
        return _found(package, member, f"hedgewars/{voice}/{phrase}", label=phrase, speaker=speaker)

    found = _distinct(_decode([HEDGEWARS], choose, (0.3, 12)))
    voices_of = _group(found, lambda row: row.label, lambda row: row.speaker)
    voices = {row.speaker for row in found}
    kept = [row for row in found if voices_of[row.label] == voices]
    splits = _shares([row.speaker for row in kept], (0.5, 0.2, 0.3))
    return [replace(row, split=splits[row.speaker]) for row in kept]


def speaker_fillets() -> list[Found]:
    """Choose lines of 0.7 to 10 s of the two main actors of two languages; split by level.

    A level is in the same split in both languages, since its texts are translations.

    Returns
    -------
    list of Found
    """
    def choose(package: str, member: str) -> Found | None:
        match = re.search(r"/sound/(.+)/(cs|nl)/\w+?-(\w+?)-([^/]+)\.ogg$", member)
        if not match or match[3] not in ACTORS:
            return None
        actor = f"{match[2]}-{match[3]}"
        name = f"fillets/{actor}/{match[1].replace('/', '-')}/{PurePosixPath(member).stem}"
        return _found(package, member, name, label=actor, speaker=actor)

    found = _distinct(_decode(FILLETS, choose, (0.7, 10)))
    splits = _shares([row.clip_id.split("/")[2] for row in found], (0.6, 0.2, 0.2))
    placed = [replace(row, split=splits[row.clip_id.split("/")[2]]) for row in found]
    return _capped(placed, FILLETS_CAP)


def language_5() -> list[Found]:
    """Choose clips of 0.5 to 12 s in five languages; split by package, hence by source.

    The prompts of asterisk have the same names, and say the same, in all its languages and in the
    volunteers' versions: half of the names can be in training, the other half in the test.

    Returns
    -------
    list of Found
    """
    split_of = {package: split for split, names in LANGUAGE_PACKAGES.items() for package in names}
    found = _distinct(_decode(split_of, _choose_language, (0.5, 12)))
    prompts = {_prompt(row.member) for row in found if row.package.startswith("asterisk")}
    side = by_group(prompts, prompts, (0.5, 0.5), ("train", "test"))
    placed = [replace(row, split=split_of[row.package]) for row in found]
    kept = [row for row in placed if side.get(_prompt(row.member), row.split) == row.split]
    _say(f"  {len(placed) - len(kept)} left out: their prompt is on the other side of train and test")
    return _capped(kept, LANGUAGE_CAP)


BUILDERS = {"speaker-hedgewars": speaker_hedgewars, "phrase-hedgewars": phrase_hedgewars,
            "language-5": language_5, "speaker-fillets": speaker_fillets}


def _voice(member: str) -> tuple[str, str]:
    path = PurePosixPath(member)
    inside = member.startswith(VOICES) and path.suffix == ".ogg"
    return (path.parent.name, path.stem) if inside else ("", "")


def _family(clip_id: str) -> str:
    return re.sub(r"\d+$", "", clip_id.rsplit("/", 1)[1])


def _choose_language(package: str, member: str) -> Found | None:
    """Tell language and source from where a file lies; None if it is not speech in one of the five."""
    patterns = {
        "klettres-data": r"share/klettres/((\w\w)(?:_\w\w)?)/(?:alpha|syllab)/.+\.ogg$",
        "ktuberling-data": r"share/ktuberling/sounds/((\w\w))/[^/]+\.(?:wav|ogg)$",
    }
    asterisk = r"share/asterisk/sounds/((\w\w)[^/]*)/.+\.(?:g722|gsm|wav)$"
    match = re.search(patterns.get(package, asterisk), member)
    if not match or match[2] not in LANGUAGES or SILENT_PROMPTS.search(_prompt(member)):
        return None
    kit = package.split("-")[0]
    source = f"{kit}-{match[1]}"
    stem = member[match.start(1) + len(match[1]) + 1:].rsplit(".", 1)[0]
    # the voice of asterisk's English and Spanish is the same person (its copyright file)
    speaker = "asterisk-Allison" if source.endswith("_f_Allison") else source
    return _found(package, member, f"language/{source}/{stem}", label=match[2], speaker=speaker)


def _prompt(member: str) -> str:
    """Name a telephone prompt without its language, e.g. ``digits/7``."""
    inside = member.partition("/sounds/")[2]
    return inside.partition("/")[2].rsplit(".", 1)[0] if "/asterisk/" in member else ""


def _found(package: str, member: str, clip_id: str, label: str, speaker: str) -> Found:
    return Found(package, member, label=label, speaker=speaker, clip_id=clip_id)


def _decode(names: Iterable[str], choose: Chooser, seconds: tuple[float, float]) -> list[Found]:
    """Decode what `choose` picks; sorted by clip_id."""
    found: list[Found] = []
    for name, path in packages.debian(names).items():
        chosen = {member: row for member in archives.list_deb(path) if (row := choose(name, member))}
        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(_measure, chosen[m], data) for m, data in archives.read_deb(path, chosen)]
        found += [row for job in jobs if (row := job.result())]
    kept = [row for row in found if seconds[0] <= row.seconds <= seconds[1]]
    _say(f"  {len(found) - len(kept)} of {len(found)} left out: not {seconds[0]} to {seconds[1]} s")
    return sorted(kept, key=lambda row: row.clip_id)


def _measure(row: Found, data: bytes) -> Found | None:
    import tempfile

    digest = hashlib.sha256(data).hexdigest()
    try:
        clip = debian.decode(data, PurePosixPath(row.member).suffix)
    except BadAudio as error:
        _say(f"  {row.clip_id} left out: {error.reason}")
        return None
    with tempfile.TemporaryDirectory(prefix="nslib-") as folder:
        served = shelf.serve(Path(folder) / "clip.wav", clip.wave)
    return replace(row, file_sha256=digest, sha256=audio.sha256(served.wave),
                   seconds=round(served.seconds, 4), sample_rate=clip.source_rate)


def _distinct(rows: list[Found]) -> list[Found]:
    named = _group(rows, lambda row: row.sha256, lambda row: (row.label, row.speaker))
    clear = [row for row in rows if len(named[row.sha256]) == 1]
    first = {row.sha256: row for row in reversed(clear)}
    kept = [row for row in clear if first[row.sha256] is row]
    _say(f"  {len(rows) - len(clear)} left out: one recording under several labels or speakers")
    _say(f"  {len(clear) - len(kept)} left out: the same recording again")
    return kept


def _group(rows: list[Found], key: Callable[[Found], str],
           value: Callable[[Found], object]) -> dict[str, set[object]]:
    groups: dict[str, set[object]] = defaultdict(set)
    for row in rows:
        groups[key(row)].add(value(row))
    return groups


def _shares(groups: list[str], shares: tuple[float, float, float]) -> dict[str, str]:
    return by_group(sorted(set(groups)), sorted(set(groups)), shares)


def _capped(rows: list[Found], caps: dict[str, int]) -> list[Found]:
    """Keep up to the cap of each label in each split, in turn from each of its speakers' sources."""
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
    _say(f"  {len(rows) - len(kept)} left out: over the cap")
    return sorted(kept, key=lambda row: row.clip_id)


def _write(path: Path, rows: list[Found]) -> None:
    import pandas as pd

    licences = _licences()
    table = pd.DataFrame([{**vars(row), "licence": licences[row.package]} for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    table[list(debian.MANIFEST)].to_csv(path, index=False, lineterminator="\n")


def _licences() -> dict[str, str]:
    import pandas as pd

    from nslib import params

    sources = pd.read_csv(params.data_dir() / "sources.csv", keep_default_na=False)
    return dict(zip(sources["package"], sources["licence"], strict=True))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
