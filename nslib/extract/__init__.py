# shim
from nslib.extraction.batches import UNIT_SECONDS as UNIT_SECONDS
from nslib.extraction.batches import Clip as Item
from nslib.extraction.batches import group_clips as plan
from nslib.extraction.extract import Extraction as Extraction
from nslib.extraction.extract import extract_frames as frames
from nslib.extraction.extract import extract_vectors as vectors
from nslib.extraction.extract import fill_cache as fill
