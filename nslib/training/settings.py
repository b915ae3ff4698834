"""Every choice of triplet training, distillation and fine-tuning, declared, and what the paper is known to say of it.

Reference: Shor et al. 2020, sections 3.1 and 3.4, table 2. Its training code is not public. ``known`` means read in a
source of the authors; ``believed`` remembered or second-hand, not verified against the paper's text; ``unknown`` that
no statement of the authors was found, so the value is ours alone. Values are those of the kit's own networks. Remarks
of distillation name what the public code of FRILL does, a later work of the same group; of fine-tuning, what the
authors' public evaluation code (`eval_embedding`) does; else what the paper does.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pandas as pd

from nslib.embeddings import networks
from nslib.errors import BadParameter, refuse_unknown

__all__ = ["CHANGES", "MINING", "FinetuneSettings", "TrainingSettings", "TripletSettings", "make_adam",
           "make_distillation_settings", "make_finetune_settings", "make_training_settings", "tabulate_settings"]

MINING = ("semi-hard", "batch-hard", "all", "soft")
CHANGES = ("stretch", "warp", "mix", "room", "equaliser", "band", "codec", "gain", "noise", "short")
_PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


def _setting(default: Any, paper: str, remark: str = "not found") -> Any:
    """Declare a field: its value, how well the paper's is known, and what that is or where it was looked for."""
    return field(default=default, metadata={"paper": paper, "remark": remark})


@dataclass(frozen=True)
class TripletSettings:
    """The loss.

    - ``margin``: squared distance by which a negative must be farther than the positive (unit vectors: at most 4 apart)
    - ``mining``: which negatives of the batch: "semi-hard", the nearest that is farther than the positive (the farthest
      of all, if none is), "batch-hard", the nearest, "all", or "soft", all, the nearer the more by a ``temperature``
    - ``both_ways``: whether each window of a pair is the anchor once
    """

    margin: float = _setting(0.1, "unknown", "not found; 0.1 in the related arXiv:1711.02209, from memory")
    mining: str = _setting("semi-hard", "believed", "within the batch, semi-hard")
    temperature: float = _setting(0.2, "unknown", "no smooth loss is mentioned anywhere")
    both_ways: bool = _setting(True, "unknown", "")

    def __post_init__(self) -> None:
        refuse_unknown("mining", self.mining, MINING)
        for name in ("margin", "temperature"):
            if not 0 < getattr(self, name) <= 4:
                raise BadParameter(f"{name} must be above 0 and at most 4, the largest distance; got "
                                   f"{getattr(self, name)}.")


_UNMENTIONED = "no augmentation is mentioned anywhere"


