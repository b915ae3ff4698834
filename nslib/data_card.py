"""A data card: what somebody's own recordings are, what was done to them, and what can make a score on them wrong.

Reference: M. Pushkarna, A. Zaldivar and O. Kjartansson, *Data Cards: Purposeful and Transparent Dataset Documentation
for Responsible AI*, FAccT 2022, for what such a card should answer. What only people know is left to be filled in, and
says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import corpora, splits
from nslib.corpora import split_file
from nslib.splits import SPLITS, Audit

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

BY_HAND = {
    "Purpose": "What were they recorded for, and what may be asked of them?",
    "People": "Who speaks, how were they found, and what did they agree to?",
    "Recording": "Rooms, microphones, codecs. Do they differ between the classes? Then a probe may hear the room.",
    "Labels": "Who gave them, by what rule, and how often do two people agree?",
    "Licence": "Who may have the recordings, and what for?",
}
"""What the card asks of its author."""

_MOST = 20
"""Rows of a table in the card."""


@dataclass(frozen=True)
class Card:
    """Facts on recordings.

    Attributes
    ----------
    name : str
    corpus : Corpus
        Clips, problems and notes.
    audit : Audit
        Of the split.
    """

    name: str
    corpus: Corpus
    audit: Audit

    def save_splits(self, path: str | Path) -> Path:
        """Write the split, so that it can be given again (``splits=``) and to others.

        Parameters
        ----------
        path : path-like
            Ending in ``.csv``.

        Returns
        -------
        Path
        """
        return split_file.write(self.corpus.clips, Path(path))

    def markdown(self) -> str:
        """The card as Markdown.

        Returns
        -------
        str
        """
        clips = self.corpus.clips
        parts = [f"# {self.name}", _first(clips, len(self.corpus.problems)), "## To be filled in by those who know",
                 "\n".join(f"- **{what}**: {question}" for what, question in BY_HAND.items()),
                 "## What can make a score wrong", _list(self.audit.problems, "Nothing was found in the tables."),
                 "## What must be known to read the numbers",
                 _list([*self.audit.notes, *self.corpus.notes], "Nothing."),
                 "## Splits", _table(self.audit.table), "## Classes", _table(self.audit.classes),
                 "## Sound", _table(_sound(clips)), "## Left out", self._left_out(), "## Identity",
                 f"- data {splits.data_hash(clips)}\n- split {splits.split_hash(clips)}"]
        return "\n\n".join(parts) + "\n"

    def _left_out(self) -> str:
        bad = self.corpus.problems
        return _table(bad.set_index("clip_id")[["reason", "remedy"]]) if len(bad) else "No file."

    def __str__(self) -> str:
        return self.markdown()


def make(source: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
         progress: bool = True) -> Card:
    """Make the card of somebody's own recordings.

    Parameters
    ----------
    source : str or path-like
        In any layout that `nslib.corpora.read` takes.
    seed : int
        Of the split, if none is given.
    splits : path-like, optional
        A file of splits.
    progress : bool

    Returns
    -------
    Card

    Raises
    ------
    BadParameter, UnknownName, Unavailable
        See `nslib.corpora.read`.

    Examples
    --------
    >>> print(make("my_recordings/"))     # doctest: +SKIP
    """
    from nslib import splits as auditing

    task, corpus = corpora.own_task(source, seed=seed, splits=splits, progress=progress)
    return Card(task.name, corpus, auditing.audit(corpus.clips))


def _first(clips: pd.DataFrame, problems: int) -> str:
    speakers = clips.loc[clips["speaker"] != "", "speaker"].nunique()
    unknown = int((clips["speaker"] == "").sum())
    who = f"{speakers} speakers" + (f" ({unknown} clips of unknown ones)" if unknown else "")
    unused = int((~clips["split"].isin(SPLITS)).sum())
    rest = f" {unused} clips are in no split." if unused else ""
    rest += f" {problems} files could not be used." if problems else ""
    return (f"{len(clips)} clips, {clips['seconds'].sum() / 3600:.2f} hours, "
            f"{clips.loc[clips['label'] != '', 'label'].nunique()} classes, {who}.{rest}")


def _sound(clips: pd.DataFrame) -> pd.DataFrame:
    """Length and rate, class by class: where they differ, a probe may hear them instead of the voice."""
    by = clips.groupby("label")
    table = by["seconds"].describe(percentiles=[0.5])[["min", "50%", "max"]].round(2)
    table.columns = ["shortest (s)", "median (s)", "longest (s)"]
    rates = by["sample_rate"].agg(lambda rates: " ".join(str(rate) for rate in sorted(set(rates))))
    return table.assign(**{"rates of the files (Hz)": rates})


def _list(lines: list[str] | tuple[str, ...], empty: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or empty


def _table(table: pd.DataFrame) -> str:
    """A table in Markdown, its index first; a long one is cut, which is said."""
    head = [table.index.name or "", *map(str, table.columns)]
    shown = table[:_MOST]
    rows = [[str(key), *map(_cell, row)] for key, row in zip(shown.index, shown.to_numpy(), strict=True)]
    lines = ["| " + " | ".join(word.replace("|", "\\|") for word in row) + " |" for row in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    more = f"\n\n{len(table) - _MOST} more rows." if len(table) > _MOST else ""
    return "\n".join(lines) + more


def _cell(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
