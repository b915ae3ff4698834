# shim
from nslib.training.distill import compare_students as sweep
