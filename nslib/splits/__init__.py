"""Splits: drawn as the authors draw them (`draw`), and audited whoever drew them (`auditing`)."""

from nslib.splits.auditing import DOMINANT, Audit, audit
from nslib.splits.draw import (
    CANONICAL_SPLIT_NUMBER,
    SPLITS,
    by_group,
    data_hash,
    label_is_speaker,
    split_hash,
    too_few,
    within_group,
)

__all__ = ["CANONICAL_SPLIT_NUMBER", "DOMINANT", "SPLITS", "Audit", "audit", "by_group", "data_hash",
           "label_is_speaker", "split_hash", "too_few", "within_group"]
