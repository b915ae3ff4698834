"""Any data set of TensorFlow Datasets that has sound and classes, as somebody's own recordings.

Written ``tfds:NAME``, as ``tfds.builder`` takes names (``tfds:NAME/CONFIG:VERSION``), and where its features do not say
by themselves which is which, ``tfds:NAME?label=emotion&speaker=actor&audio=speech``.

Conventions
-----------
It is prepared once by TensorFlow Datasets, into its own folder (``NSLIB_DATA_DIR``), and its clips are kept as 16 kHz
WAV files. A clip is called by its split and its place in it. Integers of 16 bits are divided by 32768, as in files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from nslib import audio, files, params
from nslib.corpora.layouts import TFDS
from nslib.corpora.listing import SPLIT_NAMES, Listed
from nslib.corpora.noss import SOURCES, prepared
from nslib.corpora.noss.around import quietly
from nslib.corpora.noss.decoding import decoded_here
from nslib.corpora.shelf import Shelf
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable, UnknownName

_SPEAKERS = ("speaker", "speaker_id", "speaker_name", "actor")
_ROLES = ("audio", "label", "speaker")


def clips(source: str, *, progress: bool = True) -> tuple[list[Listed], list[str]]:
    """List the clips of a data set, having prepared and decoded it.

    Parameters
    ----------
    source : str
        ``tfds:NAME``, maybe with ``?label=FEATURE&speaker=FEATURE&audio=FEATURE``.
    progress : bool

    Returns
    -------
    clips : list of Listed
    notes : list of str

    Raises
    ------
    UnknownName
        For a data set or feature that does not exist, with the nearest.
    BadParameter
        If it has no sound, or several classes and none is named.
    Unavailable
        If it cannot be prepared, with the reason.
    """
    name, _, asked = source.removeprefix(TFDS).partition("?")
    with quietly(progress):
        builder = _builder(name)
        roles = _roles(name, builder.info.features, dict(parse_qsl(asked)))
        _prepare(name, builder, roles)
        return _listed(name, builder, roles, progress)


def _builder(name: str) -> Any:
    import tensorflow_datasets as tfds

    if (plain := name.split("/")[0].split(":")[0]) in SOURCES:
        raise BadParameter(f"{plain} is one of the kit's own tasks, with the paper's splits; name it as a task: "
                           f"--profile paper --tasks {plain}")
    try:
        return tfds.builder(name, data_dir=params.tfds_dir())
    except tfds.core.DatasetNotFoundError:
        raise UnknownName("data set of TensorFlow Datasets", name, tfds.list_builders()) from None
    except (ValueError, RuntimeError, AssertionError, ImportError) as error:
        raise BadParameter(f"TensorFlow Datasets refuses {name!r}: {_brief(error)}") from error


def _roles(name: str, features: Any, asked: dict[str, str]) -> dict[str, str]:
    import tensorflow_datasets as tfds

    for role, feature in asked.items():
        if role not in _ROLES:
            raise UnknownName(f"word in tfds:{name}?{role}=", role, _ROLES)
        if feature not in features:
            raise UnknownName(f"feature of {name}", feature, features)
    sound = sorted(key for key, kind in features.items() if isinstance(kind, tfds.features.Audio))
    classes = sorted(key for key, kind in features.items() if isinstance(kind, tfds.features.ClassLabel))
    label = "label" if "label" in classes else classes[0] if len(classes) == 1 else ""
    speaker = next((key for key in _SPEAKERS if key in features), "")
    found = {"audio": sound[0] if len(sound) == 1 else "", "label": label, "speaker": speaker} | asked
    for role, candidates in (("audio", sound), ("label", classes)):
        if not found[role] and (candidates or role == "audio"):
            raise BadParameter(f"{name} has {len(candidates)} features that could be the {role} "
                               f"({', '.join(candidates) or 'none'}; all: {', '.join(sorted(features))}); name one: "
                               f"tfds:{name}?{role}=FEATURE")
    return found


def _prepare(name: str, builder: Any, roles: dict[str, str]) -> None:
    if builder.is_prepared():
        return
    if params.offline():
        raise Unavailable(f"data set {name}", f"it is not prepared in {builder.data_path}, and downloads are forbidden "
                          "(NSLIB_OFFLINE=1)", "Run once without NSLIB_OFFLINE, or set NSLIB_DATA_DIR to where it is.")
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(manual_dir=params.manual_dir(), try_download_gcs=False)
    rate = builder.info.features[roles["audio"]].sample_rate or audio.SAMPLE_RATE
    try:
        with decoded_here(rate):
            builder.download_and_prepare(download_config=config)
    except NslibError:
        raise
    except Exception as error:  # builders, archives, networks and disks fail in a hundred ways
        raise Unavailable(f"data set {name}", f"TensorFlow Datasets cannot prepare it ({_brief(error)})",
                          f"Its page, https://www.tensorflow.org/datasets/catalog/{builder.name}, says what it needs; "
                          f"files fetched by hand belong into {params.manual_dir()}.") from error


def _listed(name: str, builder: Any, roles: dict[str, str], progress: bool) -> tuple[list[Listed], list[str]]:
    from tqdm.std import tqdm

    shelf = Shelf(f"tfds-{builder.name}")
    key = f"{prepared.key(Path(builder.data_path))} {json.dumps(roles, sort_keys=True)}"
    if (known := _known(shelf, key)) is not None:
        rows = known
    else:
        total = sum(split.num_examples for split in builder.info.splits.values())
        made = _examples(builder, roles, shelf, key)
        rows = list(tqdm(made, f"clips of {name}", total, unit="clip", disable=not progress))
        files.write(shelf.folder / "index.json", json.dumps({"key": key, "rows": rows}))
    said = ", ".join(f"{role}: {feature or 'none'}" for role, feature in roles.items())
    return [_clip(shelf, row, len(builder.info.splits) > 1) for row in rows], [f"Features of {name} read: {said}."]


def _known(shelf: Shelf, key: str) -> list[dict[str, str]] | None:
    try:
        found = json.loads((shelf.folder / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = found["key"] == key and all(row["fault"] or shelf.get(row["clip_id"], key) for row in found["rows"])
    return list(found["rows"]) if whole else None


def _examples(builder: Any, roles: dict[str, str], shelf: Shelf, key: str) -> Iterator[dict[str, str]]:
    import tensorflow_datasets as tfds

    features = builder.info.features
    wanted = tfds.decode.PartialDecoding({feature: True for feature in roles.values() if feature})
    in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    for split in sorted(builder.info.splits):
        data = builder.as_dataset(split=split, shuffle_files=False, decoders=wanted, read_config=in_order)
        for place, example in enumerate(tfds.as_numpy(data)):
            clip_id = f"{split}/{place:06d}"
            rate = features[roles["audio"]].sample_rate or audio.SAMPLE_RATE
            fault = _made(shelf, clip_id, key, example[roles["audio"]], rate)
            row = {"clip_id": clip_id, "split": split, "fault": fault}
            yield row | {role: _word(features, roles[role], example) for role in ("label", "speaker")}


def _made(shelf: Shelf, clip_id: str, key: str, samples: Any, rate: int) -> str:
    """Put a clip on the shelf, or say why it cannot be used."""
    if shelf.get(clip_id, key) is not None:
        return ""
    wave = np.asarray(samples)
    try:
        whole = wave.dtype.kind in "iu" and not -32768 <= int(wave.min(initial=0)) <= int(wave.max(initial=0)) <= 32767
        if whole:
            raise BadAudio(clip_id, "samples do not fit into 16 bits", "")
        shelf.add(clip_id, key, audio.from_array(wave.astype(np.int16) if wave.dtype.kind in "iu" else wave, rate,
                                                 clip_id).wave)
    except BadAudio as error:
        return error.reason
    return ""


def _word(features: Any, feature: str, example: dict[str, Any]) -> str:
    if not feature:
        return ""
    value = example[feature]
    if hasattr(features[feature], "int2str"):
        return str(features[feature].int2str(int(value))) if int(value) >= 0 else ""
    return value.decode() if isinstance(value, bytes) else str(value)


def _clip(shelf: Shelf, row: dict[str, str], split: bool) -> Listed:
    place = SPLIT_NAMES.get(row["split"].lower(), "") if split else ""
    return Listed(shelf.path(row["clip_id"]), row["clip_id"], row["label"], row["speaker"], place, row["fault"])


def _brief(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
