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
from collections.abc import Mapping

from nslib.notebook_cells import Found, Node, Rule, code, prose, read_names, tagged, tree, walk
from nslib.workshop.rules import EXERCISES

MAX_CELL_LINES, MAX_COLUMNS, MAX_DEF_LINES, MIN_PROSE = 25, 104, 5, 0.5
ENDING = ("Try it", "What we saw")
PARAMETERS_TAG, INJECTED_TAG, COLAB_TAG = "parameters", "injected-parameters", "colab"
OUTPUT_TAG = "nbval-check-output"
GUARD = 'if "google.colab" in sys.modules:'

_MAGIC = re.compile(r"^\s*[!%]|=\s*[!%]\w")
_ABSOLUTE = re.compile(r"^(/|[A-Za-z]:[\\/]|~[\\/]|\\\\)[\w.~-]")
_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ALT = re.compile(r"\balt\s*=\s*(\"\s*[^\"\s][^\"]*\"|'\s*[^'\s][^']*')", re.IGNORECASE)
_CLAIM = re.compile(r"^\*\*Claim", re.MULTILINE)
_NOT_LITERAL = object()


def _literals(source: str) -> list[tuple[str, object, int]]:
    """Name, value and line of every statement; the value of what is no ``name = literal`` is _NOT_LITERAL."""
    found: list[tuple[str, object, int]] = []
    for statement in getattr(tree(source), "body", []):
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if len(targets) == 1 and isinstance(targets[0], ast.Name):
            found.append((targets[0].id, _literal(statement.value), statement.lineno))
        else:
            found.append((ast.unparse(statement), _NOT_LITERAL, statement.lineno))
    return found


def _literal(expression: ast.expr) -> object:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return _NOT_LITERAL


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
    found = [pair for _, c in tagged(cells, PARAMETERS_TAG)[:1] for pair in _literals(c["source"])]
    return {name: value for name, value, _ in found if value is not _NOT_LITERAL}


def _one_parameters_cell(cells: list[Node]) -> Found:
    here = tagged(cells, PARAMETERS_TAG)
    if len(here) != 1:
        at = here[1][0] if here else 0
        yield at, f"{len(here) or 'no'} cells are tagged 'parameters'", "Tag exactly one code cell so"
    for at, cell in here:
        yield from _parameters(at, cell["source"])
        for name in _unused(cells, at):
            yield at, f"parameter {name!r} is never used", "Use it, or take it out"


def _parameters(at: int, source: str) -> Found:
    lines = source.splitlines()
    for name, value, line in _literals(source):
        if value is _NOT_LITERAL:
            said = f"{name!r} in the parameters cell is not 'name = literal'"
            yield at, said, "Derive values in the next cell"
        elif not _has_comment(lines[line - 1]):
            yield at, f"parameter {name!r} has no comment", "Say its unit or its choices: name = value  # …"


def _has_comment(line: str) -> bool:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line).readline))
    except tokenize.TokenError:  # the value goes on in the next line
        return "#" in line
    return any(token.type == tokenize.COMMENT for token in tokens)


def _unused(cells: list[Node], at: int) -> list[str]:
    others = [_names(c["source"]) for i, c in code(cells) if i != at]
    return [name for name in declared([cells[at - 1]]) if not any(name in names for names in others)]


def _names(source: str) -> set[str]:
    if tree(source) is None:
        return set(re.findall(r"\w+", source))
    return read_names(source)


def _no_outputs(cells: list[Node]) -> Found:
    promised = [at for at, _ in tagged(cells, OUTPUT_TAG)]
    for at, cell in code(cells):
        counted = cell.get("execution_count") is not None
        if at in promised:
            # nbval refuses to compare an output without an execution count.
            if not (cell["outputs"] and counted):
                said = f"a cell tagged {OUTPUT_TAG!r} has no output to compare with"
                yield at, said, "Run it and save, or untag it"
            continue
        if cell["outputs"]:
            remedy = f"Clear them; if the text is promised, tag {OUTPUT_TAG!r}"
            yield at, "the source notebook holds outputs", remedy
        if counted:
            yield at, "the source notebook holds an execution count", "Clear all outputs before you save"


def _short_cells(cells: list[Node]) -> Found:
    for at, cell in code(cells):
        lines = cell["source"].strip().splitlines()
        longest = max(map(len, lines), default=0)
        if not lines:
            yield at, "the cell is empty", "Take it out"
        if len(lines) > MAX_CELL_LINES:
            said = f"the cell has {len(lines)} lines, more than {MAX_CELL_LINES}"
            yield at, said, "Split it: one thought a cell"
        if longest > MAX_COLUMNS:
            said = f"a line has {longest} characters, more than {MAX_COLUMNS}"
            yield at, said, "Break it: it must fit a projector"


def _short_functions(cells: list[Node]) -> Found:
    for at, cell in code(cells):
        for item in walk(cell["source"]):
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                length = (item.end_lineno or item.lineno) - item.lineno + 1
                if length > MAX_DEF_LINES:
                    said = f"{item.name!r} has {length} lines, more than {MAX_DEF_LINES}"
                    yield at, said, "Move it into the package, with a test"


def _guarded_colab(cells: list[Node]) -> Found:
    for at, cell in tagged(cells, COLAB_TAG):
        if GUARD not in cell["source"]:
            yield at, "the colab cell is not guarded", f"Put everything below: {GUARD}"


