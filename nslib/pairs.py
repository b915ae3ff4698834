# shim
from nslib.statistics.comparisons import average_differences as average
