"""Do intervals hold the truth, and tests their error rates, where speakers are correlated? Simulated, not assumed.

Answers are drawn with a known expected accuracy: the logit of a clip is a constant plus a part of its speaker and one
of the clip, shared by all embeddings, and one of the speaker that each embedding has on its own. Five to forty
speakers, accuracies from 0.6 to 0.98. Each line says how often the interval of accuracy and of a paired difference held
the truth, and how often three tests of two equal embeddings fell below 5 and 1 %: the kit's, flips of the sign of whole
speakers, and Student's t over speakers. Then follow the intervals of calibration, and the chance of any wrong pair
among all pairs of several embeddings.

The target of an interval is 95 %, less what the draws leave open (three standard errors); that of a test is 5 or 1 %,
and as much more.

Usage: ``python benchmarks/intervals.py [--trials N] [--families N] [--seed N]``
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from pathlib import Path

import numpy as np
from common import Figure, report
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from nslib.statistics import calibration, comparisons, intervals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import speakers

SETTINGS = ((5, 20, 0.6, 0.5), (5, 20, 0.9, 1.0), (8, 15, 0.8, 1.0), (8, 15, 0.95, 0.5), (12, 12, 0.7, 1.5),
            (14, 12, 0.8, 0.8), (14, 12, 0.98, 0.5), (20, 10, 0.95, 1.0), (20, 30, 0.6, 0.8), (40, 8, 0.8, 1.0),
            (40, 20, 0.98, 0.8))
"""Speakers, clips of each, accuracy, and the standard deviation of speakers (of the logit)."""

LEVEL = 0.95
FLIPS = 1999


def by_flips(delta: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> float:
    """P-value of flipping the sign of whole speakers: all flips of up to twelve, else so many drawn."""
    sums = np.bincount(of, delta)
    sums = sums[sums != 0]
    if len(sums) <= 12:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float(np.mean(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9))
    signs = 1 - 2 * rng.integers(0, 2, (FLIPS, len(sums)))
    return float((1 + np.sum(np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9)) / (FLIPS + 1))


def by_student(delta: np.ndarray, of: np.ndarray) -> float:
    """P-value of Student's t over speakers, each counting by its clips."""
    count, rest = of.max() + 1, np.bincount(of, delta - delta.mean())
    error = math.sqrt(count / (count - 1) * float(rest @ rest)) / len(delta)
    if not error:
        return 1.0 if not delta.any() else 0.0
    return float(2 * stats.t.sf(abs(delta.mean()) / error, count - 1))


def one(setting: tuple[int, int, float, float], trials: int, seed: int) -> dict[str, float]:
    """Rates of one setting."""
    count, clips, accuracy, spread = setting
    rng, second = np.random.default_rng([seed, count, clips, round(100 * accuracy)]), max(accuracy - 0.1, 0.5)
    found: dict[str, list[bool]] = {}
    for trial in range(trials):
        right, of = speakers.answers(rng, count, clips, [accuracy, accuracy, second], speaker=spread, own=spread / 2)
        low, high, _ = intervals.interval(np.full(len(of), "a"), np.where(right[0], "a", "b"), of, seed=trial)
        wide = comparisons.Paired.of(right[0], right[2], of, seed=trial).at()
        equal = comparisons.Paired.of(right[0], right[1], of, seed=trial)
        delta = right[0].astype(float) - right[1]
        p = {"paired": comparisons.p_value(equal.at), "flips": by_flips(delta, of, rng),
             "student": by_student(delta, of)}
        now = {"accuracy": low <= accuracy <= high, "difference": wide.low <= accuracy - second <= wide.high}
        now |= {f"{name} {bound:g}": value < bound for name, value in p.items() for bound in (0.05, 0.01)}
        for name, value in now.items():
            found.setdefault(name, []).append(bool(value))
    return {name: float(np.mean(values)) for name, values in found.items()}


