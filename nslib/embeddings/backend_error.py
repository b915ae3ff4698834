# shim
from nslib.embeddings.backends import format_backends as text
