"""Read and write audio: the only module that touches samples of files.

Everything downstream sees one thing: float32, 16 kHz, mono, nominally in [-1, 1].

Conventions
-----------
16-bit PCM is divided by 32767, as the NOSS code does, so that vectors made from the same file
can be compared with the authors' (YAMNet and VGGish documentation divide by 32768, which is
0.003 % less; -32768 becomes -1.00003). Every other width is divided by its full scale, floating
point is taken as it is. Channels are averaged; other rates are resampled by soxr HQ.
What was done to a clip is said in its notes; what cannot be used raises `BadAudio`.
Formats: see `nslib.decoders`.
"""

from __future__ import annotations

import hashlib
import io
import os
import wave as wave_module
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nslib import files
from nslib.decoders import Decoded, check_length, decode
from nslib.errors import BadAudio, NslibError, Unavailable

SAMPLE_RATE = 16_000
RATES = (4_000, 384_000)
MAX_CHANNELS = 32

_TO_DISK = "Free {:.1f} MB there, or choose a folder that exists and can be written."

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One decoded clip.

    Attributes
    ----------
    wave : float32 [samples]
        Mono, 16 kHz, nominally in [-1, 1].
    source_rate : int
        Samples a second of the file, Hz.
    channels : int
        Channels of the file.
    seconds : float
        Length at 16 kHz.
    notes : tuple of str
        What was done to the samples, and what is unusual about them.
    """

    wave: FloatArray
    source_rate: int
    channels: int
    seconds: float
    notes: tuple[str, ...]


def read(path: str | os.PathLike[str]) -> Clip:
    """Decode a file to float32, 16 kHz, mono.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Clip

    Raises
    ------
    BadAudio
        The file is missing, empty, cut short, not audio, longer than an hour, at a sample
        rate outside `RATES`, or holds NaN or infinite samples. The error has a remedy.
    """
    return _clip(decode(Path(path)), str(path))


def from_array(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE, name: str = "array") -> Clip:
    """Take audio that is in memory, with the same checks and conversions as `read`.

    Parameters
    ----------
    samples : array [samples] or [samples, channels]
        int16 is divided by 32767, other integers by full scale (uint8 is centred at 128),
        floating point is taken as it is.
    sample_rate : int
        Hz.
    name : str
        How error messages call it.

    Returns
    -------
    Clip

    Raises
    ------
    BadAudio
        As `read`; also for an array of another rank or type.
    """
    array = np.asarray(samples)
    if array.dtype.kind not in "iuf":
        raise BadAudio(name, f"an array of {array.dtype} is not audio", "Give integers or floats.")
    if array.ndim not in (1, 2):
        raise BadAudio(name, f"the array has shape {array.shape}", "Give [samples] or [samples, channels].")
    columns = array[:, None] if array.ndim == 1 else array
    if len(columns) and not 1 <= columns.shape[1] <= MAX_CHANNELS:
        why = f"shape {array.shape} read as [samples, channels] has {columns.shape[1]} channels"
        raise BadAudio(name, why, f"Give at most {MAX_CHANNELS}; transpose it if it is [channels, samples].")
    return _clip(Decoded(columns, int(sample_rate)), name)


def sha256(wave: npt.ArrayLike) -> str:
    """Hash of a decoded waveform: the identity of a clip, whatever its file name or format.

    Parameters
    ----------
    wave : float32 [samples]
        Mono, 16 kHz.

    Returns
    -------
    str
        64 hex digits, of the samples as little-endian float32.
    """
    return hashlib.sha256(np.ascontiguousarray(wave, dtype="<f4").data).hexdigest()


def write_wav(path: str | os.PathLike[str], wave: npt.ArrayLike) -> Path:
    """Write a 16 kHz mono 16-bit WAV, all or nothing.

    Samples are stored as ``round(32767 * x)``, so that reading the file gives exactly those
    integers over 32767. The file appears under its name only when it is complete.

    Parameters
    ----------
    path : path-like
        Its folder must exist.
    wave : float [samples]
        In [-1, 1].

    Returns
    -------
    Path

    Raises
    ------
    BadAudio
        If `wave` is empty, not one-dimensional, not finite, or does not fit into 16 bits:
        clipping would change the sound.
    Unavailable
        If it cannot be written, e.g. on a full disk; nothing is left behind.
    """
    path, values = Path(path), np.asarray(wave, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise BadAudio(path, f"cannot write samples of shape {values.shape}", "Give one channel, [samples].")
    _check_finite(values, str(path))
    pcm = np.rint(values * 32767)
    if pcm.max() > 32767 or pcm.min() < -32768:
        peak = f"{np.abs(values).max():.4g}"
        raise BadAudio(path, f"a peak of {peak} does not fit into 16 bits", "Scale it to [-1, 1] first.")
    _replace(path, pcm.astype("<i2").tobytes())
    return path


def _replace(path: Path, pcm: bytes) -> None:
    buffer = io.BytesIO()
    with wave_module.open(buffer, "wb") as wav:
        wav.setparams((1, 2, SAMPLE_RATE, len(pcm) // 2, "NONE", ""))
        wav.writeframesraw(pcm)
    try:
        path.parent.stat()  # a folder that is not there is a typing error more often than a wish
        files.write(path, buffer.getvalue())
    except (OSError, NslibError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"a place for {path}", why, _TO_DISK.format(len(pcm) / 1e6)) from error


def _check_rate(rate: int, name: str) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        why = f"a sample rate of {rate} Hz is outside {RATES[0]} to {RATES[1]} Hz"
        raise BadAudio(name, why, "The header is probably wrong; export the clip again at its true rate.")


def _check_finite(samples: npt.NDArray[Any], name: str) -> None:
    bad = ~np.isfinite(samples)
    if bad.any():
        why = f"{int(bad.sum())} samples are NaN or infinite, the first at {int(np.argwhere(bad)[0][0])}"
        raise BadAudio(name, why, "Export it again; a processing step before this one went wrong.")


def _clip(decoded: Decoded, name: str) -> Clip:
    samples, rate, notes = decoded
    if not len(samples):
        raise BadAudio(name, "it holds 0 samples", "Record or download it again, or leave it out.")
    _check_rate(rate, name)
    check_length(len(samples), rate, name)
    wave, channels = _scale(samples), samples.shape[1]
    if samples.dtype.kind == "f":
        _check_finite(wave, name)
    mono = wave[:, 0] if channels == 1 else wave.mean(axis=1, dtype=np.float64)
    mono = _resample(np.ascontiguousarray(mono, dtype=np.float32), rate, name)
    notes += _notes(mono, rate, channels)
    return Clip(mono, rate, channels, len(mono) / SAMPLE_RATE, notes)


def _scale(samples: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if samples.dtype == np.int16:
        wave = samples.astype(np.float32)
        wave /= np.float32(32767)
        return wave
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    centre = 2.0 ** (bits - 1) if kind == "u" else 0.0
    return (samples.astype(np.float64) - centre) / 2.0 ** (bits - 1)


def _resample(mono: FloatArray, rate: int, name: str) -> FloatArray:
    if rate == SAMPLE_RATE:
        return mono
    import soxr

    wave = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    if not len(wave):
        raise BadAudio(name, f"{len(mono)} samples at {rate} Hz are nothing at 16 kHz", "Leave it out.")
    return np.asarray(wave, dtype=np.float32)


def converted(rate: int, channels: int) -> tuple[str, ...]:
    """Say what is done to every clip of a kind.

    Parameters
    ----------
    rate : int
        Of the recording, Hz.
    channels : int

    Returns
    -------
    tuple of str
        As in `Clip.notes`; empty for 16 kHz, mono.
    """
    mixed = (f"{'stereo' if channels == 2 else f'{channels} channels'} mixed to mono",) if channels > 1 else ()
    return mixed + ((f"resampled {rate} -> {SAMPLE_RATE} Hz",) if rate != SAMPLE_RATE else ())


def _notes(mono: FloatArray, rate: int, channels: int) -> tuple[str, ...]:
    notes = [*converted(rate, channels)]
    peak = max(float(mono.max()), -float(mono.min()))
    if peak == 0:
        notes.append("digital silence: every sample is 0")
    if peak > 32768.5 / 32767:
        notes.append(f"peak {peak:.3g} is above full scale (1.0); kept as it is")
    return tuple(notes)
