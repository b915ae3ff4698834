# shim
from nslib.embeddings.runtime import PatchNetwork as Patched
from nslib.embeddings.runtime import bind_device as bound
from nslib.embeddings.runtime import current_device as device
from nslib.embeddings.runtime import embed_network as embedder
from nslib.embeddings.runtime import freeze_graph as freeze
from nslib.embeddings.runtime import freeze_network as frozen
from nslib.embeddings.runtime import make_runner as runner
from nslib.embeddings.runtime import place_graphs as on
