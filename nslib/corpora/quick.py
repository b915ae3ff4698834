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

import re
from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from nslib.corpora import manifests
from nslib.corpora.candidates import Found, capped, decode, distinct, group, say, shares, write
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


def main() -> None:
    """Write every manifest."""
    for name, build in BUILDERS.items():
        rows = build()
        write(manifests.manifest_path(name), rows)
        minutes = sum(row.seconds for row in rows) / 60
        say(f"{name}: {len(rows)} clips, {minutes:.1f} min, {dict(Counter(r.split for r in rows))}")


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

    found = distinct(decode([HEDGEWARS], choose, (0.3, 12)))
    splits = shares([_family(row.clip_id) for row in found], (0.6, 0.2, 0.2))
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

    found = distinct(decode([HEDGEWARS], choose, (0.3, 12)))
    voices_of = group(found, lambda row: row.label, lambda row: row.speaker)
    voices = {row.speaker for row in found}
    kept = [row for row in found if voices_of[row.label] == voices]
    splits = shares([row.speaker for row in kept], (0.5, 0.2, 0.3))
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

    found = distinct(decode(FILLETS, choose, (0.7, 10)))
    splits = shares([row.clip_id.split("/")[2] for row in found], (0.6, 0.2, 0.2))
    placed = [replace(row, split=splits[row.clip_id.split("/")[2]]) for row in found]
    return capped(placed, FILLETS_CAP)


def language_5() -> list[Found]:
    """Choose clips of 0.5 to 12 s in five languages; split by package, hence by source.

    The prompts of asterisk have the same names, and say the same, in all its languages and in the
    volunteers' versions: half of the names can be in training, the other half in the test.

    Returns
    -------
    list of Found
    """
    split_of = {package: split for split, names in LANGUAGE_PACKAGES.items() for package in names}
    found = distinct(decode(split_of, _choose_language, (0.5, 12)))
    prompts = {_prompt(row.member) for row in found if row.package.startswith("asterisk")}
    side = by_group(prompts, prompts, (0.5, 0.5), ("train", "test"))
    placed = [replace(row, split=split_of[row.package]) for row in found]
    kept = [row for row in placed if side.get(_prompt(row.member), row.split) == row.split]
    say(f"  {len(placed) - len(kept)} left out: their prompt is on the other side of train and test")
    return capped(kept, LANGUAGE_CAP)


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


if __name__ == "__main__":
    main()
