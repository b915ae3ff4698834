"""The exercises of a notebook and what an instructor must know of them: the one source of all editions.

Conventions
-----------
How exercises are written is in `nslib.workshop.rules`. A notebook with exercises is a *chapter* of the workshop. Its
metadata have an entry ``workshop``: for each path ("90", "180") the ``minutes`` to walk through it, exercises apart,
and in ``read`` what of it; a path that leaves the chapter out has no entry.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import notebook, params
from nslib.errors import NslibError, UnknownName
from nslib.notebook_cells import tagged
from nslib.workshop.rules import EXERCISE_TAG, HEADING, METADATA, PATHS, made_by


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    name, title : str
        Letter, and what it is about.
    at : int
        Index of its cell, from 0; the check is the next one.
    solution, check : str
        Source texts.
    makes : tuple of str
        Names that an empty cell leaves open.
    minutes : int
    path : {"90", "180"}
        The shortest path that it is in.
    notes : str
        For the instructor, Markdown.
    mistakes : tuple of str
        Source texts that the check must refuse.
    """

    name: str
    title: str
    at: int
    solution: str
    check: str
    makes: tuple[str, ...]
    minutes: int
    path: str
    notes: str
    mistakes: tuple[str, ...]


@dataclass(frozen=True)
class Walk:
    """What a path takes of a chapter, exercises apart."""

    minutes: int
    read: str


@dataclass(frozen=True)
class Chapter:
    """A notebook of the workshop.

    Attributes
    ----------
    path : Path
        Source notebook.
    title : str
        Its heading.
    node : NotebookNode
        Its content; take a copy before you change it.
    exercises : tuple of Exercise
    walks : dict of str to Walk
        By path.
    """

    path: Path
    title: str
    node: Any
    exercises: tuple[Exercise, ...]
    walks: dict[str, Walk]

    @property
    def name(self) -> str:
        """str: file name."""
        return self.path.name

    def copy(self) -> Any:
        """NotebookNode: its content, to be changed."""
        return copy.deepcopy(self.node)

    def exercises_of(self, path: str) -> list[Exercise]:
        """Exercises that a path has time for.

        Parameters
        ----------
        path : {"90", "180"}

        Returns
        -------
        list of Exercise
        """
        return [e for e in self.exercises if path in self.walks and PATHS[e.path] <= PATHS[path]]


def chapter(path: Path) -> Chapter:
    """Read a notebook that keeps the contract.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Chapter

    Raises
    ------
    ContractBroken
        If the notebook breaks the contract; it says where.
    NslibError
        If the file is no notebook, or its times cannot be read.
    """
    import nbformat

    broken = notebook.check_source(path)
    if broken:
        raise notebook.ContractBroken(broken)
    node = nbformat.read(path, as_version=4)
    cells = node["cells"]
    exercises = tuple(_exercise(cells, at - 1) for at, _ in tagged(cells, EXERCISE_TAG))
    title = cells[0]["source"].splitlines()[0].lstrip("# ").strip()
    return Chapter(path, title, node, exercises, _walks(path.name, node["metadata"].get(METADATA, {})))


def chapters(names: Iterable[str] | None = None, folder: Path | None = None) -> list[Chapter]:
    """Read the chapters of the workshop.

    Parameters
    ----------
    names : iterable of str, optional
        Notebooks, with or without ending; default: all with exercises.
    folder : Path, optional
        Default: the kit's notebooks.

    Returns
    -------
    list of Chapter
        In the order of their names.

    Raises
    ------
    UnknownName
        For a name that is no notebook.
    ContractBroken, NslibError
        As of `chapter`.
    """
    there = {path.stem: path for path in sorted((folder or params.notebooks_dir()).glob("*.ipynb"))}
    with_exercises = [name for name, path in there.items() if tagged(notebook.read(path)["cells"], EXERCISE_TAG)]
    wanted = [Path(name).stem for name in names] if names is not None else with_exercises
    for name in wanted:
        if name not in with_exercises:
            raise UnknownName("notebook with exercises", name, with_exercises)
    if not wanted:
        raise NslibError("no notebook has exercises: none has a cell that is tagged 'exercise'.")
    return [chapter(there[name]) for name in there if name in wanted]


def _exercise(cells: list[Any], at: int) -> Exercise:
    about = cells[at]["metadata"][METADATA]
    heading = HEADING.match(cells[at - 1]["source"])
    assert heading is not None  # the contract was checked
    check = cells[at + 1]["source"]
    return Exercise(heading["name"], heading["title"], at, cells[at]["source"], check, made_by(check),
                    about["minutes"], about["path"], about["notes"], tuple(about["mistakes"]))


def _walks(name: str, given: Any) -> dict[str, Walk]:
    if not given:
        wanted = "how long each path takes for it"
        raise NslibError(f"{name} has exercises, but its metadata do not say, under 'workshop', {wanted}.")
    for path, about in dict(given).items():
        if path not in PATHS:
            raise UnknownName(f"path in the metadata of {name}", path, PATHS)
        if not isinstance(about.get("minutes"), int) or not str(about.get("read", "")).strip():
            raise NslibError(f"{name}: the metadata 'workshop' of path {path} need minutes (a whole number) and read.")
    return {path: Walk(about["minutes"], about["read"]) for path, about in dict(given).items()}
