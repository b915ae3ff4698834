"""Clips that end their process (a crash of native code, no memory): found by giving each a process that may die.

Conventions
-----------
The child computes clip by clip and writes down each clip before it begins. When it dies, the last one begun is
the one, and the next child goes on behind it. So a unit costs one more process for each such clip, and the
worker itself lives. The child sees no GPU: that of the machine is in the worker's hands.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib.errors import BadAudio, NslibError
from nslib.extract.step import Done, load, step
from nslib.extract.units import Item

if TYPE_CHECKING:
    from nslib.cluster.recipes import Recipe

_GIVEN, _FOUND, _SAID = "given", "found", "said"


def each(recipe: Recipe, unit: list[Item]) -> Done:
    """Compute the clips of a unit one by one in other processes.

    Parameters
    ----------
    recipe : Recipe
        How the embedding is loaded.
    unit : list of Item

    Returns
    -------
    Done

    Raises
    ------
    NslibError
        If the process ends before the first clip.
    """
    done, left = Done(), list(unit)
    while left:
        with tempfile.TemporaryDirectory(prefix="nslib-alone-") as folder:
            code = _child(Path(folder), recipe, left)
            begun = _collect(Path(folder) / _FOUND, done)
            said = (Path(folder) / _SAID).read_text(errors="replace").strip()[-300:]
        if code == 0:
            break
        if not begun:
            raise NslibError(f"the embedding could not be loaded in a process of its own, which {_ended(code)}: {said}")
        lost = left[begun - 1]
        done.problems[lost.key] = BadAudio(lost.path, f"the process that computes it {_ended(code)}",
                                           "Listen to it; if it is very long, cut it into pieces.")
        left = left[begun:]
    return done


def _child(folder: Path, recipe: Recipe, items: list[Item]) -> int:
    (folder / _GIVEN).write_bytes(pickle.dumps((recipe, items)))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                                "CUDA_VISIBLE_DEVICES": ""}
    with open(folder / _SAID, "wb") as said:
        return subprocess.run([sys.executable, "-m", "nslib.cluster.alone", str(folder)], env=environment,
                              stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False).returncode


def _collect(path: Path, done: Done) -> int:
    """Add what a child found; give how many clips it began."""
    begun = 0
    with open(path, "ab+") as file:
        file.seek(0)
        for record in _records(file):
            if record is None:
                begun += 1
                continue
            done.items += record.items
            done.vectors += record.vectors
            done.problems |= record.problems
            done.cost.add(record.cost)
    return begun


def _records(file: Any) -> Any:
    while True:
        try:
            yield pickle.load(file)
        except (EOFError, pickle.UnpicklingError):  # the last record of a process that died may be a half
            return


def _ended(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def main(folder: Path) -> None:
    """Be the child.

    Parameters
    ----------
    folder : Path
        Where the parent put the clips, and looks for what was found.
    """
    recipe, items = pickle.loads((folder / _GIVEN).read_bytes())
    embedding = recipe.load()
    with open(folder / _FOUND, "wb") as file:
        for item in items:
            for record in (lambda: None, lambda item=item: step([item], load, embedding)):
                pickle.dump(record(), file)
                file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
