# shim
from nslib.extraction.cache import VectorCache as Store
from nslib.extraction.cache import list_caches as every
