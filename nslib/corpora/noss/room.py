"""Whether a data set will fit on the disk, before hours are spent on finding out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from nslib import params
from nslib.corpora.noss.sources import Source
from nslib.errors import Unavailable

_SPARE = 1.1


def check(source: Source, archives: int = 0) -> None:
    """Refuse to prepare a data set that will not fit.

    Parameters
    ----------
    source : Source
    archives : int
        Bytes of archives that are there; 0 if it is not known. A part of the data set takes its part of the room.

    Raises
    ------
    Unavailable
        With the numbers, and what stopped runs have left behind.
    """
    part = min(1.0, archives / (source.download_gb * 1e9)) if archives else 1.0
    fetched = source.download_gb if not source.by_hand and not archives else 0.0
    tfds_gb = (source.unpacked_gb + _SPARE * source.prepared_gb) * part + fetched
    tfds, cache = params.tfds_dir(), params.cache_dir()
    if _disk(tfds) == _disk(cache):
        _enough(source, tfds, tfds_gb + source.shelf_gb * part)
    else:
        _enough(source, tfds, tfds_gb)
        _enough(source, cache, source.shelf_gb * part)


def check_clips(source: Source, part: float) -> None:
    """Refuse to make clips that will not fit.

    Parameters
    ----------
    source : Source
    part : float
        Share of the data set's clips that is still to be made, 0 to 1.

    Raises
    ------
    Unavailable
        With the numbers.
    """
    _enough(source, params.cache_dir(), source.shelf_gb * part)


def _disk(folder: Path) -> int:
    return os.stat(_existing(folder)).st_dev


def _existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.parents) if p.exists())


def _enough(source: Source, folder: Path, needed: float) -> None:
    free = shutil.disk_usage(_existing(folder)).free / 1e9
    if needed <= free:
        return
    left = _leftovers(source)
    more = f" Runs that were stopped have left these behind, which can be deleted: {', '.join(left)}." if left else ""
    raise Unavailable(f"room for the data set {source.name}",
                      f"about {needed:.1f} GB are needed in {folder}, and {free:.1f} GB are free",
                      f"Free some space, or point NSLIB_DATA_DIR (prepared data sets) or NSLIB_CACHE (clips) to a "
                      f"larger disk.{more}")


def _leftovers(source: Source) -> list[str]:
    tfds = params.tfds_dir()
    folders = [*(tfds / source.name).glob("*incomplete*"), *(tfds / "downloads" / "extracted").glob("incomplete*")]
    return [str(folder) for folder in folders]
