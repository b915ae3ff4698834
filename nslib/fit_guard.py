# shim
from nslib.evaluation.probe import FIT_CONTEXT as AT_WORK
