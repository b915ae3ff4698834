"""Published numbers as data, each with its status and its source; a PDF reader; verdicts.

``data/published/*.csv`` holds what other works report, one row a number (`nslib.published.rules` explains the
columns). Most of it was not read in the paper itself, so every number carries a status:

``seen``
    read in the work that reports it;
``quoted-by``
    read in another work, its source, that quotes it;
``recalled-unverified``
    written down from memory. It is shown with this word beside it, and decides nothing;
``unknown``
    neither seen nor remembered: there is no number.

>>> from nslib import published
>>> frill = published.load("frill-card")
>>> frill[(frill["row"] == "TRILL") & (frill["task"] == "savee")]["shown"].item()
'70.0 %'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nslib.published.facts import measured, table1
    from nslib.published.pdf import check, report, write_raised
    from nslib.published.tables import grid, listing, load, sources
    from nslib.published.verdict import numeric, verdicts

_WHERE = {"check": "pdf", "grid": "tables", "listing": "tables", "load": "tables", "measured": "facts",
          "numeric": "verdict", "report": "pdf", "sources": "tables", "table1": "facts", "verdicts": "verdict",
          "write_raised": "pdf"}

__all__ = ["check", "grid", "listing", "load", "measured", "numeric", "report", "sources", "table1", "verdicts",
           "write_raised"]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(f"nslib.published.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'nslib.published' has no attribute {name!r}")
