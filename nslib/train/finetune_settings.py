"""Every choice of fine-tuning, declared, and what the paper is known to say about it.

As `nslib.train.settings`, which see for what *known*, *believed* and *unknown* mean. ``known`` is what the authors'
public code has; the paper's own run is not public.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib.errors import BadParameter, UnknownName
from nslib.train.settings import say, tabulated

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FinetuneSettings:
    """How a network is fine-tuned.

    Attributes
    ----------
    network : str
        A name of `nslib.train.models`.
    tap : {"layer19", "embedding"}
        Which output is pooled.
    pool : {"mean", "netvlad", "autopool"}
        See `nslib.train.pools`.
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

    network: str = say("trill-mini", "known", "TRILL-distilled; here the kit's own network")
    tap: str = say("embedding", "known", "the only output of TRILL-distilled")
    pool: str = say("mean", "known", "NetVLAD, AutoPool and mean are in the authors' code; which made the table, not")
    clusters: int = say(4, "unknown", "the authors' code has no default")
    alpha: float = say(0.0, "unknown", "the authors' code keeps alpha as it starts; here it learns")
    frozen: bool = say(False, "known", "the whole network learns")
    epochs: int = say(8, "unknown", "the authors' code never stops by itself")
    batch: int = say(16, "unknown", "1 is the default of the authors' code")
    patches: int = say(3, "known", "one crop of a second in the authors' code; here several patches")
    head_rate: float = say(0.05, "known", "1e-3 for everything there; here the better of two on two quick tasks")
    network_rate: float = say(1e-3, "known", "1e-3 for everything in the authors' code")
    l2: float = say(1e-5, "known", "1e-5, declared in the authors' code but not in its loss")
    patience: int = say(4, "unknown", "not found")
    seed: int = say(0, "unknown", "not found")

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch, self.patches, self.clusters, self.patience) < 1:
            raise BadParameter(f"epochs, batch, patches, clusters and patience must be at least 1; got {self}.")
        if self.l2 < 0 or min(self.head_rate, self.network_rate) <= 0:
            raise BadParameter(f"l2 must not be negative, and learning rates must be above 0; got {self}.")


def make(values: Mapping[str, Any]) -> FinetuneSettings:
    """Make settings of names and values.

    Parameters
    ----------
    values : mapping

    Returns
    -------
    FinetuneSettings

    Raises
    ------
    UnknownName
        For a name that is no setting.
    BadParameter
        For a value that cannot be.
    """
    known = [f.name for f in dataclasses.fields(FinetuneSettings)]
    for name in values:
        if name not in known:
            raise UnknownName("setting of fine-tuning", name, known)
    return FinetuneSettings(**values)


def table(settings: FinetuneSettings | None = None) -> pd.DataFrame:
    """Tabulate every choice beside what the paper says.

    Parameters
    ----------
    settings : FinetuneSettings, optional

    Returns
    -------
    DataFrame
        Columns setting, value, paper (known, believed, unknown), remark.
    """
    return tabulated(settings or FinetuneSettings())
