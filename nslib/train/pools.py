# shim
from nslib.training.finetune import POOLS as POOLS
from nslib.training.finetune import make_pool as named
