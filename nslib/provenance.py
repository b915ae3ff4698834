"""Where a number comes from: code, locked packages, and what of them decides the number.

Conventions
-----------
Hashes are the first 16 hex digits of SHA-256. What cannot be found out is ``"unknown"``, never left
empty.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from nslib import params

UNKNOWN = "unknown"
SHOWN = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "tensorflow", "onnxruntime", "soundfile",
         "soxr")
"""Packages whose versions `versions` reports by default."""

_PROBE = ("bootstrap", "evaluation.classifiers", "evaluation.lda", "evaluation.probe", "metrics", "scores", "splits.draw")
_PROBE_PACKAGES = ("numpy", "scipy", "scikit-learn")


def provenance() -> dict[str, str]:
    """Origin that a results row states.

    Returns
    -------
    dict
        ``code_revision``, ``lock_hash``, and ``when`` (UTC, ISO 8601, to the second).
    """
    now = datetime.now(UTC).replace(microsecond=0)
    return {"code_revision": code_revision(), "lock_hash": lock_hash(), "when": now.isoformat()}


@cache
def code_revision() -> str:
    """Revision of the checkout, with ``-dirty`` if files differ from it; ``"unknown"`` without git."""
    # Only a repository of our own: installed below somebody else's, git would describe theirs.
    if not (params.root() / ".git").exists():
        return UNKNOWN
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    try:
        run = subprocess.run(command, cwd=params.root(), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN
    return run.stdout.strip() or UNKNOWN


@cache
def lock_hash() -> str:
    """Hash of ``requirements.lock``; ``"unknown"`` where the kit is installed without it."""
    lock = params.root() / "requirements.lock"
    return _hash([lock.read_bytes()]) if lock.is_file() else UNKNOWN


@cache
def probe_hash() -> str:
    """Hash of everything but data that a score depends on.

    Returns
    -------
    str
        Changes with the source of the probe, the metrics and the intervals, and with the versions of
        the packages that compute them. A result is used again only while it stays the same.
    """
    sources = [_source(name).read_bytes() for name in _PROBE]
    return _hash([*sources, repr(sorted(versions(_PROBE_PACKAGES).items())).encode()])


def versions(packages: Iterable[str] = SHOWN) -> dict[str, str]:
    """Version of each package, read without importing it.

    Parameters
    ----------
    packages : iterable of str
        Names as on the package index.

    Returns
    -------
    dict
        Name to version, or to ``"not installed"``.
    """
    return {name: _version(name) for name in packages}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _source(module: str) -> Path:
    spec = importlib.util.find_spec(f"nslib.{module}")
    assert spec is not None and spec.origin is not None  # our own modules, listed above
    return Path(spec.origin)


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
