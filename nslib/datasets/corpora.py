"""Corpora as others keep them, as rows for `layouts`: names of files that say what a clip is, audformat, lhotse, Kaldi.

References: RAVDESS (Livingstone and Russo, 2018), EmoDB (Burkhardt et al., 2005), CREMA-D (Cao et al., 2014; its
VideoDemographics.csv), TESS (Pichora-Fuller and Dupuis, 2020), SAVEE (Haq and Jackson, 2010); the formats' documents.
"""

from __future__ import annotations

import gzip
import importlib
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nslib import config
from nslib.datasets.clip_cache import file_key
from nslib.datasets.splits import find_split
from nslib.datasets.table import read_list, read_seconds
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName, refuse_unknown

__all__ = ["RECIPES"]

Row = tuple[int, dict[str, str], str]  # its number, cells by role, what is wrong with it
_LABELS = ("label", "emotion")  # columns that are the label if none is named


@dataclass(frozen=True)
class Recipe:
    """How a corpus names its files, and how many there are."""

    title: str
    example: str
    pattern: str  # of the end of a path without its ending; its groups are columns
    counts: dict[str, tuple[str, int]]  # by code of an emotion: its name, and the clips of it in a complete copy
    women: str = ""  # pattern of the speakers who are women; the others are men


def _count(words: str) -> dict[str, tuple[str, int]]:
    """Emotions from a line of ``CODE NAME COUNT`` in threes."""
    parts = words.split()
    return {code: (name, int(count)) for code, name, count in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}


_SUNG = "01 neutral {0} 02 calm {1} 03 happy {1} 04 sad {1} 05 angry {1} 06 fearful {1}"
_ACTED = r"-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<text>0[12])-(?P<take>0[12])-(?P<speaker>[01]\d|2[0-4])"
_DEGREES = {"01": "normal", "02": "strong", "LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified",
            "X": "unspecified"}
RECIPES = {
    "ravdess": Recipe("RAVDESS speech", "03-01-06-01-02-01-12.wav", "03-01" + _ACTED, _count(
        _SUNG.format(96, 192) + " 07 disgust 192 08 surprised 192"), r"\d[02468]"),
    "ravdess-song": Recipe("RAVDESS song", "03-02-06-01-02-01-12.wav", "03-02" + _ACTED.replace("1-8", "1-6"), _count(
        _SUNG.format(92, 184)), r"\d[02468]"),
    "emodb": Recipe("EmoDB", "03a01Fa.wav", r"(?P<speaker>03|08|09|1[0-6])(?P<text>[ab]\d\d)(?P<emotion>[WLEAFTN])"
                    "(?P<take>[a-z])", _count("W anger 127 L boredom 81 E disgust 46 A fear 69 F happiness 71 "
                                              "T sadness 62 N neutral 79"), "08|09|13|14|16"),
    "crema-d": Recipe("CREMA-D", "1001_DFA_ANG_XX.wav", r"(?P<speaker>10[0-8]\d|109[01])_(?P<text>[A-Z]{3})_"
                      "(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?P<intensity>LO|MD|HI|XX?)", _count(
                          "ANG anger 1271 DIS disgust 1271 FEA fear 1271 HAP happy 1271 NEU neutral 1087 SAD sad 1271"),
                      "10(0[2346789]|1[0238]|2[014589]|3[07]|4[3679]|5[234568]|6[013]|7[2345689]|8[249]|91)"),
    "tess": Recipe("TESS", "OAF_back_angry.wav",  # one of its files is called OA_bite_neutral.wav
                   r"(?P<speaker>OAF?|YAF)_(?P<text>[a-z]+)_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)",
                   _count("angry angry 400 disgust disgust 400 fear fear 400 happy happy 400 neutral neutral 400 "
                          "ps surprise 400 sad sad 400"), ".*"),
    "savee": Recipe("SAVEE", "DC/a01.wav or DC_a01.wav",
                    r"(?P<speaker>DC|JE|JK|KL)[/_](?P<emotion>sa|su|[adfhn])(?P<text>\d\d)", _count(
                        "a anger 60 d disgust 60 f fear 60 h happiness 60 n neutral 120 sa sadness 60 su surprise 60")),
}
"""Naming schemes by the name that ``--recipe`` takes."""


