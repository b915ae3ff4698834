"""Find a published model: in your folder, in TF Hub's cache, through Kaggle, from the hub's address.

Conventions
-----------
What is here already is taken before anything is asked of the network: first ``<models>/<name>``, then
TF Hub's own cache, if ``TFHUB_CACHE_DIR`` names one. (Its default place, in the system's folder for
temporary files, is left alone: anybody may write there, and models are code.) Then Kaggle's client
is asked, if it is installed, and then the hub's address; if ``NSLIB_HUB_URL`` names a hub of your
own, only that one. What is fetched lands in ``<models>/<name>``, whole or not at all.

A hub that cannot be reached is remembered for ten minutes within the process, so that many embeddings
do not wait for the same silent server one after the other.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nslib import params
from nslib.embeddings.hub import checksums, download, sources, unpack
from nslib.embeddings.hub.sources import KAGGLE, TFHUB, Source
from nslib.errors import Unavailable

REMEMBER_SECONDS = 600.0
MIRROR = "NSLIB_HUB_URL names a hub of your own"
NOT_ON_KAGGLE = "no page of it is known there"

_unreachable: dict[str, tuple[float, str]] = {}


def present(model: str) -> Path | None:
    """Find a model on this machine, without asking the network.

    Parameters
    ----------
    model : str
        A key of `nslib.embeddings.hub.sources.SOURCES`.

    Returns
    -------
    Path or None
        A folder with ``saved_model.pb``.
    """
    return _present(sources.get(model))


def resolve(model: str) -> Path:
    """Have a model, fetching it if it is not on this machine.

    Parameters
    ----------
    model : str
        A key of `nslib.embeddings.hub.sources.SOURCES`.

    Returns
    -------
    Path
        A folder with ``saved_model.pb``.

    Raises
    ------
    UnknownName
        For another name.
    Unavailable
        If it cannot be had; the error says why, and which files belong where.
    """
    return _had(sources.get(model))


def address(url: str) -> Path:
    """Have any model by its address.

    Parameters
    ----------
    url : str
        See `nslib.embeddings.hub.sources.at`.

    Returns
    -------
    Path
        A folder with ``saved_model.pb``.

    Raises
    ------
    BadParameter
        For an address elsewhere.
    Unavailable
        If it cannot be had.
    """
    return _had(sources.at(url))


def forget_failures() -> None:
    """Ask again the hubs that could not be reached a moment ago."""
    _unreachable.clear()


def _present(source: Source) -> Path | None:
    places = (source.folder, *_tfhub_cache(source))
    return next((folder for folder in places if (folder / unpack.MODEL).is_file()), None)


def _had(source: Source) -> Path:
    if found := _present(source):
        return found
    _need_room(source)
    if params.offline():
        raise Unavailable(f"model {source.name}", "NSLIB_OFFLINE forbids downloads, and it is not on this machine",
                          f"Unset it, or: {source.by_hand}")
    with _disk(source), _alone(source):
        return _present(source) or _fetched(source)


def _remember(place: str, why: str) -> None:
    _unreachable[place] = time.monotonic(), why


def _recall(place: str) -> str:
    when, why = _unreachable.get(place, (0.0, ""))
    ago = time.monotonic() - when
    return f"{why}, as was found {ago:.0f} s ago" if why and ago < REMEMBER_SECONDS else ""


def _tfhub_cache(source: Source) -> list[Path]:
    cache = os.environ.get("TFHUB_CACHE_DIR")
    if not cache:
        return []
    pages = (source.kaggle, source.kaggle.replace("/tensorFlow2/", "/TensorFlow2/")) if source.kaggle else ()
    addresses = [*(f"{TFHUB}/{h}" for h in source.handles), *(f"{params.hub_url()}/{h}" for h in source.handles),
                 *(f"{KAGGLE}/{page}" for page in pages)]
    return [Path(cache) / hashlib.sha1(a.encode(), usedforsecurity=False).hexdigest() for a in addresses]


def _need_room(source: Source) -> None:
    """Refuse to put a model where something else lies."""
    folder = source.folder
    if not folder.exists() or not any(folder.iterdir()):
        return
    deeper = next(folder.rglob(unpack.MODEL), None)
    lies = f"it lies in {deeper.parent}" if deeper else "there is none in it"
    move = f"Move what is in {deeper.parent} to {folder}" if deeper else f"Remove {folder}, or complete it"
    raise Unavailable(f"model {source.name}", f"{folder} should hold {unpack.MODEL}, but {lies}",
                      f"{move}. {source.by_hand}")


def _fetched(source: Source) -> Path:
    kaggle = _from_kaggle(source)
    if isinstance(kaggle, Path):
        return kaggle
    if not source.handles:
        raise Unavailable(f"model {source.name}", f"it is on Kaggle only: {kaggle}", source.by_hand)
    tried = "" if kaggle in (MIRROR, NOT_ON_KAGGLE) else f"Kaggle was asked first: {kaggle}. "
    remedy = f"{tried}{source.by_hand} Or name another hub by NSLIB_HUB_URL."
    if why := _recall(params.hub_url()):
        raise Unavailable(f"model {source.name}", why, remedy)
    *others, last = source.handles
    try:
        for handle in others:
            with contextlib.suppress(download.NotServed):
                return _from_hub(source, handle, remedy)
        return _from_hub(source, last, remedy)
    except download.Unreachable as error:
        _remember(params.hub_url(), error.why)
        raise


def _from_hub(source: Source, handle: str, remedy: str) -> Path:
    url = f"{params.hub_url()}/{handle}?tf-hub-format=compressed"
    part = source.folder.parent / f".{source.name}.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    download.fetch(url, part, f"model {source.name}", remedy)
    try:
        unpack.unpack(part, source.folder, f"model {source.name}")
    except Unavailable:
        download.drop(part)
        raise
    download.drop(part)
    checksums.verified(source.name, source.folder, f"from {params.hub_url()}/{handle}")
    return source.folder


def _from_kaggle(source: Source) -> Path | str:
    """Let Kaggle's client fetch a model; its folder, or why there is none."""
    if not source.kaggle:
        return NOT_ON_KAGGLE
    if params.hub_url() != TFHUB and source.handles:
        return MIRROR
    if importlib.util.find_spec("kagglehub") is None:
        return "its client is not installed (make setup KAGGLE=1)"
    if why := _recall(KAGGLE):
        return why
    import kagglehub
    import requests

    try:
        found = Path(kagglehub.model_download(source.kaggle))
    except requests.exceptions.ConnectionError:
        _remember(KAGGLE, "it cannot be reached")
        return "it cannot be reached"
    except Exception as error:  # the client of another project raises what it likes
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    if not (found / unpack.MODEL).is_file():
        return f"{source.kaggle} holds no {unpack.MODEL}"
    return _adopted(found, source)


def _adopted(found: Path, source: Source) -> Path:
    """Take a model over from another cache: links where the disk allows it, else copies."""
    with unpack.staging(source.folder) as new:
        shutil.copytree(found, new, copy_function=_link, dirs_exist_ok=True)
    checksums.verified(source.name, source.folder, f"from Kaggle, {source.kaggle}")
    return source.folder


def _link(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def _alone(source: Source) -> Iterator[None]:
    """Let one process at a time fetch a model; where the system has no such locks, the fastest one wins."""
    source.folder.parent.mkdir(parents=True, exist_ok=True)
    with (source.folder.parent / f".{source.name}.lock").open("w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _disk(source: Source) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(f"model {source.name}", "the disk is full",
                              "Free some space, or set NSLIB_MODELS; what has arrived is kept.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Unavailable(f"model {source.name}", f"{error.filename} cannot be written",
                              "Set NSLIB_MODELS to a folder of yours.") from error
        raise
