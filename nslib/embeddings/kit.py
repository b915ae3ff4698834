# shim
from nslib.embeddings.networks import load_builtin as parts
