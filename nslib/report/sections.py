"""What the pages say about claims, published numbers, and what did not run.

Conventions
-----------
As in `nslib.report.tables`: plain values, every word decided here. A published number comes as
`nslib.published.load` words it, with its status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nslib import tasks
from nslib.errors import Unavailable
from nslib.params import Params

if TYPE_CHECKING:
    import pandas as pd

    from nslib.effects import Regression
    from nslib.findings import Results

NOSS = {"voxceleb": "VoxCeleb", "voxforge": "VoxForge", "speech_commands": "Speech Commands", "crema_d": "CREMA-D",
        "savee": "SAVEE", "dementiabank": "DementiaBank"}
TITLES = {"quick": "Speech embeddings beyond words: NOSS-like tasks, measured",
          "paper": "Speech embeddings beyond words: NOSS, measured"}
EVERY = "every embedding"
_TAGS = {"holds": "good", "reproduced": "good", "does not hold": "bad", "differs": "bad"}


def claims(results: Results, protocol_answers: pd.DataFrame | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test the claims, and say how they stand.

    Parameters
    ----------
    results : Results
        Of the benchmark.
    protocol_answers : DataFrame, optional
        Answers of the protocols.

    Returns
    -------
    parts : DataFrame
        From `nslib.claims.evaluate`.
    shown : dict
        ``claims`` (number, sentence, subject, verdict, tag, why) and ``claim_parts`` (comparison, on,
        difference, verdict, why, what was resampled), each a list of dicts; ``effects``, sentences on the
        regression of claim 6, none if it was not run.
    """
    from nslib import claims as paper

    parts = paper.evaluate(results.rows, results.predictions, protocol_answers, not_run=results.not_run)
    heads = [row | {"tag": _TAGS.get(row["verdict"], "")} for row in paper.overall(parts).to_dict("records")]
    tested = parts[parts["tasks"] > 0].to_dict("records")
    rows = [{"claim": p["claim"], "comparison": _compared(p), "on": _on(p),
             "difference": paper.said(p), "verdict": p["verdict"], "by": p["by"].replace(" and ", "s and ") + "s",
             "why": p["why"]} for p in tested]
    found = regression(results)
    said = [found.said(), *found.notes] if found else []
    return parts, {"claims": heads, "claim_parts": rows, "effects": said}


def regression(results: Results) -> Regression | None:
    """Regress accuracy on task and embedding.

    Parameters
    ----------
    results : Results
        Of the benchmark.

    Returns
    -------
    nslib.effects.Regression or None
        None if there are too few scores; claim 6 says why.
    """
    from nslib.effects import regress

    try:
        return regress(results.rows)
    except Unavailable:
        return None


def _compared(part: dict[str, Any]) -> str:
    return "embeddings, beside the task" if part["unit"] == "share" else f"{part['subject']} − {part['against']}"


def _on(part: dict[str, Any]) -> str:
    where = part["task"] or f"{part['tasks']} {'task' if part['tasks'] == 1 else 'tasks'}"
    return f"{where}, {part['clips']:,} clips" + (", synthetic speech" if part["speech"] == "synthetic" else "")


def published(results: Results, params: Params) -> tuple[pd.DataFrame | None, dict[str, Any]]:
    """Hold the results against published numbers; with the quick profile there is nothing to hold them against.

    Parameters
    ----------
    results : Results
        Of the benchmark.
    params : Params
        Of the run.

    Returns
    -------
    verdicts : DataFrame or None
        From `nslib.published.verdicts`.
    shown : dict
        ``verdicts`` (the two numbers compared), ``no_verdicts`` (and why), ``references``, and
        ``published_said``, a sentence.
    """
    if params.profile != "paper":
        return None, {"verdicts": [], "no_verdicts": [], "references": [], "published_said": _NOT_OURS}
    from nslib import published as numbers

    every = numbers.verdicts(results.rows, results.not_run, smoke=params.smoke)
    compared = numbers.numeric(every)
    rest = every.drop(index=every.index[every["verdict"].isin(compared["verdict"])])
    used = numbers.sources().loc[lambda s: s.index.isin(every["paper"])]
    shown, others = ([_placed(row, used) for row in part.to_dict("records")] for part in (compared, rest))
    return every, {"verdicts": shown, "no_verdicts": others, "references": used.reset_index().to_dict("records"),
                   "published_said": _counted(every)}


_NOT_OURS = ("No published number applies to this profile: its tasks ask what those of NOSS ask, but of other "
             "recordings.")


def _placed(row: dict[str, Any], works: pd.DataFrame) -> dict[str, Any]:
    where = "–"
    if row["paper"]:
        table = f", table {row['table']}" if row["table"].isdigit() else ""
        where = f"{works.at[row['paper'], 'name']}{table}: {row['row']}"
    said = "; ".join(part for part in (row["compared"], row["note"]) if part)
    return row | {"where": where, "said": said, "tag": _TAGS.get(row["verdict"], "")}


