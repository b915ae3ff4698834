"""Networks of the kit: TRILL's kind and MobileNets, their costs, their files of weights, and the embeddings they give.

Networks take float32 [patches, 96, 64] log-mel and give a dict of float32, one entry a tap: ``embedding`` and, of
TRILL's kind, ``layer19``. Clips are padded, made log-mel and cut into patches every 0.17 s as for the published TRILL.

Trained networks have a folder each in ``data/models``: ``weights.npz``, ``untrained.npz`` (the weights with which that
run began; trill-mini only), ``settings.json``, ``curve.csv`` (step, part, figure, value) and ``card.md``. Files of
weights are pinned by hash; anything else in their place is refused, because results would carry the wrong provenance.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.embeddings.base import JOIN, SAMPLE_RATE, Embedding, EmbedFunction, FloatArray
from nslib.embeddings.runtime import PatchNetwork, bind_device, freeze_network, make_embedder
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName, refuse_unknown
from nslib.frontend import HOP, TRILL, log_mel, pad, patch_seconds
from nslib.frontend import patches as to_patches

if TYPE_CHECKING:
    import pandas as pd

    from nslib.embeddings.registry import EmbeddingInfo

__all__ = ["EMBEDDING_TAP", "LAYER19_TAP", "RESNET_SHAPES", "TAPS", "TRAINED_TAPS", "WEIGHT_FILES", "Arrays",
           "assign_values", "build_network", "copy_values", "count_cost", "count_tap_cost", "cut_at_tap", "cut_patches",
           "hash_weights", "list_trained", "load_network", "load_network_file", "make_embedding", "parse_student",
           "read_arrays", "read_curve", "read_settings", "save_weights", "write_arrays"]


EMBEDDING_TAP, LAYER19_TAP = "embedding", "layer19"
TAPS = (EMBEDDING_TAP, LAYER19_TAP)
CENTRE, SCALE = -4.0, 2.5
"""About mean and standard deviation of log-mel values of speech: a constant offset would swamp what differs."""
_AUDIBLE = 1e-3  # above the log-mel of digital silence, which rounding may move

Arrays = list[npt.NDArray[Any]]


# ---- networks of TRILL's kind ------------------------------------------------------------------------
#
# Shor et al. 2020 (arXiv:2002.12764): "a variant of ResNet-50" (He et al., arXiv:1512.03385). Known, from the paper and
# the published model's node names and sizes: the input; the 512-d L2-normalised top; layer19, a convolution's output
# before normalisation and activation, flattened to 12,288 = 6 x 4 x 512; 98.1 MB, about 24.5 M parameters.
# Believed: layer19 is the first convolution of 512 channels. At 6 x 4 (1/16 of the input) that is the 1 x 1 convolution
# that opens the fourth stage, if the stage halves the resolution in its 3 x 3 convolution. keras.applications halves it
# elsewhere, so that the same node would be 3 x 2; that is why the network is built here.
# Chosen: the input is centred and scaled by constants of speech; average pooling, then one dense layer for the top;
# batch normalisation after every convolution. trill-mini pools over time where there is sound: a clip of half a second
# is half padding, which would be half of the answer. Its layer19 is mean and maximum over the six places in time (as
# Niizumi et al., arXiv:2103.06695, pool), 2 x 4 x 128, and not flattened; frames of digital silence do not count.

@dataclass(frozen=True)
class ResNetShape:
    """Size of a network of TRILL's kind: channels relative to ResNet-50, blocks of the four stages, and the stem."""

    width: float
    blocks: tuple[int, int, int, int]
    stem: int = 7  # side of the first convolution's kernel
    # whether that convolution halves the resolution and pooling halves it again; else it quarters it by itself, which
    # is a third cheaper on a processor
    pooled: bool = True
    over_time: bool = False  # whether layer19 and the top are pooled over the frames that have sound


