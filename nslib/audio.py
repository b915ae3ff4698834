"""Read and write audio: the only module that touches samples of files.

Everything downstream sees float32, 16 kHz, mono, nominally in [-1, 1]. 16-bit PCM is divided by 32767, as the NOSS code
does, so that vectors can be compared with the authors' (YAMNet and VGGish documentation divide by 32768, which is
0.003 % less; -32768 becomes -1.00003). Every other width is divided by its full scale, floating point is taken as it
is. Channels are averaged; other rates are resampled by soxr HQ. What was done to a clip is said in its notes; what
cannot be used raises `BadAudio`.

libsndfile reads WAV, FLAC, Ogg, MP3 and more; FFmpeg reads raw G.722 (``.g722``, 16 kHz) and GSM 06.10 (``.gsm``,
8 kHz), which have no header, and everything else. Decoders repair the length of a cut WAV or Ogg file (RFC 3533)
without a word, so the lengths that headers promise are compared here with what is there.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.errors import BadAudio, NslibError, Unavailable

__all__ = ["RATES", "SAMPLE_RATE", "Clip", "FloatArray", "decode", "from_array", "read", "resample", "sha256",
           "write_wav"]

SAMPLE_RATE = 16_000
RATES = (4_000, 384_000)
"""Lowest and highest sample rate that is read, Hz."""

MAX_CHANNELS = 32
MAX_SECONDS = 3600.0

_RAW = {".g722": "g722", ".gsm": "gsm"}
_GSM_FRAME = 33
_LARGEST_OGG_PAGE = 65307
# programs that write WAV to a pipe leave about the largest number there: length unknown
_UNKNOWN_LENGTH = 0xFFFFF000
_COPY_AGAIN = "Copy or download it again; if the rest is lost, save the part that is there as a new file."
_NOT_AUDIO = "Convert it to WAV or FLAC, or leave it out."
_EMPTY = "Record or download it again, or leave it out."

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """One decoded clip; its `notes` say what was done to the samples, and what is unusual about them."""

    wave: FloatArray  # [samples], mono, 16 kHz, nominally in [-1, 1]
    source_rate: int  # Hz, of the file
    channels: int  # of the file
    seconds: float
    notes: tuple[str, ...]


class Decoded(NamedTuple):
    """Samples as a file holds them, what is unusual about the file in `notes`."""

    samples: npt.NDArray[Any]  # [frames, channels]; int16 for 16-bit PCM, else usually float32
    rate: int
    notes: tuple[str, ...] = ()


def read(path: str | os.PathLike[str]) -> Clip:
    """Decode a file to float32, 16 kHz, mono.

    Raises
    ------
    BadAudio
        The file is missing, empty, cut short, not audio, longer than an hour, at a sample rate outside `RATES`, or
        holds NaN or infinite samples. The error has a remedy.
    """
    return _convert(decode(Path(path)), str(path))


def from_array(samples: npt.ArrayLike, sample_rate: int = SAMPLE_RATE, name: str = "array") -> Clip:
    """Take audio that is in memory, [samples] or [samples, channels], as `read` does; error messages call it `name`.

    int16 is divided by 32767, other integers by full scale (uint8 is centred at 128), floating point is taken as it is.
    `BadAudio` is raised for an array of another rank or type too.
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
    return _convert(Decoded(columns, int(sample_rate)), name)


def sha256(wave: npt.ArrayLike) -> str:
    """Hash a decoded waveform, the identity of a clip: SHA-256 of its little-endian float32 samples, 64 hex digits."""
    return hashlib.sha256(np.ascontiguousarray(wave, dtype="<f4").data).hexdigest()


def write_wav(path: str | os.PathLike[str], wave: npt.ArrayLike) -> Path:
    """Write a 16 kHz mono 16-bit WAV of float [samples] in [-1, 1], all or nothing, into a folder that exists.

    Samples are stored as ``round(32767 * x)``, so that reading the file gives exactly those integers over 32767.
    `BadAudio` is raised for what is empty, not one-dimensional, not finite, or does not fit into 16 bits (clipping
    would change the sound), `Unavailable` if it cannot be written, e.g. on a full disk.
    """
    path, values = Path(path), np.asarray(wave, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise BadAudio(path, f"cannot write samples of shape {values.shape}", "Give one channel, [samples].")
    _check_finite(values, str(path))
    pcm = np.rint(values * 32767)
    if pcm.max() > 32767 or pcm.min() < -32768:
        peak = f"{np.abs(values).max():.4g}"
        raise BadAudio(path, f"a peak of {peak} does not fit into 16 bits", "Scale it to [-1, 1] first.")
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, pcm.astype(np.int16), SAMPLE_RATE, "PCM_16", format="WAV")
    try:
        path.parent.stat()  # a folder that is not there is a typing error more often than a wish
        config.write_file(path, buffer.getvalue())
    except (OSError, NslibError) as error:
        why = getattr(error, "strerror", None) or str(error)
        remedy = f"Free {2 * len(pcm) / 1e6:.1f} MB there, or choose a folder that exists and can be written."
        raise Unavailable(f"a place for {path}", why, remedy) from error
    return path


