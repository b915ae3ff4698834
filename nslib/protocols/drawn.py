"""Splits that are drawn again and again, each graded by `nslib.probe.grid`: what `repeats` and `switches` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import estimates, metrics, probe, splits
from nslib.errors import NslibError
from nslib.protocols import intervals
from nslib.protocols.material import Computed, Material, blank, named

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class How:
    """How every split is graded.

    Attributes
    ----------
    probes : sequence of str
    speaker_norm : bool
        Whether the z-score by speaker is tried.
    seed : int
        Of forests and intervals.
    jobs : int
    progress : callable, optional
        Called after each fit.
    """

    probes: Sequence[str]
    speaker_norm: bool
    seed: int
    jobs: int = 2
    progress: Callable[[], object] | None = None


@dataclass
class Drawn:
    """Splits of one protocol, graded.

    Attributes
    ----------
    protocol : str
    shots : int
        Cap on the training clips of a class; 0: none.
    rows : list of dict
    answers : list of DataFrame
    said : dict
        Note to the splits in which it was made.
    numbers : list of str
        Names of the splits, in the order drawn.
    """

    protocol: str
    shots: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    answers: list[pd.DataFrame] = field(default_factory=list)
    said: dict[str, list[str]] = field(default_factory=dict)
    numbers: list[str] = field(default_factory=list)

    def grade(self, mine: Material, split_of: Mapping[str, str], number: str, how: How) -> None:
        """Fit, choose and score on one split; one that cannot be graded becomes a row with its reason.

        Parameters
        ----------
        mine : Material
        split_of : mapping
            Clip to split; a clip that is missing, or in a split of another name, is not used.
        number : str
            Name of the split.
        how : How
        """
        clip, label, speaker = mine.clip_id, mine.label, mine.speaker
        split = np.array([split_of.get(str(name), "") for name in clip])
        parts = {name: split == name for name in splits.SPLITS}
        self.numbers.append(number)
        for note in _absent(label, parts):
            self.said.setdefault(note, []).append(number)
        heard = set(speaker[parts["test"]]) - {""}
        facts = {"protocol": self.protocol, "shots": self.shots, "split_number": number, "seed": how.seed,
                 "dim": mine.vectors.shape[1], "n_train": int(parts["train"].sum()), "n_speakers": len(heard),
                 "shared_speakers": len(heard & set(speaker[parts["train"]])), "n": int(parts["test"].sum()),
                 "classes": len(set(label[parts["train"]])), "level": metrics.LEVEL}
        try:
            estimates.refuse_what_does_not_fit(mine.task.name, len(clip), facts["n_train"], facts["dim"])
            found = probe.grid(*(probe.Split(mine.vectors[p], label[p], speaker[p], clip[p]) for p in parts.values()),
                               probes=how.probes, speaker_norm=how.speaker_norm, seed=how.seed, jobs=how.jobs,
                               progress=how.progress)
        except NslibError as error:
            self.rows.append(blank(**facts, probe="", l2=False, speaker_norm=False, chance=float("nan"),
                                   reason=str(error)))
            return
        self._keep(found, facts)

    def _keep(self, found: probe.Grid, facts: dict[str, Any]) -> None:
        for note in found.notes:
            self.said.setdefault(note, []).append(facts["split_number"])
        validation = found.rows[found.rows["split"] == "validation"]["value"].to_numpy()
        test = found.rows[found.rows["split"] == "test"]
        columns = ["probe", "l2", "speaker_norm", "value", "chance", "low", "high", "interval_by", "selected",
                   "best_on_test", "reason"]
        for row, score in zip(test[columns].to_dict("records"), validation, strict=True):
            self.rows.append(blank(**facts, **{str(k): v for k, v in row.items()}, validation=float(score)))
        answers = found.predictions[["clip_id", "speaker", "y_true", "y_pred"]]
        self.answers.append(answers.assign(split_number=facts["split_number"], protocol=self.protocol,
                                           shots=self.shots))

    def notes(self) -> list[str]:
        """Sentences, each with the splits it is about unless it is about all.

        Returns
        -------
        list of str
        """
        failed = [r["split_number"] for r in self.rows if r["reason"] and not r["probe"]]
        said = [f"{self.protocol}: {len(failed)} of {len(self.numbers)} splits could not be scored: "
                f"{named(failed)}."] if failed else []
        for note, numbers in self.said.items():
            where = "" if len(numbers) == len(self.numbers) else f" (splits {named(numbers)} of {len(self.numbers)})"
            said.append(f"{self.protocol}{where}: {note}")
        return said

    def summary(self, seed: int) -> list[dict[str, Any]]:
        """Two rows over all splits: what was chosen on validation, and the best on test.

        Parameters
        ----------
        seed : int
            Of the interval.

        Returns
        -------
        list of dict
            Empty if nothing could be scored.
        """
        import pandas as pd

        graded = pd.DataFrame([row for row in self.rows if row["probe"] and np.isfinite(row["value"])])
        if not len(graded) or not self.answers:
            return []
        found = [self._over_all(graded[graded[mark]], mark) for mark in ("selected", "best_on_test")]
        answers = pd.concat(self.answers)
        interval = intervals.interval(answers, of_speakers=False, seed=seed)
        found[0] |= {"low": interval.low, "high": interval.high, "interval_by": interval.by,
                     "n": answers["clip_id"].nunique(), "n_speakers": len(set(answers["speaker"]) - {""})}
        return found

    def _over_all(self, chosen: pd.DataFrame, mark: str) -> dict[str, Any]:
        means = chosen[["value", "validation", "chance"]].mean().to_dict()
        sizes = {name: round(chosen[name].mean()) for name in ("n", "n_train", "n_speakers", "shared_speakers")}
        usual = chosen.groupby(["probe", "l2", "speaker_norm"], sort=False).size().idxmax()
        first = {name: chosen[name].iloc[0] for name in ("protocol", "shots", "seed", "dim", "level")}
        return blank(**first, **means, **sizes, **dict(zip(("probe", "l2", "speaker_norm"), usual, strict=True)),
                     spread=chosen["value"].std(), splits=len(chosen), classes=chosen["classes"].max(),
                     **{mark: True})


def together(drawn: Sequence[Drawn], said: Sequence[str], seed: int) -> Computed:
    """Rows, answers and notes of several protocols.

    Parameters
    ----------
    drawn : sequence of Drawn
    said : sequence of str
        Notes that come first.
    seed : int
        Of the intervals.

    Returns
    -------
    Computed

    Raises
    ------
    NslibError
        If one of them could not be scored on any split, with the first reason.
    """
    import pandas as pd

    rows, notes = [], list(said)
    for each in drawn:
        over_all = each.summary(seed)
        if not over_all:
            raise NslibError(f"none of {len(each.numbers)} splits of {each.protocol} could be scored: "
                             f"{each.rows[0]['reason']}")
        rows += [*each.rows, *over_all]
        notes += each.notes()
    answers = pd.concat([part for each in drawn for part in each.answers], ignore_index=True)
    return Computed(pd.DataFrame(rows), answers, tuple(dict.fromkeys(notes)))


def _absent(label: Any, parts: Mapping[str, Any]) -> list[str]:
    every = set(label)
    lacks = {name: sorted(every - set(label[rows])) for name, rows in parts.items()}
    return [f"{name} lacks {named(missing)}; scored all the same." for name, missing in lacks.items() if missing]
