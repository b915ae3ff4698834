# shim
from nslib.datasets.splits import apply_split_file as apply
from nslib.datasets.splits import write_split_file as write