@dataclass(frozen=True)
class PairSettings:
    """Which windows make pairs, and how they are changed (`nslib.training.augment`).

    - ``tau``, ``gap``: seconds, most and least, between the starts of a pair's windows; with a gap of 0 clips that are
      shorter than a window are used too, silence behind them
    - ``near``: share of pairs that are of one moment instead, at most 0.1 s apart
    - ``batch``: pairs of a step, of as many pieces; ``same_source``: share of them that one package gives
    - ``join``: seconds up to which clips of one voice are joined to a piece; ``weight``: pieces are drawn evenly
      ("clip"), by their "seconds", or by the "root" of those
    - ``stretch``, ``warp``: share by which time and frequency are stretched at most; ``alike``: both windows of a pair
      by the same, if they are of two moments: these stay of one voice, those of one moment may be of two
    - ``mix``, ``room``, ``band``, ``codec``, ``noise``, ``short``: share of windows with another clip mixed in, a room,
      limited bands, a codec, noise, an early end
    - ``equaliser``: dB, deviation of a smooth curve over the bands; ``gain``: dB at most
    - ``quiet``: dB of full scale below which a window is drawn again
    """

    tau: float = _setting(10.0, "believed", "10 s, the length of AudioSet's clips; negatives from other clips")
    gap: float = _setting(0.2, "unknown", "")
    near: float = _setting(0.0, "unknown", "")
    batch: int = _setting(64, "unknown", "batch size not found")
    same_source: float = _setting(0.0, "unknown", "negatives from other clips; which, not found")
    join: float = _setting(0.0, "unknown", "not done, as far as known: AudioSet's clips are 10 s long")
    weight: str = _setting("clip", "unknown", "")
    stretch: float = _setting(0.0, "unknown", _UNMENTIONED)
    warp: float = _setting(0.0, "unknown", _UNMENTIONED)
    alike: bool = _setting(False, "unknown", _UNMENTIONED)
    mix: float = _setting(0.0, "unknown", _UNMENTIONED)
    room: float = _setting(0.0, "unknown", _UNMENTIONED)
    equaliser: float = _setting(0.0, "unknown", _UNMENTIONED)
    band: float = _setting(0.0, "unknown", _UNMENTIONED)
    codec: float = _setting(0.0, "unknown", _UNMENTIONED)
    gain: float = _setting(0.0, "unknown", _UNMENTIONED)
    noise: float = _setting(0.0, "unknown", _UNMENTIONED)
    short: float = _setting(0.0, "unknown", _UNMENTIONED)
    quiet: float = _setting(-60.0, "unknown", "")

    def __post_init__(self) -> None:
        refuse_unknown("weight", self.weight, ("clip", "root", "seconds"))
        if not 0 <= self.gap <= self.tau or self.tau <= 0:
            raise BadParameter(f"gap must be from 0 to tau, and tau above 0; got gap {self.gap}, tau {self.tau}.")
        if self.batch < 2:
            raise BadParameter(f"a batch of {self.batch} pairs has no negatives; give at least 2.")
        if min(self.join, self.gain, self.equaliser) < 0:
            raise BadParameter("join, gain and equaliser must not be negative.")
        for name in ("near", "same_source", "stretch", "warp", "mix", "room", "band", "codec", "noise", "short"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadParameter(f"{name} is a share, from 0 to 1; got {getattr(self, name)}.")

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the settings by which windows are changed before a network sees them."""
        return tuple(name for name in CHANGES if getattr(self, name))


class _Schedule:
    """What triplets and distillation share: how many steps, at which rates, and when to look at held-out audio."""

    def _check_schedule(self: Any) -> None:
        refuse_unknown("schedule", self.schedule, ("constant", "cosine"))
        if min(self.steps, self.evaluate_every, self.held_out) < 1 or min(self.warmup, self.patience) < 0:
            raise BadParameter(f"steps, evaluate_every and held_out must be at least 1, and none negative; got {self}.")
        if not 0 < self.learning_rate < 1:
            raise BadParameter(f"learning_rate must be above 0 and below 1; got {self.learning_rate}.")

    def rate(self: Any, step: int) -> float:
        """Return the learning rate of a step: a straight rise in the warm-up; then constant, or half a cosine to 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class LoopSettings(_Schedule):
    """How the network learns by triplets."""

    network: str = _setting("trill-mini", "known", "a variant of ResNet-50; trill-mini is a small one")
    steps: int = _setting(4000, "unknown")
    learning_rate: float = _setting(1e-3, "unknown", "optimiser and rate not found")
    schedule: str = _setting("cosine", "unknown")
    warmup: int = _setting(100, "unknown")
    evaluate_every: int = _setting(100, "unknown")
    held_out: int = _setting(8, "unknown")
    patience: int = _setting(0, "unknown")
    precision: str = _setting("auto", "unknown")
    seed: int = _setting(0, "unknown")

    def __post_init__(self) -> None:
        refuse_unknown("network", self.network, networks.RESNET_SHAPES)
        refuse_unknown("precision", self.precision, _PRECISIONS)
        self._check_schedule()


@dataclass(frozen=True)
class DistillSettings(_Schedule):
    """Who learns from a teacher, and how. A batch is both windows of `PairSettings.batch` pairs."""

    student: str = _setting("mobilenetv3-small-0.25-512", "known",
                            "MobileNet with 2,048 dimensions; its width is unknown")
    scale: str = _setting("all", "unknown", "FRILL: plain mean squared error")
    sample: int = _setting(8, "unknown", "FRILL: none")
    steps: int = _setting(1000, "unknown", "FRILL: 380,000")
    learning_rate: float = _setting(3e-3, "unknown", "FRILL: Adam, 0.001")
    schedule: str = _setting("cosine", "unknown", "FRILL: constant")
    warmup: int = _setting(50, "unknown", "FRILL: none")
    evaluate_every: int = _setting(100, "unknown")
    held_out: int = _setting(6, "unknown")
    patience: int = _setting(0, "unknown")
    seed: int = _setting(0, "unknown")

    def __post_init__(self) -> None:
        networks.parse_student(self.student)
        refuse_unknown("scale", self.scale, ("all", "dimension", "none"))
        if self.sample < 1:
            raise BadParameter(f"sample must be at least 1 batch; got {self.sample}.")
        self._check_schedule()


class _Groups:
    def json(self, **teacher: str) -> str:
        """Write every value, and what is said of a teacher, one line a group; the same settings give the same text."""
        groups = dataclasses.asdict(self) | ({"teacher": teacher} if teacher else {})  # type: ignore[call-overload]
        return "{" + ",\n ".join(f'"{name}": {json.dumps(values)}' for name, values in groups.items()) + "}\n"


@dataclass(frozen=True)
class TrainingSettings(_Groups):
    """A whole run of triplet training."""

    triplets: TripletSettings = field(default_factory=TripletSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)


@dataclass(frozen=True)
class DistillationSettings(_Groups):
    """A whole distillation; both windows of a pair are used."""

    pairs: PairSettings = field(default_factory=PairSettings)
    distill: DistillSettings = field(default_factory=DistillSettings)


@dataclass(frozen=True)
class FinetuneSettings:
    """How a network is fine-tuned.

    - ``network``: a name of `nslib.embeddings.networks.list_trained`; ``tap``: which output is pooled, "layer19" or
      "embedding"
    - ``pool``: "mean", "netvlad" or "autopool", see `nslib.training.finetune.Pool`; ``clusters``: of NetVLAD;
      ``alpha``: where AutoPool starts
    - ``frozen``: whether the network stays as it is and only pool and dense layer learn: the control
    - ``epochs``: at most; ``batch``: clips; ``patches``: successive patches of a clip that a step of training sees
    - ``head_rate``, ``network_rate``: learning rates of Adam, for pool and dense layer, and for the network
    - ``l2``: weight of the dense layer's squared weights in the loss
    - ``patience``: epochs without a better validation score before training stops
    - ``seed``: of new weights, order and crops
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
    patience: int = _setting(4, "unknown")
    seed: int = _setting(0, "unknown")

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.patches, self.clusters, self.patience) < 1:
            raise BadParameter(f"epochs, batch, patches, clusters and patience must be at least 1; got {self}.")
        if self.l2 < 0 or min(self.head_rate, self.network_rate) <= 0:
            raise BadParameter(f"l2 must not be negative, and learning rates must be above 0; got {self}.")


def read_size(size: str) -> dict[str, Any]:
    """Settings of a run by its size: trill-mini's, or TRILL's own, with steps and rates of ours, not tried."""
    refuse_unknown("size", size, ("mini", "paper"))
    return networks.read_settings("trill-mini") if size == "mini" else {
        "network": "resnet50-trill", "batch": 256, "steps": 300_000, "learning_rate": 1e-4, "warmup": 1000,
        "evaluate_every": 1000}


def make_training_settings(values: Mapping[str, Any]) -> TrainingSettings:
    """Make settings of triplet training from fields of any group, or groups themselves, as ``settings.json`` has them.

    UnknownName for a name that no group has, BadParameter for a value that cannot be.

    >>> make_training_settings({"tau": 5.0, "margin": 0.2}).pairs.tau
    5.0
    """
    return TrainingSettings(**_make_groups(TrainingSettings, values, "training setting"))


def make_distillation_settings(values: Mapping[str, Any]) -> DistillationSettings:
    """Make settings of a distillation, as `make_training_settings`; a group ``teacher`` is passed over."""
    chosen = {name: value for name, value in values.items() if name != "teacher"}
    return DistillationSettings(**_make_groups(DistillationSettings, chosen, "distillation setting"))


def make_finetune_settings(values: Mapping[str, Any]) -> FinetuneSettings:
    """Make settings of fine-tuning from names and values; errors as of `make_training_settings`."""
    refuse_unknown("setting of fine-tuning", values, [f.name for f in dataclasses.fields(FinetuneSettings)])
    return FinetuneSettings(**values)


def _make_groups(whole: type, values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Deal named values out to the groups of a whole that have fields of these names."""
    groups: dict[str, Any] = {f.name: f.default_factory for f in dataclasses.fields(whole)}
    group_of = {f.name: group for group, record in groups.items() for f in dataclasses.fields(record)}
    chosen: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for name, value in values.items():
        for one, given in value.items() if name in groups else [(name, value)]:
            refuse_unknown(kind, one, group_of)
            chosen[group_of[one]][one] = given
    return {group: record(**chosen[group]) for group, record in groups.items()}


def tabulate_settings(settings: TrainingSettings | DistillationSettings | FinetuneSettings) -> pd.DataFrame:
    """Tabulate every choice beside what the paper says; of a distillation those of windows are left out."""
    records: list[Any] = [settings]
    if isinstance(settings, TrainingSettings):
        records = [settings.triplets, settings.pairs, settings.loop]
    elif isinstance(settings, DistillationSettings):
        records = [settings.distill]
    rows = [{"setting": f.name, "value": getattr(record, f.name), **f.metadata}
            for record in records for f in dataclasses.fields(record)]
    return pd.DataFrame(rows, columns=["setting", "value", "paper", "remark"])


def make_adam(rate: float = 0.001, epsilon: float = 1e-7) -> Any:
    """Make Keras's Adam, for all three ways to train; a variable is changed by one operation in place of forty."""
    return _make_adam_class()(rate, epsilon=epsilon)


@cache
def _make_adam_class() -> type:
    """Make the class when it is first asked for: to import its parent is to load TensorFlow."""
    import keras
    import tensorflow as tf

    class Adam(keras.optimizers.Adam):
        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            one, two = (tf.constant(beta, tf.float32) for beta in (self.beta_1, self.beta_2))
            step = tf.cast(self.iterations + 1, tf.float32)
            self._shared = {"beta1": one, "beta2": two, "beta1_power": one ** step, "beta2_power": two ** step,
                            "epsilon": tf.constant(self.epsilon, tf.float32)}
            super().apply(grads, trainable_variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            mean, square = (moments[place].value.handle for moments in (self._momentums, self._velocities))
            tf.raw_ops.ResourceApplyAdam(var=variable.handle, m=mean, v=square, grad=gradient, lr=learning_rate,
                                         **self._shared)

    return Adam
