# shim
from nslib.evaluation.benchmark import SMOKE_PROBES as SMOKE_PROBES
from nslib.evaluation.benchmark import identify_pair as origin
from nslib.evaluation.benchmark import probe_settings as settings