def calibrated(count: int, clips: int, over: float, trials: int, seed: int) -> dict[str, float]:
    """How often the intervals of the gap, of the calibration error and of the Brier score held the truth."""
    rng = np.random.default_rng([seed, count, clips, round(10 * over)])
    logit = np.random.default_rng(9).normal(1.5, 1.2, 1_000_000)
    sure, right = special.expit(logit), special.expit(logit - over)
    place = calibration.assign_bins(sure)
    true = {"gap": (sure - right).mean(), "ece": np.abs(np.bincount(place, sure - right)).sum() / len(sure),
            "brier": 2 * np.mean(right * (1 - sure) ** 2 + (1 - right) * sure**2)}
    held = dict.fromkeys(true, 0)
    for trial in range(trials):
        row = calibration.calibration_errors(speakers.sure(rng, count, clips, over), seed=trial).iloc[0]
        for name, value in true.items():
            held[name] += row[f"{name}_low"] - 1e-9 <= value <= row[f"{name}_high"] + 1e-9
    return {name: value / trials for name, value in held.items()}


def any_wrong(count: int, clips: int, alike: int, trials: int, seed: int) -> tuple[float, float, float]:
    """Any pair of equal embeddings told apart: by Holm, and uncorrected; and the share of unequal pairs that are.

    Half of the embeddings are equal at 0.7, the others at 0.85.
    """
    rng, wrong, bare, told = np.random.default_rng([seed, count, clips, alike]), 0, 0, []
    accuracies = [0.7] * (alike - alike // 2) + [0.85] * (alike // 2)
    pairs = list(itertools.combinations(range(alike), 2))
    equal = np.array([accuracies[i] == accuracies[j] for i, j in pairs])
    for _ in range(trials):
        right, of = speakers.answers(rng, count, clips, accuracies)
        p = np.array([comparisons.p_value(comparisons.Paired.of(right[i], right[j], of).at) for i, j in pairs])
        apart = multipletests(p, 1 - LEVEL, "holm")[0]
        wrong, bare = wrong + apart[equal].any(), bare + (p[equal] < 1 - LEVEL).any()
        told.append(apart[~equal].mean())
    return wrong / trials, bare / trials, float(np.mean(told))


def _room(rate: float, trials: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / trials)


def main() -> None:
    """Simulate, print every line, and report the worst of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--families", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the draws: another one is a check on other data")
    chosen = parser.parse_args()
    trials, lines = chosen.trials, []
    for setting in SETTINGS:
        lines.append(one(setting, trials, chosen.seed))
        print(f"  {setting[0]:3} speakers x {setting[1]:2}, accuracy {setting[2]:.2f}, sd {setting[3]:.1f}:  "
              + "  ".join(f"{name} {value:.3f}" for name, value in lines[-1].items()), flush=True)
    sure = []
    for count, clips, over in ((5, 20, 0.0), (8, 15, 0.0), (14, 12, 0.5), (20, 20, 0.0), (40, 15, 1.5), (40, 15, 0.0)):
        sure.append(calibrated(count, clips, over, max(trials // 2, 1), chosen.seed))
        print(f"  {count:3} speakers x {clips:2}, over-sure by {over:.1f}:  "
              + "  ".join(f"{name} {value:.3f}" for name, value in sure[-1].items()), flush=True)
    families = []
    for count, clips, alike in ((8, 15, 4), (14, 12, 8), (40, 8, 8)):
        families.append(any_wrong(count, clips, alike, chosen.families, chosen.seed))
        print(f"  {count:3} speakers x {clips:2}, {alike} embeddings:  any wrong pair {families[-1][0]:.3f}, without "
              f"correction {families[-1][1]:.3f}; unequal pairs told apart {families[-1][2]:.3f}", flush=True)
    least = LEVEL - _room(LEVEL, trials)
    report([*(Figure(f"interval of {name}: held the truth, at least", min(line[name] for line in lines), at_least=least)
              for name in ("accuracy", "difference")),
            *(Figure(f"interval of {name}: held the truth, at least", min(line[name] for line in sure),
                     at_least=LEVEL - _room(LEVEL, max(trials // 2, 1))) for name in sure[0]),
            *(Figure(f"paired test below {bound:g}, two equal embeddings, at most",
                     max(line[f"paired {bound:g}"] for line in lines), at_most=bound + _room(bound, trials))
              for bound in (0.05, 0.01)),
            Figure("any wrong pair of a family, at most", max(family[0] for family in families),
                   at_most=0.05 + _room(0.05, chosen.families))])


if __name__ == "__main__":
    main()
