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

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import KMeans

from nslib import audio, config, embeddings
from nslib.datasets import debian
from nslib.datasets.clip_cache import write_clip
from nslib.datasets.debian import INNER_MARK, QUEEN, SKY
from nslib.datasets.splits import SPLITS, divide_fold, split_by_group
from nslib.datasets.table import FOLD_COLUMNS
from nslib.errors import BadAudio, UnknownName
from nslib.training.data import PARTS

HEDGEWARS, FILLETS = "hedgewars-data", ("fillets-ng-data-cs", "fillets-ng-data-nl")
AMAZON_QUEEN, PICTURES = "flight-of-the-amazon-queen", "tuxpaint-stamps-default"
VOICES = "usr/share/games/hedgewars/Data/Sounds/voices/"
SAME_PERSON = {"Classic": "Default"}
"""20 of the 59 recordings of the pack Classic are also in Default: one person."""
ENGLISH = ("British", "Classic", "Default", "HillBilly", "Mobster", "Pirate", "Robot", "Russian", "Singer",
           "Surfer")
NOISES = re.compile(r"(Ow|Ooff|Ouch|Jump|Laugh|Hmm|Firepunch|Poison)")
"""Sounds without words: of use for telling voices apart, not phrases."""

EXPRESSIONS = {
    "alarm": ("Fire", "Grenade", "Hurry", "Incoming", "Runaway", "Takecover", "Uh-oh", "Watchit"),
    "dismay": ("Bugger", "Drat", "Nooo", "Ohdear", "Oops", "Whatthe"),
    "hostility": ("Comeonthen", "Coward", "Gonnagetyou", "Illgetyou", "Justyouwait", "Nutter", "Revenge", "Stupid",
                  "Thisoneismine", "Traitor", "Youllregretthat"),
    "pain": ("Ooff", "Ouch", "Ow", "PoisonCough", "PoisonMoan"),
    "triumph": ("Amazing", "Brilliant", "Enemydown", "Excellent", "Firstblood", "Flawless", "Victory"),
}
"""What a phrase is there for, by the meaning of its name. Not used: one phrase only (Laugh), no clear function or
several (Hmm, Hello, Missed, Sameteam, Boring, Kamikaze ...), and exertion (Jump, Firepunch), of two phrases."""

EXPRESSION_PARTS = (4, 4)
"""Groups of voices, parts of each expression's phrases; a fold is one of either."""

PHRASE_FOLDS, VOICES_OF_A_PHRASE = 5, 7
SAME_SOUND = {"Flyaway": "Nooo"}
"""Phrases that are another's recording, cut elsewhere, in 11 of 14 voice packs (their correlation is 0.7 to 1)."""
"""Folds of voices; how many voices must say a phrase."""

QUEEN_SHARES, QUEEN_CAP = (0.2, 0.2, 0.6), {"train": 5, "validation": 5, "test": 45}
"""Shares of the lines; clips of a voice. With forty to learn from, the best embedding is right for 97 %."""

FEW_LINES = 50
"""Lines of a second and more that a voice must have."""

ONE_VOICE, TOO_CLOSE = 0.95, 0.92
"""Mean cosine from which dialogues are one voice's; cosine from which voices cannot be told apart."""

MIXED, MIXED_SHARE = 0.85, 0.1
"""Cosine of the means of a voice's two clusters, and share of the smaller, from which it may be two people."""

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

LANGUAGE_FOLDS = {"ktuberling": 0, "tuxpaint": 1, "asterisk": 2, "klettres": 3}
"""Fold of each collection."""

FOUR_LANGUAGES = ("en", "es", "fr", "ru")
"""Those that each collection has. Italian lacks the pictures of Tux Paint."""

COLLECTION_CAP = 100
"""Clips of a language in a collection, shared evenly by its sources."""

LANGUAGE_CAP = {"train": 110, "validation": 80, "test": 100}
"""Clips of a language in a split, shared evenly by its sources."""

FILLETS_CAP = {"train": 100, "validation": 40, "test": 40}
"""Clips of an actor in a split."""

HELD_OUT = 0.05
"""Share of the scenes, pictures and sentences of training audio by which training is stopped."""

_TUXPAINT = re.compile(r"share/tuxpaint/stamps/(.+?)_desc(?:_([a-z]{2}(?:_[A-Z]{2})?))?\.(?:ogg|wav)$")
_FESTVOX = re.compile(r"share/festival/voices/russian/.+/wav/(\w+)\.wav$")
_QUEEN = re.compile(r"(?P<block>JOE\d{4}|(?P<file>\d\d)[0-9A-Z]{4})(?P<who>[JP]\d|\w)")
_SCENE_OF_LINES = 20
_HERO = "queen-joe"


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
    fold: str = ""
    text: str = ""


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
    pin_files()


