# shim
from nslib.training.triplets import COLLAPSED as COLLAPSED
from nslib.training.triplets import compute_loss as loss
from nslib.training.triplets import describe_problems as complaints
