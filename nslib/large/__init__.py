"""Vectors that are larger than memory should hold."""
