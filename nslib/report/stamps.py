"""What an executed notebook depends on, as one hash.

Conventions
-----------
The rule errs on the side of running again. A stamp is made of

- the source notebook, and the parameters it is given;
- every Python file, template and style sheet of this package, the lock file, and the Python version;
- everything in ``data/``;
- the names and versions of the installed distributions (an optional one may have come or gone);
- `inputs`, by which the caller says what was really available, e.g. the keys of the results.

Vectors and scores in the cache are not part of it: they are keyed by content, so what a notebook
reads from there is decided by what is in the stamp already.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path

from nslib import params as settings


def stamp(path: Path, given: Mapping[str, object], inputs: str = "") -> str:
    """Hash of everything that a notebook's executed copy depends on.

    Parameters
    ----------
    path : Path
        Source notebook.
    given : mapping
        Parameters.
    inputs : str
        See `run`.

    Returns
    -------
    str
        64 hex digits.
    """
    parameters = json.dumps(dict(given), sort_keys=True)
    made_of = [path.read_bytes(), parameters.encode(), inputs.encode(), _surroundings()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in made_of)).hexdigest()


@functools.lru_cache(maxsize=1)
def _surroundings() -> bytes:
    package, root = Path(__file__).resolve().parent.parent, settings.root()
    code = [p for ending in ("*.py", "*.j2", "*.css") for p in package.rglob(ending)]
    data = [p for p in settings.data_dir().rglob("*") if p.is_file()]
    digest = hashlib.sha256(f"{platform.python_version()} {_installed()}".encode())
    for path in sorted([*code, *data, root / "requirements.lock"]):
        if path.exists():
            digest.update(str(path.relative_to(root)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _installed() -> list[str]:
    return sorted({f"{d.name}=={d.version}" for d in importlib.metadata.distributions()})
