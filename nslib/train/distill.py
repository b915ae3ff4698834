# shim
from nslib.training.distill import distill as train
