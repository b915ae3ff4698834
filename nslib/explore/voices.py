"""Whom a voice resembles: the nearest speakers in the space of an embedding, and what that is worth.

Conventions
-----------
A similarity by itself means little: it depends on the embedding and on the clips. So `Resemblance` brings what two
clips of one speaker and of two speakers have in the same space. Somebody is always the nearest; that is no
identification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nslib.errors import BadParameter
from nslib.explore.neighbours import Space, Voice

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Resemblance:
    """Whom a voice resembles.

    Attributes
    ----------
    speakers : DataFrame
        Columns speaker, similarity (mean over the speaker's clips), low, high (the middle 80 % of them), clips; most
        similar first.
    same, other : float
        Median similarity of two clips of one speaker, and of two speakers, in the same space; NaN if there are none.
    right : float
        Share of the space's own clips whose most similar speaker is the true one.
    embedding : str
    """

    speakers: pd.DataFrame
    same: float
    other: float
    right: float
    embedding: str

    @property
    def caution(self) -> str:
        """str: what the numbers can and cannot say."""
        first = self.speakers.iloc[0]
        return (f"Nearest of {len(self.speakers)} speakers: {first['speaker']}, similarity {first['similarity']:.2f}.\n"
                f"Two clips of one speaker have {self.same:.2f} here, of two {self.other:.2f} (medians); a clip "
                f"of these very speakers has its own as the nearest in {self.right:.0%} of the cases.\n"
                "Resemblance is no identification: somebody is always the nearest, and a microphone, a room or a mood "
                "can matter more than the voice.")


def resembles(where: Space, voice: Voice) -> Resemblance:
    """Compare a recording with every speaker of a space.

    Parameters
    ----------
    where : Space
    voice : Clip, path or float [samples]
        If this very audio is a clip of the space, that clip is left out.

    Returns
    -------
    Resemblance

    Raises
    ------
    BadAudio
        If the recording cannot be used.
    BadParameter
        If the clips of the space have no speakers.
    """
    import pandas as pd

    if len(set(where.clips["speaker"]) - {""}) < 2:
        raise BadParameter("these clips have fewer than two known speakers: choose a task that has speakers.")
    near = where.like(voice, len(where.clips))
    by = near[near["speaker"] != ""].groupby("speaker")["similarity"]
    columns = {"similarity": by.mean(), "low": by.quantile(0.1), "high": by.quantile(0.9), "clips": by.size()}
    table = pd.DataFrame(columns).sort_values("similarity", ascending=False, kind="stable").reset_index()
    same, other = (float(np.median(values)) if len(values) else float("nan") for values in where.pairs())
    return Resemblance(table, same, other, where.own_first()[0], where.embedding.name)
