"""Clips in the space of an embedding: who is near whom.

Conventions
-----------
Every dimension is centred and scaled by its mean and standard deviation over the clips of the space; the similarity of
two clips is the cosine of the angle between their scaled vectors: 1 for the same direction, 0 for two clips that have
nothing in common beyond the average, below 0 for opposite ones. A clip is never its own neighbour, wherever it lies:
clips are told apart by their audio (`nslib.audio.sha256`), not by their names.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nslib import audio, embeddings, extract
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, UnknownName
from nslib.extract.step import padded

if TYPE_CHECKING:
    import pandas as pd

MOST_CLIPS = 5000
FEWEST_CLIPS = 4
COLUMNS = ["clip_id", "audio", "sha256", "seconds", "label", "speaker"]

Floats = npt.NDArray[np.float32]
Voice = audio.Clip | str | Path | npt.NDArray[np.floating]
"""A decoded clip, a file, or float [samples] at 16 kHz."""


@dataclass(frozen=True)
class Space:
    """Clips with their vectors, ready to be compared.

    Attributes
    ----------
    embedding : Embedding
    clips : DataFrame
        Columns clip_id, audio, sha256, seconds, label, speaker.
    unit : float32 [clips, dim]
        Scaled vectors of length one.
    mean, scale : float32 [dim]
        What was taken off the vectors, and what they were divided by.
    """

    embedding: Embedding
    clips: pd.DataFrame
    unit: Floats
    mean: Floats
    scale: Floats

    def row(self, clip_id: str) -> int:
        """Find a clip.

        Parameters
        ----------
        clip_id : str

        Returns
        -------
        int

        Raises
        ------
        UnknownName
            With the nearest names.
        """
        found = np.flatnonzero(self.clips["clip_id"].to_numpy(str) == clip_id)
        if not len(found):
            raise UnknownName("clip", clip_id, self.clips["clip_id"])
        return int(found[0])

    def nearest(self, clip_id: str, count: int = 5) -> pd.DataFrame:
        """Nearest other clips of a clip.

        Parameters
        ----------
        clip_id : str
        count : int
            How many, at most.

        Returns
        -------
        DataFrame
            Rows of `clips` and ``similarity`` in [-1, 1], nearest first.

        Raises
        ------
        UnknownName
            For a clip that is not in the space.
        """
        row = self.row(clip_id)
        return self._near(self.unit[row], str(self.clips["sha256"].iloc[row]), count)

    def like(self, voice: Voice, count: int = 5) -> pd.DataFrame:
        """Nearest clips of any recording.

        Parameters
        ----------
        voice : Clip, path or float [samples]
        count : int

        Returns
        -------
        DataFrame
            As of `nearest`.

        Raises
        ------
        BadAudio
            If it cannot be used.
        """
        wave = decoded(voice)
        return self._near(self.place(wave), audio.sha256(wave), count)

    def place(self, wave: Floats) -> Floats:
        """Put a waveform into the space.

        Parameters
        ----------
        wave : float32 [samples]
            16 kHz.

        Returns
        -------
        float32 [dim]
            Scaled as the others, of length one.
        """
        ready = padded(wave, self.embedding)
        frames, counts = self.embedding.embed(ready[None], np.array([len(ready)]))
        return _unit((frames[0, : counts[0]].astype(np.float64).mean(0) - self.mean) / self.scale)

    def pairs(self) -> tuple[Floats, Floats]:
        """Similarities of all pairs of clips, by whether one speaker has both.

        Returns
        -------
        same, other : float32 [pairs]
            A pair of clips with the same audio, or with one whose speaker is not known, counts for neither.
        """
        speaker, key = (self.clips[c].to_numpy(str) for c in ("speaker", "sha256"))
        first, second = np.triu_indices(len(self.unit), 1)
        apart = (key[first] != key[second]) & (speaker[first] != "") & (speaker[second] != "")
        first, second = first[apart], second[apart]
        values = (self.unit @ self.unit.T)[first, second]
        same = speaker[first] == speaker[second]
        return values[same], values[~same]

    def own_first(self) -> tuple[float, float]:
        """Share of clips whose most similar speaker is their own, when the clip itself is left out.

        Returns
        -------
        share, chance : float
            In [0, 1], over clips whose speaker is known and has another clip; chance is one in the number of known
            speakers.

        Raises
        ------
        BadParameter
            If no speaker is known.
        """
        speaker, key = (self.clips[c].to_numpy(str) for c in ("speaker", "sha256"))
        names = np.unique(speaker[speaker != ""])
        if not len(names):
            raise BadParameter("these clips have no known speakers: choose a task that has speakers.")
        others = key[:, None] != key
        member = (speaker[:, None] == names).astype(np.float32)  # nobody's where the speaker is not known
        counts = others.astype(np.float32) @ member
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(counts > 0, (np.where(others, self.unit @ self.unit.T, 0.0) @ member) / counts, -np.inf)
        asked = (counts * member).sum(1) > 0
        return float((names[mean.argmax(1)] == speaker)[asked].mean()), 1 / len(names)

    def _near(self, vector: Floats, own: str, count: int) -> pd.DataFrame:
        if count < 1:
            raise BadParameter(f"{count} neighbours were asked for; ask for 1 or more.")
        found = self.clips.assign(similarity=self.unit @ vector)
        found = found[found["sha256"] != own]
        return found.sort_values("similarity", ascending=False, kind="stable").head(count).reset_index(drop=True)


def space(clips: pd.DataFrame, embedding: str | Embedding, *, progress: bool = True) -> Space:
    """Embed clips (or take their vectors from the store) and make them comparable.

    Parameters
    ----------
    clips : DataFrame
        Clip table of a task, as ``corpora.load_clips(...).clips``.
    embedding : str or Embedding
    progress : bool
        Show a progress bar.

    Returns
    -------
    Space

    Warns
    -----
    UserWarning
        If clips cannot be embedded: how many are not in the space, and why the first is not.

    Raises
    ------
    BadParameter
        For fewer clips than `FEWEST_CLIPS`, or more than `MOST_CLIPS`, of which all pairs would be compared.
    UnknownName, Unavailable
        If the embedding does not exist, or cannot be had here.
    """
    if not FEWEST_CLIPS <= len(clips) <= MOST_CLIPS:
        raise BadParameter(f"{len(clips)} clips: give {FEWEST_CLIPS} to {MOST_CLIPS}, e.g. clips.sample({MOST_CLIPS}).")
    model = embeddings.get(embedding) if isinstance(embedding, str) else embedding
    done = extract.vectors(clips, model, progress=progress)
    if len(lost := done.problems):
        first = lost.iloc[0]
        warnings.warn(f"{len(lost)} of {len(clips)} clips cannot be embedded and are not in the space, the first is "
                      f"{first['clip_id']}: {first['reason']}. {first['remedy']}", stacklevel=2)
    vectors = np.asarray(done.vectors, dtype=np.float64)
    mean, scale = vectors.mean(0), vectors.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    about = done.clips[COLUMNS].fillna({"label": "", "speaker": ""})
    return Space(model, about, _unit((vectors - mean) / scale), mean.astype(np.float32), scale.astype(np.float32))


def decoded(voice: Voice) -> Floats:
    """Take a recording as it comes.

    Parameters
    ----------
    voice : Clip, path or float [samples]

    Returns
    -------
    float32 [samples]
        16 kHz, mono.

    Raises
    ------
    BadAudio
        If it cannot be used.
    """
    if isinstance(voice, audio.Clip):
        return voice.wave
    return (audio.read(voice) if isinstance(voice, str | Path) else audio.from_array(voice)).wave


def _unit(values: npt.NDArray[np.float64] | Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    return np.asarray(array / np.where(length > 0, length, 1.0), dtype=np.float32)