def pin_files() -> None:
    """Write the hash of every list that the kit reads, to which it holds them."""
    home = config.data_dir()
    paths = sorted([*home.glob("manifests/*.csv"), *home.glob("noss_*.csv"), home / "open_speech.csv"])
    lines = [f"{config.hash_file(path)}  {path.relative_to(home).as_posix()}\n" for path in paths]
    config.write_file(home / "SHA256SUMS", "".join(lines))


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
        clip = audio.read(row.member, data)
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
    empty = [name for name in FOLD_COLUMNS if not table[name].any()]
    table[list(debian.MANIFEST_COLUMNS)].drop(columns=empty).to_csv(path, index=False, lineterminator="\n")


def deal(names: Iterable[str], parts: int) -> dict[str, int]:
    """Deal names, which may repeat, into parts by their hash."""
    shuffled = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return {name: place % parts for place, name in enumerate(shuffled)}


def place_in_folds(rows: list[Candidate], fold_of: Callable[[Candidate], int], *,
                   by_speaker: bool = True) -> list[Candidate]:
    """Give clips their fold, and the split of fold 0; by speaker, unless that is what is asked for."""
    placed = [replace(row, fold=str(fold_of(row))) for row in rows]
    parts = divide_fold(pd.DataFrame([vars(row) for row in placed]), 0, by_speaker=by_speaker)
    split_of = {place: name for name in SPLITS for place in parts[name]}
    return [replace(row, split=split_of.get(place, "")) for place, row in enumerate(placed)]


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


def voices_hedgewars() -> list[Candidate]:
    """Choose the clips of `speaker_hedgewars`; folds of phrases, of which those of `SAME_SOUND` are one."""
    rows = [replace(row, text=SAME_SOUND.get(_text_of(row), _text_of(row))) for row in speaker_hedgewars()]
    group = deal((row.text for row in rows), PHRASE_FOLDS)
    return place_in_folds(rows, lambda row: group[row.text], by_speaker=False)


def phrase_hedgewars() -> list[Candidate]:
    """Choose the phrases with words that all nine English-speaking voices have; split by voice.

    Voices of other languages say something else under the same file name. Classic counts as
    Default, and is in its split.
    """
    rows = drop_repeats(decode_candidates([HEDGEWARS], choose_phrase, (0.3, 12)))
    voices_of = collect(rows, lambda row: row.label, lambda row: row.speaker)
    voices = {row.speaker for row in rows}
    common = [row for row in rows if voices_of[row.label] == voices]
    splits = draw_splits((row.speaker for row in common), (0.5, 0.2, 0.3))
    return [replace(row, split=splits[row.speaker]) for row in common]


def choose_phrase(package: str, member: str) -> Candidate | None:
    """Tell an English phrase with words and its voice from where a file lies."""
    voice, phrase = _voice_and_phrase(member)
    if voice not in ENGLISH or NOISES.match(phrase):
        return None
    return Candidate(package, member, f"hedgewars/{voice}/{phrase}", label=phrase,
                     speaker=SAME_PERSON.get(voice, voice))


def phrases_hedgewars() -> list[Candidate]:
    """Choose the phrases with words that at least seven English-speaking voices have; folds of voices.

    Those of `SAME_SOUND` are left out: the sound alone cannot tell them from the others.
    """
    rows = drop_repeats(decode_candidates([HEDGEWARS], choose_phrase, (0.3, 12)))
    rows = [row for row in rows if row.label not in SAME_SOUND]
    voices_of = collect(rows, lambda row: row.label, lambda row: row.speaker)
    common = [row for row in rows if len(voices_of[row.label]) >= VOICES_OF_A_PHRASE]
    group = deal((row.speaker for row in common), PHRASE_FOLDS)
    return place_in_folds(common, lambda row: group[row.speaker])


