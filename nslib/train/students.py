"""Students: small networks on the patches of TRILL that learn to say what a larger one says.

References: Shor et al. 2020, section 3.4 and the published trill-distilled, a MobileNet with an embedding of
2,048 dimensions; FRILL (Peplinski et al., arXiv:2011.04609), MobileNetV3-small of width 2.0 with global
average pooling and 2,048 dimensions; Howard et al. (arXiv:1704.04861, arXiv:1905.02244) for the bodies.

What is known and what we chose
-------------------------------
- known: the input; the kind of network; 2,048 dimensions; width, pooling and weights of FRILL.
- unknown: the width of trill-distilled, and what makes 2,048 dimensions of its last map. Here the map is
  flattened and a dense layer follows: 3 x 2 places of a patch differ in when and how high, as does the
  target, a flattened map too.
- MobileNetV3 is built as FRILL was: the map is averaged, then comes the last pointwise layer of the paper,
  with hard-swish. keras.applications has left it out of networks without a top since, so it is added here.
- chosen: the input is centred and scaled as in `networks`; batch normalisation remembers with 0.9 instead
  of 0.99 or 0.999, so that runs of some hundred steps can be judged; no dropout.

A name says it all: ``mobilenet-0.25`` is of a quarter of the width, ``mobilenet-0.25-512`` gives 512
dimensions instead of the published number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from nslib.errors import BadParameter, UnknownName
from nslib.frontend import TRILL
from nslib.train.networks import CENTRE, SCALE, TOP_NAME

KINDS = ("mobilenet", "mobilenetv3-small", "mobilenetv3-large")
STUDENTS = ("mobilenet-1.0", "mobilenet-0.5", "mobilenet-0.25-512", "mobilenet-0.1-512", "mobilenet-0.05-256",
            "mobilenetv3-small-2.0", "mobilenetv3-small-1.0", "mobilenetv3-small-0.25-512", "mobilenetv3-large-0.5")
"""Some names, the published two among them; every kind with every width can be asked for."""

_DIM = {"mobilenet": 2048, "mobilenetv3-small": 1024, "mobilenetv3-large": 1280}
_MOMENTUM = 0.9
_NAME = re.compile(r"(?P<kind>.+?)-(?P<alpha>\d+(?:\.\d+)?)(?:-(?P<dim>\d+))?")


@dataclass(frozen=True)
class Student:
    """Size of a student.

    Attributes
    ----------
    kind : {"mobilenet", "mobilenetv3-small", "mobilenetv3-large"}
    alpha : float
        Channels relative to the network of the paper, 0.05 to 4.
    dim : int
        Of the embedding; 0 is the published number: 2,048 for MobileNet; 1,024 (small) or 1,280 (large)
        for MobileNetV3, times `alpha` where that is above 1.
    """

    kind: str
    alpha: float
    dim: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownName("kind of student", self.kind, KINDS)
        if not 0.05 <= self.alpha <= 4:
            raise BadParameter(f"alpha must be from 0.05 to 4; got {self.alpha}.")
        if not self.dim:
            wider = 1.0 if self.kind == "mobilenet" else max(1.0, self.alpha)
            object.__setattr__(self, "dim", round(_DIM[self.kind] * wider))


def parse(name: str) -> Student:
    """Read a student's name.

    Parameters
    ----------
    name : str
        ``kind-alpha`` or ``kind-alpha-dim``.

    Returns
    -------
    Student

    Raises
    ------
    UnknownName
        For another kind.
    BadParameter
        For a name of another form, or an alpha that cannot be.

    Examples
    --------
    >>> parse("mobilenetv3-small-2.0")
    Student(kind='mobilenetv3-small', alpha=2.0, dim=2048)
    """
    match = _NAME.fullmatch(name)
    if not match:
        raise BadParameter(f"{name!r} is no name of a student; write kind-alpha or kind-alpha-dim, for example "
                           f"{STUDENTS[2]}. Kinds: {', '.join(KINDS)}.")
    return Student(match["kind"], float(match["alpha"]), int(match["dim"] or 0))


def named(name: str, seed: int = 0) -> Any:
    """Build a student by its name, untrained.

    Parameters
    ----------
    name : str
        As for `parse`.
    seed : int
        Of the weights.

    Returns
    -------
    keras.Model
        As `build`.

    Raises
    ------
    UnknownName, BadParameter
        As `parse`.
    """
    return build(parse(name), seed, name)


def build(student: Student, seed: int = 0, name: str = "student") -> Any:
    """Build a student, untrained.

    Parameters
    ----------
    student : Student
    seed : int
        Of the weights: every layer draws from its own stream, so that the same seed gives the same network.
    name : str

    Returns
    -------
    keras.Model
        float32 [patches, 96, 64] log-mel to a dict with ``embedding``, float32 [patches, dim].
    """
    import keras

    layers = keras.layers
    given = keras.Input((TRILL.patch, TRILL.mels), dtype="float32", name="log_mel")
    x = layers.Reshape((TRILL.patch, TRILL.mels, 1))(given)
    x = layers.Rescaling(1 / SCALE, -CENTRE / SCALE, name="standardise")(x)
    x = _body(student)(x)
    if student.kind == "mobilenet":
        top = layers.Dense(student.dim, name=TOP_NAME)(layers.Flatten(name="places")(x))
    else:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        top = layers.Activation("hard_silu", name=TOP_NAME)(layers.Dense(student.dim, name="pointwise")(x))
    model = keras.Model(given, {TOP_NAME: top}, name=name)
    _seed(model, seed)
    return model


def _body(student: Student) -> Any:
    """Give the network of keras.applications without its top: the last map."""
    import keras

    shape = (TRILL.patch, TRILL.mels, 1)
    if student.kind == "mobilenet":
        body = keras.applications.MobileNet(shape, alpha=student.alpha, include_top=False, weights=None, dropout=0)
    else:
        small = student.kind.endswith("small")
        make = keras.applications.MobileNetV3Small if small else keras.applications.MobileNetV3Large
        # its preprocessing would scale pictures of 0 to 255
        body = make(shape, alpha=student.alpha, include_top=False, weights=None, dropout_rate=0,
                    include_preprocessing=False)
    for layer in body.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = _MOMENTUM
    return body


def _seed(model: Any, seed: int) -> None:
    import keras

    # keras.applications takes no seed. Its draws are repeated here, each with one of its own.
    kernels = [weight for weight in model.trainable_weights if len(weight.shape) > 1]
    for number, weight in enumerate(kernels):
        weight.assign(keras.initializers.GlorotUniform(seed=seed * 1000 + number)(weight.shape))
