"""Audio to learn from, and the pairs of windows that are drawn from it, as log-mel.

Shor et al. 2020 train on the clips of AudioSet that are labelled speech (about 2,800 hours). Here: what Debian packages
hold besides the tasks' audio, a few hundred times less, disjoint by package and speaker (``data/README.md``).

Wherever audio comes from, it becomes an `AudioBank`: pieces in one memory-mapped file. A *piece* is a clip, or several
short ones of the same voice after each other; a *window* is exactly one patch of TRILL. What a step sees depends on the
seed and its number only. Pieces that cannot give a pair are left out and counted, never paired with themselves.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import audio, config, frontend
from nslib.config import Params
from nslib.datasets import debian, folder, loading, tasks
from nslib.datasets.splits import split_by_group
from nslib.errors import BadAudio, BadParameter, Unavailable, UnknownName
from nslib.frontend import HOP, TRILL, WINDOW
from nslib.training.settings import PairSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PACKAGES", "WINDOW_SAMPLES", "AudioBank", "Pairs", "load_audio", "load_folder", "load_packages",
           "make_dataset", "read_manifest"]

PACKAGES = ("beneath-a-steel-sky", "festvox-ru", "flight-of-the-amazon-queen", "tuxpaint-stamps-default")
PARTS = ("train", "validation")

WINDOW_SAMPLES = (TRILL.patch - 1) * HOP + WINDOW
"""Samples of a window: exactly one patch of TRILL."""

_VOICES = "speaker-synthetic"  # the task whose computer voices are taken; those of its test are left out
_HELD_OUT = 0.05
_SCENE = re.compile(r"sky-|queen-(?!joe$)")
_OTHER_PACKAGE = "Use the package of Debian 12 (bookworm), for which the list was made."
_DECODERS, _DECODED_AT_ONCE = 2, 256
_TRIES = 3
_AHEAD = 2
_NOISE_FLOOR = -90.0
_SHORTEST = 0.3 / (WINDOW_SAMPLES / audio.SAMPLE_RATE)

Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]
Waves = Iterator[npt.NDArray[np.float32] | BadAudio]


@dataclass(frozen=True)
class AudioBank:
    """Pieces of audio in one file.

    ``samples`` are int16 at 16 kHz with full scale 32767, memory-mapped; ``starts`` and ``lengths`` int64 [pieces], in
    samples; ``names`` has the clip_id of the first clip of each piece; ``problems`` a line a clip that cannot be read.
    """

    samples: Samples = field(repr=False)
    starts: Ints = field(repr=False)
    lengths: Ints = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    problems: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """Length of everything, in hours."""
        return float(self.lengths.sum()) / audio.SAMPLE_RATE / 3600

    @property
    def fingerprint(self) -> str:
        """16 hex digits of what the pieces are called and how long they are."""
        return hashlib.sha256(json.dumps([self.names, self.lengths.tolist()]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrainingAudio:
    """Audio of different scenes, sentences or computer voices; kind (real, synthetic); what is heard, and why."""

    learn: AudioBank
    held_out: AudioBank
    kind: str
    note: str


def load_audio(params: Params, packages: Sequence[str], join: float = 0.0, *, progress: bool = True) -> TrainingAudio:
    """Load recorded speech, or computer voices if ``params.corpus`` asks for those or nothing else can be had.

    UnknownName for a package that is not in `PACKAGES`; ``join`` is `PairSettings.join`.
    """
    why = "as was asked for"
    if params.corpus != "synthetic":
        try:
            learn, held_out = (load_packages(part, join, packages=packages, progress=progress) for part in PARTS)
            return TrainingAudio(learn, held_out, "real", f"recorded speech of {', '.join(packages)}")
        except Unavailable as error:
            why = f"because there is no recorded speech here: {error}"
    clips = loading.load_clips(tasks.get_task(_VOICES), params, progress=progress).clips
    learn, held_out = _decode_parts(clips, clips["split"], join, progress)
    return TrainingAudio(learn, held_out, "synthetic", f"computer voices, {why}")


def load_folder(path: Path, join: float = 0.0, *, progress: bool = True) -> tuple[AudioBank, AudioBank]:
    """Load recordings of yours, to learn from and to stop by; labels and splits are not looked at.

    ``path`` is a folder or a table, as `nslib.benchmark` takes it; ``join`` is `PairSettings.join`. 5 % of the speakers
    (clips where none is named) are the second bank. Files that cannot be read are problems of the first. BadParameter
    if there is too little for two parts.
    """
    recordings = folder.read_recordings(path, progress=progress)
    groups = [row.speaker or row.clip_id for row in recordings.clips.itertuples()]
    names = sorted(set(groups))
    if len(names) < 2:
        raise BadParameter(f"{path} has {len(names)} speakers (or clips, where none is named); two are needed, one to "
                           "learn from and one to stop by.")
    part_of = split_by_group(names, names, (1 - _HELD_OUT, _HELD_OUT), PARTS)
    learn, held_out = _decode_parts(recordings.clips, [part_of[group] for group in groups], join, progress)
    unread = (f"{row.clip_id}: {row.reason}. {row.remedy}" for row in recordings.problems.itertuples())
    return replace(learn, problems=(*unread, *learn.problems)), held_out


def _decode_parts(clips: pd.DataFrame, parts: Sequence[str], join: float, progress: bool) -> Iterator[AudioBank]:
    """Decode the clips of each of `PARTS`; ``parts`` says of each clip where it belongs."""
    clips = clips.assign(part=parts).sort_values(["speaker", "clip_id"])
    return (decode_clips(clips[clips["part"] == part], join, progress=progress) for part in PARTS)


def load_packages(part: str, join: float = 0.0, *, packages: Sequence[str] = PACKAGES,
                  progress: bool = True) -> AudioBank:
    """Load "train" or "validation" of the kit's training audio (1.2 GB for both parts of all packages, decoded once).

    Only the packages named are downloaded. UnknownName for another part or package, Unavailable if one cannot be had;
    clips that are missing or changed are problems of the bank. ``join`` is `PairSettings.join`: a scene of a game is a
    conversation and not joined, or the network would learn that a change of speaker does not matter.
    """
    for kind, names, allowed in (("part", (part,), PARTS), ("package of the training audio", packages, PACKAGES)):
        for name in names:
            if name not in allowed:
                raise UnknownName(kind, name, allowed)
    clips = read_manifest()
    clips = clips[(clips["split"] == part) & clips["package"].isin(packages)]
    clips = clips.sort_values(["package", "clip_id"], ignore_index=True)
    voices = ["" if _SCENE.match(speaker) else speaker for speaker in clips["speaker"]]
    return decode_clips(clips.assign(speaker=voices), join, read=_read_packages, progress=progress)


def read_manifest() -> pd.DataFrame:
    """Read the committed list of clips in packages, with the columns `nslib.datasets.debian.MANIFEST_COLUMNS`."""
    return debian.read_manifest(debian.manifest_path("train-speech"))


def _read_packages(clips: pd.DataFrame, progress: bool) -> Waves:
    paths = debian.fetch_packages(sorted(set(clips["package"])), progress=progress)
    for package, members in clips.groupby("package", sort=False):
        rows = {row.member: row for row in debian.list_rows(members)}
        with ThreadPoolExecutor() as pool:
            jobs = {member: pool.submit(_decode_member, rows[member], content)
                    for member, content in debian.read_files(paths[package], rows.keys())}
        missing = f"{paths[package].name} has no such file"
        for member in rows:  # in the order of the table
            yield jobs[member].result() if member in jobs else BadAudio(member, missing, _OTHER_PACKAGE)


def _decode_member(row: debian.ManifestRow, content: bytes) -> npt.NDArray[np.float32] | BadAudio:
    try:
        wave = debian.decode_audio(content, PurePosixPath(row.member).suffix).wave
    except BadAudio as error:
        return BadAudio(row.member, error.reason, error.remedy)
    rounded = round_to_int16(wave).astype(np.float32) / np.float32(32767)
    if audio.sha256(rounded) != row.sha256 and hashlib.sha256(content).hexdigest() != row.file_sha256:
        return BadAudio(row.member, f"the recording in {row.package} is another one", _OTHER_PACKAGE)
    return rounded


def _read_files(clips: pd.DataFrame, progress: bool) -> Waves:
    def read(path: str) -> npt.NDArray[np.float32] | BadAudio:
        try:
            return audio.read(path).wave
        except BadAudio as error:
            return error

    paths = list(clips["audio"])
    with ThreadPoolExecutor(_DECODERS) as pool:
        for start in range(0, len(paths), _DECODED_AT_ONCE):  # few in memory
            yield from pool.map(read, paths[start:start + _DECODED_AT_ONCE])


def decode_clips(clips: pd.DataFrame, join: float = 0.0, *, read: Callable[[pd.DataFrame, bool], Waves] = _read_files,
                 progress: bool = True) -> AudioBank:
    """Decode a clip table (``clip_id, speaker, sha256``) into one file, or find that file in the cache."""
    made_of = json.dumps([list(clips[name]) for name in ("clip_id", "sha256")])
    place = config.cache_dir("train") / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    index = place / "index.json"
    if not index.exists():  # the index is written last, so what has one is complete
        place.mkdir(parents=True, exist_ok=True)
        decoded = _write_samples(clips, read(clips, progress), place / "samples.i16", progress)
        config.write_file(index, json.dumps(decoded))
    known = json.loads(index.read_text(encoding="utf-8"))
    samples: Samples = np.memmap(place / "samples.i16", np.int16, "r")
    first, sizes = _join_pieces(known, dict(zip(clips["clip_id"], clips["speaker"], strict=True)), join)
    starts = np.cumsum([0, *known["lengths"]], dtype=np.int64)[first]
    return AudioBank(samples, starts, sizes, tuple(known["names"][k] for k in first), tuple(known["problems"]))


def _write_samples(clips: pd.DataFrame, waves: Waves, path: Path, progress: bool) -> dict[str, list[Any]]:
    """Write all samples to one file; return names and lengths of its clips, and the problems of the others."""
    from tqdm.std import tqdm

    index: dict[str, list[Any]] = {"names": [], "lengths": [], "problems": []}
    unfinished = path.with_suffix(f".{os.getpid()}")
    bar = tqdm(waves, "decoding", len(clips), unit="clip", disable=not progress)
    try:
        with unfinished.open("wb") as file:
            for row, wave in zip(clips.itertuples(), bar, strict=True):
                if isinstance(wave, BadAudio):
                    index["problems"].append(str(wave))
                    continue
                file.write(round_to_int16(wave).tobytes())
                index["names"].append(row.clip_id)
                index["lengths"].append(len(wave))
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        remedy = "Free some space, or set NSLIB_CACHE to another disk."
        raise Unavailable(f"a place for {path}", error.strerror or str(error), remedy) from error
    if not index["names"]:
        first = (index["problems"] or ["there is none"])[0]
        raise BadParameter(f"none of {len(clips)} clips can be read. {first}")
    return index


def round_to_int16(wave: npt.NDArray[np.float32]) -> Samples:
    """Round a waveform to 16 bits, as the kit's WAV files do; what is above full scale is cut off there."""
    return np.rint(np.clip(wave.astype(np.float64), -1, 1) * 32767).astype(np.int16)


