"""Whether what was fetched by hand is the right thing, in the right place, under the right name.

Each look takes milliseconds, so that it can be had at any time; what cannot be seen so fast (a damaged
clip, a wrong checksum) shows when the data set is prepared.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nslib import params
from nslib.corpora.noss import peek, registry, sources

_POINTER = b"version https://git-lfs"
_ITSELF = "TensorFlow Datasets reads the archive itself"


@dataclass(frozen=True)
class Look:
    """What is in the manual folder for one data set.

    Attributes
    ----------
    complete : bool
        Whether everything that must be fetched by hand is there, as far as a quick look tells.
    found : str
        What is there, in words; empty if nothing is.
    advice : str
        What to do with what is there, if it is not right yet.
    size : int
        Bytes of audio that are there; 0 if it is not known.
    """

    complete: bool = False
    found: str = ""
    advice: str = ""
    size: int = 0


def look(name: str) -> Look:
    """Look at what was fetched by hand for a data set.

    Parameters
    ----------
    name : str

    Returns
    -------
    Look

    Raises
    ------
    UnknownName
        If there is no such data set.
    """
    sources.get(name)
    return _cut_short(name) or _LOOKS[name]()


def _voxceleb() -> Look:
    manual, archive = params.manual_dir(), params.manual_dir() / "vox_dev_wav.zip"
    if archive.is_file():
        return _zip(archive, "wav/id", "wav/id10001/.../00001.wav")
    official, parts = manual / "vox1_dev_wav.zip", sorted(manual.glob("vox1_dev_wav_part*"))
    if official.is_file():
        return Look(found="vox1_dev_wav.zip", advice=_rename(official, archive))
    if parts:
        missing = [p for p in ("aa", "ab", "ac", "ad") if not (manual / f"vox1_dev_wav_part{p}").is_file()]
        join = f"Download the missing parts ({', '.join(missing)}). " if missing else ""
        return Look(found=", ".join(p.name for p in parts),
                    advice=f"{join}Join the four: cat {_sh(manual)}/vox1_dev_wav_parta* > {_sh(archive)}")
    if (manual / "wav").is_dir():
        return Look(found="an unpacked folder wav",
                    advice=f"{_ITSELF}: cd {_sh(manual)} && zip -0 -q -r {archive.name} wav")
    if (manual / "vox1_test_wav.zip").is_file():
        return Look(found="vox1_test_wav.zip", advice="That is the other archive; the task uses the development set.")
    return Look()


def _savee() -> Look:
    manual, archive = params.manual_dir(), params.manual_dir() / "AudioData.zip"
    if archive.is_file():
        return _zip(archive, "AudioData/", "AudioData/DC/a01.wav", ("DC", "JE", "JK", "KL"))
    if (manual / "AudioData").is_dir():
        return Look(found="an unpacked folder AudioData",
                    advice=f"{_ITSELF}: cd {_sh(manual)} && zip -q -r {archive.name} AudioData")
    near = next((p for p in sorted(manual.glob("*.zip")) if p.stem.lower() in ("audiodata", "savee")), None)
    if near:
        return Look(found=near.name, advice=f"If it holds AudioData/DC/a01.wav and so on: {_rename(near, archive)}")
    return Look()


def _zip(archive: Path, prefix: str, example: str, folders: tuple[str, ...] = ()) -> Look:
    size = archive.stat().st_size
    try:
        names = [name for name in peek.names(archive) if not name.endswith("/")]
    except (ValueError, OSError) as error:
        return Look(found=f"{archive.name} ({size / 1e9:.2f} GB)",
                    advice=f"It cannot be used: {error}. Make or download it again.")
    if not any(name.startswith(prefix) and name.endswith(".wav") for name in names):
        inside = names[0] if names else "nothing"
        return Look(found=f"{archive.name}, with {inside} in it",
                    advice=f"It is another archive, or packed otherwise: inside it the first clip must be "
                           f"{example}. Take the original, or pack it again.")
    lost = [f for f in folders if not any(name.startswith(f"{prefix}{f}/") for name in names)]
    if lost:
        return Look(found=archive.name, advice=f"The folders {', '.join(lost)} are not in it; take the original.")
    return Look(True, archive.name, size=size)


def _sh(path: Path) -> str:
    return shlex.quote(str(path))


def _rename(old: Path, new: Path) -> str:
    return f"Rename {old.name} to {new.name}: mv {_sh(old)} {_sh(new)}"


def _voxforge() -> Look:
    manual = params.manual_dir()
    listed = manual / "voxforge_urls.txt"
    if not listed.is_file():
        here = (manual / "www.repository.voxforge1.org").is_dir()
        return Look(found="the folder www.repository.voxforge1.org, but no voxforge_urls.txt" if here else "",
                    advice=f"Put the list beside it, as {listed}" if here else "")
    wanted = [line.strip().strip("\"'") for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    size_of = _sizes(manual, {os.path.dirname(path) for path in wanted})
    missing = [path for path in wanted if path not in size_of]
    there = f"voxforge_urls.txt and {len(wanted) - len(missing)} of its {len(wanted)} archives"
    if missing:
        return Look(found=there, advice=f"Download the rest (the first is {missing[0]}): "
                                        f"cd {_sh(manual)} && wget -c -i voxforge_urls.txt -x")
    return Look(bool(wanted), there, size=sum(size_of[path] for path in wanted))


def _sizes(manual: Path, folders: set[str]) -> dict[str, int]:
    """Sizes of all files of some folders; to list a folder is faster than to ask for each of its files."""
    return {f"{folder}/{entry.name}": entry.stat().st_size for folder in folders
            for entry in _scan(manual / folder) if entry.is_file()}


def _cut_short(name: str) -> Look | None:
    wrong = [f for f in registry.files(name) if f.manual().is_file() and f.manual().stat().st_size != f.size]
    sizes = "; ".join(f"{f.manual()} has {f.manual().stat().st_size} bytes, {f.size} are registered" for f in wrong)
    return Look(found=", ".join(f.name for f in wrong),
                advice=f"Cut short, or another file: {sizes}. Download it again, or remove it.") if wrong else None


def _registered(name: str) -> Look:
    there = [file for file in registry.files(name) if file.manual().is_file()]
    return Look(not registry.missing(name), ", ".join(file.name for file in there), size=sum(f.size for f in there))


def _crema_d() -> Look:
    lists, clone = _registered("crema_d"), params.manual_dir() / "CREMA-D"
    if not clone.is_dir():
        return Look(found=lists.found)
    clips = [entry for entry in _scan(clone / "AudioWAV") if entry.name.endswith(".wav")]
    summary = clone / "processedResults" / "summaryTable.csv"
    found = ", ".join(filter(None, [lists.found, f"CREMA-D with {len(clips)} clips"]))
    if not clips or not summary.is_file():
        lost = summary if clips else clone / "AudioWAV"
        return Look(found=found, advice=f"{lost} is missing; clone the mirror again, with git-lfs installed.")
    if any(_is_pointer(Path(path)) for path in (clips[0].path, summary)):
        return Look(found=found, advice=f"It holds Git LFS pointers instead of sound: cd {_sh(clone)} && git lfs pull")
    size = sum(entry.stat().st_size for entry in clips)
    return Look(lists.complete, found, "" if lists.complete else "The list crema_d.txt is needed too.", size)


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    return list(os.scandir(folder)) if folder.is_dir() else []


def _dementiabank() -> Look:
    root = params.manual_dir() / "dementia" / "English" / "Pitt"
    entries = {kind: _scan(root / kind / "cookie") for kind in ("Control", "Dementia")}
    clips = {kind: [e for e in found if e.name.endswith(".mp3")] for kind, found in entries.items()}
    found = ", ".join(f"{kind}/cookie with {len(mp3)} MP3 files" for kind, mp3 in clips.items() if entries[kind])
    odd = [e.name for mp3 in clips.values() for e in mp3 if e.name.count("-") != 1 or e.name.startswith(".")]
    if odd:
        return Look(found=found, advice=f"Names must have one hyphen (participant-visit.mp3); these have not, so move "
                                        f"them elsewhere: {', '.join(odd[:5])}{', ...' if len(odd) > 5 else ''}")
    if not all(clips.values()):
        elsewhere = "" if found else _misplaced_pitt()
        there = f"It must lie in {root}" if elsewhere else ""
        return Look(found=found or elsewhere, advice=_pitt_advice(entries, root) if found else there)
    return Look(True, found, size=sum(e.stat().st_size for mp3 in clips.values() for e in mp3))


def _misplaced_pitt() -> str:
    manual = params.manual_dir()
    for folder in (manual / "Pitt", manual / "English" / "Pitt", manual / "dementia" / "Pitt"):
        if folder.is_dir():
            return f"the folder {folder.relative_to(manual)}"
    return ""


def _pitt_advice(entries: dict[str, list[os.DirEntry[str]]], root: Path) -> str:
    other = sorted({Path(e.name).suffix or e.name for found in entries.values() for e in found} - {".mp3"})
    what = f" What is there ends in {', '.join(other)}; the MP3 files are needed." if other else ""
    return f"Both {root}/Control/cookie and {root}/Dementia/cookie must hold MP3 files.{what}"


def _esc50() -> Look:
    manual = params.manual_dir()
    folder, archive = manual / "ESC-50-master", manual / "ESC-50-master.zip"
    if folder.is_dir():
        lost = [p for p in (folder / "meta" / "esc50.csv", folder / "audio") if not p.exists()]
        return Look(not lost, folder.name, f"{lost[0]} is missing; unpack the archive again." if lost else "")
    if archive.is_file():
        return _zip(archive, "ESC-50-master/audio/", "ESC-50-master/audio/1-100032-A-0.wav")
    for near in ("master.zip", "ESC-50.zip", "ESC-50-main.zip"):
        if (manual / near).is_file():
            return Look(found=near, advice=_rename(manual / near, archive))
    return Look()


def _masked() -> Look:
    root = params.manual_dir() / "masked-speech"
    if not root.is_dir():
        near = next((p for p in sorted(params.manual_dir().glob("ComParE2020_Mask*"))), None)
        return Look(found=near.name if near else "", advice=f"Its content belongs into {root}" if near else "")
    labels = root / "lab" / "labels.csv"
    if not labels.is_file():
        return Look(found=root.name, advice=f"{labels} is missing.")
    audio = [f for f in ("wav", "train", "devel", "test") if _scan(root / f)]
    return Look(bool(audio), root.name, "" if audio else f"{root / 'wav'} is missing, or empty.")


_LOOKS: dict[str, Callable[[], Look]] = {
    "voxceleb": _voxceleb, "voxforge": _voxforge, "speech_commands": lambda: _registered("speech_commands"),
    "crema_d": _crema_d, "savee": _savee, "dementiabank": _dementiabank, "esc50-human": _esc50,
    "masked-speech": _masked,
}
