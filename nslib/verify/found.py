"""What a verification finds: one line a number that was looked at, and the words for it.

Conventions
-----------
``ok`` has three values: true, false, and not known, for what could not be checked here; ``why`` then says why not.
Floats are the same if they differ by no more than `TOLERANCE`: the same sum in another order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["key", "task", "embedding", "what", "file", "said", "recomputed", "ok", "why"]
TOLERANCE = 1e-9
_SHOWN = 12


@dataclass
class Findings:
    """Lines that come together, check by check."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, about: Mapping[str, Any], what: str, file: str, said: Any, recomputed: Any,
            ok: bool | None = None, why: str = "") -> None:
        """Note a number that was looked at.

        Parameters
        ----------
        about : mapping
            With ``key``, ``task`` and ``embedding`` as far as they are known.
        what : str
            Which number.
        file : str
            Where it is said, relative to the folder of the report.
        said, recomputed : object
            What the file says, and what came out now.
        ok : bool, optional
            Default: whether the two are the same.
        why : str
            How it was recomputed, or what is wrong.
        """
        named = {column: str(about.get(column, "")) for column in COLUMNS[:3]}
        self.lines.append({**named, "what": what, "file": file, "said": _text(said), "recomputed": _text(recomputed),
                           "ok": same(said, recomputed) if ok is None else ok, "why": why})

    def skip(self, about: Mapping[str, Any], what: str, file: str, why: str) -> None:
        """Note what could not be checked.

        Parameters
        ----------
        about, what, file
            As for `add`.
        why : str
            The reason, and what would help.
        """
        named = {column: str(about.get(column, "")) for column in COLUMNS[:3]}
        self.lines.append({**named, "what": what, "file": file, "said": "", "recomputed": "", "ok": None, "why": why})

    def table(self) -> pd.DataFrame:
        """Everything that was noted.

        Returns
        -------
        DataFrame
            Columns `COLUMNS`; ``ok`` is pandas' boolean that may be missing.
        """
        import pandas as pd

        return pd.DataFrame(self.lines, columns=COLUMNS).astype({"ok": "boolean"})


def same(said: Any, recomputed: Any) -> bool:
    """Whether two values are the same to the last bits.

    Parameters
    ----------
    said, recomputed : object
        Floats, which may both be NaN, or anything that can be compared.

    Returns
    -------
    bool
    """
    if isinstance(said, float) and isinstance(recomputed, float):
        both = math.isnan(said) and math.isnan(recomputed)
        return both or said == recomputed or abs(said - recomputed) <= TOLERANCE
    return bool(said == recomputed)


def text(found: pd.DataFrame) -> str:
    """Say what a verification found.

    Parameters
    ----------
    found : DataFrame
        From `nslib.verify.verify`.

    Returns
    -------
    str
        What is wrong, a line each with key and file; what was not checked, by reason; and the counts.
    """
    wrong, unknown = found[found["ok"].eq(False).fillna(False)], found[found["ok"].isna()]
    lines = [_wrong(row) for row in wrong.to_dict("records")]
    for why, part in unknown.groupby("why", sort=False):
        cells = list(dict.fromkeys(f"{r.task}/{r.embedding} {r.what}" if r.task else r.file for r in part.itertuples()))
        more = f" and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
        lines.append(f"not checked: {', '.join(cells[:_SHOWN])}{more}: {why}")
    files, keys = found.loc[found["file"] != "", "file"].nunique(), found.loc[found["key"] != "", "key"].nunique()
    right = int(found["ok"].fillna(False).sum())
    return "\n".join([*lines, f"{right} of {len(found) - len(unknown)} checks of {keys} results in {files} files are "
                              f"right, {len(wrong)} wrong, {len(unknown)} not made"])


def _wrong(row: Mapping[str, Any]) -> str:
    cell = f"{row['task']}/{row['embedding']} " if row["task"] else ""
    key = f" (key {row['key']})" if row["key"] else ""
    because = f" ({row['why']})" if row["why"] else ""
    return f"WRONG {row['file']}: {cell}{row['what']}{key}: says {row['said']}, is {row['recomputed']}{because}"


def _text(value: Any) -> str:
    return f"{float(value):.10g}" if isinstance(value, float) else str(value)
