"""The probes on what extraction gave: split by split, in memory where it fits."""

from __future__ import annotations

from typing import Any

from nslib import estimates, probe, splits
from nslib.extract import Extraction


def grid(task: str, embedding: str, out: Extraction, settings: dict[str, Any], progress: bool) -> probe.Grid:
    """Fit, choose and score the probes of one embedding on one task.

    Parameters
    ----------
    task, embedding : str
        Names, for messages.
    out : Extraction
        Vectors and clips of all splits.
    settings : dict
        Of `nslib.probe.grid`.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    Grid

    Raises
    ------
    Unavailable
        If the vectors need more memory than there is.
    """
    from tqdm.std import tqdm

    train = int((out.clips["split"] == "train").sum())
    estimates.refuse_what_does_not_fit(task, len(out.clips), train, out.vectors.shape[1])
    parts = []
    for name in splits.SPLITS:
        rows = (out.clips["split"] == name).to_numpy(bool)
        part = out.clips[rows]
        parts.append(probe.Split(out.vectors[rows], *(part[c].to_numpy(str) for c in ("label", "speaker", "clip_id"))))
    with tqdm(desc=f"probes {task} x {embedding}", unit="fit", disable=not progress, leave=False) as bar:
        return probe.grid(*parts, **settings, progress=bar.update)
