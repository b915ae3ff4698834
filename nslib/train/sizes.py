"""What one tap of a network of the kit costs: the layers behind it are not run for it, so they are not counted."""

from __future__ import annotations

from typing import Any

from nslib.errors import UnknownName
from nslib.train import models
from nslib.train.costs import Cost, cost


def of_tap(network: str, tap: str) -> Cost:
    """Count a network of the kit up to one of its taps.

    Parameters
    ----------
    network : str
        One of `nslib.train.models.names`.
    tap : str
        A key of its outputs.

    Returns
    -------
    Cost
    """
    return cost(up_to(models.load(network), tap))


def up_to(model: Any, tap: str) -> Any:
    """Cut a network behind a tap.

    Parameters
    ----------
    model : keras.Model
        Whose output is a dict.
    tap : str
        A key of it.

    Returns
    -------
    keras.Model
        Shares its layers; only those that the tap needs.

    Raises
    ------
    UnknownName
        For a tap that it does not have.
    """
    import keras

    if tap not in model.output:
        raise UnknownName("tap", tap, model.output)
    return keras.Model(model.input, model.output[tap], name=f"{model.name}-{tap}")
