"""One cell of the result table computed again, beside what is kept of it.

Conventions
-----------
All combinations of the probes are fitted and the choice is made on validation, as in the run itself: what is compared
is the cell, not one fit. Vectors come from the store, where missing ones are added; afresh, all of them are computed
into a temporary store. The result is not kept: what is kept stays what it was.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import cells, corpora, extract, forecast, probing, results, splits, tasks
from nslib.entrants import Entrant, enter
from nslib.errors import BadParameter, UnknownName
from nslib.params import Params
from nslib.store import Store
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

_SHORTEST = 6
_SCORES = ("value", "low", "high")
_FACTS = ("probe", "l2", "speaker_norm", "metric", "n", "n_speakers", "classes", "interval_by", "seed")
_ORIGIN = {"data_hash": "the recordings", "split_hash": "labels, speakers or splits", "weights_hash": "the embedding",
           "key": "the code of the probes, their settings, or NumPy, SciPy or scikit-learn",
           "lock_hash": "the locked packages", "code_revision": "the kit's code"}
_RESULT = ("data_hash", "split_hash", "weights_hash", "key")


@dataclass(frozen=True)
class Again:
    """A cell that was computed again.

    Attributes
    ----------
    made : dict
        The row of the chosen probe on test, as it came out now.
    kept : dict or None
        The row that is kept; None if there is none.
    differing : int or None
        How many test clips are answered differently; None where answers cannot be paired.
    """

    made: dict[str, Any]
    kept: dict[str, Any] | None
    differing: int | None

    @property
    def equal(self) -> bool:
        """bool: whether the report would show the same numbers, with one decimal of percent."""
        return self.kept is None or all(shown(self.made[n]) == shown(self.kept[n]) for n in _SCORES)

    def table(self) -> pd.DataFrame:
        """Both rows beside each other.

        Returns
        -------
        DataFrame
            Indexed by what; columns kept, recomputed, and one that says where they differ.
        """
        import pandas as pd

        found = []
        for name in (*_SCORES, *_FACTS, *_ORIGIN):
            show = shown if name in _SCORES else str
            kept, made = (show(row[name]) if row and row[name] != "" else "–" for row in (self.kept, self.made))
            found.append((_called(name), kept, made, "differs" if "–" not in (kept, made) and kept != made else ""))
        return pd.DataFrame(found, columns=["what", "kept", "recomputed", ""]).set_index("what")

    def text(self) -> str:
        """What moved, and why.

        Returns
        -------
        str
            The table and a sentence.
        """
        import pandas as pd

        with pd.option_context("display.max_columns", None, "display.width", 200, "display.max_colwidth", 60):
            shown = self.table().to_string()
        return f"{cells.name(self.made)}\n{shown}\n{self._verdict()}"

    def _verdict(self) -> str:
        if self.kept is None:
            return "Nothing is kept of this cell, so there is nothing to compare it with."
        n = self.made["n"]
        clips = "" if self.differing is None else f" {self.differing} of {n} test clips are answered differently."
        if self.equal:
            return f"Equal, to the last decimal that the report shows.{clips}"
        moved = ", ".join(f"{_called(n)} by {100 * (float(self.made[n]) - float(self.kept[n])):+.1f}" for n in _SCORES
                          if shown(self.made[n]) != shown(self.kept[n]))
        return f"Moved: {moved}.{clips} {self._why()}"

    def _why(self) -> str:
        assert self.kept is not None  # only then has something moved
        names = [n for n in _RESULT if self.made[n] not in ("", self.kept[n])]
        # Other data or weights have another key by themselves.
        other = [f"{_ORIGIN[n]} ({n})" for n in names if n != "key" or len(names) == 1]
        if other:
            return f"What differs: {'; '.join(other)}."
        return ("Every hash that decides the result is the same: the kept number was changed since, or this machine "
                "computes something else from the same.")


def reproduce(cell: str, params: Params, *, seed: int | None = None, fresh: bool = False, folder: Path | None = None,
              progress: bool = True) -> Again:
    """Compute one cell again.

    Parameters
    ----------
    cell : str
        ``task/embedding``, or the first characters of a result's key (six or more).
    params : Params
        For ``smoke``; its seed where nothing is kept.
    seed : int, optional
        Default: that of the kept result.
    fresh : bool
        Compute the vectors too, into a temporary store.
    folder : Path, optional
        Of the results; default ``results`` below the reports.
    progress : bool
        Progress bars on stderr.

    Returns
    -------
    Again

    Raises
    ------
    UnknownName
        For a task, embedding or key that is not known, with the nearest.
    BadParameter
        For what is no cell, or a key that begins several results.
    Unavailable
        If the recordings or the embedding cannot be had.
    """
    import dataclasses

    rows, answers = results.load(folder)
    chosen = rows[rows["selected"] & (rows["split"] == "test")]
    task, embedding, chosen = _named(cell, chosen)
    if seed is None and len(chosen):
        seed = int(chosen["seed"].iloc[-1])
    settings = dataclasses.replace(params, seed=params.seed if seed is None else seed)
    made, predictions = _computed(task, embedding, settings, fresh, progress)
    row = made[made["selected"] & (made["split"] == "test")]
    if row.empty:
        raise BadParameter(f"no probe could be fitted for {cell}: {made['reason'].iloc[0]}")
    now = row.iloc[0].to_dict()
    kept = _nearest(chosen[chosen["seed"] == settings.seed], now)
    before = None if kept is None else answers[answers["key"] == kept["key"]]
    return Again(now, kept, None if before is None else _differing(before, predictions))


def _named(cell: str, chosen: pd.DataFrame) -> tuple[Task, str, pd.DataFrame]:
    """Task, embedding and the kept rows that a cell's name means."""
    task, slash, embedding = cell.partition("/")
    if not slash:
        task, embedding, mine = _by_key(cell, chosen)
    else:
        mine = chosen[(chosen["task"] == task) & (chosen["embedding"] == embedding)]
    if task not in tasks.REGISTRY and len(mine):
        raise BadParameter(f"{task!r} is a task of recordings of your own, of which the kit keeps no address. Measure "
                           f"it again with: {cells.command(mine.iloc[-1])}")
    found = tasks.get(task)
    if not cells.built_in(embedding) and not _is_trained(embedding, mine):
        if len(mine):
            raise BadParameter(f"{embedding!r} is an embedding of your own, of which only the name is kept. Measure it "
                               f"again with: {cells.command(mine.iloc[-1])}")
        enter(embedding)  # which tells the nearest names
    return found, embedding, mine


