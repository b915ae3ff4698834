"""Scores of a probe on changed copies of the test clips: one fit, on what the benchmark fitted on.

Conventions
-----------
All copies are answered by one fit (`nslib.probe_fit.fit_one`), the clean clips among them. Names of clips and speakers
are kept apart by the number of the copy, so that a z-score by speaker is over one copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import bootstrap, metrics, paired, perturb
from nslib.classifiers import CLASSIFIERS
from nslib.embeddings.base import Embedding
from nslib.errors import NslibError, Unavailable
from nslib.perturbed import Copies
from nslib.probe_data import Split, checked
from nslib.probe_fit import Task as FitTask
from nslib.probe_fit import Wanted, fit_one
from nslib.store import Store

if TYPE_CHECKING:
    import pandas as pd

_FROM_RESULT = ("task", "corpus_kind", "embedding", "probe", "l2", "speaker_norm", "seed", "metric", "data_hash",
                "split_hash", "weights_hash")
_AGAIN = "Run the benchmark again."
_DIGITS = 4


class _Answers(NamedTuple):
    """What a probe answered to one copy: the clips, and what the metric takes."""

    clips: Split
    labels: npt.NDArray[Any]
    given: npt.NDArray[Any]

    @property
    def right(self) -> dict[str, bool]:
        return dict(zip(self.clips.clip_id.tolist(), (self.labels == self.clips.y).tolist(), strict=True))


def scored(row: Mapping[str, Any], kept: pd.DataFrame, clips: pd.DataFrame, copies: Sequence[Copies],
           embedding: Embedding) -> list[dict[str, object]]:
    """Fit the chosen probe of a result once more and score it on copies of its test clips.

    Parameters
    ----------
    row : mapping
        A selected row of the results.
    kept : DataFrame
        Its predictions, as the benchmark kept them.
    clips : DataFrame
        Clip table of the task, clean.
    copies : sequence of Copies
        The first is the clean test set.
    embedding : Embedding
        Whose vectors are in the store; a clip without one is left out and counted.

    Returns
    -------
    list of dict
        One row a copy, with the columns of `nslib.robustness.COLUMNS` but for the key and the origin.

    Raises
    ------
    Unavailable
        If the result is of no probe on stored vectors, or the probe cannot be fitted.
    NslibError
        If its answers to the clean clips are not those that were kept.
    """
    if row["probe"] not in CLASSIFIERS:
        raise Unavailable(str(row["embedding"]), f"{row['probe']} is no probe on stored vectors", "Choose another.")
    store = Store(embedding)
    train, validation = (_split(clips[clips["split"] == name], store) for name in ("train", "validation"))
    answered, classes = _answered(row, train, validation, [_split(copy.clips, store) for copy in copies])
    _refuse_other(answered[0], kept)
    return [_row(row, classes, copy, mine, answered[0]) for copy, mine in zip(copies, answered, strict=True)]


def _split(clips: pd.DataFrame, store: Store) -> Split:
    there = clips[store.holds(clips["sha256"])]
    names = (there[c].fillna("").to_numpy(str) for c in ("label", "speaker", "clip_id"))
    return Split(store.read(there["sha256"]), *names)


def _answered(row: Mapping[str, Any], train: Split, validation: Split,
              tests: list[Split]) -> tuple[list[_Answers], npt.NDArray[Any]]:
    classes = np.unique(np.concatenate([train.y, validation.y, *(test.y for test in tests)]))
    splits = checked(train, validation, _together(tests))
    wanted = Wanted(classes, str(row["metric"]), int(row["seed"]))
    fit = fit_one(FitTask(str(row["probe"]), (bool(row["l2"]), bool(row["speaker_norm"])), splits, wanted))
    if "test" not in fit.answers:
        raise Unavailable(str(row["embedding"]), fit.reason, _AGAIN)
    ends = np.cumsum([len(test.y) for test in tests])[:-1]
    columns = (splits["test"].y, splits["test"].clip_id, fit.labels["test"], fit.answers["test"])
    cut = (np.split(column, ends) for column in columns)  # in the order of names, that is, of copies
    found = []
    for test, (y, name, labels, given) in zip(tests, zip(*cut, strict=True), strict=True):
        own = np.array([text[_DIGITS:] for text in name.tolist()], dtype=str)
        speakers = dict(zip(test.clip_id.tolist(), test.speaker.tolist(), strict=True))
        speaker = np.array([speakers[text] for text in own.tolist()], dtype=str)
        found.append(_Answers(Split(test.x, y, speaker, own), labels, given))
    return found, classes


def _together(tests: list[Split]) -> Split:
    def marked(column: str) -> npt.NDArray[Any]:
        return np.concatenate([np.char.add(f"{i:0{_DIGITS}d}", getattr(t, column)) for i, t in enumerate(tests)])

    x, y = (np.concatenate([getattr(test, column) for test in tests]) for column in ("x", "y"))
    return Split(x, y, marked("speaker"), marked("clip_id"))


def _refuse_other(clean: _Answers, kept: pd.DataFrame) -> None:
    before = dict(zip(kept["clip_id"], kept["y_pred"], strict=True))
    now = dict(zip(clean.clips.clip_id.tolist(), clean.labels.tolist(), strict=True))
    other = sum(before.get(name) != label for name, label in now.items()) + len(set(before) - set(now))
    if other:
        raise NslibError(f"{other} of {len(before)} answers to the clean clips are not those that were kept: code, "
                         f"clips or vectors have changed since. {_AGAIN}")


def _row(row: Mapping[str, Any], classes: npt.NDArray[Any], copy: Copies, mine: _Answers,
         clean: _Answers) -> dict[str, object]:
    facts = {name: row[name] for name in _FROM_RESULT}
    lost = len(clean.clips.y) - len(mine.clips.y)
    return facts | {
        "condition": copy.condition, "level": float(copy.level), "unit": perturb.UNITS[copy.condition],
        "confidence": bootstrap.LEVEL, "n": len(mine.clips.y), "n_speakers": len(set(mine.clips.speaker) - {""}),
        "left_out": lost, "notes": _note(copy, lost), "clipped": copy.clipped, "samples": copy.samples,
        **_value(str(row["metric"]), classes, mine, int(row["seed"])), **_change(mine, clean, int(row["seed"]))}


def _note(copy: Copies, lost: int) -> str:
    reasons = dict.fromkeys(copy.problems["reason"]) if len(copy.problems) else {"no vector": None}
    return f"{lost} test clips were left out: {'; '.join(reasons)}." if lost else ""


def _value(metric: str, classes: npt.NDArray[Any], mine: _Answers, seed: int) -> dict[str, object]:
    if not len(mine.clips.y):
        return dict.fromkeys(("value", "low", "high", "chance"), float("nan")) | {"interval_by": ""}
    columns = classes if metrics.get(metric).needs == "scores" else None
    value = metrics.score(metric, mine.clips.y, mine.given, columns)
    found = metrics.interval(mine.clips.y, mine.given, mine.clips.speaker, metric, classes=columns, seed=seed)
    return {"value": value, "low": found.low, "high": found.high, "interval_by": found.by,
            "chance": metrics.chance(metric, mine.clips.y)}


def _change(mine: _Answers, clean: _Answers, seed: int) -> dict[str, float]:
    before, now = clean.right, mine.right
    names = [name for name in now if name in before]
    if not names:
        return dict.fromkeys(("change", "change_low", "change_high"), float("nan"))
    who = dict(zip(mine.clips.clip_id.tolist(), mine.clips.speaker.tolist(), strict=True))
    found = paired.difference([now[n] for n in names], [before[n] for n in names], [who[n] for n in names], seed=seed)
    return {"change": found.diff, "change_low": found.low, "change_high": found.high}
