"""Features made by hand: statistics of log-mel bands and of MFCC, and openSMILE's functionals.

References: Davis and Mermelstein, IEEE TASSP 28 (1980), for MFCC; the HTK Book for the regression formula of the
differences; Eyben et al., "openSMILE", ACM MM 2010; Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set
(GeMAPS)", IEEE TAC 7 (2016); Schuller et al., "ComParE 2016", Interspeech 2016, the openSMILE baseline of the paper.

Extraction averages over time, and a mean alone would forget all dynamics. So these embeddings return one frame a clip.
That of log-mel and MFCC holds the mean and the standard deviation (of the population) over the frames of the clip's
true length; the padding of a batch is never looked at.
"""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import SAMPLE_RATE, EmbedFunction, FloatArray, IntArray
from nslib.embeddings.runtime import count_threads, map_threads, mark_ragged, share_workers
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
        return compute_statistics({"logmel": logmel, "mfcc": mfcc}[info.name])
    print(f"{info.name}: {info.licence}", file=sys.stderr)
    command = [sys.executable, "-m", __name__, FEATURE_SETS[info.name]]
    return embed_with_workers([Worker(command) for _ in range(min(count_threads(), MOST_PROCESSES))], info.dim)


def compute_statistics(features: Callable[[FloatArray], Features]) -> EmbedFunction:
    """Make the embed function of a clip's features: mean and standard deviation over time."""

    def summarise(wave: FloatArray) -> Features:
        values = features(wave)
        return np.concatenate([values.mean(0), values.std(0)])

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        rows = map_threads(summarise, [wave[:length] for wave, length in zip(waves, lengths, strict=True)])
        return np.stack(rows)[:, None].astype(np.float32), np.ones(len(rows), np.int64)

    return mark_ragged(embed)


def logmel(wave: FloatArray) -> Features:
    """Compute the log-mel bands of TRILL's front end, float64 [frames, 64], of at least 400 samples."""
    return log_mel(wave, TRILL, dtype=np.float64)


def mfcc(wave: FloatArray) -> Features:
    """Compute MFCC 0 to 19 of these bands, with first and second differences, float64 [frames, 60]."""
    from scipy import fft

    cepstra = fft.dct(logmel(wave), type=2, norm="ortho", axis=-1)[:, :COEFFICIENTS]
    first = delta(cepstra)
    return np.concatenate([cepstra, first, delta(first)], axis=1)


def delta(features: Features) -> Features:
    """Compute the slope over time, per frame: the least-squares line through each frame and its neighbours."""
    steps = range(1, DELTA_REACH + 1)
    # the first and the last frame are repeated beyond the ends
    padded = np.pad(features, ((DELTA_REACH, DELTA_REACH), (0, 0)), mode="edge")
    total = np.zeros_like(features)
    for k in steps:
        later = padded[DELTA_REACH + k:DELTA_REACH + k + len(features)]
        total += k * (later - padded[DELTA_REACH - k:DELTA_REACH - k + len(features)])
    return total / (2 * sum(k * k for k in steps))


# ---- openSMILE ---------------------------------------------------------------------------------------
#
# An extra that you install yourself, because its licence allows research and no commercial use. In a process that has
# imported TensorFlow first, its library crashes (malloc, seen with TensorFlow 2.21 and opensmile 2.6). So it runs in
# processes of its own, of this module as a program. If one dies, the clip at hand fails with a message and the next one
# gets a new process. Between them go pickles of arrays, waveforms in and vectors out, or of an error message.


def embed_with_workers(workers: Sequence[Worker], dim: int) -> EmbedFunction:
    """Make the embed function of workers that work side by side; each clip goes to one, at its true length."""
    compute = share_workers([worker.compute for worker in workers])

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        with ThreadPoolExecutor(len(workers)) as pool:
            rows = list(pool.map(compute, [wave[:length] for wave, length in zip(waves, lengths, strict=True)]))
        for row in rows:
            if len(row) != dim:
                raise NslibError(f"openSMILE gave {len(row)} numbers, not {dim}; is it another version?")
        return np.stack(rows)[:, None], np.ones(len(rows), np.int64)

    return embed


class Worker:
    """A process, of a command, that answers waveforms with vectors; started when first asked, and again if it died."""

    def __init__(self, command: Sequence[str]):
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        self._lock = threading.Lock()
        # the last to be registered goes first: the process ends before its log is closed
        atexit.register(self._log.close)
        atexit.register(self.close)

    def compute(self, wave: FloatArray) -> FloatArray:
        """Compute the vector of one clip; raises NslibError with what openSMILE said if it refuses or dies."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._log.truncate(0)
                self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                 stderr=self._log)
            try:
                _send(cast(BinaryIO, self._process.stdin), wave)
                answer = pickle.load(cast(BinaryIO, self._process.stdout))
            except (OSError, EOFError, pickle.UnpicklingError):
                self._process.kill()
                code = self._process.wait()
                self._process = None
                self._log.seek(0)
                last = (self._log.read().decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
                how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
                raise NslibError(f"openSMILE's process {how}; it said: {last}. The next clip gets a new "
                                 "process.") from None
        if isinstance(answer, str):
            raise NslibError(f"openSMILE could not process the clip: {answer}")
        return cast(FloatArray, answer)

    def close(self) -> int | None:
        """End the process; return its status."""
        process, self._process = self._process, None
        if process is None:
            return None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        return process.wait()


def _send(stream: BinaryIO, message: FloatArray | str) -> None:
    pickle.dump(message, stream)
    stream.flush()


def _answer_waveforms(feature_set: str) -> None:
    """Answer waveforms with functionals of a member of ``opensmile.FeatureSet`` until the input ends."""
    # whatever the library prints must not end up between the messages
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import opensmile

    smile = opensmile.Smile(feature_set=getattr(opensmile.FeatureSet, feature_set),
                            feature_level=opensmile.FeatureLevel.Functionals)
    while True:
        try:
            wave = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            _send(answers, np.asarray(smile(wave, SAMPLE_RATE), np.float32).reshape(-1))
        except Exception as error:  # a bad clip must not cost the others
            _send(answers, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _answer_waveforms(sys.argv[1])
