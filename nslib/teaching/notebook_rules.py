"""The contract of the notebooks: what is checked before a kernel starts, and after it has run.

Conventions
-----------
A notebook of this kit

- has exactly one code cell tagged ``parameters``: literals only, each line with a comment that gives unit or choices,
  and every parameter is used later;
- is at least half prose;
- is plain Python: no shell or magic lines except in the cell tagged ``colab``, which does something on Colab only;
- holds no output, except in cells tagged ``nbval-check-output``, whose text is compared when the notebook is tested;
- backs what it says: a prose cell that starts with ``**Claim`` is followed, before the next claim, by a ``check(...)``.

An exercise is three cells in a row: prose that begins ``**Exercise A: title (6 minutes).**``; code tagged ``exercise``,
the solution; code tagged ``check``, one ``with nslib.exercise("A", ...) as it:`` block, whose ``it.made(...)`` names
what an empty cell leaves open. Nothing else in the notebook may read what an exercise makes: who is stuck can go on.
The metadata of the exercise cell have an entry ``workshop`` with ``notes`` for the instructor and typical ``mistakes``.

After the kernel: cells ran once each and in order, none failed, the parameters that were given are the ones that were
injected, and no picture is without alternative text. Length of lines and functions, and unused or undefined names are
ruff's (``notebooks/ruff.toml``).

A rule takes the list of cells and yields (cell, what is wrong, what to do). Cells count from 1, prose and code
together; 0 is the notebook as a whole.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib.errors import NslibError, UnknownName

__all__ = ["ContractBroken", "Violation", "check_executed", "check_folder", "check_source", "read_notebook",
           "read_parameters"]

Node = Mapping[str, Any]
Broken = Iterator[tuple[int, str, str]]
Rule = Callable[[list[Node]], Broken]

MAX_SOLUTION_LINES, MIN_PROSE = 8, 0.5
PARAMETERS_TAG, COLAB_TAG, EXERCISE_TAG, CHECK_TAG = "parameters", "colab", "exercise", "check"
WORKSHOP = "workshop"
GUARD = 'if "google.colab" in sys.modules:'
HEADING = re.compile(r"\*\*Exercise (?P<name>[A-Z]): (?P<title>[^*]+?) \((?P<minutes>\d+) minutes\)\.\*\*")

_INJECTED_TAG, _OUTPUT_TAG = "injected-parameters", "nbval-check-output"
_MAGIC = re.compile(r"^\s*[!%]|=\s*[!%]\w")
_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"\s*[^\"\s][^\"]*\"|'\s*[^'\s][^']*')", re.IGNORECASE)
_CLAIM = re.compile(r"^\*\*Claim", re.MULTILINE)
_NOT_LITERAL = object()


@dataclass(frozen=True)
class Violation:
    """One broken rule of the contract.

    Attributes
    ----------
    notebook, line : str
        File name, and first line of the cell.
    cell : int
        Which cell, from 1; 0 for the notebook as a whole.
    rule, remedy : str
        What is wrong, and what to do.
    """

    notebook: str
    cell: int
    line: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        where = f", cell {self.cell} ({self.line!r})" if self.cell else ""
        return f"{self.notebook}{where}: {self.rule}. {self.remedy}."


class ContractBroken(NslibError):
    """A notebook breaks the contract; `violations` says where, a line of the message each."""

    exit_code = 1

    def __init__(self, violations: list[Violation]):
        self.violations = violations
        super().__init__("\n".join(map(str, violations)))


def read_notebook(path: str | Path) -> Any:
    """Read a valid notebook as format 4, or raise an `NslibError` that names the file."""
    import nbformat

    try:
        node = nbformat.read(str(path), as_version=4)
        nbformat.validate(node)
    except (nbformat.ValidationError, ValueError, AttributeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NslibError(
            f"{path}: not a valid notebook: {reason}. Open and save it in JupyterLab, or restore it."
        ) from None
    return node


def check_source(path: str | Path, given: Iterable[str] = ()) -> list[Violation]:
    """Check everything that can be known before a kernel starts.

    Parameters
    ----------
    path : path-like
        Source notebook.
    given : iterable of str
        Names of the parameters that it will be run with.

    Returns
    -------
    list of Violation
        In the order of the cells.

    Raises
    ------
    UnknownName
        If a parameter is given that the notebook does not declare.
    NslibError
        If the file is not a notebook.
    """
    violations = _apply(path, _SOURCE)
    declared = read_parameters(path)
    for name in given:
        if declared and name not in declared:
            raise UnknownName(f"parameter of {Path(path).name}", name, declared)
    return violations


def check_executed(path: str | Path, given: Mapping[str, object] | None = None) -> list[Violation]:
    """Check what an executed notebook shows.

    Parameters
    ----------
    path : path-like
        Executed notebook.
    given : mapping, optional
        Parameters that it was run with.

    Returns
    -------
    list of Violation
    """
    return _apply(path, (*_EXECUTED, lambda cells: _injected(cells, given or {})))


def check_folder(folder: str | Path) -> list[Violation]:
    """Apply `check_source` to every notebook of a folder, in the order of their names."""
    return [violation for path in sorted(Path(folder).glob("*.ipynb")) for violation in check_source(path)]


def read_parameters(path: str | Path) -> dict[str, object]:
    """Read the parameters of a notebook: name to default; empty if it has no readable cell tagged ``parameters``."""
    cells = tagged(read_notebook(path)["cells"], PARAMETERS_TAG)[:1]
    return {name: value for _, c in cells for name, value, _ in _literals(c["source"]) if value is not _NOT_LITERAL}


def _apply(path: str | Path, rules: Iterable[Rule]) -> list[Violation]:
    cells = read_notebook(path)["cells"]
    violations = [Violation(Path(path).name, at, _first_line(cells, at), wrong, remedy)
                  for rule in rules for at, wrong, remedy in rule(cells)]
    return sorted(violations, key=lambda v: (v.cell, v.rule))


def _first_line(cells: list[Node], at: int) -> str:
    lines = cells[at - 1]["source"].strip().splitlines() if at else []
    return lines[0][:80] if lines else ""


# Cells and the Python in them


def code_cells(cells: list[Node]) -> list[tuple[int, Node]]:
    """List the code cells with their numbers."""
    return [(at, cell) for at, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]


def tagged(cells: list[Node], tag: str) -> list[tuple[int, Node]]:
    """List the code cells that have a tag, with their numbers."""
    return [(at, cell) for at, cell in code_cells(cells) if tag in cell["metadata"].get("tags", [])]


def parse(source: str) -> ast.Module | None:
    """Parse the source of a cell; None if it is not Python."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _walk(source: str) -> list[ast.AST]:
    tree = parse(source)
    return list(ast.walk(tree)) if tree else []


