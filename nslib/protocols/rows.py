"""Results of the protocols, kept in files beside those of the benchmark, and tables made of them.

Conventions
-----------
The columns are explained in `nslib.schema` (`PROTOCOL_ROWS`, `PROTOCOL_ANSWERS`). All rows of one
embedding, task and protocol have one key and are kept as ``<key>.answers.parquet`` and
``<key>.protocol.parquet``, each written whole or not at all, the second last.

There are rows at four levels: a split and all its speakers (one row a probe and normalisation, the
choice marked ``selected``); a split and one speaker; all splits (`summary`: empty ``split_number``
and ``speaker``), once for what was chosen on validation and once for the best on test.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import kept, provenance, splits, tables
from nslib.errors import BadParameter, NslibError
from nslib.protocols.material import names
from nslib.schema import PROTOCOL_ANSWERS, PROTOCOL_ROWS, conforming, empty

if TYPE_CHECKING:
    import pandas as pd

CARELESS = "by-clip"
"""Random clips: the same speakers learn and are tested. Never a result, only a warning."""

_DECIDES = ("drawn", "fits", "intervals", "material", "plans", "repeats", "switches", "within")
"""Modules of this package that a number depends on; the others find, keep and show it."""

_KINDS = {"answers": PROTOCOL_ANSWERS, "protocol": PROTOCOL_ROWS}


def key(*, protocol: str, task: str, embedding: str, clips: pd.DataFrame, weights_hash: str,
        settings: Mapping[str, object], listed: Sequence[tuple[str, str]] | None = None) -> str:
    """Key of a result: equal keys mean that the same thing would be computed again.

    Parameters
    ----------
    protocol, task, embedding : str
        Names.
    clips : DataFrame
        Clip table. Recordings, labels, speakers, splits and, because splits are drawn among them, the
        clips' names count; the order of rows does not.
    weights_hash : str
        Fingerprint of the embedding.
    settings : mapping
        Of the protocol.
    listed : sequence of (clip_id, speaker), optional
        Among what splits are drawn (see `Material`). Default: `clips`.

    Returns
    -------
    str
        32 hex digits. The code of the protocols and the probe, and the packages they use, are part of it.
    """
    recordings = sorted(zip(clips["clip_id"].astype(str), clips["sha256"].astype(str), strict=True))
    made_of = [protocol, task, embedding, splits.split_hash(clips), recordings, weights_hash, dict(settings),
               listed or names(clips), provenance.probe_hash(), _code_hash()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=list).encode()).hexdigest()[:32]


def _code_hash() -> str:
    digest = hashlib.sha256()
    for name in _DECIDES:
        digest.update(hashlib.sha256(Path(__file__).with_name(f"{name}.py").read_bytes()).digest())
    return digest.hexdigest()


def save(rows: pd.DataFrame, answers: pd.DataFrame, folder: Path | None = None) -> Path:
    """Keep the result of one key.

    Parameters
    ----------
    rows, answers : DataFrame
        As in `PROTOCOL_ROWS` and `PROTOCOL_ANSWERS`.
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    Path
        Of the rows.

    Raises
    ------
    UnknownName, BadParameter
        For a table that is not as its schema says, or rows of several keys.
    NslibError
        If the disk is full; what was kept before stays.
    """
    keys = sorted(set(rows["key"]) | set(answers["key"]))
    if len(keys) != 1:
        raise BadParameter(f"save one result at a time; got the keys {', '.join(keys) or 'none'}.")
    path = Path()
    for kind, frame in (("answers", answers), ("protocol", rows)):
        path = kept.place(keys[0], kind, folder)
        kept.write(path, conforming(frame, _KINDS[kind]))
    return path


def find(key: str, folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The result with this key, or None; one that cannot be read counts as none, with a warning.

    Parameters
    ----------
    key : str
        From `key`.
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    (rows, answers) or None
    """
    if not kept.place(key, "protocol", folder).exists():
        return None
    try:
        return _read(key, "protocol", folder), _read(key, "answers", folder)
    except NslibError as error:
        warnings.warn(f"{error} It is computed again.", stacklevel=2)
        return None


