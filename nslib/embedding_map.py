# shim
from nslib.statistics.embedding_map import ACROSS as ACROSS
from nslib.statistics.embedding_map import EmbeddingMap as Map
from nslib.statistics.embedding_map import LABEL as LABEL
from nslib.statistics.embedding_map import PCA as PCA
from nslib.statistics.embedding_map import SPEAKER as SPEAKER
from nslib.statistics.embedding_map import VECTORS as VECTORS
from nslib.statistics.embedding_map import map_vectors as draw
from nslib.statistics.embedding_map import neighbour_agreement as agreement
