"""A cell of the result table: where its number comes from, and the command that makes just that one again.

Conventions
-----------
A *cell* is a task and an embedding, written ``task/embedding``. A row is one of `nslib.schema.ROWS`, as a mapping:
a dict, a pandas Series, or anything else that is asked by column.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nslib.claimed import FINE_TUNED
from nslib.params import Params
from nslib.tasks import REGISTRY

BY_PROBES = "05_benchmark"
BY_FINE_TUNING = "07_finetune"
_SPEECH = {"real": "recorded speech", "synthetic": "computer voices"}
_HASHES = (("Weights", "weights_hash"), ("Lock file", "lock_hash"), ("Code", "code_revision"))
_TRAINED = ("finetuned-", "frozen-")
_KEY = 12


def name(row: Mapping[str, Any]) -> str:
    """Name of a row's cell.

    Parameters
    ----------
    row : mapping
        With ``task`` and ``embedding``.

    Returns
    -------
    str
        ``task/embedding``.
    """
    return f"{row['task']}/{row['embedding']}"


def facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say where a number comes from.

    Parameters
    ----------
    row : mapping
        A row of `nslib.schema.ROWS`.

    Returns
    -------
    list of (str, str)
        What, and its value in words: the data, split, weights, lock file and code by their hashes, the seed, when, the
        notebook that shows it, the probe, normalisation, metric, size of the test set, and the interval and how it
        was made.
    """
    return [
        ("Cell", name(row)), ("Result key", str(row["key"])[:_KEY]),
        ("Data", f"{row['data_hash']} ({_SPEECH.get(str(row['corpus_kind']), str(row['corpus_kind']))})"),
        ("Split", f"{row['split_hash']} ({_division(str(row['task']))})"),
        *((what, str(row[column])) for what, column in _HASHES),
        ("Seed", str(row["seed"])), ("When", str(row["when"]).replace("T", " ").replace("+00:00", " UTC")),
        ("Notebook", notebook(row)), ("Probe", str(row["probe"])), ("Normalisation", normalisation(row)),
        ("Metric", str(row["metric"]).replace("_", " ")),
        ("Test set", f"{row['n']} clips, {row['n_speakers']} speakers, {row['classes']} classes"),
        ("Interval", interval(row)),
    ]


def command(row: Mapping[str, Any], params: Params | None = None) -> str:
    """Write the shell command that makes just this cell again.

    Parameters
    ----------
    row : mapping
        A row of `nslib.schema.ROWS`.
    params : Params, optional
        Of the run that made it: a row cannot tell whether it is of a smoke run.

    Returns
    -------
    str
        For a task of the kit, ``python -m nslib reproduce TASK/EMBEDDING`` with the profile, the seed and ``--smoke``
        where they are not the usual ones. (A task that is named needs no ``--corpus``.) For recordings of the user's
        own, or an embedding that the kit does not know by name, the command that measures them, with ``FOLDER`` and
        ``FILE`` for what only the user knows.
    """
    task, embedding = str(row["task"]), str(row["embedding"])
    if task not in REGISTRY:
        words = ["benchmark", shlex.quote(embedding) if built_in(embedding) else "FILE", "--dataset", "FOLDER"]
    elif not built_in(embedding) and not fine_tuned(row):
        words = ["benchmark", "FILE", "--tasks", shlex.quote(task)]
    else:
        words = ["reproduce", shlex.quote(name(row))]
    return " ".join(["python -m nslib", *words, *_options(row, params)])


def _options(row: Mapping[str, Any], params: Params | None) -> list[str]:
    task = REGISTRY.get(str(row["task"]))
    said = ["--profile paper"] if task is not None and task.profile == "paper" else []
    said += [f"--seed {row['seed']}"] if int(row["seed"]) else []
    return said + (["--smoke"] if params is not None and params.smoke else [])


def normalisation(row: Mapping[str, Any]) -> str:
    """Say how vectors were normalised before the probe.

    Parameters
    ----------
    row : mapping
        With ``l2`` and ``speaker_norm``.

    Returns
    -------
    str
    """
    parts = [word for word, on in (("L2", row["l2"]), ("z-score by speaker", row["speaker_norm"])) if on]
    return " and ".join(parts) or "none"


def interval(row: Mapping[str, Any]) -> str:
    """Say what the interval of a score is and how it was made.

    Parameters
    ----------
    row : mapping
        With ``low``, ``high``, ``level``, ``interval_by`` and ``seed``.

    Returns
    -------
    str
    """
    from nslib.bootstrap import RESAMPLES

    if not row["interval_by"]:
        return "none: there is no score"
    return (f"{100 * float(row['low']):.1f} to {100 * float(row['high']):.1f} ({100 * float(row['level']):.0f} %), "
            f"bootstrap over {row['interval_by']}s, {RESAMPLES} resamples, seed {row['seed']}")


def notebook(row: Mapping[str, Any]) -> str:
    """Name the notebook that shows how the cell is made.

    Parameters
    ----------
    row : mapping
        With ``probe``.

    Returns
    -------
    str
    """
    return BY_FINE_TUNING if fine_tuned(row) else BY_PROBES


def fine_tuned(row: Mapping[str, Any]) -> bool:
    """Whether the score is of a network that was trained for the task, and of no probe.

    Parameters
    ----------
    row : mapping
        With ``probe`` and ``embedding``.

    Returns
    -------
    bool
    """
    return str(row["probe"]).startswith(_TRAINED) or row["embedding"] == FINE_TUNED


def built_in(embedding: str) -> bool:
    """Whether the kit knows an embedding by this name.

    Parameters
    ----------
    embedding : str
        Such as ``logmel`` or ``trill-mini-top@litert``.

    Returns
    -------
    bool
    """
    from nslib import embeddings
    from nslib.errors import NslibError

    try:
        embeddings.needs_extra(embedding)
    except NslibError:
        return False
    return True


def _division(task: str) -> str:
    return REGISTRY[task].split if task in REGISTRY else "as given or drawn"
