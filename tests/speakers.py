"""Answers of correlated speakers whose true accuracy, difference or calibration is known, for simulations."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
from scipy import special, stats

from nslib.evaluation.results import PREDICTIONS, ROWS

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


def mean_accuracy(centre: float, spread: float) -> float:
    """Expected accuracy of ``logit = centre + normal(0, spread)``, by quadrature."""
    return float(special.expit(centre + spread * _NODES) @ _WEIGHTS / _WEIGHTS.sum())


def centre_of(accuracy: float, spread: float) -> float:
    """The centre whose expected accuracy this is."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_accuracy(middle, spread) < accuracy else (low, middle)
    return low


def answers(rng: np.random.Generator, speakers: int, clips: int, accuracies: list[float], *, speaker: float = 0.8,
            clip: float = 1.0, own: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong, [embeddings, clips], and the speaker of each clip.

    Speakers (standard deviation `speaker` of the logit) and clips (`clip`) are hard for every embedding, and each
    embedding has speakers of its `own` that it hears badly. Expected accuracies are exactly those given.
    """
    of = np.repeat(np.arange(speakers), clips)
    shared = rng.normal(0, speaker, speakers)[of] + rng.normal(0, clip, len(of))
    spread = float(np.sqrt(speaker**2 + clip**2 + own**2))
    centres = [centre_of(accuracy, spread) for accuracy in accuracies]
    own_part = rng.normal(0, own, (len(accuracies), speakers))[:, of]
    logits = np.array(centres)[:, None] + shared + own_part
    return rng.random(logits.shape) < special.expit(logits), of


def benchmark(right: np.ndarray, speaker: np.ndarray, task: str = "t", kind: str = "real",
              names: list[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and predictions of a task with these answers, one embedding a row of `right`."""
    names = names or [f"e{i}" for i in range(len(right))]
    shared = {"task": task, "probe": "LDA_LSQR_AUTO"}
    rows = pd.DataFrame([shared | {
        "key": f"{task}{name}", "embedding": name, "value": own.mean(), "low": max(own.mean() - 0.1, 0.0),
        "high": min(own.mean() + 0.1, 1.0), "corpus_kind": kind, "selected": True, "split": "test",
        "metric": "accuracy", "interval_by": "speaker", "chance": 0.5, "n": len(own), "level": 0.95}
        for name, own in zip(names, right, strict=True)])
    clip_id = [f"{task}{i:04d}" for i in range(len(speaker))]
    shared |= {"clip_id": clip_id, "speaker": np.array([f"s{s}" for s in speaker]), "y_true": "yes"}
    found = [pd.DataFrame(shared | {"key": f"{task}{name}", "embedding": name, "y_pred": np.where(own, "yes", "no")})
             for name, own in zip(names, right, strict=True)]
    return fabricated._filled(rows, ROWS), fabricated._filled(pd.concat(found, ignore_index=True), PREDICTIONS)


def sure(rng: np.random.Generator, speakers: int, clips: int, over: float, alike: float = 0.1) -> pd.DataFrame:
    """Answers with how sure they were: right with the logit of that minus `over`, speakers alike by `alike`."""
    of = np.repeat(np.arange(speakers), clips)
    logit = rng.normal(1.5, 1.2, len(of))
    luck = np.sqrt(alike) * rng.normal(size=speakers)[of] + np.sqrt(1 - alike) * rng.normal(size=len(of))
    right = stats.norm.cdf(luck) < special.expit(logit - over)
    confidence = special.expit(logit)
    brier = 2 * (np.where(right, 1 - confidence, confidence)) ** 2
    return pd.DataFrame({"task": "t", "embedding": "e", "probe": "p", "clip_id": [str(i) for i in range(len(of))],
                         "speaker": [f"s{s}" for s in of], "y_true": "yes", "y_pred": np.where(right, "yes", "no"),
                         "confidence": confidence, "brier": brier})
