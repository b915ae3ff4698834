# shim
from nslib.embeddings.registry import find_info as card
from nslib.embeddings.registry import list_backends as offered
