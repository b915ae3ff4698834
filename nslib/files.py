"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nslib.errors import NslibError


def write(path: Path, content: bytes | str) -> None:
    """Write a file in one step: a reader, or a run that is killed, never sees half of it.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced, missing folders are made.
    content : bytes-like or str
        What will be in it; text as UTF-8.

    Raises
    ------
    NslibError
        If the disk is full or over quota. What was there before stays, and no scrap is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; results are meant to be shared
        os.replace(temporary, path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NslibError(
            f"no space left for {path}. Everything stored so far is kept: free some space, or point "
            "NSLIB_CACHE to a larger disk, and run the same command again."
        ) from error


def file_sha256(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file.

    Parameters
    ----------
    path : Path
    algorithm : str
        A name that `hashlib` knows.

    Returns
    -------
    str
        Hex digest.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def client_environment() -> dict[str, str]:
    """Make the environment of a client: its messages are read, so they must be in English.

    Returns
    -------
    dict of str to str
    """
    return {**os.environ, "LC_ALL": "C"}


def run_client(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a client and keep what it says.

    Parameters
    ----------
    command : sequence of str

    Returns
    -------
    CompletedProcess
    """
    return subprocess.run(command, env=client_environment(), capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL)
