"""Published numbers as data, each with its status and its source, and what a result of ours says about them.

``data/published/*.csv`` holds what other works report: one file a work, named by its key, one row a number; the works
are explained in ``sources.csv``, the paper has the key ``noss``. Most of it was not read in the paper itself, so every
number has a status: *seen* in the work that reports it, *quoted-by* another work, *recalled-unverified* (written down
from memory: it is shown with this word beside it and decides nothing), or *unknown* (there is no number).
`load_numbers` is the only way from these files to a reader's eyes. tests/paper/test_published.py holds every row to the
rules: what a column may say, and that a source fits its status.

>>> frill = load_numbers("frill-card")
>>> frill[(frill["row"] == "TRILL") & (frill["task"] == "savee")]["shown"].item()
'70.0 %'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nslib import config
from nslib.datasets import tasks
from nslib.datasets.table import read_list
from nslib.embeddings.registry import name_output
from nslib.errors import UnknownName, refuse_unknown
from nslib.statistics.scores import select_scores

__all__ = ["VERDICTS", "compare_table_1", "count_clips", "judge_results", "keep_compared", "list_numbers",
           "load_numbers", "load_sources", "show_table"]

SEEN, QUOTED, RECALLED, UNKNOWN = "seen", "quoted-by", "recalled-unverified", "unknown"
VERIFIED = (SEEN, QUOTED)

REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE = "reproduced", "differs", "not run", "no verified published value"
VERDICTS = (REPRODUCED, DIFFERS, NOT_RUN, NO_VALUE)
VERDICT_COLUMNS = ["task", "embedding", "verdict", "published", "ours", "why", "compared", "paper", "table", "row",
                   "status", "note", "protocol", "output", "published_value", "value", "low", "high"]
TEST_TOLERANCE = 0.02  # share of the test clips that may be missing (undecodable, say) before it is another test set

_ON = {"test": "ours is the best on test (optimistic), as the published number is",
       "validation": "ours is chosen on validation, as the published number is",
       "unknown": "ours is chosen on validation; how the published number was chosen is not known"}
_UNVERIFIED = {RECALLED: f"the number is {RECALLED}: read it in the work itself, and set its status in data/published",
               UNKNOWN: "the number is unknown"}
_NO_NUMBER = "no work that the kit knows of reports this embedding on this task"

_COUNTED = {"classes": "{:,.0f}", "clips": "{:,.0f}", "mean seconds": "{:.1f}", "speakers": "{:,.0f}"}
_PUBLISHED = {"classes": "classes, published", "samples": "clips, published", "mean_seconds": "mean seconds, published"}

Ours = dict[tuple[str, str], dict[str, dict[str, Any]]]


def load_numbers(paper: str | None = None, table: str | None = None) -> pd.DataFrame:
    """Read published numbers, of one work (its key) or of one of its tables; UnknownName for one that there is not.

    Columns are those of the files, but ``value`` is a float that is NaN unless the number is verified (seen or
    quoted-by), ``decimals`` says to how many digits after the point it is given, and ``shown`` is the number in words,
    with its status.
    """
    works = load_sources()
    files = {path.stem: path for path in sorted((config.data_dir() / "published").glob("*.csv"))
             if path.name != "sources.csv"}
    if paper is not None and paper not in files:
        raise UnknownName("published work", paper, files)
    numbers = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for name, path in files.items()
                         if paper in (None, name)], ignore_index=True)
    if table is not None:
        refuse_unknown("table of this work", table, set(numbers["table"]))
        numbers = numbers[numbers["table"] == table].reset_index(drop=True)
    numbers["shown"] = [format_number(c, works["name"].get(c["source"], "")) for c in numbers.to_dict("records")]
    numbers["decimals"] = numbers["value"].str.partition(".")[2].str.len()
    numbers["value"] = numbers["value"].where(numbers["status"].isin(VERIFIED), "nan").astype(float)
    return numbers


def load_sources() -> pd.DataFrame:
    """List the works by key: citation, arXiv number, address, and what of them was read."""
    path = config.data_dir() / "published" / "sources.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index("key")


def format_number(number: Mapping[str, str], source: str = "") -> str:
    """Write a published number with its status: the one way in which any page, table or figure shows it."""
    if number["status"] == UNKNOWN:
        return UNKNOWN
    value, unit = number["value"], number["unit"]
    if unit == "yes/no":
        value, unit = ("yes" if float(value) else "no"), ""
    elif not unit and "." not in value:
        value = f"{int(value):,}"
    words = f"{value} {unit}".strip()
    return {SEEN: words, QUOTED: f"{words} (quoted by {source})"}.get(number["status"], f"{words} ({RECALLED})")


def show_table(paper: str, table: str) -> pd.DataFrame:
    """Show a published table as it is laid out: every cell in words, with its status; empty where the table is."""
    numbers = load_numbers(paper, table)
    facts = (numbers["row"] == numbers["dataset"]) | (numbers["dataset"] == "")
    numbers["across"] = numbers["dataset"].mask(facts, numbers["metric"].str.replace("_", " "))
    wide = numbers.groupby(["row", "across"], sort=False)["shown"].agg("; ".join).unstack("across").fillna("")
    wide = wide.reindex(index=numbers["row"].unique(), columns=numbers["across"].unique())
    return wide.rename_axis(index=None, columns=None)


def list_numbers(paper: str | None = None) -> str:
    """List in text how many numbers of each status every work has, or all numbers of one work (its key)."""
    numbers, works = load_numbers(paper), load_sources()
    if paper is None:
        counts = numbers.groupby(["paper", "status"], sort=False).size().unstack(fill_value=0)
        lines = [f"{name:<11}" + ", ".join(f"{n} {s}" for s, n in row.items() if n) for name, row in counts.iterrows()]
        return "\n".join([*lines, "one work with its numbers: nslib published list PAPER"])
    head = [works.at[paper, "citation"], f"read: {works.at[paper, 'read']}"]
    lines = []
    for number in numbers.to_dict("records"):
        what = " ".join(part for part in (number["dataset"], number["metric"].replace("_", " ")) if part)
        note = f"  [{number['note']}]" if number["note"] else ""
        lines.append(f"table {number['table']}: {number['row']}, {what}: {number['shown']}{note}")
    return "\n".join([*head, *lines])


def count_clips(clips: pd.DataFrame) -> pd.DataFrame:
    """Count what Table 1 states in clip tables with a column ``task``; a task whose speakers are not given has 0."""
    if clips.empty:
        return pd.DataFrame(columns=list(_COUNTED)).rename_axis("task")
    by_task = clips.assign(speaker=clips["speaker"].where(clips["speaker"] != "")).groupby("task", sort=False)
    return by_task.agg(**{"classes": ("label", "nunique"), "clips": ("clip_id", "size"),
                          "mean seconds": ("seconds", "mean"), "speakers": ("speaker", "nunique")})


def compare_table_1(clips: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of the paper from the data itself, each number beside the published one and its status, in words.

    `clips` are as in `count_clips`; counts are ``"not run"`` for those of the six data sets that are not here.
    """
    numbers = load_numbers("noss", "1")
    printed = numbers.pivot(index="task", columns="metric", values="shown").rename(columns=_PUBLISHED)
    names = [name for name in tasks.REGISTRY if name in printed.index]
    counts = count_clips(clips).reindex(names)
    words = {name: counts[name].map(lambda v, f=form: f.format(v) if v == v else NOT_RUN)
             for name, form in _COUNTED.items()}
    # each count beside what is published of it: "classes" before "classes, published"
    table = counts.assign(**words).join(printed[list(_PUBLISHED.values())])
    return table[sorted(table)].rename_axis(index=None, columns=None)


