"""Figures: results or arrays in; a picture, a sentence and a table that say the same out.

figure      what every figure is made of: axes, colours, style, intervals, files
scores      tables and dots, ties, effects, costs, published numbers; the order in which scores are shown
evaluation  choices of probes, confusions, protocols, learning curves; trust: calibration, robustness, maps
corpora     classes, speakers and lengths of clips; signal: waveforms, log-mel, filters

``rows`` and ``predictions`` are tables of a benchmark (`nslib.evaluation.results`), maybe of several runs, of which the
last counts. ``task`` and ``embedding`` name one score of the table; where there are scores, but not that one, a figure
raises ValueError. Where nothing was run it is drawn nevertheless: it says so in words, and its table is empty. ``name``
is the name of the figure's files. Scores are drawn in percent.
"""

from nslib.figures.corpora import class_balance, durations, embedding_cost, split_audit
from nslib.figures.evaluation import choice, confusion, curve, learning, optimism, personalisation, protocol_switch
from nslib.figures.figure import Figure, palette, style
from nslib.figures.scores import (
    accuracy_dots,
    against_published,
    claim_differences,
    effects,
    mark_best,
    order_scores,
    recall,
    result_heatmap,
    stability,
    ties,
    tradeoff,
)
from nslib.figures.signal import filterbank, log_mel, patch_times
from nslib.figures.trust import calibration, calibration_gaps, embedding_map, robustness

__all__ = ["Figure", "accuracy_dots", "against_published", "calibration", "calibration_gaps", "choice",
           "claim_differences", "class_balance", "confusion", "curve", "durations", "effects", "embedding_cost",
           "embedding_map", "filterbank", "learning", "log_mel", "mark_best", "optimism", "order_scores", "palette",
           "patch_times", "personalisation", "protocol_switch", "recall", "result_heatmap", "robustness", "split_audit",
           "stability", "style", "ties", "tradeoff"]
