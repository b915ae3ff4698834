"""Answers of correlated speakers whose true accuracy, difference or calibration is known, for simulations."""

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


def centre_of(accuracy: float, spread: float) -> float:
    """The centre of ``logit = centre + normal(0, spread)`` whose expected accuracy this is, by quadrature."""
    return float(optimize.brentq(
        lambda centre: special.expit(centre + spread * _NODES) @ _WEIGHTS / _WEIGHTS.sum() - accuracy, -20, 20))


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
    logits = np.array(centres)[:, None] + shared + rng.normal(0, own, (len(accuracies), speakers))[:, of]
    return rng.random(logits.shape) < special.expit(logits), of


def benchmark(right: np.ndarray, speaker: np.ndarray, task: str = "t") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and predictions of a task with these answers, one embedding (e0, e1, ...) a row of `right`."""
    rows = [{"key": f"{task}e{i}", "task": task, "embedding": f"e{i}", "value": one.mean(), "corpus_kind": "real",
             "selected": True, "split": "test", "metric": "accuracy", "n": len(one), "when": "2026"}
            for i, one in enumerate(right)]
    predictions = [pd.DataFrame({"key": f"{task}e{i}", "task": task, "embedding": f"e{i}",
                                 "clip_id": [f"{task}{c:04d}" for c in range(len(speaker))],
                                 "speaker": [f"s{s}" for s in speaker], "y_true": "yes",
                                 "y_pred": np.where(one, "yes", "no")}) for i, one in enumerate(right)]
    return pd.DataFrame(rows), pd.concat(predictions, ignore_index=True)


def sure(rng: np.random.Generator, speakers: int, clips: int, over: float, alike: float = 0.1) -> pd.DataFrame:
    """Answers with how sure they were: right with the logit of that minus `over`, speakers alike by `alike`."""
    of = np.repeat(np.arange(speakers), clips)
    logit = rng.normal(1.5, 1.2, len(of))
    luck = np.sqrt(alike) * rng.normal(size=speakers)[of] + np.sqrt(1 - alike) * rng.normal(size=len(of))
    right = stats.norm.cdf(luck) < special.expit(logit - over)
    confidence = special.expit(logit)
    return pd.DataFrame({"task": "t", "embedding": "e", "probe": "p", "clip_id": [str(i) for i in range(len(of))],
                         "speaker": [f"s{s}" for s in of], "y_true": "yes", "y_pred": np.where(right, "yes", "no"),
                         "confidence": confidence, "brier": 2 * (right - confidence) ** 2})
