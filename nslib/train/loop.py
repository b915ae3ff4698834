# shim
from nslib.training.trainer import HELD_OUT_SEED as HELD_OUT_SEED
from nslib.training.trainer import train_triplets as train
