# shim
from nslib.training.finetune import finetune as finetune
