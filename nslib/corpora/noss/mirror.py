"""CREMA-D from a clone of its mirror, for when GitHub does not serve its clips.

TensorFlow Datasets asks GitHub for each of 7,438 clips, and the project's quota there is at times used
up. A clip cannot be put into the manual folder, because the registered list has no names for them; but
a file among its downloads is used as if it had been downloaded. So each file of the clone is checked
against the registered SHA-256, and those that agree are put there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from nslib import params
from nslib.corpora.noss import registry
from nslib.corpora.noss.registry import Registered


def adopt(registered: str, *, progress: bool = True) -> list[str]:
    """Put what a clone of CREMA-D holds among TensorFlow Datasets' downloads.

    Parameters
    ----------
    registered : str
        The list of checksums, ``crema_d.txt``.
    progress : bool

    Returns
    -------
    list of str
        Names of files that the clone does not have as they were registered; empty too if there is no clone.
    """
    from tqdm.std import tqdm

    clone = params.manual_dir() / "CREMA-D"
    if not clone.is_dir():
        return []
    refused, place = [], _places()
    for file in tqdm(registry.parse(registered), desc="checking CREMA-D", unit="file", disable=not progress):
        source, target = _in(clone, file), place(file)
        if target.exists():
            continue
        if source.is_file() and hashlib.sha256(source.read_bytes()).hexdigest() == file.sha256:
            _put(source, target, file)
        else:
            refused.append(source.name)
    return refused


def _in(clone: Path, file: Registered) -> Path:
    folder, _, name = file.url.rpartition("/")
    return clone / folder.rpartition("/")[2] / name


def _places() -> Callable[[Registered], Path]:
    from tensorflow_datasets.core.download import resource

    folder = registry.downloads("crema_d")
    folder.mkdir(parents=True, exist_ok=True)
    return lambda file: folder / resource.get_dl_fname(file.url, file.sha256)


def _put(source: Path, target: Path, file: Registered) -> None:
    from etils import epath
    from tensorflow_datasets.core.download import checksums, resource

    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
    info = checksums.UrlInfo(size=file.size, checksum=file.sha256, filename=source.name)
    resource.write_info_file(url=file.url, path=epath.Path(target), dataset_name="crema_d",
                             original_fname=source.name, url_info=info)