def _join_pieces(index: dict[str, list[Any]], speakers: dict[str, str], join: float) -> tuple[list[int], Ints]:
    """Return the number of the first clip of each piece, and lengths of pieces, which lie next to each other."""
    first: list[int] = []
    lengths: list[int] = []
    before = ""
    for number, (name, length) in enumerate(zip(index["names"], index["lengths"], strict=True)):
        speaker = speakers[name]
        if speaker and speaker == before and lengths[-1] < join * audio.SAMPLE_RATE:
            lengths[-1] += length
        else:
            first.append(number)
            lengths.append(length)
        before = speaker
    return first, np.array(lengths, np.int64)


class Pairs:
    """Draws the pairs of a step; BadParameter if there are fewer usable pieces than pairs in a batch.

    ``pieces`` are those that can give a pair, ``left_out`` counts the others by what is wrong with them.
    """

    def __init__(self, bank: AudioBank, settings: PairSettings, seed: int = 0):
        self.bank, self.settings, self.seed = bank, settings, seed
        self.gap, self.tau = max(1, round(settings.gap * audio.SAMPLE_RATE)), round(settings.tau * audio.SAMPLE_RATE)
        room = bank.lengths - WINDOW_SAMPLES
        self.pieces = np.flatnonzero(room >= self.gap)
        self.left_out = {"shorter than a window": int((room < 0).sum()),
                         "a single window": int(((room >= 0) & (room < self.gap)).sum())}
        if len(self.pieces) < settings.batch:
            raise BadParameter(f"a batch needs {settings.batch} different clips, and {len(self.pieces)} have two "
                               f"windows {settings.gap} s apart. Take fewer pairs or longer clips.")
        self.quiet_level = 32767.0 * 10 ** (settings.quiet / 20)
        self._room = room[self.pieces]
        self._weights = np.ones(len(self.pieces)) if settings.weight == "clip" else self._room.astype(float)

    @property
    def notes(self) -> list[str]:
        """What was left out, and which clips could not be read."""
        left_out = [f"{count} of {len(self.bank.lengths)} pieces were left out: {why}."
                    for why, count in self.left_out.items() if count]
        return [*left_out, *self.bank.problems]

    def draw(self, step: int) -> tuple[Samples, Ints, Ints]:
        """Draw windows int16 [pairs, 2, WINDOW_SAMPLES], their pieces [pairs], all different, and starts [pairs, 2]."""
        rng = np.random.default_rng([self.seed, step])
        # exponential keys divided by weights: the smallest are a weighted draw without replacement
        keys = rng.exponential(size=len(self.pieces)) / self._weights
        chosen = np.argpartition(keys, self.settings.batch - 1)[: self.settings.batch]
        chosen = chosen[np.argsort(keys[chosen])]
        windows = np.empty((len(chosen), 2, WINDOW_SAMPLES), np.int16)
        starts = np.empty((len(chosen), 2), np.int64)
        for row, place in enumerate(chosen):
            first = int(self.bank.starts[self.pieces[place]])
            for _ in range(_TRIES):
                starts[row] = self._draw_starts(rng, int(self._room[place]))
                for slot, start in enumerate(starts[row]):
                    windows[row, slot] = self.bank.samples[first + start:first + start + WINDOW_SAMPLES]
                if not find_silent(windows[row], self.quiet_level).any():
                    break
        return windows, self.pieces[chosen], starts

    def _draw_starts(self, rng: np.random.Generator, room: int) -> tuple[int, int]:
        """Draw two starts that are `gap` to `tau` apart."""
        anchor = int(rng.integers(0, room + 1))
        if anchor < self.gap and room - anchor < self.gap:  # no partner on either side: take an end
            anchor = 0 if anchor * 2 < room else room
        before = range(max(0, anchor - self.tau), anchor - self.gap + 1)
        after = range(anchor + self.gap, min(room, anchor + self.tau) + 1)
        at = int(rng.integers(0, len(before) + len(after)))
        return anchor, before[at] if at < len(before) else after[at - len(before)]


