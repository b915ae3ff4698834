"""Every choice of triplet training, distillation and fine-tuning, declared, and what the paper is known to say of it.

Reference: Shor et al. 2020, sections 3.1 and 3.4, table 2. Its training code is not public. ``known`` means read in a
source of the authors; ``believed`` means remembered or second-hand, not verified against the paper's text; ``unknown``
means that no statement of the authors was found, so the value is ours alone.

Values are those of the kit's own networks; the paper's are in the remarks where there are any. Remarks of distillation
name what the public code of FRILL does, a later work of the same group; of fine-tuning, what the authors' public
evaluation code (`eval_embedding`) does.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nslib.embeddings import networks
from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MINING",
    "STATUSES",
    "FinetuneSettings",
    "TrainingSettings",
    "TripletSettings",
    "make_distillation_settings",
    "make_finetune_settings",
    "make_training_settings",
    "tabulate_settings",
]

STATUSES = ("known", "believed", "unknown")
MINING = ("semi-hard", "batch-hard")
_WEIGHTS = ("clip", "seconds")
_SCHEDULES = ("constant", "cosine")
_PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
_SCALES = ("all", "dimension", "none")


def _setting(default: Any, paper: str, remark: str) -> Any:
    """Declare a field: its value, how well the paper's is known, and what that is or where it was looked for."""
    return field(default=default, metadata={"paper": paper, "remark": remark})


