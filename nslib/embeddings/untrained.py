# shim
from nslib.embeddings.networks import cut_patches as _cut
from nslib.embeddings.networks import load_builtin as parts
