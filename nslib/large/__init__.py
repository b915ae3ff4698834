"""Probes on more vectors than memory holds.

Conventions
-----------
Vectors lie in files in float32 (`nslib.large.matrix`), go through memory in blocks of rows, and are normalised on the
way, in float64. What is held is what the arithmetic itself needs: `nslib.large.needs` says how much. Answers are those
of `nslib.probe_fit` but for the order of sums in regression and discriminant analysis; forests are the same trees.
"""
