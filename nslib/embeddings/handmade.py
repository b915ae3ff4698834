"""Features made by hand: statistics of log-mel bands and of MFCC, and openSMILE's functionals.

References: Davis and Mermelstein, IEEE TASSP 28 (1980), for MFCC; the HTK Book for the regression formula of the
differences; Eyben et al., "openSMILE", ACM MM 2010; Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set
(GeMAPS)", IEEE TAC 7 (2016); Schuller et al., "ComParE 2016", Interspeech 2016, the openSMILE baseline of the paper.

Extraction averages over time, and a mean alone would forget all dynamics. So these embeddings return one frame a clip.
That of log-mel and MFCC holds the mean and the standard deviation (of the population) over the frames of the clip's
true length; the padding of a batch is never looked at.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.runtime import count_threads, describe_end, group_lengths, map_threads, mark_ragged
from nslib.errors import NslibError
from nslib.frontend import TRILL, log_mel

if TYPE_CHECKING:
    from nslib.embeddings.registry import EmbeddingInfo

__all__ = ()

COEFFICIENTS = 20
DELTA_REACH = 2
FEATURE_SETS = {"opensmile-egemaps": "eGeMAPSv02", "opensmile-compare": "ComParE_2016"}
MOST_PROCESSES = 8

Features = npt.NDArray[np.floating[Any]]


def load_builtin(info: EmbeddingInfo) -> EmbedFunction:
    """Load ``logmel``, ``mfcc`` or an embedding of `FEATURE_SETS`, whose licence is printed on stderr."""
    if info.name not in FEATURE_SETS:
        return compute_statistics({"logmel": logmel, "mfcc": mfcc}[info.name], together=True)
    print(f"{info.name}: {info.licence}", file=sys.stderr)
    return embed_with_opensmile(FEATURE_SETS[info.name], info.dim)


def compute_statistics(features: Callable[[FloatArray], Features], together: bool = False) -> EmbedFunction:
    """Make the embed function of a clip's features, or of clips of one length `together`: their mean and deviation."""

    def summarise(clips: FloatArray) -> Features:
        made = [features(clips)] if together else [features(clip)[None] for clip in clips]
        return np.concatenate([np.concatenate([values.mean(-2), values.std(-2)], axis=-1) for values in made])

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        rows = np.concatenate(map_threads(summarise, group_lengths(waves, lengths)))
        return rows[:, None].astype(np.float32), np.ones(len(rows), np.int64)

    return mark_ragged(embed)


def logmel(wave: FloatArray) -> Features:
    """Compute the log-mel bands of TRILL's front end, float64 [..., frames, 64], of [..., samples], at least 400."""
    return log_mel(wave, TRILL, dtype=np.float64)


def mfcc(wave: FloatArray) -> Features:
    """Compute MFCC 0 to 19 of these bands, with first and second differences, float64 [..., frames, 60]."""
    from scipy import fft

    cepstra = fft.dct(logmel(wave), type=2, norm="ortho", axis=-1)[..., :COEFFICIENTS]
    first = delta(cepstra)
    return np.concatenate([cepstra, first, delta(first)], axis=-1)


def delta(features: Features) -> Features:
    """Compute the slope over time, [..., frames, numbers]: the least-squares line through a frame and neighbours."""
    steps = range(1, DELTA_REACH + 1)
    # the first and the last frame are repeated beyond the ends
    padded = np.pad(features, [(0, 0)] * (features.ndim - 2) + [(DELTA_REACH, DELTA_REACH), (0, 0)], mode="edge")
    count = features.shape[-2]
    total = np.zeros_like(features)
    for k in steps:
        later = padded[..., DELTA_REACH + k:DELTA_REACH + k + count, :]
        total += k * (later - padded[..., DELTA_REACH - k:DELTA_REACH - k + count, :])
    return total / (2 * sum(k * k for k in steps))


# ---- openSMILE ---------------------------------------------------------------------------------------
#
# An extra that you install yourself, because its licence allows research and no commercial use. In a process that has
# imported TensorFlow first, its library crashes (malloc, seen with TensorFlow 2.21 and opensmile 2.6). So it runs in
# processes of its own. If one dies, the clip at hand fails with a message and the next one gets a new process.
# Its package multiplies samples by 32768 and casts them to 16 bits, which turns 1.0 into -32768. So it is given the
# whole numbers that a 16-bit file of the clip holds, over 32768, as its own `process_file` reads them.


def embed_with_opensmile(feature_set: str, dim: int) -> EmbedFunction:
    """Make the embed function of a member of ``opensmile.FeatureSet``; every clip is computed at its true length."""
    from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

    home, pool = tempfile.TemporaryDirectory(ignore_cleanup_errors=True), None

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        nonlocal pool
        log = Path(home.name, "log")
        log.touch()
        pool = pool or ProcessPoolExecutor(min(count_threads(), MOST_PROCESSES))
        pcm = np.rint(waves.astype(np.float64) * 32767)
        if beyond := int((np.abs(pcm + 0.5) > 32768).sum()):
            warnings.warn(f"openSMILE takes 16 bits: {beyond} samples are beyond full scale and saturate.",
                          stacklevel=2)
        pcm = np.asarray(pcm.clip(-32768, 32767) / 32768, np.float32)
        clips = [wave[:length] for wave, length in zip(pcm, lengths, strict=True)]
        try:
            rows = list(pool.map(partial(_compute_functionals, feature_set, log), clips))
        except BrokenProcessPool as error:
            last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            pool = None
            log.write_text("")
            raise NslibError(f"openSMILE's process {describe_end(error)}; it said: {last}. The next clip gets a new "
                             "process.") from None
        except Exception as error:  # whatever the library raises
            raise NslibError(f"openSMILE could not process the clip: {type(error).__name__}: {error}") from None
        if len(rows[0]) != dim:
            raise NslibError(f"openSMILE gave {len(rows[0])} numbers, not {dim}; is it another version?")
        return np.stack(rows)[:, None], np.ones(len(rows), np.int64)

    return embed


def _compute_functionals(feature_set: str, log: Path, wave: FloatArray) -> FloatArray:
    """Compute the functionals of one clip; this runs in a process of its own."""
    return np.asarray(_open_smile(feature_set, log)(wave, SAMPLE_RATE), np.float32).reshape(-1)


@cache
def _open_smile(feature_set: str, log: Path) -> Any:
    """Open the library; from now on whatever the process prints goes to a file, which has its last words if it dies."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    import opensmile

    faulthandler.disable()  # its traceback would be the last words
    return opensmile.Smile(feature_set=getattr(opensmile.FeatureSet, feature_set),
                           feature_level=opensmile.FeatureLevel.Functionals)