def judge_results(rows: pd.DataFrame, not_run: pd.DataFrame | None = None, *, smoke: bool = False) -> pd.DataFrame:
    """Hold results against published numbers; ``not_run`` (task, embedding, why, remedy) is what could not be run.

    A verdict needs a published number that is verified and comparable, a task of the paper profile, and a test set of
    the size that the data set's builder makes. A number whose probe was chosen on test stands against our best on test;
    one chosen on validation, or nobody knows how, against ours chosen on validation. *Reproduced* says that the number,
    to its digits, lies in the interval of our score. That is about our test clips and speakers only: *differs* says
    that the two are apart by more than ours, not that either is wrong. Nothing of a smoke run is held against anything.

    One row a published number of an embedding on a task, and one a result without any, columns `VERDICT_COLUMNS`:
    published and ours are in words, compared says how each was chosen, protocol (of `nslib.evaluation.PROTOCOLS`) who
    chose ours, and output which one of its model it is; for figures published_value is in percent (NaN
    unless a number was compared), value, low and high are shares. Never fails on an unpleasant number.
    """
    ours, known = _our_rows(rows), load_numbers()
    known = known[(known["metric"] == "accuracy") & (known["task"] != "") & (known["embedding"] != "")]
    missing = [] if not_run is None else not_run.to_dict("records")
    why = {(r["task"], r["embedding"]): r["why"] for r in missing}
    verdicts = [_judge(number, ours, why, smoke) for number in known.to_dict("records")]
    named = set(zip(known["task"], known["embedding"], strict=True))
    verdicts += [{"task": task, "embedding": embedding, "verdict": NO_VALUE, "why": _NO_NUMBER,
                  "protocol": "validation", "output": name_output(embedding),
                  "ours": _format_score(ours[task, embedding].get("chosen"))}
                 for task, embedding in ours if (task, embedding) not in named]
    turn = {name: i for i, name in enumerate(tasks.REGISTRY)}
    verdicts.sort(key=lambda v: (turn[v["task"]], v["embedding"], VERDICTS.index(v["verdict"])))
    empty: dict[str, Any] = dict.fromkeys(VERDICT_COLUMNS, "") | dict.fromkeys(VERDICT_COLUMNS[-4:], math.nan)
    return pd.DataFrame([empty | v for v in verdicts], columns=VERDICT_COLUMNS)


