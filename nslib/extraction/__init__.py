"""Extraction: clips in, one vector a clip out, as fast as the model allows and never twice.

`extract`      vectors of a clip table, on this machine, work unit by work unit, with decoding ahead of the model
`devices`      GPUs and processors, batches that fit their memory, how large a batch is
`cache`        the vector cache on disk, and the cost log beside it
`precomputed`  vectors from a Parquet or NPZ file in the place of an embedding
`cluster`      the same work units, and the fits of probes, on the workers of a dask scheduler
"""

from nslib.extraction.extract import extract_frames, extract_vectors

__all__ = ["extract_frames", "extract_vectors"]
