"""Audio for a short run: recorded speech of a few packages, or computer voices where it cannot be had.

A notebook or a first try needs neither all packages nor even a recording. What is heard is said, because a network
that has heard computer voices only has learnt about those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nslib import corpora, tasks
from nslib.errors import Unavailable
from nslib.params import Params
from nslib.train import corpus, recorded
from nslib.train.recorded import Recordings

VOICES = "speaker-synthetic"
"""Task whose computer voices are taken; those of its test are left out."""


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from.

    Attributes
    ----------
    learn, held_out : Recordings
        Of different scenes, sentences or computer voices.
    kind : {"real", "synthetic"}
    note : str
        What is heard, and why.
    """

    learn: Recordings
    held_out: Recordings
    kind: str
    note: str


def audio(params: Params, packages: Sequence[str], join: float = 0.0, *, progress: bool = True) -> Lesson:
    """Have recorded speech, or computer voices if those are asked for or nothing else can be had.

    Parameters
    ----------
    params : Params
        ``corpus`` says which.
    packages : sequence of str
        Of `nslib.train.corpus.PACKAGES`.
    join : float
        See `nslib.train.settings.PairSettings`.
    progress : bool

    Returns
    -------
    Lesson

    Raises
    ------
    UnknownName
        For another package.
    Unavailable
        If there are not even computer voices.
    """
    if params.corpus == "synthetic":
        return _spoken(params, join, "as was asked for", progress)
    try:
        learn, held_out = (corpus.recordings(part, join, packages=packages, progress=progress)
                           for part in corpus.PARTS)
    except Unavailable as error:
        return _spoken(params, join, f"because there is no recorded speech here: {error}", progress)
    return Lesson(learn, held_out, "real", f"recorded speech of {', '.join(packages)}")


def _spoken(params: Params, join: float, why: str, progress: bool) -> Lesson:
    clips = corpora.load_clips(tasks.get(VOICES), params, progress=progress).clips.sort_values(["speaker", "clip_id"])
    learn, held_out = (recorded.recordings(clips[clips["split"] == part], join, progress=progress)
                       for part in corpus.PARTS)
    return Lesson(learn, held_out, "synthetic", f"computer voices, {why}")