def _counted(every: pd.DataFrame) -> str:
    from nslib.published.verdict import VERDICTS

    counts = every["verdict"].value_counts()
    reproduced, differ, missing, without = (counts.get(verdict, 0) for verdict in VERDICTS)
    return (f"{len(every)} published numbers, or results that have none: {reproduced} reproduced, {differ} differ, "
            f"{missing} not run, {without} without a verified published value.")


def not_run(results: Results) -> list[dict[str, Any]]:
    """Put together what did not run for the same reason: an entry a missing task or a missing embedding.

    Parameters
    ----------
    results : Results
        With ``rows`` and ``not_run``.

    Returns
    -------
    list of dict
        ``tasks``, ``embeddings`` (names, or `EVERY`), ``why`` and ``remedy`` (its lines as they are).
    """
    missing = results.not_run
    if not len(missing):
        return []
    both = [frame[["task", "embedding"]] for frame in (results.rows, missing)]
    asked = {str(e) for frame in both for e in frame["embedding"]}
    found = []
    for (why, remedy), part in missing.groupby(["why", "remedy"], sort=False):
        names, of = list(dict.fromkeys(part["embedding"])), list(dict.fromkeys(part["task"]))
        every = set(names) == asked and len(asked) > 1
        found.append({"tasks": ", ".join(of), "embeddings": EVERY if every else ", ".join(names), "why": why,
                      "remedy": str(remedy).strip("\n")})
    return found


def lede(results: Results, table: dict[str, Any], params: Params) -> str:
    """Say in a sentence or two what was measured.

    Parameters
    ----------
    results : Results
        Of the benchmark.
    table : dict
        From `nslib.report.tables.result_table`.
    params : Params
        Of the run.

    Returns
    -------
    str
    """
    ran = sum(len(g["tasks"]) for g in table["groups"])
    embeddings = f"{len(table['columns'])} embedding{'' if len(table['columns']) == 1 else 's'}"
    if params.profile == "paper":
        asked = len({*results.rows["task"], *results.not_run["task"]})
        if not ran:
            return (f"None of {asked} tasks of NOSS could be run here. What is missing, and what to do, is said below, "
                    "task by task. Profile paper.")
        return (f"{embeddings} on {ran} of {asked} tasks of NOSS, the non-semantic speech benchmark, by the paper's "
                "protocol. Profile paper.")
    recorded = sum(len(g["tasks"]) for g in table["groups"] if not g["synthetic"])
    return (f"{embeddings} on {ran} tasks that ask how something was said, by whom or in which language: {recorded} on "
            f"recorded speech, {ran - recorded} on computer voices. Profile {params.profile}.")


def banners(results: Results, table: dict[str, Any], params: Params) -> list[dict[str, str]]:
    """What must be known before any number is read.

    Parameters
    ----------
    results, table, params
        As for `lede`.

    Returns
    -------
    list of dict
        ``kind`` ("warn" or nothing), ``head`` and ``text``.
    """
    found = []
    if params.smoke:
        found.append(_banner("warn", "Smoke run: the numbers mean nothing.",
                             f"It uses at most {params.clips_per_class} clips of each label in each split "
                             "and only shows that every step works."))
    found.append(_of_paper(results, table) if params.profile == "paper" else _banner(
        "", "Quick profile: never the paper's numbers.",
        "The tasks are of the same kinds as those of NOSS, but on other recordings, which can be had from package "
        "registries in minutes. Compare embeddings within this page, not with a published table."))
    if params.profile == "quick" and (params.corpus == "synthetic" or (
            table["groups"] and all(g["synthetic"] for g in table["groups"]))):
        found.append(_banner("warn", "Synthetic speech only.",
                             "All clips are computer voices. What separates them need not separate people."))
    return found


def _of_paper(results: Results, table: dict[str, Any]) -> dict[str, str]:
    ran, missing = len(table["cells"]), len(results.not_run[["task", "embedding"]].drop_duplicates())
    head = f"Paper profile: {ran} of {ran + missing} results."
    if not missing:
        return _banner("", head, "Every task and embedding that was asked for was run.")
    lost = [t for t in dict.fromkeys(results.not_run["task"]) if t not in set(results.rows["task"])]
    said = f"No result at all on {', '.join(NOSS.get(t, t) for t in lost)}. " if lost else ""
    return _banner("warn", head, f"{said}What did not run is listed below with the reason and what to do; run the same "
                                 "command again afterwards, and only what is missing is computed.")


def _banner(kind: str, head: str, text: str) -> dict[str, str]:
    return {"kind": kind, "head": head, "text": text}


def origin(task: tasks.Task) -> str:
    """Say how a task stands to NOSS.

    Parameters
    ----------
    task : Task

    Returns
    -------
    str
        Empty for a task of somebody's own.
    """
    if task.profile == "paper":
        return "a data set of NOSS" if task.noss in NOSS else "added to NOSS by later work"
    return f"asks what {NOSS.get(task.noss, task.noss)} asks in NOSS, of other audio" if task.noss else ""
