"""Answers that travel with a score, and the score computed from them again.

Conventions
-----------
A score on a task with a committed manifest goes with what the chosen probe said of every test clip. Whoever takes the
row in has the truth and the speakers of these clips in the manifest, so the score, its interval and its counts follow
without any recording. Names and labels of recordings of one's own stay at home. That the answers are those of the
embedding named, and that its probe was chosen on validation only, cannot be seen in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nslib import metrics, splits
from nslib.corpora import manifests

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("clip_id", "y_pred")
_SAME = 1e-9


def manifest(task: str) -> pd.DataFrame | None:
    """Clips of a task as the kit commits them.

    Parameters
    ----------
    task : str

    Returns
    -------
    DataFrame or None
        None for a task without a manifest.
    """
    path = manifests.manifest_path(task)
    return manifests.read_manifest(path) if path.is_file() else None


def hashes(clips: pd.DataFrame) -> tuple[str, str]:
    """Hashes by which a result says what it was measured on.

    Parameters
    ----------
    clips : DataFrame
        From `manifest`.

    Returns
    -------
    data_hash, split_hash : str
    """
    return splits.data_hash(clips), splits.split_hash(clips)


def pack(predictions: pd.DataFrame, key: str) -> dict[str, list[str]] | None:
    """Take the answers of one result, in their order: resampling follows it.

    Parameters
    ----------
    predictions : DataFrame
        As in `nslib.schema.PREDICTIONS`.
    key : str
        Of the result.

    Returns
    -------
    dict or None
        ``clip_id`` and ``y_pred``; None if the answers were not kept.
    """
    mine = predictions[predictions["key"] == key]
    return None if mine.empty else {name: [str(value) for value in mine[name]] for name in COLUMNS}


def well_formed(answers: Any) -> bool:
    """Whether something read from a file can be answers: two lists of texts, as long as each other, no clip twice.

    Parameters
    ----------
    answers : object

    Returns
    -------
    bool
    """
    if not isinstance(answers, dict) or set(answers) != set(COLUMNS):
        return False
    lists = [answers[name] for name in COLUMNS]
    texts = all(isinstance(one, list) and all(isinstance(value, str) for value in one) for one in lists)
    return texts and len(lists[0]) == len(lists[1]) == len(set(lists[0]))


def truth(score: Mapping[str, Any]) -> pd.DataFrame | None:
    """Find the clips by which a score follows from what came with it.

    Parameters
    ----------
    score : mapping
        Of a row.

    Returns
    -------
    DataFrame or None
        The manifest of its task. None if the answers did not come along, the task has no manifest or another one by
        now, or its metric needs more than answers.
    """
    if score.get("answers") is None or metrics.get(score["metric"]).needs == "scores":
        return None
    clips = manifest(score["task"])
    return clips if clips is not None and hashes(clips) == (score["data_hash"], score["split_hash"]) else None


def contradictions(score: Mapping[str, Any], clips: pd.DataFrame) -> list[str]:
    """Compute a score from its answers again, and say what differs.

    Parameters
    ----------
    score : mapping
        Of a row.
    clips : DataFrame
        Its `truth`.

    Returns
    -------
    list of str
        Empty if all follows.
    """
    import pandas as pd

    from nslib.verify import answers as kept

    ids, said = (score["answers"][name] for name in COLUMNS)
    test = clips[clips["split"] == "test"].set_index("clip_id")
    lost, extra = set(test.index) - set(ids), set(ids) - set(test.index)
    if lost or extra:
        return [f"the answers are not those of the {len(test)} test clips: {len(lost)} lack one, {len(extra)} are of "
                f"other clips, such as {min(lost | extra)}"]
    table = pd.DataFrame({"speaker": test.loc[ids, "speaker"].to_numpy(str),
                          "y_true": test.loc[ids, "label"].to_numpy(str), "y_pred": said})
    again = kept.counted(table, score["metric"]) | kept.scored(table, score)
    return [f"{name} is {score[name]}, from the answers {value}" for name, value in again.items()
            if not _equal(score[name], value)]


def _equal(said: Any, found: Any) -> bool:
    if isinstance(said, str) or isinstance(found, str):
        return bool(said == found)
    return math.isclose(float(said), float(found), rel_tol=0, abs_tol=_SAME)
