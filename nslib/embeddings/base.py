"""The embedding contract: one small record that every embedding, built in or yours, fills in.

Waveforms are float32 at 16 kHz, mono, nominally in [-1, 1]; a batch is ``[clips, samples]``, zero-padded at the end,
with the true length of each clip beside it. An embedding returns frames, ``[clips, frames, dim]`` float32, and how many
frames of each clip are valid. It never averages over time: `nslib.extraction` does, over valid frames only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SAMPLE_RATE", "EmbedFunction", "Embedding", "FloatArray", "IntArray"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
EmbedFunction = Callable[[FloatArray, IntArray], tuple[FloatArray, IntArray]]

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Embedding:
    """A fixed speech embedding and what must be known to use and to cache it.

    Attributes
    ----------
    name : str
        As shown in tables.
    revision : str
        Hash of the weights, or of the constants where there are no weights. Two embeddings that can give different
        vectors for the same audio must differ here.
    dim : int
        Size of one frame's vector.
    embed : callable
        ``(waves [clips, samples] float32, lengths [clips] int64) -> (frames [clips, frames, dim] float32,
        counts [clips] int64)``. ``counts[i]`` frames of clip ``i`` are valid; the rest of the row is ignored.
    window, hop : float
        Seconds of audio that one frame sees, and seconds between frames. Frame ``t`` starts at ``t * hop``; ``hop = 0``
        says that there is one frame a clip.
    min_samples : int
        Shorter clips are padded with zeros to this length by `nslib.extraction`, and counted.
    pad : {"end", "centre"}
        Where those zeros go: after the clip, or half before and half after.
    pads_safely : bool
        Whether a clip's frames are the same whatever padding and company it has in a batch. If not, extraction puts
        only clips of equal length in a batch.
    parameters : int
        Number of trained (or randomly drawn) weights; 0 for hand-made features.
    licence, source, trained_on, citation : str
        Licence of the weights, where they come from, what audio they were trained on, and who to cite.
    wrapper : int
        Raised by hand when the code around the weights changes what comes out.
    replica : callable, optional
        Loads the function once more, on the TensorFlow device of the name given (``"GPU:1"``), so that several devices
        can share the work. It computes the same, so it is part neither of the fingerprint nor of what a store keeps.
    """

    name: str
    revision: str
    dim: int
    embed: EmbedFunction
    window: float = 0.0
    hop: float = 0.0
    min_samples: int = 1
    pad: str = "end"
    pads_safely: bool = False
    parameters: int = 0
    licence: str = "not stated"
    source: str = "not stated"
    trained_on: str = "not stated"
    citation: str = ""
    wrapper: int = 1
    replica: Callable[[str], EmbedFunction] | None = None

    @property
    def fingerprint(self) -> str:
        """str: 16 hex digits that change whenever the vectors can (the name is not part of it)."""
        return hash_facts(self)


def hash_facts(facts: Any) -> str:
    """Hash what decides vectors, of an `Embedding` or of what is known of one that is not loaded: its fingerprint."""
    made_of = [facts.revision, facts.wrapper, facts.dim, facts.window, facts.hop, facts.min_samples, facts.pad,
               SAMPLE_RATE, "mean", "float32"]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]
