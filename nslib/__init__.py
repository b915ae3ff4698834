"""nslib: non-semantic speech embeddings, measured on NOSS-like tasks."""

__version__ = "0.1.0"
