# shim
from nslib.evaluation.cost import compare_costs as against_cost
from nslib.evaluation.cost import count_size as size
