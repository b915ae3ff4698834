"""A clip and its nearest neighbours as plain HTML: players and pictures that need no script, anywhere.

Conventions
-----------
Sound and pictures are inside the page: it works in an executed notebook, a report, an e-mail. Every picture says in
words what it shows. Long clips are cut to `SECONDS` for the page, and the page says so. Everything that comes from file
names or labels is escaped.
"""

from __future__ import annotations

import base64
import html
import io
import wave as wave_module
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nslib import audio, frontend
from nslib.embeddings.base import FloatArray
from nslib.errors import BadAudio
from nslib.explore.neighbours import Space, Voice, decoded

SECONDS = 10.0
"""More of a clip than this is neither drawn nor played."""


@dataclass(frozen=True)
class Page:
    """Something to look at and to listen to.

    Attributes
    ----------
    html : str
        Without scripts; everything inside.
    text : str
        The same without pictures and sound.
    """

    html: str
    text: str

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.text}

    def save(self, path: str | Path) -> Path:
        """Write the page into a file that a browser opens.

        Parameters
        ----------
        path : path-like

        Returns
        -------
        Path
        """
        from nslib import files

        files.write(Path(path), f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>nslib: listen</title>\n'
                                f"<body>{self.html}</body></html>\n")
        return Path(path)


def listen(where: Space, clip: str | Voice, count: int = 5) -> Page:
    """Show a clip beside its nearest neighbours: a player and a log-mel picture each.

    Parameters
    ----------
    where : Space
    clip : str, Clip or float [samples]
        ``clip_id`` of a clip of the space, or any decoded recording (for a file: ``nslib.audio.read(path)``).
    count : int
        Neighbours.

    Returns
    -------
    Page

    Raises
    ------
    UnknownName
        For a name that is no clip of the space.
    BadAudio
        If the recording cannot be used. A neighbour whose file is gone is shown with what is wrong with it.
    """
    if isinstance(clip, str):
        row = where.clips.iloc[where.row(clip)]
        near, title = where.nearest(clip, count), clip
        head = _figure(audio.read(row["audio"]).wave, f"{clip}: {_said(row)}", "this clip")
    else:
        wave = decoded(clip)
        near, title = where.like(wave, count), "the recording"
        head = _figure(wave, f"{len(wave) / audio.SAMPLE_RATE:.2f} s", "this recording")
    cards = [head] + [_neighbour(rank, row) for rank, (_, row) in enumerate(near.iterrows(), 1)]
    lines = [f"{title}, and its nearest neighbours in {where.embedding.name}:",
             *(f"  {row['similarity']:.2f}  {row['clip_id']}  {_said(row)}" for _, row in near.iterrows())]
    return Page(f'<div style="display:flex;flex-wrap:wrap;gap:14px">{"".join(cards)}</div>', "\n".join(lines))


def _neighbour(rank: int, row: Any) -> str:
    heading = f"neighbour {rank}, similarity {row['similarity']:.2f}"
    try:
        return _figure(audio.read(row["audio"]).wave, f"{row['clip_id']}: {_said(row)}", heading)
    except BadAudio as error:
        return _frame(heading, f"<p>{html.escape(str(error))}</p>", f"{row['clip_id']}: {_said(row)}")


def _said(row: Any) -> str:
    kinds = ("speaker",) if row["label"] == row["speaker"] else ("label", "speaker")
    parts = [f"{kind} {row[kind]}" for kind in kinds if row[kind]]
    return ", ".join([*parts, f"{row['seconds']:.2f} s"])


def _figure(wave: FloatArray, text: str, heading: str) -> str:
    cut = wave[: round(SECONDS * audio.SAMPLE_RATE)]
    more = "" if len(cut) == len(wave) else f" (the first {SECONDS:g} s are shown)"
    return _frame(heading, f'{picture(cut, f"{heading}: {text}")}<br>{player(cut)}', text + more)


def _frame(heading: str, body: str, text: str) -> str:
    return (f'<figure style="margin:0;width:250px"><div style="font-weight:bold">{html.escape(heading)}</div>{body}'
            f'<figcaption style="font-size:90%;line-height:1.3;overflow-wrap:anywhere">{html.escape(text)}</figcaption>'
            "</figure>")


def picture(wave: FloatArray, about: str) -> str:
    """Draw a log-mel picture as an image with its text.

    Parameters
    ----------
    wave : float32 [samples]
        16 kHz.
    about : str
        What it is of, for the text.

    Returns
    -------
    str
        An ``img`` element; time from left to right, low bands at the bottom.
    """
    from matplotlib import image

    values = frontend.log_mel(np.pad(wave, (0, max(0, frontend.WINDOW - len(wave)))))
    buffer = io.BytesIO()
    image.imsave(buffer, values.T[::-1], cmap="magma", format="png")
    loudest = values.mean(1).argmax() * frontend.HOP / audio.SAMPLE_RATE
    alt = (f"Log-mel picture of {about}: {len(values)} frames by {values.shape[1]} bands, values {values.min():.1f} to "
           f"{values.max():.1f}, loudest at {loudest:.2f} s.")
    return (f'<img alt="{html.escape(alt)}" style="width:240px;height:96px;image-rendering:pixelated" '
            f'src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">')


def player(wave: FloatArray) -> str:
    """Make a player of a waveform.

    Parameters
    ----------
    wave : float32 [samples]
        16 kHz; a peak above 1 is scaled down to 1 for the ear.

    Returns
    -------
    str
        An ``audio`` element with the sound inside, 16 bits.
    """
    loud = max(1.0, float(np.abs(wave).max(initial=0.0)))
    buffer = io.BytesIO()
    with wave_module.open(buffer, "wb") as file:
        file.setparams((1, 2, audio.SAMPLE_RATE, len(wave), "NONE", ""))
        file.writeframes(np.rint(wave / loud * 32767).astype("<i2").tobytes())
    return ('<audio controls preload="none" style="width:240px;height:32px" '
            f'src="data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"></audio>')