def keep_compared(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Keep the verdicts that compare two numbers: *reproduced* and *differs*."""
    return verdicts[verdicts["verdict"].isin([REPRODUCED, DIFFERS])].reset_index(drop=True)


def _our_rows(rows: pd.DataFrame) -> Ours:
    """(task, embedding) to our rows: ``chosen`` on validation, and ``best`` on test."""
    paper = {name for name, task in tasks.REGISTRY.items() if task.profile == "paper"}
    scores = rows[rows["task"].isin(paper) & (rows["metric"] == "accuracy")]
    best = scores[scores["best_on_test"].astype(bool) & (scores["split"] == "test")].sort_values("when", kind="stable")
    ours: Ours = {}
    for name, part in (("chosen", select_scores(scores)), ("best", best)):
        for row in part.to_dict("records"):
            ours.setdefault((row["task"], row["embedding"]), {})[name] = row
    return ours


def _judge(number: dict[str, Any], ours: Ours, why: Mapping[tuple[str, str], str], smoke: bool) -> dict[str, Any]:
    """Verdict on one published number."""
    pair = (number["task"], number["embedding"])
    on_test = number["selection"] == "test"
    row = ours.get(pair, {}).get("best" if on_test else "chosen")
    verdict = {"published": number["shown"], "ours": _format_score(row),
               "protocol": "authors-2021" if on_test else "validation", "output": name_output(number["embedding"]),
               **{name: number[name] for name in ("task", "embedding", "paper", "table", "row", "status", "note")}}
    if obstacle := _UNVERIFIED.get(number["status"]) or number["why_not"]:
        return verdict | {"verdict": NO_VALUE, "why": obstacle}
    verdict["compared"] = _ON[number["selection"]]
    if row is None:
        return verdict | {"verdict": NOT_RUN, "why": why.get(pair, "it was not asked for")}
    if other := "a smoke run, whose numbers mean nothing" if smoke else _another_test(row):
        return verdict | {"verdict": NOT_RUN, "why": other}
    published, decimals = number["value"], number["decimals"]
    low, high = (round(100 * row[end], decimals) for end in ("low", "high"))  # to its digits
    inside = low <= published <= high
    where = "lies in" if inside else "lies below" if published < low else "lies above"
    return verdict | {name: row[name] for name in ("value", "low", "high")} | {
        "verdict": REPRODUCED if inside else DIFFERS, "published_value": published,
        "why": f"{published:.{decimals}f} {where} our interval, {low:.{decimals}f} to {high:.{decimals}f}"}


def _format_score(row: Mapping[str, Any] | None) -> str:
    """Our score in words."""
    if row is None:
        return NOT_RUN
    value, low, high = (f"{100 * row[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} % [{low}, {high}]"


def _another_test(row: Mapping[str, Any]) -> str:
    """Why our test set is not that of the data set's builder; empty if it is."""
    sizes = read_list(config.check_data(config.data_dir() / "noss_tasks.csv")).set_index("dataset")["test"]
    expected = int(sizes.get(row["task"]) or 0)
    if not expected or abs(row["n"] - expected) <= TEST_TOLERANCE * expected:
        return ""
    return f"our test has {row['n']:,} clips, that of the data set {expected:,}: not the same test"
