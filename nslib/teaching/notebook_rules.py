"""The contract of the notebooks, checked before a kernel starts and after it has run; and the kernel that runs them.

A notebook has one code cell tagged ``parameters``: literals, each with a comment that gives unit or choices, each used
later. It is at least half prose and plain Python: only the cell tagged ``colab`` has shell or magic lines, and does
something on Colab only. It holds no output but in cells tagged ``nbval-check-output``, whose text is compared when the
notebook is tested. A prose cell that starts with ``**Check`` is followed, before the next, by a ``check(...)``. How an
exercise is written, docs/workshop.md says. After the kernel: cells ran once each and in order, none failed, the
parameters given are those injected, and every picture has alternative text. A rule takes the list of cells and yields
(cell, what is wrong, what to do); cells count from 1, 0 is the whole.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib.errors import NslibError, refuse_unknown

__all__ = ["ContractBroken", "check_executed", "check_source", "make_kernel_manager", "read_notebook",
           "read_parameters"]

Node = Mapping[str, Any]
Broken = Iterator[tuple[int, str, str]]

MAX_SOLUTION_LINES, MIN_PROSE = 8, 0.5
PARAMETERS_TAG, COLAB_TAG, EXERCISE_TAG, CHECK_TAG = "parameters", "colab", "exercise", "check"
WORKSHOP = "workshop"
GUARD = 'if "google.colab" in sys.modules:'
HEADING = re.compile(r"\*\*Exercise (?P<name>[A-Z]): (?P<title>[^*]+?) \((?P<minutes>\d+) minutes\)\.\*\*")

_INJECTED_TAG, _OUTPUT_TAG = "injected-parameters", "nbval-check-output"
_MAGIC = re.compile(r"^\s*[!%]|=\s*[!%]\w", re.MULTILINE)
_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"\s*[^\"\s][^\"]*\"|'\s*[^'\s][^']*')", re.IGNORECASE)
_CLAIM = re.compile(r"^\*\*Check", re.MULTILINE)
_NOT_LITERAL = object()


@dataclass(frozen=True)
class Violation:
    """One broken rule: notebook, cell (0: the whole), its first line, what is wrong, and what to do."""

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
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise NslibError(f"{path}: not a valid notebook: {reason}. Open and save it in JupyterLab, or "
                         "restore it.") from None
    return node


def check_source(path: str | Path, given: Iterable[str] = ()) -> list[Violation]:
    """Check all that can be known before a kernel starts; parameters `given` must be declared (UnknownName)."""
    declared = read_parameters(path)
    if declared:
        refuse_unknown(f"parameter of {Path(path).name}", given, declared)
    return _apply(path, (_one_parameters_cell, _no_outputs, _plain_python, _enough_prose, _backed_claims, _in_threes,
                         _solutions_stand_alone, _notes_for_instructors))


def check_executed(path: str | Path, given: Mapping[str, object] | None = None) -> list[Violation]:
    """Check what an executed notebook shows; `given` are the parameters that it was run with."""
    return _apply(path, (_ran_once_and_well, _described_pictures, lambda cells: _injected(cells, given or {})))


def read_parameters(path: str | Path) -> dict[str, object]:
    """Read the parameters of a notebook: name to default; empty if it has no readable cell tagged ``parameters``."""
    cells = tagged(read_notebook(path)["cells"], PARAMETERS_TAG)[:1]
    return {name: value for _, c in cells for name, value, _ in _literals(c["source"]) if value is not _NOT_LITERAL}


def _apply(path: str | Path, rules: Iterable[Callable[[list[Node]], Broken]]) -> list[Violation]:
    """List what breaks rules, in the order of the cells."""
    cells = read_notebook(path)["cells"]
    lines = ["", *((cell["source"].strip().splitlines() or [""])[0][:80] for cell in cells)]
    violations = [Violation(Path(path).name, at, lines[at], wrong, remedy)
                  for rule in rules for at, wrong, remedy in rule(cells)]
    return sorted(violations, key=lambda v: (v.cell, v.rule))


def code_cells(cells: list[Node]) -> list[tuple[int, Node]]:
    """List the code cells with their numbers."""
    return [(at, cell) for at, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]


def tagged(cells: list[Node], tag: str) -> list[tuple[int, Node]]:
    """List the code cells that have a tag, with their numbers."""
    return [(at, cell) for at, cell in code_cells(cells) if tag in cell["metadata"].get("tags", [])]


def parse(source: str) -> ast.Module | None:
    """Parse the source of a cell; None if it is not Python."""
    with contextlib.suppress(SyntaxError):
        return ast.parse(source)
    return None


def _walk(source: str) -> list[ast.AST]:
    return list(ast.walk(parse(source) or ast.Module([], [])))


def _calls(source: str) -> list[tuple[str, ast.Call]]:
    """List the calls of a cell with what is called."""
    return [(ast.unparse(node.func), node) for node in _walk(source) if isinstance(node, ast.Call)]


def _names_read(source: str) -> set[str]:
    return {n.id for n in _walk(source) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


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


def _one_parameters_cell(cells: list[Node]) -> Broken:
    here = tagged(cells, PARAMETERS_TAG)
    if len(here) != 1:
        at = here[1][0] if here else 0
        yield at, f"{len(here) or 'no'} cells are tagged 'parameters'", "Tag exactly one code cell so"
    for at, cell in here:
        tokens = tokenize.generate_tokens(io.StringIO(cell["source"]).readline) if parse(cell["source"]) else ()
        comments = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
        # a name that stands in a cell that is no Python counts as used
        used = {name for i, c in code_cells(cells) if i != at
                for name in (_names_read(c["source"]) if parse(c["source"]) else re.findall(r"\w+", c["source"]))}
        for name, value, line in _literals(cell["source"]):
            if value is _NOT_LITERAL:
                yield at, f"{name!r} in the parameters cell is not 'name = literal'", "Derive values in the next cell"
                continue
            if line not in comments:
                yield at, f"parameter {name!r} has no comment", "Say its unit or its choices: name = value  # …"
            if name not in used:
                yield at, f"parameter {name!r} is never used", "Use it, or take it out"


def _no_outputs(cells: list[Node]) -> Broken:
    promised = dict(tagged(cells, _OUTPUT_TAG))
    for at, cell in code_cells(cells):
        counted = cell.get("execution_count") is not None
        if at in promised:
            if not (cell["outputs"] and counted):  # nbval compares no output without an execution count
                yield at, f"a cell tagged {_OUTPUT_TAG!r} has no output to compare with", "Run it and save, or untag it"
            continue
        if cell["outputs"]:
            yield at, "the source notebook holds outputs", f"Clear them; if the text is promised, tag {_OUTPUT_TAG!r}"
        if counted:
            yield at, "the source notebook holds an execution count", "Clear all outputs before you save"


def _plain_python(cells: list[Node]) -> Broken:
    colab = dict(tagged(cells, COLAB_TAG))
    for at, cell in code_cells(cells):
        source = cell["source"]
        if at in colab:
            if GUARD not in source:
                yield at, "the colab cell is not guarded", f"Put everything below: {GUARD}"
        elif parse(source) is None:
            if _MAGIC.search(source):
                remedy = "Call Python instead; only the cell tagged 'colab' may use ! and %"
                yield at, "the cell has a shell or magic line", remedy
            else:
                yield at, "the cell is not valid Python", "Correct it"


def _enough_prose(cells: list[Node]) -> Broken:
    prose = sum(cell["cell_type"] == "markdown" for cell in cells)
    total = prose + len(code_cells(cells))
    if prose < MIN_PROSE * total:
        yield 0, f"{prose} of {total} cells are prose, less than {MIN_PROSE:.0%}", "Say what the code cells show"


def _backed_claims(cells: list[Node]) -> Broken:
    claim, remedy = 0, "Call nslib.check(condition, sentence) after it, before the next claim"
    for at, cell in enumerate(cells, 1):
        # not any .check(...): that of nslib.embeddings is a report, not a promise
        if cell["cell_type"] == "code" and {"check", "nslib.check"} & {name for name, _ in _calls(cell["source"])}:
            claim = 0
        elif cell["cell_type"] == "markdown" and _CLAIM.search(cell["source"]):
            if claim:
                yield claim, "this claim has no check", remedy
            claim = at
    if claim:
        yield claim, "this claim has no check", remedy


def answers_of(check: str) -> tuple[str, ...]:
    """List the names that the check of an exercise expects: the keywords of its ``made(...)``, in their order."""
    return tuple(k.arg for name, call in _calls(check) if name.endswith(".made") for k in call.keywords if k.arg)


def _exercise_of(check: str) -> str:
    """Return the letter that ``nslib.exercise`` is given in a check; empty if there is none."""
    return next((str(call.args[0].value) for name, call in _calls(check) if name == "nslib.exercise" and call.args
                 and isinstance(call.args[0], ast.Constant)), "")


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
        nodes = _walk(cell["source"])
        made = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        made -= {n.id for c in nodes if isinstance(c, ast.comprehension)  # what lives only inside one
                 for n in ast.walk(c.target) if isinstance(n, ast.Name)}
        expected = answers_of(cells[at]["source"]) if at < len(cells) else ()
        if not expected:
            yield at, "its check does not say what is to be made", "Begin it with it.made(name=name)"
        for name in sorted(set(expected) - made):
            yield at, f"its check wants {name!r}, which the solution does not make", "Use the same name"
        lines = len(cell["source"].strip().splitlines())
        if lines > MAX_SOLUTION_LINES:
            yield at, f"the solution has {lines} lines, more than {MAX_SOLUTION_LINES}", "Ask for less, or prepare more"
        # the exercise and its check may, of course
        readers = [(i, _names_read(c["source"])) for i, c in code_cells(cells) if i not in (at, at + 1)]
        for name in sorted(made):
            if reader := next((i for i, names in readers if name in names), None):
                yield (at, f"{name!r}, made in this exercise, is read in cell {reader}",
                       "Call it otherwise: who is stuck here must be able to go on")


def _notes_for_instructors(cells: list[Node]) -> Broken:
    for at, cell in tagged(cells, EXERCISE_TAG):
        about = cell["metadata"].get(WORKSHOP, {})
        mistakes = about.get("mistakes")
        if not str(about.get("notes", "")).strip():
            yield at, "metadata 'workshop' has no notes", "Say for the instructor what to ask, and what people say"
        if not (isinstance(mistakes, list) and mistakes and all(isinstance(m, str) and m.strip() for m in mistakes)):
            yield at, "metadata 'workshop' has no mistakes", "List the source texts of typical wrong answers"


def _ran_once_and_well(cells: list[Node]) -> Broken:
    for expected, (at, cell) in enumerate(code_cells(cells), 1):
        if (count := cell.get("execution_count")) != expected:
            yield at, f"its execution count is {count}, expected {expected}", "Run all cells once, from the top"
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                first = output["evalue"].partition("\n")[0]
                yield at, f"it failed: {output['ename']}: {first}", "See the traceback in the executed notebook"


def _described_pictures(cells: list[Node]) -> Broken:
    remedy = "Show a figure of the kit, which brings its text"
    for at, output in ((at, output) for at, cell in code_cells(cells) for output in cell["outputs"]):
        kinds, about = output.get("data", {}), output.get("metadata", {})
        images = [kind for kind in kinds if kind.startswith("image/")]
        bare = [kind for kind in images if not str(about.get(kind, {}).get("alt", "")).strip()]
        if bare or not all(map(_ALT.search, _IMAGE.findall("".join(kinds.get("text/html", ""))))):
            yield at, f"a picture ({', '.join(bare) or 'in HTML'}) has no alternative text", remedy


def _injected(cells: list[Node], given: Mapping[str, object]) -> Broken:
    injected = {n: v for _, c in tagged(cells, _INJECTED_TAG) for n, v, _ in _literals(c["source"])}
    for name, value in given.items():
        if name not in injected:
            yield 0, f"parameter {name!r} was given but not injected", "Declare it in the parameters cell"
        elif injected[name] != value:
            yield 0, f"parameter {name!r} was given as {value!r} but injected as {injected[name]!r}", "Give a literal"


def make_kernel_manager(scratch: str | Path, env: Mapping[str, str] | None = None) -> type:
    """Make a class of kernel managers for this very Python, with `scratch` in place of the user's IPython folder."""
    import zmq
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", f"--ipython-dir={scratch}"]

    class ThisPython(AsyncKernelManager):
        @default("transport_encryption")
        def _encryption(self) -> str:
            return "auto" if zmq.has("curve") else "disabled"

        @property
        def kernel_spec(self) -> KernelSpec:
            about = {"supported_encryption": ["curve"]}
            return KernelSpec(argv=argv, display_name="Python 3", language="python", metadata=about,
                              env=dict(env or {}))

    return ThisPython
