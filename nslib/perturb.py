"""The same clips in worse conditions: with noise, through a telephone, too soft or too loud.

References
----------
ITU-T P.56 (levels of speech are measured while somebody speaks) and G.712 (the telephone band).

Conventions
-----------
A clip is changed at 16 kHz and written as a 16-bit WAV file of its own, as a recorder would have: what exceeds full
scale is clipped, and the clipped samples are counted. No level is adapted to avoid it.

===================  ====  ================================================================================
condition            unit  level
===================  ====  ================================================================================
clean                      0: the recordings as they are, not written again
white-noise          dB    signal-to-noise ratio, noise with a flat spectrum
speech-shaped-noise  dB    the same, noise with the mean spectrum of the task's training clips
telephone            Hz    8000: 300 to 3400 Hz by a filter of linear phase, sampled at 8 kHz, and back
gain                 dB    gain; 0 is the control: nothing is done but writing the file
===================  ====  ================================================================================

The ratio is that of mean squares over the *speech-active* samples of the clip, before clipping: those in blocks of
20 ms that lie at most 30 dB below its loudest block. Over the whole clip, pauses would lower the noise. Noise itself
is stationary and fills the clip. It depends on the seed, the condition and the clip's name, so that all embeddings
hear the same bytes and two levels differ by the level alone. A clip of digital silence has no ratio and is refused.
Whole test sets are changed by `nslib.perturbed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib import audio
from nslib.errors import BadAudio, BadParameter, NslibError, UnknownName

if TYPE_CHECKING:
    from nslib.audio import FloatArray

Floats = npt.NDArray[np.float64]

CLEAN, WHITE, SHAPED, TELEPHONE, GAIN = "clean", "white-noise", "speech-shaped-noise", "telephone", "gain"
UNITS = {CLEAN: "", WHITE: "dB", SHAPED: "dB", TELEPHONE: "Hz", GAIN: "dB"}
"""Every condition and the unit of its levels."""

RATE = 8000
BAND = (300.0, 3400.0)
ACTIVE_DB, BLOCK = 30.0, 320

_BAND_TAPS, _SHAPE_TAPS, _FFT = 401, 511, 512
_FULL = 32767
_MOST_DB = 100.0
_ONLY = {CLEAN: 0.0, TELEPHONE: float(RATE)}


class Changed(NamedTuple):
    """A changed clip.

    Attributes
    ----------
    wave : float32 [samples]
        16 kHz, exactly as its file will be read.
    clipped : int
        Samples beyond full scale.
    """

    wave: FloatArray
    clipped: int


def refuse_unknown(condition: str, level: float) -> None:
    """Raise UnknownName or BadParameter unless the condition is known and has this level."""
    if condition not in UNITS:
        raise UnknownName("condition", condition, UNITS)
    if condition in _ONLY:
        right, allowed = level == _ONLY[condition], f"only {_ONLY[condition]:g}"
    else:
        right, allowed = -_MOST_DB <= level <= _MOST_DB, f"-{_MOST_DB:g} to {_MOST_DB:g} dB"
    if not right:
        raise BadParameter(f"{condition} has no level {level!r}; allowed: {allowed}.")


def active(wave: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Find the samples during which somebody speaks, by energy.

    Parameters
    ----------
    wave : array-like of float [samples]
        16 kHz.

    Returns
    -------
    bool [samples]
        All of a block of 20 ms that lies at most `ACTIVE_DB` below the loudest; nowhere in digital silence.
    """
    power = np.square(np.asarray(wave, dtype=np.float64))
    starts = np.arange(0, len(power), BLOCK)
    sizes = np.diff(np.append(starts, len(power)))
    means = np.add.reduceat(power, starts) / sizes
    return np.repeat((means > 0) & (means >= means.max() * 10 ** (-ACTIVE_DB / 10)), sizes)


