"""Repeated: the speakers divided again and again, because one division is one draw.

Every split is between speakers, by the authors' algorithm (`nslib.splits.by_group`) with another
seed, and is graded like the benchmark's own: choice on validation, score on test. A split in which a
class is missing from a part is drawn and scored all the same, and counted: to draw again until all classes
are there would be to choose the easy splits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nslib import splits
from nslib.errors import Unavailable
from nslib.protocols.drawn import Drawn, How, together
from nslib.protocols.material import FAST, Computed, Material, probe_names, usable

NAME = "repeated"
DEFAULTS: dict[str, Any] = {"seeds": tuple(range(10)), "probabilities": None, "probes": FAST}
SMOKE: dict[str, Any] = {"seeds": (0, 1)}


def compute(given: Material, *, seeds: Sequence[int], probabilities: Sequence[float] | None,
            probes: Sequence[str], seed: int, jobs: int = 2,
            progress: Callable[[], object] | None = None) -> Computed:
    """Run the protocol.

    Parameters
    ----------
    given : Material
    seeds : sequence of int
        One a split.
    probabilities : sequence of float, optional
        Shares of the speakers in train, validation and test. Default: as many as in the task's own split.
    probes : sequence of str
        Names in `nslib.classifiers.PROBES`.
    seed : int
        Seeds forests and resamples, not the splits.
    jobs : int
        Fits at a time, in threads.
    progress : callable, optional
        Called after each fit.

    Returns
    -------
    Computed

    Raises
    ------
    Unavailable
        If the task cannot be split between speakers.
    NslibError
        If no split could be scored.
    """
    mine, said = usable(given, NAME)
    clip, speaker = mine.clip_id.tolist(), mine.speaker
    if len(set(speaker)) < len(splits.SPLITS):
        raise Unavailable(f"the protocol {NAME} on {mine.task.name}", f"it has {len(set(speaker))} speakers",
                          "Splits between speakers need three or more.")
    shares = probabilities or _own_shares(mine)
    drawn, how = Drawn(NAME), How(probe_names(probes), True, seed, jobs, progress)
    for number in seeds:
        drawn.grade(mine, splits.by_group(clip, speaker, shares, seed=number), str(number), how)
    return together([drawn], said, seed)


def _own_shares(mine: Material) -> tuple[float, ...]:
    pairs = {(str(s), str(p)) for s, p in zip(mine.speaker, mine.split, strict=True)}
    counts = [sum(part == name for _, part in pairs) for name in splits.SPLITS]
    if not all(counts):
        raise Unavailable(f"the protocol {NAME} on {mine.task.name}", "its own split leaves a part without speakers",
                          "Give the shares of train, validation and test as probabilities.")
    # a hair more than k / n, because shares are cut towards zero and k / n * n can fall short of k
    first = [count / sum(counts) + 1e-10 for count in counts[:-1]]
    return (*first, 1 - sum(first))
