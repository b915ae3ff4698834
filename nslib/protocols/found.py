"""What a protocol gives, and how two embeddings compare in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nslib.bootstrap import Difference
from nslib.claims import HOLDS, REFUTED, UNDECIDED
from nslib.errors import BadParameter
from nslib.protocols import intervals
from nslib.protocols import rows as store
from nslib.protocols.within import NAME as WITHIN

if TYPE_CHECKING:
    import pandas as pd

_PAIR = ["split_number", "clip_id"]


@dataclass(frozen=True)
class ProtocolResults:
    """What a protocol gives.

    Attributes
    ----------
    rows : DataFrame
        As `nslib.schema.PROTOCOL_ROWS` says.
    answers : DataFrame
        Test answers of the chosen probes, one row a clip and split (`nslib.schema.PROTOCOL_ANSWERS`).
    not_run : DataFrame
        Columns task, embedding, why, remedy.
    problems : DataFrame
        Clips that were left out: task, embedding, clip_id, audio, reason, remedy.
    notes : list of str
        Sentences that a reader of the numbers must know.
    """

    rows: pd.DataFrame
    answers: pd.DataFrame
    not_run: pd.DataFrame
    problems: pd.DataFrame
    notes: list[str]

    def summary(self, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
        """One row a task, embedding and protocol: see `nslib.protocols.summary`."""
        return store.summary(self.rows, protocol, shots)

    def table(self, protocol: str = WITHIN) -> pd.DataFrame:
        """Score with interval, tasks by embeddings: see `nslib.protocols.table`."""
        return store.table(self.rows, protocol)

    def difference(self, task: str, first: str, second: str, *, protocol: str = WITHIN, shots: int = 0,
                   seed: int = 0) -> Difference:
        """Paired difference of two embeddings: see `nslib.protocols.difference`."""
        return difference(self.answers, task, first, second, protocol=protocol, shots=shots, seed=seed)

    def against(self, baselines: Sequence[str], *, shots: int = 0, seed: int = 0) -> pd.DataFrame:
        """Every other embedding against the best of some: see `nslib.protocols.against`."""
        return against(self.rows, self.answers, baselines, shots=shots, seed=seed)


def difference(answers: pd.DataFrame, task: str, first: str, second: str, *, protocol: str = WITHIN,
               shots: int = 0, seed: int = 0) -> Difference:
    """Paired difference of two embeddings on a task, first minus second.

    Parameters
    ----------
    answers : DataFrame
        As in `ProtocolResults`.
    task : str
    first, second : str
        Names of embeddings.
    protocol : str
        A value of that column.
    shots : int
        Cap on training clips; 0: none.
    seed : int
        Of the resamples.

    Returns
    -------
    Difference
        On the clips and splits that both have answered (all, unless one has no vector for a clip), over
        speakers where there are five or more, else over clips. See `nslib.protocols.intervals`.

    Raises
    ------
    BadParameter
        If one of the two has no answers, or none in common with the other.
    """
    own = answers[(answers["task"] == task) & (answers["protocol"] == protocol) & (answers["shots"] == shots)]
    parts = [own[own["embedding"] == name] for name in (first, second)]
    for name, part in zip((first, second), parts, strict=True):
        if part.empty:
            raise BadParameter(f"{name} has no {protocol} answers on {task}.")
    newest = [part[part["key"] == part["key"].iloc[-1]] for part in parts]
    common = newest[0][_PAIR].merge(newest[1][_PAIR])
    if common.empty:
        raise BadParameter(f"{first} and {second} have answered no clip of {task} in common.")
    return intervals.difference(*(part.merge(common) for part in newest), of_speakers=protocol == WITHIN, seed=seed)


def against(rows: pd.DataFrame, answers: pd.DataFrame, baselines: Sequence[str], *, shots: int = 0,
            seed: int = 0) -> pd.DataFrame:
    """Whether an embedding beats the best of some baselines within speakers.

    Parameters
    ----------
    rows, answers : DataFrame
        As in `ProtocolResults`.
    baselines : sequence of str
        Names of embeddings. On each task the one with the highest *validation* score counts: the best on
        test would be a baseline that had seen the answers.
    shots : int
        Which cap on training clips; 0: none.
    seed : int
        Of the resamples.

    Returns
    -------
    DataFrame
        One row a task and other embedding: ``task, embedding, baseline, diff, low, high, by, verdict``. The
        verdict on "the embedding beats the baseline" is ``holds`` if the whole interval of the paired
        difference lies above 0, ``does not hold`` if it lies below, else ``undecided``.
    """
    import pandas as pd

    chosen = store.summary(rows, WITHIN, shots)
    kept = answers[answers["key"].isin(chosen["key"])]
    found = []
    for task, part in chosen.groupby("task", sort=False):
        plain = part[part["embedding"].isin(list(baselines))]
        if plain.empty:
            continue
        baseline = str(plain.loc[plain["validation"].idxmax(), "embedding"])
        for name in part.loc[~part["embedding"].isin(list(baselines)), "embedding"]:
            gap = difference(kept, str(task), str(name), baseline, shots=shots, seed=seed)
            verdict = HOLDS if gap.low > 0 else REFUTED if gap.high < 0 else UNDECIDED
            found.append({"task": task, "embedding": name, "baseline": baseline, **gap._asdict(), "verdict": verdict})
    columns = ["task", "embedding", "baseline", *Difference._fields, "verdict"]
    return pd.DataFrame(found, columns=columns)
