# shim
from nslib.evaluation.benchmark import probe_vectors as grid
