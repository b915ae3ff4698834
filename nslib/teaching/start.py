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

__all__ = ()

HOME = Path(__file__).resolve().parent
MADE_FOR = "made-for.txt"


def machine() -> str:
    """Name Python and machine as wheels name theirs."""
    return f"{platform.python_version().rpartition('.')[0]} {sysconfig.get_platform()}"


def refusal(home: Path = HOME) -> str:
    """Say why this Python cannot be used; empty if it can."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return f"Python 3.11, 3.12 or 3.13 is needed; this is {platform.python_version()}: {sys.executable}"
    made_for = home / "wheels" / MADE_FOR
    if made_for.exists() and made_for.read_text().strip() != machine():
        return (f"the packages in wheels/ are for Python and machine {made_for.read_text().strip()}; this is "
                f"{machine()}. Start with that Python, or rename the folder wheels: the packages are then fetched.")
    return ""


def pip_arguments(home: Path = HOME) -> list[str]:
    """Return what Python is given to install the packages: from the folder of wheels if there is one."""
    wheels = home / "wheels"
    source = ["--no-index", "--find-links", str(wheels), "-r", str(wheels / "requirements.txt")] \
        if wheels.is_dir() else ["-r", str(home / "requirements.lock")]
    return ["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--require-hashes", *source]


def main(given: Sequence[str]) -> int:
    """Make the environment, once, and open the notebooks; return the exit status."""
    if why := refusal():
        print(f"start.py: {why}", file=sys.stderr)
        return 2
    place = HOME / ".venv"
    python = str(place / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    if not (place / "ready.txt").exists():
        print("making the environment of the workshop (a few minutes, about 3 GB) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([python, *pip_arguments()], check=True)
        (place / "ready.txt").write_text("all packages are installed\n")
    if "--prepare" in given:
        print(f"ready: {python}")
        return 0
    lab = [python, "-m", "jupyterlab", str(HOME / "notebooks"), *given]
    return subprocess.run(lab, env={**os.environ, "PYTHONPATH": str(HOME)}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
