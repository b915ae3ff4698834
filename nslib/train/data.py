# shim
from nslib.training.data import WINDOW_SAMPLES as WINDOW_SAMPLES
from nslib.training.data import Pairs as Pairs
from nslib.training.data import make_dataset as dataset
