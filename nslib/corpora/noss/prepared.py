"""Read a data set that TensorFlow Datasets has prepared, always in the same order.

Conventions
-----------
A clip is called by its place in its split, over all shards (``savee/test/00017``): TensorFlow Datasets
orders recordings by a hash of their names, so the place is the same wherever the data set is prepared.
Samples are the stored integers over 32767, as the authors' code has it, resampled by soxr HQ.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nslib import audio
from nslib.corpora.noss.origin import Origin
from nslib.corpora.noss.sources import Source
from nslib.corpora.noss.state import prepared_dir
from nslib.errors import BadAudio, Unavailable
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

_ENDS = 1 << 20
_ID = re.compile(r"-(\w+)\.tfrecord-(\d+)-of-\d+__(\d+)$")


def origin(source: Source, notes: tuple[str, ...] = (), *, progress: bool = True) -> Origin:
    """Open a data set that is prepared.

    Parameters
    ----------
    source : Source
    notes : tuple of str
        What is known of how it was prepared.
    progress : bool

    Returns
    -------
    Origin
    """
    folder = prepared_dir(source.name)
    part = min(1.0, sum(p.stat().st_size for p in folder.iterdir()) / (source.prepared_gb * 1e9))
    return Origin(key(folder), partial(_index, source, folder, progress), partial(_read, source, folder), part, notes)


def key(folder: Path) -> str:
    """Name what a folder of prepared files holds.

    Parameters
    ----------
    folder : Path
        Of one version of one data set.

    Returns
    -------
    str
        Hash of the data set's name and version, its description files, and name, size, first and last MiB of every
        other file: reading all of 100 GB would take minutes at every start.
    """
    digest = hashlib.sha256(f"{folder.parent.name} {folder.name}\n".encode())
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(_ENDS, size - _ENDS))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()


def _builder(source: Source, folder: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # whatever a damaged folder makes of it, the answer is the same
        raise _damaged(source.name, folder, error) from error


def _index(source: Source, folder: Path, progress: bool) -> pd.DataFrame:
    import pandas as pd
    from tqdm.std import tqdm

    builder = _builder(source, folder)
    rows: list[dict[str, Any]] = []
    total = sum(builder.info.splits[split].num_examples for split in SPLITS)
    with tqdm(total=total, desc=f"listing {source.name}", unit="clip", disable=not progress) as bar:
        for split, place, example in _examples(builder, dict.fromkeys(SPLITS, 0), ("label", "speaker_id")):
            rows.append(_row(builder, source, split, place, example))
            bar.update()
    return pd.DataFrame(rows).sort_values("clip_id", ignore_index=True)


def _row(builder: Any, source: Source, split: str, place: int, example: dict[str, Any]) -> dict[str, Any]:
    label = builder.info.features["label"].int2str(int(example["label"]))
    speaker = example["speaker_id"].decode() if "speaker_id" in example else ""
    if source.name == "voxceleb":
        speaker = label
    return {"clip_id": _clip_id(builder, split, place), "label": label, "speaker": speaker, "split": split,
            "sample_rate": _rate(builder), "source": f"{source.name} {source.version}"}


def _rate(builder: Any) -> int:
    return builder.info.features["audio"].sample_rate or audio.SAMPLE_RATE


def _clip_id(builder: Any, split: str, place: int) -> str:
    digits = max(5, len(str(builder.info.splits[split].num_examples - 1)))
    return f"{builder.name}/{split}/{place:0{digits}d}"


def _read(source: Source, folder: Path,
          wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], audio.Clip]]]:
    builder = _builder(source, folder)
    rate = _rate(builder)
    first: dict[str, int] = {}
    for name in sorted(wanted):
        _, split, digits = name.split("/")
        first.setdefault(split, int(digits))
    left = len(wanted)
    for split, place, example in _examples(builder, first, ("audio",)):
        if (name := _clip_id(builder, split, place)) in wanted:
            yield name, partial(_clip, name, example["audio"], rate)
            left -= 1
            if not left:
                return


def _clip(name: str, samples: np.ndarray[Any, Any], rate: int) -> audio.Clip:
    low, high = (int(samples.min()), int(samples.max())) if len(samples) else (0, 0)
    if low < -32768 or high > 32767:
        raise BadAudio(name, f"samples from {low} to {high} do not fit into 16 bits",
                       "The authors' code refuses them too; look at the recording.")
    return audio.from_array(samples.astype(np.int16), rate, name)


def _examples(builder: Any, first: dict[str, int],
              features: tuple[str, ...]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Examples of splits, from a place on in each, in order, with the features asked for as far as there are any."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    starts = {split: [0, *itertools.accumulate(builder.info.splits[split].shard_lengths)] for split in first}
    kept = {name: True for name in features if name in builder.info.features}
    data = builder.as_dataset(
        split="+".join(f"{split}[{place}:]" if place else split for split, place in first.items()),
        shuffle_files=False, decoders=tfds.decode.PartialDecoding(kept),
        read_config=tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1, try_autocache=False))
    try:
        for example in tfds.as_numpy(data):
            split, shard, place = _ID.search(example["tfds_id"].decode()).groups()  # type: ignore[union-attr]
            yield split, starts[split][int(shard)] + int(place), example
    except tf.errors.OpError as error:
        raise _damaged(builder.name, builder.data_path, error) from error


def _damaged(name: str, folder: Any, error: Exception) -> Unavailable:
    why = f"TensorFlow Datasets cannot read {folder} ({str(error).splitlines()[0][:200]})"
    return Unavailable(f"data set {name}", why,
                       "Remove that folder and run again: it is prepared anew from the archives.")
