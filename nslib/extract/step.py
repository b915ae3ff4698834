# shim
from nslib.extraction.batches import MOST_PADDING as MOST_PADDING
from nslib.extraction.batches import pad_clip as padded
