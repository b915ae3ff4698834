"""Tables of vectors in the format of the authors' pipeline: TFRecord files of tf.Example.

>>> from nslib import interchange
>>> interchange.write("out/savee", clips, {"logmel": vectors}, label_numbers=NAMES)      # doctest: +SKIP
>>> table = interchange.read("out/savee")                                                # doctest: +SKIP
>>> nslib.probe.grid(**interchange.benchmark_splits(table))                              # doctest: +SKIP

Reference: ``audio_to_embeddings_beam`` and ``train_and_eval_sklearn`` in google-research's folder
non_semantic_speech_benchmark, whose field and file names are used.

Conventions
-----------
One record a clip, one vector an embedding: the authors' evaluation ignores the shape of a vector, so
it must be averaged over time. Their classifiers get labels as text of whole numbers and a list of
these; ``label_numbers`` writes them so. The order of clips is that of ``clip_id``.
"""

from nslib.interchange.reading import Table, benchmark_splits, read
from nslib.interchange.records import BadRecord
from nslib.interchange.writing import write

__all__ = ["BadRecord", "Table", "benchmark_splits", "read", "write"]
