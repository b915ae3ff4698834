"""Write a table of vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib import files
from nslib.embeddings.base import FloatArray
from nslib.errors import BadParameter
from nslib.interchange import examples, records, shards
from nslib.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

_NEEDED = ("clip_id", "sha256", "seconds", "label", "speaker", "split")


def write(folder_or_prefix: str | Path, clips: pd.DataFrame, vectors: Mapping[str, npt.ArrayLike], *,
          label_numbers: Sequence[str] | None = None, shards: int = 1) -> list[Path]:
    """Write vectors as TFRecord files, as the authors' pipeline does.

    Parameters
    ----------
    folder_or_prefix : path-like
        Files are called ``<prefix>.train-00000-of-00001`` and so on; of an existing folder, or with a
        slash at the end, the prefix is ``<folder>/vectors``. Clips without a split go into
        ``<prefix>-00000-of-00001``.
    clips : DataFrame
        Clip table: clip_id, sha256, seconds, label, speaker, split.
    vectors : mapping of str to array [clips, dim] float
        Embeddings by name; row ``i`` belongs to row ``i`` of `clips`.
    label_numbers : sequence of str, optional
        Names of all classes. Labels are written as their places in it, ``"0"``, ``"1"``, ..., and the
        list is written to ``<prefix>.label_list.txt``, one name a line. Default: labels as they are.
    shards : int
        Files of each split.

    Returns
    -------
    list of Path
        What was written. The same clips and vectors give the same bytes.

    Raises
    ------
    BadParameter
        If something does not fit, or there are other shards under this prefix.
    NslibError
        If a file cannot be written.
    """
    prefix = _prefix(folder_or_prefix)
    matrices = _checked(clips, vectors)
    labels = _numbered(clips["label"], label_numbers)
    if shards < 1:
        raise BadParameter(f"shards is {shards}; give 1 or more.")
    plan = _plan(prefix, clips, shards)
    _refuse_mixture(prefix, set(plan))
    columns = {name: clips[name].to_numpy() for name in ("clip_id", "sha256", "seconds", "speaker")}
    for path, rows in plan.items():
        records.write(path, (examples.serialised({n: c[i] for n, c in columns.items()}, labels[i],
                                                 {n: m[i] for n, m in matrices.items()}) for i in rows))
    return [*plan, *_label_list(prefix, label_numbers)]


def _prefix(given: str | Path) -> Path:
    folder = str(given).endswith(("/", os.sep)) or Path(given).is_dir()
    return Path(given) / "vectors" if folder else Path(given)


def _checked(clips: pd.DataFrame, vectors: Mapping[str, npt.ArrayLike]) -> dict[str, FloatArray]:
    missing = [name for name in _NEEDED if name not in clips]
    if missing or not len(clips) or not vectors:
        raise BadParameter(f"give clips with the columns {', '.join(_NEEDED)} and vectors by name; got {len(clips)} "
                           f"clips, {len(vectors)} kinds of vectors, missing columns: {', '.join(missing) or 'none'}.")
    repeated = clips["clip_id"][clips["clip_id"].duplicated()]
    if len(repeated):
        raise BadParameter(f"clip_id {repeated.iloc[0]!r} comes twice.")
    strange = sorted(set(clips["split"]) - {"", *SPLITS})
    if strange:
        raise BadParameter(f"split is {strange[0]!r}; allowed: {', '.join(SPLITS)} or ''.")
    return {name: _matrix(name, values, clips) for name, values in vectors.items()}


def _matrix(name: str, values: npt.ArrayLike, clips: pd.DataFrame) -> FloatArray:
    if not name or "/" in name:
        raise BadParameter(f"{name!r} cannot be the name of an embedding here; leave out '/'.")
    matrix = np.asarray(values, np.float32)
    if matrix.ndim != 2 or len(matrix) != len(clips) or not matrix.shape[1]:
        raise BadParameter(f"vectors of {name} have shape {list(matrix.shape)} for {len(clips)} clips; give "
                           "[clips, dim], averaged over time.")
    broken = ~np.isfinite(matrix).all(axis=1)
    if broken.any():
        raise BadParameter(f"{int(broken.sum())} vectors of {name} hold NaN or infinity, the first that of "
                           f"{clips['clip_id'].iloc[int(np.argmax(broken))]}.")
    return matrix


def _numbered(labels: pd.Series[Any], classes: Sequence[str] | None) -> list[str]:
    if classes is None:
        return [str(label) for label in labels]
    places = {name: str(place) for place, name in enumerate(classes)}
    unknown = sorted(set(labels) - set(places))
    if unknown or len(places) < len(classes) or any("\n" in name for name in places):
        raise BadParameter("label_numbers must name every label once, each on one line; got "
                           f"{len(classes)} names, without: {', '.join(unknown) or 'none'}.")
    return [places[label] for label in labels]


def _plan(prefix: Path, clips: pd.DataFrame, count: int) -> dict[Path, list[int]]:
    """Which rows go into which file, in the order of clip_id."""
    order = np.argsort(clips["clip_id"].to_numpy(str), kind="stable")
    split = clips["split"].to_numpy(str)
    plan = {}
    for name in ("", *SPLITS):
        rows = order[split[order] == name]
        for shard, part in enumerate(np.array_split(rows, count)) if len(rows) else ():
            plan[shards.name(prefix, name, shard, count)] = part.tolist()
    return plan


def _refuse_mixture(prefix: Path, planned: set[Path]) -> None:
    older = [path for path in shards.existing(prefix) if path not in planned]
    if older:
        raise BadParameter(f"{prefix.parent} has other shards of {prefix.name}, e.g. {older[0].name}, which would be "
                           "read together with the new ones. Delete them or choose another prefix.")


def _label_list(prefix: Path, classes: Sequence[str] | None) -> list[Path]:
    if classes is None:
        return []
    path = prefix.with_name(prefix.name + shards.LABEL_LIST)
    files.write(path, "".join(f"{name}\n" for name in classes))
    return [path]