def find_silent(windows: npt.NDArray[Any], level: float) -> npt.NDArray[np.bool_]:
    """Tell which windows [..., samples] have a root mean square below a level: bool [...]."""
    return np.asarray(np.sqrt(np.mean(np.square(windows, dtype=np.float32), axis=-1)) < level)


def make_dataset(pairs: Pairs, first: int, last: int, *, augment: bool = True) -> Any:
    """Make the tf.data.Dataset of steps ``first`` to ``last - 1``, windows changed as the settings say or as they are.

    Of dicts: ``log_mel`` float32 [pairs, 2, 96, 64], ``windows`` int16 [pairs, 2, WINDOW_SAMPLES] (before any change),
    ``clips`` int64 [pairs], ``silent`` bool [pairs, 2].
    """
    import tensorflow as tf

    settings = pairs.settings

    def draw(step: Any) -> tuple[Any, ...]:
        windows, pieces, _ = pairs.draw(int(step))
        return windows, pieces, find_silent(windows, pairs.quiet_level)

    def batch(step: Any) -> dict[str, Any]:
        windows, pieces, silent = tf.numpy_function(draw, [step], (tf.int16, tf.int64, tf.bool))
        windows = tf.ensure_shape(windows, (settings.batch, 2, WINDOW_SAMPLES))
        return {"log_mel": compute_features(windows, settings if augment else None, (pairs.seed, step)),
                "windows": windows, "clips": tf.ensure_shape(pieces, (settings.batch,)),
                "silent": tf.ensure_shape(silent, (settings.batch, 2))}

    return tf.data.Dataset.range(first, last).map(batch, _AHEAD, deterministic=True).prefetch(_AHEAD)