def _convert(decoded: Decoded, name: str) -> Clip:
    """Check decoded samples and turn them into a clip."""
    samples, rate, notes = decoded
    if not len(samples):
        raise BadAudio(name, "it holds 0 samples", _EMPTY)
    if not RATES[0] <= rate <= RATES[1]:
        why = f"a sample rate of {rate} Hz is outside {RATES[0]} to {RATES[1]} Hz"
        raise BadAudio(name, why, "The header is probably wrong; export the clip again at its true rate.")
    _check_length(len(samples), rate, name)
    wave, channels = _scale(samples), samples.shape[1]
    if samples.dtype.kind == "f":
        _check_finite(wave, name)
    mono = wave[:, 0] if channels == 1 else wave.mean(axis=1, dtype=np.float64)
    mono = resample(np.ascontiguousarray(mono, dtype=np.float32), rate)
    if not len(mono):
        raise BadAudio(name, f"{len(samples)} samples at {rate} Hz are nothing at 16 kHz", "Leave it out.")
    return Clip(mono, rate, channels, len(mono) / SAMPLE_RATE, (*notes, *_describe(mono, rate, channels)))


def _check_finite(samples: npt.NDArray[Any], name: str) -> None:
    """Refuse NaN and infinite samples."""
    bad = ~np.isfinite(samples)
    if bad.any():
        why = f"{int(bad.sum())} samples are NaN or infinite, the first at {int(np.argwhere(bad)[0][0])}"
        raise BadAudio(name, why, "Export it again; a processing step before this one went wrong.")


def _check_length(frames: float, rate: int, name: str) -> None:
    """Refuse a recording where clips are expected."""
    if frames / max(rate, 1) > MAX_SECONDS:
        raise BadAudio(name, f"it is longer than {MAX_SECONDS / 60:.0f} minutes",
                       "Cut it into clips of a few seconds or minutes.")


