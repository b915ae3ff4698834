"""Every choice of a training run, declared, and what the paper is known to say about it.

Reference: Shor et al. 2020, section 3.1. Its training code is not public. ``known`` means read in a source
of the authors; ``believed`` means remembered or second-hand, not verified against the paper's text;
``unknown`` means that no statement of the authors was found, so the value is ours alone.

Values are those of the kit's own `trill-mini`; the paper's are in the remarks where there are any.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("known", "believed", "unknown")
MINING = ("semi-hard", "batch-hard")
WEIGHTS = ("clip", "seconds")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


def say(default: Any, paper: str, remark: str) -> Any:
    """Declare a field of settings.

    Parameters
    ----------
    default : object
    paper : {"known", "believed", "unknown"}
        How well the paper's own value is known.
    remark : str
        That value, or where it was looked for.

    Returns
    -------
    dataclasses.Field
    """
    return field(default=default, metadata={"paper": paper, "remark": remark})


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownName(name, value, allowed)


@dataclass(frozen=True)
class TripletSettings:
    """The loss.

    Attributes
    ----------
    margin : float
        Squared distance by which a negative must be farther than the positive. Unit vectors are at
        most 4 apart.
    mining : {"semi-hard", "batch-hard"}
        Which negative of the batch: the nearest that is farther than the positive (the farthest of
        all, if none is), or the nearest.
    both_ways : bool
        Whether each window of a pair is the anchor once.
    """

    margin: float = say(0.1, "unknown", "not found; 0.1 in the related arXiv:1711.02209, from memory")
    mining: str = say("semi-hard", "believed", "within the batch, semi-hard")
    both_ways: bool = say(True, "unknown", "")

    def __post_init__(self) -> None:
        _one_of("mining", self.mining, MINING)
        if not 0 < self.margin <= 4:
            raise BadParameter(f"margin must be above 0 and at most 4, the largest distance; got {self.margin}.")


@dataclass(frozen=True)
class PairSettings:
    """Which windows make pairs, and how they are changed.

    Attributes
    ----------
    tau : float
        Largest distance in seconds between the starts of anchor and positive.
    gap : float
        Smallest, in seconds; at least one sample.
    batch : int
        Pairs in a batch, of as many different clips.
    join : float
        Clips that are shorter than this many seconds are continued by the next of the same speaker
        name; 0 takes them as they are.
    weight : {"clip", "seconds"}
        Whether clips are drawn alike, or in proportion to how many windows they have.
    gain : float
        Each window is made louder or softer by up to this many dB.
    noise : float
        White noise is added to each window, at a random level up to this many dB above -90 dB of full
        scale; 0 adds none.
    tilt : float
        Each window's spectrum is tilted by up to this many dB between lowest and highest band.
    short : float
        Share of windows that end early, after 0.3 s or more, and are silent from there: so that clips which
        are shorter than a window, and padded by the front end, are nothing new to the network.
    quiet : float
        Windows below this level (dB of full scale, root mean square) are drawn again, up to three times.
    """

    tau: float = say(10.0, "believed", "10 s, the length of AudioSet's clips; negatives from other clips")
    gap: float = say(0.2, "unknown", "")
    batch: int = say(64, "unknown", "batch size not found")
    join: float = say(0.0, "unknown", "not done, as far as known: AudioSet's clips are 10 s long")
    weight: str = say("clip", "unknown", "")
    gain: float = say(0.0, "unknown", "no augmentation is mentioned anywhere")
    noise: float = say(0.0, "unknown", "no augmentation is mentioned anywhere")
    tilt: float = say(0.0, "unknown", "no augmentation is mentioned anywhere")
    short: float = say(0.0, "unknown", "no augmentation is mentioned anywhere")
    quiet: float = say(-60.0, "unknown", "")

    def __post_init__(self) -> None:
        _one_of("weight", self.weight, WEIGHTS)
        if not 0 <= self.gap <= self.tau or self.tau <= 0:
            raise BadParameter(f"gap must be from 0 to tau, and tau above 0; got gap {self.gap}, tau {self.tau}.")
        if self.batch < 2:
            raise BadParameter(f"a batch of {self.batch} pairs has no negatives; give at least 2.")
        if min(self.join, self.gain, self.noise, self.tilt) < 0:
            raise BadParameter("join, gain, noise and tilt must not be negative.")
        if not 0 <= self.short <= 1:
            raise BadParameter(f"short is a share, from 0 to 1; got {self.short}.")


@dataclass(frozen=True)
class LoopSettings:
    """How the network learns.

    Attributes
    ----------
    network : str
        A name in `nslib.train.networks.SHAPES`.
    steps : int
        Batches at most.
    learning_rate : float
        Of Adam, at its highest.
    schedule : {"constant", "cosine"}
        What becomes of it after `warmup`; "cosine" falls to 0 at `steps`.
    warmup : int
        Steps in which it rises from 0.
    evaluate_every : int
        Steps between looks at the held-out triplets; each ends in a checkpoint.
    held_out : int
        Batches of held-out triplets, always the same.
    patience : int
        Looks without a better accuracy before training stops; 0 never stops early.
    precision : {"auto", "float32", "mixed_float16", "mixed_bfloat16"}
        "auto" is mixed_float16 where there is a GPU, else float32.
    seed : int
        Of weights, draws and augmentation.
    """

    network: str = say("trill-mini", "known", "a variant of ResNet-50; trill-mini is a small one")
    steps: int = say(4000, "unknown", "not found")
    learning_rate: float = say(1e-3, "unknown", "optimiser and rate not found")
    schedule: str = say("cosine", "unknown", "not found")
    warmup: int = say(100, "unknown", "not found")
    evaluate_every: int = say(100, "unknown", "not found")
    held_out: int = say(8, "unknown", "not found")
    patience: int = say(0, "unknown", "not found")
    precision: str = say("auto", "unknown", "not found")
    seed: int = say(0, "unknown", "not found")

    def __post_init__(self) -> None:
        from nslib.train.networks import SHAPES

        _one_of("network", self.network, tuple(SHAPES))
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("precision", self.precision, PRECISIONS)
        if min(self.steps, self.evaluate_every, self.held_out) < 1 or min(self.warmup, self.patience) < 0:
            raise BadParameter(f"steps, evaluate_every and held_out must be at least 1, and none negative; got {self}.")
        if not 0 < self.learning_rate < 1:
            raise BadParameter(f"learning_rate must be above 0 and below 1; got {self.learning_rate}.")


@dataclass(frozen=True)
class Settings:
    """A whole run.

    Attributes
    ----------
    triplets : TripletSettings
    pairs : PairSettings
    loop : LoopSettings
    """

    triplets: TripletSettings = field(default_factory=TripletSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def json(self) -> str:
        """str: every value, one line a group; the same settings give the same text."""
        groups = {part.name: dataclasses.asdict(getattr(self, part.name)) for part in dataclasses.fields(self)}
        return "{" + ",\n ".join(f'"{name}": {json.dumps(values)}' for name, values in groups.items()) + "}\n"


_GROUPS: dict[str, Any] = {"triplets": TripletSettings, "pairs": PairSettings, "loop": LoopSettings}


def make(values: Mapping[str, Any]) -> Settings:
    """Make settings of names and values.

    Parameters
    ----------
    values : mapping
        Fields of any of the three groups, or the groups themselves (as `Settings.json` writes them).

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
    >>> make({"tau": 5.0, "margin": 0.2}).pairs.tau
    5.0
    """
    return Settings(**grouped(values, _GROUPS, "training setting"))


def grouped(values: Mapping[str, Any], groups: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Deal named values out to the records of settings that have fields of these names.

    Parameters
    ----------
    values : mapping
        Fields of any group, or whole groups.
    groups : mapping
        Name of a group to its dataclass.
    what : str
        What a name is called, for the message.

    Returns
    -------
    dict
        Name of a group to its record.

    Raises
    ------
    UnknownName
        For a name that no group has.
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= dict(value) if name in groups else {name: value}
    of = {f.name: group for group, kind in groups.items() for f in dataclasses.fields(kind)}
    for name in flat:
        if name not in of:
            raise UnknownName(what, name, of)
    return {group: kind(**{n: v for n, v in flat.items() if of[n] == group}) for group, kind in groups.items()}


def table(settings: Settings | None = None) -> pd.DataFrame:
    """Tabulate every choice beside what the paper says.

    Parameters
    ----------
    settings : Settings, optional

    Returns
    -------
    DataFrame
        Columns setting, value, paper (known, believed, unknown), remark.
    """
    settings = settings or Settings()
    return tabulated(*(getattr(settings, group) for group in _GROUPS))


def tabulated(*records: Any) -> pd.DataFrame:
    """Tabulate records whose fields `say` declared.

    Parameters
    ----------
    *records : dataclass

    Returns
    -------
    DataFrame
        As `table`.
    """
    import pandas as pd

    rows = [{"setting": f.name, "value": getattr(record, f.name), **f.metadata}
            for record in records for f in dataclasses.fields(record)]
    return pd.DataFrame(rows, columns=["setting", "value", "paper", "remark"])
