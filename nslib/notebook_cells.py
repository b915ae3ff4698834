"""Reading the cells of a notebook: kinds, tags, and the Python in them. What the notebook rules are made of.

Conventions
-----------
Cells count from 1, prose and code together.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
Found = Iterator[tuple[int, str, str]]
Rule = Callable[[list[Node]], Found]


def code(cells: list[Node]) -> list[tuple[int, Node]]:
    """List the code cells.

    Parameters
    ----------
    cells : list of cells

    Returns
    -------
    list of (int, cell)
    """
    return [(i, c) for i, c in enumerate(cells, 1) if c["cell_type"] == "code"]


def prose(cells: list[Node]) -> list[tuple[int, Node]]:
    """List the Markdown cells.

    Parameters
    ----------
    cells : list of cells

    Returns
    -------
    list of (int, cell)
    """
    return [(i, c) for i, c in enumerate(cells, 1) if c["cell_type"] == "markdown"]


def tagged(cells: list[Node], tag: str) -> list[tuple[int, Node]]:
    """List the code cells that have a tag.

    Parameters
    ----------
    cells : list of cells
    tag : str

    Returns
    -------
    list of (int, cell)
    """
    return [(i, c) for i, c in code(cells) if tag in c["metadata"].get("tags", [])]


def tree(source: str) -> ast.Module | None:
    """Parse the source of a cell.

    Parameters
    ----------
    source : str

    Returns
    -------
    ast.Module or None
        None if it is not Python.
    """
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def walk(source: str) -> Iterator[ast.AST]:
    """Go through everything in the source of a cell.

    Parameters
    ----------
    source : str

    Returns
    -------
    iterator of ast.AST
        Empty if it is not Python.
    """
    return ast.walk(tree(source) or ast.Module([], []))


def read_names(source: str) -> set[str]:
    """Names that a cell reads.

    Parameters
    ----------
    source : str

    Returns
    -------
    set of str
    """
    return {n.id for n in walk(source) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def made_names(source: str) -> set[str]:
    """Names that a cell assigns.

    Parameters
    ----------
    source : str

    Returns
    -------
    set of str
        Without what lives only inside a comprehension.
    """
    inside = {name for item in walk(source) if isinstance(item, ast.comprehension) for name in _stored(item.target)}
    return _stored(tree(source) or ast.Module([], [])) - inside


def _stored(item: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(item) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
