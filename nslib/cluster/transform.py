"""The extraction step as a transform of Apache Beam, for pipelines of your own.

Conventions
-----------
In: work units, lists of `nslib.extract.units.Item`. Out: names of shards, and as tagged outputs ``problems`` and
``costs``, one line of JSON each. An embedding is loaded once a worker process, however many bundles it gets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import apache_beam as beam

from nslib.cluster import messages, work
from nslib.extract import units as planning
from nslib.extract.units import Item

PROBLEMS, COSTS, SHARDS = "problems", "costs", "shards"


class Embed(beam.PTransform):
    """Embed work units and write their shards into a store.

    Parameters
    ----------
    order : Order
        What to load, and the store's folder, which every worker must see.
    """

    def __init__(self, order: messages.Order):
        super().__init__()
        self.order = order

    def expand(self, units: Any) -> Any:
        """Apply the step; Beam calls this.

        Parameters
        ----------
        units : PCollection of list of Item

        Returns
        -------
        DoOutputsTuple
            With the attributes shards (str), problems (JSON: hash, file, reason, remedy) and costs (JSON:
            attributes of `nslib.ledger.Cost`).
        """
        return units | beam.ParDo(_Step(self.order)).with_outputs(PROBLEMS, COSTS, main=SHARDS)


class _Step(beam.DoFn):
    def __init__(self, order: messages.Order):
        self.order = order

    def setup(self) -> None:
        work.take(self.order)

    def process(self, unit: list[Item]) -> Iterator[Any]:
        outcome = work.embedded(self.order.id, messages.packed(unit))
        for key, error in outcome.problems.items():
            yield beam.pvalue.TaggedOutput(PROBLEMS, json.dumps([key, error.path, error.reason, error.remedy]))
        yield beam.pvalue.TaggedOutput(COSTS, json.dumps(vars(outcome.cost)))
        if outcome.keys:
            yield planning.name(unit)
