# shim
from nslib.datasets.noss_sources import get_status as status
