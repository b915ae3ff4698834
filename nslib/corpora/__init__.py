"""Sources of speech, each turned into the same clip table.

=============  ===============================================================
`debian`       recorded speech from Debian packages, against committed manifests
`synthetic`    the kit's own texts, spoken by eSpeak NG
`noss`         NOSS itself, through TensorFlow Datasets, and FRILL's two additions
`folder`       your folder, or your CSV, TSV or Parquet list
`quick`        the rules by which the manifests were made (for maintainers)
=============  ===============================================================
"""

from __future__ import annotations

from nslib.corpora.folder import read
from nslib.corpora.resolve import Plan, load_clips, own_task, packages_needed, resolve
from nslib.corpora.table import COLUMNS, PROBLEM_COLUMNS, Corpus, limit

__all__ = ["COLUMNS", "PROBLEM_COLUMNS", "Corpus", "Plan", "limit", "load_clips", "own_task",
           "packages_needed", "read", "resolve"]