def load(folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All results of protocols that were kept.

    Parameters
    ----------
    folder : Path, optional
        Default: ``results`` below the reports.

    Returns
    -------
    rows, answers : DataFrame
        Oldest first; empty tables with the right columns if there are none. What cannot be read is left
        out with a warning that names it.
    """
    home = kept.place("0", "protocol", folder).parent
    found = [pair for path in sorted(home.glob("*.protocol.parquet"))
             if (pair := find(path.name.removesuffix(".protocol.parquet"), folder))]
    found.sort(key=lambda pair: (str(pair[0]["when"].max()), str(pair[0]["key"].iloc[0])))
    return join(found)


def join(found: list[tuple[pd.DataFrame, pd.DataFrame]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put results below each other.

    Parameters
    ----------
    found : list of (rows, answers)
        Maybe none.

    Returns
    -------
    rows, answers : DataFrame
    """
    import pandas as pd

    rows = pd.concat([empty(PROTOCOL_ROWS), *(rows for rows, _ in found)], ignore_index=True)
    return rows, pd.concat([empty(PROTOCOL_ANSWERS), *(answers for _, answers in found)], ignore_index=True)


def summary(rows: pd.DataFrame, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
    """What was chosen on validation, over all splits and speakers.

    Parameters
    ----------
    rows : DataFrame
        Rows, maybe of several runs.
    protocol : str, optional
        Only this one.
    shots : int, optional
        Only this cap on training clips; 0: none.

    Returns
    -------
    DataFrame
        One row a task, embedding, protocol and shots, in order of first appearance; of several runs the newest.
    """
    over_all = (rows["split_number"] == "") & (rows["speaker"] == "")
    chosen = rows[over_all & rows["selected"] & rows["value"].notna()]
    if protocol is not None:
        chosen = chosen[chosen["protocol"] == protocol]
    if shots is not None:
        chosen = chosen[chosen["shots"] == shots]
    one = ["task", "embedding", "protocol", "shots"]
    newest = chosen.sort_values("when", kind="stable").drop_duplicates(one, keep="last")
    return newest.sort_index().reset_index(drop=True)


def by_speaker(rows: pd.DataFrame, shots: int = 0) -> pd.DataFrame:
    """Within-speaker score of each speaker, averaged over split numbers.

    Parameters
    ----------
    rows : DataFrame
        Rows, maybe of several runs; the newest count.
    shots : int
        Which cap on training clips; 0: none.

    Returns
    -------
    DataFrame
        ``task, embedding, speaker, value, chance, splits``.
    """
    keys = summary(rows, "within-speaker", shots)["key"]
    own = rows[rows["key"].isin(keys) & (rows["speaker"] != "")]
    found = own.groupby(["task", "embedding", "speaker"], sort=False)
    return found.agg(value=("value", "mean"), chance=("chance", "mean"), splits=("value", "size")).reset_index()


def table(rows: pd.DataFrame, protocol: str = "within-speaker", decimals: int = 2) -> pd.DataFrame:
    """Results to be read: tasks by embeddings, each cell ``"0.87 [0.80, 0.93]"``.

    Parameters
    ----------
    rows : DataFrame
        Rows.
    protocol : str
        A value of that column; for within-speaker, the results without a cap on training clips.
    decimals : int
        Digits after the point.

    Returns
    -------
    DataFrame of str
        As `nslib.tables.table`; without rows if there are no results.

    Raises
    ------
    BadParameter
        For by-clip, which is no result.
    """
    if protocol.startswith(CARELESS):
        raise BadParameter("a split by clip is no result: it is shown by nslib.plots.protocol_switch, beside one.")
    chosen = summary(rows, protocol, 0 if protocol == "within-speaker" else None)
    return tables.table(chosen.assign(split="test"), decimals) if len(chosen) else chosen[["metric", "chance"]]


def _read(key: str, kind: str, folder: Path | None) -> pd.DataFrame:
    return kept.read(kept.place(key, kind, folder), key, _KINDS[kind], may_be_empty=kind == "answers")
