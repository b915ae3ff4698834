"""docs/results.md says what the schema and the files say."""

from __future__ import annotations

import re

from nslib import ledger, schema, schema_doc


def test_the_page_is_what_the_schema_says():
    assert schema_doc.path().read_text(encoding="utf-8") == schema_doc.text(), "run: python -m nslib.schema_doc"


def test_every_column_of_every_table_is_explained():
    sections = schema_doc.text().split("\n## ")[1:]
    tables = (schema.ROWS, schema.PREDICTIONS, schema.PROTOCOL_ROWS, schema.PROTOCOL_ANSWERS, schema.LEDGER)
    assert len(sections) == len(tables)
    for section, columns in zip(sections, tables, strict=True):
        said = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE))
        assert said == {c.name: c.dtype for c in columns}
        assert all(c.meaning and "|" not in c.meaning for c in columns)


def test_the_ledgers_columns_are_those_that_costs_have():
    cost = ledger.Cost(computed=2, padded=1, audio_seconds=3.0, samples_real=1, samples_fed=2, wall_seconds=1.5,
                       watched_seconds=1.5, devices=["CPU:0"])
    found = {"embedding": "mfcc", **cost.summary()}
    assert list(found) == [c.name for c in schema.LEDGER]
    types = {"str": str, "int": int, "float": float}
    assert all(isinstance(found[c.name], types[c.dtype]) for c in schema.LEDGER)
