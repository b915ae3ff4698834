"""Answers from stored vectors: the chosen probe fitted again, on the very clips of the result.

Conventions
-----------
Nothing is fetched and no embedding is loaded: recordings that are prepared, and vectors that are in the store, decide
what can be checked. The clips of a result are those of its task whose hashes are the result's; where the hashes of the
recordings here are other ones, the result is of other data and its fits are not checked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nslib import cells, corpora, params, results, splits
from nslib.errors import NslibError
from nslib.large import needs
from nslib.params import Params
from nslib.store import Store
from nslib.tasks import REGISTRY
from nslib.verify.answers import Result
from nslib.verify.found import Findings

if TYPE_CHECKING:
    import pandas as pd

    from nslib.probe_fit import Fit
    from nslib.probe_work import Wanted

_NUMBERS = ("value", "low", "high", "chance", "n", "n_speakers", "classes", "dim", "interval_by")
_COMBINATION = ["probe", "l2", "speaker_norm"]
_ANSWER = ["y_true", "y_pred", "speaker"]
_WHAT = "fits"
_JOBS = 2

Clips = dict[tuple[str, int, bool], "pd.DataFrame | str"]
"""Task, seed and smoke to its clips, or why they cannot be had."""


class NotHere(NslibError):
    """What a fit needs is not on this machine."""


def check(result: Result, findings: Findings, read: Clips, *, every: bool = False) -> None:
    """Fit a result's combinations again and compare scores, intervals, counts and answers.

    Parameters
    ----------
    result : Result
    findings : Findings
        Is told; also of a result that cannot be fitted here, with the reason.
    read : dict
        Clips that were read before; is added to.
    every : bool
        All combinations, not only the chosen one and the best on test.
    """
    about, row = result.about, result.rows.iloc[0]
    try:
        clips, store = _material(row, read)
        _hashes(result, clips, findings)
        parts = _parts(clips, store)
    except NotHere as error:
        findings.skip(about, _WHAT, result.file(), str(error))
        return
    rows = result.rows
    wanted = rows if every else rows[rows["selected"] | rows["best_on_test"]]
    found = _fitted(parts, wanted[_COMBINATION].drop_duplicates(), row)
    for fit, grid in found:
        _compare(result, fit, grid, findings)


def _material(row: Any, read: Clips) -> tuple[pd.DataFrame, Store]:
    if cells.fine_tuned(row):
        raise NotHere("a fine-tuned network has no stored vectors; python -m nslib reproduce TASK/EMBEDDING trains it")
    if row["task"] not in REGISTRY:
        raise NotHere("the task is of recordings of your own, of which only a name is known")
    place = params.cache_dir("vectors") / str(row["weights_hash"])
    if not place.is_dir():
        raise NotHere("no vectors of these weights are stored here; python -m nslib reproduce TASK/EMBEDDING makes "
                      "them")
    try:
        store = Store.at(place)
    except (OSError, ValueError, KeyError) as error:
        raise NotHere(f"the store {place} cannot be read ({error})") from error
    for smoke in (False, True):
        clips = _clips(row, smoke, read)
        if isinstance(clips, str):
            raise NotHere(clips)
        clips = clips[store.holds(clips["sha256"])]
        if len(clips) and splits.data_hash(clips) == row["data_hash"]:
            return clips, store
    return _other(row, store, read)


def _other(row: Any, store: Store, read: Clips) -> tuple[pd.DataFrame, Store]:
    """The recordings here are others than the row says; if its key says that they are not, the row is wrong."""
    for smoke in (False, True):
        clips = _clips(row, smoke, read)
        assert not isinstance(clips, str)  # it has been read before
        clips = clips[store.holds(clips["sha256"])]
        if len(clips) and key(row, clips, smoke=smoke) == row["key"]:
            return clips, store
    raise NotHere("the recordings or stored vectors here are not those of the result (data_hash)")


def key(row: Any, clips: pd.DataFrame, *, smoke: bool) -> str:
    """Key that a result of these clips would have, by this version of the probes.

    Parameters
    ----------
    row : mapping
        For task, embedding, weights and seed.
    clips : DataFrame
        That have a vector.
    smoke : bool
        Of a smoke run.

    Returns
    -------
    str
    """
    from nslib import forecast

    task = REGISTRY[str(row["task"])]
    settings = forecast.settings(task, Params(seed=int(row["seed"]), smoke=smoke))
    return results.key(task=task.name, embedding=str(row["embedding"]), data_hash=splits.data_hash(clips),
                       split_hash=splits.split_hash(clips), weights_hash=str(row["weights_hash"]), settings=settings)


def _clips(row: Any, smoke: bool, read: Clips) -> pd.DataFrame | str:
    at = (str(row["task"]), int(row["seed"]), smoke)
    if at not in read:
        try:
            with _offline():
                read[at] = corpora.load_clips(REGISTRY[at[0]], Params(seed=at[1], smoke=smoke), progress=False).clips
        except NslibError as error:
            read[at] = f"its recordings are not here ({str(error).splitlines()[0]})"
    return read[at]


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """A check looks at what is here: it downloads nothing."""
    before = os.environ.get("NSLIB_OFFLINE")
    os.environ["NSLIB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["NSLIB_OFFLINE"]
        else:
            os.environ["NSLIB_OFFLINE"] = before


def _hashes(result: Result, clips: pd.DataFrame, findings: Findings) -> None:
    for name, made in (("data_hash", splits.data_hash(clips)), ("split_hash", splits.split_hash(clips))):
        said = result.rows[name].unique()
        findings.add(result.about, name, result.file(), ", ".join(said), made, why="of the recordings here")


def _parts(clips: pd.DataFrame, store: Store) -> dict[str, Any]:
    from nslib.probe_data import Split, checked

    train = clips[clips["split"] == "train"]
    if not needs.fits_in_memory(len(clips), len(train), store.dim, train["label"].nunique()):
        raise NotHere("its vectors do not fit into the memory that is free now")
    parts = []
    for name in splits.SPLITS:
        part = clips[clips["split"] == name]
        named = (part[column].to_numpy(str) for column in ("label", "speaker", "clip_id"))
        parts.append(Split(store.read(part["sha256"]), *named))
    try:
        return checked(*parts)
    except NslibError as error:
        raise NotHere(f"the clips here are no task ({error})") from error


def _fitted(parts: dict[str, Any], combinations: pd.DataFrame, row: Any) -> list[tuple[Fit, Any]]:
    import joblib
    import numpy as np

    from nslib import probe
    from nslib.probe_fit import Task, fit_one
    from nslib.probe_work import Wanted

    classes = np.unique(np.concatenate([part.y for part in parts.values()]))
    wanted: Wanted = Wanted(classes, str(row["metric"]), int(row["seed"]))
    tasks = [Task(str(name), (bool(l2), bool(norm)), parts, wanted) for name, l2, norm in combinations.to_numpy()]
    fits = joblib.Parallel(n_jobs=min(_JOBS, len(tasks)), prefer="threads")(joblib.delayed(fit_one)(t) for t in tasks)
    return [(fit, probe.scored([fit], parts, wanted)) for fit in fits]


def _compare(result: Result, fit: Fit, grid: Any, findings: Findings) -> None:
    rows, how = result.rows, "fitted again on the stored vectors"
    mine = rows[(rows["probe"] == fit.probe) & (rows["l2"] == fit.l2) & (rows["speaker_norm"] == fit.speaker_norm)]
    words = f"{fit.probe}{', L2' if fit.l2 else ''}{', z-score by speaker' if fit.speaker_norm else ''}"
    for split in splits.SPLITS[1:]:
        said, made = (part[part["split"] == split] for part in (mine, grid.rows))
        for name in _NUMBERS:
            values = said[name].tolist()
            findings.add(result.about, f"{split} {name} of {words}", result.file(),
                         values[0] if len(values) == 1 else f"{len(values)} rows", made[name].tolist()[0], why=how)
    if mine["selected"].any():
        _answers(result, grid.predictions, findings)


def _answers(result: Result, made: pd.DataFrame, findings: Findings) -> None:
    said, made = (part.set_index("clip_id")[_ANSWER] for part in (result.predictions, made))
    file, why = result.file("predictions"), "fitted again on the stored vectors"
    strange = sorted(set(said.index) ^ set(made.index))
    findings.add(result.about, "clips of the test", file, len(said), len(made), not strange,
                 f"in one of the two only: {', '.join(strange[:3])}" if strange else why)
    both = sorted(set(said.index) & set(made.index))
    said, made = (part[~part.index.duplicated()].loc[both] for part in (said, made))
    differ = (said != made).any(axis=1)
    if not differ.any():
        findings.add(result.about, "answers of the chosen probe", file, len(both), len(both), why=why)
    for clip in differ.index[differ]:
        findings.add(result.about, f"answer to {clip}", file, " / ".join(said.loc[clip]), " / ".join(made.loc[clip]),
                     why=why + ": label / answer / speaker")
