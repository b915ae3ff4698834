# shim
from nslib.datasets.splits import split_by_group as by_group
