"""Evaluation: one embedding on one task gives one score with its interval, kept in one table.

benchmark    run embeddings on tasks; embed recordings; what a run takes; how sure a chosen probe is
results      columns, files and views of the results table
probe        the grid of simple classifiers on frozen vectors, chosen on validation
classifiers  the tables of classifiers (the paper's five, those of others, of numbers) and two normalisations
protocols    the same vectors asked by other protocols, and their tables
divisions    how they divide: within speakers, folds, other corpora, few shots, repeated splits, by clip
robustness   the chosen probe on test clips with noise, by telephone, too soft or too loud
controls     chance as measured, pauses, rate and level alone, clips divided at random
cost         mean scores beside size and latency
lda          discriminant analysis of vectors of thousands of numbers
"""

from nslib.evaluation.benchmark import label_vectors, load_embedding
from nslib.evaluation.probe import LabelledVectors
from nslib.evaluation.results import PREDICTIONS, ROWS, Results, join_tables, table
from nslib.statistics.scores import select_scores

__all__ = ["PREDICTIONS", "ROWS", "LabelledVectors", "Results", "join_tables", "label_vectors", "load_embedding",
           "select_scores", "table"]
