"""Who can be trained and tested inside themselves, and on which of their clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import metrics, splits
from nslib.protocols.material import Material, named

Ints = npt.NDArray[np.int64]

_ONE_CLASS = "their training part holds one class only"
_NO_TEST = "nothing of them is left for the test"


@dataclass(frozen=True)
class Plan:
    """One split number.

    Attributes
    ----------
    number : int
        Seed of the split.
    parts : dict
        Speaker to ``{"train": …, "validation": …, "test": …}``, positions of clips.
    left : dict
        Speaker who cannot be used, to the reason.
    """

    number: int
    parts: dict[str, dict[str, Ints]]
    left: dict[str, str]


def plan(mine: Material, number: int, shots: int, probabilities: Sequence[float]) -> Plan:
    """Split every speaker's clips.

    Parameters
    ----------
    mine : Material
    number : int
        Seed.
    shots : int
        Cap on the training clips of a label, the first as drawn; 0: all.
    probabilities : sequence of float
        Shares of train, validation and test.

    Returns
    -------
    Plan
    """
    label = mine.label
    place = {str(name): i for i, name in enumerate(mine.clip_id)}
    speaker = dict(mine.listed)
    drawn: dict[str, dict[str, list[int]]] = {}
    for clip, part in splits.within_group(speaker, speaker.values(), probabilities, split_number=number).items():
        own = drawn.setdefault(speaker[clip], {name: [] for name in splits.SPLITS})
        own[part] += [place[clip]] if clip in place else []
    parts, left = {}, {}
    for who, mapped in drawn.items():
        train = _first_of_each(mapped["train"], label, shots)
        if len(set(label[train])) < 2:
            left[who] = _ONE_CLASS
        elif not mapped["test"]:
            left[who] = _NO_TEST
        else:
            parts[who] = {name: np.sort(np.array(found, dtype=np.int64))
                          for name, found in (mapped | {"train": train}).items()}
    return Plan(number, parts, left)


def _first_of_each(drawn: list[int], label: npt.NDArray[Any], shots: int) -> list[int]:
    seen: Counter[str] = Counter()
    kept = []
    for i in drawn:
        seen[str(label[i])] += 1
        if not shots or seen[str(label[i])] <= shots:
            kept.append(i)
    return kept


def notes(mine: Material, plans: Sequence[Plan]) -> list[str]:
    """Sentences on who was left out and on answers that cannot be right.

    Parameters
    ----------
    mine : Material
    plans : sequence of Plan

    Returns
    -------
    list of str
    """
    speaker = dict(mine.listed)
    few, everybody = splits.too_few(speaker, speaker.values()), len(set(speaker.values()))
    said = [f"{len(few)} of {everybody} speakers have fewer than {len(splits.SPLITS)} clips and were left out: "
            f"{named(few)}."] if few else []
    for why in (_ONE_CLASS, _NO_TEST):
        times = Counter(who for plan in plans for who, reason in plan.left.items() if reason == why)
        if times:
            whom = named(f"{who} (in {n})" for who, n in times.items())
            said.append(f"{len(times)} of {everybody} speakers were left out of some of {len(plans)} splits, because "
                        f"{why}: {whom}.")
    return said + _unlearnt(mine.label, plans)


def _unlearnt(label: npt.NDArray[Any], plans: Sequence[Plan]) -> list[str]:
    lost = [~np.isin(label[part["test"]], label[part["train"]]) for plan in plans for part in plan.parts.values()]
    hopeless = int(sum(found.sum() for found in lost))
    said = f"{hopeless} of {sum(map(len, lost))} test answers cannot be right"
    return [f"{said}: the speaker's training part lacks the label."] if hopeless else []


def chances(mine: Material) -> dict[str, float]:
    """Score of each speaker's best constant answer.

    Parameters
    ----------
    mine : Material

    Returns
    -------
    dict
        Speaker to the share of the most frequent label among all of the speaker's clips.
    """
    return {str(who): metrics.chance("accuracy", mine.label[mine.speaker == who]) for who in np.unique(mine.speaker)}


def facts(mine: Material, plan: Plan, chance: Mapping[str, float], who: str | None = None) -> dict[str, Any]:
    """What a row says of a split beside its score.

    Parameters
    ----------
    mine : Material
    plan : Plan
        With at least one speaker.
    chance : mapping
        From `chances`.
    who : str, optional
        One of the speakers; default: all of them.

    Returns
    -------
    dict
    """
    chosen = [who] if who is not None else list(plan.parts)
    train, test = ([plan.parts[name][part] for name in chosen] for part in ("train", "test"))
    return {"split_number": str(plan.number), "speaker": who or "", "n": sum(map(len, test)),
            "n_train": round(np.mean([len(rows) for rows in train])), "n_speakers": len(chosen),
            "shared_speakers": len(chosen), "classes": len(set(mine.label[np.concatenate(train)])),
            "chance": float(np.mean([chance[name] for name in chosen]))}
