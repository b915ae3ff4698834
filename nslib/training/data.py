"""Audio to learn from, and the pairs of windows that are drawn from it, as log-mel.

Shor et al. 2020 train on the clips of AudioSet that are labelled speech (about 2,800 hours). Here: what Debian packages
hold besides the tasks' audio, and open sets of speech, a few hundred times less, disjoint from the tasks by package and
speaker (``data/README.md``).

Wherever audio comes from, it becomes an `AudioBank`: pieces in one memory-mapped file. A *piece* is a clip, or several
short ones of the same voice after each other; a *window* is exactly one patch of TRILL. What a step sees depends on the
seed and its number only. Pieces that cannot give a pair are left out and counted, never paired with themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.std import tqdm

from nslib import audio, config, frontend
from nslib.config import Params
from nslib.datasets import debian, folder, loading, tasks
from nslib.datasets.splits import split_by_group
from nslib.errors import BadAudio, BadParameter, Unavailable, refuse_unknown
from nslib.frontend import HOP, TRILL, WINDOW
from nslib.training.augment import augment as change_windows
from nslib.training.augment import cut_windows, warp
from nslib.training.open_speech import list_open_speech, read_open_speech
from nslib.training.settings import PairSettings

__all__ = ["PACKAGES", "SOURCES", "WINDOW_SAMPLES", "AudioBank", "Pairs", "cut_patches", "load_audio", "load_folder",
           "load_sources", "make_dataset", "read_manifest"]

PACKAGES = ("beneath-a-steel-sky", "festvox-ru")
SOURCES = (*PACKAGES, "librispeech-subset", "picovoice-speech-to-intent", "picovoice-wake-word")
"""Debian packages, and sets of open speech (`nslib.training.open_speech`), that are learnt from."""

PARTS = ("train", "validation")

WINDOW_SAMPLES = (TRILL.patch - 1) * HOP + WINDOW
"""Samples of a window: exactly one patch of TRILL."""

_VOICES = "speaker-synthetic"  # the task whose computer voices are taken; those of its test are left out
_HELD_OUT = 0.05
_OTHER_PACKAGE = "Use the package of Debian 12 (bookworm), for which the list was made."
_DECODERS, _DECODED_AT_ONCE = 2, 256
_TRIES = 3
_AHEAD = 2
_FRAMES_AT_ONCE = 2048
_NEAR = 10  # frames, 0.1 s
_SHORTEST = 30  # frames of a piece that is used, 0.3 s

Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]
Waves = Iterator[npt.NDArray[np.float32] | BadAudio]


@dataclass(frozen=True)
class AudioBank:
    """Pieces of audio in one file.

    ``samples`` are int16 at 16 kHz with full scale 32767, and ``frames`` float16 [frames, 64] the log-mel of all of
    them, both memory-mapped; ``starts`` (multiples of `nslib.frontend.HOP`) and ``lengths`` int64 [pieces], in samples;
    ``names`` has the clip_id of the first clip of each piece, ``sources`` its package; ``problems`` a line a clip that
    cannot be read, ``notes`` what was said where they were.
    """

    samples: Samples = field(repr=False)
    frames: npt.NDArray[np.float16] = field(repr=False)
    starts: Ints = field(repr=False)
    lengths: Ints = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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


def load_audio(params: Params, sources: Sequence[str], join: float = 0.0, *, every: int = 1,
               progress: bool = True) -> TrainingAudio:
    """Load recorded speech (to learn from: every n-th voice or scene), or computer voices."""
    why = "as was asked for"
    if params.corpus != "synthetic":
        try:
            learn, held_out = (load_sources(part, join, sources=sources, every=n, progress=progress)
                               for part, n in zip(PARTS, (every, 1), strict=True))
            share = f"1 in {every} of the named voices and scenes of " if every > 1 else ""
            return TrainingAudio(learn, held_out, "real", f"recorded speech of {share}{', '.join(sources)}")
        except Unavailable as error:
            why = f"because there is no recorded speech here: {error}"
    clips = loading.load_clips(tasks.get_task(_VOICES), params, progress=progress).clips
    learn, held_out = _decode_parts(clips, clips["split"], join, progress)
    return TrainingAudio(learn, held_out, "synthetic", f"computer voices, {why}")


def load_folder(path: Path, join: float = 0.0, *, progress: bool = True) -> tuple[AudioBank, AudioBank]:
    """Load recordings of yours, to learn from and to stop by; labels and splits are not looked at.

    ``path`` is a folder or a table, as `nslib.benchmark` takes it. 5 % of the speakers (clips where none is named) are
    the second bank. Files that cannot be read are problems of the first. BadParameter if there is too little for two
    parts.
    """
    recordings = folder.read_recordings(path, seed=None, progress=progress)
    groups = [row.speaker or getattr(row, "recording", "") or row.clip_id for row in recordings.clips.itertuples()]
    names = sorted(set(groups))
    if len(names) < 2:
        raise BadParameter(f"{path} has {len(names)} speakers (or clips, where none is named); two are needed, one to "
                           "learn from and one to stop by.")
    part_of = split_by_group(names, names, (1 - _HELD_OUT, _HELD_OUT), PARTS)
    learn, held_out = _decode_parts(recordings.clips, [part_of[group] for group in groups], join, progress)
    unread = (f"{row.clip_id}: {row.reason}. {row.remedy}" for row in recordings.problems.itertuples())
    return replace(learn, problems=(*unread, *learn.problems), notes=recordings.notes), held_out


def _decode_parts(clips: pd.DataFrame, parts: Sequence[str], join: float, progress: bool) -> Iterator[AudioBank]:
    """Decode the clips of each of `PARTS`; ``parts`` says of each clip where it belongs."""
    clips = clips.assign(part=parts).sort_values(["speaker", "clip_id"])
    return (decode_clips(clips[clips["part"] == part], join, progress=progress) for part in PARTS)


def load_sources(part: str, join: float = 0.0, *, sources: Sequence[str] = SOURCES, every: int = 1,
                 progress: bool = True) -> AudioBank:
    """Load "train" or "validation" of the kit's training audio (2 GB for both parts of everything, decoded once).

    Only what is named is downloaded. UnknownName for another part or source, Unavailable if one cannot be had; clips
    that are missing or changed are problems of the bank. A scene of a game is a conversation and not joined, or the
    network would learn that a change of speaker does not matter.
    """
    refuse_unknown("part", part, PARTS)
    refuse_unknown("source of training audio", sources, SOURCES)
    clips = read_manifest()
    clips = clips[(clips["split"] == part) & clips["package"].isin(sources)]
    clips = clips[clips.groupby("package")["speaker"].transform(lambda of: of.factorize()[0]) % every == 0]
    voices = ["" if speaker.startswith("sky-") else speaker for speaker in clips["speaker"]]
    return decode_clips(clips.assign(speaker=voices), join, read=_read_sources, progress=progress)


def read_manifest() -> pd.DataFrame:
    """Read the committed lists of clips of all `SOURCES`, with the columns `nslib.datasets.debian.MANIFEST_COLUMNS`."""
    open_sets = [name for name in SOURCES if name not in PACKAGES]
    parts = [debian.read_manifest(debian.manifest_path("train-speech")).sort_values(["package", "clip_id"]),
             *(list_open_speech(open_sets, part).assign(split=part) for part in PARTS)]
    return pd.concat(parts, ignore_index=True)


def _read_sources(clips: pd.DataFrame, progress: bool) -> Waves:
    """Read packages, then sets of open speech: the order of `read_manifest`."""
    packaged = clips["package"].isin(PACKAGES)
    for some, read in ((clips[packaged], _read_packages), (clips[~packaged], read_open_speech)):
        if len(some):
            yield from read(some, progress)


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
        wave = audio.read(row.member, content).wave
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
    made_of = json.dumps(["log-mel", *(list(clips[name]) for name in ("clip_id", "sha256"))])
    place = config.cache_dir("train") / hashlib.sha256(made_of.encode()).hexdigest()[:16]
    index, samples_path, frames_path = (place / name for name in ("index.json", "samples.i16", "frames.f16"))
    place.mkdir(parents=True, exist_ok=True)
    with config.lock(place / "lock"):
        if not index.exists():  # it is written last, so what has one is complete
            decoded = _write_samples(clips, read(clips, progress), samples_path, progress)
            frames = compute_frames(np.memmap(samples_path, np.int16, "r"))
            config.write_file(frames_path, (some.tobytes() for some in frames))
            config.write_file(index, json.dumps(decoded))
    known = json.loads(index.read_text(encoding="utf-8"))
    facts = clips.set_index("clip_id")
    first, sizes = _join_pieces(known, facts["speaker"].to_dict(), join)
    starts = np.cumsum([0, *_round_up(known["lengths"])], dtype=np.int64)[first]
    names = tuple(known["names"][k] for k in first)
    sources = tuple(facts.loc[list(names), "package"]) if "package" in facts else ()
    return AudioBank(np.memmap(samples_path, np.int16, "r"),
                     np.memmap(frames_path, np.float16, "r").reshape(-1, TRILL.mels), starts, sizes, names, sources,
                     tuple(known["problems"]))


def compute_frames(samples: Samples) -> Iterator[npt.NDArray[np.float16]]:
    """Compute the log-mel of int16 samples, some frames [frames, 64] at a time."""
    count = 1 + (len(samples) - WINDOW) // HOP if len(samples) >= WINDOW else 0

    def compute(start: int) -> npt.NDArray[np.float16]:
        wave = samples[start * HOP:(start + _FRAMES_AT_ONCE - 1) * HOP + WINDOW] / np.float32(32767)
        return frontend.log_mel(wave, TRILL, dtype=np.float16)

    with ThreadPoolExecutor(_DECODERS) as pool:
        for first in range(0, count, _FRAMES_AT_ONCE * _DECODED_AT_ONCE):
            last = min(count, first + _FRAMES_AT_ONCE * _DECODED_AT_ONCE)
            yield from pool.map(compute, range(first, last, _FRAMES_AT_ONCE))


def _write_samples(clips: pd.DataFrame, waves: Waves, path: Path, progress: bool) -> dict[str, list[Any]]:
    """Write all samples to one file; return names and lengths of its clips, and the problems of the others."""
    index: dict[str, list[Any]] = {"names": [], "lengths": [], "problems": []}
    def encode() -> Iterator[bytes]:
        for row, wave in zip(clips.itertuples(), bar, strict=True):
            if isinstance(wave, BadAudio):
                index["problems"].append(str(wave))
                continue
            index["names"].append(row.clip_id)
            index["lengths"].append(len(wave))
            yield np.pad(round_to_int16(wave), (0, -len(wave) % HOP)).tobytes()

    bar = tqdm(waves, "decoding", len(clips), unit="clip", disable=not progress)
    config.write_file(path, encode())
    if not index["names"]:
        raise BadParameter(f"none of {len(clips)} clips can be read. {(index['problems'] or ['there is none'])[0]}")
    return index


def _round_up(samples: Any) -> Ints:
    """Round lengths in samples up to whole frames."""
    return -(-np.asarray(samples, np.int64) // HOP) * HOP


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
            lengths[-1] = int(_round_up(lengths[-1])) + length
        else:
            first.append(number)
            lengths.append(length)
        before = speaker
    return first, np.array(lengths, np.int64)


class Pairs:
    """Draws the pairs of a step; BadParameter if there are fewer usable pieces than pairs in a batch.

    ``pieces`` are those that can give a pair, ``left_out`` counts the others by what is wrong with them. With ``fewer``
    a batch is of all usable pieces if there are no more: held-out audio is little.
    """

    def __init__(self, bank: AudioBank, settings: PairSettings, seed: int = 0, *, fewer: bool = False):
        self.bank, self.settings, self.seed = bank, settings, seed
        self.gap, self.tau = (round(value * audio.SAMPLE_RATE / HOP) for value in (settings.gap, settings.tau))
        self.frames = np.maximum(0, 1 + (bank.lengths - WINDOW) // HOP)  # of each piece
        room, least = self.frames - TRILL.patch, _SHORTEST - TRILL.patch if self.gap == 0 else self.gap
        self.pieces = np.flatnonzero(room >= least)
        those = ({"shorter than a window": room < 0, "a single window": (room >= 0) & (room < self.gap)} if self.gap
                 else {"shorter than 0.3 s": room < least})
        self.left_out = {why: int(some.sum()) for why, some in those.items()}
        self.batch = min(settings.batch, max(2, len(self.pieces))) if fewer else settings.batch
        if len(self.pieces) < self.batch:
            raise BadParameter(f"a batch needs {self.batch} different clips, and {len(self.pieces)} have two "
                               f"windows {settings.gap} s apart. Take fewer pairs or longer clips.")
        self.quiet_level = 32767.0 * 10 ** (settings.quiet / 20)
        self._room = np.maximum(room[self.pieces], 0)
        self._weights = self.frames[self.pieces] ** {"clip": 0.0, "root": 0.5, "seconds": 1.0}[settings.weight]
        sources = np.array(bank.sources or [""] * len(bank.names))
        self._source = np.unique(sources[self.pieces], return_inverse=True)[1]

    @property
    def notes(self) -> list[str]:
        """What was left out, and which clips could not be read."""
        left_out = [f"{count} of {len(self.bank.lengths)} pieces were left out: {why}."
                    for why, count in self.left_out.items() if count]
        return [*self.bank.notes, *left_out, *self.bank.problems]

    def draw(self, step: int) -> tuple[Samples, Ints, Ints]:
        """Draw windows int16 [pairs, 2, WINDOW_SAMPLES], their pieces [pairs], all different, and starts [pairs, 2].

        Starts are in samples, and whole frames; behind the end of a piece there are zeros.
        """
        rng = np.random.default_rng([self.seed, step])
        chosen = self._draw_pieces(rng)
        windows = np.empty((len(chosen), 2, WINDOW_SAMPLES), np.int16)
        starts = np.empty((len(chosen), 2), np.int64)
        for row, place in enumerate(chosen):
            piece = self.pieces[place]
            samples = self.bank.samples[self.bank.starts[piece]:self.bank.starts[piece] + self.bank.lengths[piece]]
            for _ in range(_TRIES):
                starts[row] = self._draw_starts(rng, int(self._room[place]))
                for slot, start in enumerate(starts[row] * HOP):
                    window = samples[start:start + WINDOW_SAMPLES]
                    windows[row, slot, :len(window)], windows[row, slot, len(window):] = window, 0
                if not find_silent(windows[row], self.quiet_level).any():
                    break
        return windows, self.pieces[chosen], starts * HOP

    def _draw_pieces(self, rng: np.random.Generator) -> Ints:
        """Draw a weighted sample without replacement; the share `same_source` of it from one package."""
        # exponential keys divided by weights: the smallest are such a sample
        keys = rng.exponential(size=len(self.pieces)) / self._weights
        alike = round(self.batch * self.settings.same_source)
        if alike:
            shares = np.bincount(self._source, self._weights)
            some = np.flatnonzero(self._source == rng.choice(len(shares), p=shares / shares.sum()))
            keys[some[np.argsort(keys[some])[:alike]]] -= np.inf
        chosen = np.argpartition(keys, self.batch - 1)[: self.batch]
        return np.asarray(chosen[np.argsort(keys[chosen], kind="stable")])

    def _draw_starts(self, rng: np.random.Generator, room: int) -> tuple[int, int]:
        """Draw two starts, in frames, that are `gap` to `tau` apart, or near each other."""
        near = rng.random() < self.settings.near
        gap, tau = (0, _NEAR) if near else (self.gap, self.tau)
        anchor = int(rng.integers(0, room + 1))
        if anchor < gap and room - anchor < gap:  # no partner on either side: take an end
            anchor = 0 if anchor * 2 < room else room
        before = range(max(0, anchor - tau), anchor - gap + 1)
        after = range(anchor + max(gap, 1), min(room, anchor + tau) + 1)
        at = int(rng.integers(0, len(before) + len(after)))
        return anchor, before[at] if at < len(before) else after[at - len(before)]


def find_silent(windows: npt.NDArray[Any], level: float) -> npt.NDArray[np.bool_]:
    """Tell which windows [..., samples] have a root mean square below a level: bool [...]."""
    return np.asarray(np.sqrt(np.mean(np.square(windows, dtype=np.float32), axis=-1)) < level)


def make_dataset(pairs: Pairs, first: int, last: int, *, augment: bool = True, windows: bool = False) -> Any:
    """Make the tf.data.Dataset of steps ``first`` to ``last - 1``, windows changed as the settings say or as they are.

    Of dicts: ``log_mel`` float32 [pairs, 2, 96, 64], ``clips`` int64 [pairs], ``silent`` bool [pairs, 2], and, if asked
    for, ``windows`` int16 [pairs, 2, WINDOW_SAMPLES], before any change.
    """
    import tensorflow as tf

    size = pairs.batch
    kept = {"log_mel": (tf.float32, (size, 2, TRILL.patch, TRILL.mels)), "clips": (tf.int64, (size,)),
            "silent": (tf.bool, (size, 2))} | ({"windows": (tf.int16, (size, 2, WINDOW_SAMPLES))} if windows else {})

    def draw(step: Any) -> list[Any]:
        drawn, pieces, starts = pairs.draw(int(step))
        batch = {"log_mel": cut_patches(pairs, int(step), pieces, starts, augment=augment), "clips": pieces,
                 "silent": find_silent(drawn, pairs.quiet_level), "windows": drawn}
        return [batch[name] for name in kept]

    def batch(step: Any) -> dict[str, Any]:
        drawn = tf.numpy_function(draw, [step], [kind for kind, _ in kept.values()])
        return {name: tf.ensure_shape(one, shape) for one, (name, (_, shape)) in zip(drawn, kept.items(), strict=True)}

    return tf.data.Dataset.range(first, last).map(batch, _AHEAD, deterministic=True).prefetch(_AHEAD)


def cut_patches(pairs: Pairs, step: int, pieces: Ints, starts: Ints, *, augment: bool = True) -> npt.NDArray[Any]:
    """Cut the log-mel, float32 [pairs, 2, 96, 64], of drawn windows, changed by the seed and the step, or as it is."""
    settings, rng = pairs.settings, np.random.default_rng([pairs.seed, step, 1])
    first = np.repeat(pairs.bank.starts[pieces] // HOP, 2)
    ends = first + np.repeat(pairs.frames[pieces], 2)
    alike = settings.alike & (np.abs(np.diff(starts)) > _NEAR * HOP)

    def draw_factors(most: float) -> npt.NDArray[np.float64]:
        drawn = rng.uniform(-most, most, starts.shape) if augment else np.zeros(starts.shape)
        return np.exp(np.where(alike, drawn[:, :1], drawn)).ravel()

    windows = cut_windows(pairs.bank.frames, first, ends, starts.ravel() // HOP, draw_factors(settings.stretch))
    if augment and settings.warp:
        windows = warp(windows, draw_factors(settings.warp))
    if augment and settings.changes:
        windows = change_windows(windows, settings, rng)
    return windows.reshape(len(pieces), 2, TRILL.patch, TRILL.mels)