def _names_read(source: str) -> set[str]:
    return {n.id for n in _walk(source) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _names_made(source: str) -> set[str]:
    """Return the names that a cell assigns, without what lives only inside a comprehension."""
    def stored(items: Iterable[ast.AST]) -> set[str]:
        return {n.id for n in items if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}

    every = _walk(source)
    inside = (ast.walk(item.target) for item in every if isinstance(item, ast.comprehension))
    return stored(every) - {name for target in inside for name in stored(target)}


def _literals(source: str) -> list[tuple[str, object, int]]:
    """List name, value and line of every statement; what is no ``name = literal`` has the value _NOT_LITERAL."""
    rows: list[tuple[str, object, int]] = []
    for statement in getattr(parse(source), "body", []):
        name, value = ast.unparse(statement), _NOT_LITERAL
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            name = targets[0].id
            with contextlib.suppress(ValueError):
                value = ast.literal_eval(statement.value)
        rows.append((name, value, statement.lineno))
    return rows


# Rules for a source


def _one_parameters_cell(cells: list[Node]) -> Broken:
    here = tagged(cells, PARAMETERS_TAG)
    if len(here) != 1:
        at = here[1][0] if here else 0
        yield at, f"{len(here) or 'no'} cells are tagged 'parameters'", "Tag exactly one code cell so"
    for at, cell in here:
        lines = cell["source"].splitlines()
        # a name that stands in a cell that is no Python counts as used
        used = [_names_read(c["source"]) if parse(c["source"]) else set(re.findall(r"\w+", c["source"]))
                for i, c in code_cells(cells) if i != at]
        for name, value, line in _literals(cell["source"]):
            if value is _NOT_LITERAL:
                wrong = f"{name!r} in the parameters cell is not 'name = literal'"
                yield at, wrong, "Derive values in the next cell"
                continue
            if not _has_comment(lines[line - 1]):
                yield at, f"parameter {name!r} has no comment", "Say its unit or its choices: name = value  # …"
            if not any(name in names for names in used):
                yield at, f"parameter {name!r} is never used", "Use it, or take it out"


def _has_comment(line: str) -> bool:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    except tokenize.TokenError:  # the value goes on in the next line
        return "#" in line
    return any(token.type == tokenize.COMMENT for token in tokens)


def _no_outputs(cells: list[Node]) -> Broken:
    promised = [at for at, _ in tagged(cells, _OUTPUT_TAG)]
    for at, cell in code_cells(cells):
        counted = cell.get("execution_count") is not None
        if at in promised:
            # nbval refuses to compare an output without an execution count.
            if not (cell["outputs"] and counted):
                wrong = f"a cell tagged {_OUTPUT_TAG!r} has no output to compare with"
                yield at, wrong, "Run it and save, or untag it"
            continue
        if cell["outputs"]:
            remedy = f"Clear them; if the text is promised, tag {_OUTPUT_TAG!r}"
            yield at, "the source notebook holds outputs", remedy
        if counted:
            yield at, "the source notebook holds an execution count", "Clear all outputs before you save"


def _plain_python(cells: list[Node]) -> Broken:
    colab = [at for at, _ in tagged(cells, COLAB_TAG)]
    for at, cell in code_cells(cells):
        source = cell["source"]
        if at in colab:
            if GUARD not in source:
                yield at, "the colab cell is not guarded", f"Put everything below: {GUARD}"
        elif parse(source) is None and any(_MAGIC.search(line) for line in source.splitlines()):
            remedy = "Call Python instead; only the cell tagged 'colab' may use ! and %"
            yield at, "the cell has a shell or magic line", remedy
        elif parse(source) is None:
            yield at, "the cell is not valid Python", "Correct it"


def _enough_prose(cells: list[Node]) -> Broken:
    code = len(code_cells(cells))
    prose = sum(cell["cell_type"] == "markdown" for cell in cells)
    if cells and prose < MIN_PROSE * (prose + code):
        wrong = f"{prose} of {prose + code} cells are prose, less than {MIN_PROSE:.0%}"
        yield 0, wrong, "Say what the code cells show"


def _backed_claims(cells: list[Node]) -> Broken:
    claim, remedy = 0, "Call nslib.check(condition, sentence) after it, before the next claim"
    for at, cell in enumerate(cells, 1):
        calls = [ast.unparse(n.func) for n in _walk(cell["source"]) if isinstance(n, ast.Call)]
        # Not any .check(...): nslib.embeddings.check is a report, not a promise.
        if cell["cell_type"] == "code" and {"check", "nslib.check"} & set(calls):
            claim = 0
        elif cell["cell_type"] == "markdown" and _CLAIM.search(cell["source"]):
            if claim:
                yield claim, "this claim has no check", remedy
            claim = at
    if claim:
        yield claim, "this claim has no check", remedy


# Rules for exercises


def answers_of(check: str) -> tuple[str, ...]:
    """List the names that the check of an exercise expects: the keywords of its ``made(...)``, in their order."""
    calls = [n for n in _walk(check) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".made")]
    return tuple(k.arg for call in calls for k in call.keywords if k.arg)


