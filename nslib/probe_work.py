"""What a fit of a probe is, and what all ways of fitting share: here in threads, elsewhere, or from files.

Conventions
-----------
What the same arithmetic would give again is not computed again. On a train split that holds as many clips of every
class, all weights of ``class_weight="balanced"`` are 1, and regression with them is regression without, to the last
bit: it is fitted once, and the copy says so in ``reason`` and takes no seconds. (Forests are not: scikit-learn draws
the clips of a tree in another way as soon as there are weights.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import metrics
from nslib.classifiers import IN_FLOAT32, SAME_IF_BALANCED
from nslib.fit_guard import AT_WORK

Names = npt.NDArray[np.str_]
Variant = tuple[bool, bool]
Answer = tuple[npt.NDArray[Any], npt.NDArray[Any] | None]


@dataclass(frozen=True)
class Fit:
    """What one combination answered.

    Attributes
    ----------
    probe, l2, speaker_norm
        The combination.
    answers : dict
        Split to what its metric takes: labels [clips], or scores [clips, classes]; empty if the fit failed.
    labels : dict
        Split to the answered label of each clip.
    converged : bool
        Whether the fit ended by itself.
    seconds : float
        Time of the fit.
    reason : str
        Why there is no answer, or what the classifier warned of.
    """

    probe: str
    l2: bool
    speaker_norm: bool
    answers: dict[str, npt.NDArray[Any]]
    labels: dict[str, Names]
    converged: bool
    seconds: float
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What is the same for all fits of a grid.

    Attributes
    ----------
    classes : ndarray [classes] str
        Labels of all splits, sorted.
    metric : str
        A name in `nslib.metrics.METRICS`.
    seed : int
        Of the forests.
    """

    classes: Names
    metric: str
    seed: int

    @property
    def scores(self) -> bool:
        """bool: whether the metric needs probabilities, not only labels."""
        return metrics.get(self.metric).needs == "scores"


def same_fits(probes: Sequence[str], y: npt.NDArray[Any]) -> dict[str, str]:
    """Probes whose fit is that of another, because all classes of train are of one size.

    Parameters
    ----------
    probes : sequence of str
        Names that are asked for.
    y : ndarray [clips]
        Labels of train.

    Returns
    -------
    dict
        Name of such a probe to the name of the other; empty where classes differ in size.
    """
    if len(set(np.unique(y, return_counts=True)[1].tolist())) > 1:
        return {}
    return {name: source for name, source in SAME_IF_BALANCED.items() if {name, source} <= set(probes)}


def long_first(probes: Iterable[str]) -> list[str]:
    """Order fits so that jobs end together: forests, regression, discriminant analysis.

    Parameters
    ----------
    probes : iterable of str

    Returns
    -------
    list of str
    """
    regression = {*SAME_IF_BALANCED, *SAME_IF_BALANCED.values()}
    return sorted(probes, key=lambda probe: (probe not in IN_FLOAT32, probe not in regression))


def collected(found: Iterable[Fit], copies: dict[str, str], progress: Callable[[], object] | None,
              probes: Sequence[str], variants: Sequence[Variant]) -> list[Fit]:
    """Bring fits, as they are done, and their copies into order.

    Parameters
    ----------
    found : iterable of Fit
    copies : dict
        From `same_fits`.
    progress : callable, optional
        Called for each.
    probes : sequence of str
    variants : sequence of (bool, bool)

    Returns
    -------
    list of Fit
        All variants of the first probe, then of the next.
    """
    fits: list[Fit] = []
    for fit in found:
        for done in (fit, *(_copy(fit, name) for name, source in copies.items() if source == fit.probe)):
            fits.append(done)
            if progress:
                progress()
    return sorted(fits, key=lambda fit: (probes.index(fit.probe), variants.index((fit.l2, fit.speaker_norm))))


def _copy(fit: Fit, name: str) -> Fit:
    said = f"the same fit as {fit.probe}: train has as many clips of every class"
    return replace(fit, probe=name, seconds=0.0, reason="; ".join([fit.reason] * bool(fit.reason) + [said]))


def told(probe: str, variant: Variant, wanted: Wanted, learnt: Names,
         work: Callable[[], tuple[float, dict[str, Answer]]]) -> Fit:
    """Do a fit, and tell what came of it: answers, warnings, or why it failed.

    Parameters
    ----------
    probe : str
    variant : (bool, bool)
    wanted : Wanted
    learnt : ndarray of str
        Classes of train, sorted.
    work : callable
        Gives the seconds of the fit and, for each split, the place in `learnt` of each clip's label and, if
        `wanted` is for scores, the probabilities [clips, learnt].

    Returns
    -------
    Fit
        Without answers, and with the reason, if `work` raises what classifiers raise.
    """
    from sklearn.exceptions import ConvergenceWarning

    AT_WORK.heard()  # and forget what other work in this thread left
    start, why = time.perf_counter(), ""
    found: dict[str, Answer] = {}
    try:
        seconds, found = work()
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        seconds, why = time.perf_counter() - start, f"{type(error).__name__}: {error}"
    heard = AT_WORK.heard()
    labels = {name: learnt[codes] for name, (codes, _) in found.items()}
    answers = {name: labels[name] if table is None else _widened(table, learnt, wanted.classes)
               for name, (_, table) in found.items()}
    converged = not why and not any(issubclass(kind, ConvergenceWarning) for kind, _ in heard)
    said = {text.strip().split("\n")[0] for kind, text in heard if not issubclass(kind, ConvergenceWarning)}
    reason = "; ".join([why] * bool(why) + sorted(said))
    return Fit(probe, *variant, answers, labels, converged, seconds, reason)


def _widened(table: npt.NDArray[Any], learnt: Names, classes: Names) -> npt.NDArray[Any]:
    wide = np.zeros((len(table), len(classes)))  # a class that train lacks gets one score everywhere
    wide[:, np.searchsorted(classes, learnt)] = table
    return wide
