# shim
from nslib.extraction.devices import DEFAULT_BATCH_SECONDS as DEFAULT
