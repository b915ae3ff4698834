"""Figures: results or arrays in; a picture, a sentence and a table that say the same out.

See `nslib.plots.figure` for what a figure is and how all of them look.
"""

from nslib.plots.corpus import class_balance, durations, embedding_cost, split_audit
from nslib.plots.effects import effects
from nslib.plots.figure import Figure, palette, style
from nslib.plots.order import chosen, standing
from nslib.plots.probes import choice, confusion, optimism
from nslib.plots.protocols import learning, personalisation, protocol_switch
from nslib.plots.published import against_published, claim_differences
from nslib.plots.results import accuracy_dots, result_heatmap
from nslib.plots.signal import filterbank, log_mel, patch_times
from nslib.plots.tradeoff import tradeoff
from nslib.plots.training import curve

__all__ = [
    "Figure",
    "accuracy_dots",
    "against_published",
    "choice",
    "chosen",
    "claim_differences",
    "class_balance",
    "confusion",
    "curve",
    "durations",
    "effects",
    "embedding_cost",
    "filterbank",
    "learning",
    "log_mel",
    "optimism",
    "palette",
    "patch_times",
    "personalisation",
    "protocol_switch",
    "result_heatmap",
    "split_audit",
    "standing",
    "style",
    "tradeoff",
]
