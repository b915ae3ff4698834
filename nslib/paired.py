# shim
from nslib.statistics.comparisons import Paired as Paired
from nslib.statistics.comparisons import difference as difference
from nslib.statistics.comparisons import holm as holm
from nslib.statistics.comparisons import p_value as p_value
