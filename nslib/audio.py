"""Read and write audio: the only module that touches samples of files.

Everything downstream sees float32, 16 kHz, mono, nominally in [-1, 1]. 16-bit PCM is divided by 32767, as the NOSS code
does, so that vectors can be compared with the authors' (YAMNet and VGGish documentation divide by 32768, which is
0.003 % less; -32768 becomes -1.00003). Every other width is divided by its full scale, floating point is taken as it
is. Channels are averaged; other rates are resampled by soxr HQ. What was done to a clip is said in its notes; what
cannot be used raises `BadAudio`.

libsndfile reads WAV, FLAC, Ogg, MP3 and more; FFmpeg reads raw G.722 (``.g722``, 16 kHz) and GSM 06.10 (``.gsm``,
8 kHz), which have no header, and everything else. Decoders repair the length of a cut file without a word, so what
headers promise is read here and compared with what is there, whoever decodes: less is an error; a length that no file
on a disk has, as programs that write to a pipe leave it, and a kind of file that tells none are a note.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import config
from nslib.errors import BadAudio, NslibError, Unavailable

__all__ = ["RATES", "SAMPLE_RATE", "Clip", "FloatArray", "decode", "from_array", "read", "read_known", "resample",
           "sha256", "write_wav"]

SAMPLE_RATE = 16_000
RATES = (4_000, 384_000)
"""Lowest and highest sample rate that is read, Hz."""

MAX_CHANNELS = 32
MAX_SECONDS = 3600.0

HIGHEST_PEAK = 32.0
"""Peaks that a recording in floating point can have; full scale is 1."""

STANDSTILLS = ("digital silence from", "a single value")  # how notes on a third or more without any change begin


_USUAL_HEADER = 44  # bytes before the samples of 16-bit PCM in a WAV file, of most programs
_RAW = {".g722": "g722", ".gsm": "gsm"}
_GSM_FRAME = 33
_LARGEST_OGG_PAGE = 65307
_COPY_AGAIN = "Copy or download it again; if the rest is lost, save the part that is there as a new file."
_NOT_AUDIO = "If it was cut or damaged, copy it again; else convert it to WAV or FLAC, or leave it out."
_EMPTY = "Record or download it again, or leave it out."
_NO_LENGTH = "length unknown: the header has none to compare with, so the file was read to its end"

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


def read(path: str | os.PathLike[str], content: bytes | None = None) -> Clip:
    """Decode a file, or the `content` of one in an archive, to float32, 16 kHz, mono.

    Raises
    ------
    BadAudio
        The file is missing, empty, cut short, not audio, longer than an hour, at a sample rate outside `RATES`, or
        holds NaN or infinite samples. The error has a remedy.
    """
    return _convert(decode(Path(path), content), str(path))


def read_known(path: str, key: str, samples: int) -> FloatArray | None:
    """Read a clip [samples] that was read before by its hash alone, in a third of the time; None if it takes `read`.

    Only a file that is as long as a usual WAV file of so many samples is tried: what has the hash is the clip, whatever
    its header says.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size != _USUAL_HEADER + 2 * samples:
                return None
            wave = _scale(np.frombuffer(file.read(), "<i2", samples, _USUAL_HEADER))
    except (OSError, ValueError):  # not there, or shorter by now: `read` says so
        return None
    return wave if sha256(wave) == key else None


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
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.size and 0 < np.abs(array).max() <= 32768:
        raise BadAudio(name, f"whole numbers of {8 * array.dtype.itemsize} bits that reach {np.abs(array).max()} only "
                       "are samples of another width", "Give them as int16, or as floats in [-1, 1].")
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
    more = _compare_channels(wave, mono) + _find_standstill(mono, rate)  # before resampling, which rings
    mono = resample(np.ascontiguousarray(mono, dtype=np.float32), rate)
    if not len(mono):
        raise BadAudio(name, f"{len(samples)} samples at {rate} Hz are nothing at 16 kHz", "Leave it out.")
    return Clip(mono, rate, channels, len(mono) / SAMPLE_RATE, (*notes, *_describe(mono, rate, channels, name), *more))


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
        return np.divide(samples.astype(np.float32), np.float32(32767))  # four times as fast as with dtype=
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    centre = 2.0 ** (bits - 1) if kind == "u" else 0.0
    return (samples.astype(np.float64) - centre) / 2.0 ** (bits - 1)


