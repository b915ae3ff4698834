"""Vectors as TFRecord files of tf.Example, as the authors' pipeline has them; and clip lists for other programs.

Reference: ``audio_to_embeddings_beam`` and ``train_and_eval_sklearn`` in google-research's folder
non_semantic_speech_benchmark, whose field and file names are used.

One record a clip, one vector an embedding: the authors' evaluation ignores the shape of a vector, so it must be
averaged over time. ``embedding/<name>`` holds the vector and ``embedding/<name>/shape`` its shape, ``[1, dim]``;
``label`` and ``speaker_id`` are bytes. We add ``clip_id``, ``sha256`` (of the audio), ``seconds`` and ``key``, which is
the same for the same clip in every run. (The authors draw a random key for each record.) Their classifiers get labels
as text of whole numbers and a list of these; ``label_numbers`` writes them so.

Files are ``<prefix>.<split>-00000-of-00003``. The authors' pipeline writes ``@*`` before the number of the shard, which
its runner outside Google takes literally.
"""

from __future__ import annotations

import glob
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.std import tqdm

from nslib import audio, config
from nslib.config import Params
from nslib.datasets import loading
from nslib.datasets import table as datasets_table
from nslib.datasets.splits import SPLITS
from nslib.datasets.tasks import REGISTRY
from nslib.embeddings.base import SAMPLE_RATE, FloatArray
from nslib.embeddings.tfrecords import BadRecord, decode_example, encode_example, read_records, write_records
from nslib.errors import BadAudio, BadParameter, NslibError, refuse_unknown
from nslib.evaluation.benchmark import Embeddable, load_tasks, specify_embeddings
from nslib.evaluation.probe import LabelledVectors
from nslib.evaluation.results import ResultsBuilder

__all__ = ["BadRecord", "export_vectors", "list_clips", "read_tfrecords", "split_for_probes", "write_clip_audio"]

CLIP_LIST_COLUMNS = ("task", "clip_id", "sha256", "seconds", "audio")
Paths = str | Path | Iterable[str | Path]

_PREFIX, _SHAPE, _LABEL_LIST = "embedding/", "/shape", ".label_list.txt"
_TEXTS = {"clip_id": "clip_id", "sha256": "sha256", "label": "label", "speaker": "speaker_id"}
_SHARD = re.compile(r"(?P<table>.+?)(@(\*|\d+))?-(?P<shard>\d{5})-of-(?P<count>\d{5})")
_SPLIT = re.compile(rf"(?:^|\.)({'|'.join(SPLITS)})(?=[.@-]|$)")


@dataclass(frozen=True)
class VectorTable:
    """Clips, sorted by clip_id, and their vectors, as read from TFRecord files.

    Of a clip, audio is ``""``, sample_rate 0 and source the name of the file; what a file does not tell is ``""``, or
    NaN for seconds. Notes say what was done to the vectors, and what is unusual about the table.
    """

    clips: pd.DataFrame
    vectors: dict[str, FloatArray]
    notes: tuple[str, ...]