RESNET_SHAPES = {"resnet50-trill": ResNetShape(1.0, (3, 4, 6, 3)),
                 "trill-mini": ResNetShape(0.25, (1, 2, 2, 1), stem=8, pooled=False, over_time=True)}
"""TRILL's network, and the same narrower and shallower, for processors without a GPU."""


def build_network(name: str, seed: int = 0) -> Any:
    """Build a network, its weights drawn by a seed: a key of `RESNET_SHAPES`, or a student (see `parse_student`)."""
    if name in RESNET_SHAPES:
        return build_resnet(RESNET_SHAPES[name], seed, name)
    if not _STUDENT_NAME.fullmatch(name):
        raise UnknownName("network", name, (*RESNET_SHAPES, *STUDENTS))
    return _build_student(parse_student(name), seed, name)


def build_resnet(shape: ResNetShape, seed: int = 0, name: str = "trill") -> Any:
    """Build a network of TRILL's kind, untrained; ``layer19`` has 24 (pooled over time: 8) times its channels."""
    import keras

    layers = keras.layers
    # each layer's kernel has a seed of its own
    draw = (keras.initializers.HeNormal(seed=seed * 1000 + number) for number in itertools.count())
    # inside the blocks of each stage, multiples of 8
    inside = [max(8, 8 * round(shape.width * base / 8)) for base in (64, 128, 256, 512)]
    given, x = _standardised_input()
    x = _convolve(x, inside[0], shape.stem, 2 if shape.pooled else 4, "stem", draw, bias=False)[1]
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, 2, "same", name="stem_pool")(x) if shape.pooled else x
    tap = None
    for stage, (channels, count) in enumerate(zip(inside, shape.blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage and not block else 1
            x, opening = _bottleneck(x, channels, stride, f"stage{stage + 1}_block{block + 1}", draw)
            tap = opening if stage == 3 and not block else tap
    if shape.over_time:
        sound = keras.ops.any(given > math.log(TRILL.offset) + _AUDIBLE, axis=2)
        tap, x = layers.Concatenate()(pool_over_time(tap, sound)), pool_over_time(x, sound)[0]
        x = layers.Reshape((1, *x.shape[1:]))(x)
    pooled = layers.GlobalAveragePooling2D(name="pool")(x)
    dense = layers.Dense(512, kernel_initializer=next(draw), dtype="float32", name="top")(pooled)
    top = layers.UnitNormalization(axis=-1, dtype="float32", name=EMBEDDING_TAP)(dense)
    flat = layers.Flatten(dtype="float32", name=LAYER19_TAP)(tap)
    return keras.Model(given, {EMBEDDING_TAP: top, LAYER19_TAP: flat}, name=name)


def pool_over_time(x: Any, sound: Any) -> tuple[Any, Any]:
    """Take mean and maximum over time of maps [n, places, bands, channels], where there is ``sound``, bool [n, frames].

    A place counts for the mean by the share of its frames that have sound, and for the maximum if any has; where none
    of a patch has, all count.
    """
    import keras

    ops, places = keras.ops, x.shape[1]
    share = ops.mean(ops.reshape(ops.cast(sound, "float32"), (-1, places, sound.shape[1] // places)), axis=2)
    share = ops.where(ops.any(sound, axis=1, keepdims=True), share, 1.0)[:, :, None, None]
    mean = ops.sum(x * share, axis=1) / ops.sum(share, axis=1)
    return mean, ops.max(ops.where(share > 0, x, ops.min(x, axis=1, keepdims=True)), axis=1)


def _standardised_input() -> tuple[Any, Any]:
    """Return the input of log-mel patches and what the first layer sees of it."""
    import keras

    given = keras.Input((TRILL.patch, TRILL.mels), dtype="float32", name="log_mel")
    x = keras.layers.Reshape((TRILL.patch, TRILL.mels, 1))(given)
    return given, keras.layers.Rescaling(1 / SCALE, -CENTRE / SCALE, dtype="float32", name="standardise")(x)


def _convolve(x: Any, channels: int, side: int, stride: int, name: str, draw: Iterator[Any], *,
              bias: bool = True) -> tuple[Any, Any]:
    """Add a convolution with its batch normalisation; return what comes before the latter, and after."""
    import keras

    # the published node is a BiasAdd, so convolutions have a bias although normalisation makes it idle
    before = keras.layers.Conv2D(channels, side, stride, "same", use_bias=bias, kernel_initializer=next(draw),
                                 name=name)(x)
    return before, keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(before)


def _bottleneck(x: Any, channels: int, stride: int, name: str, draw: Iterator[Any]) -> tuple[Any, Any]:
    """Add a bottleneck block; return its output, and that of its first convolution."""
    import keras

    wide, relu = channels * 4, keras.layers.ReLU
    opening, y = _convolve(x, channels, 1, 1, f"{name}_open", draw)
    y = relu()(y)
    y = relu()(_convolve(y, channels, 3, stride, f"{name}_middle", draw)[1])
    y = _convolve(y, wide, 1, 1, f"{name}_close", draw)[1]
    if stride > 1 or x.shape[-1] != wide:
        x = _convolve(x, wide, 1, stride, f"{name}_shortcut", draw)[1]
    return relu()(keras.layers.Add()([x, y])), opening


# ---- students ----------------------------------------------------------------------------------------
#
# Section 3.4 of the paper for the distilled MobileNet (Howard et al., arXiv:1704.04861, arXiv:1905.02244); FRILL
# (Peplinski et al., arXiv:2011.04609). Known: the input; the kind of network; 2,048 dimensions; width (2.0), pooling
# and weights of FRILL. Unknown: the width of trill-distilled, and what makes 2,048 dimensions of its last map. Here the
# map is flattened and a dense layer follows: 3 x 2 places of a patch differ in when and how high, as does the target, a
# flattened map too. MobileNetV3 is built as FRILL was: the map is averaged, then comes the last pointwise layer of the
# paper, with hard-swish, which keras.applications leaves out of networks without a top. Chosen: batch normalisation
# remembers with 0.9 instead of 0.99 or 0.999, so that runs of some hundred steps can be judged; no dropout.

STUDENT_KINDS = ("mobilenet", "mobilenetv3-small", "mobilenetv3-large")
STUDENTS = ("mobilenet-1.0", "mobilenet-0.5", "mobilenet-0.25-512", "mobilenet-0.1-512", "mobilenet-0.05-256",
            "mobilenetv3-small-2.0", "mobilenetv3-small-1.0", "mobilenetv3-small-0.25-512", "mobilenetv3-large-0.5")
"""Some names, the published two among them; every kind with every width can be asked for."""

_PAPER_DIM = {"mobilenet": 2048, "mobilenetv3-small": 1024, "mobilenetv3-large": 1280}
_MOMENTUM = 0.9
_STUDENT_NAME = re.compile(r"(?P<kind>.+?)-(?P<alpha>\d+(?:\.\d+)?)(?:-(?P<dim>\d+))?")


class MobileNetShape(NamedTuple):
    """Size of a student: its kind, channels relative to the network of the paper, dimensions."""

    kind: str
    alpha: float
    dim: int


def parse_student(name: str) -> MobileNetShape:
    """Read a student's name, ``kind-alpha`` or ``kind-alpha-dim``: UnknownName, BadParameter if it is none.

    ``mobilenet-0.25-512`` is of a quarter of the width and gives 512 dimensions; without ``dim`` they are as published:
    2,048 for MobileNet; 1,024 (small) or 1,280 (large) for MobileNetV3, times alpha where that is above 1.

    >>> parse_student("mobilenetv3-small-2.0")
    MobileNetShape(kind='mobilenetv3-small', alpha=2.0, dim=2048)
    """
    match = _STUDENT_NAME.fullmatch(name)
    if not match:
        raise BadParameter(f"{name!r} is no name of a student; write kind-alpha or kind-alpha-dim, for example "
                           f"{STUDENTS[2]}. Kinds: {', '.join(STUDENT_KINDS)}.")
    kind, alpha = match["kind"], float(match["alpha"])
    refuse_unknown("kind of student", kind, STUDENT_KINDS)
    if not 0.05 <= alpha <= 4:
        raise BadParameter(f"alpha must be from 0.05 to 4; got {alpha}.")
    published = _PAPER_DIM[kind] * (1.0 if kind == "mobilenet" else max(1.0, alpha))
    return MobileNetShape(kind, alpha, int(match["dim"] or 0) or round(published))


def _build_student(shape: MobileNetShape, seed: int, name: str) -> Any:
    """Build a student, untrained."""
    import keras

    layers, size = keras.layers, (TRILL.patch, TRILL.mels, 1)
    if shape.kind == "mobilenet":
        body = keras.applications.MobileNet(size, alpha=shape.alpha, include_top=False, weights=None, dropout=0)
    else:
        small = shape.kind.endswith("small")
        make = keras.applications.MobileNetV3Small if small else keras.applications.MobileNetV3Large
        # its preprocessing would scale pictures of 0 to 255
        body = make(size, alpha=shape.alpha, include_top=False, weights=None, dropout_rate=0,
                    include_preprocessing=False)
    for layer in body.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.momentum = _MOMENTUM
    given, x = _standardised_input()
    x = body(x)
    if shape.kind == "mobilenet":
        top = layers.Dense(shape.dim, name=EMBEDDING_TAP)(layers.Flatten(name="places")(x))
    else:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        top = layers.Activation("hard_silu", name=EMBEDDING_TAP)(layers.Dense(shape.dim, name="pointwise")(x))
    model = keras.Model(given, {EMBEDDING_TAP: top}, name=name)
    # keras.applications takes no seed. Its draws are repeated here, each with one of its own.
    kernels = [weight for weight in model.trainable_weights if len(weight.shape) > 1]
    for number, weight in enumerate(kernels):
        weight.assign(keras.initializers.GlorotUniform(seed=seed * 1000 + number)(weight.shape))
    return model


# ---- what a network costs ----------------------------------------------------------------------------

@dataclass(frozen=True)
class NetworkCost:
    """Size of a network: all its weights, multiply-adds for one patch, and dimensions of each tap."""

    name: str
    parameters: int
    multiply_adds: int
    outputs: dict[str, int]

    def __str__(self) -> str:
        taps = ", ".join(f"{name} {dim:,}-d" for name, dim in self.outputs.items())
        return (f"{self.name}: {self.parameters / 1e6:.2f} M parameters, "
                f"{self.multiply_adds / 1e6:.1f} M multiply-adds a patch; {taps}")


def count_cost(model: Any) -> NetworkCost:
    """Count parameters and multiply-adds of a keras.Model of fixed input size; BadParameter for layers not known here.

    A multiply-add is one product that is added up in a convolution or dense layer. Normalisation, activations, pooling
    and additions are not counted, as is usual; normalisation can be folded into the convolution before it.
    """
    outputs = model.output if isinstance(model.output, dict) else {"output": model.output}
    return NetworkCost(model.name, sum(math.prod(weight.shape) for weight in model.weights),
                       sum(map(_count_multiply_adds, model.layers)),
                       {name: math.prod(tensor.shape[1:]) for name, tensor in outputs.items()})


def count_tap_cost(network: str, tap: str) -> NetworkCost:
    """Count a network of `list_trained` up to one of its taps: the layers behind it are not run for it."""
    return count_cost(cut_at_tap(_share_network(network), tap))


def cut_at_tap(model: Any, tap: str) -> Any:
    """Return a network up to a tap, a key of its outputs, with the same layers; raises UnknownName for another tap."""
    import keras

    refuse_unknown("tap", tap, model.output)
    return keras.Model(model.input, model.output[tap], name=f"{model.name}-{tap}")


def _count_multiply_adds(layer: Any) -> int:
    """Count the multiply-adds of one layer, or of the layers of a model inside the model."""
    if hasattr(layer, "layers"):
        return sum(map(_count_multiply_adds, layer.layers))
    kind = type(layer).__name__
    if kind in ("Conv2D", "Conv1D", "DepthwiseConv2D", "Dense"):  # every weight is used once at every place
        return int(math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape))
    if layer.weights and kind not in ("BatchNormalization", "LayerNormalization", "Normalization"):
        raise BadParameter(f"the multiply-adds of a layer {kind} ({layer.name}) are not known; add it to "
                           "nslib.embeddings.networks.")
    return 0


# ---- files of weights --------------------------------------------------------------------------------
#
# NumPy's .npz without pickles: arrays in the order of the model's variables, named weights/000 and so on, and meta,
# facts as JSON. The same values give the same bytes; a file is written whole or not at all.

_META = "meta"


def copy_values(variables: Sequence[Any]) -> Arrays:
    """Copy the values of Keras variables, in order, into arrays."""
    return [np.array(variable) for variable in variables]


def assign_values(variables: Sequence[Any], arrays: Sequence[npt.NDArray[Any]]) -> None:
    """Put arrays into Keras variables; BadParameter if number or shapes differ: they are of another network."""
    shapes, given = [tuple(v.shape) for v in variables], [a.shape for a in arrays]
    if shapes != given:
        raise BadParameter(f"these {len(given)} arrays are of another network, which has {len(shapes)}; build the one "
                           "that was saved.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def write_arrays(path: Path, groups: Mapping[str, Sequence[npt.NDArray[Any]]], meta: Mapping[str, Any]) -> None:
    """Write groups of arrays, and facts that JSON can hold; if the disk is full, the file that was there stays."""
    named = {f"{group}/{i:03d}": array for group, arrays in groups.items() for i, array in enumerate(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{_META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}, **named)
    config.write_file(path, buffer.getvalue())


def read_arrays(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]]:
    """Read what `write_arrays` wrote: groups of arrays, and facts; Unavailable if the file is damaged or another."""
    groups: dict[str, Arrays] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(file[_META].tobytes())
            for name in sorted(set(file.files) - {_META}):
                groups.setdefault(name.split("/")[0], []).append(file[name])
    except Exception as error:  # a damaged archive raises what zipfile and zlib have, too
        raise Unavailable(f"checkpoint {path}", f"it cannot be read ({error})", "Delete it to start anew.") from error
    return groups, meta


def save_weights(path: Path, model: Any, meta: Mapping[str, Any] | None = None, dtype: str = "float32") -> None:
    """Write a network's weights alone, with facts; float16 halves the file, and loses below 0.1 % of a weight."""
    write_arrays(path, {"weights": [array.astype(dtype) for array in copy_values(model.weights)]},
                 {"network": model.name, **(meta or {})})


def load_weights(path: Path, model: Any) -> dict[str, Any]:
    """Put saved weights into a network of the same shape, and return the facts beside them; errors as above."""
    groups, meta = read_arrays(path)
    assign_values(model.weights, [array.astype(np.float32) for array in groups.get("weights", [])])
    return meta


def hash_weights(model: Any) -> str:
    """Hash a network's name and weights: 16 hex digits."""
    digest = hashlib.sha256(model.name.encode())
    for array in copy_values(model.weights):
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()[:16]


# ---- trained networks --------------------------------------------------------------------------------

class WeightFile(NamedTuple):
    """A committed file of weights, which names its network: folder in ``data/models``, file, start of its sha256."""

    folder: str
    file: str
    sha256: str


WEIGHT_FILES = {
    "trill-mini": WeightFile("trill-mini", "weights.npz", "0e47948de1118530"),
    "trill-mini-distilled": WeightFile("trill-mini-distilled", "weights.npz", "d88369812dde7e49"),
    "trill-mini-untrained": WeightFile("trill-mini", "untrained.npz", "18839216bf8d1263"),
}

TRAINED_TAPS = {
    **{f"{network}-{short}": (network, tap) for network in ("trill-mini", "trill-mini-untrained")
       for short, tap in (("layer19", LAYER19_TAP), ("top", EMBEDDING_TAP))},
    "trill-mini-distilled": ("trill-mini-distilled", EMBEDDING_TAP),
}
"""Built-in embeddings of the kit's own networks: the network (a key of `WEIGHT_FILES`) and its tap."""


def list_trained() -> list[str]:
    """List the networks whose weights come with the kit."""
    return list(WEIGHT_FILES)


def network_folder(name: str) -> Path:
    """Return the folder of a trained network; raises UnknownName for a name that is not in `list_trained`."""
    refuse_unknown("network of the kit", name, WEIGHT_FILES)
    return config.data_dir() / "models" / WEIGHT_FILES[name].folder


def load_network(name: str) -> Any:
    """Build a network of `list_trained` with its weights: a new keras.Model at every call, to train on as you like.

    Raises UnknownName, or Unavailable if the file of weights is missing or is not the one that belongs here.
    """
    path, sha256 = network_folder(name) / WEIGHT_FILES[name].file, WEIGHT_FILES[name].sha256
    if not path.exists() or config.hash_file(path)[:16] != sha256:
        why = ("the file is not the kit's: it was cut or changed, and its sha256 no longer begins with "
               f"{sha256}" if path.exists() else "the file is missing")
        raise Unavailable(f"weights {path}", why, "Restore it: git checkout data/models. Weights of your own are read "
                          "with nslib.embeddings.networks.load_weights.")
    return load_network_file(path)


@cache
def _share_network(name: str) -> Any:
    """Load a network of `list_trained` once a process, for those who change nothing of it."""
    return load_network(name)


def load_network_file(path: Path) -> Any:
    """Build the network of a file of weights, which names it: ``best.npz`` of a run; Unavailable, or UnknownName."""
    _, meta = read_arrays(path)
    model = build_network(str(meta.get("network", "not named")))
    load_weights(path, model)
    return model


def read_curve(name: str) -> pd.DataFrame:
    """Read the curve of the run that made a network of `list_trained`: columns step, part, figure, value."""
    import pandas as pd

    return pd.read_csv(network_folder(name) / "curve.csv")


def read_settings(name: str) -> dict[str, Any]:
    """Read the settings, in groups, of the run that made a trained network."""
    return dict(json.loads((network_folder(name) / "settings.json").read_text(encoding="utf-8")))


# ---- networks as embeddings --------------------------------------------------------------------------

def cut_patches(wave: FloatArray) -> npt.NDArray[Any]:
    """Cut clips, float32 [..., samples], padded with zeros to a second, into log-mel patches [..., patches, 96, 64]."""
    return to_patches(log_mel(pad(wave, TRILL), TRILL), TRILL)


def _tap_network(model: Any, *taps: str) -> PatchNetwork:
    """Put taps of a network, keys of its outputs, side by side behind TRILL's front end; of its own weights."""
    def run(patch: Any) -> Any:
        outputs = model(patch, training=False)
        return [outputs[tap] for tap in taps]

    return PatchNetwork(cut_patches, run, (TRILL.patch, TRILL.mels))


def make_embedding(model: Any, tap: str, name: str, **facts: Any) -> Embedding:
    """Make an embedding of one tap, a key of its outputs, of a keras.Model.

    The weights are copied: training on does not change it. `facts` are licence, source and so on (see `Embedding`).
    """
    size = count_cost(model)
    patched = _tap_network(model, tap)
    network = freeze_network(patched.function, patched.shape)

    def replica(device: str) -> EmbedFunction:
        # of the weights as they are now
        return make_embedder(patched.cut, bind_device(network, device), steady=True)

    return Embedding(name=name, revision=f"{hash_weights(model)} {tap}", dim=size.outputs[tap],
                     embed=make_embedder(patched.cut, network, steady=True), replica=replica,
                     window=patch_seconds(TRILL), hop=TRILL.patch_hop * HOP / SAMPLE_RATE,
                     min_samples=TRILL.min_samples, pads_safely=True, parameters=size.parameters, **facts)


def load_builtin(info: EmbeddingInfo) -> PatchNetwork:
    """Load ``untrained`` or one or several of `TRAINED_TAPS`: their network behind its front end."""
    taps = [TRAINED_TAPS[name] for name in info.name.split(JOIN) if name in TRAINED_TAPS]
    if taps:
        return _tap_network(_share_network(taps[0][0]), *(tap for _, tap in taps))
    layers = draw_untrained()
    if (drawn := hash_untrained(layers)) != info.revision:
        raise NslibError(f"{info.name}: this machine draws weights {drawn}, not {info.revision}. "
                         "Please report it with your version of NumPy.")

    def run(patches: Any) -> Any:
        import tensorflow as tf

        x = (patches[..., None] - CENTRE) / SCALE
        for kind, stride, weights in layers:
            convolve = tf.nn.conv2d if kind == "conv" else tf.nn.depthwise_conv2d
            x = tf.nn.relu6(convolve(x, tf.constant(weights), [1, stride, stride, 1], "SAME"))
        return tf.reduce_mean(x, axis=(1, 2))

    return PatchNetwork(cut_patches, run, (TRILL.patch, TRILL.mels))


# ---- the untrained control ---------------------------------------------------------------------------
#
# The paper's "Random Network" row is TRILL's own network before training; its code is not public. The embedding
# "untrained" is a MobileNet of half width on the same patches. Its weights are uniform in ±sqrt(6 / fan-in) (He et al.
# 2015), drawn from the raw bits of PCG64, whose stream NumPy promises to keep; its ready-made distributions may change.
# So they, and their hash, are the same on every machine. Batch normalisation in a new network divides by 1 and adds 0;
# it is left out.

_SEED = 2002_12764
_STEM = 16
# channels and stride of the depthwise-separable blocks
_BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), *((256, 1),) * 5, (512, 2), (512, 1))

UntrainedLayer = tuple[str, int, npt.NDArray[np.float32]]


def draw_untrained() -> tuple[UntrainedLayer, ...]:
    """Draw the layers: ``"conv"`` or ``"depthwise"``, stride, and weights float32 [height, width, in, out]."""
    bits, channels = np.random.PCG64(_SEED), _STEM
    layers: list[UntrainedLayer] = [("conv", 2, _draw(bits, (3, 3, 1, channels)))]
    for wide, stride in _BLOCKS:
        layers.append(("depthwise", stride, _draw(bits, (3, 3, channels, 1))))
        layers.append(("conv", 1, _draw(bits, (1, 1, channels, wide))))
        channels = wide
    return tuple(layers)


def _draw(bits: np.random.PCG64, shape: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    """Draw the weights of one layer."""
    # 53 bits of each word make a uniform number in [0, 1), exactly
    unit = (bits.random_raw(int(np.prod(shape))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    # a depthwise filter sees one channel
    fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
    return ((2 * unit - 1) * np.sqrt(6 / fan_in)).astype(np.float32).reshape(shape)


def hash_untrained(layers: Sequence[UntrainedLayer]) -> str:
    """Hash drawn layers: 16 hex digits."""
    digest = hashlib.sha256()
    for kind, stride, weights in layers:
        digest.update(f"{kind} {stride} {weights.shape}".encode() + weights.astype("<f4").tobytes())
    return digest.hexdigest()[:16]
