"""A cell of a protocol computed again: within speakers, over repeated splits, or by four protocols.

Conventions
-----------
As `nslib.cells_again`; the settings are the usual ones of the protocol, with which ``python -m nslib protocol`` and the
notebooks run it. A protocol has one or more summary rows, each of which is compared.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import cells, corpora, extract, protocols, provenance, splits, tasks
from nslib.cells_again import fresh_store, shown
from nslib.entrants import enter
from nslib.errors import BadParameter, UnknownName
from nslib.params import Params
from nslib.schema import PROTOCOL_ROWS, conforming

if TYPE_CHECKING:
    import pandas as pd

_SCORES = ("value", "low", "high")
_ORIGIN = ("data_hash", "split_hash", "weights_hash", "lock_hash", "code_revision")
_ONE = ["protocol", "shots"]


@dataclass(frozen=True)
class ProtocolAgain:
    """A protocol that was computed again for a task and an embedding.

    Attributes
    ----------
    made, kept : DataFrame
        Its summary rows now, and those that are kept (maybe none), indexed by protocol and shots.
    """

    made: pd.DataFrame
    kept: pd.DataFrame

    @property
    def equal(self) -> bool:
        """bool: whether every kept row would be shown with the same numbers."""
        both = self.made.index.intersection(self.kept.index)
        return all(_words(self.made.loc[one]) == _words(self.kept.loc[one]) for one in both)

    def text(self) -> str:
        """Kept and recomputed scores with their intervals, and where the two come from if that differs.

        Returns
        -------
        str
        """
        lines = [cells.name(self.made.iloc[0])]
        for one, row in self.made.iterrows():
            there = one in self.kept.index
            before = _words(self.kept.loc[one]) if there else "nothing"
            same = "" if not there else "  equal" if before == _words(row) else "  MOVED"
            shots = f", {row['shots']} shots" if row["shots"] else ""
            lines.append(f"{row['protocol']}{shots}: kept {before}, recomputed {_words(row)}{same}")
        if len(self.kept):
            before, now = self.kept.iloc[0], self.made.iloc[0]
            lines += [f"{name.replace('_', ' ')}: kept {before[name]}, recomputed {now[name]}" for name in _ORIGIN
                      if before[name] != now[name]]
        return "\n".join(lines)


def reproduce(cell: str, protocol: str, params: Params, *, seed: int | None = None, fresh: bool = False,
              folder: Path | None = None, progress: bool = True) -> ProtocolAgain:
    """Compute a protocol again for one cell.

    Parameters
    ----------
    cell : str
        ``task/embedding``.
    protocol : {"within-speaker", "repeated", "switch"}
    params, fresh, folder, progress
        As for `nslib.cells_again.reproduce`.
    seed : int, optional
        Default: of `params`.

    Returns
    -------
    ProtocolAgain

    Raises
    ------
    UnknownName
        For a protocol, task or embedding that is not known.
    BadParameter
        For what is no cell.
    Unavailable
        If the recordings or the embedding cannot be had, or the protocol cannot be run on the task.
    """
    if protocol not in protocols.PROTOCOLS:
        raise UnknownName("protocol", protocol, protocols.PROTOCOLS)
    name, slash, embedding = cell.partition("/")
    if not slash:
        raise BadParameter(f"with a protocol, name the cell as TASK/EMBEDDING; got {cell!r}.")
    task, entrant = tasks.get(name), enter(embedding)
    params = dataclasses.replace(params, seed=params.seed if seed is None else seed)
    clips = corpora.load_clips(task, params, progress=progress).clips
    with fresh_store(entrant, fresh) as store:
        out = extract.vectors(clips, entrant.load(), store=store, progress=progress)
        mine = protocols.material(task, out.clips, out.vectors, embedding=embedding, fingerprint=entrant.fingerprint,
                                  listed=clips)
        rows = _computed(protocol, mine, params)
    made = protocols.summary(rows).set_index(_ONE, drop=False)
    kept = protocols.summary(_kept(made, folder)).set_index(_ONE, drop=False)
    return ProtocolAgain(made, kept[kept.index.isin(made.index)])


def _computed(protocol: str, mine: Any, params: Params) -> pd.DataFrame:
    chosen = protocols.PROTOCOLS[protocol]
    settings = chosen.defaults | (chosen.smoke if params.smoke else {}) | {"seed": params.seed}
    found = chosen.compute(mine, **settings)
    return conforming(found.rows.assign(
        key="", task=mine.task.name, embedding=mine.embedding, corpus_kind=mine.task.kind,
        data_hash=splits.data_hash(mine.clips), split_hash=splits.split_hash(mine.clips),
        weights_hash=mine.fingerprint, notes="\n".join(found.notes), **provenance.provenance()), PROTOCOL_ROWS)


def _kept(made: pd.DataFrame, folder: Path | None) -> pd.DataFrame:
    """Kept rows of the cell; where there are some of the very same clips and seed, only these."""
    rows, _ = protocols.load(folder)
    now = made.iloc[0]
    mine = rows[(rows["task"] == now["task"]) & (rows["embedding"] == now["embedding"])]
    same = mine[(mine["split_hash"] == now["split_hash"]) & (mine["seed"] == now["seed"])]
    return same if len(same) else mine


def _words(row: Any) -> str:
    value, low, high = ("–" if row[name] != row[name] else shown(row[name]) for name in _SCORES)
    return f"{value} [{low}–{high}]"
