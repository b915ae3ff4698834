"""Run a network on the patches of many clips at once.

A batch of clips has as many patches as the clips are long. They are put into one row, sent through
the network in pieces of bounded size, and dealt out again, so that short clips cost no padding and
long ones no memory. The network starts on the first patches while the last clips are still being cut.

Steady networks
---------------
A TensorFlow graph on a processor gives a patch the same bits in whatever row of a call and in whatever
company, but other bits (in the seventh digit) in a call of another size: the kernels differ. So the
graphs of the kit see calls of `AT_ONCE` patches only, the last one filled up with zeros. Where this
machine gives the same bits in calls of `FEW` patches too, which is tried once a network, the last
patches of a batch go in such calls, and a clip alone costs little more than its own patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings import threads
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray

Array = npt.NDArray[Any]
Network = Callable[[Array], Array]

AT_ONCE = 64
FEW = 16
# a second call fills the gaps that the first leaves on the processors: a fifth faster on two of them
_CALLS = 2


def embedder(cut: Callable[[FloatArray], Array], network: Network, at_once: int = AT_ONCE, *,
             steady: bool = False) -> EmbedFunction:
    """Make an embed function of a front end and a network.

    Parameters
    ----------
    cut : callable
        One clip, float32 [samples], to its patches, float32 [patches, ...]; at least one.
    network : callable
        float32 [patches, ...] to float32 [patches, dim].
    at_once : int
        Patches in one call of `network`, at most.
    steady : bool
        Make a clip's frames the same bits in any company, as the module's text has it. The network must
        take every patch by itself, zeros too, and bear two calls at a time.

    Returns
    -------
    callable
        It looks at a clip's true length only, so padding and company change nothing (in the seventh
        digit they can, unless `steady`).
    """
    @cache
    def sizes(*shape: int) -> tuple[int, ...]:
        return agreeing(network, shape, at_once)

    def run(piece: Array) -> Array:
        if not steady:
            return network(piece)
        return _filled_up(network, piece, sizes(*piece.shape[1:]))

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        counts: list[int] = []
        with threads.each(cut, [wave[:length] for wave, length in zip(waves, lengths, strict=True)]) as cuts:
            pieces = _pieces(_counted(cuts, counts), at_once)
            if not steady:
                found = [run(piece) for piece in pieces]
            else:
                with ThreadPoolExecutor(_CALLS) as calls:
                    found = [call.result() for call in [calls.submit(run, piece) for piece in pieces]]
        return deal(np.concatenate(found), counts)

    return mark_ragged(embed)


def mark_ragged(embed: EmbedFunction) -> EmbedFunction:
    """Say of an embed function that it takes a clip's own samples only, so that padding costs nothing.

    Parameters
    ----------
    embed : callable

    Returns
    -------
    callable
        The same.
    """
    embed.__dict__["ragged"] = True
    return embed


def is_ragged(embed: EmbedFunction) -> bool:
    """Whether `mark_ragged` was said of an embed function, or of the one that it wraps.

    Parameters
    ----------
    embed : callable

    Returns
    -------
    bool
    """
    return bool(getattr(embed, "ragged", False))


def agreeing(network: Network, shape: Sequence[int], at_once: int = AT_ONCE) -> tuple[int, ...]:
    """Sizes of a call in which a network gives a patch the same bits on this machine.

    Parameters
    ----------
    network : callable
        As of `embedder`.
    shape : sequence of int
        Of a patch.
    at_once : int
        The largest size.

    Returns
    -------
    tuple of int
        Largest first: `at_once`, and `FEW` if it agrees with that.
    """
    if at_once <= FEW:
        return (at_once,)
    patches = np.random.default_rng(0).normal(-4, 2.5, (at_once, *shape)).astype(np.float32)
    whole, turned = network(patches), network(np.roll(patches, 1, 0))
    few = [network(patches[i:i + FEW]) for i in range(0, at_once // FEW * FEW, FEW)]
    same = np.array_equal(np.roll(whole, 1, 0), turned) and np.array_equal(np.concatenate(few), whole[: len(few) * FEW])
    return (at_once, FEW) if same else (at_once,)


def deal(rows: Array, counts: Sequence[int]) -> tuple[FloatArray, IntArray]:
    """Give each clip its rows back.

    Parameters
    ----------
    rows : array [sum of counts, dim]
    counts : sequence of int

    Returns
    -------
    frames : float32 [clips, frames, dim]
        Zeros after a clip's own.
    counts : int64 [clips]
    """
    frames = np.zeros((len(counts), max(counts), rows.shape[1]), np.float32)
    start = 0
    for row, count in zip(frames, counts, strict=True):
        row[:count] = rows[start:start + count]
        start += count
    return frames, np.asarray(counts, dtype=np.int64)


def _counted(cuts: Iterable[Array], counts: list[int]) -> Iterator[Array]:
    for patches in cuts:
        counts.append(len(patches))
        yield patches


def _pieces(cuts: Iterable[Array], size: int) -> Iterator[Array]:
    """Cut the row of all patches into pieces of a size; the last one has what is left."""
    held: list[Array] = []
    for patches in cuts:
        held.append(patches)
        if sum(map(len, held)) >= size:
            row = np.concatenate(held)
            whole = len(row) // size * size
            yield from (row[i:i + size] for i in range(0, whole, size))
            held = [row[whole:]]
    rest = np.concatenate(held)
    if len(rest):
        yield rest


def _filled_up(network: Network, piece: Array, sizes: Sequence[int]) -> Array:
    """Run a piece in calls of the sizes, of a smaller one where few patches are left."""
    count = len(piece)
    # calls of few patches are half as fast, so more than half a large call goes as a large one
    size = sizes[0] if 2 * count > sizes[0] else sizes[-1]
    if count % size:
        piece = np.concatenate([piece, np.zeros((-count % size, *piece.shape[1:]), piece.dtype)])
    return np.concatenate([network(piece[i:i + size]) for i in range(0, len(piece), size)])[:count]
