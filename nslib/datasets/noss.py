"""Clips of the NOSS data sets, through TensorFlow Datasets' own builders; and of any other of its data sets with sound.

Around the builders, the kit looks at archives, room on disk and hosts beforehand, decodes clips without programs, and
turns whatever goes wrong into an `Unavailable`. ESC-50's human sounds and masked speech it reads itself.

Clips become 16 kHz WAV files in a `ClipCache`, each made once. Beside them lies the list of all clips of the data set:
``index.parquet``, or ``clips.parquet`` once every clip is made; then nothing else of the data set is read any more.
Both name the key of what they were made of, so that another version is never mixed in. A clip is called by its place
in its split, over all shards (``savee/test/00017``), which is the same wherever the data set is prepared.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from nslib import audio
from nslib.config import Params, cache_dir, hash_file, manual_dir, offline, quieten_tensorflow, tfds_dir, write_file
from nslib.datasets import noss_sources
from nslib.datasets.clip_cache import LIMITED, CachedClip, ClipCache
from nslib.datasets.noss_sources import Source
from nslib.datasets.splits import SPLITS
from nslib.datasets.table import Dataset, limit_clips, make_dataset, read_parquet
from nslib.datasets.tasks import Task
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable, UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

# ESC-50's group "human, non-speech sounds" (targets 20 to 29), which FRILL's model card names but does not list
HUMAN_SOUNDS = ("crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing",
                "brushing_teeth", "snoring", "drinking_sipping")
_NOTES = "nslib.json"  # beside the prepared files: how the kit prepared them
_COLUMNS = ["clip_id", "label", "speaker", "split", "sample_rate", "source"]
_DAMAGE = (OSError, zipfile.BadZipFile, KeyError, UnicodeDecodeError, EOFError)
_UNUSABLE = "Compare it with the original recording; without it the numbers are of fewer clips than others have."


# --- from a data set to its clip table ----------------------------------------------------------

def load_noss(task: Task, params: Params, progress: bool = True) -> Dataset:
    """Have the clips of a task of the paper profile; `Unavailable` says by which steps its data set can be had."""
    source = noss_sources.get_source(task.name)
    limit = params.clips_per_class, params.seed, params.rehearse
    cache, data = ClipCache(source.clip_table.parent.name), _open_data(source)
    index = _read_index(cache, data.key if data else "")
    rows = None if index is None else _join_clips(cache, index, limit, again=data is not None)
    if rows is None:
        with _quieten(progress) if source.version else contextlib.nullcontext():
            rows = _make_clips(cache, data or _fetch_data(source, progress), limit, progress)
    if params.clips_per_class is None and (listed := cache.folder / "index.parquet").is_file():
        listed.replace(source.clip_table)
    usable = rows["sha256"] != ""
    problems = [{"clip_id": row.clip_id, "audio": row.source, "reason": row.note, "remedy": _UNUSABLE}
                for row in rows[~usable].itertuples()]
    known = noss_sources.describe_facts(task.name, rows[usable]) if params.clips_per_class is None else []
    return make_dataset(rows[usable].to_dict("records"), problems,
                        [*rows.attrs["notes"], *_describe_clips(rows), *known])


def list_clips(name: str) -> pd.DataFrame:
    """List all clips (clip_id, label, speaker, split) of a data set of which some were loaded."""
    index = _read_index(ClipCache(noss_sources.get_source(name).clip_table.parent.name), "")
    assert index is not None
    return index


def _open_data(source: Source) -> _Prepared | _Folder | None:
    """The data set as it lies here, if it can be read."""
    if source.is_prepared:
        path, size = source.prepared_dir / _NOTES, sum(p.stat().st_size for p in source.prepared_dir.iterdir())
        notes = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else [
            f"{source.name} was prepared outside the kit: by which decoder its clips were read, and what its archives "
            "lacked, is not known here."]
        roles = {"audio": "audio", "label": "label", "speaker": "label" if source.name == "voxceleb" else "speaker_id"}
        return _Prepared(source.name, source.prepared_dir, roles, SPLITS, f"{source.name}/", 5, tuple(notes),
                         source.clips_gb * min(1.0, size / (source.prepared_gb * 1e9)))
    if not source.version and noss_sources.inspect_manual_files(source.name).complete:
        return _Folder(source)
    return None


def _make_clips(cache: ClipCache, data: _Prepared | _Folder, limit: tuple[int | None, int, bool],
                progress: bool) -> pd.DataFrame:
    """List the clips of a data set, and make those that are asked for and not there."""
    from tqdm.std import tqdm

    listed = cache.folder / "index.parquet"
    if (whole := cache.folder / "clips.parquet").is_file():  # not all of its clips are there any more
        whole.replace(listed)
    index = _read_index(cache, data.key)
    if index is None:
        index = data.list_clips(progress)
        index.attrs = {"key": data.key, "notes": list(data.notes)}
        write_file(listed, index.to_parquet(index=False, write_page_checksum=True))
    wanted = limit_clips(index, *limit)["clip_id"]
    if missing := {name for name in wanted if _find_clip(cache, name, data.key) is None}:
        _check_room(data.name, cache_dir(), data.clips_gb * len(missing) / len(index))
        with tqdm(total=len(missing), desc=f"clips of {data.name}", unit="clip", disable=not progress) as bar:
            for clip_id, decode in data.read_clips(missing):
                try:
                    cache.add(clip_id, data.key, (clip := decode()).wave, clip.notes)
                except BadAudio as error:
                    cache.record(CachedClip(clip_id, data.key, audio.identify_decoders(), note=error.reason))
                bar.update()
    rows = _join_clips(cache, index, limit)
    if rows is None:
        raise Unavailable(f"a clip of {data.name}", "some were listed but could not be read again, or their files "
                          "vanished during the run", "Run again.")
    return rows


def _find_clip(cache: ClipCache, name: str, key: str, again: bool = True) -> CachedClip | None:
    """A clip that was made, or its failure; not, if it can be tried again, that of other decoders."""
    clip = cache.get(name, key)
    return None if clip and again and not clip.size and clip.status != audio.identify_decoders() else clip


def _join_clips(cache: ClipCache, index: pd.DataFrame, limit: tuple[int | None, int, bool], *,
                again: bool = True) -> pd.DataFrame | None:
    """Rows of the clips that are asked for, with what became of each; None if one has not been made."""
    rows = limit_clips(index, *limit)
    clips = [clip for name in rows["clip_id"] if (clip := _find_clip(cache, name, index.attrs["key"], again))]
    if len(clips) < len(rows):
        return None
    return rows.assign(audio=[str(cache.path(clip.clip_id)) for clip in clips], note=[clip.note for clip in clips],
                       sha256=[clip.sha256 for clip in clips], seconds=[clip.seconds for clip in clips])


def _describe_clips(rows: pd.DataFrame) -> list[str]:
    """Sentences for the report on what was done to clips."""
    rates = sorted({int(rate) for rate in rows["sample_rate"]} - {0, audio.SAMPLE_RATE})
    counts, unusable = Counter("; ".join(rows["note"]).split("; ")), int((rows["sha256"] == "").sum())
    limited, mixed = counts[LIMITED], [f"{n} clips: {note}." for note, n in counts.items() if note.endswith("to mono")]
    sentences = {
        f"resampled from {' and '.join(map(str, rates))} to 16000 Hz by soxr HQ; the authors used resampy's "
        "kaiser_best, so vectors agree closely but not to the last bit.": rates,
        f"{limited} clips reach beyond full scale and were cut off there.": limited,
        **dict.fromkeys(mixed, 1),
        f"{unusable} of {len(rows)} clips cannot be used; the report names them.": unusable}
    return [sentence for sentence, applies in sentences.items() if applies]


def _read_index(cache: ClipCache, key: str) -> pd.DataFrame | None:
    """The stored list of clips, if it is of the data set as it lies here now; the key is empty if that is gone."""
    for path in filter(Path.is_file, (cache.folder / "clips.parquet", cache.folder / "index.parquet")):
        try:
            index = read_parquet(path)
        except NslibError as error:
            warnings.warn(f"{error} The clips of the data set are listed again.", stacklevel=2)
            continue
        if "key" in index.attrs and key in ("", index.attrs["key"]):
            return index
    return None


# --- reading what TensorFlow Datasets prepared --------------------------------------------------

@dataclass(frozen=True)
class _Prepared:
    """A data set in TensorFlow Datasets' files, always read in the same order."""

    name: str
    folder: Path
    roles: dict[str, str]  # which feature is the audio, the label and the speaker; empty if none is
    splits: tuple[str, ...]
    prefix: str = ""  # of the names of clips
    digits: int = 6  # in the names of clips, at least
    notes: tuple[str, ...] = ()
    clips_gb: float = 0.0  # room for all its clips

    @cached_property
    def key(self) -> str:
        """Hash of name, version, and of size, first and last MiB of each file: to read all of 100 GB takes minutes."""
        digest, mib = hashlib.sha256(f"{self.folder.parent.name} {self.folder.name}\n".encode()), 1 << 20
        for path in sorted(path for path in self.folder.iterdir() if path.is_file() and path.name != _NOTES):
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                digest.update(file.read(mib))
                file.seek(max(mib, size - mib))
                digest.update(file.read(mib))
        return f"{digest.hexdigest()} {json.dumps(self.roles, sort_keys=True)}"

    def list_clips(self, progress: bool) -> pd.DataFrame:
        """One row a clip, with `_COLUMNS`."""
        import pandas as pd
        from tqdm.std import tqdm

        total = sum(self._builder.info.splits[split].num_examples for split in self.splits)
        examples = self._read(dict.fromkeys(self.splits, 0), self.roles["label"], self.roles["speaker"])
        rows = [(self._name(split, place), self._word(example, "label"), self._word(example, "speaker"), split,
                 self._rate, f"{self.folder.parent.name} {self.folder.name}")
                for split, place, example in tqdm(examples, f"listing {self.name}", total, unit="clip",
                                                  disable=not progress)]
        return pd.DataFrame(rows, columns=_COLUMNS).sort_values("clip_id", ignore_index=True)

    def read_clips(self, wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], audio.Clip]]]:
        """Clips in order, each with its decoder, which raises `BadAudio` if it cannot be used."""
        first: dict[str, int] = {}
        for name in sorted(wanted):
            split, digits = name.removeprefix(self.prefix).rsplit("/", 1)
            first.setdefault(split, int(digits))
        left = len(wanted)
        for split, place, example in self._read(first, self.roles["audio"]):
            if (name := self._name(split, place)) in wanted:
                bits = self.roles.get("bits", "16")
                yield name, partial(_decode_samples, name, example[self.roles["audio"]], self._rate, bits)
                left -= 1
                if not left:
                    return

    @cached_property
    def _builder(self) -> Any:
        import tensorflow_datasets as tfds

        try:
            return tfds.builder_from_directory(self.folder)
        except Exception as error:  # whatever a damaged folder makes of it, the answer is the same
            raise self._explain_damage(error) from error

    @property
    def _rate(self) -> int:
        asked = int(self.roles.get("rate") or 0)
        return asked or self._builder.info.features[self.roles["audio"]].sample_rate or audio.SAMPLE_RATE

    def _name(self, split: str, place: int) -> str:
        digits = max(self.digits, len(str(self._builder.info.splits[split].num_examples - 1)))
        return f"{self.prefix}{split}/{place:0{digits}d}"

    def _read(self, first: dict[str, int], *features: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Examples of splits in order, from a place on in each, with some features as far as there are any."""
        import tensorflow as tf
        import tensorflow_datasets as tfds

        wanted = {name: True for name in features if name in self._builder.info.features}
        decoders = tfds.decode.PartialDecoding(wanted or {self.roles["audio"]: True})
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        try:
            for split, start in first.items():
                data = self._builder.as_dataset(split=f"{split}[{start}:]" if start else split, shuffle_files=False,
                                                decoders=decoders, read_config=in_order)
                for place, example in enumerate(tfds.as_numpy(data), start=start):
                    yield split, place, example
        except tf.errors.OpError as error:
            raise self._explain_damage(error) from error

    def _word(self, example: dict[str, Any], role: str) -> str:
        """A label or speaker as text; empty if it is not given."""
        if (feature := self.roles[role]) not in example:
            return ""
        value, kind = example[feature], self._builder.info.features[feature]
        if hasattr(kind, "int2str"):
            return str(kind.int2str(int(value))) if int(value) >= 0 else ""
        return value.decode() if isinstance(value, bytes) else str(value)

    def _explain_damage(self, error: Exception) -> Unavailable:
        why = f"TensorFlow Datasets cannot read {self.folder} ({str(error).splitlines()[0][:200]})"
        return Unavailable(f"data set {self.name}", why,
                           "Remove that folder and run again: it is prepared anew from the archives.")


def _decode_samples(name: str, samples: np.ndarray[Any, Any], rate: int, bits: str) -> audio.Clip:
    """A clip as the kit hears it: whole numbers are samples of `bits`; if that is empty, of 16 if they look like it."""
    if samples.dtype == np.int16 and (_is_wrapped(samples) or not (bits == "16" or samples.any())):
        raise BadAudio(name, "its samples are the last 16 bits of wider ones, which is noise or silence, as TensorFlow "
                       "Datasets cuts them", "Have the kit prepare it anew (move its folder away), or read its files.")
    if samples.dtype.kind == "f" and (samples == np.rint(samples)).all():
        samples = samples.astype(np.int64)  # the feature turned whole numbers into floats
    if samples.dtype.kind in "iu":
        low, high, most = int(samples.min(initial=0)), int(samples.max(initial=0)), 1 << int(bits or 16) - 1
        ask = "" if bits else "; say what the files have: tfds:NAME?bits=8, 16 or 32 (as which 24 come)"
        if low < -most or high >= most:
            raise BadAudio(name, f"samples from {low} to {high} do not fit into {bits or 16} bits{ask}", _UNUSABLE)
        if 0 < max(-low, high) <= {"": 1 << 7, "32": 1 << 15}.get(bits, 0):
            raise BadAudio(name, f"samples from {low} to {high} are of {'16' if bits else '8'} bits, or faint ones of "
                           f"{bits or '16'}{ask}", _UNUSABLE)
        samples = samples.astype(np.int16) if most == 1 << 15 else (samples / most).astype(np.float32)
    return audio.from_array(samples, rate, name)


def _is_wrapped(samples: np.ndarray[Any, Any]) -> bool:
    """Whether samples are the last 16 of 24 bits, of which 8 repeat the sign, or of 32: no sound is so loud a hiss."""
    wave = samples.reshape(len(samples), -1)[:, 0]
    heard = wave[wave != 0].astype(np.float64)
    power = float(np.mean(heard**2)) if len(heard) > 1 else 0.0
    white = power > 2.0**28 and abs(float(np.mean(heard[1:] * heard[:-1]))) < power / 10  # half of full scale
    return white or (np.abs(heard).max(initial=0) > 128 and np.unique(wave & 255).tolist() == [0, 255])


# --- ESC-50 and masked speech -------------------------------------------------------------------

class _Folder:
    """A data set that the kit reads itself, from a folder or from the ZIP archive of it."""

    notes: tuple[str, ...] = ()

    def __init__(self, source: Source):
        self.name, self.clips_gb = source.name, source.clips_gb
        folder, list_members = _LAYOUTS[source.name]
        self._root: Path | zipfile.Path = manual_dir() / folder
        try:
            if self._root.is_dir():
                sizes = {str(path.relative_to(self._root)): path.stat().st_size for path in self._root.rglob("*.*")}
            else:
                archive = zipfile.ZipFile(manual_dir() / f"{folder}.zip")
                sizes = {entry.filename.partition("/")[2]: entry.file_size for entry in archive.infolist()}
                self._root = zipfile.Path(archive, f"{folder}/")
            self._clips = sorted(list_members(self._root, sizes))
        except _DAMAGE as error:
            raise Unavailable(f"data set {self.name}", f"it cannot be read ({type(error).__name__}: {error})",
                              source.remedy()) from error
        if empty := [split for split in SPLITS if split not in {clip[3] for clip in self._clips}]:
            raise Unavailable(f"data set {self.name}", f"no labelled clip is in {' and '.join(empty)}", source.remedy())
        made_of = [(clip, sizes.get(clip[1])) for clip in self._clips]
        self.key = hashlib.sha256(repr(made_of).encode()).hexdigest()

    def list_clips(self, _: bool) -> pd.DataFrame:
        """One row a clip, with `_COLUMNS`."""
        import pandas as pd

        rows = [(name, label, "", split, self._find_rate(member), self.name)
                for name, member, label, split in self._clips]
        return pd.DataFrame(rows, columns=_COLUMNS)

    def read_clips(self, wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], audio.Clip]]]:
        """Clips in order, each with its decoder, which raises `BadAudio` if it cannot be used."""
        return ((name, partial(self._decode, member)) for name, member, _, _ in self._clips if name in wanted)

    def _find_rate(self, member: str) -> int:
        """Of a file, Hz; 0 if it cannot be read, which its decoding will explain."""
        import soundfile

        try:
            return int(soundfile.info(io.BytesIO((self._root / member).read_bytes())).samplerate)
        except (soundfile.LibsndfileError, *_DAMAGE):
            return 0

    def _decode(self, member: str) -> audio.Clip:
        try:
            data = (self._root / member).read_bytes()
        except _DAMAGE as error:
            raise BadAudio(member, "the list names it, and it is not there", "Unpack the original again.") from error
        return audio.read(member, data)


_Members = Iterator[tuple[str, str, str, str]]  # name, file, label and split of each clip


def _list_esc50(root: Path | zipfile.Path, _: Collection[str]) -> _Members:
    """Human sounds, split by fold: each holds clips of other original recordings."""
    folds = {"1": "train", "2": "train", "3": "train", "4": "validation", "5": "test"}
    for row in _read_csv(root / "meta/esc50.csv"):
        if row["category"] in HUMAN_SOUNDS:
            name = row["filename"]
            yield f"esc50-human/{Path(name).stem}", f"audio/{name}", row["category"], folds[row["fold"]]


def _list_masked_speech(root: Path | zipfile.Path, members: Collection[str]) -> _Members:
    """Labelled clips (? is a label that is kept back), split by the first word of their names."""
    place = {Path(member).name: member for member in members}
    parts = {"train": "train", "devel": "validation", "test": "test"}
    for row in _read_csv(root / "lab/labels.csv"):
        name, label = row["file_name"], row["label"].strip()
        if label not in ("", "?"):
            part = parts[name.partition("_")[0]]
            yield f"masked-speech/{Path(name).stem}", place.get(name, f"wav/{name}"), label, part


def _read_csv(path: Path | zipfile.Path) -> csv.DictReader[str]:
    """Rows of a list."""
    return csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig")))


_LAYOUTS = {"esc50-human": ("ESC-50-master", _list_esc50), "masked-speech": ("masked-speech", _list_masked_speech)}


# --- preparing with TensorFlow Datasets ---------------------------------------------------------

def _fetch_data(source: Source, progress: bool) -> _Prepared | _Folder:
    """Have TensorFlow Datasets prepare a data set, or say why it cannot be had."""
    status = noss_sources.get_status(source.name)
    if status.state == "manual" or not source.version:
        raise Unavailable(f"data set {source.name}", status.detail, status.remedy or source.remedy())
    manual = noss_sources.inspect_manual_files(source.name)
    _check_room_to_prepare(source, manual.size if manual.complete else 0)
    archive, unpacked = manual_dir() / source.archive, tfds_dir() / f"downloads/extracted/ZIP.{source.archive}"
    if source.archive and unpacked.is_dir() and unpacked.stat().st_mtime < archive.stat().st_ctime:
        shutil.rmtree(unpacked)  # of an archive that has been replaced since: only its name is compared there
    try:
        notes = _run_builder(source, progress)
    except Unavailable:
        raise
    except Exception as error:  # builders, archives, networks and disks fail in a hundred ways
        raise _explain_failure(error, source) from error
    write_file(source.prepared_dir / _NOTES, json.dumps(notes))
    data = _open_data(source)
    assert data is not None  # it has just been prepared
    return data


def _run_builder(source: Source, progress: bool) -> list[str]:
    """Prepare a data set; sentences on what was done otherwise than TensorFlow Datasets alone would."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(f"{source.name}:{source.version}", data_dir=tfds_dir())
    if source.name == "voxforge":
        _replace_beam(builder)
    _ask_hosts(source, [file.url for file in noss_sources.list_missing_files(source.name)])
    manager = tfds.download.DownloadManager(download_dir=tfds_dir() / "downloads", manual_dir=manual_dir(),
                                            dataset_name=source.name, url_infos=builder.url_infos)
    # first what is small, so that 30 GB are not unpacked for want of 5 MB
    lists = manager.download([file.url for file in noss_sources.list_registered_files(source.name)])
    notes = _adopt_mirror(source, Path(lists[0]), progress) if source.name == "crema_d" else []
    counts = _prepare(builder, "audio")
    if source.name == "voxceleb":
        wanted = sum(bool(line.strip()) for line in Path(lists[0]).read_text(encoding="utf-8").splitlines())
        if absent := wanted - sum(split.num_examples for split in builder.info.splits.values()):
            notes.append(f"{absent} of the {wanted} recordings in iden_split.txt are not in the archive (those of the "
                         "40 speakers of VoxCeleb1's test set never are): left out, as TensorFlow Datasets does.")
    if counts["decoded"]:
        notes.append(f"{counts['decoded']} clips were decoded by the kit's own decoders instead of FFmpeg's program.")
    if counts["no sound"]:
        notes.append(f"{counts['no sound']} files of the archives cannot be decoded: left out, as TensorFlow Datasets "
                     "does.")
    if counts["other width"]:
        notes.append(f"{counts['other width']} clips have other widths than 16 bits, and TensorFlow Datasets does not "
                     "tell which: they are too faint, or left out as too loud, as they are for everyone who uses it.")
    if counts["other rate"]:
        notes.append(f"{counts['other rate']} clips have another sample rate than TensorFlow Datasets says for all of "
                     "them, so they are too fast or too slow, as they are for everyone who uses it.")
    return notes


def _replace_beam(builder: Any) -> None:
    """Let VoxForge's builder, which is written for Apache Beam, give its examples one archive after the other."""
    from tensorflow_datasets.audio import voxforge

    # Beam's local runners would hold half a terabyte in memory (measured: 5 times the size of the prepared files); the
    # builder's own writer, which sorts on disk, makes the same records in the same order.
    split_generators = builder._split_generators

    def read_archives(dl_manager: Any) -> dict[str, Iterator[Any]]:
        return {split.name: itertools.chain.from_iterable(
            voxforge._generate_examples(path, dl_manager) for path in sorted(split.gen_kwargs["file_names"]))
            for split in split_generators(dl_manager)}

    builder._split_generators = read_archives


def _adopt_mirror(source: Source, checksums: Path, progress: bool) -> list[str]:
    """Put what a clone of CREMA-D's mirror holds among TensorFlow Datasets' downloads, if its SHA-256 is registered."""
    # TensorFlow Datasets asks GitHub for each of 7,438 clips, and the project's quota there is at times used up; in the
    # manual folder it would not find them, because the registered list has no names for them.
    from etils import epath
    from tensorflow_datasets.core.download import checksums as tfds_checksums
    from tensorflow_datasets.core.download import resource
    from tqdm.std import tqdm

    clone, folder = manual_dir() / "CREMA-D", noss_sources.downloads_dir(source.name)
    folder.mkdir(parents=True, exist_ok=True)
    registered, missing = noss_sources.parse_checksums(checksums.read_text(encoding="utf-8")), []
    for file in tqdm(registered, desc="checking CREMA-D", unit="file", disable=not progress):
        parent, name = file.url.split("/")[-2:]
        path, target = clone / parent / name, folder / resource.get_dl_fname(file.url, file.sha256)
        if target.exists():
            continue
        if not path.is_file() or hash_file(path) != file.sha256:
            missing.append(file.url)
            continue
        try:
            os.link(path, target)
        except OSError:  # another disk, or one without links
            write_file(target, path.read_bytes())
        info = tfds_checksums.UrlInfo(size=file.size, checksum=file.sha256, filename=name)
        resource.write_info_file(url=file.url, path=epath.Path(target), dataset_name=source.name, original_fname=name,
                                 url_info=info)
    _ask_hosts(source, missing)
    names = ", ".join(url.rpartition("/")[2] for url in missing[:3]) + (", ..." if len(missing) > 3 else "")
    return [f"{len(missing)} files of the clone of CREMA-D are not those that TensorFlow Datasets registered and were "
            f"downloaded instead ({names})."] if missing and clone.is_dir() else []


@contextlib.contextmanager
def _quieten(progress: bool) -> Iterator[None]:
    """Keep TensorFlow Datasets' warnings for its own developers off the terminal, and its messages on stderr."""
    quieten_tensorflow()
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import logging

    loggers = (logging.get_absl_logger(), tf.get_logger())
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel("ERROR")
    if not progress:
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        tfds.enable_progress_bar()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _prepare(builder: Any, feature: str, rescale: bool = False) -> Counter[str]:
    """Let a builder work, where pydub has from the kit what it would call FFmpeg's programs for; count such clips.

    The scale of samples is that of each file, which nothing tells afterwards: `rescale` makes them all of 16 bits. NOSS
    stays as everybody has it.
    """
    import tensorflow_datasets as tfds

    # MP3 so decoded differs from FFmpeg's program in the last bit of a sample here and there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that FFmpeg's program was not found
        import pydub
        from pydub.exceptions import PydubException

    rate, counts = builder.info.features[feature].sample_rate or audio.SAMPLE_RATE, Counter[str]()

    def from_file(file: Any, format: str | None = None, **_: Any) -> Any:
        try:
            if format != "wav":
                raise PydubException
            sound = pydub.AudioSegment._from_safe_wav(file)
        except (PydubException, OSError, ValueError, KeyError, IndexError):
            file.seek(0)
            try:
                sound = _decode_segment(file.read(), format)
            except PydubException:
                counts["no sound"] += 1
                raise
            counts["decoded"] += 1
        counts["other rate"] += sound.frame_rate != rate
        counts[f"rate {sound.frame_rate}"] += 1
        counts["other width"] += sound.sample_width != 2
        return sound.set_sample_width(2) if rescale else sound

    original = vars(pydub.AudioSegment)["from_file"]
    pydub.AudioSegment.from_file = staticmethod(from_file)
    try:
        config = tfds.download.DownloadConfig(manual_dir=manual_dir(), try_download_gcs=False)
        builder.download_and_prepare(download_config=config)
    finally:
        pydub.AudioSegment.from_file = original
    return counts


def _decode_segment(data: bytes, suffix: str | None) -> Any:
    """Decode to what pydub would have made, with its own error, so that builders leave out what they always do."""
    import pydub
    from pydub.exceptions import CouldntDecodeError

    try:
        samples, rate = audio.decode(Path(f"clip.{suffix or 'audio'}"), data)[:2]
    except BadAudio as error:
        raise CouldntDecodeError(error.reason) from error
    if samples.dtype != np.int16:  # of lossy formats, as pydub has them
        samples = np.clip(np.rint(samples.astype(np.float64) * 32768), -32768, 32767).astype("<i2")
    return pydub.AudioSegment(data=samples.tobytes(), sample_width=2, frame_rate=rate, channels=samples.shape[1])


# --- what can stop it: network, disk and everything else ----------------------------------------

def _ask_hosts(source: Source, urls: list[str]) -> None:
    """Refuse downloads that are forbidden, or from a host that does not answer: one quick question to each host."""
    for url in {urlsplit(url).netloc: url for url in reversed(urls)}.values():
        if why := _refuse_download(url):
            file = next((file for file in noss_sources.list_registered_files(source.name) if file.url == url), None)
            by_hand = f"save {url} as {file.manual_path}, and it is used instead" if file else "fetch it as described"
            raise Unavailable(f"data set {source.name}", f"{(file and file.name) or url.rpartition('/')[2]} {why}",
                              f"Try again with a network; or, by hand, {by_hand}.\n{source.instructions()}")


def _refuse_download(url: str) -> str:
    """Why a file cannot be downloaded; empty if it can."""
    import requests

    if offline():
        return "would have to be downloaded, and downloads are forbidden (NSLIB_OFFLINE=1)"
    host = urlsplit(url).netloc
    try:
        with requests.get(url, stream=True, timeout=5.0) as answer:
            code = answer.status_code
    except requests.RequestException as error:
        return f"cannot be downloaded: {host} does not answer ({type(error).__name__})"
    return f"cannot be downloaded: {host} answers with error {code}" if code >= 400 else ""


def _check_room_to_prepare(source: Source, archives: int) -> None:
    """Refuse to prepare what will not fit; of archives (bytes, 0: not known) that are a part, a part is made."""
    prepared, clips = _estimate_room(source, archives)
    one_disk = _find_existing(tfds_dir()).stat().st_dev == cache_dir().stat().st_dev
    _check_room(source.name, tfds_dir(), prepared + (clips if one_disk else 0))
    _check_room(source.name, cache_dir(), clips)


def _estimate_room(source: Source, archives: int) -> tuple[float, float]:
    """GB that are written in preparing archives (bytes, 0: not known), and for clips."""
    part = min(1.0, archives / (source.download_gb * 1e9)) if archives else 1.0
    download = source.download_gb if not source.by_hand and not archives else 0.0
    return (source.unpacked_gb + 1.1 * source.prepared_gb) * part + download, source.clips_gb * part


def find_room(name: str) -> tuple[float, float]:
    """GB that are still to be written of a data set: by TensorFlow Datasets, and for clips."""
    source = noss_sources.get_source(name)
    if noss_sources.get_status(name).state in ("ready", "manual"):
        return 0.0, 0.0
    if data := _open_data(source):
        return 0.0, data.clips_gb
    manual = noss_sources.inspect_manual_files(name)
    return _estimate_room(source, manual.size if manual.complete else 0)


def _check_room(name: str, folder: Path, needed: float) -> None:
    """Refuse to write more (GB) than fits; what stopped runs have left behind is named."""
    free = shutil.disk_usage(_find_existing(folder)).free / 1e9
    if needed > free:
        left = [*(tfds_dir() / name).glob("*incomplete*"), *(tfds_dir() / "downloads/extracted").glob("incomplete*")]
        more = f" Runs that were stopped have left these behind, which can be deleted: {', '.join(map(str, left))}."
        raise Unavailable(f"room for the data set {name}",
                          f"about {needed:.1f} GB are needed in {folder}, and {free:.1f} GB are free",
                          "Free some space, or point NSLIB_DATA_DIR (prepared data sets) or NSLIB_CACHE (clips) to a "
                          f"larger disk.{more if left else ''}")


def _find_existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _explain_failure(error: Exception, source: Source) -> Unavailable:
    """Reason and remedy of what TensorFlow Datasets, or what it is built on, raised."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if ours := next((cause for cause in causes if isinstance(cause, Unavailable)), None):
        return ours
    names, text = {type(cause).__name__ for cause in causes}, " ".join(str(cause) for cause in causes)
    remedy = f"Compare with these steps.\n{source.remedy()}"
    if any(getattr(cause, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for cause in causes) \
            or "No space left" in text or "Not enough disk space" in text or "ResourceExhaustedError" in names:
        why = f"the disk of {tfds_dir()} is full"
        remedy = ("Free some space, or point NSLIB_DATA_DIR to a larger disk, and run again: what was downloaded and "
                  "unpacked is used again.")
    elif "NonMatchingChecksumError" in names:
        match = re.search(r"Artifact (\S+), downloaded to (\S+), has wrong checksum", text)
        path, url = (match[2], f" for {match[1]}") if match else ("a file", "")
        why = (f"{path} is not the file that TensorFlow Datasets registered{url} (its checksum differs: it is cut "
               "short or damaged, or its publisher has changed it)")
        remedy = f"Download that file again.\n{source.remedy()}"
    elif any(isinstance(cause, ImportError) for cause in causes):
        why, remedy = f"a package is missing ({_summarise(error)})", "make setup"
    elif any(isinstance(cause, MemoryError) for cause in causes):
        why, remedy = "the memory of this machine does not suffice", "Close other programs and run again."
    elif match := re.search(r"Error for (.+?): ", text):
        why = f"{match[1]} cannot be decoded: it is cut short or damaged"
    elif names & {"ExtractError", "BadZipFile", "ReadError", "EOFError", "zlib.error", "BadGzipFile"}:
        why = f"an archive cannot be unpacked: it is cut short or damaged ({_summarise(error)})"
    elif names & {"DownloadError", "ConnectionError", "Timeout", "ReadTimeout", "ChunkedEncodingError"}:
        why = f"a download failed ({_summarise(error)})"
    else:
        why = f"TensorFlow Datasets stopped with {_summarise(error)}"
    return Unavailable(f"data set {source.name}", why, remedy)


def _summarise(error: BaseException) -> str:
    """Kind and message of an error, on one line."""
    message = " ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


# --- any other data set of TensorFlow Datasets --------------------------------------------------

def list_tfds_clips(source: str, *, progress: bool = True) -> tuple[list[dict[str, Any]], list[str]]:
    """Have the clips of ``NAME/CONFIG:VERSION?label=FEATURE&speaker=FEATURE&audio=FEATURE``, as rows, and notes.

    ``rate`` (Hz) and ``bits`` of the samples are facts that a data set may not tell.
    """
    name, _, asked = source.partition("?")
    with _quieten(progress):
        builder = _find_builder(name)
        roles = _choose_roles(name, builder.info.features, dict(parse_qsl(asked)))
        if not builder.is_prepared():
            _prepare_other(name, builder, roles["audio"])
        notes = _settle_rate(name, builder, roles)
        data = _Prepared(name, Path(builder.data_path), roles, tuple(sorted(builder.info.splits)))
        # 2: of the rules of scale, so that clips which older ones took for sound are made anew
        rows = _make_clips(ClipCache(f"tfds2-{builder.name}"), data, (None, 0, False), progress)
    usable = rows["sha256"] != ""
    resampled = [(f"resampled {rate} -> {audio.SAMPLE_RATE} Hz",) * (rate != audio.SAMPLE_RATE)
                 for rate in rows["sample_rate"]]
    rows = rows.assign(fault=rows["note"].where(~usable, ""), remedy=_UNUSABLE,
                       notes=[tuple(dict.fromkeys((*done, *filter(None, note.split("; "))))) for done, note in
                              zip(resampled, rows["note"], strict=True)],
                       split=rows["split"] if len(data.splits) > 1 else "")
    fields = ["audio", "clip_id", "label", "speaker", "split", "fault", "remedy", "sample_rate", "notes"]
    features = ", ".join(f"{role}: {feature or 'none'}" for role, feature in roles.items()
                         if feature or role not in ("rate", "bits"))
    return rows[fields].to_dict("records"), [f"Features of {name} read: {features}.", *notes]


def _settle_rate(name: str, builder: Any, roles: dict[str, str]) -> list[str]:
    """Have the rate from the user, the feature, or what the kit saw when it prepared the data set; what else it saw."""
    path = Path(builder.data_path) / _NOTES
    seen = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rates = {kind.partition(" ")[2]: count for kind, count in seen.items() if kind.startswith("rate ")}
    told = roles["rate"] or str(builder.info.features[roles["audio"]].sample_rate or "")
    if not told and len(rates) != 1:
        files = f"its files have {' and '.join(sorted(rates))} Hz" if rates else "nothing here tells that of its files"
        raise BadParameter(f"the feature {roles['audio']} of {name} has no sample rate, and {files}; say it: "
                           f"tfds:{name}?rate=48000")
    roles["rate"] = roles["rate"] or ("" if told else next(iter(rates)))
    roles["bits"] = roles["bits"] or ("16" if seen else "")  # to which `_prepare_other` brings them
    used = told or roles["rate"]
    notes = {f"clips had another sample rate than {used} Hz, so they are too fast or too slow.":
             sum(count for rate, count in rates.items() if rate != used),
             "clips of other widths than 16 bits were brought to 16.": seen.get("other width", 0)}
    return [f"{count} {text}" for text, count in notes.items() if count]


def _find_builder(name: str) -> Any:
    """TensorFlow Datasets' builder of a data set."""
    import tensorflow_datasets as tfds

    if (plain := re.split("[/:]", name)[0]) in noss_sources.SOURCES:
        raise BadParameter(f"{plain} is one of the kit's own tasks, with the paper's splits; name it as a task: "
                           f"--profile paper --tasks {plain}")
    try:
        return tfds.builder(name, data_dir=tfds_dir())
    except tfds.core.DatasetNotFoundError:
        raise UnknownName("data set of TensorFlow Datasets", name, tfds.list_builders()) from None
    except (ValueError, RuntimeError, AssertionError, ImportError) as error:
        raise BadParameter(f"TensorFlow Datasets refuses {name!r}: {_summarise(error)}") from error


def _choose_roles(name: str, features: Any, asked: dict[str, str]) -> dict[str, str]:
    """Which feature is the audio, the label and the speaker."""
    import tensorflow_datasets as tfds

    allowed = {"rate": re.compile(r"[1-9]\d*"), "bits": re.compile("8|16|32")}
    for role, feature in asked.items():
        if role not in ("audio", "label", "speaker", *allowed):
            raise UnknownName(f"word in tfds:{name}?{role}=", role, ("audio", "label", "speaker", *allowed))
        if role in allowed and not allowed[role].fullmatch(feature):
            raise BadParameter(f"tfds:{name}?{role}={feature}: give rate in Hz, and bits as 8, 16 or 32.")
        if role not in allowed and feature not in features:
            raise UnknownName(f"feature of {name}", feature, features)
        if role in ("label", "speaker") and features[feature].shape:
            raise BadParameter(f"the feature {feature} of {name} has many values an example, and a {role} is one.")
    sound = sorted(key for key, kind in features.items() if isinstance(kind, tfds.features.Audio))
    classes = sorted(key for key, kind in features.items() if isinstance(kind, tfds.features.ClassLabel))
    label = "label" if "label" in classes else classes[0] if len(classes) == 1 else ""
    speaker = next((key for key in ("speaker", "speaker_id", "speaker_name", "actor") if key in features), "")
    roles = {"audio": sound[0] if len(sound) == 1 else "", "label": label, "speaker": speaker,
             "rate": "", "bits": ""} | asked
    for role, candidates in (("audio", sound), ("label", classes)):
        if not roles[role] and (candidates or role == "audio"):
            raise BadParameter(f"{name} has {len(candidates)} features that could be the {role} "
                               f"({', '.join(candidates) or 'none'}; all: {', '.join(sorted(features))}); name one: "
                               f"tfds:{name}?{role}=FEATURE")
    if (kind := np.dtype(features[roles["audio"]].np_dtype)).kind not in "if" or kind.itemsize < 2:
        raise BadParameter(f"the feature {roles['audio']} of {name} is of {kind}, in which TensorFlow Datasets wraps "
                           "samples round; read the files themselves, as a folder or a list.")
    return roles


def _prepare_other(name: str, builder: Any, feature: str) -> None:
    """Have TensorFlow Datasets prepare a data set that is not of NOSS."""
    if offline():
        raise Unavailable(f"data set {name}", f"it is not prepared in {builder.data_path}, and downloads are forbidden "
                          "(NSLIB_OFFLINE=1)", "Run once without NSLIB_OFFLINE, or set NSLIB_DATA_DIR to where it is.")
    try:
        write_file(Path(builder.data_path) / _NOTES, json.dumps(_prepare(builder, feature, rescale=True)))
    except NslibError:
        raise
    except Exception as error:  # builders, archives, networks and disks fail in a hundred ways
        raise Unavailable(f"data set {name}", f"TensorFlow Datasets cannot prepare it ({_summarise(error)})",
                          f"Its page, https://www.tensorflow.org/datasets/catalog/{builder.name}, says what it needs; "
                          f"files fetched by hand belong into {manual_dir()}.") from error
