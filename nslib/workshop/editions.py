"""Editions of a chapter: for readers, for participants, for instructors.

===========  ===========================================================================================
reader       as the source, with solutions; what only the instructor may see is gone
student      exercise cells are emptied, what comes out when they are right stands below them as a hint, and a
             check that fails lets *Run all* go on
instructor   as the reader's, with a box below each exercise: time, notes, typical mistakes and what the check says
===========  ===========================================================================================

Conventions
-----------
An edition is made from a copy; cell ids stay, cells that are added get ids of their own, so that equal sources give
equal editions. Instead of the cell for Colab, an edition has one that finds the workshop's folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from nslib.colab_cells import without_invitation
from nslib.notebook_cells import tree
from nslib.notebook_rules import COLAB_TAG
from nslib.workshop.outcome import Proof, alternative, picture, text
from nslib.workshop.rules import CHECK_TAG, METADATA
from nslib.workshop.source import Chapter, Exercise

SETUP = '''\
import sys
from pathlib import Path

places = [p for p in (Path.cwd(), *Path.cwd().parents) if (p / "nslib" / "workshop").is_dir()]
sys.path[:0] = map(str, places[:1])  # the kit that lies beside this notebook
from nslib import workshop

workshop.begin()'''
SETUP_TAG, HINT_TAG, INSTRUCTOR_TAG, PASSES_TAG = "setup", "hint", "instructor", "raises-exception"

_LINK = re.compile(r"\[([^\]]+)\]\(([\w-]+\.ipynb)\)")


def reader(chapter: Chapter, others: Collection[str] = ()) -> Any:
    """Make the edition with solutions and without notes.

    Parameters
    ----------
    chapter : Chapter
    others : collection of str
        File names that may be linked; other links become text.

    Returns
    -------
    NotebookNode
    """
    return _edition(chapter, others, lambda cells, exercise: [*cells])


def student(chapter: Chapter, proof: Mapping[str, Proof], others: Collection[str] = ()) -> Any:
    """Make the edition for participants.

    Parameters
    ----------
    chapter : Chapter
    proof : mapping
        Exercise to what its solution shows, from `nslib.workshop.proof.prove`.
    others : collection of str
        As of `reader`.

    Returns
    -------
    NotebookNode
    """
    def emptied(cells: Sequence[Any], exercise: Exercise) -> list[Any]:
        cell, check = cells
        cell["source"] = empty(exercise)
        check["metadata"]["tags"] = [CHECK_TAG, PASSES_TAG]
        return [cell, *_expected(cell["id"], proof[exercise.name]), check]

    return _edition(chapter, others, emptied)


def instructor(chapter: Chapter, proof: Mapping[str, Proof], others: Collection[str] = ()) -> Any:
    """Make the edition with solutions, times, notes, and what the checks say to typical mistakes.

    Parameters
    ----------
    chapter, proof, others
        As of `student`.

    Returns
    -------
    NotebookNode
    """
    def annotated(cells: Sequence[Any], exercise: Exercise) -> list[Any]:
        cell, check = cells
        shown = proof[exercise.name]
        return [cell, *_expected(cell["id"], shown), check,
                _markdown(f"{cell['id']}-notes", notes(exercise, shown), INSTRUCTOR_TAG)]

    return _edition(chapter, others, annotated)


def empty(exercise: Exercise) -> str:
    """Write the source of an emptied exercise cell.

    Parameters
    ----------
    exercise : Exercise

    Returns
    -------
    str
        The solution's imports, and ``name = ...`` for each name that the check wants.
    """
    parts = getattr(tree(exercise.solution), "body", [])
    lines = exercise.solution.splitlines()
    imports = [lines[p.lineno - 1] for p in parts if type(p).__name__ in ("Import", "ImportFrom")]
    wanted = [f"{name} = ...  # your code" for name in exercise.makes]
    return "\n".join([*imports, *([""] if imports else []), *wanted])


def notes(exercise: Exercise, proof: Proof) -> str:
    """Write the instructor's box of an exercise.

    Parameters
    ----------
    exercise : Exercise
    proof : Proof

    Returns
    -------
    str
        Markdown.
    """
    paths = "both paths" if exercise.path == "90" else "the path of three hours only"
    said = [f"```python\n{mistake}\n```\n\n> {_first(answer)}" for mistake, answer in proof.mistakes]
    return "\n\n".join([f"### For the instructor: exercise {exercise.name}, {exercise.minutes} minutes, in {paths}",
                        exercise.notes, "**Typical mistakes, and what the check says to them**", *said])


def _edition(chapter: Chapter, others: Collection[str], of: Callable[[Sequence[Any], Exercise], list[Any]]) -> Any:
    node = chapter.copy()
    node["metadata"].pop(METADATA, None)
    cells, at = [], {exercise.at: exercise for exercise in chapter.exercises}
    for index, cell in enumerate(node["cells"]):
        cell["metadata"].pop(METADATA, None)
        if index in at:
            cells += of(node["cells"][index:index + 2], at[index])
        elif index - 1 not in at:
            cells.append(cell)
    node["cells"] = cells
    _open(cells)
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(lambda m: m[0] if m[2] in others else m[1], cell["source"])
    return node


def _open(cells: list[Any]) -> None:
    """Put the cell that finds the workshop's folder in place of the one for Colab."""
    cells[0]["source"] = without_invitation(cells[0]["source"])
    for cell in cells:
        if COLAB_TAG in cell["metadata"].get("tags", []):
            cell["source"], cell["metadata"]["tags"] = SETUP, [SETUP_TAG]


def _expected(cell: str, proof: Proof) -> list[Any]:
    """What comes out of a right answer, folded away."""
    import base64

    head = "<details><summary>What comes out when it is right</summary>"
    image, words = picture(proof.outputs), text(proof.outputs)
    if image is None and not words:
        return []
    shown = [f"```text\n{words}\n```"] if words else []
    if image is not None:
        shown.append(f"![{alternative(proof.outputs)}](attachment:expected.png)")
    made = _markdown(f"{cell}-hint", "\n\n".join([head, *shown, "</details>"]), HINT_TAG)
    if image is not None:
        made["attachments"] = {"expected.png": {"image/png": base64.b64encode(image).decode()}}
    return [made]


def _markdown(name: str, source: str, tag: str) -> Any:
    from nbformat.v4 import new_markdown_cell

    return new_markdown_cell(source, id=name, metadata={"tags": [tag]})


def _first(said: str) -> str:
    return said.partition("\n")[0]
