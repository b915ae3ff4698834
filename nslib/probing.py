"""The probes on what extraction gave: split by split, in memory where it fits, else from disk."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from nslib import estimates, probe, splits
from nslib.extract import Extraction
from nslib.large import needs
from nslib.large.matrix import gathered
from nslib.probe_fit import Mapper


def grid(task: str, embedding: str, out: Extraction, settings: dict[str, Any], progress: bool,
         mapper: Mapper | None = None) -> probe.Grid:
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
        Show a progress bar on stderr, and say first what a grid takes that must be streamed.
    mapper : callable, optional
        Does the fits elsewhere; see `nslib.probe.grid`.

    Returns
    -------
    Grid

    Raises
    ------
    Unavailable
        If the vectors need more memory, and to be streamed more disk, than there is.
    """
    from tqdm.std import tqdm

    train = out.clips[out.clips["split"] == "train"]
    size = (len(out.clips), len(train), out.vectors.shape[1])
    classes = train["label"].nunique()
    estimates.refuse_what_does_not_fit(task, *size, classes)
    streamed = mapper is None and not needs.fits_in_memory(*size, classes)
    if streamed and progress:
        norms = 4 if settings.get("speaker_norm", True) else 2
        taken = estimates.probes_seconds(*size[1:], classes, norms)
        print(f"nslib: {estimates.streaming(task, *size, classes, taken)}", file=sys.stderr, flush=True)
    parts = [_part(out, name, streamed) for name in splits.SPLITS]
    with tqdm(desc=f"probes {task} x {embedding}", unit="fit", disable=not progress, leave=False) as bar:
        return probe.grid(*parts, **settings, progress=bar.update, mapper=mapper, streamed=streamed)


def _part(out: Extraction, name: str, streamed: bool) -> probe.Split:
    rows = np.flatnonzero(out.clips["split"] == name)
    rows = rows[np.argsort(out.clips["clip_id"].to_numpy(str)[rows])]  # the grid's order: it need not copy again
    part = out.clips.iloc[rows]
    x = gathered(out.vectors, rows) if streamed else out.vectors[rows]
    return probe.Split(x, *(part[c].to_numpy(str) for c in ("label", "speaker", "clip_id")))
