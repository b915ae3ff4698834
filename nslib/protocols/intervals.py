# shim
from nslib.evaluation.protocols import average_accuracy as accuracy
from nslib.evaluation.protocols import measure_interval as interval
