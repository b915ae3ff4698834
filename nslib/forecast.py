"""What a benchmark has before it: what identifies a result, and what the results that are missing will take."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nslib import estimates, probe, results, splits
from nslib.entrants import Entrant
from nslib.errors import NslibError
from nslib.params import Params
from nslib.store import Store
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from nslib.corpora import Corpus

SMOKE_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")
"""A smoke run's probes: the quick ones."""


def announce(ready: list[tuple[Task, Corpus]], entrants: list[Entrant], params: Params) -> None:
    """Say on stderr what a long run will take. What is short is not worth a trial of every embedding.

    Parameters
    ----------
    ready : list of (Task, Corpus)
    entrants : list of Entrant
    params : Params
    """
    audio = sum(float(corpus.clips["seconds"].sum()) for _, corpus in ready)
    if params.smoke or audio < estimates.LONG_SECONDS:
        return
    estimate = estimates.Estimate([w for e in entrants for t, c in ready if (w := _work(t, c, e, params))])
    if estimate.seconds > estimates.LONG_SECONDS:
        print(f"nslib: {estimate.text()}", file=sys.stderr, flush=True)


def settings(task: Task, params: Params) -> dict[str, Any]:
    """Settings of the probes on a task.

    Parameters
    ----------
    task : Task
    params : Params

    Returns
    -------
    dict
        Arguments of `nslib.probe.grid` that change its answer.
    """
    return {"probes": SMOKE_PROBES if params.smoke else probe.PROBES, "metric": task.metric,
            "speaker_norm": not task.speaker_is_label, "seed": params.seed}


def origin(task: Task, entrant: Entrant, clips: pd.DataFrame) -> dict[str, str]:
    """What a result is of.

    Parameters
    ----------
    task : Task
    entrant : Entrant
    clips : DataFrame
        That have a vector, with their splits.

    Returns
    -------
    dict
        Arguments of `nslib.results.key`, beside the settings.
    """
    return {"task": task.name, "embedding": entrant.name, "data_hash": splits.data_hash(clips),
            "split_hash": splits.split_hash(clips), "weights_hash": entrant.fingerprint}


def _work(task: Task, corpus: Corpus, entrant: Entrant, params: Params) -> estimates.Work | None:
    """What is left to do; nothing if the result is there, or the embedding cannot be loaded."""
    clips, chosen = corpus.clips, settings(task, params)
    if results.find(results.key(**origin(task, entrant, clips), settings=chosen)) is not None:
        return None
    if entrant.given:
        return None  # its vectors are there
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
