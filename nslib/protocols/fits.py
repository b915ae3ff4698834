"""Probes fitted inside each speaker: hundreds of tiny fits, in threads."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.classifiers import CLASSIFIERS, IN_FLOAT32, l2_normalise
from nslib.errors import NslibError
from nslib.probe_work import same_fits
from nslib.protocols.material import Material
from nslib.protocols.plans import Ints, Plan

if TYPE_CHECKING:
    import pandas as pd

Names = npt.NDArray[np.str_]
Combination = tuple[str, bool]


@dataclass(frozen=True)
class Fits:
    """What was answered.

    Attributes
    ----------
    answers : DataFrame
        One row a split number, combination and clip of validation or test: ``split_number`` (int),
        ``combination`` (its place), ``part``, ``clip_id, speaker, y_true, y_pred, right``.
    failed : dict
        Split number and combination to the first reason why it could not be fitted to some speaker.
    notes : tuple of str
        What the classifiers warned of, counted, and what could not be fitted.
    """

    answers: pd.DataFrame
    failed: dict[tuple[int, int], str]
    notes: tuple[str, ...]


def fit(mine: Material, plans: Sequence[Plan], combinations: Sequence[Combination], *, seed: int, jobs: int,
        progress: Callable[[], object] | None) -> Fits:
    """Train every combination on every speaker of every split.

    Parameters
    ----------
    mine : Material
    plans : sequence of Plan
    combinations : sequence of (probe, l2)
        Names in `nslib.classifiers.PROBES`, and whether vectors are scaled to unit length.
    seed : int
        Of forests.
    jobs : int
        Speakers at a time, in threads, each on one BLAS thread: the number changes no answer.
    progress : callable, optional
        Called after each speaker of each split.

    Returns
    -------
    Fits

    Raises
    ------
    NslibError
        If nothing could be fitted at all.
    """
    import joblib
    import sklearn.linear_model  # noqa: F401  brings SciPy's BLAS, which can only be limited once it is loaded
    from threadpoolctl import threadpool_limits

    found: list[tuple[int, int, Ints, Ints, Names]] = []
    failed: dict[tuple[int, int], str] = {}
    fitted = 0
    todo = [(plan.number, part) for plan in plans for part in plan.parts.values()]
    with _heard() as heard, threadpool_limits(1):
        one = joblib.delayed(_speaker)
        work = (one(mine.vectors, mine.label, part, combinations, seed) for _, part in todo)
        done = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(work)
        for (number, part), (answers, fits) in zip(todo, done, strict=True):
            fitted += fits
            for k, said in answers.items():
                if isinstance(said, str):
                    failed.setdefault((number, k), said)
                else:
                    found.append((number, k, part["validation"], part["test"], said))
            if progress:
                progress()
    if not found:
        why = next(iter(failed.values()))
        raise NslibError(f"no probe could be fitted inside any speaker of {mine.task.name}: {why}")
    notes = [*_failures(failed, combinations), *_counted(heard, fitted)]
    return Fits(_long(mine, found), failed, tuple(f"{mine.embedding}: {note}" for note in notes))


@contextmanager
def _heard() -> Iterator[list[warnings.WarningMessage]]:
    # Recording is not per thread but for the whole process: here, that is what is wanted.
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield heard


def _speaker(vectors: npt.NDArray[Any], label: Names, part: dict[str, Ints], combinations: Sequence[Combination],
             seed: int) -> tuple[dict[int, Names | str], int]:
    """Answers of every combination, or why it has none, and how many were fitted: the others are the same fits."""
    learnt, codes = np.unique(label[part["train"]], return_inverse=True)
    plain = np.asarray(vectors[np.concatenate(list(part.values()))], dtype=np.float64)
    same = same_fits([probe for probe, _ in combinations], codes)
    found: dict[int, Names | str] = {}
    for l2 in sorted({l2 for _, l2 in combinations}):
        x = l2_normalise(plain) if l2 else plain
        by_columns = np.asarray(x[:len(codes)], dtype=np.float32, order="F")  # as trees read it: see nslib.probe_fit
        for k, probe in ((k, probe) for k, (probe, own) in enumerate(combinations) if own == l2 and probe not in same):
            train = by_columns if probe in IN_FLOAT32 else x[:len(codes)]
            model = CLASSIFIERS[probe](len(codes), len(learnt), seed)
            found[k] = _answered(model, train, codes, x[len(codes):], learnt)
    copies = {k: combinations.index((same[p], l2)) for k, (p, l2) in enumerate(combinations) if p in same}
    return found | {k: found[source] for k, source in copies.items()}, len(found)


def _answered(model: Any, train: npt.NDArray[Any], codes: Ints, asked: npt.NDArray[Any], learnt: Names) -> Names | str:
    try:
        return learnt[model.fit(train, codes).predict(asked)]
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return f"{type(error).__name__}: {error}"


def _long(mine: Material, found: Sequence[tuple[int, int, Ints, Ints, Names]]) -> pd.DataFrame:
    import pandas as pd

    numbers, combinations, validation, test, said = zip(*found, strict=True)
    sizes = [len(one) + len(other) for one, other in zip(validation, test, strict=True)]
    place = np.concatenate([rows for both in zip(validation, test, strict=True) for rows in both])
    asked = np.concatenate([np.repeat(["validation", "test"], [len(one), len(other)])
                            for one, other in zip(validation, test, strict=True)])
    true, pred = mine.label[place], np.concatenate(said)
    return pd.DataFrame({"split_number": np.repeat(numbers, sizes), "combination": np.repeat(combinations, sizes),
                         "part": asked, "clip_id": mine.clip_id[place], "speaker": mine.speaker[place],
                         "y_true": true, "y_pred": pred, "right": true == pred})


def _failures(failed: dict[tuple[int, int], str], combinations: Sequence[Combination]) -> list[str]:
    times = Counter((combinations[k][0], why) for (_, k), why in failed.items())
    return [f"{probe} could not be fitted to every speaker ({n} splits and normalisations) and was not chosen there: "
            f"{why}" for (probe, why), n in times.items()]


def _counted(heard: Sequence[warnings.WarningMessage], fits: int) -> list[str]:
    from sklearn.exceptions import ConvergenceWarning

    capped = sum(issubclass(warning.category, ConvergenceWarning) for warning in heard)
    said = [f"{capped} of {fits} fits ended at their cap of iterations, as the authors' do."] if capped else []
    others = (w for w in heard if not issubclass(w.category, ConvergenceWarning))
    times = Counter(str(w.message).strip().split("\n")[0].rstrip(". ") for w in others)
    return said + [f"{n} warnings in {fits} fits: {text}." for text, n in sorted(times.items())]
