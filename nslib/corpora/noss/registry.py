"""Which files TensorFlow Datasets fetches by itself, as its own lists of checksums name them.

A file that lies in the manual folder under the name in this list is used instead of a download, if its
checksum is the registered one. Nothing is imported: the lists are text files of the installed package.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

from nslib import params


@dataclass(frozen=True)
class Registered:
    """One file that TensorFlow Datasets knows.

    Attributes
    ----------
    url : str
    size : int
        Bytes.
    sha256 : str
    name : str
        Under which it is looked for in the manual folder; empty if the list does not say.
    """

    url: str
    size: int
    sha256: str
    name: str = ""

    def manual(self) -> Path:
        """Path: where a copy that was fetched by hand belongs."""
        return params.manual_dir() / self.name


def files(dataset: str) -> tuple[Registered, ...]:
    """List the files of a data set that TensorFlow Datasets fetches by itself.

    Parameters
    ----------
    dataset : str
        E.g. ``"speech_commands"``.

    Returns
    -------
    tuple of Registered
        Empty if everything is to be fetched by hand.
    """
    for folder in _package():
        for path in (folder / "datasets" / dataset / "checksums.tsv", folder / "url_checksums" / f"{dataset}.txt"):
            if path.exists():
                return parse(path.read_text(encoding="utf-8"))
    return ()


def _package() -> list[Path]:
    found = importlib.util.find_spec("tensorflow_datasets")
    return [Path(folder) for folder in found.submodule_search_locations or ()] if found else []


def installed() -> bool:
    """Bool: whether TensorFlow Datasets is there at all; it is not imported."""
    return bool(_package())


def parse(text: str) -> tuple[Registered, ...]:
    """Read a list of checksums, one file a line.

    Parameters
    ----------
    text : str
        Address, size, SHA-256 and perhaps name, separated by tabs; or the first three by spaces.

    Returns
    -------
    tuple of Registered
    """
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields = [line.split("\t") if "\t" in line else line.rsplit(" ", 2) for line in lines]
    return tuple(Registered(url, int(size), sha, *name[:1]) for url, size, sha, *name in fields)


def downloads(dataset: str) -> Path:
    """Say where TensorFlow Datasets keeps what it downloaded for a data set.

    Parameters
    ----------
    dataset : str

    Returns
    -------
    Path
        It need not exist.
    """
    return params.tfds_dir() / "downloads" / dataset


def missing(dataset: str) -> tuple[Registered, ...]:
    """List the files that would have to be downloaded now.

    Parameters
    ----------
    dataset : str

    Returns
    -------
    tuple of Registered
        Those neither in the manual folder nor among TensorFlow Datasets' downloads.
    """
    here = [file for file in files(dataset) if not file.manual().is_file()]
    kept = _downloaded(dataset) if here else set()
    return tuple(file for file in here if file.url not in kept)


def _downloaded(dataset: str) -> set[str]:
    """Addresses of finished downloads, but of single clips: there are thousands, and none is in `files`."""
    urls: set[str] = set()
    for info in downloads(dataset).glob("*.INFO"):
        if not info.name.endswith(".wav.INFO"):
            urls.update(json.loads(info.read_text(encoding="utf-8")).get("urls", []))
    return urls
