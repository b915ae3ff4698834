"""Evaluation: one embedding on one task gives one score with its interval, kept in one table.

benchmark    run embeddings on tasks; embed recordings; what a run takes; how sure a chosen probe is
results      columns, files and views of the results table
probe        the grid of simple classifiers on frozen vectors, chosen on validation
classifiers  the paper's five classifiers and two normalisations
lda          discriminant analysis of vectors of thousands of numbers
"""
