"""A map of an embedding: its vectors on a plane, and how far the plane can be believed.

A map draws two numbers of the many that a vector has, and the eye finds groups in anything. So each map comes with
numbers that the eye cannot cheat: how often the nearest neighbours of a clip, in the full vectors and on the map, have
its label, its speaker, or its label *although somebody else speaks*. The last is what a label is worth to new
speakers: where every speaker has one label only, neighbours of the same label may be nothing but the same voice.

Neighbours are Euclidean. Intervals are over speakers where there are five or more, else over clips. Vectors are taken
as they are; PCA centres them and does not scale dimensions. Trustworthiness is that of
J. Venna and S. Kaski, ICANN 2001; the silhouette that of P. Rousseeuw, J. Comput. Appl. Math. 20, 1987.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from nslib.errors import BadParameter, refuse_unknown
from nslib.statistics.intervals import RESAMPLES, UnitSums, bounds
from nslib.statistics.scores import Floats, Names

__all__ = ["ACROSS", "LABEL", "PCA", "SPEAKER", "VECTORS", "EmbeddingMap", "map_vectors", "neighbour_agreement"]

PCA, TSNE = "pca", "tsne"
METHODS = (PCA, TSNE)
NEIGHBOURS = 5
PERPLEXITY = 30.0
MOST_CLIPS = 5000
LABEL, SPEAKER, ACROSS = "label", "speaker", "label, other speakers"
VECTORS, PLANE = "vectors", "map"

AGREEMENT = ["of", "space", "agreement", "low", "high", "by", "chance", "silhouette", "clips", "names", "neighbours"]


@dataclass(frozen=True)
class EmbeddingMap:
    """Vectors on a plane.

    - ``embedding, task, method``: of what, and how: "pca" or "tsne"
    - ``points``: one row a clip: clip_id, label, speaker, x, y
    - ``variance``: share of the vectors' variance along x and y; NaN for t-SNE, whose axes mean nothing
    - ``trust``: trustworthiness, 0 to 1: 1 if all `NEIGHBOURS` neighbours on the map are neighbours among the vectors
    - ``agreement``: one row a kind of name (of: label, speaker, "label, other speakers") and space ("vectors", "map"):
      agreement (mean share of the nearest neighbours with the same name) with low, high and by, chance (its exact mean
      over random neighbours), silhouette, and the numbers of clips, names and neighbours
    """

    embedding: str
    task: str
    method: str
    points: pd.DataFrame
    variance: tuple[float, float]
    trust: float
    agreement: pd.DataFrame

    def describe(self) -> str:
        """One sentence on how much of the vectors is on the map."""
        trust = f"trustworthiness {self.trust:.2f} (1: all neighbours on the map are neighbours among the vectors)"
        if self.method == TSNE:
            return f"t-SNE, {len(self.points)} clips: {trust}; distances between groups mean nothing"
        first, second = (100 * share for share in self.variance)
        return (f"PCA, {len(self.points)} clips: the axes have {first:.1f} % and {second:.1f} % of the variance, "
                f"together {first + second:.1f} %; {trust}")


def map_vectors(vectors: npt.ArrayLike, clips: pd.DataFrame, *, embedding: str, task: str, method: str = PCA,
                seed: int = 0) -> EmbeddingMap:
    """Put vectors [clips, dim] on a plane, with the numbers that say what is there.

    ``clips`` has, row by row, the columns clip_id, label and speaker; ``method`` is "pca", or "tsne" with a perplexity
    of 30, less for fewer than 91 clips. The sign of an axis is set so that its longest arm points up or right: the same
    vectors give the same map. UnknownName for another method; BadParameter if there is not one finite vector a clip,
    fewer than 20 clips, or more than `MOST_CLIPS`, because all pairs of clips are compared.
    """
    from sklearn.manifold import TSNE as Neighbours
    from sklearn.manifold import trustworthiness
    from threadpoolctl import threadpool_limits

    refuse_unknown("method", method, METHODS)
    x = _check(vectors, clips)
    if method == PCA:
        left, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        plane = np.pad((left * sizes)[:, :2], ((0, 0), (0, 1)))[:, :2]  # vectors of one number have no second component
        plane *= np.where(-plane.min(axis=0) > plane.max(axis=0), -1.0, 1.0)
        first, second = np.append(sizes, 0.0)[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
        variance = float(first), float(second)
    else:
        model, variance = Neighbours(perplexity=min(PERPLEXITY, (len(x) - 1) / 3), random_state=seed), (np.nan, np.nan)
        with threadpool_limits(1):  # the same map on any number of cores
            plane = np.asarray(model.fit_transform(x), dtype=np.float64)
    names = {c: clips[c].fillna("").to_numpy(str) for c in ("clip_id", "label", "speaker")}
    rows = [row for space, where in ((VECTORS, x), (PLANE, plane))
            for row in _agreements(where, names["label"], names["speaker"], space, seed)]
    points = pd.DataFrame({**names, "x": plane[:, 0], "y": plane[:, 1]})
    trust = float(trustworthiness(x, plane, n_neighbors=NEIGHBOURS))
    return EmbeddingMap(embedding, task, method, points, variance, trust, pd.DataFrame(rows, columns=AGREEMENT))


def neighbour_agreement(vectors: npt.ArrayLike, names: npt.ArrayLike, *, neighbours: int = NEIGHBOURS,
                        apart: npt.ArrayLike | None = None) -> tuple[Floats, Floats]:
    """Share of each clip's nearest neighbours that have its name, and what random neighbours would have.

    Both are float64 [clips], in [0, 1]; NaN for a clip that has no possible neighbour. Clips that share a name in
    ``apart`` (say, the speaker) are no neighbours.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    x, name = np.asarray(vectors, dtype=np.float64), np.asarray(names, dtype=str)
    others = ~np.eye(len(x), dtype=bool) if apart is None else np.not_equal.outer(*[np.asarray(apart, dtype=str)] * 2)
    same = np.equal.outer(name, name)
    possible = others.sum(axis=1)
    # around the mean, so that a common offset does not eat the digits
    distance = np.where(others, euclidean_distances(x - x.mean(axis=0), squared=True), np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :neighbours]
    asked = np.arange(nearest.shape[1]) < possible[:, None]
    hits = (np.take_along_axis(same, nearest, axis=1) & asked).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return hits / asked.sum(axis=1), (same & others).sum(axis=1) / possible


