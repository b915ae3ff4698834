"""Start the workshop: makes an environment beside this file where none is there, and opens the notebooks.

    python3 start.py                  JupyterLab on the notebooks
    python3 start.py --prepare        make the environment only, for instance the evening before
    python3 start.py --no-browser     whatever else is given goes to JupyterLab

This file is copied into the workshop's folder and uses the standard library only. With a folder ``wheels`` beside it
nothing is fetched; without, the packages of the lock are.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

HOME = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 13)
READY = "ready.txt"


def machine() -> str:
    """Name this machine as the wheels name theirs.

    Returns
    -------
    str
    """
    return f"{platform.python_version().rpartition('.')[0]} {sysconfig.get_platform()}"


def refusal(home: Path = HOME) -> str:
    """Say why this Python cannot be used.

    Parameters
    ----------
    home : Path
        The workshop's folder.

    Returns
    -------
    str
        Empty if it can.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return f"Python 3.11, 3.12 or 3.13 is needed; this is {platform.python_version()}: {sys.executable}"
    made_for = home / "wheels" / "made-for.txt"
    if made_for.exists() and made_for.read_text().strip() != machine():
        return (f"the packages in wheels/ are for Python and machine {made_for.read_text().strip()}; this is "
                f"{machine()}. Start with that Python, or rename the folder wheels: the packages are then fetched.")
    return ""


def install(home: Path = HOME) -> Path:
    """Make the environment, once.

    Parameters
    ----------
    home : Path

    Returns
    -------
    Path
        Its Python.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails; it has said why.
    """
    place = home / ".venv"
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (place / READY).exists():
        return python
    print("making the environment of the workshop (a few minutes, about 3 GB) ...", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
    subprocess.run([str(python), *_packages(home)], check=True)
    (place / READY).write_text("all packages are installed\n")
    return python


def _packages(home: Path) -> list[str]:
    """Arguments of Python that install the packages."""
    pip = ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    local = ["--no-index", "--find-links", str(home / "wheels")] if (home / "wheels").is_dir() else []
    return [*pip, *local, "--require-hashes", "-r", str(home / "requirements-workshop.lock")]


def main(given: Sequence[str]) -> int:
    """Make what is missing, and open the notebooks.

    Parameters
    ----------
    given : sequence of str
        Of the command line.

    Returns
    -------
    int
        Exit status.
    """
    why = refusal()
    if why:
        print(f"start.py: {why}", file=sys.stderr)
        return 2
    python = install()
    if "--prepare" in given:
        print(f"ready: {python}")
        return 0
    lab = [str(python), "-m", "jupyterlab", str(HOME / "notebooks"), *given]
    return subprocess.run(lab, env={**os.environ, "PYTHONPATH": str(HOME)}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
