"""How embeddings run: threads, networks on the patches of many clips, frozen TensorFlow graphs, and devices.

The patches of a batch of clips are put into one row, sent through the network in pieces of bounded size, and dealt out
again, so that short clips cost no padding and long ones no memory. The network starts on the first patches while the
last clips are still being cut.

A frozen graph is one to two times as fast as a function with variables. On a processor it gives a patch the same bits
in whatever row and company, but other bits (in the seventh digit) in a call of another size. So the graphs of the kit
see calls of `AT_ONCE` patches only, the last one filled up with zeros; where calls of `FEW` patches give the same bits
too, which is tried once a network, the last patches of a batch go in such calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nslib.embeddings.base import Embedding, EmbedFunction, FloatArray, IntArray, stack_clips
from nslib.errors import BadParameter

__all__ = ["count_threads", "freeze_network", "group_by_clip", "is_ragged", "list_devices"]

Array = npt.NDArray[Any]
Network = Callable[[Array], Array]
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

AT_ONCE = 64
FEW = 16
_TOGETHER = 64_000  # samples of clips that are cut in one call: short calls would wait for each other's interpreter
# a second call fills the gaps that the first leaves on the processors: a fifth faster on two of them
_CALLS = 2


def make_noise(*shape: int) -> FloatArray:
    """Make noise to try functions on, float32 of a shape; the same every time."""
    return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)


def count_threads() -> int:
    """Count the threads for one network: the CPUs that this process may use, or ``NSLIB_THREADS``, 1 or more."""
    return _read_count("NSLIB_THREADS", "threads")


def count_jobs(gigabytes: float = 0.0) -> int:
    """Count what is done side by side: ``JOBS``, else as many as CPUs; of a size, at most what free memory holds."""
    import psutil

    jobs = _read_count("JOBS", "jobs, which are done side by side")
    return max(1, min(jobs, int(psutil.virtual_memory().available / 1e9 / gigabytes))) if gigabytes else jobs


def _read_count(variable: str, what: str) -> int:
    """Read a number of 1 or more from the environment; where there is none, count the CPUs of this process."""
    asked = os.environ.get(variable, "").strip()
    if not asked:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not asked.isdigit() or int(asked) < 1:
        raise BadParameter(f"{variable} is {asked!r}; give a whole number of {what}: 1 or more.")
    return int(asked)


def map_threads(function: Callable[[_Given], _Made], items: Sequence[_Given]) -> list[_Made]:
    """Apply a function of NumPy operations to items side by side, one thread each; results are in their order."""
    with stream_threads(function, items) as results:
        return list(results)


@contextlib.contextmanager
def stream_threads(function: Callable[[_Given], _Made], items: Sequence[_Given]) -> Iterator[Iterator[_Made]]:
    """Do what `map_threads` does, and yield the first results while the last are still computed."""
    # the matrix products here are small: with threads of its own, BLAS would mostly make them wait for
    # each other, and on a busy machine by a factor of ten
    with _SINGLE_BLAS:
        if len(items) == 1:
            yield map(function, items)
            return
        with ThreadPoolExecutor(count_threads()) as pool:
            yield pool.map(function, items)


def share_workers(workers: Sequence[Callable[[_Given], _Made]]) -> Callable[[_Given], _Made]:
    """Make one function of many that bear one call at a time each: a call goes to one that is idle, or waits for it."""
    idle: queue.SimpleQueue[Callable[[_Given], _Made]] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(given: _Given) -> _Made:
        worker = idle.get()
        try:
            return worker(given)
        finally:
            idle.put(worker)

    return run


def release_memory() -> None:
    """Give free memory back to the system: on Linux, C's library keeps a part for every thread that there was."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another system's has no such function
        ctypes.CDLL(None).malloc_trim(0)


def describe_end(error: Exception) -> str:
    """Say how the process of a pool of loky ended, by its error."""
    codes = re.search(r"\{(.+)\}", str(error))  # loky ends its message with them, such as {SIGSEGV(-11)}
    return f"ended with {codes[1]}" if codes else "was ended"


class SharedContext:
    """A context of the whole process for any number at a time: the first enters it, the last to leave ends it."""

    # most such contexts put back what they found: of two that overlap, the first to leave would take it from the other
    def __init__(self, make: Callable[[], AbstractContextManager[Any]]):
        self._make, self._lock, self._users = make, threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._inner = self._make()
                self._inner.__enter__()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._inner.__exit__(None, None, None)


