# shim
from nslib.extraction.cache import Cost as Cost
from nslib.extraction.cache import read_costs as total
