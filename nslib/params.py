"""Declared parameters, profiles and paths: the only module that knows where things lie.

Environment variables
---------------------
``NSLIB_CACHE``
    one directory for everything downloaded or computed (default: the platform's cache directory, e.g.
    ``~/.cache/nslib``)
``NSLIB_DATA_DIR``
    the data sets of NOSS as TensorFlow Datasets keeps them (default: ``TFDS_DATA_DIR`` if that is set, else
    ``tfds`` in the cache); what must be fetched by hand belongs into ``downloads/manual`` below it
``NSLIB_MODELS``
    published models, one folder a model (default: ``models`` in the cache)
``NSLIB_HUB_URL``
    where published models are fetched (default: ``https://tfhub.dev``)
``NSLIB_REPORTS``
    where reports go (default: ``reports/`` of the checkout)
``NSLIB_OFFLINE``
    1 forbids every download; only the cache is used
``NSLIB_THREADS``
    processor threads that embeddings use (default: all)
``PROFILE``, ``CORPUS``, ``TASKS``, ``EMBEDDINGS``, ``SEED``, ``SMOKE``
    defaults of the parameters of the same name
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nslib.errors import BadParameter, UnknownName

CHOICES = {"profile": ("quick", "paper"), "corpus": ("real", "synthetic")}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


@dataclass(frozen=True)
class Params:
    """What a run can be told. Unknown names and values are refused with the nearest known one.

    Attributes
    ----------
    profile : {"quick", "paper"}
        Which experiment: tasks of the same kinds on recordings from package registries, or NOSS itself.
    corpus : {"real", "synthetic"}
        Of the quick profile: recorded speech from packages (falls back to synthetic where they
        can't be had, and says so), or synthetic speech only. The paper profile has real speech only.
    tasks, embeddings : tuple of str
        Names to run; empty means all of the profile.
    seed : int
        Seeds forests, bootstrap and every other draw.
    smoke : bool
        A much smaller run of the same path, for checking that everything works; its numbers
        mean nothing.
    """

    profile: str = "quick"
    corpus: str = "real"
    tasks: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    seed: int = 0
    smoke: bool = False

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                raise UnknownName(field, getattr(self, field), allowed)

    @property
    def clips_per_class(self) -> int | None:
        """Int or None: cap on clips of one label in one split; None is all of them."""
        return 8 if self.smoke else None


def load(given: Mapping[str, object] | None = None) -> Params:
    """Parameters from the environment, overridden by `given`.

    Parameters
    ----------
    given : mapping, optional
        Field name to value, as in a notebook's ``parameters`` cell. Lists and comma-separated
        strings are both accepted for `tasks` and `embeddings`.

    Returns
    -------
    Params

    Raises
    ------
    UnknownName
        For a name that is not a parameter, or a value outside its choices.
    BadParameter
        For a value that cannot be read as the parameter's type.

    Examples
    --------
    >>> load({"seed": 1, "tasks": "speaker-fillets"}).tasks
    ('speaker-fillets',)
    """
    fields = {f.name: f for f in dataclasses.fields(Params)}
    values: dict[str, object] = {n: os.environ[n.upper()] for n in fields if os.environ.get(n.upper())}
    for name, value in (given or {}).items():
        if name not in fields:
            raise UnknownName("parameter", name, fields)
        if value is not None:
            values[name] = value
    return Params(**{n: _read(n, v, fields[n].default) for n, v in values.items()})  # type: ignore[arg-type]


def _read(name: str, value: object, default: object) -> object:
    if isinstance(default, bool):
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            raise BadParameter(f"parameter {name!r} is {value!r}; allowed: 1 or 0.")
        return text in _TRUE
    if isinstance(default, int):
        try:
            return int(str(value))
        except ValueError:
            raise BadParameter(f"parameter {name!r} is {value!r}; give a whole number.") from None
    if isinstance(default, tuple):
        parts = value.split(",") if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        return tuple(str(p).strip() for p in parts if str(p).strip())
    return str(value)


def root() -> Path:
    """Path: the checkout, which holds ``data/``, ``notebooks/`` and ``reports/``."""
    return Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Path: committed data (manifests, splits, published facts)."""
    return root() / "data"


def notebooks_dir() -> Path:
    """Path: the source notebooks."""
    return root() / "notebooks"


def reports_dir() -> Path:
    """Path: where results, executed notebooks and ``index.html`` are written."""
    return Path(os.environ.get("NSLIB_REPORTS") or root() / "reports").expanduser().resolve()


def tfds_dir() -> Path:
    """Path: what TensorFlow Datasets calls its data directory; it need not exist."""
    given = os.environ.get("NSLIB_DATA_DIR") or os.environ.get("TFDS_DATA_DIR")
    return Path(given).expanduser().resolve() if given else cache_dir("tfds")


def manual_dir() -> Path:
    """Path: where archives that were fetched by hand belong; it need not exist."""
    return tfds_dir() / "downloads" / "manual"


def models_dir() -> Path:
    """Path: where published models lie, one folder a model; it need not exist."""
    given = os.environ.get("NSLIB_MODELS")
    return Path(given).expanduser().resolve() if given else cache_dir("models")


def hub_url() -> str:
    """Str: where published models are fetched, without a slash at the end."""
    return (os.environ.get("NSLIB_HUB_URL") or "https://tfhub.dev").rstrip("/")


def offline() -> bool:
    """Bool: whether every download is forbidden."""
    return os.environ.get("NSLIB_OFFLINE", "").lower() not in _FALSE


def cache_dir(*parts: str) -> Path:
    """A directory below the cache, made if it does not exist.

    Parameters
    ----------
    *parts : str
        Names below the cache root, e.g. ``"vectors"``.

    Returns
    -------
    Path
    """
    import platformdirs

    base = os.environ.get("NSLIB_CACHE") or platformdirs.user_cache_dir("nslib")
    path = Path(base).expanduser().resolve().joinpath(*parts)
    path.mkdir(parents=True, exist_ok=True)
    return path
