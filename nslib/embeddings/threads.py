# shim
from nslib.embeddings.runtime import count_threads as count
from nslib.embeddings.runtime import map_threads as over
