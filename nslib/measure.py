"""The two verbs of the kit: `benchmark` an embedding on tasks, and `embed` recordings.

Everything else is reached from here in one direction: tasks -> clips -> vectors -> probes ->
results. Vectors and results that exist already are used again, so both verbs can be called
freely from notebooks, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import corpora, embeddings, estimates, extract, probe, probing, results, splits
from nslib import params as parameters
from nslib import tasks as task_registry
from nslib.embeddings.base import Embedding
from nslib.entrants import Embeddable, Entrant, enter, several
from nslib.errors import NslibError, Unavailable, UnknownName
from nslib.findings import Found, Results
from nslib.params import Params
from nslib.store import Store
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

# A smoke run checks the path with what is quick to load; its numbers mean nothing.
SMOKE_EMBEDDINGS = ("logmel", "mfcc", "trill-mini-top", "speech-embedding")
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
    embeddings : str, path, Embedding, callable, or iterable of these, optional
        Built-in names, files of a model (a SavedModel's folder, ``.tflite``, ``.onnx``), records, or
        functions ``float32 [clips, samples] -> [clips, dim]`` or ``[clips, frames, dim]``. Default:
        those of `params`, else all of the profile that need no extra licence.
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
    entrants = [enter(e, name) for e in several(embeddings, params.embeddings or defaults(params))]
    found = Found()
    ready = load_tasks(tasks, params, entrants, found, progress)
    there = usable(entrants, ready, found)
    if progress:
        _announce(ready, there, params)
    for entrant in there:
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
    out = extract.vectors(corpus.clips, enter(embedding, None).load(), progress=progress)
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


def _announce(ready: list[tuple[Task, Corpus]], entrants: list[Entrant], params: Params) -> None:
    """Say what a long run will take. What is short is not worth a trial of every embedding."""
    audio = sum(float(corpus.clips["seconds"].sum()) for _, corpus in ready)
    if params.smoke or audio < estimates.LONG_SECONDS:
        return
    estimate = estimates.Estimate([w for e in entrants for t, c in ready if (w := _work(t, c, e, params))])
    if estimate.seconds > estimates.LONG_SECONDS:
        print(f"nslib: {estimate.text()}", file=sys.stderr, flush=True)


def _work(task: Task, corpus: Corpus, entrant: Entrant, params: Params) -> estimates.Work | None:
    """What is left to do; nothing if the result is there, or the embedding cannot be loaded."""
    clips, settings = corpus.clips, _settings(task, params)
    if results.find(results.key(**_origin(task, entrant, clips), settings=settings)) is not None:
        return None
    try:
        embedding = entrant.load()
        speed = estimates.times_real_time(entrant.fingerprint, entrant.load)
    except NslibError:
        return None  # it is refused, with its reason, when its turn comes
    first = clips.drop_duplicates("sha256")
    new = first[first["sha256"].isin(Store(embedding).missing(first["sha256"]))]
    train = clips[clips["split"] == "train"]
    audio, norms = float(new["seconds"].sum()), 2 if task.speaker_is_label else 4
    classes = train["label"].nunique()
    probing = estimates.probes_seconds(len(train), embedding.dim, classes, norms)
    return estimates.Work(task.name, entrant.name, len(clips), len(train), len(new), audio, embedding.dim, classes,
                          norms, audio / speed, probing)


def load_tasks(given: Any, params: Params, entrants: list[Entrant], found: Found,
               progress: bool) -> list[tuple[Task, Corpus]]:
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

    Returns
    -------
    list of (Task, Corpus)

    Raises
    ------
    UnknownName
        For text that is neither a task nor a file or folder.
    """
    ready: list[tuple[Task, Corpus]] = []
    named = [t for t in several(given, ()) if isinstance(t, str) and t in task_registry.REGISTRY]
    own = [t for t in several(given, ()) if not (isinstance(t, str) and t in task_registry.REGISTRY)]
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


def _load(item: Any, params: Params, entrants: list[Entrant], found: Found,
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


def _one(task: Task, corpus: Corpus, entrant: Entrant, params: Params, found: Found, progress: bool) -> None:
    settings, clips = _settings(task, params), corpus.clips
    origin = _origin(task, entrant, clips)
    if (known := results.find(results.key(**origin, settings=settings))) is None:
        out = extract.vectors(clips, entrant.load(), progress=progress)
        found.lose(task.name, entrant.name, out.problems)
        clips, origin = out.clips, _origin(task, entrant, out.clips)
        key = results.key(**origin, settings=settings)
        if (known := results.find(key)) is None:
            grid = probing.grid(task.name, entrant.name, out, settings, progress)
            known = results.complete(grid, key=key, corpus_kind=task.kind, **origin)
            results.save(*known)
    found.keep(entrant.name, entrant.fingerprint, *known)


def _settings(task: Task, params: Params) -> dict[str, Any]:
    return {"probes": SMOKE_PROBES if params.smoke else probe.PROBES, "metric": task.metric,
            "speaker_norm": not task.speaker_is_label, "seed": params.seed}


def _origin(task: Task, entrant: Entrant, clips: pd.DataFrame) -> dict[str, str]:
    return {"task": task.name, "embedding": entrant.name, "data_hash": splits.data_hash(clips),
            "split_hash": splits.split_hash(clips), "weights_hash": entrant.fingerprint}
