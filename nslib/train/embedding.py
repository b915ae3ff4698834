# shim
from nslib.embeddings.networks import TAPS as TAPS
from nslib.embeddings.networks import make_embedding as as_embedding
from nslib.embeddings.networks import count_cost as cost
from nslib.embeddings.networks import cut_patches as cut
from nslib.embeddings.networks import tap_network as parts
from nslib.embeddings.networks import hash_weights as revision
from nslib.embeddings.networks import embed_tap as embed_function
