"""Splits: drawn as the authors draw them (`draw`), and audited whoever drew them (`auditing`)."""

from nslib.splits.auditing import DOMINANT, Audit, audit
from nslib.splits.draw import SPLITS, by_group, data_hash, label_is_speaker, split_hash

__all__ = ["DOMINANT", "SPLITS", "Audit", "audit", "by_group", "data_hash", "label_is_speaker", "split_hash"]
