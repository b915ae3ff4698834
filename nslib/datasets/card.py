"""A data card: what somebody's own recordings are, what was done to them, and what can make a score on them wrong.

What only people know is left to be filled in, and says so. What a card should answer: Pushkarna, Zaldivar and
Kjartansson, *Data Cards*, FAccT 2022.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nslib.datasets.audit import Audit, audit_clips
from nslib.datasets.loading import load_own_task
from nslib.datasets.splits import SPLITS, hash_data, hash_split, write_split_file
from nslib.datasets.table import Dataset

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_data_card"]

_BY_HAND = {
    "Purpose": "What were they recorded for, and what may be asked of them?",
    "People": "Who speaks, how were they found, and what did they agree to?",
    "Recording": "Rooms, microphones, codecs. Do they differ between the classes? Then a probe may hear the room.",
    "Labels": "Who gave them, by what rule, and how often do two people agree?",
    "Licence": "Who may have the recordings, and what for?"}
_MOST_ROWS = 20  # of a table in the card


@dataclass(frozen=True)
class DataCard:
    """Facts on recordings: their clips, problems and notes, and the audit of the split."""

    name: str
    corpus: Dataset
    audit: Audit

    def save_splits(self, path: str | Path) -> Path:
        """Write the split to a ``.csv``, so that it can be given again (``splits=``) and to others."""
        return write_split_file(self.corpus.clips, Path(path))

    def markdown(self) -> str:
        """The card as Markdown."""
        clips, excluded = self.corpus.clips, self.corpus.problems
        reasons = _format_table(excluded.set_index("clip_id")[["reason", "remedy"]]) if len(excluded) else "No file."
        parts = [f"# {self.name}", _summarise(clips, len(excluded)), "## To be filled in by those who know",
                 "\n".join(f"- **{what}**: {question}" for what, question in _BY_HAND.items()),
                 "## What can make a score wrong",
                 "\n".join(f"- {line}" for line in self.audit.problems) or "Nothing was found in the tables.",
                 "## What must be known to read the numbers",
                 "\n".join(f"- {line}" for line in (*self.audit.notes, *self.corpus.notes)) or "Nothing.",
                 "## Splits", _format_table(self.audit.table), "## Classes", _format_table(self.audit.classes),
                 "## Sound", _format_table(_measure_sound(clips)), "## Left out", reasons, "## Identity",
                 f"- data {hash_data(clips)}\n- split {hash_split(clips)}"]
        return "\n\n".join(parts) + "\n"

    def __str__(self) -> str:
        return self.markdown()


def make_data_card(source: str | os.PathLike[str], *, seed: int = 0, splits: str | os.PathLike[str] | None = None,
                   progress: bool = True) -> DataCard:
    """Make the card of somebody's own recordings; arguments and errors are those of `folder.read_recordings`."""
    task, dataset = load_own_task(source, seed=seed, splits=splits, progress=progress)
    return DataCard(task.name, dataset, audit_clips(dataset.clips))


def _summarise(clips: pd.DataFrame, problems: int) -> str:
    """The card's first paragraph."""
    speakers = clips.loc[clips["speaker"] != "", "speaker"].nunique()
    unknown = int((clips["speaker"] == "").sum())
    who = f"{speakers} speakers" + (f" ({unknown} clips of unknown ones)" if unknown else "")
    rest = f" {unused} clips are in no split." if (unused := int((~clips["split"].isin(SPLITS)).sum())) else ""
    rest += f" {problems} files could not be used." if problems else ""
    return (f"{len(clips)} clips, {clips['seconds'].sum() / 3600:.2f} hours, "
            f"{clips.loc[clips['label'] != '', 'label'].nunique()} classes, {who}.{rest}")


def _measure_sound(clips: pd.DataFrame) -> pd.DataFrame:
    """Length and rate, class by class: where they differ, a probe may hear them instead of the voice."""
    by = clips.groupby("label")
    table = by["seconds"].describe(percentiles=[0.5])[["min", "50%", "max"]].round(2)
    table.columns = ["shortest (s)", "median (s)", "longest (s)"]
    rates = by["sample_rate"].agg(lambda rates: " ".join(str(rate) for rate in sorted(set(rates))))
    return table.assign(**{"rates of the files (Hz)": rates})


def _format_table(table: pd.DataFrame) -> str:
    """A table in Markdown, its index first; a long one is cut, which is said."""
    head = [table.index.name or "", *map(str, table.columns)]
    shown = table[:_MOST_ROWS]
    rows = [[str(key), *map(_format_value, row)] for key, row in zip(shown.index, shown.to_numpy(), strict=True)]
    lines = ["| " + " | ".join(word.replace("|", "\\|") for word in row) + " |" for row in [head, *rows]]
    lines.insert(1, "|" + "---|" * len(head))
    more = f"\n\n{len(table) - _MOST_ROWS} more rows." if len(table) > _MOST_ROWS else ""
    return "\n".join(lines) + more


def _format_value(value: object) -> str:
    """A number without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