def _by_key(begin: str, chosen: pd.DataFrame) -> tuple[str, str, pd.DataFrame]:
    mine = chosen[chosen["key"].str.startswith(begin)] if len(begin) >= _SHORTEST else chosen[:0]
    if mine.empty:
        raise UnknownName("cell", begin, (chosen["task"] + "/" + chosen["embedding"]).unique())
    if mine["key"].nunique() > 1:
        raise BadParameter(f"{mine['key'].nunique()} results begin with {begin!r}: give more characters.")
    return str(mine["task"].iloc[0]), str(mine["embedding"].iloc[0]), mine


def _is_trained(embedding: str, mine: pd.DataFrame) -> bool:
    return embedding == cells.FINE_TUNED or any(cells.fine_tuned(row) for row in mine.to_dict("records"))


def _computed(task: Task, embedding: str, params: Params, fresh: bool,
              progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    clips = corpora.load_clips(task, params, progress=progress).clips
    if not cells.built_in(embedding):
        return _trained(task, embedding, clips, params, progress)
    entrant, settings = enter(embedding), forecast.settings(task, params)
    with fresh_store(entrant, fresh) as store:
        out = extract.vectors(clips, entrant.load(), store=store, progress=progress)
        grid = probing.grid(task.name, embedding, out, settings, progress)
    origin = forecast.origin(task, entrant, out.clips)
    return results.complete(grid, key=results.key(**origin, settings=settings), corpus_kind=task.kind, **origin)


def _trained(task: Task, embedding: str, clips: pd.DataFrame, params: Params,
             progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A fine-tuned network is trained again: it has no vectors, and a key of its own kind, which is not made here."""
    from nslib.train import finetune_results, models
    from nslib.train.finetune import finetune
    from nslib.train.finetune_settings import FinetuneSettings

    settings = FinetuneSettings(seed=params.seed)
    if finetune_results.name(settings) != embedding:
        raise BadParameter(f"{embedding} was trained with settings that only its name tells. Train it again with: "
                           f"python -m nslib train finetune {task.name} NAME=VALUE")
    found, notes = finetune_results.material(clips, progress=progress)
    done = finetune(found, settings, metric=task.metric, progress=progress)
    grid = finetune_results.scored(done, found, settings, task.metric, done.seconds, notes)
    return results.complete(grid, key="", task=task.name, corpus_kind=task.kind, embedding=embedding,
                            data_hash=splits.data_hash(clips), split_hash=splits.split_hash(clips),
                            weights_hash=models.FILES[settings.network].sha256)


@contextlib.contextmanager
def fresh_store(entrant: Entrant, fresh: bool) -> Iterator[Store | None]:
    """A temporary store, or None for the one in the cache.

    Parameters
    ----------
    entrant : Entrant
    fresh : bool

    Yields
    ------
    Store or None
    """
    if not fresh:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nslib-fresh-") as folder:
        yield Store(entrant.load(), Path(folder))


def _nearest(kept: pd.DataFrame, now: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of several kept results the one with most hashes in common, then the newest."""
    if kept.empty:
        return None
    shared = sum((kept[name] == now[name]).astype(int) for name in _RESULT)
    return kept.assign(_shared=shared).sort_values(["_shared", "when"], kind="stable").iloc[-1].to_dict()


def _differing(before: pd.DataFrame, now: pd.DataFrame) -> int | None:
    both = before[["clip_id", "y_pred"]].merge(now[["clip_id", "y_pred"]], on="clip_id")
    return int((both["y_pred_x"] != both["y_pred_y"]).sum()) if len(both) == len(now) == len(before) else None


def _called(name: str) -> str:
    return {"value": "score", "l2": "L2"}.get(name, name.replace("_", " "))


def shown(value: Any) -> str:
    """A share as the report shows it: percent with one decimal."""
    return f"{100 * float(value):.1f}"
