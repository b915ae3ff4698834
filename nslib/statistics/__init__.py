"""Scores, their intervals over speakers, and comparisons: arrays and tables of answers in, numbers out.

scores         the metrics of NOSS by name, and which of several results counts
intervals      confidence intervals over speakers and their level; recall of classes; scores over repeated splits
comparisons    paired differences with p-values, and groups of embeddings that are not told apart
calibration    is a probe as often right as it says?
effects        what explains accuracy: a regression on task and embedding
embedding_map  vectors on a plane, and how far the plane can be believed
"""

from nslib.statistics.intervals import MIN_SPEAKERS, interval

__all__ = ["MIN_SPEAKERS", "interval"]
