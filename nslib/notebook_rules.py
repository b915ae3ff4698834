"""The rules of the notebook contract, each a small function over a notebook's cells.

Conventions
-----------
A rule takes the list of cells and yields ``(cell, what is wrong, what to do)``; cells count from 1,
0 stands for the notebook as a whole. `nslib.notebook` says what the contract is and applies them.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MAX_CELL_LINES = 25
MAX_COLUMNS = 104
MAX_DEF_LINES = 5
MIN_PROSE = 0.5
ENDING = ("Try it", "What we saw")
OUTPUT_TAG, PARAMETERS_TAG, COLAB_TAG, INJECTED_TAG = (
    "nbval-check-output",
    "parameters",
    "colab",
    "injected-parameters",
)

_MAGIC = re.compile(r"^\s*[!%]|=\s*[!%]\w")
_ABSOLUTE = re.compile(r"^(/|[A-Za-z]:[\\/]|~[\\/]|\\\\)[\w.~-]")
_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"\s*[^\"\s][^\"]*\"|'\s*[^'\s][^']*')", re.IGNORECASE)

Node = Mapping[str, Any]
Found = Iterator[tuple[int, str, str]]
Rule = Callable[[list[Node]], Found]
_NOT_LITERAL = object()


def _code(cells: list[Node]) -> list[tuple[int, Node]]:
    return [(i, c) for i, c in enumerate(cells, 1) if c["cell_type"] == "code"]


def _prose(cells: list[Node]) -> list[tuple[int, Node]]:
    return [(i, c) for i, c in enumerate(cells, 1) if c["cell_type"] == "markdown"]


def _tags(cell: Node) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _literals(source: str) -> list[tuple[str, object, int]]:
    """Name, value and line of every statement; what is not ``name = literal`` has the value _NOT_LITERAL."""
    found: list[tuple[str, object, int]] = []
    for statement in getattr(_tree(source), "body", []):
        name, value = ast.unparse(statement), _NOT_LITERAL
        target = (
            statement.targets[0]
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1
            else None
        )
        if isinstance(target, ast.Name):
            name = target.id
            try:
                value = ast.literal_eval(statement.value)
            except ValueError:
                value = _NOT_LITERAL
        found.append((name, value, statement.lineno))
    return found


def declared(cells: list[Node]) -> dict[str, object]:
    """Parameters that a notebook declares, with their defaults.

    Parameters
    ----------
    cells : list of cells
        Of the source notebook.

    Returns
    -------
    dict
        Name to default; empty if there is no readable cell tagged ``parameters``.
    """
    tagged = [c for _, c in _code(cells) if PARAMETERS_TAG in _tags(c)]
    found = _literals(tagged[0]["source"]) if tagged else []
    return {name: value for name, value, _ in found if value is not _NOT_LITERAL}


def _one_parameters_cell(cells: list[Node]) -> Found:
    tagged = [(i, c) for i, c in _code(cells) if PARAMETERS_TAG in _tags(c)]
    if len(tagged) != 1:
        at = tagged[1][0] if tagged else 0
        yield (
            at,
            f"{len(tagged) or 'no'} cells are tagged 'parameters'",
            "Tag exactly one code cell 'parameters'",
        )
    for at, cell in tagged:
        lines = cell["source"].splitlines()
        for name, value, line in _literals(cell["source"]):
            if value is _NOT_LITERAL:
                yield (
                    at,
                    f"{name!r} in the parameters cell is not 'name = literal'",
                    "Derive values in the next cell",
                )
            elif "#" not in _comment(lines[line - 1]):
                yield (
                    at,
                    f"parameter {name!r} has no comment",
                    "Say its unit or its choices behind it: name = value  # …",
                )
        yield from (
            (at, f"parameter {n!r} is never used", "Use it, or take it out") for n in _unused(cells, at)
        )


def _comment(line: str) -> str:
    try:
        return "".join(
            t.string
            for t in tokenize.generate_tokens(io.StringIO(line).readline)
            if t.type == tokenize.COMMENT
        )
    except tokenize.TokenError:
        return line


def _unused(cells: list[Node], at: int) -> list[str]:
    others = [_names(c["source"]) for i, c in _code(cells) if i != at]
    return [name for name in declared([cells[at - 1]]) if not any(name in names for names in others)]


def _names(source: str) -> set[str]:
    tree = _tree(source)
    if tree is None:
        return set(re.findall(r"\w+", source))
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _no_outputs(cells: list[Node]) -> Found:
    for at, cell in _code(cells):
        if OUTPUT_TAG in _tags(cell):
            if not cell["outputs"]:
                yield (
                    at,
                    f"a cell tagged '{OUTPUT_TAG}' has no output to compare with",
                    "Run the cell and save it, or untag it",
                )
        elif cell["outputs"]:
            yield (
                at,
                "the source notebook holds outputs",
                f"Clear them, or tag the cell '{OUTPUT_TAG}' if its text is promised",
            )
        if cell.get("execution_count") is not None:
            yield at, "the source notebook holds an execution count", "Clear all outputs before you save"


def _short_cells(cells: list[Node]) -> Found:
    for at, cell in _code(cells):
        lines = len(cell["source"].strip().splitlines())
        if lines > MAX_CELL_LINES:
            yield (
                at,
                f"the cell has {lines} lines, more than {MAX_CELL_LINES}",
                "Split it: one thought a cell",
            )
        if not lines:
            yield at, "the cell is empty", "Take it out"
        longest = max(map(len, cell["source"].splitlines()), default=0)
        if longest > MAX_COLUMNS:
            yield at, f"a line has {longest} characters, more than {MAX_COLUMNS}", "Break it: it must fit a projector"
        for item in ast.walk(_tree(cell["source"]) or ast.Module([], [])):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                length = (item.end_lineno or item.lineno) - item.lineno + 1
                if length > MAX_DEF_LINES:
                    yield (
                        at,
                        f"{item.name!r} has {length} lines, more than {MAX_DEF_LINES}",
                        "Move it into the package, with a test",
                    )


def _plain_python(cells: list[Node]) -> Found:
    for at, cell in _code(cells):
        if COLAB_TAG in _tags(cell):
            if 'if "google.colab" in sys.modules:' not in cell["source"]:
                yield (
                    at,
                    "the colab cell is not guarded",
                    'Put everything below: if "google.colab" in sys.modules:',
                )
            continue
        tree = _tree(cell["source"])
        if tree is None and any(_MAGIC.search(line) for line in cell["source"].splitlines()):
            yield (
                at,
                "the cell has a shell or magic line",
                "Call Python instead; only the cell tagged 'colab' may use ! and %",
            )
        elif tree is None:
            yield at, "the cell is not valid Python", "Correct it"
        elif {"get_ipython", "os.system"} & {
            ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Name | ast.Attribute)
        }:
            yield at, "the cell calls the shell", "Call Python instead"


def _no_absolute_paths(cells: list[Node]) -> Found:
    for at, cell in _code(cells):
        for item in ast.walk(_tree(cell["source"]) or ast.Module([], [])):
            if isinstance(item, ast.Constant) and isinstance(item.value, str) and _ABSOLUTE.match(item.value):
                yield (
                    at,
                    f"{item.value!r} is an absolute path",
                    "Use a path from nslib.params, or a temporary folder",
                )


def _enough_prose(cells: list[Node]) -> Found:
    prose, code = len(_prose(cells)), len(_code(cells))
    if prose + code and prose / (prose + code) < MIN_PROSE:
        yield (
            0,
            f"{prose} of {prose + code} cells are prose, less than {MIN_PROSE:.0%}",
            "Say what the code cells show",
        )


def _backed_claims(cells: list[Node]) -> Found:
    claim = 0
    for at, cell in enumerate(cells, 1):
        if cell["cell_type"] == "code" and _calls_check(cell["source"]):
            claim = 0
        elif cell["cell_type"] == "markdown" and cell["source"].lstrip().startswith("**Claim"):
            if claim:
                yield (
                    claim,
                    "this claim has no check",
                    "Call nslib.check(condition, sentence) before the next claim",
                )
            claim = at
    if claim:
        yield claim, "this claim has no check", "Call nslib.check(condition, sentence) after it"


def _calls_check(source: str) -> bool:
    calls = (n for n in ast.walk(_tree(source) or ast.Module([], [])) if isinstance(n, ast.Call))
    # Not any .check(...): nslib.embeddings.check is a report, not a promise.
    return any(ast.unparse(call.func) in ("check", "nslib.check") for call in calls)


def _begins_and_ends(cells: list[Node]) -> Found:
    if not cells or cells[0]["cell_type"] != "markdown" or not cells[0]["source"].startswith("# "):
        yield (
            min(1, len(cells)),
            "the notebook does not begin with a title",
            "Begin with a prose cell: # Title",
        )
    lines = [line for _, c in _prose(cells) for line in c["source"].splitlines() if line.startswith("#")]
    sections = [re.sub(r"^#+\s*[\d.]*\s*", "", line).strip() for line in lines]
    if sections[-2:] != list(ENDING):
        yield (
            0,
            f"the last two sections are {sections[-2:]}",
            f"End with the sections {' and '.join(map(repr, ENDING))}",
        )


def _counts_in_order(cells: list[Node]) -> Found:
    for expected, (at, cell) in enumerate(_code(cells), 1):
        if cell.get("execution_count") != expected:
            yield (
                at,
                f"its execution count is {cell.get('execution_count')}, expected {expected}",
                "Run all cells once, from the top",
            )


def _no_errors(cells: list[Node]) -> Found:
    for at, cell in _code(cells):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield (
                    at,
                    f"it failed: {output['ename']}: {output['evalue'].splitlines()[0] if output['evalue'] else ''}",
                    "See the notebook",
                )


def _described_pictures(cells: list[Node]) -> Found:
    remedy = "Show a Figure of nslib.plots, which brings its text"
    for at, cell in _code(cells):
        for output in cell["outputs"]:
            kinds, about = output.get("data", {}), output.get("metadata", {})
            bare = [
                k
                for k in kinds
                if k.startswith("image/") and not str(about.get(k, {}).get("alt", "")).strip()
            ]
            shown = _IMAGE.findall("".join(kinds.get("text/html", "")))
            if bare or any(not _ALT.search(tag) for tag in shown):
                yield at, f"a picture ({', '.join(bare) or 'in HTML'}) has no alternative text", remedy


def injected(given: Mapping[str, object]) -> Rule:
    """A rule: exactly these parameters were injected.

    Parameters
    ----------
    given : mapping
        Name to value.

    Returns
    -------
    callable
    """

    def rule(cells: list[Node]) -> Found:
        got = {
            n: v for _, c in _code(cells) if INJECTED_TAG in _tags(c) for n, v, _ in _literals(c["source"])
        }
        for name, value in given.items():
            if name not in got:
                yield 0, f"parameter {name!r} was given but not injected", "Declare it in the parameters cell"
            elif got[name] != value:
                yield (
                    0,
                    f"parameter {name!r} was given as {value!r} but injected as {got[name]!r}",
                    "Give a literal",
                )

    return rule


SOURCE: tuple[Rule, ...] = (
    _one_parameters_cell,
    _no_outputs,
    _short_cells,
    _plain_python,
    _no_absolute_paths,
    _enough_prose,
    _backed_claims,
    _begins_and_ends,
)
EXECUTED: tuple[Rule, ...] = (_counts_in_order, _no_errors, _described_pictures)