@lru_cache(maxsize=1)
def _find_blas(modules: int) -> Any:
    """Find the libraries of BLAS, which takes longer than a short clip's front end; new ones come with new modules."""
    import threadpoolctl

    return threadpoolctl.ThreadpoolController().select(user_api="blas")


_SINGLE_BLAS = SharedContext(lambda: _find_blas(len(sys.modules)).limit(limits=1))


class PatchNetwork(NamedTuple):
    """A network on patches, and how clips become patches: what every way to compute it is made of."""

    cut: Callable[[FloatArray], Array]  # clips of one length, [clips, samples], to float32 [clips, patches, *shape]
    function: Callable[[Any], Any]  # TensorFlow operations: a tensor of patches to a tensor [patches, dim]
    shape: Sequence[int]  # of one patch


def make_embedder(cut: Callable[[FloatArray], Array], network: Network, at_once: int = AT_ONCE, *,
                  steady: bool = False) -> EmbedFunction:
    """Make an embed function of `PatchNetwork.cut` and a network, of at most `at_once` patches in a call."""
    # A `steady` network gives the same bits in any company; it must take every patch by itself, zeros too, and bear
    # two calls at a time.

    @cache
    def sizes(*shape: int) -> tuple[int, ...]:
        return find_steady_sizes(network, shape, at_once)

    def embed(waves: FloatArray, lengths: IntArray) -> tuple[FloatArray, IntArray]:
        counts: list[int] = []
        with stream_threads(cut, group_lengths(waves, lengths)) as cuts:
            pieces = _cut_pieces(cuts, counts, at_once)
            if not steady:
                rows = [network(piece) for piece in pieces]
            else:
                with ThreadPoolExecutor(_CALLS) as pool:
                    calls = [pool.submit(_run_filled, network, piece, sizes(*piece.shape[1:])) for piece in pieces]
                    rows = [call.result() for call in calls]
        return group_by_clip(np.concatenate(rows), counts)

    return mark_ragged(embed)


