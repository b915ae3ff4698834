# shim
from nslib.statistics.comparisons import AVERAGE as AVERAGE
from nslib.statistics.comparisons import compare_embeddings as comparisons
from nslib.statistics.comparisons import find_complete_block as averaged
from nslib.statistics.comparisons import group_embeddings as groups
