"""Every choice of a distillation, declared, and what the paper is known to say about it.

As `nslib.train.settings`, which see for what *known*, *believed* and *unknown* mean. Remarks name what the
public code of FRILL does, a later work of the same group.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nslib.errors import BadParameter, UnknownName
from nslib.train.learner import learning_rate
from nslib.train.settings import LoopSettings, PairSettings, grouped, say, tabulated

if TYPE_CHECKING:
    import pandas as pd

SCALES = ("all", "dimension", "none")
_CHANGES = ("gain", "noise", "tilt", "short")


@dataclass(frozen=True)
class DistillSettings:
    """What learns, and how.

    Attributes
    ----------
    student : str
        A name as `nslib.train.students.parse` reads it.
    scale : {"all", "dimension", "none"}
        Whether targets are centred and divided by one number, so that their mean variance is 1; or each
        dimension by its own, so that all weigh the same; or taken as they are. "all" has the same best
        student as "none", at a learning rate that does not depend on the teacher.
    sample : int
        Batches by which centre and scale are found.
    steps : int
        Batches at most. A batch is both windows of `PairSettings.batch` pairs.
    learning_rate : float
        Of Adam, at its highest.
    schedule : {"constant", "cosine"}
        As `LoopSettings.schedule`.
    warmup : int
        Steps in which the rate rises from 0.
    evaluate_every : int
        Steps between looks at held-out targets; each ends in a checkpoint.
    held_out : int
        Batches of held-out windows, always the same.
    patience : int
        Looks without a better student before training stops; 0 never stops early.
    seed : int
        Of weights, draws and changes of the windows.
    """

    student: str = say("mobilenetv3-small-0.25-512", "known", "MobileNet with 2,048 dimensions; its width is unknown")
    scale: str = say("all", "unknown", "FRILL: plain mean squared error")
    sample: int = say(8, "unknown", "FRILL: none")
    steps: int = say(1000, "unknown", "FRILL: 380,000")
    learning_rate: float = say(3e-3, "unknown", "FRILL: Adam, 0.001")
    schedule: str = say("cosine", "unknown", "FRILL: constant")
    warmup: int = say(50, "unknown", "FRILL: none")
    evaluate_every: int = say(100, "unknown", "not found")
    held_out: int = say(6, "unknown", "not found")
    patience: int = say(0, "unknown", "not found")
    seed: int = say(0, "unknown", "not found")

    def __post_init__(self) -> None:
        from nslib.train.students import parse

        parse(self.student)
        if self.scale not in SCALES:
            raise UnknownName("scale", self.scale, SCALES)
        if self.sample < 1:
            raise BadParameter(f"sample must be at least 1 batch; got {self.sample}.")
        self._loop()

    def _loop(self) -> LoopSettings:
        """Give the settings that both loops share; making them checks them."""
        shared = {f.name for f in dataclasses.fields(self)} & {f.name for f in dataclasses.fields(LoopSettings)}
        return LoopSettings(**{name: getattr(self, name) for name in shared})

    def rate(self, step: int) -> float:
        """Learning rate of a step, as `nslib.train.loop.learning_rate`."""
        return learning_rate(step, self._loop())


@dataclass(frozen=True)
class Settings:
    """A whole distillation.

    Attributes
    ----------
    pairs : PairSettings
        Which windows are drawn; both of a pair are used.
    distill : DistillSettings
    """

    pairs: PairSettings = field(default_factory=PairSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)

    @property
    def changes(self) -> tuple[str, ...]:
        """Settings by which windows are changed before the student sees them."""
        return tuple(name for name in _CHANGES if getattr(self.pairs, name))

    def json(self, **more: str) -> str:
        """Write every value, one line a group.

        Parameters
        ----------
        **more
            What else makes the run what it is.

        Returns
        -------
        str
            The same settings give the same text; `make` takes it.
        """
        groups = {part.name: dataclasses.asdict(getattr(self, part.name)) for part in dataclasses.fields(self)}
        rows = {**groups, **({"teacher": more} if more else {})}
        return "{" + ",\n ".join(f'"{name}": {json.dumps(values)}' for name, values in rows.items()) + "}\n"


_GROUPS: dict[str, Any] = {"pairs": PairSettings, "distill": DistillSettings}


def make(values: Mapping[str, Any]) -> Settings:
    """Make settings of names and values.

    Parameters
    ----------
    values : mapping
        Fields of either group, or the groups themselves, as `Settings.json` writes them; a group ``teacher`` is
        no setting and is passed over.

    Returns
    -------
    Settings

    Raises
    ------
    UnknownName
        For a name that no group has.
    BadParameter
        For a value that cannot be.

    Examples
    --------
    >>> make({"student": "mobilenet-0.1", "batch": 32}).pairs.batch
    32
    """
    chosen = {name: value for name, value in values.items() if name != "teacher"}
    return Settings(**grouped(chosen, _GROUPS, "distillation setting"))


def table(settings: Settings | None = None) -> pd.DataFrame:
    """Tabulate every choice beside what the paper says.

    Parameters
    ----------
    settings : Settings, optional

    Returns
    -------
    DataFrame
        Columns setting, value, paper (known, believed, unknown), remark; the windows' settings are left out,
        which `nslib.train.settings.table` has.
    """
    return tabulated((settings or Settings()).distill)
