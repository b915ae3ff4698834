"""TensorFlow Datasets' decoding of clips, without any program beside Python.

Its builders decode through pydub, which reads plain WAV by itself and calls the programs ffprobe and
ffmpeg for everything else. They are not needed here: inside `decoded_here`, what pydub cannot read by
itself is decoded by `nslib.decoders` (libsndfile, FFmpeg's library), on every machine alike. MP3 so
decoded differs from FFmpeg's program in the last bit of a sample here and there.

Conventions
-----------
As with pydub, samples of lossy formats become 16-bit integers, by 32768, rounded and cut off at full scale.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nslib import decoders
from nslib.corpora.noss.around import exchanged
from nslib.errors import BadAudio


@dataclass
class Seen:
    """What came by while a data set was prepared.

    Attributes
    ----------
    decoded : int
        Clips that the kit decoded instead of FFmpeg's program.
    other_rates : int
        Clips whose rate is not the one that TensorFlow Datasets writes down for all of them.
    """

    decoded: int = 0
    other_rates: int = 0


@contextmanager
def decoded_here(rate: int) -> Iterator[Seen]:
    """Let pydub have its samples from the kit, for as long as this lasts.

    Parameters
    ----------
    rate : int
        That TensorFlow Datasets says the clips have, Hz.

    Yields
    ------
    Seen
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that FFmpeg's program was not found
        import pydub

    segment, seen = pydub.AudioSegment, Seen()

    def from_file(file: Any, format: str | None = None, **_: Any) -> Any:
        sound = _plain_wav(segment, file) if format == "wav" else None
        if sound is None:
            seen.decoded += 1
            sound = _decoded(segment, file, format)
        seen.other_rates += sound.frame_rate != rate
        return sound

    with exchanged(segment, "from_file", staticmethod(from_file)):
        yield seen


def _plain_wav(segment: Any, file: Any) -> Any:
    from pydub.exceptions import PydubException

    try:
        return segment._from_safe_wav(file)
    except (PydubException, OSError, ValueError, KeyError, IndexError):
        file.seek(0)
        return None


def _decoded(segment: Any, file: Any, suffix: str | None) -> Any:
    from pydub.exceptions import CouldntDecodeError

    try:
        with tempfile.TemporaryDirectory(prefix="nslib-") as folder:
            path = Path(folder) / f"clip.{suffix or 'audio'}"
            path.write_bytes(file.read())
            sound = decoders.decode(path)
    except BadAudio as error:
        # what pydub raises, so that a builder that leaves such clips out still does
        raise CouldntDecodeError(error.reason) from error
    return segment(data=_pcm(sound.samples).tobytes(), sample_width=2, frame_rate=sound.rate,
                   channels=sound.samples.shape[1])


def _pcm(samples: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    if samples.dtype == np.int16:
        return samples
    scaled = np.rint(samples.astype(np.float64) * 32768)
    return np.clip(scaled, -32768, 32767).astype("<i2")
