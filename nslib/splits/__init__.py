# shim
from nslib.datasets.audit import Audit as Audit
from nslib.datasets.audit import audit_clips as audit
from nslib.datasets.splits import CANONICAL_SPLIT_NUMBER as CANONICAL_SPLIT_NUMBER
from nslib.datasets.splits import SPLITS as SPLITS
from nslib.datasets.splits import count_small_groups as too_few
from nslib.datasets.splits import hash_data as data_hash
from nslib.datasets.splits import hash_split as split_hash
from nslib.datasets.splits import label_is_speaker as label_is_speaker
from nslib.datasets.splits import split_by_group as by_group
from nslib.datasets.splits import split_within_group as within_group