def _check_name(kind: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise UnknownName(kind, value, tuple(allowed))


@dataclass(frozen=True)
class TripletSettings:
    """The loss.

    Attributes
    ----------
    margin : float
        Squared distance by which a negative must be farther than the positive. Unit vectors are at most 4 apart.
    mining : {"semi-hard", "batch-hard"}
        Which negative of the batch: the nearest that is farther than the positive (the farthest of all, if none is),
        or the nearest.
    both_ways : bool
        Whether each window of a pair is the anchor once.
    """

    margin: float = _setting(0.1, "unknown", "not found; 0.1 in the related arXiv:1711.02209, from memory")
    mining: str = _setting("semi-hard", "believed", "within the batch, semi-hard")
    both_ways: bool = _setting(True, "unknown", "")

    def __post_init__(self) -> None:
        _check_name("mining", self.mining, MINING)
        if not 0 < self.margin <= 4:
            raise BadParameter(f"margin must be above 0 and at most 4, the largest distance; got {self.margin}.")


@dataclass(frozen=True)
class PairSettings:
    """Which windows make pairs, and how they are changed.

    Attributes
    ----------
    tau, gap : float
        Largest and smallest distance in seconds between the starts of anchor and positive; at least one sample.
    batch : int
        Pairs in a batch, of as many different clips.
    join : float
        Clips that are shorter than this many seconds are continued by the next of the same speaker name; 0 takes them
        as they are.
    weight : {"clip", "seconds"}
        Whether clips are drawn alike, or in proportion to how many windows they have.
    gain : float
        Each window is made louder or softer by up to this many dB.
    noise : float
        White noise is added to each window, at a random level up to this many dB above -90 dB of full scale; 0 adds
        none.
    tilt : float
        Each window's spectrum is tilted by up to this many dB between lowest and highest band.
    short : float
        Share of windows that end early, after 0.3 s or more, and are silent from there: so that clips which are
        shorter than a window, and padded by the front end, are nothing new to the network.
    quiet : float
        Windows below this level (dB of full scale, root mean square) are drawn again, up to three times.
    """

    tau: float = _setting(10.0, "believed", "10 s, the length of AudioSet's clips; negatives from other clips")
    gap: float = _setting(0.2, "unknown", "")
    batch: int = _setting(64, "unknown", "batch size not found")
    join: float = _setting(0.0, "unknown", "not done, as far as known: AudioSet's clips are 10 s long")
    weight: str = _setting("clip", "unknown", "")
    gain: float = _setting(0.0, "unknown", "no augmentation is mentioned anywhere")
    noise: float = _setting(0.0, "unknown", "no augmentation is mentioned anywhere")
    tilt: float = _setting(0.0, "unknown", "no augmentation is mentioned anywhere")
    short: float = _setting(0.0, "unknown", "no augmentation is mentioned anywhere")
    quiet: float = _setting(-60.0, "unknown", "")

    def __post_init__(self) -> None:
        _check_name("weight", self.weight, _WEIGHTS)
        if not 0 <= self.gap <= self.tau or self.tau <= 0:
            raise BadParameter(f"gap must be from 0 to tau, and tau above 0; got gap {self.gap}, tau {self.tau}.")
        if self.batch < 2:
            raise BadParameter(f"a batch of {self.batch} pairs has no negatives; give at least 2.")
        if min(self.join, self.gain, self.noise, self.tilt) < 0:
            raise BadParameter("join, gain, noise and tilt must not be negative.")
        if not 0 <= self.short <= 1:
            raise BadParameter(f"short is a share, from 0 to 1; got {self.short}.")

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the settings by which windows are changed before a network sees them."""
        return tuple(name for name in ("gain", "noise", "tilt", "short") if getattr(self, name))


class _Schedule:
    """What both loops share: how many steps, at which rates, and when to look."""

    steps: int
    learning_rate: float
    schedule: str
    warmup: int
    evaluate_every: int
    held_out: int
    patience: int
    seed: int

    def _check_schedule(self) -> None:
        _check_name("schedule", self.schedule, _SCHEDULES)
        if min(self.steps, self.evaluate_every, self.held_out) < 1 or min(self.warmup, self.patience) < 0:
            raise BadParameter(f"steps, evaluate_every and held_out must be at least 1, and none negative; got {self}.")
        if not 0 < self.learning_rate < 1:
            raise BadParameter(f"learning_rate must be above 0 and below 1; got {self.learning_rate}.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: a straight rise in the warm-up; then constant, or half a cosine to 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class LoopSettings(_Schedule):
    """How the network learns.

    Attributes
    ----------
    network : str
        A name in `nslib.embeddings.networks.RESNET_SHAPES`.
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

    network: str = _setting("trill-mini", "known", "a variant of ResNet-50; trill-mini is a small one")
    steps: int = _setting(4000, "unknown", "not found")
    learning_rate: float = _setting(1e-3, "unknown", "optimiser and rate not found")
    schedule: str = _setting("cosine", "unknown", "not found")
    warmup: int = _setting(100, "unknown", "not found")
    evaluate_every: int = _setting(100, "unknown", "not found")
    held_out: int = _setting(8, "unknown", "not found")
    patience: int = _setting(0, "unknown", "not found")
    precision: str = _setting("auto", "unknown", "not found")
    seed: int = _setting(0, "unknown", "not found")

    def __post_init__(self) -> None:
        _check_name("network", self.network, networks.RESNET_SHAPES)
        _check_name("precision", self.precision, _PRECISIONS)
        self._check_schedule()


@dataclass(frozen=True)
class DistillSettings(_Schedule):
    """Who learns from a teacher, and how; what is not explained here is as in `LoopSettings`.

    Attributes
    ----------
    student : str
        ``kind-alpha`` or ``kind-alpha-dim``, as `nslib.embeddings.networks.parse_student` reads it.
    scale : {"all", "dimension", "none"}
        Whether targets are centred and divided by one number, so that their mean variance is 1; or each dimension by
        its own, so that all weigh the same; or taken as they are. "all" has the same best student as "none", at a
        learning rate that does not depend on the teacher.
    sample : int
        Batches by which centre and scale are found.
    steps : int
        Batches at most. A batch is both windows of `PairSettings.batch` pairs.
    """

    student: str = _setting("mobilenetv3-small-0.25-512", "known",
                            "MobileNet with 2,048 dimensions; its width is unknown")
    scale: str = _setting("all", "unknown", "FRILL: plain mean squared error")
    sample: int = _setting(8, "unknown", "FRILL: none")
    steps: int = _setting(1000, "unknown", "FRILL: 380,000")
    learning_rate: float = _setting(3e-3, "unknown", "FRILL: Adam, 0.001")
    schedule: str = _setting("cosine", "unknown", "FRILL: constant")
    warmup: int = _setting(50, "unknown", "FRILL: none")
    evaluate_every: int = _setting(100, "unknown", "not found")
    held_out: int = _setting(6, "unknown", "not found")
    patience: int = _setting(0, "unknown", "not found")
    seed: int = _setting(0, "unknown", "not found")

    def __post_init__(self) -> None:
        networks.parse_student(self.student)
        _check_name("scale", self.scale, _SCALES)
        if self.sample < 1:
            raise BadParameter(f"sample must be at least 1 batch; got {self.sample}.")
        self._check_schedule()


@dataclass(frozen=True)
class TrainingSettings:
    """A whole run of triplet training: groups triplets, pairs and loop."""

    triplets: TripletSettings = field(default_factory=TripletSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def json(self) -> str:
        """Write every value, one line a group; the same settings give the same text."""
        return _text_of_groups(dataclasses.asdict(self))


@dataclass(frozen=True)
class DistillationSettings:
    """A whole distillation: groups pairs (both windows of a pair are used) and distill."""

    pairs: PairSettings = field(default_factory=PairSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)

    def json(self, **teacher: str) -> str:
        """Write every value, and what is said of the teacher, one line a group."""
        return _text_of_groups(dataclasses.asdict(self) | ({"teacher": teacher} if teacher else {}))


@dataclass(frozen=True)
class FinetuneSettings:
    """How a network is fine-tuned.

    Attributes
    ----------
    network : str
        A name of `nslib.embeddings.networks`.
    tap : {"layer19", "embedding"}
        Which output is pooled.
    pool : {"mean", "netvlad", "autopool"}
        See `nslib.training.finetune.make_pool`.
    clusters : int
        Of NetVLAD.
    alpha : float
        Where AutoPool starts.
    frozen : bool
        Whether the network stays as it is and only pool and dense layer learn: the control.
    epochs : int
        At most.
    batch : int
        Clips.
    patches : int
        Successive patches of a clip that a step of training sees.
    head_rate, network_rate : float
        Learning rates of Adam, for pool and dense layer, and for the network.
    l2 : float
        Weight of the dense layer's squared weights in the loss.
    patience : int
        Epochs without a better validation score before training stops.
    seed : int
        Of new weights, order and crops.
    """

    network: str = _setting("trill-mini", "known", "TRILL-distilled; here the kit's own network")
    tap: str = _setting("embedding", "known", "the only output of TRILL-distilled")
    pool: str = _setting("mean", "known",
                         "NetVLAD, AutoPool and mean are in the authors' code; which made the table, not")
    clusters: int = _setting(4, "unknown", "the authors' code has no default")
    alpha: float = _setting(0.0, "unknown", "the authors' code keeps alpha as it starts; here it learns")
    frozen: bool = _setting(False, "known", "the whole network learns")
    epochs: int = _setting(8, "unknown", "the authors' code never stops by itself")
    batch: int = _setting(16, "unknown", "1 is the default of the authors' code")
    patches: int = _setting(3, "known", "one crop of a second in the authors' code; here several patches")
    head_rate: float = _setting(0.05, "known", "1e-3 for everything there; here the better of two on two quick tasks")
    network_rate: float = _setting(1e-3, "known", "1e-3 for everything in the authors' code")
    l2: float = _setting(1e-5, "known", "1e-5, declared in the authors' code but not in its loss")
    patience: int = _setting(4, "unknown", "not found")
    seed: int = _setting(0, "unknown", "not found")

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.patches, self.clusters, self.patience) < 1:
            raise BadParameter(f"epochs, batch, patches, clusters and patience must be at least 1; got {self}.")
        if self.l2 < 0 or min(self.head_rate, self.network_rate) <= 0:
            raise BadParameter(f"l2 must not be negative, and learning rates must be above 0; got {self}.")


def make_training_settings(values: Mapping[str, Any]) -> TrainingSettings:
    """Make settings of triplet training from names and values.

    Parameters
    ----------
    values : mapping
        Fields of any group, or the groups themselves, as `TrainingSettings.json` and the committed ``settings.json``
        have them.

    Raises
    ------
    UnknownName, BadParameter
        For a name that no group has; for a value that cannot be.

    Examples
    --------
    >>> make_training_settings({"tau": 5.0, "margin": 0.2}).pairs.tau
    5.0
    """
    groups = {"triplets": TripletSettings, "pairs": PairSettings, "loop": LoopSettings}
    return TrainingSettings(**_make_groups(values, groups, "training setting"))


def make_distillation_settings(values: Mapping[str, Any]) -> DistillationSettings:
    """Make settings of a distillation, as `make_training_settings`; a group ``teacher`` is passed over."""
    chosen = {name: value for name, value in values.items() if name != "teacher"}
    groups = {"pairs": PairSettings, "distill": DistillSettings}
    return DistillationSettings(**_make_groups(chosen, groups, "distillation setting"))


def make_finetune_settings(values: Mapping[str, Any]) -> FinetuneSettings:
    """Make settings of fine-tuning from names and values; errors as of `make_training_settings`."""
    groups = {"finetune": FinetuneSettings}
    made: FinetuneSettings = _make_groups(values, groups, "setting of fine-tuning")["finetune"]
    return made


def _make_groups(values: Mapping[str, Any], groups: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Deal named values out to the records of settings that have fields of these names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= dict(value) if name in groups else {name: value}
    group_of = {f.name: group for group, record in groups.items() for f in dataclasses.fields(record)}
    for name in flat:
        _check_name(kind, name, group_of)
    return {group: record(**{name: value for name, value in flat.items() if group_of[name] == group})
            for group, record in groups.items()}


def _text_of_groups(groups: Mapping[str, Any]) -> str:
    return "{" + ",\n ".join(f'"{name}": {json.dumps(values)}' for name, values in groups.items()) + "}\n"


def tabulate_settings(settings: TrainingSettings | DistillationSettings | FinetuneSettings) -> pd.DataFrame:
    """Tabulate every choice beside what the paper says: columns setting, value, paper (one of `STATUSES`), remark.

    Of a distillation the settings of windows are left out, which the table of triplet training has.
    """
    import pandas as pd

    records: list[Any] = [settings]
    if isinstance(settings, TrainingSettings):
        records = [settings.triplets, settings.pairs, settings.loop]
    elif isinstance(settings, DistillationSettings):
        records = [settings.distill]
    rows = [{"setting": f.name, "value": getattr(record, f.name), **f.metadata}
            for record in records for f in dataclasses.fields(record)]
    return pd.DataFrame(rows, columns=["setting", "value", "paper", "remark"])
