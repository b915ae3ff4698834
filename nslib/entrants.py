"""What takes part in a benchmark: a built-in embedding, a file of a model or of vectors, a record or a function.

Options of a model's file are written behind its name, ``model.tflite?window=0.96&hop=0.48``, so that a shell can give
them; they are those of `nslib.embeddings.from_file`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from nslib import embeddings, extract, precomputed
from nslib.cluster import recipes
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, NslibError
from nslib.precomputed import Precomputed
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

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
    given : Precomputed, optional
        Its vectors, if they come from a file.
    """

    name: str
    identify: Callable[[], str]
    load: Callable[[], Embedding]
    recipe: Callable[[], recipes.Recipe]
    given: Precomputed | None = None

    def vectors(self, clips: pd.DataFrame, **options: Any) -> extract.Extraction:
        """One vector a clip, computed or, where they come from a file, read.

        Parameters
        ----------
        clips : DataFrame
        **options
            As for `nslib.extract.vectors`.

        Returns
        -------
        Extraction

        Raises
        ------
        NslibError
            See `nslib.extract.vectors` and `nslib.precomputed.Precomputed.extraction`.
        """
        return self.given.extraction(clips) if self.given else extract.vectors(clips, self.load(), **options)

    @property
    def fingerprint(self) -> str:
        """str: see `nslib.embeddings.base.Embedding.fingerprint`."""
        return self.identify()


def enter(given: Embeddable, name: str | None = None) -> Entrant:
    """Take an embedding into a benchmark.

    Parameters
    ----------
    given : str, path, Embedding or callable
        A built-in name; a SavedModel's folder, its address on TF Hub, a ``.tflite`` or ``.onnx`` file, maybe with
        ``?option=value``; a file of vectors (`nslib.precomputed`); a record; a function.
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
        return _named(given, name)
    called = name or str(getattr(given, "__name__", type(given).__name__))
    ready = given if isinstance(given, Embedding) else embeddings.from_callable(given, name=called)
    return Entrant(ready.name, lambda: ready.fingerprint, lambda: ready, lambda: recipes.of(ready))


def _named(given: str | Path, name: str | None) -> Entrant:
    path, _, asked = str(given).partition("?")
    if path.startswith(("https://", "http://")):
        from nslib.embeddings.downloads import fetch_address

        name, path = name or "/".join(path.split("/")[-2:]), str(fetch_address(path))
    if path in embeddings.names() or not Path(path).exists():
        return _built_in(str(given))
    if precomputed.is_file(path):
        read = precomputed.read(path, name)
        return Entrant(read.name, lambda: read.embedding.fingerprint, lambda: read.embedding, lambda: _no_recipe(read),
                       read)
    file = recipes.File(str(Path(path).resolve()), name, tuple((key, _value(text)) for key, text in parse_qsl(asked)))
    loaded = file.load()
    return Entrant(loaded.name, lambda: loaded.fingerprint, lambda: loaded, lambda: file)


def _value(text: str) -> int | float | str | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _no_recipe(read: Precomputed) -> NoReturn:
    raise NslibError(f"the vectors of {read.name} are there already: no worker computes them.")


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
