"""What a row of published numbers may hold.

Conventions
-----------
One file a work, named by its key; one row a number:

=============  ==========================================================================================
column         meaning
=============  ==========================================================================================
paper          key of the work that reports the number
table, row     where it stands, as printed
embedding      the kit's name, if it is the same thing; else empty
dataset, task  the data set as printed; the kit's task if it asks the same of the same corpus, else empty
metric         a name in `METRICS`
value, unit    digits as printed (so 70.0 is given to a tenth); empty if unknown
status         a name in `STATUSES`
source         where it was read: the work itself (seen), another one (quoted-by), ``memory``, or nothing
selection      on what the best probe was chosen: validation, test or unknown; empty if it is no score
comparable     yes or no: whether a result of the kit may be held against it
why_not        the reason, if not
note           what must be known to read it
=============  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable

from nslib import tasks

COLUMNS = ("paper", "table", "row", "embedding", "dataset", "task", "metric", "value", "unit", "status", "source",
           "selection", "comparable", "why_not", "note")
SEEN, QUOTED, RECALLED, UNKNOWN = "seen", "quoted-by", "recalled-unverified", "unknown"
STATUSES = (SEEN, QUOTED, RECALLED, UNKNOWN)
VERIFIED = (SEEN, QUOTED)
MEMORY, NOSS = "memory", "noss"
SCORES = {"accuracy": "%", "within_speaker_accuracy": "%", "equal_error_rate": "%"}
METRICS = SCORES | {"classes": "", "samples": "", "mean_seconds": "s", "intra_speaker": "yes/no",
                    "parameters": "million", "multiplies": "million", "size": "MB", "latency": "ms"}
UNNAMED = "(row not named)"
"""Ends a row that a quoting work does not name."""
SELECTIONS = ("validation", "test", "unknown")
_DIGITS = {"": (r"\d+", "a whole number"), "yes/no": ("[01]", "1 for yes or 0 for no"),
           "%": (r"\d+(\.\d+)?", "percent: digits, maybe with a point, up to 100")}


def broken(cell: dict[str, str], stem: str, known: set[str]) -> list[str]:
    """Say which rules a row breaks.

    Parameters
    ----------
    cell : dict
        Column to text.
    stem : str
        Name of the file, without ending.
    known : set of str
        Keys of ``sources.csv``.

    Returns
    -------
    list of str
        A phrase a rule: what stands there, and what is allowed. Empty if all is well.
    """
    checks: dict[str, tuple[bool, str]] = {
        "paper": (cell["paper"] == stem and stem in known, f"the file's name ({stem}), which sources.csv explains"),
        "table": (bool(cell["table"]), "its number or name"),
        "row": (bool(cell["row"]), "the row as printed"),
        "task": (cell["task"] in {"", *tasks.REGISTRY}, "a task of the kit, or nothing"),
        "metric": (cell["metric"] in METRICS, ", ".join(METRICS)),
        "unit": (cell["unit"] == METRICS.get(cell["metric"], cell["unit"]), f"{METRICS.get(cell['metric'])!r}"),
        "status": (cell["status"] in STATUSES, ", ".join(STATUSES)),
        "value": _value(cell), "source": _source(cell, known), "selection": _selection(cell),
        "comparable": (cell["comparable"] in ("yes", "no"), "yes or no"),
        "why_not": (bool(cell["why_not"]) == (cell["comparable"] == "no"), "a reason where comparable is no"),
    }
    return [f"{name} is {cell[name]!r}; allowed: {allowed}" for name, (right, allowed) in checks.items() if not right]


def _value(cell: dict[str, str]) -> tuple[bool, str]:
    if cell["status"] == UNKNOWN:
        return not cell["value"], "nothing, because the status is unknown"
    pattern, said = _DIGITS.get(cell["unit"], (r"\d+(\.\d+)?", "digits, maybe with a point"))
    right = re.fullmatch(pattern, cell["value"]) and (cell["unit"] != "%" or float(cell["value"]) <= 100)
    return bool(right), said


def _source(cell: dict[str, str], known: set[str]) -> tuple[bool, str]:
    source, others = cell["source"], known - {MEMORY, cell["paper"]}
    rules: dict[str, tuple[Callable[[], bool], str]] = {
        SEEN: (lambda: source == cell["paper"], f"{cell['paper']}: seen means read in the work itself"),
        QUOTED: (lambda: source in others, f"another work of sources.csv ({', '.join(sorted(others))})"),
        RECALLED: (lambda: source == MEMORY, MEMORY),
        UNKNOWN: (lambda: not source, "nothing, because the status is unknown"),
    }
    right, allowed = rules.get(cell["status"], (lambda: True, ""))
    return right(), allowed


def _selection(cell: dict[str, str]) -> tuple[bool, str]:
    if cell["metric"] in SCORES:
        return cell["selection"] in SELECTIONS, ", ".join(SELECTIONS)
    return not cell["selection"], "nothing, because it is no score"