def resample(wave: FloatArray, rate: int, to: int = SAMPLE_RATE) -> FloatArray:
    """Bring float32 [samples] from one rate to another, Hz, by soxr HQ."""
    import soxr

    return wave if rate == to else np.asarray(soxr.resample(wave, rate, to, quality="HQ"), np.float32)


def _compare_channels(wave: npt.NDArray[np.floating[Any]], mono: npt.NDArray[np.floating[Any]]) -> list[str]:
    """Note channels that are silent beside others, and those of which the mean leaves little."""
    if wave.shape[1] == 1:
        return []
    power, left = (sum(part[i:i + 2**20].var(axis=0, dtype=np.float64) for i in range(0, len(part), 2**20))
                   for part in (wave, mono))  # by pieces, so that it needs little memory
    silent = int((power < 1e-5 * power.max()).sum())
    notes = [f"silent channels: {silent} of {len(power)}"] if silent else []
    gone = left < 0.02 * power.mean()  # of 32 that have nothing in common 1/32 is left
    return [*notes, *["channels of opposite phase: they cancel each other in the mean"] * bool(gone)]


def _find_standstill(mono: npt.NDArray[np.floating[Any]], rate: int) -> list[str]:
    """Note a third or more without any change, as an interrupted copy or download leaves it that was given its size."""
    last = len(mono) - 1
    for at in (0, last // 3, 2 * last // 3, last):  # one of which lies in it
        if mono[at] == mono[at + 1 if at < last else at - 1]:
            borders = np.concatenate([[-1], np.flatnonzero(mono != mono[at]), [last + 1]])
            place = np.searchsorted(borders, at)
            start, end = borders[place - 1] + 1, borders[place]
            if end - start > max(last / 3, rate / 10) and (mono[at] or end - start <= last):  # silence is said below
                what = STANDSTILLS[0] if mono[at] == 0 else f"{STANDSTILLS[1]} ({mono[at]:.3g}) from"
                return [f"{what} {start / rate:.2f} s to {'the end' if end > last else f'{end / rate:.2f} s'}"]
    return []


def _describe(mono: FloatArray, rate: int, channels: int, name: str) -> list[str]:
    """Note what was done to the samples, and what is unusual about them; refuse what another scale was meant for."""
    notes = []
    if channels > 1:
        notes.append(f"{'stereo' if channels == 2 else f'{channels} channels'} mixed to mono")
    if rate != SAMPLE_RATE:
        notes.append(f"resampled {rate} -> {SAMPLE_RATE} Hz")
    peak = max(float(mono.max()), -float(mono.min()))
    if peak == 0:
        notes.append("digital silence: every sample is 0")
    if peak > HIGHEST_PEAK:
        raise BadAudio(name, f"a peak of {peak:.4g} is no sound in floating point, whose full scale is 1",
                       "Divide the samples by their full scale (32768 if they were 16 bits), or give integers.")
    if peak > 32768.5 / 32767:
        notes.append(f"peak {peak:.3g} is above full scale (1.0); kept as it is")
    return notes


@cache
def identify_decoders() -> str:
    """What decides whether a file can be decoded: the decoders' versions, and the start of this module's hash."""
    return " ".join([*map(config.installed_version, ("soundfile", "av")), config.hash_file(Path(__file__))[:8]])


def decode(path: Path, content: bytes | None = None) -> Decoded:
    """Decode a file of any kind to the samples that it holds, unscaled; `content` and `BadAudio` as for `read`."""
    try:
        with _open_file(path) if content is None else io.BytesIO(content) as file:
            head = file.read(_HEAD)
            if not head:
                raise BadAudio(path, "the file is empty (0 bytes)", "Copy or download it again, or leave it out.")
            _refuse_other_kinds(path, head[:512])
            if path.suffix.lower() in _RAW:
                return _decode_by_ffmpeg(path, file, Promise())
            promise = _read_promise(path, file, head)
            source: BinaryIO = io.BytesIO(promise.mended) if promise.mended else file
            source.seek(0)
            decoded = (_read_plain(path, file, *promise.plain) if promise.plain[0] else
                       _decode_by_sndfile(path, os.fsencode(path) if source is file and content is None else source,
                                          promise))
            if decoded is None:
                decoded = _decode_by_ffmpeg(path, source, promise)
    except PermissionError as error:
        raise BadAudio(path, "permission to read it is missing", "Change its permissions (chmod +r).") from error
    except OSError as error:
        raise BadAudio(path, f"it cannot be read ({error.strerror or error})", "Copy it to a local disk.") from error
    samples, rate, notes = decoded
    if len(samples) < promise.frames:
        raise _cut_short(path, f"{promise.frames} samples", f"{len(samples)}")
    if 0 < len(samples) - promise.fact <= _MOST_PADDING and promise.fact:
        samples = samples[:promise.fact]
    return Decoded(samples, rate, (*promise.notes, *notes))


def _open_file(path: Path) -> BinaryIO:
    """Open a file; a small one is read at once, because each call of the system lets another thread run first."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last one is for names with a zero in them
        raise BadAudio(path, "there is no such file", "Check the path, or run from its folder.") from None
    if not stat.S_ISREG(status.st_mode):
        raise BadAudio(path, "this is not a file", f"Give an audio file, or those of a folder: {path}/*.wav.")
    file = path.open("rb")
    if status.st_size > _SMALL:
        return file
    with file:
        return io.BytesIO(file.read())


def _read_plain(path: Path, file: BinaryIO, start: int, size: int, channels: int, rate: int) -> Decoded:
    """Read 16-bit PCM of a WAV file as libsndfile does, in a third of the time."""
    _check_length(size / (2 * channels), rate, str(path))
    file.seek(start)
    return Decoded(np.frombuffer(file.read(size), "<i2").astype(np.int16).reshape(-1, channels), rate)


def _decode_by_sndfile(path: Path, source: Any, promise: Promise) -> Decoded | None:
    """Decode by libsndfile; None is for what it does not open, or cannot read to an end that is not known."""
    import soundfile

    try:
        file = soundfile.SoundFile(source)
    except soundfile.LibsndfileError:
        return None
    with file:
        rate, frames = file.samplerate, file.frames
        if frames > _STREAM << 32:  # a FLAC stream whose header has no length
            return None
        _check_length(frames, rate, str(path))
        # integers keep their width, so that _scale can treat 16 bits apart
        dtype = "int16" if file.subtype == "PCM_16" else "float32"
        try:
            # codecs that cannot be sought in, as GSM 06.10 in WAV, are read only when told how far
            samples = file.read(frames, dtype=dtype, always_2d=True)
        except soundfile.LibsndfileError as error:
            why = f"it cannot be decoded ({error.error_string.strip(' .')})"
            raise BadAudio(path, why, _COPY_AGAIN) from error
        # without a header for it the length of MPEG audio is guessed from the bit rate
        guessed = file.subtype.startswith("MPEG") and not (promise.certain and file.format == "MP3")
        told = promise.certain or file.format in _TELL_LENGTH
        if len(samples) < frames and not guessed:
            raise _cut_short(path, f"{frames} samples", f"{len(samples)}")
        if not promise.certain and "truncated" in file.extra_info:  # libsndfile's log, of kinds that are not read here
            raise _cut_short(path, "more samples", f"{len(samples)}")
    return Decoded(samples, rate, () if told or promise.notes else (_NO_LENGTH,))


def _decode_by_ffmpeg(path: Path, source: Any, promise: Promise) -> Decoded:
    """Decode by FFmpeg's library."""
    import av

    form = _RAW.get(path.suffix.lower())
    if form == "gsm":
        _check_gsm(path, source)
    source.seek(0)
    try:
        # tags may be in any encoding
        with av.open(source, format=form, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise BadAudio(path, "there is no sound in it", _NOT_AUDIO)
            stream: Any = container.streams.audio[0]
            # other demuxers only guess the length from the bit rate; that of the whole is also that of its pictures
            told = any(name in container.format.name for name in _TELL_LENGTH)
            promised = float(stream.duration * stream.time_base) if told and stream.duration else 0.0
            if told and not promised and len(container.streams) == 1:
                promised = (container.duration or 0) / av.time_base
            _check_length(promised, 1, str(path))
            blocks, frames, rate, end = [], 0, 1, 0.0
            for frame in container.decode(stream):
                rate, block = frame.sample_rate, frame.to_ndarray()
                blocks.append(block.T if frame.format.is_planar else block.reshape(-1, frame.layout.nb_channels))
                frames += len(blocks[-1])
                end = max(frames / rate, (frame.time or 0.0) + len(blocks[-1]) / rate)
                _check_length(frames, rate, str(path))
            samples = np.concatenate(blocks or [np.zeros((0, 1))])
    except (av.FFmpegError, ValueError) as error:
        why = f"no decoder can read it as audio ({getattr(error, 'strerror', error)})"
        raise BadAudio(path, why, _NOT_AUDIO) from error
    if end < promised - 0.1:
        raise _cut_short(path, f"{promised:.2f} s", f"{end:.2f} s")
    return Decoded(samples, rate, () if promised or promise.certain or promise.notes else (_NO_LENGTH,))


# ---- what headers promise ----------------------------------------------------------------------------

_HEAD, _LONGEST = 4096, 40  # bytes that are looked at first, and of a chunk
_SMALL = 1 << 20  # bytes of a file that is read at once
_STREAM = 0x7E000000
"""Bytes from which on a length stands for "not known": sox, arecord, FFmpeg and others leave such numbers in pipes."""

_MOST_PADDING = 4096  # samples by which a codec that works in blocks may fill the last one
# kinds that decoders know the true length of: libsndfile's names, then FFmpeg's
_TELL_LENGTH = ("FLAC", "VOC", "MAT4", "SDS", "HTK", "mp4", "matroska", "wv", "tta", "flv", "asf", "ape")
_TAGS = re.compile(rb"(Xing|Info)\0\0\0(.)(....)", re.DOTALL)
_SPHERE = re.compile(rb"\nsample_count -i (-?\d+)")
_PACKED = re.compile(rb"\nsample_coding -s\d+ \S*?embedded-([\w.-]+)")


class Promise(NamedTuple):
    """What the header of a file says of the length of its sound."""

    certain: bool = False  # whether bytes or samples that it promises were, or will be, compared
    frames: int = 0  # 0: it says nothing, or bytes were compared
    fact: int = 0  # samples without the padding of a codec's last block; 0 if it does not say
    notes: tuple[str, ...] = ()
    mended: bytes = b""  # the file with the length that it has, if the header tells none that decoders take
    plain: tuple[int, int, int, int] = (0, 0, 0, 0)  # start, bytes, channels, rate of 16-bit PCM in a WAV file


class _Chunks(NamedTuple):
    """How the parts of a container follow each other."""

    first: int  # where they begin
    name: int  # bytes of a name
    size: str  # the number of bytes, as of `struct`
    align: int = 1
    own: int = 0  # bytes of name and number that it counts too


_CONTAINERS = {b"RIFF": _Chunks(12, 4, "<I", 2), b"RIFX": _Chunks(12, 4, ">I", 2), b"RF64": _Chunks(12, 4, "<I", 2),
               b"FORM": _Chunks(12, 4, ">I", 2), b"caff": _Chunks(8, 4, ">q"), b"riff": _Chunks(40, 16, "<q", 8, 24)}
_WITHOUT_BLOCKS = (b"\1\0", b"\3\0", b"\6\0", b"\7\0", b"\xfe\xff")  # PCM, floating point, A-law and mu-law
_SOUND = {b"data": 0, b"SSND": 8, b"BODY": 0}  # chunks of samples, and the bytes before them


def _read_promise(path: Path, file: BinaryIO, head: bytes) -> Promise:
    """Read what a file's header, which is in its first bytes, promises; `BadAudio` if less is there."""
    magic = head[:4]
    if len(head) < 12:
        raise _cut_short(path, "a sound", f"{len(head)} bytes")
    if magic in _CONTAINERS:
        return _read_chunks(path, file, head, _CONTAINERS[magic])
    if magic in (b".snd", b"dns."):
        order = ">" if magic == b".snd" else "<"
        start, length = struct.unpack(f"{order}II", head[4:12])
        return _compare_bytes(path, file, (8, f"{order}I", 0), start, length)
    if magic == b"OggS":
        return Promise(True, notes=_check_ogg(path, file))
    if magic == b"NIST" and (found := _PACKED.search(head)):
        raise BadAudio(path, f"its SPHERE samples are compressed ({found[1].decode()}), which is not read here",
                       f"Unpack it: sph2pipe -f wav {path.name} {path.stem}.wav")
    if magic == b"NIST" and (found := _SPHERE.search(head)):
        frames = int(found[1])
        return Promise(True, frames) if frames > 0 else Promise(notes=(_NO_LENGTH,))
    if magic[:3] == b"ID3":  # seven bits a byte
        file.seek(10 + sum((byte & 127) << 7 * (3 - k) for k, byte in enumerate(head[6:10])))
        head = file.read(_HEAD)
    tag = _TAGS.search(head)
    return Promise(certain=bool(tag and tag[2][0] & 1 and any(tag[3])))


def _read_chunks(path: Path, file: BinaryIO, head: bytes, kind: _Chunks) -> Promise:
    """Walk the chunks of a file to its samples."""
    if head[:4] == b"RIFF" and head[8:12] != b"WAVE":  # a film: only the whole has a length
        return _compare_bytes(path, file, (4, "<I", 0), 8, struct.unpack("<I", head[4:8])[0])
    width, at, fact, fmt = struct.calcsize(kind.size), kind.first, 0, bytes(16)
    wide = 0  # of RF64, whose own chunk has what does not fit into 32 bits
    while True:
        header = head[at:at + _LONGEST]
        if len(header) < _LONGEST:
            file.seek(at)
            header = file.read(_LONGEST)
        if len(header) < kind.name + width:
            raise BadAudio(path, "the file is cut short: its header is there, the samples are not", _COPY_AGAIN)
        if not re.match(rb"[ -~]{4}", header):
            return Promise()  # a part is not as long as it says; the decoder may find the sound
        name, (length,) = header[:4], struct.unpack_from(kind.size, header, kind.name)
        content = header[kind.name + width:]
        if name in _SOUND:
            length = wide if head[:4] == b"RF64" and length == 0xFFFFFFFF else length - kind.own
            before = 4 if head[:4] == b"caff" else _SOUND[name]
            start = at + kind.name + width + before
            promise = _compare_bytes(path, file, (at + kind.name, kind.size, before + kind.own), start, length - before)
            form, channels, rate, frame, bits = struct.unpack("<HHI4xHH", fmt)
            plain = ((form, bits) == (1, 16) and rate > 0 and 0 < frame == 2 * channels and promise.certain
                     and not length % frame)
            return promise._replace(fact=max(fact, 0), plain=(start, length, channels, rate) if plain else (0,) * 4)
        if name == b"fmt ":
            fmt = content[:16].ljust(16, b"\0")
            fact = -1 if content[:2] in _WITHOUT_BLOCKS else fact  # it says nothing that the number of bytes does not
        elif name == b"fact" and not fact:
            fact = int.from_bytes(content[:8 if kind.own else 4], "big" if kind.size[0] == ">" else "little")
        elif name == b"ds64":
            wide = int.from_bytes(content[8:16], "little")
        step = max(length - kind.own, 0)
        at += kind.name + width + step + -step % kind.align


def _compare_bytes(path: Path, file: BinaryIO, field: tuple[int, str, int], start: int, promised: int) -> Promise:
    """Compare the bytes of sound that a header promises with those that are there.

    The field (where it is, its type, what it counts beside the sound) is mended where it tells no length.
    """
    there = file.seek(0, os.SEEK_END) - start
    file.seek(start + min(max(promised, 0), there))
    rest = file.read(5)
    chunk = re.match(rb"\0?[ -~]{4}", rest)  # the name of another part, maybe after a byte of padding
    if promised < 0 or (promised == 0 and rest and not chunk) or promised >= max(_STREAM, there + 1):
        file.seek(0)
        content = bytearray(file.read() if there < 2**31 else b"")
        if content[:4] == b"RF64":
            content[:4] = b"RIFF"
        if content:
            struct.pack_into(field[1], content, field[0], there + field[2])
        return Promise(notes=(_NO_LENGTH,), mended=bytes(content))
    if promised > there:
        raise _cut_short(path, f"{promised} bytes of samples", f"{there}")
    if any(rest) and not chunk:
        why = f"its header promises {promised} bytes of sound, {there} are there; the rest was not read"
        return Promise(True, notes=(why,))
    return Promise(True)


def _cut_short(path: Path, promised: str, there: str) -> BadAudio:
    """Make the error of a file that ends too early."""
    return BadAudio(path, f"the file is cut short: its header promises {promised}, {there} are there", _COPY_AGAIN)


def _check_ogg(path: Path, file: BinaryIO) -> tuple[str, ...]:
    """Check that the last Ogg page is whole (RFC 3533); note if it is not marked as the end."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * _LARGEST_OGG_PAGE))
    tail = file.read()
    start = tail.rfind(b"OggS")
    page = tail[start:]
    table = page[27:27 + page[26]] if len(page) > 26 else b""
    whole = 27 + page[26] + sum(table) if len(page) > 26 else 28
    if start < 0 or len(page) < whole:
        raise _cut_short(path, f"a last page of {whole} bytes", f"{len(page)}")
    return () if page[5] & 4 else ("Ogg stream without an end mark: it may have been cut",)


def _check_gsm(path: Path, file: BinaryIO) -> None:
    """Check that a file without a header is made of whole GSM frames."""
    file.seek(0)
    data = file.read()
    if any(byte >> 4 != 0xD for byte in data[::_GSM_FRAME]):
        raise BadAudio(path, "this is not raw GSM 06.10 audio", _NOT_AUDIO)
    if left := len(data) % _GSM_FRAME:
        raise _cut_short(path, f"frames of {_GSM_FRAME} bytes", f"{left} bytes of the last one")


# ---- what is no sound --------------------------------------------------------------------------------

_LEAVE_OUT = "Leave it out, or put the recording in its place."
_STAND_INS = (
    ("a Git LFS pointer", "Fetch the file: git lfs pull.", rb"version https://git-lfs"),
    ("a git-annex pointer", "Fetch the file: git annex get.", rb"/annex/objects/"),
    ("a web page (HTML or XML)", "Download it again: a page, perhaps of an error or a login, came in its place.",
     rb"(?i)[\s\xef\xbb\xbf]*(<!--[^\0]*-->\s*)?<(!doctype|html|\?xml|head|body)"))
_OTHER_KINDS = (
    *_STAND_INS, ("an archive", "Unpack it, and give what was in it.",
     rb"PK\x03\x04|\x1f\x8b\x08|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\(\xb5/\xfd|.{257}ustar"),
    ("a picture", _LEAVE_OUT, rb"\x89PNG|\xff\xd8\xff|GIF8"), ("a PDF", _LEAVE_OUT, rb"%PDF"),
    ("MIDI, notes to be played", _LEAVE_OUT, rb"MThd"),
    ("a table or an array", "Read it with its library, and write WAV.", rb"\x93NUMPY|PAR1|\x89HDF|SQLite"),
    ("a note of macOS about a file", "Leave it out: the sound is where no ._ precedes.", rb"\x00\x05\x16\x07"),
    ("text", _LEAVE_OUT, rb"(?!NIST|PVF1)[\t-\r -~\x80-\xff]+\s[\t-\r -~\x80-\xff]+\Z"))
_UTF8 = rb"([\t-\r -~]|[\xc2-\xf4][\x80-\xbf]{1,3})+[\xc2-\xf4]?\Z"  # codes of raw sound can look like Latin-1


def refuse_stand_in(path: Path) -> None:
    """Refuse what came in place of a file of any kind: a pointer to it, or a web page."""
    with path.open("rb") as file:
        _refuse_other_kinds(path, file.read(512), _STAND_INS, "the file itself")


def _refuse_other_kinds(path: Path, head: bytes, kinds: Any = _OTHER_KINDS, what: str = "the sound") -> None:
    """Refuse what is no sound, by what it is; `head` are its first bytes."""
    for kind, remedy, pattern in () if head[:4] in _CONTAINERS else kinds:
        raw = kind == "text" and path.suffix.lower() in _RAW
        if re.match(pattern, head, re.DOTALL) and (not raw or re.match(_UTF8, head)):
            raise BadAudio(path, f"it is {kind}, not {what}", remedy)
