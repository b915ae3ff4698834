"""The house: its size, its rooms, what may be imported where, and that every exported name has a user."""

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest

import nslib

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "nslib").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
ROOMS = {"audio", "cli", "config", "datasets", "embeddings", "errors", "evaluation", "extraction", "figures",
         "frontend", "paper", "report", "statistics", "teaching", "training"}
PRIVATE_ALLOWED = {"tensorflow.python.framework.convert_to_constants.convert_variables_to_constants_v2"}


def _imports(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _room(path: Path) -> str:
    return path.relative_to(ROOT / "nslib").parts[0].removesuffix(".py")


def _words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", text))


def _outside() -> str:
    notebooks = [cell["source"] for path in (ROOT / "notebooks").glob("*.ipynb")
                 for cell in nbformat.read(path, as_version=4)["cells"]]
    files = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "benchmarks").glob("*.py"),
             *(ROOT / "data").glob("*.py"), ROOT / "Makefile"]
    return "\n".join([*notebooks, *(path.read_text(encoding="utf-8") for path in files)])


# A reader's limits: what is added takes the place of something else.
MOST = 99, 29_190, 16_560  # files and lines of nslib, lines of tests


def test_the_library_and_its_tests_are_small():
    lines, of_tests = (sum(path.read_text(encoding="utf-8").count("\n") for path in paths)
                       for paths in (MODULES, (ROOT / "tests").rglob("*.py")))
    sizes = len(MODULES), lines, of_tests
    assert not any(size > most for size, most in zip(sizes, MOST, strict=True)), sizes


def test_the_rooms_are_the_fifteen_of_the_plan():
    assert {_room(path) for path in MODULES} - {"__init__", "__main__"} == ROOMS


def test_the_face_shows_at_most_twenty_names():
    assert len(nslib.__all__) <= 20 and all(getattr(nslib, name) is not None for name in nslib.__all__)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_of_the_library_stand_at_the_top(path):
    if _room(path) in ("cli", "__init__"):
        return
    hidden = [node.lineno for function in ast.walk(TREES[path]) if isinstance(function, ast.FunctionDef)
              for node in ast.walk(function)
              if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nslib"]
    assert not hidden, f"imports inside functions at lines {hidden}"


def test_no_private_part_of_a_library_is_imported():
    private = {name for tree in TREES.values() for name in _imports(tree)
               if re.match(r"sklearn(\.\w+)*\._|tensorflow\.python", name)}
    assert private <= PRIVATE_ALLOWED


def _exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(getattr(target, "id", "") == "__all__" for target in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[union-attr, arg-type]
    return None


def test_every_exported_name_has_a_user():
    """A name in a module's ``__all__`` is used by another room, a notebook, the docs, a benchmark, or its own room."""
    outside, used = _words(_outside()), {path: _words(path.read_text(encoding="utf-8")) for path in MODULES}
    unused = []
    for path, tree in TREES.items():
        if _room(path) in ("__init__", "__main__"):
            continue
        others = set().union(*(words for other, words in used.items()
                               if other != path and (other.stem != "__init__" or _room(other) != _room(path))))
        unused += [f"{path.relative_to(ROOT)}: {name}" for name in _exported(tree) or ()
                   if name not in others | outside]
    assert not unused, "\n".join(unused)


def test_every_module_says_what_it_exports():
    assert not [str(path.relative_to(ROOT)) for path, tree in TREES.items()
                if path.stem != "__main__" and _exported(tree) is None]


def test_names_in_notebooks_and_docs_exist():
    missing = []
    for chain in sorted(set(re.findall(r"\bnslib((?:\.[A-Za-z_]\w*)+)", _outside()))):
        value: object = nslib
        for name in chain[1:].split("."):
            if hasattr(value, "__path__") and importlib.util.find_spec(f"{value.__name__}.{name}"):
                value = importlib.import_module(f"{value.__name__}.{name}")
            elif isinstance(value, ModuleType) and not hasattr(value, name):
                missing.append(f"nslib{chain}")
                break
            else:
                value = getattr(value, name, None)
    assert not missing