def _exercise_of(check: str) -> str:
    """Return the first argument of ``nslib.exercise`` in a check; empty if there is none."""
    for call in (n for n in _walk(check) if isinstance(n, ast.Call) and ast.unparse(n.func) == "nslib.exercise"):
        if call.args and isinstance(call.args[0], ast.Constant):
            return str(call.args[0].value)
    return ""


def _in_threes(cells: list[Node]) -> Broken:
    checks = dict(tagged(cells, CHECK_TAG))
    exercises = tagged(cells, EXERCISE_TAG)
    for at, _ in exercises:
        before = cells[at - 2]
        heading = HEADING.match(before["source"]) if before["cell_type"] == "markdown" else None
        if heading is None:
            yield at, "no prose above this exercise names it", "Begin that with **Exercise A: title (6 minutes).**"
        if at + 1 not in checks:
            yield at, "this exercise has no check", "Tag the code cell below it 'check'"
        elif heading and _exercise_of(checks[at + 1]["source"]) != heading["name"]:
            yield at + 1, f"the check is not of exercise {heading['name']}", "Call nslib.exercise with its letter"
    for at in set(checks) - {at + 1 for at, _ in exercises}:
        yield at, "this check stands below no exercise", "Tag the cell above it 'exercise', or untag it"
    for name, count in Counter(_exercise_of(cell["source"]) for cell in checks.values()).items():
        if name and count > 1:
            yield 0, f"{count} exercises are called {name}", "Give each a letter of its own"


