# shim
from nslib.evaluation.benchmark import Embeddable as Embeddable
from nslib.evaluation.benchmark import EmbeddingSpec as Entrant
from nslib.evaluation.benchmark import specify_embedding as enter
from nslib.evaluation.benchmark import list_given as several
