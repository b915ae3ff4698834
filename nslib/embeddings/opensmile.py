# shim
from nslib.embeddings.handmade import load_builtin as load
