"""openSMILE's functionals: eGeMAPS (88 numbers) and ComParE 2016 (6373 numbers) a clip.

References: Eyben et al., "openSMILE", ACM MM 2010; Eyben et al., "The Geneva Minimalistic Acoustic
Parameter Set (GeMAPS)", IEEE TAC 7 (2016); Schuller et al., "ComParE 2016", Interspeech 2016. ComParE
2016 is the openSMILE baseline of the NOSS paper.

openSMILE is an extra that you install yourself, because its licence allows research and no
commercial use. It runs in a process of its own (why: `nslib.embeddings.opensmile_worker`). If that
process dies, the clip at hand fails with a message and the next one gets a new process.
"""

from __future__ import annotations

import atexit
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, cast

import numpy as np

from nslib.embeddings import threads
from nslib.embeddings.base import EmbedFunction, FloatArray, IntArray
from nslib.embeddings.cards import Card
from nslib.embeddings.opensmile_worker import receive, send
from nslib.errors import NslibError

FEATURE_SETS = {"opensmile-egemaps": "eGeMAPSv02", "opensmile-compare": "ComParE_2016"}
MOST_PROCESSES = 8


def load(card: Card) -> EmbedFunction:
    """Give the embed function, and say on stderr what the licence is.

    Parameters
    ----------
    card : Card

    Returns
    -------
    callable
    """
    print(f"{card.name}: {card.licence}", file=sys.stderr)
    command = [sys.executable, "-m", "nslib.embeddings.opensmile_worker", FEATURE_SETS[card.name]]
    return embed_with([Worker(command) for _ in range(min(threads.count(), MOST_PROCESSES))], card.dim)


def embed_with(workers: Sequence[Worker], dim: int) -> EmbedFunction:
    """Give the embed function of some workers.

    Parameters
    ----------
    workers : sequence of Worker
        They work side by side.
    dim : int
        What their vectors must have.

    Returns
    -------
    callable
        Each clip goes to one worker, at its true length.
    """
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def one(wave: FloatArray) -> FloatArray:
        worker = idle.get()
        try:
            return worker.ask(wave)
        finally:
            idle.put(worker)

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        with ThreadPoolExecutor(len(workers)) as pool:
            rows = list(pool.map(one, [wave[:length] for wave, length in zip(waves, lengths, strict=True)]))
        for row in rows:
            if len(row) != dim:
                raise NslibError(f"openSMILE gave {len(row)} numbers, not {dim}; is it another version?")
        return np.stack(rows)[:, None], np.ones(len(rows), np.int64)

    return embed


class Worker:
    """A process that answers waveforms with vectors; started when first asked, and again if it died.

    Parameters
    ----------
    command : sequence of str
        Speaks the protocol of `nslib.embeddings.opensmile_worker`.
    """

    def __init__(self, command: Sequence[str]):
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        self._lock = threading.Lock()
        # the last to be registered goes first: the process ends before its log is closed
        atexit.register(self._log.close)
        atexit.register(self.close)

    def ask(self, wave: FloatArray) -> FloatArray:
        """Compute one clip.

        Parameters
        ----------
        wave : float32 [samples]

        Returns
        -------
        float32 [dim]

        Raises
        ------
        NslibError
            If openSMILE refuses the clip, or its process dies; with what it said.
        """
        with self._lock:
            process = self._alive()
            try:
                send(cast(BinaryIO, process.stdin), wave)
                answer = receive(cast(BinaryIO, process.stdout))
            except (OSError, EOFError):
                raise self._died(process) from None
        if isinstance(answer, str):
            raise NslibError(f"openSMILE could not process the clip: {answer}")
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.wait()
            self._process = None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._log.truncate(0)
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=self._log)
        return self._process

    def _died(self, process: subprocess.Popen[bytes]) -> NslibError:
        process.kill()
        code = process.wait()
        self._process = None
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        return NslibError(f"openSMILE's process {how}; it said: {said[0]}. The next clip gets a new process.")
