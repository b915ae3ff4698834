"""Vectors of a clip table: what is cached is read, what is missing is computed here, unit by unit, and cached.

Decode threads run ahead of the model; a unit is stored as soon as it is done. The units depend only on which clips are
asked for, so a killed run that is started again goes through the very same units and ends in the very same bytes.
Nothing is padded silently: clips shorter than the embedding's minimum are padded with zeros and counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib.datasets.table import PROBLEM_COLUMNS
from nslib.embeddings.base import Embedding, FloatArray
from nslib.embeddings.runtime import share_workers
from nslib.errors import BadAudio, NslibError
from nslib.extraction.batches import (
    Clip,
    DecodeFunction,
    UnitResult,
    WorkUnits,
    choose_unit_seconds,
    count_seconds,
    decode_ahead,
    embed_frames,
    embed_unit,
    load_clip,
    name_unit,
)
from nslib.extraction.cache import Cost, VectorCache
from nslib.extraction.devices import SmallerBatches, load_replicas, tune_batch_seconds

if TYPE_CHECKING:
    from concurrent.futures import Future

    import pandas as pd

__all__ = ["Extraction", "extract_frames", "extract_vectors", "fill_cache"]

# Computes work units and stores their vectors; adds to the cost; gives the clips without a vector by their hash, and
# why. The last argument is whether to show a progress bar.
RunUnits = Callable[[Sequence[list[Clip]], Embedding, VectorCache, Cost, bool], dict[str, BadAudio]]

# Vectors that would fill more of the free memory than this stay in a file.
_MEMORY_SHARE = 0.25
_MOST_UNWRITTEN = 2


@dataclass(frozen=True)
class Extraction:
    """Vectors of clips, and what they cost."""

    vectors: FloatArray  # [clips, dim]; memory-mapped if it would fill a quarter of the free memory
    clips: pd.DataFrame  # that have a vector, in the order given
    problems: pd.DataFrame  # clip_id, audio, reason, remedy of the clips without a vector
    cost: dict[str, Any]  # clips, from_store, and of what was computed now: `nslib.extraction.cache.Cost.summary`


def extract_vectors(clips: pd.DataFrame, embedding: Embedding, *, store: VectorCache | None = None,
                    progress: bool = True, run: RunUnits | None = None) -> Extraction:
    """Give one vector a clip, computing only what is not cached yet.

    Parameters
    ----------
    clips : DataFrame
        Clip table; needs the columns clip_id, audio, sha256 and seconds.
    embedding : Embedding
        What to compute.
    store : VectorCache, optional
        Where vectors are kept (default: the embedding's in the cache).
    progress : bool
        Show a progress bar on stderr.
    run : callable, optional
        Does the work units and stores them, as of `nslib.extraction.cluster.Engine`. Default: this process does.

    Raises
    ------
    NslibError
        If the embedding fails on every clip, or the disk is full.
    """
    import psutil

    cache = VectorCache(embedding) if store is None else store
    usable, problems, cost = fill_cache(clips, embedding, store=cache, progress=progress, run=run)
    mapped = 4 * len(usable) * cache.dim > _MEMORY_SHARE * psutil.virtual_memory().available
    return Extraction(cache.read(usable["sha256"], mapped=mapped), usable, problems, cost)


def fill_cache(clips: pd.DataFrame, embedding: Embedding, *, store: VectorCache | None = None, progress: bool = True,
               run: RunUnits | None = None) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Compute vectors as `extract_vectors` does and leave them in the cache, so that memory does not grow with them.

    Parameters and errors are those of `extract_vectors`; what is returned are clips, problems and cost of `Extraction`.
    """
    import pandas as pd

    cache = VectorCache(embedding) if store is None else store
    began = time.perf_counter()
    cost = Cost()
    known = cache.holds(clips["sha256"])
    units = WorkUnits(clips, choose_unit_seconds(float(clips["seconds"].sum())), ~known)
    problems = (run or run_here)(units, embedding, cache, cost, progress)
    have = cache.holds(clips["sha256"])
    if problems and not have.any():
        first = next(iter(problems.values()))
        raise NslibError(f"{embedding.name} gave no vector for any of {len(clips)} clips. First: {first}")
    if cost.computed:
        cost.log(cache.path, time.perf_counter() - began)
    usable = clips.reset_index(drop=True) if have.all() else clips[have].reset_index(drop=True)
    lost = [[row.clip_id, row.audio, problems[row.sha256].reason, problems[row.sha256].remedy]
            for row in clips[~have].itertuples()]
    return (usable, pd.DataFrame(lost, columns=list(PROBLEM_COLUMNS)),
            {"clips": len(clips), "from_store": int(known.sum()), **cost.summary()})


def extract_frames(clips: pd.DataFrame, embedding: Embedding) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Give frame-level vectors with their start times; computed afresh, not cached.

    Given is clip_id to ``(seconds [frames], vectors [frames, dim])``; frame ``t`` sees the audio from ``seconds[t]`` to
    ``seconds[t] + embedding.window``. `BadAudio` is raised for the first clip that cannot be read.
    """
    frames_of = {}
    for clip in (clip for unit in WorkUnits(clips, float("inf")) for clip in unit):
        frames = embed_frames(load_clip(clip), embedding)
        frames_of[clip.clip_id] = np.arange(len(frames), dtype=np.float32) * embedding.hop, frames
    return frames_of


def run_here(units: Sequence[list[Clip]], embedding: Embedding, store: VectorCache, cost: Cost,
             progress: bool) -> dict[str, BadAudio]:
    """Embed and store work units on every device of this machine at once (a `RunUnits`)."""
    from concurrent.futures import ThreadPoolExecutor

    problems: dict[str, BadAudio] = {}
    if not units:
        return problems
    replicas = load_replicas(embedding)
    cost.devices = [replica.device for replica in replicas]
    copies = [replace(embedding, embed=SmallerBatches(replica.embed)) for replica in replicas]
    tune_batch_seconds(copies[0], count_seconds(units) / len(copies))
    bar = open_bar(f"embed {embedding.name}", units, progress)
    with bar, ThreadPoolExecutor(1, "store") as writer, closing(_embed_units(units, copies)) as results:
        unwritten: deque[Future[None]] = deque()
        for unit, result in results:
            unwritten.append(writer.submit(store_result, store, unit, result))
            while len(unwritten) > _MOST_UNWRITTEN:
                unwritten.popleft().result()
            cost.add(result.cost)
            problems |= result.problems
            advance_bar(bar, unit)
        for last in unwritten:
            last.result()
    return problems


def store_result(store: VectorCache, unit: list[Clip], result: UnitResult) -> None:
    """Write the shard of a work unit, unless none of its clips has a vector."""
    if result.clips:
        store.write(name_unit(unit), [clip.key for clip in result.clips], np.stack(result.vectors))


def open_bar(title: str, units: Sequence[list[Clip]], progress: bool) -> Any:
    """Make a progress bar that counts seconds of audio."""
    from tqdm.std import tqdm

    return tqdm(total=count_seconds(units), desc=title, unit="s", disable=not progress,
                bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}] {postfix}")


def advance_bar(bar: Any, unit: list[Clip]) -> None:
    """Count a work unit as done."""
    # the sum of parts can pass the total by a rounding error, which the bar warns of
    bar.update(min(count_seconds([unit]), bar.total - bar.n))


def _embed_units(units: Sequence[list[Clip]], copies: list[Embedding]) -> Generator[tuple[list[Clip], UnitResult]]:
    """Give work units with what they came to, as they are done."""
    with closing(decode_ahead(units, len(copies))) as coming:
        if len(copies) > 1:
            yield from _embed_side_by_side(coming, copies)
            return
        for unit, decode in coming:  # in the caller's thread, where Ctrl-C and a user's own function are at home
            yield unit, embed_unit(unit, decode, copies[0])


def _embed_side_by_side(coming: Iterable[tuple[list[Clip], DecodeFunction]],
                        copies: list[Embedding]) -> Generator[tuple[list[Clip], UnitResult]]:
    """Do the same with several copies, each of which works on one unit at a time."""
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait

    def work_with(copy: Embedding) -> Callable[[tuple[list[Clip], DecodeFunction]], tuple[list[Clip], UnitResult]]:
        return lambda task: (task[0], embed_unit(*task, copy))

    work = share_workers([work_with(copy) for copy in copies])
    begun: set[Future[tuple[list[Clip], UnitResult]]] = set()
    with ThreadPoolExecutor(len(copies), "device") as pool:
        for task in coming:
            begun.add(pool.submit(work, task))
            if len(begun) == len(copies):
                done, begun = wait(begun, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        yield from (future.result() for future in as_completed(begun))
