# shim
from nslib.statistics.intervals import recall_by_class as table
