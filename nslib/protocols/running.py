"""From names of embeddings and tasks to results of a protocol, computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nslib import measure, provenance, splits
from nslib import params as parameters
from nslib import tasks as registry
from nslib.entrants import Embeddable, Entrant, enter, several
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.findings import Found
from nslib.params import Params
from nslib.protocols import repeats, rows, switches, within
from nslib.protocols.found import ProtocolResults
from nslib.protocols.material import Computed, Material, material
from nslib.schema import PROTOCOL_ANSWERS, PROTOCOL_ROWS, conforming
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

AnyTask = str | Path | Task


class _Protocol(NamedTuple):
    compute: Callable[..., Computed]
    defaults: dict[str, Any]
    smoke: dict[str, Any]


PROTOCOLS = {module.NAME: _Protocol(module.compute, module.DEFAULTS, module.SMOKE)  # type: ignore[attr-defined]
             for module in (within, repeats, switches)}
"""Name to function, default settings, and those of a smoke run."""


def run(protocol: str, embeddings: Embeddable | Iterable[Embeddable] | None = None,
        tasks: AnyTask | Iterable[AnyTask] | None = None, params: Params | None = None, *, progress: bool = True,
        **settings: Any) -> ProtocolResults:
    """Run a protocol for embeddings on tasks; what exists already is not computed again.

    Parameters
    ----------
    protocol : {"within-speaker", "repeated", "switch"}
        See `within_speaker`, `repeated` and `switch`.
    embeddings : str, path, Embedding, callable, or iterable of these, optional
        As in `nslib.benchmark`.
    tasks : str, path, Task, or iterable of these, optional
        As in `nslib.benchmark`. Default: those tasks of `params` that are also asked within speakers.
    params : Params, optional
        Default: from the environment.
    progress : bool
        Progress bars on stderr.
    **settings
        Of the protocol, as in its own function. A smoke run draws two splits unless told otherwise.

    Returns
    -------
    ProtocolResults
        A pair that cannot be run is in ``not_run``, and the others go on.

    Raises
    ------
    UnknownName
        For an unknown protocol, setting, task or embedding; nothing has been computed then.
    """
    params = params or parameters.load()
    chosen = _settings(protocol, settings, params)
    entrants = [enter(e) for e in several(embeddings, params.embeddings or measure.defaults(params))]
    found, kept = Found(), []
    wanted = _wanted(tasks, params, found)
    ready = measure.load_tasks(wanted, params, entrants, found, progress) if wanted else []
    for entrant in measure.usable(entrants, ready, found):
        for task, corpus in ready:
            try:
                kept.append(_one(protocol, task, corpus.clips, entrant, chosen, found, progress))
            except NslibError as error:
                found.refuse(task.name, entrant.name, error)
    return _results(kept, found)


def within_speaker(embedding: Embeddable | Material, task: AnyTask | None = None, *, params: Params | None = None,
                   split_numbers: Sequence[int] = within.DEFAULTS["split_numbers"],
                   probes: Sequence[str] = within.FAST, shots: int = 0,
                   probabilities: Sequence[float] = within.DEFAULTS["probabilities"],
                   progress: bool = True) -> ProtocolResults:
    """Train, choose and test inside each speaker; accuracy averaged over speakers with equal weight.

    Parameters
    ----------
    embedding : str, path, Embedding, callable or Material
        What is measured; vectors that exist already come as a `Material`, which brings its task.
    task : str, path or Task
        On what.
    params : Params, optional
        Default: from the environment.
    split_numbers : sequence of int
        Seeds of the splits; the authors call 666 canonical.
    probes : sequence of str
        Names in `nslib.probe.PROBES`.
    shots : int
        Cap on the training clips of a label of a speaker; 0: all.
    probabilities : sequence of float
        Shares of train, validation and test of a speaker's clips.
    progress : bool
        Progress bars on stderr.

    Returns
    -------
    ProtocolResults

    Raises
    ------
    Unavailable
        If it cannot be run: the reason, and what to do.

    Examples
    --------
    >>> within_speaker("mfcc", "style-synthetic").table()    # doctest: +SKIP
    """
    return _alone(within.NAME, embedding, task, params, progress, split_numbers=split_numbers, probes=probes,
                  shots=shots, probabilities=probabilities)


def repeated(embedding: Embeddable | Material, task: AnyTask | None = None, *, params: Params | None = None,
             seeds: Sequence[int] = repeats.DEFAULTS["seeds"], probabilities: Sequence[float] | None = None,
             probes: Sequence[str] = repeats.FAST, progress: bool = True) -> ProtocolResults:
    """Divide the speakers again and again; mean, standard deviation and interval of the score.

    Parameters
    ----------
    embedding, task, params, probes, progress
        As for `within_speaker`.
    seeds : sequence of int
        One a split.
    probabilities : sequence of float, optional
        Shares of the speakers in train, validation and test. Default: as in the task's own split.

    Returns
    -------
    ProtocolResults

    Raises
    ------
    Unavailable
        If it cannot be run, as where the label is the speaker.
    """
    return _alone(repeats.NAME, embedding, task, params, progress, seeds=seeds, probabilities=probabilities,
                  probes=probes)


def switch(embedding: Embeddable | Material, task: AnyTask | None = None, *, params: Params | None = None,
           shots: int = 8, draws: int = 5, probes: Sequence[str] = switches.FAST,
           progress: bool = True) -> ProtocolResults:
    """Score the same vectors by four protocols: new speakers or random clips, all training clips or a few.

    Parameters
    ----------
    embedding, task, params, probes, progress
        As for `within_speaker`.
    shots : int
        Training clips of a class in the two few-shot protocols.
    draws : int
        How often clips are drawn.

    Returns
    -------
    ProtocolResults
        The protocols are defined in `nslib.protocols.switches`. Those by clip are no results.

    Raises
    ------
    Unavailable
        If it cannot be run, as where the task's own split shares speakers.
    """
    return _alone(switches.NAME, embedding, task, params, progress, shots=shots, draws=draws, probes=probes)


def _settings(protocol: str, given: dict[str, Any], params: Params) -> dict[str, Any]:
    if protocol not in PROTOCOLS:
        raise UnknownName("protocol", protocol, PROTOCOLS)
    defaults = PROTOCOLS[protocol].defaults
    for name in given:
        if name not in defaults:
            raise UnknownName(f"setting of {protocol}", name, defaults)
    usual = defaults | (PROTOCOLS[protocol].smoke if params.smoke else {})
    chosen = usual | given | {"seed": params.seed}
    return {name: value if isinstance(value, int) or value is None else tuple(value)
            for name, value in chosen.items()}


def _wanted(tasks: Any, params: Params, found: Found) -> list[Any]:
    if tasks is not None:
        return several(tasks, ())
    names = [name for name in registry.names(params) if registry.get(name).within_speaker]
    if not names:
        found.notes.append("None of the tasks of this run is asked within speakers.")
    return names


def _alone(protocol: str, embedding: Any, task: Any, params: Params | None, progress: bool,
           **settings: Any) -> ProtocolResults:
    if not isinstance(embedding, Material):
        if task is None:
            raise BadParameter("give a task: a name, a folder or list of recordings, or a Task.")
        results = run(protocol, embedding, task, params, progress=progress, **settings)
        for row in results.not_run.itertuples():
            raise Unavailable(f"{protocol} of {row.embedding} on {row.task}", str(row.why), str(row.remedy))
        return results
    if task is not None:
        raise BadParameter("a Material brings its own task; leave the task out.")
    chosen, found = _settings(protocol, settings, params or parameters.load()), Found()
    key = _key(protocol, embedding.task, embedding.embedding, embedding.clips, embedding.fingerprint, chosen,
               embedding.listed)
    kept = rows.find(key) or _computed(protocol, embedding, key, chosen, progress)
    _say(embedding.task, kept[0], found)
    return _results([kept], found)


def _one(protocol: str, task: Task, clips: pd.DataFrame, entrant: Entrant, settings: dict[str, Any], found: Found,
         progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    known = rows.find(_key(protocol, task, entrant.name, clips, entrant.fingerprint, settings))
    if known is None:
        out = entrant.vectors(clips, progress=progress)
        found.lose(task.name, entrant.name, out.problems)
        mine = material(task, out.clips, out.vectors, embedding=entrant.name, fingerprint=entrant.fingerprint,
                        listed=clips)
        key = _key(protocol, task, entrant.name, mine.clips, entrant.fingerprint, settings, mine.listed)
        known = rows.find(key) or _computed(protocol, mine, key, settings, progress)
    _say(task, known[0], found)
    return known


def _key(protocol: str, task: Task, embedding: str, clips: pd.DataFrame, fingerprint: str,
         settings: dict[str, Any], listed: tuple[tuple[str, str], ...] | None = None) -> str:
    return rows.key(protocol=protocol, task=task.name, embedding=embedding, clips=clips, weights_hash=fingerprint,
                    settings=settings, listed=listed)


def _say(task: Task, known: pd.DataFrame, found: Found) -> None:
    found.notes += [f"{task.name}: {note}" for note in known["notes"].iloc[0].splitlines()]


def _computed(protocol: str, mine: Material, key: str, settings: dict[str, Any],
              progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    from tqdm.std import tqdm

    task, names = mine.task, {"key": key, "task": mine.task.name, "embedding": mine.embedding}
    with tqdm(desc=f"{protocol} {task.name} x {mine.embedding}", unit="step", disable=not progress, leave=False) as bar:
        found = PROTOCOLS[protocol].compute(mine, **settings, progress=bar.update)
    origin = {"corpus_kind": task.kind, "data_hash": splits.data_hash(mine.clips),
              "split_hash": splits.split_hash(mine.clips), "weights_hash": mine.fingerprint,
              "notes": "\n".join(found.notes), **provenance.provenance()}
    kept = (conforming(found.rows.assign(**names, **origin), PROTOCOL_ROWS),
            conforming(found.answers.assign(**names), PROTOCOL_ANSWERS))
    rows.save(*kept)
    return kept


def _results(kept: list[tuple[pd.DataFrame, pd.DataFrame]], found: Found) -> ProtocolResults:
    rest = found.results()
    return ProtocolResults(*rows.join(kept), rest.not_run, rest.problems, rest.notes)
