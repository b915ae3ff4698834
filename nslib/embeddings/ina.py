# shim
from nslib.embeddings.pretrained import load_builtin as parts
