"""What a notebook with exercises keeps to. `nslib.notebook_rules` applies these with all others.

Conventions
-----------
An exercise is three cells in a row:

1. prose that begins with ``**Exercise A: title (6 minutes).**`` and says what to make, and under which names;
2. code tagged ``exercise``: the solution, at most `MAX_SOLUTION` lines;
3. code tagged ``check``: one ``with nslib.exercise("A", ...) as it:`` block, whose ``it.made(...)`` names what an empty
   cell leaves open.

Nothing else in the notebook may read what an exercise makes: somebody who is stuck can go on. The metadata of the
exercise cell has an entry ``workshop``:

============  =====================================================================================
``minutes``   time for it, with talking about it
``path``      "90": in both paths; "180": in the one of three hours only
``notes``     for the instructor, in Markdown: what to ask, what people say, where it leads
``mistakes``  list of source texts. Each, run after the solution, is a typical wrong answer, and the
              check must refuse it
============  =====================================================================================
"""

from __future__ import annotations

import ast
import re
from collections import Counter

from nslib.notebook_cells import Found, Node, Rule, code, made_names, read_names, tagged, walk

EXERCISE_TAG, CHECK_TAG, METADATA = "exercise", "check", "workshop"
MAX_SOLUTION = 8
PATHS = {"90": 90, "180": 180}
"""Path to its minutes."""

HEADING = re.compile(r"\*\*Exercise (?P<name>[A-Z]): (?P<title>[^*]+?) \((?P<minutes>\d+) minutes\)\.\*\*")


def made_by(check: str) -> tuple[str, ...]:
    """Names that a check expects an exercise to make.

    Parameters
    ----------
    check : str
        Source of the check cell.

    Returns
    -------
    tuple of str
        The keywords of its ``made(...)``, in their order.
    """
    calls = [n for n in walk(check) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".made")]
    return tuple(k.arg for call in calls for k in call.keywords if k.arg)


def named(check: str) -> str:
    """Name of the exercise that a check belongs to.

    Parameters
    ----------
    check : str
        Source of the check cell.

    Returns
    -------
    str
        First argument of ``nslib.exercise``; empty if there is none.
    """
    for call in (n for n in walk(check) if isinstance(n, ast.Call) and ast.unparse(n.func) == "nslib.exercise"):
        if call.args and isinstance(call.args[0], ast.Constant):
            return str(call.args[0].value)
    return ""


def _in_threes(cells: list[Node]) -> Found:
    expected = []
    for at, _ in tagged(cells, EXERCISE_TAG):
        before, after = cells[at - 2], cells[at] if at < len(cells) else None
        heading = HEADING.match(before["source"]) if before["cell_type"] == "markdown" else None
        if heading is None:
            yield at, "no prose above this exercise names it", "Begin that with **Exercise A: title (6 minutes).**"
        if after is None or CHECK_TAG not in after["metadata"].get("tags", []):
            yield at, "this exercise has no check", "Tag the code cell below it 'check'"
            continue
        expected.append(at + 1)
        if heading and named(after["source"]) != heading["name"]:
            yield at + 1, f"the check is not of exercise {heading['name']}", "Call nslib.exercise with its letter"
    for at, _ in tagged(cells, CHECK_TAG):
        if at not in expected:
            yield at, "this check stands below no exercise", "Tag the cell above it 'exercise', or untag it"


def _once_each(cells: list[Node]) -> Found:
    for name, count in Counter(named(c["source"]) for _, c in tagged(cells, CHECK_TAG)).items():
        if name and count > 1:
            yield 0, f"{count} exercises are called {name}", "Give each a letter of its own"


def _makes_what_is_checked(cells: list[Node]) -> Found:
    for at, cell in tagged(cells, EXERCISE_TAG):
        after = cells[at] if at < len(cells) else None
        wanted = made_by(after["source"]) if after else ()
        if not wanted:
            yield at, "its check does not say what is to be made", "Begin it with it.made(name=name)"
        for name in sorted(set(wanted) - made_names(cell["source"])):
            yield at, f"its check wants {name!r}, which the solution does not make", "Use the same name"
        lines = len(cell["source"].strip().splitlines())
        if lines > MAX_SOLUTION:
            yield at, f"the solution has {lines} lines, more than {MAX_SOLUTION}", "Ask for less, or prepare more"


def _stands_alone(cells: list[Node]) -> Found:
    for at, cell in tagged(cells, EXERCISE_TAG):
        # the exercise and its check may, of course
        others = [(i, read_names(c["source"])) for i, c in code(cells) if i not in (at, at + 1)]
        for name in sorted(made_names(cell["source"])):
            users = [i for i, names in others if name in names]
            if users:
                said = f"{name!r}, made in this exercise, is read in cell {users[0]}"
                yield at, said, "Call it otherwise: who is stuck here must be able to go on"


def _has_what_instructors_need(cells: list[Node]) -> Found:
    for at, cell in tagged(cells, EXERCISE_TAG):
        about = cell["metadata"].get(METADATA, {})
        heading = HEADING.match(cells[at - 2]["source"])
        wrong = {
            "minutes": not (heading and about.get("minutes") == int(heading["minutes"])),
            "path": about.get("path") not in PATHS,
            "notes": not str(about.get("notes", "")).strip(),
            "mistakes": not _texts(about.get("mistakes")),
        }
        for field in (name for name, bad in wrong.items() if bad):
            remedy = "See nslib.workshop.rules for what belongs there"
            yield at, f"metadata 'workshop' has no {field}, or not the one of its heading", remedy


def _texts(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(t, str) and t.strip() for t in given)


EXERCISES: tuple[Rule, ...] = (
    _in_threes, _once_each, _makes_what_is_checked, _stands_alone, _has_what_instructors_need)
