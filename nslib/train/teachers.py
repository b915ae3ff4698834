# shim
from nslib.training.distill import make_teacher as named
