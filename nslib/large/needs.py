# shim
from nslib.evaluation.benchmark import fits_in_memory as fits_in_memory
from nslib.large.matrix import free_gb as free_gb
