"""What tells every worker, also one that joins later or is started again, what the run is about."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

from nslib.cluster import messages, work


class Given(WorkerPlugin):
    """Hands an order to each worker.

    Parameters
    ----------
    order : Order
    """

    idempotent = True

    def __init__(self, order: messages.Order):
        self.order, self.name = order, f"nslib-{order.id}"

    def setup(self, worker: Any) -> None:
        """Keep the order; dask calls this.

        Parameters
        ----------
        worker : distributed.Worker
        """
        work.take(self.order)

    def teardown(self, worker: Any) -> None:
        """Forget the order; dask calls this.

        Parameters
        ----------
        worker : distributed.Worker
        """
        work.forget(self.order.id)