def _plain_python(cells: list[Node]) -> Found:
    colab = [at for at, _ in tagged(cells, COLAB_TAG)]
    for at, source in ((i, c["source"]) for i, c in code(cells) if i not in colab):
        calls = {ast.unparse(n) for n in walk(source) if isinstance(n, ast.Name | ast.Attribute)}
        if tree(source) is not None:
            if calls & {"get_ipython", "os.system"}:
                yield at, "the cell calls the shell", "Call Python instead"
        elif any(_MAGIC.search(line) for line in source.splitlines()):
            remedy = "Call Python instead; only the cell tagged 'colab' may use ! and %"
            yield at, "the cell has a shell or magic line", remedy
        else:
            yield at, "the cell is not valid Python", "Correct it"


def _no_absolute_paths(cells: list[Node]) -> Found:
    for at, cell in code(cells):
        for item in walk(cell["source"]):
            if isinstance(item, ast.Constant) and isinstance(item.value, str) and _ABSOLUTE.match(item.value):
                remedy = "Use a path from nslib.params, or a temporary folder"
                yield at, f"{item.value!r} is an absolute path", remedy


def _enough_prose(cells: list[Node]) -> Found:
    words, both = len(prose(cells)), len(prose(cells)) + len(code(cells))
    if both and words / both < MIN_PROSE:
        said = f"{words} of {both} cells are prose, less than {MIN_PROSE:.0%}"
        yield 0, said, "Say what the code cells show"


def _backed_claims(cells: list[Node]) -> Found:
    claim, remedy = 0, "Call nslib.check(condition, sentence) after it, before the next claim"
    for at, cell in enumerate(cells, 1):
        if cell["cell_type"] == "code" and _calls_check(cell["source"]):
            claim = 0
        elif cell["cell_type"] == "markdown" and _CLAIM.search(cell["source"]):
            if claim:
                yield claim, "this claim has no check", remedy
            claim = at
    if claim:
        yield claim, "this claim has no check", remedy


def _calls_check(source: str) -> bool:
    calls = (ast.unparse(n.func) for n in walk(source) if isinstance(n, ast.Call))
    # Not any .check(...): nslib.embeddings.check is a report, not a promise.
    return any(call in ("check", "nslib.check") for call in calls)


def _begins_and_ends(cells: list[Node]) -> Found:
    if not cells or cells[0]["cell_type"] != "markdown" or not cells[0]["source"].startswith("# "):
        remedy = "Begin with a prose cell: # Title"
        yield min(1, len(cells)), "the notebook does not begin with a title", remedy
    lines = [line for _, c in prose(cells) for line in c["source"].splitlines() if line.startswith("#")]
    last = [re.sub(r"^#+\s*[\d.]*\s*", "", line).strip() for line in lines][-2:]
    if last != list(ENDING):
        remedy = f"End with the sections {' and '.join(map(repr, ENDING))}"
        yield 0, f"the last two sections are {last}", remedy


def _counts_in_order(cells: list[Node]) -> Found:
    for expected, (at, cell) in enumerate(code(cells), 1):
        count = cell.get("execution_count")
        if count != expected:
            said = f"its execution count is {count}, expected {expected}"
            yield at, said, "Run all cells once, from the top"


def _no_errors(cells: list[Node]) -> Found:
    for at, cell in code(cells):
        for output in (o for o in cell["outputs"] if o["output_type"] == "error"):
            first = output["evalue"].partition("\n")[0]
            yield at, f"it failed: {output['ename']}: {first}", "See the traceback in the executed notebook"


def _described_pictures(cells: list[Node]) -> Found:
    remedy = "Show a Figure of nslib.plots, which brings its text"
    for at, cell in code(cells):
        for output in cell["outputs"]:
            kinds, about = output.get("data", {}), output.get("metadata", {})
            images = [kind for kind in kinds if kind.startswith("image/")]
            bare = [kind for kind in images if not str(about.get(kind, {}).get("alt", "")).strip()]
            shown = _IMAGE.findall("".join(kinds.get("text/html", "")))
            if bare or any(not _ALT.search(tag) for tag in shown):
                yield at, f"a picture ({', '.join(bare) or 'in HTML'}) has no alternative text", remedy


def injected(given: Mapping[str, object]) -> Rule:
    """Make the rule that exactly these parameters were injected.

    Parameters
    ----------
    given : mapping
        Name to value.

    Returns
    -------
    callable
    """

    def rule(cells: list[Node]) -> Found:
        got = {n: v for _, c in tagged(cells, INJECTED_TAG) for n, v, _ in _literals(c["source"])}
        for name, value in given.items():
            if name not in got:
                yield 0, f"parameter {name!r} was given but not injected", "Declare it in the parameters cell"
            elif got[name] != value:
                said = f"parameter {name!r} was given as {value!r} but injected as {got[name]!r}"
                yield 0, said, "Give a literal"

    return rule


SOURCE: tuple[Rule, ...] = (
    _one_parameters_cell, _no_outputs, _short_cells, _short_functions, _guarded_colab, _plain_python,
    _no_absolute_paths, _enough_prose, _backed_claims, _begins_and_ends, *EXERCISES)
EXECUTED: tuple[Rule, ...] = (_counts_in_order, _no_errors, _described_pictures)
