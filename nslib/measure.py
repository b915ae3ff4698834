"""The two verbs of the kit: `benchmark` an embedding on tasks, and `embed` recordings.

Everything else is reached from here in one direction: tasks -> clips -> vectors -> probes ->
results. Vectors and results that exist already are used again, so both verbs can be called
freely from notebooks, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import corpora, embeddings, extract, probe, results, splits
from nslib import params as parameters
from nslib import tasks as task_registry
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.findings import Found, Results
from nslib.params import Params
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

Embeddable = str | Embedding | Callable[..., Any]

# A smoke run checks the path with what is quick to load; its numbers mean nothing.
SMOKE_EMBEDDINGS = ("logmel", "mfcc", "untrained", "speech-embedding")
SMOKE_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")


def benchmark(
    embeddings: Embeddable | Iterable[Embeddable] | None = None,
    tasks: str | Path | Task | Iterable[str | Path | Task] | None = None,
    *,
    params: Params | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Results:
    """Measure embeddings on tasks: the same probes, splits and intervals for all of them.

    Parameters
    ----------
    embeddings : str, Embedding, callable, or iterable of these, optional
        Built-in names, records, or functions ``float32 [clips, samples] -> [clips, dim]`` or
        ``[clips, frames, dim]``. Default: those of `params`, else all that need no extra licence.
    tasks : str, path, Task, or iterable of these, optional
        Task names, or a folder (label = subfolder) or CSV, TSV or Parquet manifest of your own.
        Default: those of `params`, else all of the profile.
    params : Params, optional
        Default: from the environment.
    name : str, optional
        How to call a callable in tables.
    progress : bool
        Progress bars on stderr.

    Returns
    -------
    Results

    Raises
    ------
    UnknownName
        For an unknown task or embedding; nothing has been computed then.

    Examples
    --------
    >>> import nslib
    >>> nslib.benchmark("logmel", tasks="speaker-fillets").table()    # doctest: +SKIP
    """
    params = params or parameters.load()
    entrants = [_entrant(e, name) for e in _several(embeddings, params.embeddings or defaults(params))]
    found = Found()
    ready = _tasks(tasks, params, entrants, found, progress)
    for entrant in entrants:
        for task, corpus in ready:
            try:
                _one(task, corpus, entrant, params, found, progress)
            except NslibError as error:
                found.refuse(task.name, entrant.name, error)
    return found.results()


def embed(source: str | Path, embedding: Embeddable = "logmel", *, progress: bool = True) -> pd.DataFrame:
    """Embed recordings: one vector a clip.

    Parameters
    ----------
    source : path
        A folder (searched below), or a CSV, TSV or Parquet list with a column ``audio``.
    embedding : str, Embedding or callable
        As in `benchmark`.
    progress : bool
        Progress bars on stderr.

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
    out = extract.vectors(corpus.clips, _entrant(embedding, None).load(), progress=progress)
    table = out.clips.assign(vector=list(out.vectors))
    problems = pd.concat([corpus.problems, out.problems], ignore_index=True)
    table.attrs["problems"] = problems.to_dict("records")
    return table


def defaults(params: Params) -> tuple[str, ...]:
    """Embeddings of a run that names none: all whose licence allows any use, fewer in a smoke run.

    Parameters
    ----------
    params : Params

    Returns
    -------
    tuple of str
    """
    free = tuple(name for name in embeddings.names() if not embeddings.needs_extra(name))
    return tuple(n for n in free if n in SMOKE_EMBEDDINGS) if params.smoke else free


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
    return _entrant(given, name).load()


@dataclass(frozen=True)
class _Entrant:
    """An embedding that is loaded only when a vector is really needed."""

    name: str
    fingerprint: str
    load: Callable[[], Embedding]


def _entrant(given: Embeddable, name: str | None) -> _Entrant:
    if isinstance(given, str):
        return _Entrant(given, embeddings.fingerprint(given), lambda: embeddings.get(given))
    called = name or str(getattr(given, "__name__", type(given).__name__))
    ready = given if isinstance(given, Embedding) else embeddings.from_callable(given, name=called)
    return _Entrant(ready.name, ready.fingerprint, lambda: ready)


