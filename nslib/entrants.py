"""What takes part in a benchmark: a built-in embedding, a file of a model, a record or a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import embeddings
from nslib.cluster import recipes
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter
from nslib.tasks import Task

Embeddable = str | Path | Embedding | Callable[..., Any]


@dataclass(frozen=True)
class Entrant:
    """An embedding that is loaded only when a vector is really needed.

    Attributes
    ----------
    name : str
        As shown in tables.
    identify : callable
        Gives its fingerprint. For a published model that is the first use: it is fetched.
    load : callable
        Gives the embedding.
    recipe : callable
        Gives how a worker of a cluster loads it.
    """

    name: str
    identify: Callable[[], str]
    load: Callable[[], Embedding]
    recipe: Callable[[], recipes.Recipe]

    @property
    def fingerprint(self) -> str:
        """str: see `nslib.embeddings.base.Embedding.fingerprint`."""
        return self.identify()


def enter(given: Embeddable, name: str | None = None) -> Entrant:
    """Take an embedding into a benchmark.

    Parameters
    ----------
    given : str, path, Embedding or callable
        A built-in name; a SavedModel's folder, a ``.tflite`` or ``.onnx`` file; a record; a function.
    name : str, optional
        How to call a file or a function in tables.

    Returns
    -------
    Entrant

    Raises
    ------
    UnknownName
        For text that is neither a name nor a file.
    BadParameter
        For a file or function that is no embedding.
    """
    if isinstance(given, str | Path):
        if str(given) in embeddings.names() or not Path(given).exists():
            return _built_in(str(given))
        file = recipes.File(str(Path(given).resolve()), name)
        loaded = embeddings.from_file(given, name=name)
        return Entrant(loaded.name, lambda: loaded.fingerprint, lambda: loaded, lambda: file)
    called = name or str(getattr(given, "__name__", type(given).__name__))
    ready = given if isinstance(given, Embedding) else embeddings.from_callable(given, name=called)
    return Entrant(ready.name, lambda: ready.fingerprint, lambda: ready, lambda: recipes.of(ready))


def _built_in(name: str) -> Entrant:
    embeddings.needs_extra(name)  # an unknown name is told before anything is computed
    return Entrant(name, lambda: embeddings.fingerprint(name), lambda: embeddings.get(name),
                   lambda: recipes.BuiltIn(name))


def several(given: Any, otherwise: Sequence[Any]) -> list[Any]:
    """Take one thing or many.

    Parameters
    ----------
    given : str, path, Task, Embedding, callable, iterable of these, or None
    otherwise : sequence
        What None means.

    Returns
    -------
    list

    Raises
    ------
    BadParameter
        For an empty iterable.
    """
    if given is None:
        return list(otherwise)
    if isinstance(given, str | Path | Task | Embedding) or callable(given):
        return [given]
    chosen = list(given)
    if not chosen:
        raise BadParameter("an empty list was given; leave it out to run all, or name at least one.")
    return chosen