def compute_features(windows: Any, settings: PairSettings | None = None, seed: tuple[Any, Any] = (0, 0)) -> Any:
    """Turn int16 windows into float32 log-mel patches inside a graph; changed, by the seed, if there are settings."""
    import tensorflow as tf

    wave = tf.cast(windows, tf.float32) / 32767.0
    shape, calls = tf.shape(wave)[:2], itertools.count(1)
    first_seed = tf.stack([tf.cast(part, tf.int64) for part in seed])

    def next_seed() -> Any:
        return first_seed + tf.constant([1_000_003 * next(calls), 0], tf.int64)

    def draw(low: float, high: float) -> Any:
        return tf.random.stateless_uniform(shape, next_seed(), low, high)

    if settings and settings.gain:
        wave *= 10 ** (draw(-1.0, 1.0)[..., None] * settings.gain / 20)
    if settings and settings.noise:
        level = 10 ** ((_NOISE_FLOOR + draw(0.0, 1.0) * settings.noise) / 20)
        wave += level[..., None] * tf.random.stateless_normal(tf.shape(wave), next_seed())
    if settings and settings.short:
        ends = tf.where(draw(0.0, 1.0) < settings.short, draw(_SHORTEST, 1.0), 1.0) * WINDOW_SAMPLES
        wave *= tf.cast(tf.range(WINDOW_SAMPLES, dtype=tf.float32) < ends[..., None], tf.float32)
    patches = frontend.log_mel_tf(wave, TRILL, tf.float32)
    if settings and settings.tilt:
        slope = draw(-1.0, 1.0)[..., None, None] * tf.linspace(-0.5, 0.5, TRILL.mels)
        patches += slope * (settings.tilt * np.log(10) / 20)
    return patches
