"""What to tell a user when TensorFlow Datasets could not prepare a data set."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from nslib import params
from nslib.corpora.noss.sources import Source
from nslib.corpora.noss.state import steps
from nslib.errors import Unavailable

_PATH = re.compile(r"Error for (.+?): ")
_CHECKSUM = re.compile(r"Artifact (\S+), downloaded to (\S+), has wrong checksum", re.DOTALL)


def explained(error: Exception, source: Source) -> Unavailable:
    """Turn a failure into a reason and a remedy.

    Parameters
    ----------
    error : Exception
        As TensorFlow Datasets, or what it is built on, raised it.
    source : Source

    Returns
    -------
    Unavailable
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Unavailable):
            return cause
    names = {type(cause).__name__ for cause in causes}
    what, text = f"data set {source.name}", " ".join(str(cause) for cause in causes)
    if any(getattr(c, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for c in causes) or "No space left" in text \
            or "Not enough disk space" in text or "ResourceExhaustedError" in names:
        return Unavailable(what, f"the disk of {params.tfds_dir()} is full",
                           "Free some space, or point NSLIB_DATA_DIR to a larger disk, and run again: what was "
                           "downloaded and unpacked is used again.")
    if "NonMatchingChecksumError" in names:
        return Unavailable(what, _wrong_checksum(text), f"Download that file again.\n{steps(source)}")
    if any(isinstance(cause, ImportError) for cause in causes):
        return Unavailable(what, f"a package is missing ({_brief(error)})", "make setup")
    if any(isinstance(cause, MemoryError) for cause in causes):
        return Unavailable(what, "the memory of this machine does not suffice", "Close other programs and run again.")
    return Unavailable(what, _why(error, names, text), f"Compare with these steps.\n{steps(source)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _wrong_checksum(text: str) -> str:
    match = _CHECKSUM.search(text)
    if not match:
        return "a file is not the one that TensorFlow Datasets registered (its checksum differs)"
    return (f"{match[2]} is not the file that TensorFlow Datasets registered for {match[1]} (its checksum differs: it "
            "is cut short or damaged, or its publisher has changed it)")


def _why(error: BaseException, names: set[str], text: str) -> str:
    if match := _PATH.search(text):
        return f"{match[1]} cannot be decoded: it is cut short or damaged"
    if "ExtractError" in names or names & {"BadZipFile", "ReadError", "EOFError", "zlib.error", "BadGzipFile"}:
        return f"an archive cannot be unpacked: it is cut short or damaged ({_brief(error)})"
    if names & {"DownloadError", "ConnectionError", "Timeout", "ReadTimeout", "ChunkedEncodingError"}:
        return f"a download failed ({_brief(error)})"
    return f"TensorFlow Datasets stopped with {_brief(error)}"


def _brief(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}" if lines else type(error).__name__