def _scale(samples: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
    """Divide integers by full scale, 16-bit ones by 32767."""
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if samples.dtype == np.int16:
        return np.divide(samples, np.float32(32767), dtype=np.float32)
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    centre = 2.0 ** (bits - 1) if kind == "u" else 0.0
    return (samples.astype(np.float64) - centre) / 2.0 ** (bits - 1)


def resample(wave: FloatArray, rate: int, to: int = SAMPLE_RATE) -> FloatArray:
    """Bring float32 [samples] from one rate to another, Hz, by soxr HQ."""
    import soxr

    return wave if rate == to else np.asarray(soxr.resample(wave, rate, to, quality="HQ"), np.float32)


def _describe(mono: FloatArray, rate: int, channels: int) -> list[str]:
    """Note what was done to the samples, and what is unusual about them."""
    notes = []
    if channels > 1:
        notes.append(f"{'stereo' if channels == 2 else f'{channels} channels'} mixed to mono")
    if rate != SAMPLE_RATE:
        notes.append(f"resampled {rate} -> {SAMPLE_RATE} Hz")
    peak = max(float(mono.max()), -float(mono.min()))
    if peak == 0:
        notes.append("digital silence: every sample is 0")
    if peak > 32768.5 / 32767:
        notes.append(f"peak {peak:.3g} is above full scale (1.0); kept as it is")
    return notes


def decode(path: Path) -> Decoded:
    """Decode a file of any kind to the samples that it holds, unscaled; `BadAudio` as for `read`."""
    if not path.exists():
        raise BadAudio(path, "there is no such file", "Check the path, or run from its folder.")
    if not path.is_file():
        raise BadAudio(path, "this is not a file", "Give an audio file; a folder is read clip by clip.")
    if not os.access(path, os.R_OK):
        raise BadAudio(path, "permission to read it is missing", "Change its permissions (chmod +r).")
    if path.stat().st_size == 0:
        raise BadAudio(path, "the file is empty (0 bytes)", "Copy or download it again, or leave it out.")
    return _decode_by_ffmpeg(path) if path.suffix.lower() in _RAW else _decode_by_sndfile(path)


def _decode_by_sndfile(path: Path) -> Decoded:
    """Decode by libsndfile; what it does not know is left to FFmpeg."""
    import soundfile

    notes = _check_container(path)
    try:
        with soundfile.SoundFile(path) as file:
            _check_length(file.frames, file.samplerate, str(path))
            # integers keep their width, so that _scale can treat 16 bits apart
            dtype = "int16" if file.subtype == "PCM_16" else "float32"
            # codecs that cannot be sought in, as GSM 06.10 in WAV, are read only when told how far
            samples = file.read(file.frames, dtype=dtype, always_2d=True)
            promised, rate = float(file.frames), file.samplerate
            if file.format == "MP3":
                # without a header for it the length is guessed from the bit rate, half a percent too long
                promised = 0.98 * promised - 0.1 * rate
    except soundfile.LibsndfileError as error:
        if "Format not recognised" in str(error) or "unknown format" in str(error):
            return _decode_by_ffmpeg(path)
        why = f"it cannot be decoded ({error.error_string.strip(' .')})"
        raise BadAudio(path, why, _COPY_AGAIN) from error
    if len(samples) < promised:
        raise _cut_short(path, f"{promised:.0f} samples", f"{len(samples)}")
    return Decoded(samples, rate, notes)


def _cut_short(path: Path, promised: str, there: str) -> BadAudio:
    """Make the error of a file that ends too early."""
    return BadAudio(path, f"the file is cut short: its header promises {promised}, {there} are there", _COPY_AGAIN)


def _check_container(path: Path) -> tuple[str, ...]:
    """Compare the length that a WAV or Ogg file promises with what is there."""
    with path.open("rb") as file:
        magic = file.read(12)
        if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
            _check_wav(path, file)
        elif magic[:4] == b"OggS":
            return _check_ogg(path, file)
    return ()


def _check_wav(path: Path, file: BinaryIO) -> None:
    """Walk the chunks of a WAV file to its samples, and compare their length."""
    size = path.stat().st_size
    while len(header := file.read(8)) == 8:
        name, length = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            if length < _UNKNOWN_LENGTH and length > size - file.tell():
                raise _cut_short(path, f"{length} bytes of samples", f"{size - file.tell()}")
            return
        file.seek(length + length % 2, os.SEEK_CUR)
    raise BadAudio(path, "the file is cut short: the WAV header is there, the samples are not", _COPY_AGAIN)


def _check_ogg(path: Path, file: BinaryIO) -> tuple[str, ...]:
    """Check that the last Ogg page is whole; note if it is not marked as the end."""
    size = path.stat().st_size
    file.seek(max(0, size - 2 * _LARGEST_OGG_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    table = page[27:27 + page[26]] if len(page) > 26 else b""
    whole = 27 + page[26] + sum(table) if len(page) > 26 else 28
    if start < 0 or len(page) < whole:
        raise _cut_short(path, f"a last page of {whole} bytes", f"{len(page)}")
    return () if page[5] & 4 else ("Ogg stream without an end mark: it may have been cut",)


def _decode_by_ffmpeg(path: Path) -> Decoded:
    """Decode by FFmpeg's library."""
    import av

    form = _RAW.get(path.suffix.lower())
    if form == "gsm":
        _check_gsm(path)
    try:
        with av.open(str(path), format=form) as container:
            if not container.streams.audio:
                raise BadAudio(path, "there is no sound in it", _NOT_AUDIO)
            stream: Any = container.streams.audio[0]
            # other demuxers than these only guess the length from the bit rate
            exact = any(name in container.format.name for name in ("mp4", "matroska"))
            promised = float(stream.duration * stream.time_base) if exact and stream.duration else 0.0
            _check_length(promised, 1, str(path))
            blocks, frames, rate = [], 0, 1
            for frame in container.decode(stream):
                rate, block = frame.sample_rate, frame.to_ndarray()
                blocks.append(block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels))
                frames += len(blocks[-1])
                _check_length(frames, rate, str(path))
    except av.FFmpegError as error:
        raise BadAudio(path, f"no decoder can read it as audio ({error.strerror})", _NOT_AUDIO) from error
    if not blocks:
        raise BadAudio(path, "it holds 0 samples", _EMPTY)
    if promised and frames / rate < 0.98 * promised - 0.1:
        raise _cut_short(path, f"{promised:.2f} s", f"{frames / rate:.2f} s")
    return Decoded(np.concatenate(blocks), rate)


def _check_gsm(path: Path) -> None:
    """Check that a file without a header is made of whole GSM frames."""
    data = path.read_bytes()
    if any(byte >> 4 != 0xD for byte in data[::_GSM_FRAME]):
        raise BadAudio(path, "this is not raw GSM 06.10 audio", _NOT_AUDIO)
    if left := len(data) % _GSM_FRAME:
        raise _cut_short(path, f"frames of {_GSM_FRAME} bytes", f"{left} bytes of the last one")
