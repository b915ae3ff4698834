# shim
from nslib.evaluation.benchmark import SMOKE_EMBEDDINGS as SMOKE_EMBEDDINGS
from nslib.evaluation.benchmark import SMOKE_PROBES as SMOKE_PROBES
from nslib.evaluation.benchmark import benchmark as benchmark
from nslib.evaluation.benchmark import embed as embed
from nslib.evaluation.benchmark import default_embeddings as defaults
from nslib.evaluation.benchmark import load_embedding as as_embedding
from nslib.evaluation.benchmark import load_tasks as load_tasks
from nslib.evaluation.benchmark import find_usable as usable
from nslib.evaluation.results import Results as Results
