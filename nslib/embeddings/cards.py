# shim
from nslib.embeddings.networks import TRAINED_TAPS as KIT
from nslib.embeddings.registry import EMBEDDINGS as CARDS
from nslib.embeddings.registry import EmbeddingInfo as Card
from nslib.embeddings.registry import WheelFile as Weights
