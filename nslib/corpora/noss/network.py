"""Whether a download may start: one quick question to each host, instead of minutes of retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nslib import params
from nslib.corpora.noss import registry
from nslib.corpora.noss.around import exchanged
from nslib.corpora.noss.sources import Source
from nslib.errors import Unavailable

SECONDS = 5.0
"""To connect, and again to answer."""


@contextmanager
def guarded(source: Source) -> Iterator[None]:
    """Let nothing be downloaded that may not be, or from a host that does not answer.

    Parameters
    ----------
    source : Source

    Raises
    ------
    Unavailable
        When TensorFlow Datasets is about to download a file, in the process, and ``NSLIB_OFFLINE``
        forbids it or its host does not answer within `SECONDS`.
    """
    from tensorflow_datasets.core.download import downloader

    start, asked = downloader._Downloader.download, set()

    def download(self: Any, url: str, destination_path: Any, verify: bool = True) -> Any:
        host = urlsplit(url).netloc
        if host not in asked:
            if why := _refusal(url):
                Path(destination_path).rmdir()  # it was made for this download
                raise Unavailable(f"data set {source.name}", f"{_name(source, url)} {why}", _remedy(source, url))
            asked.add(host)
        return start(self, url, destination_path, verify)

    with exchanged(downloader._Downloader, "download", download):
        yield


def _refusal(url: str) -> str:
    import requests

    if params.offline():
        return "would have to be downloaded, and downloads are forbidden (NSLIB_OFFLINE=1)"
    try:
        with requests.get(url, stream=True, timeout=SECONDS) as answer:
            code = answer.status_code
    except requests.RequestException as error:
        return f"cannot be downloaded: {urlsplit(url).netloc} does not answer ({type(error).__name__})"
    return f"cannot be downloaded: {urlsplit(url).netloc} answers with error {code}" if code >= 400 else ""


def _name(source: Source, url: str) -> str:
    return next((f.name for f in registry.files(source.name) if f.url == url), "") or url.rpartition("/")[2]


def _remedy(source: Source, url: str) -> str:
    by_hand = next((f"save {url} as {f.manual()}, and it is used instead.\n" for f in registry.files(source.name)
                    if f.url == url), "fetch it as described.\n")
    return f"Try again with a network; or, by hand, {by_hand}{source.instructions()}"
