"""Protocol switch: the same vectors scored four times, and only the protocol differs.

There are two switches with two positions each.

===================  ====================================  ===========================================
protocol             who is tested                         what is learnt from
===================  ====================================  ===========================================
by-speaker           new people: the task's own split      all training clips ("full")
by-speaker-8-shot    the same people, the same clips       8 of the training clips of each class, drawn
by-clip              *the people of training*: clips are   as many clips as by-speaker has
                     divided at random, whoever speaks
by-clip-8-shot       the same                              8 of those of each class, drawn
===================  ====================================  ===========================================

Only the first two are results. The last two are what a table shows when clips were divided without a
thought of who speaks, and stand here so that the difference can be seen; they are called by-clip
wherever they are shown and never enter a table of results.

Conventions
-----------
Validation and test are never cut: eight shots means eight clips a class to *learn* from, the probe is
chosen on all of validation. By-clip uses shares as large as those of the task's own split, counted in
clips. No z-score by speaker is tried: it would itself move from split to split. Draws are numbered from
0; ``own`` is the task's own split, of which there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nslib import splits
from nslib.errors import BadParameter, Unavailable
from nslib.protocols.drawn import Drawn, How, together
from nslib.protocols.material import FAST, Computed, Material, named, probe_names, usable
from nslib.protocols.rows import CARELESS

NAME = "switch"
HONEST = "by-speaker"
DEFAULTS: dict[str, Any] = {"shots": 8, "draws": 5, "probes": FAST}
SMOKE: dict[str, Any] = {"draws": 2}


def compute(given: Material, *, shots: int, draws: int, probes: Sequence[str], seed: int, jobs: int = 2,
            progress: Callable[[], object] | None = None) -> Computed:
    """Run the four protocols.

    Parameters
    ----------
    given : Material
    shots : int
        Training clips of a class in the two few-shot protocols.
    draws : int
        How often clips are drawn where they are drawn.
    probes : sequence of str
        Names in `nslib.classifiers.PROBES`.
    seed : int
        Seeds forests and resamples, not the draws.
    jobs : int
        Fits at a time, in threads.
    progress : callable, optional
        Called after each fit.

    Returns
    -------
    Computed
        Each row says how many of the test's speakers are also in train.

    Raises
    ------
    Unavailable
        If the task's own split is not one between speakers.
    BadParameter
        For fewer than one shot or draw.
    NslibError
        If a protocol could not be scored.
    """
    if min(shots, draws) < 1:
        raise BadParameter(f"shots is {shots} and draws is {draws}; give 1 or more of each.")
    mine, said = usable(given, NAME)
    own = dict(zip(mine.clip_id.tolist(), mine.split.tolist(), strict=True))
    _refuse_shared(mine)
    how, label = How(probe_names(probes), False, seed, jobs, progress), _labels(mine)
    said.append(f"{CARELESS} is no result: the people who are tested are also in training.")
    full, few = Drawn(HONEST), Drawn(f"{HONEST}-{shots}-shot", shots)
    careless, careless_few = Drawn(CARELESS), Drawn(f"{CARELESS}-{shots}-shot", shots)
    full.grade(mine, own, "own", how)
    for draw in range(draws):
        few.grade(mine, _few(own, label, shots, draw), str(draw), how)
        random = splits.by_group(own, own, _shares(own), seed=draw)
        careless.grade(mine, random, str(draw), how)
        careless_few.grade(mine, _few(random, label, shots, draw), str(draw), how)
    said += _short(own, label, shots)
    return together([full, few, careless, careless_few], said, seed)


def _labels(mine: Material) -> dict[str, str]:
    return dict(zip(mine.clip_id.tolist(), mine.label.tolist(), strict=True))


def _refuse_shared(mine: Material) -> None:
    speaker, split = mine.speaker, mine.split
    parts = [set(speaker[split == name]) for name in splits.SPLITS]
    shared = sorted((parts[0] & parts[2]) | (parts[1] & parts[2]) | (parts[0] & parts[1]))
    if shared or not all(parts):
        why = f"its own split shares speakers between parts: {named(shared)}" if shared else "a part of it is empty"
        raise Unavailable(f"the protocol {NAME} on {mine.task.name}", why,
                          "Give the task a split between speakers, e.g. by nslib.splits.by_group.")


def _shares(own: Mapping[str, str]) -> tuple[float, ...]:
    counts = [sum(split == name for split in own.values()) for name in splits.SPLITS]
    # as in nslib.protocols.repeats: a hair more, because shares are cut towards zero
    first = [count / sum(counts) + 1e-10 for count in counts[:-1]]
    return (*first, 1 - sum(first))


def _few(split_of: Mapping[str, str], label: Mapping[str, str], shots: int, draw: int) -> dict[str, str]:
    """The same split with so many training clips of each class; the other training clips are in no split."""
    rng, kept = np.random.default_rng(draw), dict(split_of)
    train = sorted(name for name, split in split_of.items() if split == "train")
    for kind in sorted({label[name] for name in train}):
        drawn = rng.permutation([name for name in train if label[name] == kind])
        kept.update(dict.fromkeys(drawn[shots:].tolist(), ""))
    return kept


def _short(own: Mapping[str, str], label: Mapping[str, str], shots: int) -> list[str]:
    counts: dict[str, int] = {}
    for name in (n for n, split in own.items() if split == "train"):
        counts[label[name]] = counts.get(label[name], 0) + 1
    short = [f"{kind} ({n})" for kind, n in sorted(counts.items()) if n < shots]
    return [f"Fewer than {shots} training clips, all of which were used: {named(short)}."] * bool(short)
