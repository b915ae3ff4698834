"""The two verbs of the kit: `benchmark` an embedding on tasks, and `embed` recordings.

Everything else is reached from here in one direction: tasks -> clips -> vectors -> probes ->
results. Vectors and results that exist already are used again, so both verbs can be called
freely from notebooks, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import cluster as machines
from nslib import corpora, embeddings, forecast, probing, results
from nslib import params as parameters
from nslib import tasks as task_registry
from nslib.corpora import layouts
from nslib.embeddings.base import Embedding
from nslib.entrants import Embeddable, Entrant, enter, several
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.findings import Found, Results
from nslib.params import Params
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

# A smoke run checks the path with what is quick to load; its numbers mean nothing.
SMOKE_EMBEDDINGS = ("logmel", "mfcc", "trill-mini-top", "speech-embedding")
SMOKE_PROBES = forecast.SMOKE_PROBES


def benchmark(
    embeddings: Embeddable | Iterable[Embeddable] | None = None,
    tasks: str | Path | Task | Iterable[str | Path | Task] | None = None,
    *,
    params: Params | None = None,
    name: str | None = None,
    splits: str | Path | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> Results:
    """Measure embeddings on tasks: the same probes, splits and intervals for all of them.

    Parameters
    ----------
    embeddings : str, path, Embedding, callable, or iterable of these, optional
        Built-in names, files of a model (a SavedModel's folder, ``.tflite``, ``.onnx``), records, or
        functions ``float32 [clips, samples] -> [clips, dim]`` or ``[clips, frames, dim]``. Default:
        those of `params`, else all of the profile that need no extra licence.
    tasks : str, path, Task, or iterable of these, optional
        Task names, or recordings of your own: a folder (label = subfolder), a CSV, TSV or Parquet list, a Kaldi data
        directory, a folder with ``metadata.csv``, or ``tfds:NAME``. Default: those of `params`, else all of the
        profile.
    params : Params, optional
        Default: from the environment.
    name : str, optional
        How to call a callable in tables.
    splits : path, optional
        A file of splits for recordings of your own; see `nslib.corpora.split_file`.
    progress : bool
        Progress bars on stderr.
    cluster : str, distributed.Client or cluster object of dask, optional
        Where the work is done: address of a dask scheduler, or ``local:N`` for N worker processes on this
        machine; see `nslib.cluster.connect`. Default: in this process.

    Returns
    -------
    Results

    Raises
    ------
    UnknownName
        For an unknown task or embedding; nothing has been computed then.
    Unavailable
        If no scheduler answers at `cluster`, or it has no workers.

    Examples
    --------
    >>> import nslib
    >>> nslib.benchmark("logmel", tasks="speaker-fillets").table()    # doctest: +SKIP
    """
    params = params or parameters.load()
    entrants = [enter(e, name) for e in several(embeddings, params.embeddings or defaults(params))]
    found = Found()
    ready = load_tasks(tasks, params, entrants, found, progress, splits)
    there = usable(entrants, ready, found)
    if progress:
        forecast.announce(ready, there, params)
    with machines.connect(cluster) as engine:
        for entrant in there:
            for task, corpus in ready:
                try:
                    _one(task, corpus, entrant, params, found, engine, progress)
                except NslibError as error:
                    found.refuse(task.name, entrant.name, error)
    return found.results()


def embed(source: str | Path, embedding: Embeddable = "logmel", *, progress: bool = True,
          cluster: Any = None) -> pd.DataFrame:
    """Embed recordings: one vector a clip.

    Parameters
    ----------
    source : path
        Recordings in any layout that `benchmark` takes.
    embedding : str, Embedding or callable
        As in `benchmark`.
    progress : bool
        Progress bars on stderr.
    cluster : str, distributed.Client or cluster object of dask, optional
        As in `benchmark`.

    Returns
    -------
    DataFrame
        Columns of the clip table and ``vector`` (float32 [dim]). ``attrs["problems"]`` is a list of
        dicts, one for each file that was left out: clip_id, audio, reason, remedy.

    Examples
    --------
    >>> nslib.embed("my_recordings/", embedding="logmel")    # doctest: +SKIP
    """
    import pandas as pd

    corpus = corpora.read(source, progress=progress)
    entrant = enter(embedding, None)
    with machines.connect(cluster) as engine:
        out = entrant.vectors(corpus.clips, progress=progress, run=engine.run(entrant.recipe))
    table = out.clips.assign(vector=list(out.vectors))
    problems = pd.concat([corpus.problems, out.problems], ignore_index=True)
    table.attrs["problems"] = problems.to_dict("records")
    return table


def defaults(params: Params) -> tuple[str, ...]:
    """Embeddings of a run that names none: all of its profile whose licence allows any use.

    Parameters
    ----------
    params : Params

    Returns
    -------
    tuple of str
        Fewer in a smoke run of the quick profile.
    """
    free = tuple(name for name in embeddings.names(params.profile) if not embeddings.needs_extra(name))
    if params.smoke and params.profile == "quick":
        return tuple(n for n in free if n in SMOKE_EMBEDDINGS)
    return free


def as_embedding(given: Embeddable, name: str | None = None) -> Embedding:
    """Make an embedding of a built-in name, a record or a callable.

    Parameters
    ----------
    given : str, Embedding or callable
    name : str, optional
        For a callable.

    Returns
    -------
    Embedding

    Raises
    ------
    UnknownName, Unavailable
        See `nslib.embeddings.get`.
    """
    return enter(given, name).load()


def usable(entrants: list[Entrant], ready: list[tuple[Task, Corpus]], found: Found) -> list[Entrant]:
    """Find the embeddings that can be had; this is where published models are fetched.

    Parameters
    ----------
    entrants : list of Entrant
    ready : list of (Task, Corpus)
        If there is none, nothing is fetched.
    found : Found
        Is told of the others, task by task, with the reason.

    Returns
    -------
    list of Entrant
    """
    there = []
    for entrant in entrants if ready else ():
        try:
            entrant.identify()
            there.append(entrant)
        except NslibError as error:
            for task, _ in ready:
                found.refuse(task.name, entrant.name, error)
    return there


def load_tasks(given: Any, params: Params, entrants: list[Entrant], found: Found,
               progress: bool, splits: str | Path | None = None) -> list[tuple[Task, Corpus]]:
    """Have the clips of tasks, and make tasks of somebody's own recordings.

    Parameters
    ----------
    given : str, path, Task, iterable of these, or None
        As for `benchmark`.
    params : Params
    entrants : list of Entrant
        For the reasons of what cannot be run.
    found : Found
        Is told of clips, notes, and of tasks that cannot be had.
    progress : bool
    splits : path, optional
        A file of splits, of the one set of recordings that is given.

    Returns
    -------
    list of (Task, Corpus)

    Raises
    ------
    UnknownName
        For text that is neither a task nor a file or folder.
    BadParameter
        If there are splits for anything but one set of own recordings.
    """
    ready: list[tuple[Task, Corpus]] = []
    named = [t for t in several(given, ()) if isinstance(t, str) and t in task_registry.REGISTRY]
    own = [t for t in several(given, ()) if not (isinstance(t, str) and t in task_registry.REGISTRY)]
    if splits is not None and (named or len(own) != 1 or isinstance(own[0], Task)):
        raise BadParameter(f"a file of splits belongs to one set of recordings of your own; got {given!r}. The tasks "
                           "of the kit have their own splits.")
    if named or not own:
        plan = corpora.resolve(dataclasses.replace(params, tasks=tuple(named) or params.tasks), progress=progress)
        found.notes += plan.notes
        for name, error in plan.not_run:
            for entrant in entrants:
                found.refuse(name, entrant.name, error)
        own = [*plan.tasks, *own]
    for item in own:
        _load(item, params, entrants, found, ready, progress, splits)
    return ready


def _load(item: Any, params: Params, entrants: list[Entrant], found: Found,
          ready: list[tuple[Task, Corpus]], progress: bool, splits: str | Path | None) -> None:
    try:
        if isinstance(item, Task):
            task, corpus = item, corpora.load_clips(item, params, progress=progress)
        else:
            if not layouts.exists(item):
                raise UnknownName("task (and no such file or folder)", item, task_registry.REGISTRY)
            task, corpus = corpora.own_task(item, seed=params.seed, splits=splits, progress=progress)
    except Unavailable as error:
        for entrant in entrants:
            found.refuse(str(getattr(item, "name", item)), entrant.name, error)
        return
    found.corpus(task, corpus)
    ready.append((task, corpus))


def _one(task: Task, corpus: Corpus, entrant: Entrant, params: Params, found: Found, engine: machines.Engine,
         progress: bool) -> None:
    settings, clips = forecast.settings(task, params), corpus.clips
    origin = forecast.origin(task, entrant, clips)
    if (known := results.find(results.key(**origin, settings=settings))) is None:
        out = entrant.vectors(clips, progress=progress, run=engine.run(entrant.recipe))
        found.lose(task.name, entrant.name, out.problems)
        clips, origin = out.clips, forecast.origin(task, entrant, out.clips)
        key = results.key(**origin, settings=settings)
        if (known := results.find(key)) is None:
            grid = probing.grid(task.name, entrant.name, out, settings, progress, engine.mapper)
            known = results.complete(grid, key=key, corpus_kind=task.kind, **origin)
            results.save(*known)
    found.keep(entrant.name, entrant.fingerprint, *known)