def list_clips(names: Sequence[str], params: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the clips of tasks or own recordings for vectors that are computed elsewhere, and what cannot be read.

    Neither labels nor splits are listed: a vector must not know the answer. NslibError if a task cannot be had here.
    """
    ready = load_tasks(names, params, [], ResultsBuilder(), True)
    lost = [name for name in names if name in REGISTRY and name not in {task.name for task, _ in ready}]
    if lost:
        raise NslibError(f"{', '.join(lost)} cannot be had here; python -m nslib data status says what is missing.")
    clips = pd.concat([corpus.clips.assign(task=task.name) for task, corpus in ready], ignore_index=True)
    return clips[list(CLIP_LIST_COLUMNS)], pd.concat([corpus.problems for _, corpus in ready], ignore_index=True)


def write_clip_audio(clips: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write every clip of `list_clips` as the kit hears it, named after its hash; ``wav`` is the path of each.

    Mono, 16 kHz, 32-bit floating point: 16 bits would not give back the very samples, and so another hash. `BadAudio`
    for a recording that has changed since it was listed.
    """
    from scipy.io import wavfile

    folder = folder.resolve()
    first = clips.drop_duplicates("sha256")
    for row in tqdm(first.itertuples(), "writing audio", len(first), unit="clip"):
        wave = audio.read(row.audio).wave
        if audio.sha256(wave) != row.sha256:
            raise BadAudio(row.audio, "it is not what it was when the clips were listed",
                           "List the clips again, or restore the file.")
        content = io.BytesIO()
        wavfile.write(content, SAMPLE_RATE, wave)
        config.write_file(folder / f"{row.sha256}.wav", content.getvalue())
    return clips.assign(wav=[str(folder / f"{key}.wav") for key in clips["sha256"]])


def export_vectors(embeddings: Iterable[Embeddable], folder: Path, params: Params, *, numbers: bool = False,
                   shards: int = 1, progress: bool = True, say: Callable[[str], object] = print) -> list[Path]:
    """Write the vectors of whole tasks, one set of files a task, for the authors' scikit-learn step or other readers.

    With `numbers` labels are numbers, and their names are written beside. `say` is told how many clips were left out.
    Unavailable if a task or an embedding cannot be had.
    """
    entrants = specify_embeddings(embeddings)
    plan = loading.resolve_tasks(params, progress=progress)
    for _, error in plan.not_run:
        raise error
    written = []
    for task in plan.tasks:
        corpus = loading.load_clips(task, params, progress=progress)
        extractions = {entrant.name: entrant.vectors(corpus.clips, progress=progress) for entrant in entrants}
        # every row of a file holds all embeddings
        common = set.intersection(*(set(out.clips["clip_id"]) for out in extractions.values()))
        clips = corpus.clips[corpus.clips["clip_id"].isin(common)].reset_index(drop=True)
        if lost := len(corpus.problems) + len(corpus.clips) - len(clips):
            say(f"{task.name}: {lost} clips are left out, because they cannot be read or embedded")
        vectors = {name: out.vectors[out.clips["clip_id"].isin(common).to_numpy(bool)]
                   for name, out in extractions.items()}
        labels = sorted(corpus.clips["label"].unique()) if numbers else None
        written += write_tfrecords(folder / task.name, clips, vectors, label_numbers=labels, shards=shards)
    return written


def write_tfrecords(prefix: Path, clips: pd.DataFrame, vectors: Mapping[str, FloatArray], *,
                    label_numbers: Sequence[str] | None = None, shards: int = 1) -> list[Path]:
    """Write vectors [clips, dim] as TFRecord files, the same bytes for the same clips; labels as places in a list."""
    if shards < 1:
        raise BadParameter(f"shards is {shards}; give 1 or more.")
    if wrong := [name for name in vectors if "/" in name]:
        raise BadParameter(f"{wrong[0]!r} cannot be the name of an embedding here; leave out '/'.")
    if wrong := [name for name in label_numbers or () if "\n" in name]:
        raise BadParameter(f"label {wrong[0]!r} cannot be numbered; leave out numbers, or give it a name on one line.")
    plan = _plan_shards(prefix, clips, shards)
    older = [path for path in _list_shards(prefix) if path not in plan]
    if older:
        raise BadParameter(f"{prefix.parent} has other shards of {prefix.name}, e.g. {older[0].name}, which would be "
                           "read together with the new ones. Delete them or choose another prefix.")
    labels = [str(label) if label_numbers is None else str(label_numbers.index(label)) for label in clips["label"]]
    columns = {name: clips[name].to_numpy() for name in ("clip_id", "sha256", "seconds", "speaker")}
    for path, rows in plan.items():
        write_records(path, (_serialise({name: column[i] for name, column in columns.items()}, labels[i],
                                        {name: matrix[i] for name, matrix in vectors.items()}) for i in rows))
    if label_numbers is None:
        return list(plan)
    label_list = prefix.with_name(prefix.name + _LABEL_LIST)
    config.write_file(label_list, "".join(f"{name}\n" for name in label_numbers))
    return [*plan, label_list]


def _plan_shards(prefix: Path, clips: pd.DataFrame, count: int) -> dict[Path, list[int]]:
    """Decide which rows go into which file, in the order of clip_id; files of clips without a split have no middle."""
    order = np.argsort(clips["clip_id"].to_numpy(str), kind="stable")
    split = clips["split"].to_numpy(str)
    plan = {}
    for name in dict.fromkeys(("", *SPLITS, *split)):
        rows = order[split[order] == name]
        for shard, part in enumerate(np.array_split(rows, count)) if len(rows) else ():
            middle = f".{name}" if name else ""
            plan[prefix.with_name(f"{prefix.name}{middle}-{shard:05d}-of-{count:05d}")] = part.tolist()
    return plan


def _serialise(clip: Mapping[str, Any], label: str, vectors: Mapping[str, FloatArray]) -> bytes:
    """Make the record of a clip: the same bytes for the same clip."""
    # 32 hex digits, as many bits as the authors' random keys have
    key = hashlib.sha256(f"{clip['clip_id']}\0{clip['sha256']}".encode()).hexdigest()[:32]
    texts = {name: label if column == "label" else clip[column] for column, name in _TEXTS.items()}
    features: dict[str, list[Any]] = {name: [text.encode()] for name, text in {**texts, "key": key}.items()
                                      if text or name == "label"}
    if np.isfinite(clip["seconds"]):
        features["seconds"] = [float(clip["seconds"])]
    for name, vector in vectors.items():
        features[_PREFIX + name] = vector.tolist()
        features[_PREFIX + name + _SHAPE] = [1, len(vector)]
    return encode_example(features)


def _list_shards(prefix: Path) -> list[Path]:
    """List every shard of a table, of any split and count."""
    tables = {prefix.name, *(f"{prefix.name}.{split}" for split in SPLITS)}
    return sorted(path for path in prefix.parent.glob("*")
                  if (shard := _SHARD.fullmatch(path.name)) and shard["table"] in tables)


def _expand(given: str) -> list[Path]:
    """List the files of a file, a folder, a pattern, ``<prefix>@3``, ``<prefix>@*`` or a bare prefix."""
    if Path(given).is_file():
        return [Path(given)]
    counted = re.fullmatch(r"(.+)@(\*|\d+)", given)
    if counted:
        found = _list_shards(Path(counted[1]))
    else:
        matches = sorted(Path(given).glob("*-of-*")) if Path(given).is_dir() else map(Path, glob.glob(given))
        found = [p for p in matches if p.is_file() and not p.name.endswith(_LABEL_LIST)] or _list_shards(Path(given))
    if not found:
        raise BadParameter(f"no file is {given!r}, matches it as a pattern, or is a shard of it "
                           f"({Path(given).name}-00000-of-00001).")
    _check_whole(found, int(counted[2]) if counted and counted[2] != "*" else None)
    return found


def _check_whole(found: list[Path], asked: int | None) -> None:
    """Refuse tables of which shards are missing, or that are of several runs."""
    tables: dict[Path, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    for path in found:
        if shard := _SHARD.fullmatch(path.name):
            tables[path.parent / shard["table"]][int(shard["count"])].add(int(shard["shard"]))
    for table, counts in tables.items():
        if len(counts) > 1:
            raise BadParameter(f"{table} has shards of {' and of '.join(map(str, sorted(counts)))} files; they are of "
                               "different runs. Delete the older ones, or name the files.")
        total, present = next(iter(counts.items()))
        missing = sorted(set(range(total)) - present)
        if missing or asked not in (None, total):
            raise BadParameter(f"{table} has {len(present)} of {asked or total} shards; missing: "
                               f"{', '.join(f'{k:05d}' for k in missing) or 'all of that count'}. Copy them here, or "
                               "name the files to read without them.")


class _UnusableError(Exception):
    """A record that cannot be used: ``(reason, remedy)``."""

    def __init__(self, reason: str, remedy: str = "Give the output of the embedding pipeline."):
        super().__init__(reason, remedy)


def read_tfrecords(paths: Paths, names: Sequence[str] | None = None, *,
                   label_list: str | Path | None = None, progress: bool = True) -> VectorTable:
    """Read TFRecord files of the authors' pipeline, or of `write_tfrecords`: all embeddings, or those of ``names``.

    ``paths`` are files, folders, patterns (``out/savee.*``), ``<prefix>@3``, ``<prefix>@*`` or bare prefixes; the split
    is taken from ``.train``, ``.validation`` or ``.test`` in a file's name. With a file of names (``label_list``)
    labels that are numbers become names. Vectors with several frames (told by their shape) are averaged over time, and
    counted in a note; a clip without an id gets one of the content of its record. BadRecord names file and number of
    the first record that is damaged, cut short or lacks something; BadParameter if no file is found, or a shard is
    missing.
    """
    if label_list is not None and not Path(label_list).is_file():
        raise BadParameter(f"label_list is {str(label_list)!r}, which is no file; give one with one name a line.")
    classes = None if label_list is None else Path(label_list).read_text(encoding="utf-8").splitlines()
    several = [paths] if isinstance(paths, str | Path) else list(paths)
    found = sorted({path for given in several for path in _expand(str(given))})
    if not found:
        raise BadParameter("an empty list of files was given.")
    chosen, rows = list(names or ()), []
    vectors: dict[str, list[FloatArray]] = defaultdict(list)
    first: dict[str, str] = {}
    notes: Counter[str] = Counter()
    for path in tqdm(found, "read vectors", unit="file", disable=not progress):
        split = (_SPLIT.findall(path.name) or [""])[-1]  # empty if the name does not tell
        for number, record in enumerate(read_records(path)):
            try:
                row, vectors_of = _parse(record, chosen, classes, notes)
                for name, vector in vectors_of.items():
                    if vectors[name] and len(vector) != len(vectors[name][0]):
                        raise _UnusableError(f"{_PREFIX}{name} has {len(vector)} numbers, those before it have "
                                             f"{len(vectors[name][0])}",
                                             "Vectors must be averaged over time, or have their shape.")
                    vectors[name].append(vector)
                row["clip_id"] = _give_id(row, vectors_of, first, f"record {number} of {path}", notes)
            except _UnusableError as error:
                raise BadRecord(path, number, *error.args) from error
            chosen = list(vectors_of)
            rows.append({**row, "audio": "", "sample_rate": 0, "split": split, "source": path.name})
    if not rows:
        raise NslibError(f"{len(found)} files hold no record.")
    order = sorted(range(len(rows)), key=lambda i: str(rows[i]["clip_id"]))
    matrices = {name: np.stack([vectors[name][i] for i in order]) for name in chosen}
    texts = tuple(f"Records {what}: {count} of {len(rows)}." for what, count in notes.items() if count)
    return VectorTable(datasets_table.make_dataset(rows).clips, matrices, texts)


def split_for_probes(table: VectorTable, name: str | None = None) -> dict[str, LabelledVectors]:
    """Bring a table to the probes: ``probe.grid(**split_for_probes(table))``; of several embeddings name one."""
    if name is None and len(table.vectors) > 1:
        raise BadParameter(f"the table has {', '.join(table.vectors)}; name one of them.")
    name = name or next(iter(table.vectors))
    refuse_unknown("embedding of the table", name, table.vectors)
    rows = {split: (table.clips["split"] == split).to_numpy(bool) for split in SPLITS}
    if not all(part.any() for part in rows.values()):
        counts = {split: int(part.sum()) for split, part in rows.items()}
        raise BadParameter(f"a probe needs records of train, validation and test; there are {counts}. The names of "
                           "files must have .train, .validation or .test in them: rename them.")
    return {split: LabelledVectors.of(table.clips[part], table.vectors[name][part]) for split, part in rows.items()}


def _parse(record: bytes, names: Sequence[str], classes: list[str] | None,
           notes: Counter[str]) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Give the row of a record in the clip table, and its vectors: of the names, or all if there are none."""
    try:
        features = decode_example(record)
    except ValueError as error:
        raise _UnusableError(f"it is no tf.Example ({error})") from error
    present = sorted(f[len(_PREFIX):] for f in features if f.startswith(_PREFIX) and not f.endswith(_SHAPE))
    if not present or "label" not in features:
        raise _UnusableError(f"it has no field {'label' if present else _PREFIX + 'NAME'}; it has "
                             f"{', '.join(sorted(features)) or 'none'}")
    seconds = features["seconds"][1] if "seconds" in features else []
    texts = {column: _get_text(features, name) for column, name in _TEXTS.items()}
    vectors = {name: _get_vector(features, name, present, notes) for name in names or present}
    if classes is not None:
        if not texts["label"].isdecimal() or int(texts["label"]) >= len(classes):
            raise _UnusableError(f"its label is {texts['label']!r}, which is no place in a list of {len(classes)} "
                                 "names", "Give the label_list that belongs to the table, or none.")
        texts["label"] = classes[int(texts["label"])]
    return {**texts, "seconds": float(seconds[0]) if len(seconds) == 1 else float("nan")}, vectors


def _get_text(features: Any, name: str) -> str:
    """Give a field of bytes, or of a whole number, as text: the authors' labels are either."""
    if name not in features:
        return ""
    kind, values = features[name]
    if kind not in ("bytes_list", "int64_list") or len(values) != 1:
        raise _UnusableError(f"its {name} is {len(values)} values of {kind or 'nothing'}, not one text or whole number")
    try:
        return str(values[0]) if kind == "int64_list" else str(values[0].decode())
    except UnicodeDecodeError as error:
        raise _UnusableError(f"its {name} is no UTF-8 text") from error


def _get_vector(features: Any, name: str, present: list[str], notes: Counter[str]) -> FloatArray:
    """Give the vector of an embedding, averaged over time if its shape says that there are frames."""
    if name not in present:
        raise _UnusableError(f"it has no {_PREFIX}{name}; it has {', '.join(present)}", "Read with names= of these.")
    kind, values = features[_PREFIX + name]
    flat = np.array(values if kind == "float_list" else [], np.float32)
    if not len(flat):
        raise _UnusableError(f"{_PREFIX}{name} is empty", "Leave the clip out, or compute it again.")
    if _PREFIX + name + _SHAPE not in features:
        notes["that do not tell the shape of their vectors, taken as averaged over time"] += 1
        return flat
    shape = tuple(features[_PREFIX + name + _SHAPE][1])
    if not shape or min(shape) < 1 or int(np.prod(shape)) != len(flat) or any(size > 1 for size in shape[:-2]):
        raise _UnusableError(f"{_PREFIX}{name} has {len(flat)} numbers and the shape {list(shape)}, which is not "
                             "[frames, dim] of them", "Write the table again, averaged over time.")
    frames = flat.reshape(-1, shape[-1])
    notes["with several frames, averaged over time"] += len(frames) > 1
    return frames[0] if len(frames) == 1 else np.asarray(frames.mean(0, dtype=np.float64), np.float32)


def _give_id(row: dict[str, Any], vectors: dict[str, FloatArray], first: dict[str, str], place: str,
             notes: Counter[str]) -> str:
    """Give the clip_id of a record: its own, or one of its content, numbered where others are the same."""
    name = str(row["clip_id"])
    if name:
        if first.setdefault(name, place) != place:
            raise _UnusableError(f"clip_id {name!r} is also that of {first[name]}", "Leave one of them out.")
        return name
    notes["without clip_id, named by the hash of their content and numbered if it is the same"] += 1
    head = "\0".join([row["label"], row["speaker"], *sorted(vectors)]).encode()
    content = hashlib.sha256(head + b"".join(vectors[key].astype("<f4").tobytes() for key in sorted(vectors)))
    name = content.hexdigest()[:32]
    chosen, copy = name, 1
    while chosen in first:
        copy += 1
        chosen = f"{name}-{copy}"
    first[chosen] = place
    return chosen
