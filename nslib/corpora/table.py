"""The clip table: what every corpus module returns, whatever its source.

Conventions
-----------
One row a clip, columns `COLUMNS`, sorted by ``clip_id``. Clips that cannot be used are rows of a
second table, with a reason and a remedy: nothing is left out silently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("clip_id", "audio", "sha256", "seconds", "sample_rate", "label", "speaker", "split", "source")
PROBLEM_COLUMNS = ("clip_id", "audio", "reason", "remedy")
_TYPES = {"seconds": float, "sample_rate": int}


@dataclass(frozen=True)
class Corpus:
    """Clips that can be used, and clips that cannot.

    Attributes
    ----------
    clips : DataFrame
        One row a usable clip: ``clip_id, audio`` (absolute path), ``sha256`` (of the decoded
        16 kHz waveform), ``seconds, sample_rate`` (of the original), ``label, speaker, split,
        source``. Empty text means unknown.
    problems : DataFrame
        One row a clip that is not used: ``clip_id, audio, reason, remedy``.
    notes : tuple of str
        Sentences for the report.
    """

    clips: pd.DataFrame
    problems: pd.DataFrame
    notes: tuple[str, ...] = ()


def make(clips: Iterable[Mapping[str, object]], problems: Iterable[Mapping[str, object]] = (),
         notes: Iterable[str] = ()) -> Corpus:
    """Make a corpus of rows, sorted by clip_id.

    Parameters
    ----------
    clips, problems : iterable of mapping
        Rows with the columns of `Corpus`.
    notes : iterable of str

    Returns
    -------
    Corpus
    """
    import pandas as pd

    table = pd.DataFrame(list(clips), columns=list(COLUMNS))
    table = table.astype({name: _TYPES.get(name, str) for name in COLUMNS})
    bad = pd.DataFrame(list(problems), columns=list(PROBLEM_COLUMNS)).astype(str)
    by_id = {"by": "clip_id", "ignore_index": True}
    return Corpus(table.sort_values(**by_id), bad.sort_values(**by_id), tuple(notes))


def limit(clips: pd.DataFrame, per_class: int | None, seed: int = 0) -> pd.DataFrame:
    """Keep at most `per_class` clips of each label in each split, spread over its speakers.

    Parameters
    ----------
    clips : DataFrame
        With ``clip_id, label, speaker, split``.
    per_class : int or None
        None keeps all.
    seed : int
        Which clips are kept. The order of rows does not matter.

    Returns
    -------
    DataFrame
        A subset of the rows, in their order.
    """
    if per_class is None:
        return clips
    drawn = clips["clip_id"].map(lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())
    order = clips.assign(_drawn=drawn).sort_values("_drawn")
    # first one clip of every speaker, then a second of every speaker, ...
    turn = order.groupby(["split", "label", "speaker"]).cumcount()
    order = order.assign(_turn=turn).sort_values(["_turn", "_drawn"])
    place = order.groupby(["split", "label"]).cumcount()
    return clips[place.reindex(clips.index) < per_class]
