"""Copies of a test set in worse conditions (`nslib.perturb`): files and a clip table of their own.

Conventions
-----------
A copy goes through extraction and store like any recording. Names, labels and speakers stay; files and hashes are those
of the changed clips. A clip for which the condition is not defined is a row of a second table, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy.typing as npt

from nslib import audio
from nslib.corpora.table import PROBLEM_COLUMNS
from nslib.errors import BadAudio
from nslib.perturb import Floats, change, drawn, shape

if TYPE_CHECKING:
    import pandas as pd

SPECTRUM_CLIPS = 400
"""Most training clips that are read for their mean spectrum."""


class Copies(NamedTuple):
    """The clips of a test set in one condition.

    Attributes
    ----------
    condition, level : str, float
    clips : DataFrame
        Clip table; names, labels and speakers as they were, files and hashes of the changed clips.
    problems : DataFrame
        Columns clip_id, audio, reason, remedy: clips for which the condition is not defined.
    clipped, samples : int
        Samples beyond full scale, of how many.
    """

    condition: str
    level: float
    clips: pd.DataFrame
    problems: pd.DataFrame
    clipped: int = 0
    samples: int = 0


def mean_spectrum(clips: pd.DataFrame) -> Floats:
    """`shape` of a table of clips.

    Parameters
    ----------
    clips : DataFrame
        Clip table; of more than `SPECTRUM_CLIPS` a fixed draw is read.

    Returns
    -------
    ndarray of float64 [taps]
    """
    order = sorted(zip(map(drawn, clips["clip_id"]), clips["audio"], strict=True))
    return shape(audio.read(path).wave for _, path in order[:SPECTRUM_CLIPS])


def copies(clips: pd.DataFrame, condition: str, level: float, folder: Path, *, seed: int = 0,
           taps: npt.ArrayLike | None = None) -> Copies:
    """Write the clips of a test set in one condition, with a clip table of their own.

    Parameters
    ----------
    clips : DataFrame
        Clip table.
    condition, level, seed, taps
        As for `change`.
    folder : Path
        Where the files go; it must exist.

    Returns
    -------
    Copies
    """
    import pandas as pd

    found, problems, clipped, samples = [], [], 0, 0
    for row in clips.to_dict("records"):
        try:
            done = change(audio.read(row["audio"]).wave, condition, level, name=row["clip_id"], seed=seed, taps=taps)
        except BadAudio as error:
            problems.append([row["clip_id"], row["audio"], error.reason, error.remedy])
            continue
        key = audio.sha256(done.wave)
        path = audio.write_wav(folder / f"{key}.wav", done.wave)
        found.append(row | {"audio": str(path), "sha256": key, "seconds": len(done.wave) / audio.SAMPLE_RATE})
        clipped, samples = clipped + done.clipped, samples + len(done.wave)
    lost = pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS))
    changed = pd.DataFrame(found, columns=list(clips.columns)).astype(clips.dtypes)
    return Copies(condition, level, changed, lost, clipped, samples)