def with_noise(wave: npt.ArrayLike, noise: npt.ArrayLike, snr: float) -> Floats:
    """Add noise at a signal-to-noise ratio.

    Parameters
    ----------
    wave, noise : array-like of float [samples]
        Equally long.
    snr : float
        Ratio of mean squares over the speech-active samples, dB.

    Returns
    -------
    ndarray of float64 [samples]
        May exceed full scale.

    Raises
    ------
    BadAudio
        If the clip, or the noise where it matters, is digital silence.
    """
    speech, added = np.asarray(wave, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    where = active(speech)
    loud, soft = (float(np.mean(x[where] ** 2)) if where.any() else 0.0 for x in (speech, added))
    if not loud or not soft:
        raise BadAudio("clip", "digital silence has no signal-to-noise ratio", "Leave it out.")
    return speech + added * np.sqrt(loud / soft) * 10 ** (-snr / 20)


def telephone(wave: npt.ArrayLike) -> Floats:
    """Send a clip through a telephone: 300 to 3400 Hz, sampled at 8 kHz, and back to 16 kHz.

    Parameters
    ----------
    wave : array-like of float [samples]
        16 kHz.

    Returns
    -------
    ndarray of float64 [samples]
        As long as before and not delayed. (There is no companding: this is the band alone.)
    """
    import soxr
    from scipy import signal

    full = np.asarray(wave, dtype=np.float64)
    narrow = soxr.resample(full, audio.SAMPLE_RATE, RATE, quality="HQ")
    if not len(narrow):  # a sample or two
        return np.zeros_like(full)
    taps = signal.firwin(_BAND_TAPS, BAND, pass_zero=False, fs=RATE)
    passed = signal.oaconvolve(narrow, taps, mode="full")[_BAND_TAPS // 2:][:len(narrow)]
    back = soxr.resample(passed, RATE, audio.SAMPLE_RATE, quality="HQ")[:len(full)]
    return np.pad(back, (0, len(full) - len(back)))


def shape(waves: Iterable[npt.ArrayLike]) -> Floats:
    """Make the filter that gives white noise the mean spectrum of some clips.

    Parameters
    ----------
    waves : iterable of array-like [samples]
        16 kHz; each counts as much as any other, however loud it is. Digital silence does not count.

    Returns
    -------
    ndarray of float64 [taps]
        Of linear phase.

    Raises
    ------
    NslibError
        If there is no sound at all.
    """
    from scipy import signal

    total, heard = np.zeros(_FFT // 2 + 1), 0
    for wave in waves:
        full = np.asarray(wave, dtype=np.float64)
        _, power = signal.welch(np.pad(full, (0, max(0, _FFT - len(full)))), nperseg=_FFT)
        if power.sum() > 0:
            total, heard = total + power / power.sum(), heard + 1
    if not heard:
        raise NslibError("speech-shaped noise needs the spectrum of speech, and every training clip is silent.")
    return np.asarray(signal.firwin2(_SHAPE_TAPS, np.linspace(0, 1, len(total)), np.sqrt(total / total.max())))


def drawn(text: str) -> str:
    """Hash that stands for a draw: 64 hex digits, the same on any machine."""
    return hashlib.sha256(text.encode()).hexdigest()


def change(wave: npt.ArrayLike, condition: str, level: float, *, name: str, seed: int = 0,
           taps: npt.ArrayLike | None = None) -> Changed:
    """Put one clip into one condition.

    Parameters
    ----------
    wave : array-like of float [samples]
        16 kHz.
    condition : str
        A name in `UNITS`.
    level : float
        As the table above says.
    name : str
        Of the clip: with the seed and the condition, it decides the noise.
    seed : int
    taps : array-like of float, optional
        From `shape`; speech-shaped noise needs it.

    Returns
    -------
    Changed

    Raises
    ------
    UnknownName, BadParameter
        For another condition or level.
    BadAudio
        If noise is to be added to digital silence.
    """
    refuse_unknown(condition, level)
    full = np.asarray(wave, dtype=np.float64)
    if condition == TELEPHONE:
        return _in_16_bits(telephone(full))
    if condition in (WHITE, SHAPED):
        rng = np.random.default_rng(int(drawn(f"{seed}:{condition}:{name}")[:16], 16))
        return _in_16_bits(with_noise(full, _noise(len(full), rng, condition, taps), level))
    return _in_16_bits(full * 10 ** (level / 20) if condition == GAIN else full)


def _noise(samples: int, rng: np.random.Generator, condition: str, taps: Any) -> Floats:
    from scipy import signal

    if condition == WHITE:
        return rng.standard_normal(samples)
    if taps is None:
        raise BadParameter("speech-shaped noise needs taps, the spectrum of the training clips: see shape.")
    return np.asarray(signal.oaconvolve(rng.standard_normal(samples + len(taps) - 1), taps, mode="valid"))


def _in_16_bits(wave: Floats) -> Changed:
    pcm = np.rint(wave * _FULL)
    kept = np.clip(pcm, -_FULL - 1, _FULL).astype(np.int16)  # integers: there is no minus zero in a file
    return Changed(kept.astype(np.float32) / np.float32(_FULL), int((pcm != kept).sum()))
