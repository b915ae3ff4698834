"""The strict notebook contract: what is checked before a kernel starts, and after it has run.

Conventions
-----------
A notebook of this kit

- has exactly one code cell tagged ``parameters``: literals only, each line with a comment that
  gives unit or choices, and every parameter is used later;
- begins with a title and ends with the sections *Try it* and *What we saw*;
- is at least half prose, has short code cells and hardly any ``def``: code that is worth a
  function is worth a place in the package, where it is tested;
- is plain Python on any machine: no shell or magic lines except in the cell tagged ``colab``,
  which does something on Colab only; no absolute path; no committed output, except in cells
  tagged ``nbval-check-output``, whose text is compared when the notebook is tested;
- backs what it says: a prose cell that starts with ``**Claim`` is followed, before the next claim,
  by a ``check(...)``.

After the kernel: cells ran once each and in order, none failed, the parameters that were given
are the ones that were injected, and no picture is without alternative text.

Cells are counted from 1, prose and code together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nslib import notebook_rules as rules
from nslib.errors import NslibError, UnknownName
from nslib.notebook_rules import Node


@dataclass(frozen=True)
class Violation:
    """One broken rule of the contract.

    Attributes
    ----------
    notebook : str
        File name.
    cell : int
        Which cell, from 1; 0 for the notebook as a whole.
    line : str
        First line of that cell.
    rule : str
        What is wrong.
    remedy : str
        What to do.
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
    """A notebook breaks the contract.

    Parameters
    ----------
    violations : list of Violation
        At least one.
    """

    exit_code = 1

    def __init__(self, violations: list[Violation]):
        self.violations = violations
        super().__init__("\n".join(map(str, violations)))


def read(path: str | Path) -> Node:
    """Read a notebook file.

    Parameters
    ----------
    path : path-like
        An ``.ipynb`` file.

    Returns
    -------
    nbformat.NotebookNode
        Notebook of format 4.

    Raises
    ------
    NslibError
        If the file is not a valid notebook; the message names it.
    """
    import nbformat

    try:
        node = nbformat.read(str(path), as_version=4)
        nbformat.validate(node)
    except (nbformat.ValidationError, ValueError, AttributeError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NslibError(
            f"{path}: not a valid notebook: {reason}. Open and save it in JupyterLab, or restore it."
        ) from None
    return dict(node)


def check_source(path: str | Path, given: Iterable[str] = ()) -> list[Violation]:
    """Everything that can be known before a kernel starts.

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
    found = _apply(path, rules.SOURCE)
    declared = parameters(path)
    for name in given:
        if declared and name not in declared:
            raise UnknownName(f"parameter of {Path(path).name}", name, declared)
    return found


def check_executed(path: str | Path, given: Mapping[str, object] | None = None) -> list[Violation]:
    """What the executed notebook shows.

    Parameters
    ----------
    path : path-like
        Executed notebook.
    given : mapping, optional
        Parameters that it was run with.

    Returns
    -------
    list of Violation
        In the order of the cells.
    """
    return _apply(path, (*rules.EXECUTED, rules.injected(given or {})))


def parameters(path: str | Path) -> dict[str, object]:
    """Parameters that a notebook declares, with their defaults.

    Parameters
    ----------
    path : path-like
        Source notebook.

    Returns
    -------
    dict
        Name to default; empty if there is no readable cell tagged ``parameters``.
    """
    return rules.declared(read(path)["cells"])


def check_folder(folder: str | Path) -> list[Violation]:
    """`check_source` on every notebook of a folder.

    Parameters
    ----------
    folder : path-like
        Where they are.

    Returns
    -------
    list of Violation
        Notebook by notebook.
    """
    return [violation for path in sorted(Path(folder).glob("*.ipynb")) for violation in check_source(path)]


def _apply(path: str | Path, every: Iterable[rules.Rule]) -> list[Violation]:
    cells = read(path)["cells"]
    found = [
        Violation(Path(path).name, at, _first(cells, at), broken, remedy)
        for rule in every
        for at, broken, remedy in rule(cells)
    ]
    return sorted(found, key=lambda v: (v.cell, v.rule))


def _first(cells: list[Node], at: int) -> str:
    lines = cells[at - 1]["source"].strip().splitlines() if at else []
    return lines[0][:80] if lines else ""