def group_lengths(waves: FloatArray, lengths: IntArray) -> list[FloatArray]:
    """Group clips, a row each, with neighbours of the same length, [clips, samples] without padding, some seconds."""
    groups = []
    for rows in np.split(np.arange(len(waves)), np.flatnonzero(np.diff(lengths)) + 1):
        length = int(lengths[rows[0]])
        size = max(1, _TOGETHER // max(length, 1))
        groups += [waves[rows[0] + k:rows[0] + min(k + size, len(rows)), :length] for k in range(0, len(rows), size)]
    return groups


def each_clip(cut: Callable[[FloatArray], Array]) -> Callable[[FloatArray], Array]:
    """Make a function of one clip, [samples], one of clips of one length, as `PatchNetwork.cut` is."""
    return lambda waves: np.stack([cut(wave) for wave in waves])


def find_steady_sizes(network: Network, shape: Sequence[int], at_once: int = AT_ONCE) -> tuple[int, ...]:
    """Try in which sizes of a call a network gives a patch of a shape the same bits: `at_once`, perhaps `FEW` too."""
    if at_once <= FEW:
        return (at_once,)
    patches = np.random.default_rng(0).normal(-4, 2.5, (at_once, *shape)).astype(np.float32)
    whole, turned = network(patches), network(np.roll(patches, 1, 0))
    few = [network(patches[i:i + FEW]) for i in range(0, at_once // FEW * FEW, FEW)]
    same = np.array_equal(np.roll(whole, 1, 0), turned) and np.array_equal(np.concatenate(few), whole[: len(few) * FEW])
    return (at_once, FEW) if same else (at_once,)


def group_by_clip(rows: Array, counts: Sequence[int]) -> tuple[FloatArray, IntArray]:
    """Give each clip its rows back, of an array [sum of counts, dim]."""
    return stack_clips(np.split(rows.astype(np.float32, copy=False), np.cumsum(counts)[:-1]))


def mark_ragged(embed: EmbedFunction) -> EmbedFunction:
    """Mark an embed function as taking a clip's own samples only, so that padding costs nothing; return it."""
    embed.__dict__["ragged"] = True
    return embed


def is_ragged(embed: EmbedFunction) -> bool:
    """Whether an embed function, the one that it wraps, or its ``deferred()``, is marked by `mark_ragged`."""
    return bool(getattr(getattr(embed, "deferred", lambda: embed)(), "ragged", False))


def load_now(embedding: Embedding) -> Embedding:
    """Load the function of an embedding, if that is deferred; raises what `nslib.embeddings.get` raises."""
    is_ragged(embedding.embed)  # which asks the function itself
    return embedding


def _cut_pieces(cuts: Iterable[Array], counts: list[int], size: int) -> Iterator[Array]:
    """Cut the row of all patches into pieces of a size, the last one smaller; note each clip's count on the way."""
    waiting: list[Array] = []
    for patches in cuts:
        counts += len(patches) * [patches.shape[1]]
        waiting.append(patches.reshape(-1, *patches.shape[2:]))
        if sum(map(len, waiting)) >= size:
            row = np.concatenate(waiting)
            whole = len(row) // size * size
            yield from (row[i:i + size] for i in range(0, whole, size))
            waiting = [row[whole:]]
    rest = np.concatenate(waiting)
    if len(rest):
        yield rest


def _run_filled(network: Network, piece: Array, sizes: Sequence[int]) -> Array:
    """Run a piece in calls of the sizes, of a smaller one where few patches are left."""
    count = len(piece)
    # calls of few patches are half as fast, so more than half a large call goes as a large one
    size = sizes[0] if 2 * count > sizes[0] else sizes[-1]
    if count % size:
        piece = np.concatenate([piece, np.zeros((-count % size, *piece.shape[1:]), piece.dtype)])
    return np.concatenate([network(piece[i:i + size]) for i in range(0, len(piece), size)])[:count]


# ---- TensorFlow graphs and devices -------------------------------------------------------------------

# named as TensorFlow does, without the slash; where none is asked for, it takes the first GPU, else the processor
_device: ContextVar[str] = ContextVar("device", default="")


def list_devices() -> list[str]:
    """List the processors and GPUs that TensorFlow sees, as ``"CPU:0"``; the first call sets them up."""
    import tensorflow as tf

    names = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    return [name for name in names if name.startswith(("CPU:", "GPU:"))]


def peak_gpu_gb() -> dict[str, float]:
    """GB that this process had at most of the memory of each GPU."""
    import tensorflow as tf

    look = tf.config.experimental.get_memory_info
    return {name: look(name)["peak"] / 1e9 for name in list_devices() if name.startswith("GPU:")}


@contextlib.contextmanager
def place_graphs(device: str) -> Iterator[None]:
    """Put the graphs that are made inside on a device, wherever they are called later."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def current_device() -> str:
    """Return the device that graphs are now put on; empty where TensorFlow chooses."""
    return _device.get()


def bind_device(call: Callable[[Any], Any], device: str | None = None) -> Callable[[Any], Any]:
    """Tie a function of TensorFlow operations to a device; default: the one that graphs are now put on."""
    where = current_device() if device is None else device
    if not where:
        return call

    def run(given: Any) -> Any:
        import tensorflow as tf

        with tf.device(where):
            return call(given)

    return run


def freeze_network(function: Callable[[Any], Any], shape: Sequence[int]) -> Network:
    """Turn a function of TensorFlow operations into one of arrays, on the device that graphs are now put on.

    Both take float32 [patches, *shape] to [patches, dim]; the weights are those of now.
    """
    return bind_device(make_runner(freeze_graph(function, [None, *shape])))


def freeze_graph(function: Callable[[Any], Any], shape: Sequence[int | None]) -> Any:
    """Trace a function of one float32 tensor of a shape, and make its weights constants: a ConcreteFunction."""
    import tensorflow as tf

    # no public function does this outside of sessions
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec(shape, tf.float32)]
    return convert_variables_to_constants_v2(tf.function(function, input_signature=signature).get_concrete_function())


def make_runner(graph: Any) -> Network:
    """Make a function of arrays of a function of a tensor, such as a ConcreteFunction; outputs come side by side."""
    import tensorflow as tf

    def run(given: Array) -> Array:
        made = graph(tf.constant(given, tf.float32))
        outputs = [*map(np.asarray, made)] if isinstance(made, (list, tuple)) else [np.asarray(made)]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)

    return run
