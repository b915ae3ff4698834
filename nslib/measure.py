"""The two verbs of the kit: `benchmark` an embedding on tasks, and `embed` recordings.

Everything else is reached from here in one direction: tasks -> clips -> vectors -> probes ->
results. Vectors and results that exist already are used again, so both verbs can be called
freely from notebooks, and a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import corpora, embeddings, extract, probe, results, splits
from nslib import params as parameters
from nslib import tasks as task_registry
from nslib.corpora import folder
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.params import Params
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

Embeddable = str | Embedding | Callable[..., Any]

# A smoke run checks the path with what is quick to load; its numbers mean nothing.
SMOKE_EMBEDDINGS = ("logmel", "mfcc", "untrained", "speech-embedding")
SMOKE_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")


@dataclass
class Results:
    """What a benchmark gives.

    Attributes
    ----------
    rows : DataFrame
        One row a score (see `nslib.results` for the columns); `nslib.results.selected(rows)` keeps
        the one chosen on validation for each task and embedding.
    predictions : DataFrame
        Test predictions of the chosen probes, one row a clip.
    not_run : DataFrame
        Columns task, embedding, why, remedy.
    problems : DataFrame
        Clips that were left out: task, embedding, clip_id, audio, reason, remedy.
    ledger : DataFrame
        Cost of extraction on this machine, one row an embedding (see `nslib.extract.cost`).
    notes : list of str
        Sentences that a reader of the numbers must know.
    clips : DataFrame
        Clip tables of all tasks, one below the other, with the columns task and corpus_kind.
    """

    rows: pd.DataFrame
    predictions: pd.DataFrame
    not_run: pd.DataFrame
    problems: pd.DataFrame
    ledger: pd.DataFrame
    notes: list[str]
    clips: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Test score with interval, tasks by embeddings, as `nslib.results.table` prints it."""
        return results.table(self.rows)


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
    found = _Found()
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

    corpus = folder.read(source, progress=progress)
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


def _tasks(given: Any, params: Params, entrants: list[_Entrant], found: _Found,
           progress: bool) -> list[tuple[Task, Corpus]]:
    ready: list[tuple[Task, Corpus]] = []
    named = [t for t in _several(given, ()) if isinstance(t, str) and t in task_registry.REGISTRY]
    own = [t for t in _several(given, ()) if not (isinstance(t, str) and t in task_registry.REGISTRY)]
    if named or not own:
        plan = corpora.resolve(dataclasses.replace(params, tasks=tuple(named) or params.tasks), progress=progress)
        found.notes += plan.notes
        for name, error in plan.not_run:
            found.refuse_all(name, entrants, error)
        own = [*plan.tasks, *own]
    for item in own:
        _load(item, params, entrants, found, ready, progress)
    return ready


def _load(item: Any, params: Params, entrants: list[_Entrant], found: _Found,
          ready: list[tuple[Task, Corpus]], progress: bool) -> None:
    try:
        if isinstance(item, Task):
            task, corpus = item, corpora.load_clips(item, params, progress=progress)
        else:
            if not Path(item).exists():
                raise UnknownName("task (and no such file or folder)", item, task_registry.REGISTRY)
            corpus = folder.read(item, seed=params.seed, progress=progress)
            task = task_registry.own(Path(item), corpus.clips)
    except Unavailable as error:
        found.refuse_all(str(getattr(item, "name", item)), entrants, error)
        return
    found.corpus(task, corpus)
    ready.append((task, corpus))


def _one(task: Task, corpus: Corpus, entrant: _Entrant, params: Params, found: _Found, progress: bool) -> None:
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
    found.keep(entrant, *known)


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


@dataclass
class _Found:
    """What has come together so far."""

    notes: list[str] = field(default_factory=list)
    _rows: list[pd.DataFrame] = field(default_factory=list)
    _predictions: list[pd.DataFrame] = field(default_factory=list)
    _not_run: list[dict[str, str]] = field(default_factory=list)
    _problems: list[pd.DataFrame] = field(default_factory=list)
    _clips: list[pd.DataFrame] = field(default_factory=list)
    _costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def refuse(self, task: str, embedding: str, error: NslibError) -> None:
        why, remedy = getattr(error, "why", str(error)), getattr(error, "remedy", "")
        self._not_run.append({"task": task, "embedding": embedding, "why": why, "remedy": remedy})

    def refuse_all(self, task: str, entrants: list[_Entrant], error: NslibError) -> None:
        for entrant in entrants:
            self.refuse(task, entrant.name, error)

    def corpus(self, task: Task, corpus: Corpus) -> None:
        self.notes += [f"{task.name}: {note}" for note in (*corpus.notes, task.caution) if note]
        self._clips.append(corpus.clips.assign(task=task.name, corpus_kind=task.kind))
        self.lose(task.name, "", corpus.problems)

    def lose(self, task: str, embedding: str, problems: pd.DataFrame) -> None:
        if len(problems):
            self._problems.append(problems.assign(task=task, embedding=embedding))

    def keep(self, entrant: _Entrant, rows: pd.DataFrame, predictions: pd.DataFrame) -> None:
        self.notes += [f"{rows['task'].iloc[0]}: {note}" for note in rows["notes"].iloc[0].splitlines()]
        self._rows.append(rows)
        self._predictions.append(predictions)
        self._costs[entrant.name] = {"embedding": entrant.name, **extract.cost(entrant.fingerprint)}

    def results(self) -> Results:
        import pandas as pd

        problems = ["task", "embedding", *extract.PROBLEM_COLUMNS]
        return Results(
            rows=results.join(self._rows, results.ROWS),
            predictions=results.join(self._predictions, results.PREDICTIONS),
            not_run=pd.DataFrame(self._not_run, columns=["task", "embedding", "why", "remedy"]),
            problems=pd.concat([pd.DataFrame(columns=problems), *self._problems], ignore_index=True)[problems],
            ledger=pd.DataFrame(list(self._costs.values())),
            notes=list(dict.fromkeys(self.notes)),
            clips=pd.concat(self._clips, ignore_index=True) if self._clips else pd.DataFrame(),
        )