def _several(given: Any, otherwise: Sequence[Any]) -> list[Any]:
    if given is None:
        return list(otherwise)
    if isinstance(given, str | Path | Task | Embedding) or callable(given):
        return [given]
    chosen = list(given)
    if not chosen:
        raise BadParameter("an empty list was given; leave it out to run all, or name at least one.")
    return chosen


def _tasks(given: Any, params: Params, entrants: list[_Entrant], found: Found,
           progress: bool) -> list[tuple[Task, Corpus]]:
    ready: list[tuple[Task, Corpus]] = []
    named = [t for t in _several(given, ()) if isinstance(t, str) and t in task_registry.REGISTRY]
    own = [t for t in _several(given, ()) if not (isinstance(t, str) and t in task_registry.REGISTRY)]
    if named or not own:
        plan = corpora.resolve(dataclasses.replace(params, tasks=tuple(named) or params.tasks), progress=progress)
        found.notes += plan.notes
        for name, error in plan.not_run:
            for entrant in entrants:
                found.refuse(name, entrant.name, error)
        own = [*plan.tasks, *own]
    for item in own:
        _load(item, params, entrants, found, ready, progress)
    return ready


def _load(item: Any, params: Params, entrants: list[_Entrant], found: Found,
          ready: list[tuple[Task, Corpus]], progress: bool) -> None:
    try:
        if isinstance(item, Task):
            task, corpus = item, corpora.load_clips(item, params, progress=progress)
        else:
            if not Path(item).exists():
                raise UnknownName("task (and no such file or folder)", item, task_registry.REGISTRY)
            task, corpus = corpora.own_task(item, seed=params.seed, progress=progress)
    except Unavailable as error:
        for entrant in entrants:
            found.refuse(str(getattr(item, "name", item)), entrant.name, error)
        return
    found.corpus(task, corpus)
    ready.append((task, corpus))


def _one(task: Task, corpus: Corpus, entrant: _Entrant, params: Params, found: Found, progress: bool) -> None:
    settings: dict[str, Any] = {"probes": SMOKE_PROBES if params.smoke else probe.PROBES, "metric": task.metric,
                                "speaker_norm": not task.speaker_is_label, "seed": params.seed}
    origin = _origin(task, entrant, corpus.clips)
    clips = corpus.clips
    if (known := results.find(results.key(**origin, settings=settings))) is None:
        out = extract.vectors(clips, entrant.load(), progress=progress)
        found.lose(task.name, entrant.name, out.problems)
        clips, origin = out.clips, _origin(task, entrant, out.clips)
        key = results.key(**origin, settings=settings)
        if (known := results.find(key)) is None:
            grid = _grid(task, entrant, out, settings, progress)
            known = results.complete(grid, key=key, corpus_kind=task.kind, **origin)
            results.save(*known)
    found.keep(entrant.name, entrant.fingerprint, *known)


def _origin(task: Task, entrant: _Entrant, clips: pd.DataFrame) -> dict[str, str]:
    return {"task": task.name, "embedding": entrant.name, "data_hash": splits.data_hash(clips),
            "split_hash": splits.split_hash(clips), "weights_hash": entrant.fingerprint}


def _grid(task: Task, entrant: _Entrant, out: extract.Extraction, settings: dict[str, Any],
          progress: bool) -> probe.Grid:
    from tqdm.std import tqdm

    parts = []
    for name in splits.SPLITS:
        rows = (out.clips["split"] == name).to_numpy(bool)
        part = out.clips[rows]
        parts.append(probe.Split(out.vectors[rows], *(part[c].to_numpy(str) for c in ("label", "speaker", "clip_id"))))
    with tqdm(desc=f"probes {task.name} x {entrant.name}", unit="fit", disable=not progress, leave=False) as bar:
        return probe.grid(*parts, **settings, progress=bar.update)