def _check(vectors: npt.ArrayLike, clips: pd.DataFrame) -> Floats:
    """Refuse vectors of which no map can be drawn."""
    x = np.asarray(vectors, dtype=np.float64)
    if x.ndim != 2 or len(x) != len(clips) or not np.isfinite(x).all():
        raise BadParameter(f"give one finite vector a clip, [clips, dim]; got {x.shape} for {len(clips)} clips.")
    if len(x) < 4 * NEIGHBOURS:
        raise BadParameter(f"{len(x)} clips are too few for a map with {NEIGHBOURS} neighbours; give {4 * NEIGHBOURS}.")
    if len(x) > MOST_CLIPS:
        raise BadParameter(f"{len(x)} clips are more than the {MOST_CLIPS} of which all pairs can be compared; take "
                           "some, for instance with nslib.datasets.table.limit_clips.")
    return x


def _agreements(x: Floats, label: Names, speaker: Names, space: str, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `EmbeddingMap.agreement` in one space."""
    from sklearn.metrics import silhouette_score

    for kind, names, apart in _kinds(label, speaker):
        shares, chance = neighbour_agreement(x, names, apart=apart)
        there = np.isfinite(shares)
        mean = float(shares[there].mean())
        sums = UnitSums.of(shares[there][:, None], speaker[there])
        grouped = apart is None and 1 < len(set(names)) < len(names)
        low, high, by = bounds(mean, sums.resample(RESAMPLES, seed)[:, 0], sums.units, int(there.sum()))
        yield {"of": kind, "space": space, "agreement": mean, "low": low, "high": high, "by": by,
               "chance": float(chance[there].mean()),
               "silhouette": float(silhouette_score(x, names)) if grouped else np.nan,
               "clips": int(there.sum()), "names": len(set(names)), "neighbours": NEIGHBOURS}


def _kinds(label: Names, speaker: Names) -> list[tuple[str, Names, Names | None]]:
    """Kinds of names that can be asked for: label, speaker if known, label of other speakers if shared."""
    kinds: list[tuple[str, Names, Names | None]] = [(LABEL, label, None)]
    if (speaker == "").any() or len(set(speaker)) < 2:
        return kinds
    kinds.append((SPEAKER, speaker, None))
    voices = {name: set(speaker[label == name]) for name in set(label)}
    return [*kinds, (ACROSS, label, speaker)] if any(len(who) > 1 for who in voices.values()) else kinds
