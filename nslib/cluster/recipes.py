"""How a worker loads an embedding: by its name, from a model's file, or from a pickled function.

Conventions
-----------
An embedding holds a session or a graph, which cannot travel. A recipe can: it is small, or as large as
what a function closes over, and is sent to each worker once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import embeddings
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, NslibError


@dataclass(frozen=True)
class BuiltIn:
    """A name in `nslib.embeddings.names`, or a name and its backend."""

    name: str

    def load(self) -> Embedding:
        """Load it; a worker fetches weights as this machine does, or has them in its own cache.

        Returns
        -------
        Embedding

        Raises
        ------
        UnknownName, Unavailable
            See `nslib.embeddings.get`.
        """
        return embeddings.get(self.name)


@dataclass(frozen=True)
class File:
    """A model's file or folder, at the same path on every worker; `name` is how it is called in tables.

    `options` are those of `nslib.embeddings.from_file`.
    """

    path: str
    name: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def load(self) -> Embedding:
        """Load it.

        Returns
        -------
        Embedding

        Raises
        ------
        NslibError
            If the file is not there, or is no model.
        """
        if not Path(self.path).exists():
            raise NslibError(f"the model {self.path} is not there. Put it on a disk that every worker has at this "
                             "path, or copy it to each of them.")
        return embeddings.from_file(self.path, name=self.name, **dict(self.options))


@dataclass(frozen=True)
class Value:
    """An embedding that was made of a function, pickled by cloudpickle."""

    name: str
    pickled: bytes

    def load(self) -> Embedding:
        """Load it.

        Returns
        -------
        Embedding

        Raises
        ------
        NslibError
            If a module that it needs is not there.
        """
        import cloudpickle

        try:
            return cloudpickle.loads(self.pickled)
        except ImportError as error:
            raise NslibError(f"{self.name} needs what is not installed here: {error}. Install it, or give the function "
                             "as file.py:function, whose code travels with it.") from error


Recipe = BuiltIn | File | Value


def of(embedding: Embedding) -> Recipe:
    """Find how an embedding can be loaded elsewhere.

    Parameters
    ----------
    embedding : Embedding

    Returns
    -------
    Recipe

    Raises
    ------
    BadParameter
        If it is not built in and cannot be pickled.
    """
    import cloudpickle

    if _is_built_in(embedding):
        return BuiltIn(embedding.name)
    try:
        return Value(embedding.name, cloudpickle.dumps(embedding))
    except Exception as error:  # anything may be in a user's function, and may fail in its own way
        raise BadParameter(
            f"{embedding.name} cannot be sent to workers: {type(error).__name__}: {error}. Give the model's file "
            "itself, or a function that opens its model when it is first called instead of holding it.") from error


def _is_built_in(embedding: Embedding) -> bool:
    try:
        return embeddings.fingerprint(embedding.name) == embedding.fingerprint
    except NslibError:
        return False
