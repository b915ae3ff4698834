"""Figures: results or arrays in; a picture, a sentence and a table that say the same out.

See `nslib.plots.figure` for what a figure is and how all of them look.
"""

from nslib.plots.calibration import calibration, calibration_gaps
from nslib.plots.corpus import class_balance, durations, embedding_cost, split_audit
from nslib.plots.effects import effects
from nslib.plots.figure import Figure, palette, style
from nslib.plots.map import embedding_map
from nslib.plots.order import chosen, standing
from nslib.plots.probes import choice, confusion, optimism
from nslib.plots.protocols import learning, personalisation, protocol_switch
from nslib.plots.published import against_published, claim_differences
from nslib.plots.recall import recall
from nslib.plots.results import accuracy_dots, result_heatmap
from nslib.plots.robustness import robustness
from nslib.plots.signal import filterbank, log_mel, patch_times
from nslib.plots.stability import stability
from nslib.plots.ties import ties
from nslib.plots.tradeoff import tradeoff
from nslib.plots.training import curve

__all__ = [
    "Figure",
    "accuracy_dots",
    "against_published",
    "calibration",
    "calibration_gaps",
    "choice",
    "chosen",
    "claim_differences",
    "class_balance",
    "confusion",
    "curve",
    "durations",
    "effects",
    "embedding_cost",
    "embedding_map",
    "filterbank",
    "learning",
    "log_mel",
    "optimism",
    "palette",
    "patch_times",
    "personalisation",
    "protocol_switch",
    "recall",
    "result_heatmap",
    "robustness",
    "split_audit",
    "stability",
    "standing",
    "style",
    "ties",
    "tradeoff",
]
