"""What the headers of audio files promise, checked against what is there.

Decoders repair the length of a cut WAV or Ogg file without a word, and a cut clip then looks
like a short one. These checks read headers only, never samples.

References: RIFF/WAVE (Multimedia Programming Interface 1.0), Ogg pages (RFC 3533), GSM 06.10
frames (33 bytes each, first nibble 0xD).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from nslib.errors import BadAudio

COPY_AGAIN = "Copy or download it again; if the rest is lost, save the part that is there as a new file."
NOT_AUDIO = "Convert it to WAV or FLAC, or leave it out."

_GSM_FRAME = 33
_LARGEST_PAGE = 65307
# programs that write WAV to a pipe leave 0 or about the largest number: length unknown
_UNKNOWN = 0xFFFFF000


def cut_short(path: Path, promised: str, there: str) -> BadAudio:
    """Make the error of a file that ends before its header says.

    Parameters
    ----------
    path : Path
    promised, there : str
        Amounts with their unit.

    Returns
    -------
    BadAudio
    """
    return BadAudio(path, f"the file is cut short: its header promises {promised}, {there} are there", COPY_AGAIN)


def check_container(path: Path) -> tuple[str, ...]:
    """Compare the lengths in a WAV or Ogg file's headers with its size.

    Parameters
    ----------
    path : Path
        Any file; other formats pass.

    Returns
    -------
    tuple of str
        Notes on what is unusual.

    Raises
    ------
    BadAudio
        If the file is cut short.
    """
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
                raise cut_short(path, f"{length} bytes of samples", f"{size - file.tell()}")
            return
        file.seek(length + length % 2, os.SEEK_CUR)
    raise BadAudio(path, "the file is cut short: the WAV header is there, the samples are not", COPY_AGAIN)


def _check_ogg(path: Path, file: BinaryIO) -> tuple[str, ...]:
    size = path.stat().st_size
    file.seek(max(0, size - 2 * 65307))  # the largest Ogg page is 65307 bytes
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    table = page[27:27 + page[26]] if len(page) > 26 else b""
    whole = 27 + page[26] + sum(table) if len(page) > 26 else 28
    if start < 0 or len(page) < whole:
        raise cut_short(path, f"a last page of {whole} bytes", f"{len(page)}")
    return () if page[5] & 4 else ("Ogg stream without an end mark: it may have been cut",)


def check_gsm(path: Path) -> None:
    """Check that a file without header consists of whole GSM 06.10 frames.

    Parameters
    ----------
    path : Path

    Raises
    ------
    BadAudio
        If it does not.
    """
    data = path.read_bytes()
    if any(byte >> 4 != 0xD for byte in data[::_GSM_FRAME]):
        raise BadAudio(path, "this is not raw GSM 06.10 audio", NOT_AUDIO)
    if len(data) % _GSM_FRAME:
        raise cut_short(path, f"frames of {_GSM_FRAME} bytes", f"{len(data) % _GSM_FRAME} bytes of the last one")