def expression_hedgewars() -> list[Candidate]:
    """Choose clips of 0.15 to 12 s of all voices whose phrase is of one of `EXPRESSIONS`; folds of voices and phrases.

    The text is the phrase without its number. A fold is a group of voices and a part of the phrases; it shares either
    with the next, so that what trains, which shares neither with the two, is as much as can be.
    """
    expression_of = {phrase: name for name, phrases in EXPRESSIONS.items() for phrase in phrases}

    def choose(package: str, member: str) -> Candidate | None:
        voice, phrase = _voice_and_phrase(member)
        text = re.sub(r"\d+$", "", phrase)
        if not voice or text not in expression_of:
            return None
        return Candidate(package, member, f"hedgewars/{voice}/{phrase}", label=expression_of[text],
                         speaker=SAME_PERSON.get(voice, voice), text=text)

    rows = drop_repeats(decode_candidates([HEDGEWARS], choose, (0.15, 12)))
    groups, parts = EXPRESSION_PARTS
    group = deal((row.speaker for row in rows), groups)
    part = {text: place for texts in EXPRESSIONS.values() for text, place in deal(texts, parts).items()}
    # each part begins with the group that the one before ended with
    order = [((place - number) % groups, number) for number in range(parts) for place in range(groups)]
    return place_in_folds(rows, lambda row: order.index((group[row.speaker], part[row.text])))


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


def languages_4() -> list[Candidate]:
    """Choose clips of 0.5 to 12 s in four languages of all collections; a fold leaves a collection out.

    The text is the name of the prompt, picture or syllable. A collection has all four languages, so no channel gives
    one away.
    """
    packages = [name for names in LANGUAGE_PACKAGES.values() for name in names if "-it-" not in name]
    rows = drop_repeats(decode_candidates([*packages, PICTURES], choose_languages, (0.5, 12)))
    few = cap(rows, dict.fromkeys(LANGUAGE_FOLDS, COLLECTION_CAP))
    return place_in_folds(few, lambda row: LANGUAGE_FOLDS[_collection(row)])


def choose_languages(package: str, member: str) -> Candidate | None:
    """Tell language, source and what is said from where a file lies; the split is its collection, until it has one."""
    row = choose_language(package, member)
    if package == PICTURES and (match := _TUXPAINT.search(member)):
        language = match[2] or "en"
        source = f"tuxpaint-{language}"
        row = Candidate(package, member, f"language/{source}/{match[1]}", label=language, speaker=source)
    if row is None or row.label not in FOUR_LANGUAGES:
        return None
    return replace(row, text=PurePosixPath(row.clip_id).name.lower(), split=_collection(row))


def _collection(row: Candidate) -> str:
    return row.clip_id.split("/")[1].partition("-")[0]


# --- voices of one production --------------------------------------------------------------------


def speaker_queen() -> list[Candidate]:
    """Choose lines of 0.7 to 10 s of the voices of a game that can be told apart; split by line.

    A line is what is said at one place of a dialogue, by its character and by the hero, in one or more clips.
    """
    rows = drop_repeats(decode_candidates([AMAZON_QUEEN], choose_queen, (0.7, 10)))
    voice_of = find_voices([row for row in rows if row.seconds >= 1])
    named = [replace(row, label=voice, speaker=voice, clip_id=f"queen/{voice}/{row.clip_id.rsplit('/', 1)[1]}")
             for row in rows if (voice := voice_of.get(row.label))]
    splits = split_by_group(*[[name_line(row.clip_id) for row in named]] * 2, QUEEN_SHARES)
    return cap([replace(row, split=splits[name_line(row.clip_id)]) for row in named], QUEEN_CAP)


def choose_queen(package: str, member: str) -> Candidate | None:
    """Tell the dialogue of a line from its name; None for scenes, of several characters, and for sounds."""
    stem = _stem_inside(member, QUEEN, ".SB.mp3")
    match = _QUEEN.fullmatch(stem) if "SS" not in stem else None
    if not match or (match["file"] and len(match["who"]) < 2):
        return None
    dialogue = f"queen-{match['file']}" if match["file"] and match["who"][0] == "P" else _HERO
    return Candidate(package, member, f"queen/{dialogue}/{stem}", label=dialogue, speaker=dialogue)


def name_line(clip_id: str) -> str:
    """Name the line of a dialogue that a clip is of, by the character or the hero."""
    return _QUEEN.fullmatch(clip_id.rsplit("/", 1)[1])["block"]  # type: ignore[index]


