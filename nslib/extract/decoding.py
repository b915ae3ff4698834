# shim
from nslib.extraction.batches import decode_ahead as ahead
