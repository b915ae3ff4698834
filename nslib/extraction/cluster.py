"""Many machines: work units, and the fits of probes, on the workers of a dask scheduler.

>>> import nslib
>>> nslib.embed("my_recordings/", embedding="logmel", cluster="local:2")                # doctest: +SKIP
>>> nslib.benchmark("logmel", cluster="tls://scheduler.example.org:8786")               # doctest: +SKIP

``docs/clusters.md`` says how it works, how to set up a cluster, and how to close it to strangers. A task is one work
unit of `nslib.extraction.extract`, or one fit, whose vectors are sent once. What is lost with a worker is sent again; a
unit that ends worker after worker is computed at the end, clip by clip, in a process of this machine that may die. A
worker without a sign of life for `SILENT_SECONDS` is taken out; if all are, the cluster is given up.
"""

from __future__ import annotations

import logging
import pickle
import re
import secrets
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, wait
from concurrent.futures import Future as Answer
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nslib import embeddings
from nslib.embeddings import runtime
from nslib.embeddings.base import Embedding
from nslib.errors import BadAudio, BadParameter, NslibError, Unavailable
from nslib.extraction import extract
from nslib.extraction.cache import Cost, VectorCache
from nslib.extraction.devices import SmallerBatches
from nslib.extraction.extract import Clip, RunUnits, UnitResult

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["BuiltInModel", "ClusterJob", "Engine", "ModelFile", "Recipe", "connect", "describe_cluster_cost",
           "make_recipe"]

Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

CONNECT_SECONDS = 10
WORKERS_SECONDS = 60
SILENT_SECONDS = 40.0
_LOOK_SECONDS, _POLL_SECONDS = 2.0, 0.02
_LOOPBACK = "127.0.0.1"
_HOW = "Give the address of a dask scheduler, such as tcp://10.0.0.5:8786, or local:2 for two workers here."

