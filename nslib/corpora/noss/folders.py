"""The two tasks that FRILL added, read from folders by the kit itself.

ESC-50, human sounds: the ten classes of the group "human, non-speech sounds", 400 clips of 5 s. FRILL's
model card names the subset but does not list it. Folds 1 to 3 train, 4 validates, 5 is the test: each
fold of ESC-50 holds clips of other original recordings.

Masked speech: the Mask Sub-Challenge of ComParE 2020, as released: ``lab/labels.csv`` with the columns
``file_name`` and ``label`` (clear, mask, or ? where it is kept back), and clips whose name begins with
their part: train, devel or test.
"""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import audio, params
from nslib.corpora import debian
from nslib.corpora.noss.origin import INDEX, Origin
from nslib.corpora.noss.sources import Source
from nslib.corpora.noss.state import steps
from nslib.errors import BadAudio, Unavailable
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

HUMAN = ("crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing", "brushing_teeth",
         "snoring", "drinking_sipping")
"""ESC-50's human, non-speech sounds: its targets 20 to 29."""

_FOLDS = {"1": "train", "2": "train", "3": "train", "4": "validation", "5": "test"}
_PARTS = {"train": "train", "devel": "validation", "test": "test"}
_DAMAGE = (OSError, zipfile.BadZipFile, KeyError, UnicodeDecodeError, EOFError)


@dataclass(frozen=True)
class _Listed:
    """One clip of a list: where it is, and what it is."""

    clip_id: str
    member: str
    label: str
    split: str


class _Store:
    """Files of a folder, or of a ZIP archive that holds that folder."""

    def __init__(self, folder: Path):
        self.folder, self.archive = folder, folder.with_name(f"{folder.name}.zip")

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.archive)

    def read(self, member: str) -> bytes:
        if self.folder.is_dir():
            return (self.folder / member).read_bytes()
        return self._zip.read(f"{self.folder.name}/{member}")

    def sizes(self) -> dict[str, int]:
        if self.folder.is_dir():
            paths = (path for path in self.folder.rglob("*") if path.is_file())
            return {path.relative_to(self.folder).as_posix(): path.stat().st_size for path in paths}
        return {entry.filename.partition("/")[2]: entry.file_size for entry in self._zip.infolist()}


def origin(source: Source) -> Origin:
    """Open one of the two data sets.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Origin

    Raises
    ------
    Unavailable
        If its files are not there, or not as described.
    """
    name, layout = _LAYOUTS[source.name]
    store = _Store(params.manual_dir() / name)
    try:
        sizes = store.sizes()
        clips = layout(store, sizes)
    except _DAMAGE as error:
        raise Unavailable(f"data set {source.name}", f"it cannot be read ({type(error).__name__}: {error})",
                          steps(source)) from error
    lost = [split for split in SPLITS if not any(clip.split == split for clip in clips)]
    if lost:
        raise Unavailable(f"data set {source.name}", f"no labelled clip is in {' and '.join(lost)}", steps(source))
    made_of = [(clip, sizes.get(clip.member)) for clip in clips]
    part = min(1.0, sum(sizes.values()) / (source.download_gb * 1e9))
    return Origin(hashlib.sha256(repr(made_of).encode()).hexdigest(), partial(_index, source, store, clips),
                  partial(_read, store, clips), part)


def _esc50(store: _Store, _: dict[str, int]) -> list[_Listed]:
    rows = _rows(store, "meta/esc50.csv")
    return [_Listed(f"esc50-human/{Path(row['filename']).stem}", f"audio/{row['filename']}", row["category"],
                    _FOLDS[row["fold"]]) for row in rows if row["category"] in HUMAN]


def _masked(store: _Store, sizes: dict[str, int]) -> list[_Listed]:
    place = {Path(member).name: member for member in sizes}
    clips = []
    for row in _rows(store, "lab/labels.csv"):
        name, label = row["file_name"], row["label"].strip()
        if label not in ("", "?"):
            clips.append(_Listed(f"masked-speech/{Path(name).stem}", place.get(name, f"wav/{name}"), label,
                                 _PARTS[name.partition("_")[0]]))
    return clips


def _rows(store: _Store, member: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(store.read(member).decode("utf-8-sig"))))


def _index(source: Source, store: _Store, clips: list[_Listed]) -> pd.DataFrame:
    import pandas as pd

    rows = [{"clip_id": clip.clip_id, "label": clip.label, "speaker": "", "split": clip.split,
             "sample_rate": _rate(store, clip.member), "source": source.name} for clip in clips]
    return pd.DataFrame(rows, columns=list(INDEX)).sort_values("clip_id", ignore_index=True)


def _rate(store: _Store, member: str) -> int:
    """Of the file, Hz; 0 if it cannot be read, which its decoding will explain."""
    import soundfile

    try:
        return int(soundfile.info(io.BytesIO(store.read(member))).samplerate)
    except (soundfile.LibsndfileError, *_DAMAGE):
        return 0


def _read(store: _Store, clips: list[_Listed],
          wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], audio.Clip]]]:
    for clip in sorted(clips, key=lambda clip: clip.clip_id):
        if clip.clip_id in wanted:
            yield clip.clip_id, partial(_clip, store, clip)


def _clip(store: _Store, clip: _Listed) -> audio.Clip:
    try:
        data = store.read(clip.member)
    except _DAMAGE as error:
        raise BadAudio(clip.member, "the list names it, and it is not there", "Unpack the original again.") from error
    return debian.decode(data, Path(clip.member).suffix)


_LAYOUTS: dict[str, tuple[str, Callable[[_Store, dict[str, int]], list[_Listed]]]] = {
    "esc50-human": ("ESC-50-master", _esc50), "masked-speech": ("masked-speech", _masked),
}
