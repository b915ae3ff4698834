"""The proof of an exercise: its solution passes its check, and the empty cell and each typical mistake do not.

Nothing is taken on trust: one kernel runs the chapter from its first cell, with these cells in place of each exercise:

1. the cell as participants get it, and the check, which must refuse it with `Unsolved` and the hint;
2. the solution, and the check, which must pass;
3. for each typical mistake: the mistake, and the check, which must refuse it; then the solution again.

Conventions
-----------
An error of any other kind than `Unsolved` is a fault of the check, not of the answer. All faults of a chapter are
collected, so that one run tells all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nslib import kernels
from nslib.errors import NslibError
from nslib.workshop.editions import PASSES_TAG, empty
from nslib.workshop.exercises import Unsolved
from nslib.workshop.outcome import Proof, failure, text
from nslib.workshop.source import Chapter, Exercise

CELL_SECONDS, START_SECONDS = 1800, 180


class Unproven(NslibError):
    """Exercises that do not teach what they should.

    Parameters
    ----------
    faults : list of str
        At least one sentence.
    """

    exit_code = 1

    def __init__(self, faults: list[str]):
        self.faults = faults
        super().__init__("\n".join(faults))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.faults,)


def prove(chapter: Chapter, environment: Mapping[str, str] | None = None, *, node: Any = None,
          cwd: Path | None = None) -> dict[str, Proof]:
    """Run a chapter with every exercise solved, empty and mistaken.

    Parameters
    ----------
    chapter : Chapter
    environment : mapping, optional
        Variables of the kernel besides those of this process, such as ``SMOKE``.
    node : NotebookNode, optional
        The reader's edition to be run; default: the source itself.
    cwd : Path, optional
        Folder of the kernel; default: that of the source.

    Returns
    -------
    dict of str to Proof
        By the exercise's letter.

    Raises
    ------
    Unproven
        If a solution does not pass, or an empty cell or a mistake does; with all of these in the chapter.
    NslibError
        If another cell fails.
    """
    from nbformat.v4 import new_notebook

    cells, roles = _cells(chapter, node if node is not None else chapter.copy())
    whole = new_notebook(cells=cells, metadata={"kernelspec": chapter.node["metadata"]["kernelspec"]})
    execute(whole, chapter.name, {**os.environ, **(environment or {})}, cwd or chapter.path.parent)
    outputs = {role: cell["outputs"] for cell, role in zip(whole["cells"], roles, strict=True) if role}
    faults: list[str] = []
    proofs = {e.name: _judge(chapter.name, e, outputs, faults) for e in chapter.exercises}
    if faults:
        raise Unproven(faults)
    return proofs


def execute(node: Any, name: str, environment: Mapping[str, str], cwd: Path) -> None:
    """Run a notebook in a kernel of this very Python.

    Parameters
    ----------
    node : NotebookNode
        Gets the outputs.
    name : str
        For messages.
    environment : mapping
        All variables of the kernel.
    cwd : Path

    Raises
    ------
    NslibError
        If a cell fails that is not tagged ``raises-exception``; the message has the cell and the error.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    with tempfile.TemporaryDirectory(prefix="nslib-workshop-") as scratch:
        client = NotebookClient(node, timeout=CELL_SECONDS, startup_timeout=START_SECONDS, coalesce_streams=True,
                                kernel_manager_class=kernels.manager(scratch),
                                resources={"metadata": {"path": str(cwd)}})
        try:
            client.execute(env=dict(environment))
        except CellExecutionError as error:
            raise NslibError(f"{name}: a cell failed: {error.ename}: {error.evalue}\n{error.traceback}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise NslibError(f"{name} could not be run to its end: {error}") from None


def _cells(chapter: Chapter, node: Any) -> tuple[list[Any], list[str]]:
    """Cells to be run, and for each what it proves ("" for those that prove nothing)."""
    cells: list[Any] = []
    roles: list[str] = []
    at = {exercise.at: exercise for exercise in chapter.exercises}
    for index, cell in enumerate(node["cells"]):
        if index in at:
            for role, source in _tries(at[index]):
                cells.append(_code(source))
                roles.append(role)
        elif index - 1 not in at and cell["cell_type"] == "code":
            cells.append(cell)
            roles.append("")
    return cells, roles


def _tries(exercise: Exercise) -> list[tuple[str, str]]:
    tries = [("empty", empty(exercise)), ("solution", exercise.solution)]
    for number, mistake in enumerate(exercise.mistakes):
        tries += [(f"mistake {number}", mistake), ("", exercise.solution)]
    found = []
    for role, source in tries:
        found.append((f"{exercise.name} {role}" if role else "", source))
        if role:
            found.append((f"{exercise.name} {role} check", exercise.check))
    return found


def _code(source: str) -> Any:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source, metadata={"tags": [PASSES_TAG]})


def _judge(notebook: str, exercise: Exercise, outputs: Mapping[str, Any], faults: list[str]) -> Proof:
    def said(role: str) -> str:
        return _refusal(f"{notebook}, exercise {exercise.name}", role, outputs, f"{exercise.name} {role}", faults)

    own, check = (failure(outputs[f"{exercise.name} solution{part}"]) for part in ("", " check"))
    if own or check:
        name, why = own or check or ("", "")
        what = "does not run" if own else "does not pass its own check"
        faults.append(f"{notebook}, exercise {exercise.name}: the solution {what}: {name}: {why}")
    mistakes = [(source, said(f"mistake {number}")) for number, source in enumerate(exercise.mistakes)]
    return Proof(tuple(outputs[f"{exercise.name} solution"]), text(outputs[f"{exercise.name} solution check"]),
                 said("empty"), tuple(mistakes))


def _refusal(where: str, role: str, outputs: Mapping[str, Any], key: str, faults: list[str]) -> str:
    """What the check said to a wrong answer; a fault if it took it, or failed in another way."""
    called = "the empty cell" if role == "empty" else f"typical {role}"
    own, answer = failure(outputs[key]), failure(outputs[f"{key} check"])
    if own:
        faults.append(f"{where}: {called} does not run itself: {own[0]}: {own[1]}")
    elif answer is None:
        faults.append(f"{where}: {called} passes the check. The check asks for too little.")
    elif answer[0] != Unsolved.__name__:
        faults.append(f"{where}: to {called} the check fails with {answer[0]} ({answer[1]}), not with its hint.")
    return answer[1] if answer else ""
