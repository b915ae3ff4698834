"""The frames of a clip over time: when each begins, what it covers, and where the sound changes.

Conventions
-----------
Frame ``t`` starts at ``t * hop`` and sees the audio up to ``t * hop + window``, as `nslib.embeddings.base` has it. An
embedding with ``hop = 0`` has one frame a clip, which sees all of it. What a frame sees beyond the end of the clip is
padding. ``change`` is one minus the cosine between a frame and the one before it, in [0, 2]: large where the sound
turns into another one, as the embedding hears it. Neighbouring windows overlap, so a change shows over several frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nslib import embeddings
from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray
from nslib.explore.neighbours import Voice, decoded
from nslib.extract.step import padded

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Timeline:
    """Frames of one clip.

    Attributes
    ----------
    embedding : str
    wave : float32 [samples]
        The clip, 16 kHz, without padding.
    vectors : float32 [frames, dim]
        Their mean is the clip's vector.
    table : DataFrame
        Columns frame, start, end (seconds), padding (seconds of `end - start` that lie beyond the clip), change
        (NaN for the first frame).
    """

    embedding: str
    wave: FloatArray
    vectors: FloatArray
    table: pd.DataFrame

    @property
    def seconds(self) -> float:
        """float: length of the clip."""
        return len(self.wave) / SAMPLE_RATE

    @property
    def spans(self) -> list[tuple[float, float]]:
        """List of (start, end): what each frame covers, in seconds."""
        return list(zip(self.table["start"], self.table["end"], strict=True))


def over_time(voice: Voice, embedding: str | Embedding) -> Timeline:
    """Embed one clip and say of every frame when it is.

    Parameters
    ----------
    voice : Clip, path or float [samples]
    embedding : str or Embedding

    Returns
    -------
    Timeline

    Raises
    ------
    BadAudio
        If the clip cannot be used.
    UnknownName, Unavailable
        If the embedding does not exist, or cannot be had here.
    """
    import pandas as pd

    model = embeddings.get(embedding) if isinstance(embedding, str) else embedding
    wave = decoded(voice)
    ready = padded(wave, model)
    frames, counts = model.embed(ready[None], np.array([len(ready)]))
    vectors = frames[0, : int(counts[0])]
    seconds = len(wave) / SAMPLE_RATE
    start = np.arange(len(vectors)) * model.hop
    end = start + (model.window if model.hop else len(ready) / SAMPLE_RATE)
    table = pd.DataFrame({"frame": np.arange(len(vectors)), "start": start, "end": end,
                          "padding": np.maximum(0.0, end - np.maximum(seconds, start)), "change": _change(vectors)})
    return Timeline(model.name, wave, vectors, table)


def _change(vectors: FloatArray) -> FloatArray:
    """One minus the cosine with the frame before; the first has none."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1.0)
    return np.concatenate([[np.nan], 1 - (unit[1:] * unit[:-1]).sum(1)]).astype(np.float32)
