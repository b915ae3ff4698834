"""Fine-tuning: the whole network learns a task, instead of a probe on its frozen vectors.

References: Shor et al. 2020, table 2, row "TRILL finetuned"; the authors' head (`eval_embedding`): pooled frames,
one dense layer, cross-entropy, Adam.

Conventions
-----------
Each clip is cut into patches as for the embedding; one below a second is padded, and no clip is dropped.
Training sees a few successive patches of a clip, drawn anew in each epoch; validation and test see all of
them. The network's batch normalisation keeps the statistics of its training and is frozen: a few hundred clips
are too few for new ones.

Where we differ from the authors' code: it drops clips that are not longer than a second (so all of Speech
Commands), crops test clips at random too, averages over padding, and declares an L2 penalty that never enters
the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import metrics
from nslib.errors import BadParameter
from nslib.probe_data import Split
from nslib.splits import SPLITS
from nslib.train import checkpoint
from nslib.train.finetune_model import Model, Patches
from nslib.train.finetune_settings import FinetuneSettings

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("step", "part", "figure", "value")


@dataclass(frozen=True)
class Material:
    """Clips of one split, cut.

    Attributes
    ----------
    patches : list of float32 [patches, 96, 64]
        While a frozen network is at work its frames stand here instead.
    y, speaker, clip_id : str array [clips]
    """

    patches: list[Patches]
    y: npt.NDArray[Any]
    speaker: npt.NDArray[Any]
    clip_id: npt.NDArray[Any]


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned network.

    Attributes
    ----------
    model : Model
        With the weights of the best epoch.
    classes : str array [classes]
    curve : DataFrame
        Columns step, part (train, held-out: the validation split), figure (loss, ``task <metric>``), value.
    best_epoch, best_step : int
    probabilities : dict of str to float64 [clips, classes]
        Of validation and test.
    vectors : dict of str to float32 [clips, dim]
        Pooled, of all splits.
    seconds : float
        That it took.
    """

    model: Model
    classes: npt.NDArray[Any]
    curve: pd.DataFrame
    best_epoch: int
    best_step: int
    probabilities: dict[str, npt.NDArray[np.float64]]
    vectors: dict[str, npt.NDArray[np.float32]]
    seconds: float

    def split(self, name: str, material: Material) -> Split:
        """Pooled vectors of a split beside labels and speakers, as probes take them."""
        return Split(self.vectors[name], material.y, material.speaker, material.clip_id)


def finetune(material: dict[str, Material], settings: FinetuneSettings | None = None, *, metric: str = "accuracy",
             progress: bool = True) -> Finetuned:
    """Fine-tune a network on train, stop by validation, answer for test.

    Parameters
    ----------
    material : dict of str to Material
        Of train, validation and test (see `nslib.train.finetune_results.material`).
    settings : FinetuneSettings, optional
    metric : str
        A name in `nslib.metrics.METRICS`, by which training is stopped.
    progress : bool

    Returns
    -------
    Finetuned

    Raises
    ------
    BadParameter
        If a split is missing or empty, or train has a single class.
    """
    from tqdm.std import tqdm

    settings, began = settings or FinetuneSettings(), perf_counter()
    _check(material)
    classes = np.unique(np.concatenate([part.y for part in material.values()]))
    model, curve = Model(settings, len(classes)), []
    material = {name: replace(part, patches=model.seen(part.patches)) for name, part in material.items()}
    best, best_epoch, kept = -np.inf, 0, checkpoint.values(model.weights)
    steps = -(-len(material["train"].patches) // settings.batch)
    for epoch in tqdm(range(1, settings.epochs + 1), f"fine-tune {settings.network}", unit="epoch",
                      disable=not progress):
        curve.append((steps * epoch, "train", "loss", _epoch(model, material["train"], classes, settings, epoch)))
        score = _score(model, material["validation"], classes, metric)
        curve.append((steps * epoch, "held-out", f"task {metric}", score))
        worth = score if metrics.get(metric).higher_is_better else -score
        if worth > best:
            best, best_epoch, kept = worth, epoch, checkpoint.values(model.weights)
        elif epoch - best_epoch >= settings.patience:
            break
    checkpoint.assign(model.weights, kept)
    return _done(model, material, classes, curve, (best_epoch, steps * best_epoch), perf_counter() - began)


def _check(material: dict[str, Material]) -> None:
    empty = [name for name in SPLITS if name not in material or not material[name].patches]
    if empty:
        raise BadParameter(f"no clips in {', '.join(empty)}; fine-tuning needs {', '.join(SPLITS)}.")
    if len(set(material["train"].y)) < 2:
        raise BadParameter(f"train has the single class '{material['train'].y[0]}'; at least 2 are needed.")


def _epoch(model: Model, train: Material, classes: Any, settings: FinetuneSettings, epoch: int) -> float:
    rng = np.random.default_rng([settings.seed, epoch])
    order, labels = rng.permutation(len(train.patches)), np.searchsorted(classes, train.y)
    losses = []
    for start in range(0, len(order), settings.batch):
        mine = order[start:start + settings.batch]
        weight = np.zeros(settings.batch, np.float32)
        weight[:len(mine)] = 1
        mine = np.resize(mine, settings.batch)  # the last batch is filled up with clips of weight 0
        patches, counts = _crops([train.patches[i] for i in mine], settings.patches, rng)
        losses.append(model.learn(patches, counts, labels[mine], weight))
    return float(np.mean(losses))


def _crops(clips: list[Patches], size: int, rng: np.random.Generator) -> tuple[Patches, npt.NDArray[np.int64]]:
    """Some successive patches of each clip, zeros behind a short one's own."""
    out = np.zeros((len(clips), size, *clips[0].shape[1:]), np.float32)
    counts = np.minimum([len(clip) for clip in clips], size)
    for row, clip, count in zip(out, clips, counts, strict=True):
        start = rng.integers(0, len(clip) - count + 1)
        row[:count] = clip[start:start + count]
    return out, counts.astype(np.int64)


def _score(model: Model, part: Material, classes: Any, metric: str) -> float:
    return metrics.score(metric, part.y, *_answer(model.probabilities(model.pooled(part.patches)), classes, metric))


def _answer(probabilities: Any, classes: Any, metric: str) -> tuple[Any, Any]:
    if metrics.get(metric).needs == "scores":
        return probabilities, classes
    return classes[probabilities.argmax(1)], None


def _done(model: Model, material: dict[str, Material], classes: Any, curve: list[Any],
          best: tuple[int, int], seconds: float) -> Finetuned:
    import pandas as pd

    vectors = {name: model.pooled(part.patches) for name, part in material.items()}
    found = {name: model.probabilities(vectors[name]) for name in SPLITS[1:]}
    return Finetuned(model, classes, pd.DataFrame(curve, columns=list(COLUMNS)), *best, found, vectors, seconds)
