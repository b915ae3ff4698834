"""Work units as an Apache Beam pipeline, for those who have a Beam runner: an extra, ``nslib[beam]``.

>>> from nslib.cluster import beam, recipes
>>> runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
>>> beam.run(clips, recipes.BuiltIn("logmel"), runner=runner)                          # doctest: +SKIP

Conventions
-----------
The store's folder must be one that all workers of the runner see: shards are written there, under the names
that a local run gives them. Beam's local runners do not try a failed unit again and do not survive a killed
worker (dask does both: `nslib.cluster.connect`); a run that ended so goes on where it was when it is started
again. `nslib.cluster.transform` has the transform alone, for pipelines of your own.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import extract
from nslib.cluster import messages, work
from nslib.cluster.recipes import Recipe
from nslib.embeddings.base import Embedding
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable
from nslib.extract.units import Item
from nslib.ledger import Cost
from nslib.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from nslib.extract import Extraction, Run

_DEFAULT = ("", "direct", "switchingdirect")
_WHY = ("Beam's default, the DirectRunner, first tries to download a program (Prism) and run it. Name the runner: for "
        "a trial on this machine apache_beam.runners.portability.fn_api_runner.FnApiRunner, else the one of your "
        "cluster, such as FlinkRunner or DataflowRunner.")


def run(clips: pd.DataFrame, recipe: Recipe, *, runner: Any, options: Any = None, store: Store | None = None,
        progress: bool = True) -> Extraction:
    """One vector a clip, as `nslib.extract.vectors`, computed by a Beam runner.

    Parameters
    ----------
    clips : DataFrame
        Clip table.
    recipe : Recipe
        How the embedding is loaded, here and on the workers.
    runner : str or PipelineRunner
        Name as Beam knows it, full name of a class, or an instance. There is no default.
    options : PipelineOptions, optional
        Of the pipeline.
    store : Store, optional
        Where vectors are kept (default: the one in the cache).
    progress : bool
        Say on stderr what is begun.

    Returns
    -------
    Extraction

    Raises
    ------
    BadParameter
        If no runner is named, or Beam's default is.
    Unavailable
        If apache-beam is not installed.
    NslibError
        If the pipeline fails.
    """
    engine = on(recipe, runner, options)
    return extract.vectors(clips, recipe.load(), store=store, progress=progress, run=engine)


def on(recipe: Recipe, runner: Any, options: Any = None) -> Run:
    """Make an engine for `nslib.extract.vectors` of a runner.

    Parameters
    ----------
    recipe, runner, options
        As for `run`.

    Returns
    -------
    callable

    Raises
    ------
    BadParameter, Unavailable
        As `run`.
    """
    _check(runner)

    def engine(units: Sequence[list[Item]], embedding: Embedding, store: Store, cost: Cost,
               progress: bool) -> dict[str, BadAudio]:
        if not units:
            return {}
        order_id = secrets.token_hex(8)
        folder = store.path / f".beam-{order_id}"
        folder.mkdir()
        (folder / "token").touch()
        order = messages.Order(order_id, recipe, embedding.fingerprint, str(store.path), True,
                               f"{folder.name}/token", "")
        try:
            _pipeline(units, order, folder, runner, options, progress)
            return _told(folder, cost)
        finally:
            work.forget(order_id)  # a local runner works in this process
            shutil.rmtree(folder, ignore_errors=True)
            store.refresh()

    return engine


def _check(runner: Any) -> None:
    name = runner if isinstance(runner, str) else "" if runner is None else type(runner).__name__
    if name.rsplit(".", 1)[-1].lower().removesuffix("runner") in _DEFAULT:
        raise BadParameter(f"runner is {runner!r}. {_WHY}")
    if importlib.util.find_spec("apache_beam") is None:
        raise Unavailable("the Beam transform", "the package apache-beam is not installed",
                          "pip install 'nslib[beam]'")


def _pipeline(units: Sequence[list[Item]], order: messages.Order, folder: Path, runner: Any, options: Any,
              progress: bool) -> None:
    import apache_beam
    from apache_beam.io import WriteToText
    from tqdm.std import tqdm

    from nslib.cluster.transform import Embed

    try:
        chosen = apache_beam.runners.runner.create_runner(runner) if isinstance(runner, str) else runner
    except (ValueError, ImportError, AttributeError) as error:
        raise BadParameter(f"runner is {runner!r}: {error}. {_WHY}") from error
    pipeline = apache_beam.Pipeline(runner=chosen, options=options)
    told = pipeline | apache_beam.Create(list(units), reshuffle=True) | Embed(order)
    told.costs | "write costs" >> WriteToText(str(folder / "costs"))
    told.problems | "write problems" >> WriteToText(str(folder / "problems"))
    with tqdm(desc=f"embed by {type(chosen).__name__}", total=len(units), unit="unit", disable=not progress) as bar:
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:  # a runner fails with whatever a worker failed with
            raise NslibError(f"the Beam pipeline failed: {_words(error)}") from error
        bar.update(len(units))


def _words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line or "Exception" in line), repr(error))


def _told(folder: Path, cost: Cost) -> dict[str, BadAudio]:
    problems = {}
    for line in _lines(folder, "costs"):
        cost.add(Cost(**line))
    for key, *parts in _lines(folder, "problems"):
        problems[key] = BadAudio(*parts)
    return problems


def _lines(folder: Path, what: str) -> list[Any]:
    return [json.loads(line) for path in sorted(folder.glob(f"{what}-*")) for line in path.read_text().splitlines()]
