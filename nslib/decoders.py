"""Decode audio files of any kind to the samples that they hold, and notice what is missing.

libsndfile reads WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF and more; FFmpeg reads raw G.722
(``.g722``, 16 kHz) and raw GSM 06.10 (``.gsm``, 8 kHz), which have no header, and everything else
(M4A, AAC, WMA, the sound of video files).

Decoders repair the length of a cut WAV or Ogg file without a word, and a cut clip then looks like
a short one. So the lengths that headers promise are compared here with what is there.

References: RIFF/WAVE (Multimedia Programming Interface 1.0), Ogg pages (RFC 3533), GSM 06.10
frames (33 bytes each, first nibble 0xD).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.errors import BadAudio

MAX_SECONDS = 3600.0

_RAW = {".g722": "g722", ".gsm": "gsm"}
_GSM_FRAME = 33
_LARGEST_PAGE = 65307
# programs that write WAV to a pipe leave about the largest number there: length unknown
_UNKNOWN = 0xFFFFF000
_COPY_AGAIN = "Copy or download it again; if the rest is lost, save the part that is there as a new file."
_NOT_AUDIO = "Convert it to WAV or FLAC, or leave it out."


class Decoded(NamedTuple):
    """Samples as a file holds them.

    Attributes
    ----------
    samples : array [frames, channels]
        int16 for 16-bit PCM, else usually float32.
    rate : int
        Samples a second, Hz.
    notes : tuple of str
        What is unusual about the file.
    """

    samples: npt.NDArray[Any]
    rate: int
    notes: tuple[str, ...] = ()


def decode(path: Path) -> Decoded:
    """Decode a file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Decoded

    Raises
    ------
    BadAudio
        If the file is missing, empty, cut short, not audio or longer than `MAX_SECONDS`.
    """
    _check_file(path)
    return _ffmpeg(path) if path.suffix.lower() in _RAW else _sndfile(path)


def check_length(frames: float, rate: int, name: str) -> None:
    """Refuse a recording where clips are expected.

    Parameters
    ----------
    frames : float
    rate : int
        Frames a second.
    name : str
        For the message.

    Raises
    ------
    BadAudio
        If it is longer than `MAX_SECONDS`.
    """
    if frames / max(rate, 1) > MAX_SECONDS:
        why = f"it is longer than {MAX_SECONDS / 60:.0f} minutes"
        raise BadAudio(name, why, "Cut it into clips of a few seconds or minutes.")


def _check_file(path: Path) -> None:
    if not path.exists():
        raise BadAudio(path, "there is no such file", "Check the path, or run from its folder.")
    if not path.is_file():
        raise BadAudio(path, "this is not a file", "Give an audio file; a folder is read clip by clip.")
    if not os.access(path, os.R_OK):
        raise BadAudio(path, "permission to read it is missing", "Change its permissions (chmod +r).")
    if path.stat().st_size == 0:
        raise BadAudio(path, "the file is empty (0 bytes)", "Copy or download it again, or leave it out.")


def _sndfile(path: Path) -> Decoded:
    import soundfile

    notes = _check_container(path)
    try:
        with soundfile.SoundFile(path) as file:
            check_length(file.frames, file.samplerate, str(path))
            # integers keep their width, so that _scale can treat 16 bits apart
            dtype = "int16" if file.subtype == "PCM_16" else "float32"
            # codecs that cannot be sought in, as GSM 06.10 in WAV, are read only when told how far
            samples = file.read(file.frames, dtype=dtype, always_2d=True)
            promised, rate = _sure(file), file.samplerate
    except soundfile.LibsndfileError as error:
        if "Format not recognised" in str(error) or "unknown format" in str(error):
            return _ffmpeg(path)
        why = f"it cannot be decoded ({error.error_string.strip(' .')})"
        raise BadAudio(path, why, _COPY_AGAIN) from error
    if len(samples) < promised:
        raise _cut_short(path, f"{promised:.0f} samples", f"{len(samples)}")
    return Decoded(samples, rate, notes)


def _sure(file: Any) -> float:
    # of an MP3 without a header for that, the length is guessed from the bit rate, half a percent too long
    return float(0.98 * file.frames - 0.1 * file.samplerate if file.format == "MP3" else file.frames)


def _cut_short(path: Path, promised: str, there: str) -> BadAudio:
    why = f"the file is cut short: its header promises {promised}, {there} are there"
    return BadAudio(path, why, _COPY_AGAIN)


def _check_container(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        magic = file.read(12)
        if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
            _check_wav(path, file)
        elif magic[:4] == b"OggS":
            return _check_ogg(path, file)
    return ()


def _check_wav(path: Path, file: BinaryIO) -> None:
    size = path.stat().st_size
    while len(header := file.read(8)) == 8:
        name, length = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"data":
            if length < _UNKNOWN and length > size - file.tell():
                raise _cut_short(path, f"{length} bytes of samples", f"{size - file.tell()}")
            return
        file.seek(length + length % 2, os.SEEK_CUR)
    raise BadAudio(path, "the file is cut short: the WAV header is there, the samples are not", _COPY_AGAIN)


def _check_ogg(path: Path, file: BinaryIO) -> tuple[str, ...]:
    size = path.stat().st_size
    file.seek(max(0, size - 2 * _LARGEST_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    table = page[27:27 + page[26]] if len(page) > 26 else b""
    whole = 27 + page[26] + sum(table) if len(page) > 26 else 28
    if start < 0 or len(page) < whole:
        raise _cut_short(path, f"a last page of {whole} bytes", f"{len(page)}")
    return () if page[5] & 4 else ("Ogg stream without an end mark: it may have been cut",)


def _ffmpeg(path: Path) -> Decoded:
    import av

    form = _RAW.get(path.suffix.lower())
    if form == "gsm":
        _check_gsm(path)
    try:
        with av.open(str(path), format=form) as container:
            if not container.streams.audio:
                raise BadAudio(path, "there is no sound in it", _NOT_AUDIO)
            stream = container.streams.audio[0]
            check_length(_promised(container, stream) or 0.0, 1, str(path))
            decoded = _decode(container, stream, path)
            promised = _promised(container, stream)
    except av.FFmpegError as error:
        raise BadAudio(path, f"no decoder can read it as audio ({error.strerror})", _NOT_AUDIO) from error
    there = len(decoded.samples) / decoded.rate
    if promised and there < 0.98 * promised - 0.1:
        raise _cut_short(path, f"{promised:.2f} s", f"{there:.2f} s")
    return decoded


def _promised(container: Any, stream: Any) -> float | None:
    # other demuxers only guess the length from the bit rate
    exact = any(name in container.format.name for name in ("mp4", "matroska"))
    return float(stream.duration * stream.time_base) if exact and stream.duration else None


def _decode(container: Any, stream: Any, path: Path) -> Decoded:
    blocks, frames, rate = [], 0, 0
    for frame in container.decode(stream):
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        block = frame.to_ndarray()
        blocks.append(block.T if frame.format.is_planar else block.reshape(-1, channels))
        frames += len(blocks[-1])
        check_length(frames, rate, str(path))
    if not blocks:
        raise BadAudio(path, "it holds 0 samples", "Record or download it again, or leave it out.")
    return Decoded(np.concatenate(blocks), rate)


def _check_gsm(path: Path) -> None:
    data = path.read_bytes()
    if any(byte >> 4 != 0xD for byte in data[::_GSM_FRAME]):
        raise BadAudio(path, "this is not raw GSM 06.10 audio", _NOT_AUDIO)
    left = len(data) % _GSM_FRAME
    if left:
        raise _cut_short(path, f"frames of {_GSM_FRAME} bytes", f"{left} bytes of the last one")
