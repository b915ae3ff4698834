"""Work units on the workers of a dask scheduler: an engine for `nslib.extract.vectors`.

Conventions
-----------
Units are sent a few at a time. A unit that ends worker after worker is put aside; when all others are done its
clips are computed one by one in processes that may die (`nslib.cluster.alone`), and a clip that ends even
those is a problem like one that cannot be decoded. An error of a worker ends the run with its words, once dask
has tried the unit again elsewhere; everything stored until then stays.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nslib import files
from nslib.cluster import messages, stream, work
from nslib.cluster.recipes import Recipe
from nslib.embeddings.base import Embedding
from nslib.errors import BadAudio, NslibError
from nslib.extract import decoding
from nslib.extract import units as planning
from nslib.extract.units import Item
from nslib.ledger import Cost
from nslib.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    from nslib.extract import Run

# A network file system may show a file that another machine wrote only after its cache of the folder has run out.
VISIBLE_SECONDS = 90.0

# A worker that dies takes what it had done and not yet handed over. Where workers die for other reasons than a clip,
# a unit may meet several of them.
SENT_AT_MOST = 10


def on(client: Client, recipe: Callable[[], Recipe], shared: bool | None) -> Run:
    """Make an engine of a cluster.

    Parameters
    ----------
    client : distributed.Client
    recipe : callable
        Gives how workers load the embedding; called if there is anything to do.
    shared : bool or None
        As for `nslib.cluster.connect`.

    Returns
    -------
    callable
        What `nslib.extract.vectors` takes as `run`.
    """

    def run(units: Sequence[list[Item]], embedding: Embedding, store: Store, cost: Cost,
            progress: bool) -> dict[str, BadAudio]:
        if not units:
            return {}
        with _order(client, recipe(), embedding, store, units, shared) as order:
            job = _Job(client, order, store, cost)
            with _bar(units, embedding, progress) as bar:
                job.do(units, bar)
            job.settle()
        return job.problems

    return run


@dataclass
class _Job:
    client: Client
    order: messages.Order
    store: Store
    cost: Cost
    problems: dict[str, BadAudio] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def do(self, units: Sequence[list[Item]], bar: Any) -> None:
        suspects = []
        for unit, outcome in self._sent(work.embedded, units):
            if _killed(outcome):
                suspects.append(unit)
                bar.set_postfix_str(f"{len(suspects)} units ended their workers and wait")
            else:
                self._accept(unit, outcome, bar)
        for unit in suspects:
            bar.set_postfix_str("clip by clip, what ended its workers")
            self._one_by_one(unit, bar)

    def _one_by_one(self, unit: list[Item], bar: Any) -> None:
        # with nothing else under way, a worker that dies now dies of this
        for _, outcome in self._sent(work.cautious, [unit]):
            if not _killed(outcome):
                self._accept(unit, outcome, bar)
            elif len(unit) == 1:
                remedy = "Cut it into pieces if it is very long, or give workers more memory."
                self.problems[unit[0].key] = BadAudio(unit[0].path, f"its workers were killed: {outcome}", remedy)
            else:
                for item in unit:
                    self._one_by_one([item], bar)

    def _sent(self, function: Callable[..., Any], units: Iterable[list[Item]]) -> Iterator[tuple[list[Item], Any]]:
        """Units and what came of them; what got lost with a worker, its answer for instance, is sent again."""
        for attempt in range(SENT_AT_MOST):
            lost = []
            for unit, outcome in self._sent_once(function, units, attempt):
                if isinstance(outcome, stream.Lost):
                    lost.append(unit)
                else:
                    yield unit, outcome
            if not lost:
                return
            units = lost
        raise NslibError(f"workers died {SENT_AT_MOST} times over {len(lost)} units of clips. What was stored is kept. "
                         "Give workers more memory, and run the same command again.")

    def _sent_once(self, function: Callable[..., Any], units: Iterable[list[Item]],
                   attempt: int) -> Iterator[tuple[list[Item], Any]]:
        name = f"nslib-{function.__name__}-{self.order.id}-{attempt}"
        waiting: dict[str, list[Item]] = {}

        def tasks() -> Iterator[stream.Task]:
            for unit in units:
                waiting[planning.name(unit)] = unit
                yield stream.Task(planning.name(unit), (self.order.id, messages.packed(unit)))

        for task, outcome in stream.through(self.client, name, function, tasks()):
            if isinstance(outcome, BaseException) and not isinstance(outcome, stream.Lost) and not _killed(outcome):
                raise _failure(outcome) from outcome
            yield waiting.pop(task.key), outcome

    def _accept(self, unit: list[Item], outcome: messages.Outcome, bar: Any) -> None:
        if outcome.vectors is not None:
            self.store.write(outcome.shard, outcome.keys, outcome.vectors)
        elif outcome.keys:
            self.written.append(outcome.shard)
        self.cost.add(outcome.cost)
        self.problems |= outcome.problems
        # the sum of parts can pass the total by a rounding error, which the bar warns of
        bar.update(min(decoding.seconds([unit]), bar.total - bar.n))
        if self.problems:
            bar.set_postfix_str(f"{len(self.problems)} clips left out")

    def settle(self) -> None:
        """Wait until what workers wrote is seen here."""
        until = time.monotonic() + VISIBLE_SECONDS
        left = [self.store.path / f"{name}.arrow" for name in self.written]
        while left := [path for path in left if not path.exists()]:
            if time.monotonic() > until:
                raise NslibError(f"workers wrote {len(left)} shards that are not seen here, the first {left[0]}. "
                                 "Is the folder on the same disk everywhere? If not: shared=False.")
            time.sleep(0.5)
        self.store.refresh()


@contextmanager
def _order(client: Client, recipe: Recipe, embedding: Embedding, store: Store, units: Sequence[list[Item]],
           shared: bool | None) -> Iterator[messages.Order]:
    from nslib.cluster.plugin import Given

    order_id = secrets.token_hex(8)
    token = f".token-{order_id}"
    witness = next((item.path for unit in units[:100] for item in unit if Path(item.path).is_file()), "")
    files.write(store.path / token, "nslib: a worker that sees this file may write into this folder\n")
    try:
        writes = _who_writes(client, str(store.path), token, witness, shared)
        order = messages.Order(order_id, recipe, embedding.fingerprint, str(store.path), writes, token, witness)
        client.register_plugin(Given(order))
        try:
            yield order
        finally:
            _withdraw(client, order)
    finally:
        (store.path / token).unlink(missing_ok=True)


def _withdraw(client: Client, order: messages.Order) -> None:
    try:
        client.unregister_worker_plugin(f"nslib-{order.id}")
    except OSError:  # the scheduler has gone, and the order with it; what ended the run is being told
        return


def _who_writes(client: Client, store: str, token: str, witness: str, shared: bool | None) -> bool:
    """Ask every worker what it sees; True if they write."""
    answers = client.run(work.sees, store, token, witness, on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, BaseException):
            raise NslibError(f"worker {worker} cannot run nslib: {type(answer).__name__}: {answer}. Install the same "
                             "version of nslib there, in the environment in which dask worker runs.") from answer
        if not answer[1]:
            raise work.blind(worker, None, witness)
    blind = [worker for worker, (found, _) in answers.items() if not found]
    if blind and (shared or (shared is None and len(blind) < len(answers))):
        raise work.blind(blind[0], store, None)
    return not blind if shared is None else shared


def _killed(outcome: Any) -> bool:
    from distributed.scheduler import KilledWorker

    return isinstance(outcome, KilledWorker)


def _failure(error: BaseException) -> NslibError:
    if isinstance(error, NslibError):
        return error
    return NslibError(f"a worker failed: {type(error).__name__}: {error}")


def _bar(units: Sequence[list[Item]], embedding: Embedding, progress: bool) -> Any:
    from tqdm.std import tqdm

    return tqdm(total=decoding.seconds(units), desc=f"embed {embedding.name} on the cluster", unit="s",
                disable=not progress,
                bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}] {postfix}")
