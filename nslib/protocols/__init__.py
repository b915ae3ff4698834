"""Protocols beyond the plain one: the same vectors and probes, another question.

================  ==============================================================================
`within_speaker`  personalised: train and test inside each speaker (the paper's Table 3)
`repeated`        the speakers divided again and again: how much one division decides
`switch`          by clip or by speaker, few training clips or all: how much the protocol decides
================  ==============================================================================

`run` does any of them for several embeddings and tasks. Results are kept beside those of the benchmark
and found again by content (`nslib.protocols.rows`).
"""

from __future__ import annotations

from nslib.protocols.found import ProtocolResults, against, difference
from nslib.protocols.material import FAST, Material, material
from nslib.protocols.repeats import NAME as REPEATED
from nslib.protocols.rows import CARELESS, by_speaker, load, summary, table
from nslib.protocols.running import PROTOCOLS, repeated, run, switch, within_speaker
from nslib.protocols.switches import NAME as SWITCH
from nslib.protocols.within import NAME as WITHIN

__all__ = ["CARELESS", "FAST", "PROTOCOLS", "REPEATED", "SWITCH", "WITHIN", "Material", "ProtocolResults", "against",
           "by_speaker", "difference", "load", "material", "repeated", "run", "summary", "switch", "table",
           "within_speaker"]
