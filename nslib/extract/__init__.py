"""Extraction: clips in, one vector a clip out, as fast as the model allows and never twice.

Clips are sorted by length and cut into work units; decode threads run ahead of the model; a unit
is stored as soon as it is done. The units depend only on which clips are asked for, so a killed
run that is started again goes through the very same units and ends in the very same bytes.

Conventions
-----------
A clip's vector is the mean over its valid frames, accumulated in float64 and kept in float32
(the authors average over time too; see reference ``np.mean(axis=0)`` in their notebook). Nothing
is padded silently: clips shorter than the embedding's minimum are padded with zeros and counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib.corpora.table import PROBLEM_COLUMNS
from nslib.embeddings.base import Embedding, FloatArray
from nslib.errors import BadAudio, NslibError
from nslib.extract import local
from nslib.extract import units as planning
from nslib.extract.sizes import unit_seconds
from nslib.extract.step import load, padded
from nslib.extract.units import UNIT_SECONDS, Item, Units, plan
from nslib.ledger import Cost
from nslib.store import Store

if TYPE_CHECKING:
    import pandas as pd

Run = Callable[[Sequence[list[Item]], Embedding, Store, Cost, bool], dict[str, BadAudio]]

# Vectors that would fill more of the free memory than this are left to the probes that read them.
_SHARE = 0.25

__all__ = ["Extraction", "Filled", "Item", "Run", "fill", "frames", "plan", "vectors"]


@dataclass(frozen=True)
class Extraction:
    """What came out.

    Attributes
    ----------
    vectors : ndarray of float32, [clips, dim]
        Row ``i`` belongs to row ``i`` of `clips`. Memory-mapped if it would fill a quarter of the free memory.
    clips : DataFrame
        The clips that have a vector, in the order given.
    problems : DataFrame
        Columns clip_id, audio, reason, remedy: clips without a vector.
    ledger : dict
        clips, from_store, and the cost of what was computed now: computed (clips), padded (clips
        shorter than the embedding's minimum or window), and the rest of `nslib.ledger.Cost.summary`.
    """

    vectors: FloatArray
    clips: pd.DataFrame
    problems: pd.DataFrame
    ledger: dict[str, Any]


@dataclass(frozen=True)
class Filled:
    """What an extraction left in the store.

    Attributes
    ----------
    store : Store
    clips, problems, ledger
        As in `Extraction`.
    """

    store: Store
    clips: pd.DataFrame
    problems: pd.DataFrame
    ledger: dict[str, Any]


def vectors(clips: pd.DataFrame, embedding: Embedding, *, store: Store | None = None, progress: bool = True,
            run: Run = local.run) -> Extraction:
    """One vector a clip, computing only what the store does not hold yet.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds.
    embedding : Embedding
        What to compute.
    store : Store, optional
        Where vectors are kept (default: the one in the cache).
    progress : bool
        Show a progress bar on stderr.
    run : callable
        Does the work units and stores them, as `nslib.extract.local.run`, which is the default, does here.

    Returns
    -------
    Extraction

    Raises
    ------
    NslibError
        If the embedding fails on every clip, or the disk is full.
    """
    filled = fill(clips, embedding, store=store, progress=progress, run=run)
    return Extraction(_read(filled.store, list(filled.clips["sha256"])), filled.clips, filled.problems, filled.ledger)


def _read(store: Store, keys: list[str]) -> FloatArray:
    from nslib.large import matrix, needs

    held = 4 * len(keys) * store.dim / 1e9 <= _SHARE * needs.free_gb()
    return store.read(keys) if held else matrix.read(store, keys)


def fill(clips: pd.DataFrame, embedding: Embedding, *, store: Store | None = None, progress: bool = True,
         run: Run = local.run) -> Filled:
    """Compute vectors as `vectors` does and leave them in the store: the memory it takes does not grow with them.

    Parameters
    ----------
    clips, embedding, store, progress, run
        As in `vectors`.

    Returns
    -------
    Filled

    Raises
    ------
    NslibError
        As `vectors`.
    """
    import pandas as pd

    store = Store(embedding) if store is None else store
    began = time.perf_counter()
    cost = Cost()
    known = store.holds(clips["sha256"])
    budget = unit_seconds(float(clips["seconds"].sum()), UNIT_SECONDS)
    problems = run(Units(clips, budget, ~known), embedding, store, cost, progress)
    have = store.holds(clips["sha256"])
    if problems and not have.any():
        first = next(iter(problems.values()))
        raise NslibError(f"{embedding.name} gave no vector for any of {len(clips)} clips. First: {first}")
    if cost.computed:
        cost.remember(store.path, time.perf_counter() - began)
    kept = clips.reset_index(drop=True) if have.all() else clips[have].reset_index(drop=True)
    lost = pd.DataFrame(_problems_of(clips[~have], problems), columns=list(PROBLEM_COLUMNS))
    return Filled(store, kept, lost, {"clips": len(clips), "from_store": int(known.sum()), **cost.summary()})


def frames(clips: pd.DataFrame, embedding: Embedding) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Frame-level vectors with their start times; computed afresh, not stored.

    Parameters
    ----------
    clips : DataFrame
        Clip table, as in `vectors`.
    embedding : Embedding
        What to compute.

    Returns
    -------
    dict
        clip_id to ``(seconds [frames], vectors [frames, dim])``; frame ``t`` sees the audio from
        ``seconds[t]`` to ``seconds[t] + embedding.window``.

    Raises
    ------
    BadAudio
        For the first clip that cannot be read.
    """
    out = {}
    for item in planning.items(clips):
        wave = padded(load(item), embedding)
        found, counts = embedding.embed(wave[None], np.array([len(wave)]))
        count = int(counts[0])
        out[item.clip_id] = (np.arange(count, dtype=np.float32) * embedding.hop, found[0, :count])
    return out


def _problems_of(lost: pd.DataFrame, problems: dict[str, BadAudio]) -> list[list[str]]:
    return [[row.clip_id, row.audio, problems[row.sha256].reason, problems[row.sha256].remedy]
            for row in lost.itertuples()]
