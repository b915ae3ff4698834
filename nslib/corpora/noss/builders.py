"""Prepare a data set of NOSS with its own builder of TensorFlow Datasets.

What the kit adds is around the builder, not in it: archives are looked at before anything is unpacked,
room on disk is counted, a host that does not answer is found out in seconds (TensorFlow Datasets itself
tries for minutes), clips are decoded without programs (see `decoding`), and whatever goes wrong becomes
an `Unavailable` with what to do. What was downloaded and unpacked stays for the next attempt.

VoxForge is written for Apache Beam, whose local runners hold all recordings in memory: measured, 5 times
the size of the prepared files, half a terabyte here. So the same function of the builder is called for
one archive after the other, and the builder's own writer, which sorts on disk, takes what it gives: the
same records in the same order, in a few GB of memory.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nslib import params
from nslib.corpora.noss import manual, mirror, registry, room, state
from nslib.corpora.noss.around import quietly
from nslib.corpora.noss.decoding import Seen, decoded_here
from nslib.corpora.noss.failures import explained
from nslib.corpora.noss.network import guarded
from nslib.corpora.noss.sources import Source
from nslib.errors import Unavailable


def prepare(source: Source, *, progress: bool = True) -> tuple[str, ...]:
    """Have TensorFlow Datasets prepare a data set.

    Parameters
    ----------
    source : Source
    progress : bool
        Show TensorFlow Datasets' own bars.

    Returns
    -------
    tuple of str
        Sentences for the report: what was done otherwise than TensorFlow Datasets alone would.

    Raises
    ------
    Unavailable
        If it cannot be prepared, with the reason and what to do.
    """
    found = state.status(source.name)
    if found.state == "manual":
        raise Unavailable(f"data set {source.name}", found.detail, found.remedy)
    seen = manual.look(source.name)
    room.check(source, seen.size if seen.complete else 0)
    _forget_stale(source)
    try:
        with quietly(progress):
            return _prepare(source, progress)
    except Unavailable:
        raise
    except Exception as error:  # builders, archives, networks and disks fail in a hundred ways
        raise explained(error, source) from error


def _prepare(source: Source, progress: bool) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    builder = tfds.builder(f"{source.name}:{source.version}", data_dir=params.tfds_dir())
    config = tfds.download.DownloadConfig(manual_dir=params.manual_dir(), try_download_gcs=False)
    if source.name == "voxforge":
        _without_beam(builder)
    notes: list[str] = []
    with guarded(source), decoded_here(builder.info.features["audio"].sample_rate) as seen:
        # first what is small, so that 30 GB are not unpacked for want of 5 MB
        lists = _fetch(builder, source)
        if source.name == "crema_d":
            notes += _adopted(mirror.adopt(lists[0].read_text(encoding="utf-8"), progress=progress))
        builder.download_and_prepare(download_config=config)
    if source.name == "voxceleb":
        notes += _absent(lists[0], builder)
    return (*notes, *_decoding_notes(seen))


def _fetch(builder: Any, source: Source) -> list[Path]:
    import tensorflow_datasets as tfds

    manager = tfds.download.DownloadManager(
        download_dir=params.tfds_dir() / "downloads", manual_dir=params.manual_dir(), dataset_name=source.name,
        url_infos=builder.url_infos)
    return [Path(path) for path in manager.download([file.url for file in registry.files(source.name)])]


def _without_beam(builder: Any) -> None:
    from tensorflow_datasets.audio import voxforge

    split_generators = builder._split_generators

    def one_by_one(dl_manager: Any) -> dict[str, Iterator[Any]]:
        return {split.name: itertools.chain.from_iterable(
            voxforge._generate_examples(path, dl_manager) for path in sorted(split.gen_kwargs["file_names"]))
            for split in split_generators(dl_manager)}

    builder._split_generators = one_by_one


def _forget_stale(source: Source) -> None:
    """Remove what was unpacked from an archive that has been replaced since: only its name is compared there."""
    archive = params.manual_dir() / source.archive
    unpacked = params.tfds_dir() / "downloads" / "extracted" / f"ZIP.{source.archive}"
    if source.archive and unpacked.is_dir() and unpacked.stat().st_mtime < archive.stat().st_ctime:
        shutil.rmtree(unpacked)


def _adopted(refused: list[str]) -> list[str]:
    if not refused:
        return []
    names = ", ".join(refused[:3]) + (", ..." if len(refused) > 3 else "")
    return [f"{len(refused)} files of the clone of CREMA-D are not those that TensorFlow Datasets registered "
            f"and were downloaded instead ({names})."]


def _absent(listed: Path, builder: Any) -> list[str]:
    wanted = sum(bool(line.strip()) for line in listed.read_text(encoding="utf-8").splitlines())
    absent = wanted - sum(split.num_examples for split in builder.info.splits.values())
    return [f"{absent} of the {wanted} recordings in iden_split.txt are not in the archive (those of the 40 "
            "speakers of VoxCeleb1's test set never are): left out, as TensorFlow Datasets does."] if absent else []


def _decoding_notes(seen: Seen) -> list[str]:
    notes = []
    if seen.decoded:
        notes.append(f"{seen.decoded} clips were decoded by the kit's own decoders instead of FFmpeg's program.")
    if seen.other_rates:
        notes.append(f"{seen.other_rates} clips have another sample rate than TensorFlow Datasets says for all of "
                     "them, so they are too fast or too slow, as they are for everyone who uses it.")
    return notes
