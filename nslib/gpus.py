"""NVIDIA's GPUs: which there are, and whether the libraries that TensorFlow needs for them are installed.

Reference: ``nvidia-smi --help-query-gpu``. Nothing heavy is imported. TensorFlow's wheel for Linux on x86-64 can use
CUDA, but brings none of it; ``make setup GPU=1`` installs what is in ``requirements-gpu.lock``.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass

from nslib.errors import Unavailable

LOCK = "requirements-gpu.lock"
_FIELDS = ("index", "name", "memory.total", "memory.free", "driver_version")


@dataclass(frozen=True)
class Gpu:
    """One GPU, as ``nvidia-smi`` sees it.

    Attributes
    ----------
    index : int
    name : str
    memory_gb, free_gb : float or None
        None where the driver does not say.
    driver : str
        Version.
    """

    index: int
    name: str
    memory_gb: float | None
    free_gb: float | None
    driver: str


def listed() -> list[Gpu]:
    """List the GPUs.

    Returns
    -------
    list of Gpu
        Empty if there is no ``nvidia-smi``, or it lists none.

    Raises
    ------
    Unavailable
        If ``nvidia-smi`` fails or says what cannot be read; with its own words.
    """
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    command = [tool, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(str(error)) from error
    if done.returncode:
        raise _failed((done.stdout + done.stderr).strip().replace("\n", "; ") or f"exit code {done.returncode}")
    return [_gpu(line) for line in done.stdout.splitlines() if line.strip()]


def supported() -> bool:
    """Whether TensorFlow's wheel for this system can use CUDA at all.

    Returns
    -------
    bool
    """
    return platform.system() == "Linux" and platform.machine() == "x86_64"


def _gpu(line: str) -> Gpu:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != len(_FIELDS) or not parts[0].isdigit():
        raise _failed(f"it says {line!r}")
    return Gpu(int(parts[0]), parts[1], _gb(parts[2]), _gb(parts[3]), parts[4])


def _gb(mebibytes: str) -> float | None:
    # drivers write [N/A] or [Not Supported] for what they do not know
    return float(mebibytes) * 2**20 / 1e9 if mebibytes.isdigit() else None


def _failed(why: str) -> Unavailable:
    return Unavailable("the list of GPUs", f"nvidia-smi failed: {why}",
                       "Install a driver that fits the GPU; until then the processor computes.")
