"""The networks that the kit has trained itself, and the runs they came from.

Each has a folder in ``data/models``:

=================  =====================================================================
``weights.npz``    the weights (see `nslib.train.checkpoint`)
``untrained.npz``  those with which that run began: its untrained twin (trill-mini only)
``settings.json``  every choice of the run
``curve.csv``      its curve: step, part, figure, value
``card.md``        what it is, what it heard, how good it is and what it is not
=================  =====================================================================

Conventions
-----------
Weights are pinned by the hash of their file in `FILES`; anything else in its place is refused, because
results would carry the wrong provenance.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nslib import params
from nslib.errors import Unavailable, UnknownName

if TYPE_CHECKING:
    import pandas as pd


class File(NamedTuple):
    """A committed file of weights.

    Attributes
    ----------
    folder, file : str
        Below ``data/models``.
    network : str
        A name in `nslib.train.networks.SHAPES`, or a student's.
    sha256 : str
        First 16 hex digits.
    """

    folder: str
    file: str
    network: str
    sha256: str


FILES = {
    "trill-mini": File("trill-mini", "weights.npz", "trill-mini", "5c924f09c6cc08ba"),
    "trill-mini-distilled": File("trill-mini-distilled", "weights.npz", "mobilenetv3-small-0.25-512",
                                 "b3e67385e4effec6"),
    "trill-mini-untrained": File("trill-mini", "untrained.npz", "trill-mini", "18839216bf8d1263"),
}


def names() -> list[str]:
    """List the networks.

    Returns
    -------
    list of str
    """
    return list(FILES)


def folder(name: str) -> Path:
    """Where a network's files lie.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Path

    Raises
    ------
    UnknownName
        For another name.
    """
    return params.data_dir() / "models" / _file(name).folder


def load(name: str) -> Any:
    """Build a network with its trained weights.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    keras.Model
        float32 [patches, 96, 64] log-mel to a dict of float32, ``embedding`` and, of trill-mini, ``layer19``.
        A new one at every call, to train on as you like.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If the file of weights is missing or is not the one that belongs here.
    """
    from nslib.train import checkpoint

    file = _file(name)
    path = folder(name) / file.file
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest()[:16] != file.sha256:
        why = "the file is missing" if not path.exists() else f"it does not have the hash {file.sha256}..."
        raise Unavailable(f"weights {path}", why, "Restore it: git checkout data/models. Weights of your own are read "
                          "with nslib.train.checkpoint.load_weights.")
    model = _network(file.network)
    checkpoint.load_weights(path, model)
    return model


def of_file(path: Path) -> Any:
    """Build the network of a file of weights of your own.

    Parameters
    ----------
    path : Path
        ``best.npz`` of a run, or what `nslib.train.checkpoint.save_weights` wrote; it names its network.

    Returns
    -------
    keras.Model
        As `load`.

    Raises
    ------
    Unavailable
        If the file cannot be read.
    UnknownName
        If it is of a network that the kit does not know.
    """
    from nslib.train import checkpoint

    _, meta = checkpoint.read(path)
    model = _network(str(meta.get("network", "not named")))
    checkpoint.load_weights(path, model)
    return model


def curve(name: str) -> pd.DataFrame:
    """Read the curve of the run that made a network.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    DataFrame
        Columns step, part, figure, value.

    Raises
    ------
    UnknownName
        For another name.
    """
    import pandas as pd

    return pd.read_csv(folder(name) / "curve.csv")


def settings(name: str) -> dict[str, Any]:
    """Read the settings of the run that made a network.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    dict
        Groups of settings, as `nslib.train.settings.make` takes them, or `nslib.train.distill_settings.make`.

    Raises
    ------
    UnknownName
        For another name.
    """
    found: dict[str, Any] = json.loads((folder(name) / "settings.json").read_text(encoding="utf-8"))
    return found


def _file(name: str) -> File:
    if name not in FILES:
        raise UnknownName("network of the kit", name, FILES)
    return FILES[name]


def _network(network: str) -> Any:
    from nslib.train import networks, students

    return networks.named(network) if network in networks.SHAPES else students.named(network)
