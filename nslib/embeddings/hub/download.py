"""Fetch an archive over HTTP: redirects, interruptions and busy servers included.

What arrives goes into a ``.part`` file. If the connection breaks, the next request asks for the rest
(``Range``), provided that the server said which version of the file it is sending (``ETag`` or
``Last-Modified``) and still has that version (``If-Range``); otherwise it starts again.

Conventions
-----------
A server that is busy (429), fails (5xx), is silent or hangs up is asked again, `TRIES` times in a row
without a mebibyte of progress, with waits of 0.5, 1 and 2 seconds or as it says. One that refuses (other
4xx) is not asked again. One that cannot be reached at all (name, connection, proxy, certificate)
raises `Unreachable` at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files
from nslib.errors import Unavailable

if TYPE_CHECKING:
    import requests

TRIES = 4
BACKOFF = 0.5
LONGEST_WAIT = 30.0
TIMEOUTS = (10.0, 20.0)
"""Seconds to connect, and between two pieces of the answer."""

MAX_BYTES = 1 << 30
"""Largest archive that is taken: three times the largest published model."""

_CHUNK = 1 << 16  # of an interrupted download, less than this is lost
_SILENT = f"the server was silent for {TIMEOUTS[1]:.0f} s"
_PROGRESS = 1 << 20
_HINTS = {
    401: "it wants an account",
    403: ("of TF Hub this usually means that Kaggle, to which it redirects, does not serve the model to this "
          "network or without an account; users have seen it for days during outages"),
    404: "there is nothing under this address",
}


class Unreachable(Unavailable):
    """The server cannot be reached, or says nothing, so asking for another model is no use now."""


class NotServed(Unavailable):
    """The server answers, but not with an archive; another address may do."""


class _Again(Exception):
    """What passes if one waits."""

    def __init__(self, why: str, wait: float = 0.0, silent: bool = False):
        super().__init__(why)
        self.wait, self.silent = wait, silent


def fetch(url: str, part: Path, what: str, remedy: str) -> None:
    """Download a file, going on where an earlier attempt was interrupted.

    Parameters
    ----------
    url : str
    part : Path
        Where it goes. It stays if the download is interrupted, and so does ``<part>.json`` beside it.
    what, remedy : str
        For the error: what is missing then, and what the user can do.

    Raises
    ------
    Unreachable
        If the server cannot be reached, or stayed silent.
    NotServed
        If it refuses, or sends something that is no archive.
    Unavailable
        If it kept failing, wants a wait of more than `LONGEST_WAIT` seconds, or sends too much.
    """
    best, tries = size(part), 0
    while True:
        try:
            return _once(url, part, what, remedy)
        except _Again as error:
            here = size(part)
            tries = 1 if here - best >= _PROGRESS else tries + 1
            best = max(best, here)
            if tries == TRIES:
                kind = Unreachable if error.silent else Unavailable
                raise kind(what, f"{error} ({TRIES} attempts)", remedy) from error
            if error.wait > LONGEST_WAIT:
                raise Unavailable(what, f"{error}, for {error.wait:.0f} s", remedy) from error
            time.sleep(error.wait or BACKOFF * 2 ** (tries - 1))


def size(part: Path) -> int:
    """int: bytes of a file, 0 if there is none."""
    return part.stat().st_size if part.is_file() else 0


def drop(part: Path) -> None:
    """Forget a download.

    Parameters
    ----------
    part : Path
        As given to `fetch`.
    """
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _once(url: str, part: Path, what: str, remedy: str) -> None:
    import requests

    start, headers = _resume(url, part)
    with (_explained(url, what, remedy),
          requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as response):
        _judge(response, what, remedy)
        span = response.headers.get("Content-Range", "")
        if start and response.status_code == 416 and span == f"bytes */{start}":
            return  # it was complete already
        if start and response.status_code in (206, 416) and not span.startswith(f"bytes {start}-"):
            drop(part)
            raise _Again("the server has another file than the one whose beginning is here")
        if response.status_code == 200:
            start = 0
        _save(response, url, part, start, what, remedy)


def _resume(url: str, part: Path) -> tuple[int, dict[str, str]]:
    """Bytes that are there already, and the headers that ask for the rest."""
    # a .tar.gz must come as it is: a transfer that is unpacked on the way cannot be resumed
    headers = {"Accept-Encoding": "identity"}
    start = size(part)
    try:
        known = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    if not start or known.get("url") != url or not known.get("version"):
        return 0, headers
    return start, {**headers, "Range": f"bytes={start}-", "If-Range": known["version"]}


def _judge(response: requests.Response, what: str, remedy: str) -> None:
    status = response.status_code
    hops = [r.url for r in (*response.history, response)]
    if hops[0].startswith("https:") and any(not hop.startswith("https:") for hop in hops):
        raise NotServed(what, "the server redirects to an address without encryption, and models are code", remedy)
    if status == 200 or (status in (206, 416) and "Range" in response.request.headers):
        return
    if status == 429 or status >= 500:
        raise _Again(f"the server answers {status} ({response.reason})", _asked_wait(response))
    hint = f": {_HINTS[status]}" if status in _HINTS else ""
    raise NotServed(what, f"{hops[0]} answers {status} ({response.reason}){hint}", remedy)


def _asked_wait(response: requests.Response) -> float:
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no header, or no date in it
        return 0.0


def _save(response: requests.Response, url: str, part: Path, start: int, what: str, remedy: str) -> None:
    from tqdm.std import tqdm

    encoded = "Content-Encoding" in response.headers
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    if encoded or version.startswith("W/"):
        version = ""  # the bytes of another answer may differ
    files.write(_notes(part), json.dumps({"url": url, "version": version}))
    total = int(response.headers.get("Content-Length") or 0) + start or None
    with (part.open("ab" if start else "wb") as file,
          tqdm(desc=f"fetch {what}", total=total, initial=start, unit="B", unit_scale=True, leave=False) as bar):
        for chunk in response.iter_content(_CHUNK):
            if not start:
                _need_archive(chunk, response, part, what, remedy)
            file.write(chunk)
            start += len(chunk)
            bar.update(len(chunk))
            if start > MAX_BYTES:
                drop(part)
                raise NotServed(what, f"the server sends more than {MAX_BYTES} bytes, which no model has", remedy)


def is_archive(head: bytes) -> bool:
    """Whether a file starts like a tar archive, gzip compressed or not.

    Parameters
    ----------
    head : bytes
        Its first 262 bytes or more.

    Returns
    -------
    bool
    """
    return head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar"


def _need_archive(head: bytes, response: requests.Response, part: Path, what: str, remedy: str) -> None:
    if not is_archive(head):
        drop(part)
        kind = response.headers.get("Content-Type", "something without a type")
        raise NotServed(what, f"{response.url.split('?')[0]} sent {kind}, not an archive", remedy)


@contextmanager
def _explained(url: str, what: str, remedy: str) -> Iterator[None]:
    """Sort what `requests` raises: unreachable, worth another try, or neither."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    try:
        yield
    except requests.exceptions.ConnectionError as error:
        if isinstance(error.args and error.args[0], ReadTimeoutError):  # requests' name for it while streaming
            raise _Again(_SILENT, silent=True) from error
        if why := _unreachable(error):
            raise Unreachable(what, f"{_host(error, url)} cannot be reached ({why})", remedy) from error
        raise _Again("the server hung up") from error
    except requests.exceptions.Timeout as error:
        raise _Again(_SILENT, silent=True) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Again("the connection broke") from error
    except requests.exceptions.RequestException as error:
        raise NotServed(what, f"{type(error).__name__}: {error}", remedy) from error


def _unreachable(error: requests.exceptions.ConnectionError) -> str:
    import requests
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    reason: Any = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NameResolutionError):
        return "its name is not known here"
    if isinstance(reason, NewConnectionError):
        return "no connection can be made"
    return "no answer" if isinstance(reason, ConnectTimeoutError) else ""


def _host(error: requests.exceptions.ConnectionError, url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(getattr(error.request, "url", None) or url).hostname or url
