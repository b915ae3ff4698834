# shim
from nslib.evaluation.benchmark import check_memory as refuse_what_does_not_fit
from nslib.evaluation.benchmark import estimate_probes_seconds as probes_seconds