def _solutions_stand_alone(cells: list[Node]) -> Broken:
    for at, cell in tagged(cells, EXERCISE_TAG):
        made = _names_made(cell["source"])
        expected = answers_of(cells[at]["source"]) if at < len(cells) else ()
        if not expected:
            yield at, "its check does not say what is to be made", "Begin it with it.made(name=name)"
        for name in sorted(set(expected) - made):
            yield at, f"its check wants {name!r}, which the solution does not make", "Use the same name"
        lines = len(cell["source"].strip().splitlines())
        if lines > MAX_SOLUTION_LINES:
            wrong = f"the solution has {lines} lines, more than {MAX_SOLUTION_LINES}"
            yield at, wrong, "Ask for less, or prepare more"
        # the exercise and its check may, of course
        readers = [(i, _names_read(c["source"])) for i, c in code_cells(cells) if i not in (at, at + 1)]
        for name in sorted(made):
            users = [i for i, names in readers if name in names]
            if users:
                wrong = f"{name!r}, made in this exercise, is read in cell {users[0]}"
                yield at, wrong, "Call it otherwise: who is stuck here must be able to go on"


def _notes_for_instructors(cells: list[Node]) -> Broken:
    for at, cell in tagged(cells, EXERCISE_TAG):
        about = cell["metadata"].get(WORKSHOP, {})
        mistakes = about.get("mistakes")
        if not str(about.get("notes", "")).strip():
            yield at, "metadata 'workshop' has no notes", "Say for the instructor what to ask, and what people say"
        if not (isinstance(mistakes, list) and mistakes and all(isinstance(m, str) and m.strip() for m in mistakes)):
            yield at, "metadata 'workshop' has no mistakes", "List the source texts of typical wrong answers"


# Rules for an executed notebook


def _counts_in_order(cells: list[Node]) -> Broken:
    for expected, (at, cell) in enumerate(code_cells(cells), 1):
        count = cell.get("execution_count")
        if count != expected:
            yield at, f"its execution count is {count}, expected {expected}", "Run all cells once, from the top"


def _no_errors(cells: list[Node]) -> Broken:
    for at, cell in code_cells(cells):
        for output in (o for o in cell["outputs"] if o["output_type"] == "error"):
            first = output["evalue"].partition("\n")[0]
            yield at, f"it failed: {output['ename']}: {first}", "See the traceback in the executed notebook"


def _described_pictures(cells: list[Node]) -> Broken:
    remedy = "Show a Figure of nslib.figures, which brings its text"
    for at, cell in code_cells(cells):
        for output in cell["outputs"]:
            kinds, about = output.get("data", {}), output.get("metadata", {})
            images = [kind for kind in kinds if kind.startswith("image/")]
            bare = [kind for kind in images if not str(about.get(kind, {}).get("alt", "")).strip()]
            shown = _IMAGE.findall("".join(kinds.get("text/html", "")))
            if bare or any(not _ALT.search(tag) for tag in shown):
                yield at, f"a picture ({', '.join(bare) or 'in HTML'}) has no alternative text", remedy


def _injected(cells: list[Node], given: Mapping[str, object]) -> Broken:
    got = {n: v for _, c in tagged(cells, _INJECTED_TAG) for n, v, _ in _literals(c["source"])}
    for name, value in given.items():
        if name not in got:
            yield 0, f"parameter {name!r} was given but not injected", "Declare it in the parameters cell"
        elif got[name] != value:
            wrong = f"parameter {name!r} was given as {value!r} but injected as {got[name]!r}"
            yield 0, wrong, "Give a literal"


_SOURCE: tuple[Rule, ...] = (
    _one_parameters_cell, _no_outputs, _plain_python, _enough_prose, _backed_claims, _in_threes,
    _solutions_stand_alone, _notes_for_instructors)
_EXECUTED: tuple[Rule, ...] = (_counts_in_order, _no_errors, _described_pictures)