def read_names(name: str, paths: Sequence[Path], label: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Label and speaker of each name by a recipe, or why it does not fit; and whether the corpus is complete."""
    refuse_unknown("recipe", name, RECIPES)
    recipe, first, found, rows = RECIPES[name], dict[tuple[str, ...], Path](), Counter[str](), []
    columns = {"emotion", "sex", *re.compile(recipe.pattern).groupindex} - {"take"}
    refuse_unknown(f"label of {recipe.title}", label, columns)
    for path in paths:
        cells, fault = _parse_name(recipe, path), f"its name is none of {recipe.title}, such as {recipe.example}"
        if cells:
            other = first.setdefault(tuple(cells.values()), path)
            fault = "" if other == path else f"it is called as {other.as_posix()}, as if it were the same clip"
            found[cells["emotion"]] += not fault
        rows.append((cells.get(label, ""), cells.get("speaker", ""), fault))
    if paths and not first:
        raise BadParameter(f"none of {len(paths)} files is called as those of {recipe.title} ({recipe.example}); the "
                           f"first is {paths[0]}. Leave the recipe out, or name another: {', '.join(RECIPES)}.")
    lacks = [f"{emotion} {found[emotion]} of {count}" for emotion, count in recipe.counts.values()
             if found[emotion] != count]
    whole = sum(count for _, count in recipe.counts.values())
    more = f"not complete, {found.total()} of {whole} clips ({', '.join(lacks)})" if lacks else f"complete, {whole}"
    return rows, [f"{recipe.title}: {more}. Labels are those of {label} (one of {', '.join(sorted(columns))})."]


def _parse_name(recipe: Recipe, path: Path) -> dict[str, str]:
    """What a name says, by column; empty if it does not fit."""
    if not (match := re.search(f"(?:^|/){recipe.pattern}$", path.with_suffix("").as_posix())):
        return {}
    cells = match.groupdict()
    speaker = {"OA": "OAF"}.get(cells["speaker"], cells["speaker"])
    degree = {"intensity": _DEGREES[cells["intensity"]]} if "intensity" in cells else {}
    return cells | degree | {"speaker": speaker, "emotion": recipe.counts[cells["emotion"]][0],
                             "sex": "female" if re.fullmatch(recipe.women, speaker) else "male"}


def suggest_recipe(paths: Sequence[Path]) -> list[str]:
    """A note if the names of all files fit a recipe."""
    return [f"The files are called as those of {recipe.title}: --recipe {name} (?recipe={name}) takes label and "
            "speaker from their names." for name, recipe in RECIPES.items()
            if paths and all(_parse_name(recipe, path) for path in paths)]


def read_audformat(root: Path, asked: dict[str, str]) -> tuple[list[Row], list[str]]:
    """Rows of the tables of an audformat database that have the label; others may tell the speaker of a file."""
    import yaml

    try:
        header = yaml.safe_load((root / "db.yaml").read_text(encoding="utf-8"))
        tables = {name: list(about.get("columns") or ()) for name, about in header["tables"].items()}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadParameter(f"{root / 'db.yaml'} is no header of an audformat database ({error}).") from error
    columns = list(dict.fromkeys(itertools.chain(*tables.values())))
    if other := next((role for role in asked if role != "table" and (
            role not in ("label", "speaker") or asked[role] not in columns)), ""):
        raise UnknownName(f"{other} (a column of the tables) in {root}", asked[other], columns)
    label = asked.get("label") or next((name for name in _LABELS if name in columns), "")
    speaker = asked.get("speaker", "speaker")
    chosen = [name for name in tables if fnmatch(name, asked.get("table", "*"))
              and (label in tables[name] or not label)]
    if not chosen:
        raise UnknownName(f"table with the column {label} in {root}", asked.get("table"), tables)
    rows, of_file = dict[tuple[str, ...], dict[str, str]](), dict[str, str]()
    for name in tables:
        part = header["tables"][name].get("split_id") or ""
        split = header.get("splits", {}).get(part, {}).get("type") or part
        for (file, start, end), cells in _read_table(root, name):
            made = {"audio": file, "start": start, "end": end, "label": cells.get(label, ""),
                    "speaker": cells.get(speaker, ""), "split": split if find_split(split) else ""}
            of_file |= {file: made["speaker"]} if made["speaker"] and not start + end else {}
            row = rows.setdefault((file, start, end), made) if name in chosen else made
            if other := next((role for role in made if row[role] and made[role] and row[role] != made[role]), ""):
                raise BadParameter(f"tables of {root} contradict each other: the {other} of {file} is {row[other]} "
                                   f"and, in {name}, {made[other]}; name those that count: ?table={name}")
            row |= {role: cell for role, cell in made.items() if cell}
    notes = [f"Labels are those of the column {label} in {', '.join(chosen)}." if label else
             "No labels: no column is called label or emotion; name one: --label COLUMN.",
             f"Columns that were not read: {', '.join(sorted({*columns} - {label, speaker})) or 'none'}."]
    return [(number, row | {"speaker": row["speaker"] or of_file.get(row["audio"], "")}, "")
            for number, row in enumerate(rows.values(), start=1)], notes


def _read_table(root: Path, name: str) -> Iterator[tuple[tuple[str, str, str], dict[str, str]]]:
    """Rows of a table: file, start and end (seconds; empty: those of the file), and cells."""
    path = next((path for ending in (".parquet", ".csv") if (path := root / f"db.{name}{ending}").is_file()), None)
    if path is None:
        raise BadParameter(f"the table {name} of {root} is not there as Parquet or CSV (a pickle is not read: it "
                           "may run code); save it anew: Database.save(root, storage_format='parquet').")
    try:
        for row in read_list(path).to_dict("records"):
            start, end = (read_seconds(row.pop(role, "")) for role in ("start", "end"))
            until = f"{end:.9g}" if end == end else ""
            yield (row.pop("file"), f"{max(0.0, start):.9g}" if until or start > 0 else "", until), row
    except (KeyError, ValueError) as error:
        raise BadParameter(f"{path} is no table of audformat: {error}.") from error


def find_manifests(root: Path) -> list[Path]:
    """Manifests of recordings in a folder, as lhotse writes them; other lists may be called so too."""
    return sorted(path for path in root.glob("*recordings*") if path.name.endswith((".jsonl", ".jsonl.gz"))
                  and re.match(rb"\s*\{.*\"sources\"", _read_start(path), re.DOTALL))


def refuse_lhotse(path: Path) -> None:
    """Refuse a file of lhotse, or a folder that has one, which is not read by itself."""
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl*"))
    what = rb'\{"id": (?!.*"audio":).*"(sources|recording_id|supervisions|tracks)":'
    if found := next((file for file in files if ".jsonl" in file.name and re.match(what, _read_start(file))), None):
        raise BadParameter(f"{found} has cuts, supervisions or recordings of lhotse, which are not read alone. Write "
                           "recordings and supervisions into one folder, cuts.decompose(FOLDER), or export the audio "
                           "(of Shar), cuts.save_audios(FOLDER), and give that folder.")


def is_audformat(root: Path) -> bool:
    """Whether a folder has a header as audformat writes it; other databases have a ``db.yaml`` too."""
    return re.search(rb"\btables\b.*\bcolumns\b", _read_start(root / "db.yaml", None), re.DOTALL) is not None


def _read_start(path: Path, size: int | None = 1 << 16) -> bytes:
    """The first bytes of a file, unpacked; none if there are none, or they cannot be read."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            return bytes(file.read(-1 if size is None else size))
    except (OSError, EOFError, zlib.error):
        return b""


def read_lhotse(root: Path, asked: dict[str, str]) -> tuple[list[Row], list[str]]:
    """Rows of lhotse's manifests: a clip is a supervision, or a recording where there are none."""
    rows, idle, fields = list[Row](), set[str](), set[str]()
    label, speaker = asked.get("label", ""), asked.get("speaker", "speaker")
    try:
        for path in find_manifests(root):
            recordings = {line["id"]: line for line in read_list(path).to_dict("records")}
            stem = path.name.replace("recordings", "supervisions").partition(".jsonl")[0]
            pair = next((other for end in (".jsonl.gz", ".jsonl") if (other := root / (stem + end)).is_file()), None)
            lines = read_list(pair).to_dict("records") if pair else [{"id": name, "recording_id": name}
                                                                     for name in recordings]
            idle |= recordings.keys() - {line["recording_id"] for line in lines}
            for line in lines:
                own = {**(line.get("custom") or {}), **line}
                fields |= own.keys()
                label = label or next((name for name in _LABELS if own.get(name)), "")
                cells = {"clip_id": line["id"], "label": str(own.get(label, "")), "speaker": str(own.get(speaker, "")),
                         "split": stem if find_split(stem) else "",
                         **{role: line[role] for role in ("start", "duration") if line.get(role)}}
                place, fault = _find_source(root, recordings.get(line["recording_id"]), line.get("channel"))
                rows.append((len(rows) + 1, cells | place, fault))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadParameter(f"the manifests in {root} are not lhotse's ({error}).") from error
    if wrong := next((role for role in asked if role not in ("label", "speaker") or asked[role] not in fields), ""):
        raise UnknownName(f"{wrong} (a field of supervisions) in {root}", asked[wrong], fields)
    notes = [f"Labels are those of {label}." if label else "No labels: no field is called label or emotion; name one: "
             f"--label FIELD ({', '.join(sorted(fields))})."]
    return rows, notes + [f"{len(idle)} recordings are in no supervision and were not read: "
                          f"{', '.join(sorted(idle)[:5])}."] * bool(idle)


def _find_source(root: Path, recording: dict[str, Any] | None, channel: Any) -> tuple[dict[str, str], str]:
    """The file of a clip, and its channel if it is one of several; or why it cannot be read."""
    if recording is None:
        return {}, "there is no such recording in the manifest"
    asked = {*channel} if isinstance(channel, list) else {int(channel)} if channel else {
        number for source in recording["sources"] for number in source["channels"]}
    source = next((source for source in recording["sources"] if asked <= {*source["channels"]}), None)
    if source is None or 1 < len(asked) < len(source["channels"]):
        return {}, f"no file of its recording has the channels {sorted(asked)}, and only these"
    if source["type"] != "file":
        return {}, f"its sound is a {source['type']} ({source['source']}), and only files are read"
    path = next((path for start in (root, Path.cwd()) if (path := start / source["source"]).exists()),
                root / source["source"])
    part = {"channel": str(source["channels"].index(*asked))} if len(asked) < len(source["channels"]) else {}
    fault = f"its sound is to be changed, which is not done here: {recording.get('transforms')}"
    return {"audio": str(path)} | part, fault if recording.get("transforms") else ""


def store_member(archive: Path, start: int, following: tuple[int, list[str]] | None) -> tuple[Path, str]:
    """Write a sound in one of Kaldi's archives to a file of the cache; the next known one has its name before it."""
    if not (key := file_key(archive, start)):
        return archive, ""
    if (path := config.cache_dir("corpora", "embedded") / key).exists():
        return path, ""
    with archive.open("rb") as file:
        file.seek(start)
        head, length = file.read(16), (following[0] if following else archive.stat().st_size) - start
        if head[:5] == b"AUDIO":  # kaldiio's, with its length before it
            start, length = start + 6 + head[5], int.from_bytes(head[6:6 + head[5]], "little")
        elif head[:4] == b"RIFF":
            length = min(length, int.from_bytes(head[4:8], "little") + 8)
        elif head[:4] not in (b"fLaC", b"OggS", b"NIST", b"RIFX", b"FORM"):
            return archive, "the archive holds no sound there, but numbers or a part of a sound"
        file.seek(start)
        sound, names = file.read(length), following[1] if following else []
        named = next((end for name in names if sound.endswith(end := f"{name} ".encode())), b"")
        config.write_file(path, sound.removesuffix(named))
    return path, ""


def fetch_collection(name: str, progress: bool) -> Path:
    """The folder of ``audb:NAME[:VERSION]`` or ``hf:OWNER/NAME[/FOLDER]``, fetched if it is not there."""
    kind, _, rest = name.partition(":")
    package = {"audb": "audb", "hf": "huggingface_hub"}[kind]
    try:
        library = importlib.import_module(package)
        if kind == "audb":
            if config.offline():
                raise NslibError("downloads are forbidden (NSLIB_OFFLINE=1)")
            plain, _, version = rest.partition(":")
            return Path(library.load(plain, version=version or None, verbose=progress).root)
        repository, *folders = ["/".join(rest.split("/")[:2]), *rest.split("/")[2:]]
        home = config.cache_dir("corpora", "hub", *repository.split("/"))  # links of its own cache would hide folders
        library.snapshot_download(repository, repo_type="dataset", local_dir=home, local_files_only=config.offline())
        return home.joinpath(*folders)
    except ModuleNotFoundError as error:
        raise Unavailable(name, f"the package {error.name} is missing", f"python -m pip install {package}") from error
    except Exception as error:  # packages, servers and disks fail in a hundred ways
        raise Unavailable(name, f"{package} says: {' '.join(str(error).split())[:300]}",
                          "Check name and network; a copy that lies here is read as a folder.") from error
