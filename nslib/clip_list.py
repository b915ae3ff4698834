"""What to compute vectors for elsewhere: the clips of tasks, and their audio as the kit hears it.

Conventions
-----------
The list has no labels and no splits: a vector must not know the answer. ``clip_id`` and ``sha256`` are what
`nslib.precomputed` finds vectors by.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nslib import audio, files
from nslib.embeddings.base import SAMPLE_RATE
from nslib.errors import BadAudio, NslibError
from nslib.findings import Found
from nslib.measure import load_tasks
from nslib.tasks import REGISTRY

if TYPE_CHECKING:
    import pandas as pd

    from nslib.params import Params

COLUMNS = ("task", "clip_id", "sha256", "seconds", "audio")


def make(names: Sequence[str], params: Params) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the clips of tasks, all splits together.

    Parameters
    ----------
    names : sequence of str
        Tasks, or folders and lists of recordings.
    params : Params

    Returns
    -------
    clips : DataFrame
        One row a clip, with `COLUMNS`; sha256 is that of the decoded 16 kHz waveform.
    problems : DataFrame
        Clips that cannot be read: clip_id, audio, reason, remedy.

    Raises
    ------
    NslibError
        If a task cannot be had here.
    """
    import pandas as pd

    ready = load_tasks(names, params, [], Found(), True)
    lost = [name for name in names if name in REGISTRY and name not in {task.name for task, _ in ready}]
    if lost:
        raise NslibError(f"{', '.join(lost)} cannot be had here; python -m nslib data status says what is missing.")
    clips = pd.concat([one.clips.assign(task=task.name) for task, one in ready], ignore_index=True)
    return clips[list(COLUMNS)], pd.concat([one.problems for _, one in ready], ignore_index=True)


def write_audio(clips: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write every clip as the kit hears it: mono, 16 kHz, 32-bit floating point, named after its hash.

    16 bits would not give back the very samples, and so another hash.

    Parameters
    ----------
    clips : DataFrame
        From `make`.
    folder : Path

    Returns
    -------
    DataFrame
        The same rows, with the column ``wav``: absolute path of the file.

    Raises
    ------
    BadAudio
        If a recording has changed since it was listed.
    """
    from scipy.io import wavfile
    from tqdm.std import tqdm

    folder = folder.resolve()
    first = clips.drop_duplicates("sha256")
    for row in tqdm(first.itertuples(), "writing audio", len(first), unit="clip"):
        wave = audio.read(row.audio).wave
        if audio.sha256(wave) != row.sha256:
            raise BadAudio(row.audio, "it is not what it was when the clips were listed",
                           "List the clips again, or restore the file.")
        written = io.BytesIO()
        wavfile.write(written, SAMPLE_RATE, wave)
        files.write(folder / f"{row.sha256}.wav", written.getvalue())
    return clips.assign(wav=[str(folder / f"{key}.wav") for key in clips["sha256"]])