def find_voices(rows: list[Candidate]) -> dict[str, str]:
    """Name the voice of each dialogue, as far as it is one voice and no other's, by the embedding resemblyzer."""
    vectors, dialogues = embed_voices(rows), np.array([row.label for row in rows])
    names = [name for name in sorted(set(dialogues)) if (dialogues == name).sum() >= 8]
    means = np.array([average(vectors[dialogues == name]) for name in names])
    apart = (1 - means @ means.T)[np.triu_indices(len(names), 1)]
    cluster = fcluster(linkage(apart, "average"), 1 - ONE_VOICE, "distance")
    joined: dict[str, list[str]] = {}
    for number in sorted(set(cluster)):
        those = [name for name, of in zip(names, cluster, strict=True) if of == number]
        joined[_HERO if _HERO in those else those[0]] = those
    clips_of = {voice: vectors[np.isin(dialogues, those)] for voice, those in joined.items()}
    kept: dict[str, npt.NDArray[np.float64]] = {}
    for voice in sorted(joined, key=lambda name: -len(clips_of[name])):
        mean = average(clips_of[voice])
        nearest = max(((float(mean @ other), name) for name, other in kept.items()), default=(0.0, "none"))
        halves = KMeans(2, n_init=10, random_state=0).fit_predict(clips_of[voice])
        cosine = float(average(clips_of[voice][halves == 0]) @ average(clips_of[voice][halves == 1]))
        share = min(halves.mean(), 1 - halves.mean())
        reason = ("few lines" if len(clips_of[voice]) < FEW_LINES else
                  f"too close to {nearest[1]}" if nearest[0] >= TOO_CLOSE else
                  "perhaps two people" if cosine < MIXED and share >= MIXED_SHARE else "")
        report(f"  {voice} ({', '.join(joined[voice])}): {len(clips_of[voice])} lines, nearest {nearest[1]} "
               f"{nearest[0]:.3f}, two clusters {cosine:.2f} ({share:.0%}){'; left out: ' * bool(reason)}{reason}")
        if not reason:
            kept[voice] = mean
    return {dialogue: voice for voice in kept for dialogue in joined[voice]}


def embed_voices(rows: list[Candidate]) -> npt.NDArray[np.float64]:
    """Embed clips of one package as unit vectors."""
    network = embeddings.get("resemblyzer")
    (archive,) = debian.fetch_packages({row.package for row in rows}).values()
    place = {row.member: i for i, row in enumerate(rows)}
    vectors = np.empty((len(rows), network.dim))
    for member, data in debian.read_files(archive, place):
        wave = audio.read(member, data).wave
        wave = np.pad(wave, (0, max(0, network.min_samples - len(wave))))
        frames, counts = network.embed(wave[None].astype(np.float32), np.array([len(wave)]))
        vectors[place[member]] = average(frames[0, :counts[0]])
    return vectors


def average(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Mean of vectors, as a unit vector."""
    mean = vectors.mean(0, dtype=np.float64)
    return mean / np.linalg.norm(mean)


# --- audio to train on ---------------------------------------------------------------------------


def train_speech() -> list[Candidate]:
    """Choose clips of 0.5 to 30 s; whole scenes, pictures and sentences are the validation part.

    The speaker is a proxy: a scene of a game, or one reader.
    """
    return hold_out(drop_repeats(decode_candidates(_NAMERS, choose_training, (0.5, 30))))


def hold_out(rows: list[Candidate]) -> list[Candidate]:
    """Split training audio."""
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


def _sky(member: str) -> tuple[str, str, str] | None:
    stem = _stem_inside(member, SKY, ".wav")
    return (f"sky-{int(stem) // _SCENE_OF_LINES}", "sky", stem) if stem else None


def _stem_inside(member: str, outer: str, suffix: str) -> str:
    inside = member.removeprefix(outer + INNER_MARK)
    return inside.removesuffix(suffix) if inside != member and inside.endswith(suffix) else ""


def _festvox(member: str) -> tuple[str, str, str] | None:
    match = _FESTVOX.search(member)
    return ("festvox-ru", "ru", match[1]) if match else None


_NAMERS = {"beneath-a-steel-sky": _sky, "festvox-ru": _festvox}


def _scene(row: Candidate) -> str:
    """Name what is held out as a whole: a scene, or a sentence."""
    _, speaker, stem = row.clip_id.split("/", 2)
    return f"{row.package} {stem}" if speaker == "festvox-ru" else speaker


BUILDERS = {"speaker-hedgewars": speaker_hedgewars, "voices-hedgewars": voices_hedgewars,
            "phrase-hedgewars": phrase_hedgewars, "language-5": language_5, "speaker-fillets": speaker_fillets,
            "speaker-queen": speaker_queen, "phrases-hedgewars": phrases_hedgewars,
            "expression-hedgewars": expression_hedgewars, "languages-4": languages_4, "train-speech": train_speech}


if __name__ == "__main__":
    main(sys.argv[1:])