# A unit that ended this many workers and one more is looked at clip by clip. On a scheduler of the user's it is what
# dask's distributed.scheduler.allowed-failures says there.
_ALLOWED_FAILURES = 1
_RETRIES = 2  # of a task that raises
_AHEAD_PER_WORKER = 8
_AHEAD_AT_LEAST = 64
# A worker that dies takes the data that it held, and with them units that others were to compute: where workers die for
# other reasons than a clip, a unit may be lost with several of them before it is suspected itself.
_UNITS_SENT_AT_MOST = 6
_FITS_SENT_AT_MOST = 3


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    ``run`` takes how workers load an embedding (a function that gives a `Recipe`; called only if it is needed), and
    gives what `nslib.extraction.extract.extract_vectors` takes as `run`. ``mapper(function, tasks)`` gives
    ``function(task)`` for every task, in any order, or raises `NslibError` with the words of a worker that failed.
    Tasks are named tuples with the fields ``probe``, for messages, and ``splits``, the vectors, which are sent apart
    and once. No mapper: fit on this machine.
    """

    run: Callable[[Callable[[], Recipe]], RunUnits]
    mapper: Mapper | None


@contextmanager
def connect(cluster: Any = None) -> Iterator[Engine]:
    """Go to where the work is to be done; what was started for it is ended at the end.

    `cluster` is the address of a scheduler (``tcp://host:8786``, ``tls://host:8786``, ``host:8786``), ``local:N`` for N
    worker processes on this machine, or an object that a distributed.Client can connect to. Default: no cluster; the
    work is done in this process, and nothing of dask is imported. BadParameter is raised for an address that is none,
    Unavailable if no scheduler answers, or it has no workers.
    """
    if cluster is None:
        yield Engine(lambda recipe: extract.run_here, None)
        return
    with open_client(cluster) as client:
        watch = _Watch(client)
        yield Engine(lambda recipe: _make_run(client, watch, recipe),
                     lambda function, tasks: _map_fits(client, watch, function, tasks))


# ------------------------------------------------------------------ how a worker loads an embedding
# An embedding holds a session or a graph, which cannot travel. A recipe can: it is small, or as large as what a
# function closes over, and is sent to each worker once.


@dataclass(frozen=True)
class BuiltInModel:
    """An embedding of `nslib.embeddings.names`, or a name and its backend; workers have the weights or fetch them."""

    name: str

    def load(self) -> Embedding:
        """Load it, as `nslib.embeddings.get`."""
        return embeddings.get(self.name)


@dataclass(frozen=True)
class ModelFile:
    """A model's file or folder at the same path on every worker; options as of `nslib.embeddings.from_file`."""

    path: str
    name: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def load(self) -> Embedding:
        """Load it; `NslibError` if it is not there, or is no model."""
        if not Path(self.path).exists():
            raise NslibError(f"the model {self.path} is not there. Put it on a disk that every worker has at this "
                             "path, or copy it to each of them.")
        return embeddings.from_file(self.path, name=self.name, **dict(self.options))


@dataclass(frozen=True)
class PickledModel:
    """An embedding that was made of a function, pickled by cloudpickle."""

    name: str
    pickled: bytes

    def load(self) -> Embedding:
        """Load it; `NslibError` if a module that it needs is not there."""
        import cloudpickle

        try:
            return cloudpickle.loads(self.pickled)
        except ImportError as error:
            raise NslibError(f"{self.name} needs what is not installed here: {error}. Install it, or give the function "
                             "as file.py:function, whose code travels with it.") from error


Recipe = BuiltInModel | ModelFile | PickledModel


def make_recipe(embedding: Embedding) -> Recipe:
    """Find how an embedding can be loaded elsewhere; `BadParameter` if it is not built in and cannot be pickled."""
    import cloudpickle

    try:
        if embeddings.fingerprint(embedding.name) == embedding.fingerprint:
            return BuiltInModel(embedding.name)
    except NslibError:
        pass  # no built-in embedding has this name
    try:
        return PickledModel(embedding.name, cloudpickle.dumps(embedding))
    except Exception as error:  # anything may be in a user's function, and may fail in its own way
        raise BadParameter(
            f"{embedding.name} cannot be sent to workers: {type(error).__name__}: {error}. Give the model's file "
            "itself, or a function that opens its model when it is first called instead of holding it.") from error


# ------------------------------------------------------------------ reaching a scheduler

@contextmanager
def open_client(cluster: Any) -> Iterator[Client]:
    """Connect to a cluster that has workers; parameter and errors as of `connect`."""
    import distributed
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # what it says of its workers is said below
        if isinstance(cluster, str) and cluster.startswith("local:"):
            cluster = stack.enter_context(_start_workers(cluster))
        client, shown = cluster, cluster if isinstance(cluster, str) else repr(cluster)
        if not isinstance(cluster, distributed.Client):
            try:
                client = stack.enter_context(distributed.Client(cluster, timeout=CONNECT_SECONDS, set_as_default=False))
            except (ValueError, TypeError) as error:
                raise BadParameter(f"cluster is {shown!r}: {error}. {_HOW}") from error
            except OSError as error:
                raise Unavailable(f"the scheduler at {shown}", f"it did not answer within {CONNECT_SECONDS} s "
                                  f"({error})", f"Start it with: dask scheduler. {_HOW}") from error
        try:
            client.wait_for_workers(1, timeout=WORKERS_SECONDS)
        except TimeoutError as error:
            address = client.scheduler.address if client.scheduler else "?"
            raise Unavailable(f"the cluster at {address}", f"it had no worker for {WORKERS_SECONDS} s",
                              f"Start workers with: dask worker {address} --nthreads 1. A cluster that scales itself "
                              "needs a minimum of one worker.") from error
        yield client


@contextmanager
def _start_workers(address: str) -> Iterator[Any]:
    """Start a scheduler and the worker processes of ``local:N``, on the loopback interface only."""
    import distributed
    from distributed.deploy.subprocess import SubprocessWorker

    number = re.fullmatch(r"local:(\d+)", address)
    count = int(number[1]) if number else 0
    if count < 1:
        raise BadParameter(f"cluster is {address!r}; give local: and a number of worker processes, as in local:2.")
    # Started by command, not by multiprocessing: so a script needs no `if __name__ == "__main__"`, and none of its code
    # runs twice. The preload makes them import what can be imported here.
    path = [str(Path(part).resolve()) for part in sys.path]
    preload = f"import sys; sys.path += [part for part in {path!r} if part not in sys.path]"
    closed = {"host": _LOOPBACK, "dashboard": False, "dashboard_address": f"{_LOOPBACK}:0"}
    kwargs = {**closed, "nthreads": 1, "memory_limit": 1 / count, "preload": [preload],
              "env": {"NSLIB_THREADS": str(max(1, runtime.count_threads() // count))}, "silence_logs": logging.CRITICAL}
    scheduler = {"cls": distributed.Scheduler, "options": {**closed, "port": 0, "allowed_failures": _ALLOWED_FAILURES}}
    worker = {"cls": SubprocessWorker, "options": {"worker_kwargs": kwargs}}
    try:
        cluster = distributed.SpecCluster({i: worker for i in range(count)}, scheduler, worker, name="nslib",
                                          silence_logs=logging.CRITICAL)
    except RuntimeError as error:
        raise NslibError(f"{count} worker processes could not be started: {error}") from error
    with cluster:
        yield cluster


# ------------------------------------------------------------------ who is alive

class _Watch:
    """Looks for signs of life; a cluster without any is given up, and what is asked of it from then on, at once."""

    def __init__(self, client: Client):
        self._client, self._lost = client, ""
        self._seen: dict[str, tuple[Any, float]] = {}
        self._looked = self._alive = time.monotonic()

    def look(self) -> None:
        """Look, once in a while: `NslibError` if there was no sign of life for too long."""
        if self._lost:
            raise NslibError(self._lost)
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked, workers = now, {}
        with suppress(Exception):  # what dask raises while a scheduler goes is of a dozen kinds
            scheduler: Any = self._client.scheduler
            workers = self._client.sync(scheduler.identity, callback_timeout=_LOOK_SECONDS)["workers"]
        for address, facts in workers.items():
            if self._seen.get(address, (None, 0))[0] != facts["last_seen"]:
                self._seen[address], self._alive = (facts["last_seen"], now), now
        if self._client.status == "closed" or now - self._alive > SILENT_SECONDS:
            self.give_up(f"no worker showed a sign of life for {now - self._alive:.0f} s: they were ended or stopped, "
                         "or the scheduler was, or the network is away")
        for address in workers:
            if now - self._seen[address][1] > SILENT_SECONDS:
                self._take_out(address)

    def give_up(self, why: str) -> NoReturn:
        """Say why, and what goes on."""
        self._lost = (f"the cluster was given up: {why}. What was stored is kept: start its scheduler and workers "
                      "again (with more memory, if that was it), or leave the cluster out, and run the same command "
                      "again.")
        raise NslibError(self._lost)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call what waits for workers, which may never answer."""
        answer = Answer[Any]()

        def work() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        while not wait([answer], _LOOK_SECONDS).done:
            self.look()
        try:
            return answer.result()
        except (OSError, CancelledError) as error:  # dask's own, also if it waited in vain for a worker
            self.give_up(f"it did not answer ({type(error).__name__}: {error})")

    def _take_out(self, address: str) -> None:
        """Have the scheduler give the work of a silent worker to others."""

        async def remove(dask_scheduler: Any) -> None:  # here, so that it travels as code to where no nslib may be
            await dask_scheduler.remove_worker(address, stimulus_id="silent", expected=True)

        with suppress(Exception):  # a scheduler may refuse to run code; it has a limit of its own, of minutes
            self._client.run_on_scheduler(remove)


# ------------------------------------------------------------------ many tasks through a scheduler

def _compute(client: Client, watch: _Watch, function: Callable[[Any, Any], Any], tasks: Iterable[tuple[str, Any]],
             shared: Any, *, lost: tuple[type[BaseException], ...], times: int) -> Iterator[tuple[Any, Any]]:
    """Give payload and outcome of ``function(payload, shared)`` for each named task, in any order, few at a time."""
    # An outcome that is an exception was raised more often than a task is tried. A task whose outcome is of a `lost`
    # kind is sent again, with `shared` anew, until it was lost so many `times`: then that is its outcome.
    from distributed import as_completed

    # one name and something behind it: so dask keeps tasks that no worker is free for at the scheduler, and a worker
    # that dies takes few with it
    run = f"nslib-{function.__name__}-{secrets.token_hex(8)}"
    coming, most, there = iter(tasks), 0, None
    again: list[tuple[str, Any]] = []
    deaths: Counter[str] = Counter()
    flying: dict[Any, tuple[str, Any, Future]] = {}
    done = as_completed(loop=client.loop, raise_errors=False)
    try:
        while True:
            if len(flying) <= most // 2:  # many at a time: one by one would cost the scheduler more than the tasks
                most = max(_AHEAD_AT_LEAST, _AHEAD_PER_WORKER * len(client.nthreads()))
                new = [*again, *islice(coming, max(0, most - len(flying) - len(again)))]
                again = []
                if new:
                    # in a list: of a dictionary dask would make one datum for each of its names
                    there = there or watch.call(
                        lambda: client.scatter([shared], hash=False, timeout=WORKERS_SECONDS)[0])
                    futures = client.map(function, [payload for _, payload in new], [there] * len(new),
                                         key=[(run, name, deaths[name]) for name, _ in new], pure=False,
                                         retries=_RETRIES)
                    flying |= {future.key: (*task, future) for task, future in zip(new, futures, strict=True)}
                    done.update(futures)
            if not flying:
                return
            while not (batch := done.next_batch(block=False)):
                watch.look()
                time.sleep(_POLL_SECONDS)
            for future in batch:
                name, payload, _ = flying.pop(future.key)
                outcome = _get_outcome(client, watch, future)
                deaths[name] += isinstance(outcome, lost)
                if not isinstance(outcome, lost) or deaths[name] == times:
                    yield payload, outcome
                    continue
                again.append((name, payload))
                there = None
    finally:
        client.cancel([future for _, _, future in flying.values()])


def _get_outcome(client: Client, watch: _Watch, future: Future) -> Any:
    if future.status == "error":
        return future.exception()
    try:
        return future.result(timeout=SILENT_SECONDS)
    except Exception as error:  # it was lost, or whoever holds it does not give it: dask raises what it likes
        if client.status != "running":
            watch.give_up(f"the connection to the scheduler broke off ({type(error).__name__})")
        return CancelledError()


# ------------------------------------------------------------------ work units

@dataclass(frozen=True)
class _Job:
    """What is the same for all units of a run; the witness is an audio file that is there, "" if none is."""

    recipe: Recipe
    fingerprint: str
    witness: str


_BUSY = threading.Lock()
_LOADED: dict[Recipe, Embedding] = {}


def _make_run(client: Client, watch: _Watch, get_recipe: Callable[[], Recipe]) -> RunUnits:
    from distributed.scheduler import KilledWorker

    def run(units: Sequence[list[Clip]], embedding: Embedding, store: VectorCache, cost: Cost,
            progress: bool) -> dict[str, BadAudio]:
        problems: dict[str, BadAudio] = {}
        if not units:
            return problems
        witness = next((clip.path for unit in units[:100] for clip in unit if Path(clip.path).is_file()), "")
        job, suspects = _Job(get_recipe(), embedding.fingerprint, witness), []
        watch.look()
        answers = watch.call(lambda: client.run(_check_sight, witness, on_error="return"))
        for worker, answer in answers.items():
            if isinstance(answer, NslibError):
                raise answer
            if isinstance(answer, BaseException) and not isinstance(answer, OSError):  # that is of one that has gone
                raise NslibError(f"worker {worker} cannot run nslib: {type(answer).__name__}: {answer}. Install the "
                                 "same version of nslib there, in the environment in which dask worker runs."
                                 ) from answer

        def accept(unit: list[Clip], result: UnitResult) -> None:
            extract.store_result(store, unit, result)
            cost.add(result.cost)
            problems.update(result.problems)
            extract.advance_bar(bar, unit)

        tasks = ((extract.name_unit(unit), _pack(unit)) for unit in units)
        with extract.open_bar(f"embed {embedding.name} on the cluster", units, progress) as bar:
            for packed, outcome in _compute(
                    client, watch, _embed_on_worker, tasks, job, lost=(CancelledError,), times=_UNITS_SENT_AT_MOST):
                unit = _unpack(packed)
                if isinstance(outcome, KilledWorker | CancelledError):
                    suspects.append(unit)
                elif isinstance(outcome, UnitResult):
                    accept(unit, outcome)
                elif isinstance(outcome, NslibError):
                    raise outcome
                else:
                    raise NslibError(f"a worker failed: {type(outcome).__name__}: {outcome}") from outcome
                bar.set_postfix_str(f"{len(problems)} clips left out, {len(suspects)} units ended their workers")
            for unit in suspects:
                bar.set_postfix_str("clip by clip, what ended its workers")
                accept(unit, _embed_isolated(job.recipe, unit))
        return problems

    return run


def _pack(unit: list[Clip]) -> bytes:
    # as bytes: a scheduler looks through every list that it is given. Sent as lists, a million clips cost it half a
    # gigabyte and half of its speed
    return zlib.compress(pickle.dumps([(clip.key, clip.path, clip.clip_id, clip.samples) for clip in unit]), 1)


def _unpack(packed: bytes) -> list[Clip]:
    return [Clip(*parts) for parts in pickle.loads(zlib.decompress(packed))]


def _name_worker(worker: Any) -> str:
    return str(worker.nanny or worker.address)  # the nanny's stays when the process is started again


def _check_sight(witness: str, dask_worker: Any) -> None:
    """Look for one of the recordings; this runs on a worker."""
    if witness and not Path(witness).is_file():
        raise NslibError(f"worker {_name_worker(dask_worker)} does not see the recording {witness}. Put the recordings "
                         "on a disk that every worker has at the same path.")


def _embed_on_worker(packed: bytes, job: _Job) -> UnitResult:
    """Embed a work unit; this runs on a worker."""
    import distributed

    worker, unit = distributed.get_worker(), _unpack(packed)
    name = _name_worker(worker)
    with _BUSY:
        _check_sight(job.witness, worker)  # again, because a worker may have come after the start
        try:
            embedding = _load(job.recipe)
        except NslibError as error:
            raise NslibError(f"worker {name}: {error}") from error
        if embedding.fingerprint != job.fingerprint:
            raise NslibError(f"worker {name} has another {embedding.name} (fingerprint {embedding.fingerprint}, "
                             f"expected {job.fingerprint}). Install the same nslib and the same weights there.")
        result = _decode_and_embed(unit, embedding)
        failed = [clip for clip in unit if clip.key in result.problems]
        # What fails twice is a problem of the clip. If the second try goes better, the whole unit is computed anew, so
        # that a disturbance leaves no trace in the bytes of the shard.
        if failed and len(extract.embed_unit(failed, extract.load_clip, embedding).problems) < len(failed):
            result = _decode_and_embed(unit, embedding)
    result.cost.devices = [name]
    return result


def _load(recipe: Recipe) -> Embedding:
    if recipe not in _LOADED:
        _LOADED.clear()
        embedding = recipe.load()
        _LOADED[recipe] = replace(embedding, embed=SmallerBatches(embedding.embed))
    return _LOADED[recipe]


def _decode_and_embed(unit: list[Clip], embedding: Embedding) -> UnitResult:
    with closing(extract.decode_ahead([unit])) as coming:
        _, decode = next(coming)
        return extract.embed_unit(unit, decode, embedding)


def _embed_isolated(recipe: Recipe, unit: list[Clip]) -> UnitResult:
    """Embed a unit clip by clip in processes of this machine that may die, on the processor."""
    from concurrent.futures.process import BrokenProcessPool

    from joblib.externals.loky import ProcessPoolExecutor

    result, pool = UnitResult(), None
    for clip in unit:
        if pool is None:
            pool = ProcessPoolExecutor(1, env={"CUDA_VISIBLE_DEVICES": ""})
            try:
                pool.submit(_embed_in_child, recipe, []).result()
            except BrokenProcessPool as error:
                raise NslibError("the embedding could not be loaded in a process of its own, which "
                                 f"{runtime.describe_end(error)}.") from error
        try:
            single = pool.submit(_embed_in_child, recipe, [clip]).result()
        except BrokenProcessPool as error:
            single, pool = UnitResult(), None
            why = f"the process that computes it {runtime.describe_end(error)}"
            remedy = "Listen to it; if it is very long, cut it into pieces."
            single.problems[clip.key] = BadAudio(clip.path, why, remedy)
        result.clips += single.clips
        result.vectors += single.vectors
        result.problems |= single.problems
        result.cost.add(single.cost)
    if pool is not None:
        pool.shutdown()
    return result


def _embed_in_child(recipe: Recipe, clips: list[Clip]) -> UnitResult:
    return extract.embed_unit(clips, extract.load_clip, _load(recipe))


# ------------------------------------------------------------------ fits of probes

def _map_fits(client: Client, watch: _Watch, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
    from distributed.scheduler import KilledWorker

    watch.look()
    todo = list(tasks)
    # all tasks of a grid have the same vectors, but that is for the caller to know: each object is sent once
    splits = {id(task.splits): task.splits for task in todo}
    calls = [(str(number), (function, task._replace(splits={}), id(task.splits))) for number, task in enumerate(todo)]
    # whoever waits at a worker that dies is suspected by dask: a fit that did nothing may be told that it kills
    for (_, task, _), outcome in _compute(
            client, watch, _fit_on_worker, calls, splits, lost=(CancelledError, KilledWorker),
            times=_FITS_SENT_AT_MOST):
        if isinstance(outcome, CancelledError | KilledWorker):
            raise NslibError(f"workers died {_FITS_SENT_AT_MOST} times over a fit. Give them more memory, or fit on "
                             "this machine: leave the cluster out, the vectors are in the store.")
        if isinstance(outcome, BaseException):
            raise NslibError(f"a worker failed at {task.probe}: {type(outcome).__name__}: {outcome}") from outcome
        yield outcome


def _fit_on_worker(call: tuple[Callable[[Any], Any], Any, int], splits: dict[int, Any]) -> Any:
    """Put the vectors back into a task and do it; this runs on a worker."""
    function, task, key = call
    return function(task._replace(splits=splits[key]))


# ------------------------------------------------------------------ what a large extraction takes

@dataclass(frozen=True)
class ClusterJob:
    """A large extraction, and with what it is done; every default is an assumption, none a fact about a provider."""

    clips: float
    seconds: float = 5.0  # mean length of a clip
    clips_per_second: float = 20.0  # that one worker process computes, as measured on such a machine
    workers: float = 1.0  # processes
    price: float = 0.0  # of one worker process for an hour, in any currency
    dim: float = 512.0  # size of a vector
    start_seconds: float = 60.0  # from the start of a worker to its first clip
    redone: float = 0.05  # share of the work that is done again, after machines that were taken away
    # a task takes the scheduler a time of its own, and a time for each clip that it names; measured on two busy cores
    tasks_per_second: float = 100.0
    sent_per_second: float = 20_000.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value, may_be_zero = getattr(self, name), name in ("price", "redone", "start_seconds")
            if not 0 <= value < float("inf") or (value == 0 and not may_be_zero):
                raise BadParameter(f"{name} is {value}; it must be {'0 or more' if may_be_zero else 'more than 0'}.")


def estimate_cluster_cost(job: ClusterJob) -> dict[str, float]:
    """Work out hours, money, disk (GB of 10^9 bytes; audio of 16 bits at 16 kHz) and work units of a job."""
    audio = job.clips * job.seconds
    unit_seconds = max(extract.choose_unit_seconds(audio), job.seconds)
    unit_clips = unit_seconds / job.seconds
    # more workers than these the scheduler cannot feed
    useful = unit_clips / job.clips_per_second / (1 / job.tasks_per_second + unit_clips / job.sent_per_second)
    busy = job.clips / job.clips_per_second * (1 + job.redone) / min(job.workers, useful) + job.start_seconds
    machine_hours = busy * job.workers / 3600
    return {"audio_hours": audio / 3600, "audio_gb": audio * 32_000 / 1e9, "vectors_gb": job.clips * job.dim * 4 / 1e9,
            "hours": busy / 3600, "machine_hours": machine_hours, "money": machine_hours * job.price,
            "unit_seconds": unit_seconds, "units": audio / unit_seconds,
            "unit_minutes": unit_clips / job.clips_per_second / 60, "useful_workers": useful}


def describe_cluster_cost(job: ClusterJob) -> str:
    """Show a job and what it takes, assumptions first."""
    lines = ["assumed: {clips:,.0f} clips of {seconds:g} s; {workers:g} workers, each {clips_per_second:g} clips/s at "
             "{price:g} an hour,",
             "         {start_seconds:g} s to start, {redone:.0%} done again; vectors of {dim:g}; a scheduler that "
             "takes {tasks_per_second:g} tasks/s and {sent_per_second:,.0f} clips/s",
             "audio          {audio_hours:12,.0f} h   {audio_gb:10,.1f} GB on disk",
             "vectors                         {vectors_gb:10,.1f} GB on disk",
             "from start to end {hours:9,.2f} h   {machine_hours:10,.1f} machine hours",
             "money          {money:12,.2f}     in the currency of the price",
             "work units     {units:12,.0f}     of {unit_seconds:,.0f} s of audio; a killed worker loses at most "
             "{unit_minutes:,.1f} minutes",
             "the scheduler feeds up to {useful_workers:,.0f} such workers"]
    figures = estimate_cluster_cost(job)
    if job.workers > figures["useful_workers"]:
        lines.append("more workers than the scheduler can feed: the rest would wait, and cost")
    return "\n".join(lines).format(**vars(job), **figures)
